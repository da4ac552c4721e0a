//! `export`: the content of a virtual disk, straight from the wrecked disk, into a file.
//!
//! Holes stay holes, what can't be read is zero in the file and told, and the file is never on the disk that is read ([`guard`]). An
//! export that was interrupted goes on where it was ([`state`]).

mod copy;
mod guard;
mod hash;
mod qcow2;
mod read_back;
mod state;
mod target;
mod vhd;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use disk_format::disk::Bad;
use disk_format::source::{FileSource, Source};
use disk_format::vhd::Id;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::images::{self, Image, Volume};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::volumes::{self, Reading};
use crate::{Error, Exit};
use copy::Now;
use hash::{Hash, Hasher};
use state::State;
use target::Target;

pub use target::Format;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The wrecked disk, partition or image; or a VHD or qcow2 file. It is opened for reading only.
    path: PathBuf,
    #[command(flatten)]
    what: What,
    /// The file to write; with `--all` the directory.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Form of the file.
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// Replaces a file that is there already.
    #[arg(long)]
    overwrite: bool,
    /// The checksum of the disk's content that is taken on the way.
    #[arg(long, value_enum, default_value_t = Hash::Crc32)]
    hash: Hash,
    /// Reads the file back from its disk when it is written, and compares the checksum with that of what was read.
    #[arg(long)]
    read_back: bool,
    /// Seconds after which it is written down how far the export is.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    checkpoint: u64,
    #[command(flatten)]
    reading: Reading,
}

/// Which disk of several.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub struct What {
    /// The virtual disk with this uuid: its whole chain, as its machine would read it.
    #[arg(long, value_name = "UUID")]
    pub vdi: Option<String>,
    /// The bytes of this logical volume as they are.
    #[arg(long, value_name = "NAME")]
    pub volume: Option<String>,
    /// Every virtual disk that is not a hidden base copy, each into a file of its own.
    #[arg(long)]
    pub all: bool,
}

/// What was exported.
#[derive(Debug, Serialize)]
struct Report {
    vdi: Option<String>,
    made_of: Vec<String>,
    file: PathBuf,
    format: Format,
    size_bytes: u64,
    data_bytes: u64,
    sha256: Option<String>,
    crc32: Option<String>,
    /// The file was read from its disk and has the checksum.
    read_back: bool,
    resumed_at_byte: u64,
    seconds: f64,
    damaged: Vec<Damage>,
    notes: Vec<String>,
}

/// A range that can't be vouched for.
#[derive(Debug, Serialize)]
struct Damage {
    offset: u64,
    length_bytes: u64,
    why: String,
}

impl From<&Bad> for Damage {
    fn from(bad: &Bad) -> Self {
        Self { offset: bad.offset, length_bytes: bad.length, why: bad.why.clone() }
    }
}

/// Runs the command.
///
/// # Errors
/// If the disk is not found, the target is refused, or writing fails.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let source: Source =
        Arc::new(FileSource::open(&arguments.path).map_err(Error::io("opening", &arguments.path))?);
    if arguments.read_back && arguments.hash == Hash::None {
        return Err(Error::Usage("--read-back compares checksums: --hash none leaves none".into()));
    }
    let what = &arguments.what;
    if what.all {
        return all(arguments, &source, form);
    }
    // Before the disk is searched: that may take long.
    check_target(arguments, &arguments.to)?;
    let (vdi, image) = find(&arguments.path, &source, what, &arguments.reading)?;
    let report = export(arguments, vdi, &image, &arguments.to)?;
    let exit = exit_of(&report);
    match form {
        Output::Json => output::print_json(&report)?,
        Output::Text => output::print(&text(&report))?,
    }
    Ok(exit)
}

fn exit_of(report: &Report) -> Exit {
    if report.damaged.is_empty() { Exit::Done } else { Exit::Partial }
}

fn all(arguments: &Arguments, source: &Source, form: Output) -> Result<Exit, Error> {
    let volumes = volumes::search(&arguments.path, source, &arguments.reading)?;
    let mut reports = Vec::new();
    let mut exit = Exit::Done;
    for (n, volume) in volumes.iter().enumerate() {
        let Some(vdi) = volume.vdi().filter(|_| !volume.hidden()) else { continue };
        let file = arguments.to.join(format!("{vdi}.{}", arguments.format.extension()));
        let result = check_target(arguments, &file)
            .and_then(|()| images::open(&volumes, n))
            .and_then(|image| export(arguments, Some(vdi.to_owned()), &image, &file));
        match result {
            Ok(report) => {
                if exit_of(&report) == Exit::Partial {
                    exit = Exit::Partial;
                }
                if form == Output::Text {
                    output::print(&text(&report))?;
                }
                reports.push(report);
            }
            // The others are wanted all the same, unless there is no room for them either.
            Err(error @ (Error::Refused(_) | Error::NotFound(_))) => {
                output::note(&format!("{}: {error}", volume.name));
                exit = Exit::Partial;
            }
            Err(error) => return Err(error),
        }
    }
    if form == Output::Json {
        output::print_json(&reports)?;
    }
    if reports.is_empty() {
        return Err(Error::NotFound(format!(
            "no virtual disk on {} could be exported; `holdfast-rescue scan` says what is there",
            arguments.path.display()
        )));
    }
    Ok(exit)
}

/// Finds the disk that is asked for: its uuid, if it has one, and what it is.
pub(crate) fn find(
    path: &Path,
    source: &Source,
    what: &What,
    reading: &Reading,
) -> Result<(Option<String>, Image), Error> {
    if images::is_image(source) {
        if let Some(name) = &what.volume {
            return Err(Error::Usage(format!(
                "{} is an image, not a disk with volumes: leave --volume {name} out",
                path.display()
            )));
        }
        let own = images::beside(path, source)?.swap_remove(0);
        if let Some(vdi) = what.vdi.as_deref().filter(|vdi| !is_wanted(&own, vdi)) {
            return Err(Error::NotFound(format!("{} is not the VDI {vdi}", path.display())));
        }
        let vdi = own.vdi().map(str::to_owned);
        return Ok((vdi, images::open_path(path, source)?));
    }
    let volumes = volumes::search(path, source, reading)?;
    let (wanted, matches): (&str, Vec<usize>) = match (&what.vdi, &what.volume) {
        (Some(vdi), _) => {
            let found = |prefer: &dyn Fn(&Volume) -> bool| {
                (0..volumes.len()).filter(|n| prefer(&volumes[*n])).collect::<Vec<_>>()
            };
            let by_name = found(&|v| v.vdi().is_some_and(|own| own.eq_ignore_ascii_case(vdi)));
            let by_id = || found(&|v| is_wanted(v, vdi));
            (vdi, if by_name.is_empty() { by_id() } else { by_name })
        }
        (None, Some(name)) => {
            (name, (0..volumes.len()).filter(|n| volumes[*n].name == *name).collect())
        }
        (None, None) => {
            return Err(Error::Usage(
                "say which: --vdi UUID, --volume NAME or --all; `holdfast-rescue scan` lists them"
                    .into(),
            ));
        }
    };
    match matches[..] {
        [] => Err(Error::NotFound(format!(
            "{wanted} is not on {}; `holdfast-rescue scan {}` lists what is",
            path.display(),
            path.display()
        ))),
        [n] if what.vdi.is_some() => {
            Ok((volumes[n].vdi().map(str::to_owned), images::open(&volumes, n)?))
        }
        [n] => Ok((None, images::raw(&volumes[n]))),
        _ => {
            let places: Vec<String> = matches
                .iter()
                .map(|n| format!("{} in {}", volumes[*n].name, volumes[*n].place))
                .collect();
            Err(Error::Refused(format!(
                "{wanted} is there more than once: {}. Say which with --group",
                places.join("; ")
            )))
        }
    }
}

fn is_wanted(volume: &Volume, vdi: &str) -> bool {
    volume.vdi().is_some_and(|own| own.eq_ignore_ascii_case(vdi))
        || vdi.parse::<Id>().is_ok_and(|id| {
            disk_format::vhd::identify(&volume.source).is_some_and(|found| found.footer.id == id)
        })
}

fn check_target(arguments: &Arguments, file: &Path) -> Result<(), Error> {
    if let Some(why) = guard::refusal(&arguments.path, file) {
        return Err(Error::Refused(why));
    }
    let filled = std::fs::metadata(file).is_ok_and(|meta| meta.len() > 0);
    if filled && !arguments.overwrite && State::load(file).is_none() {
        return Err(Error::Refused(format!(
            "{} is there already; --overwrite replaces it",
            file.display()
        )));
    }
    Ok(())
}

fn export(
    arguments: &Arguments,
    vdi: Option<String>,
    image: &Image,
    file: &Path,
) -> Result<Report, Error> {
    let started = Instant::now();
    for note in &image.notes {
        output::note(&format!("note: {note}"));
    }
    let (disk, format) = (&image.disk, arguments.format);
    let writing = |error| Error::io("writing", file)(error);
    let (mut state, hasher) = resume(image, format, file, arguments.hash);
    let handle = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)
        .map_err(Error::io("opening", file))?;
    let mut target = target(handle, disk.size(), &state).map_err(writing)?;
    state.save(file).map_err(writing)?;
    let (start, before) = (state.done_bytes, state.data_bytes);
    let mut last = Instant::now();
    let mut progress = Progress::new("exporting", disk.size());
    let mut watch = |now: Now<'_>| -> io::Result<()> {
        progress.at(now.done);
        if last.elapsed() < Duration::from_secs(arguments.checkpoint) {
            return Ok(());
        }
        now.target.checkpoint()?;
        state.done_bytes = now.done;
        state.data_bytes = before + now.data_bytes;
        state.used_bytes = now.target.used_bytes();
        state.sha256_of_done = now.hasher.and_then(Hasher::so_far).and_then(|sums| sums.sha256);
        state.bad = now.bad.iter().map(|b| (b.offset, b.length, b.why.clone())).collect();
        state.save(file)?;
        last = Instant::now();
        Ok(())
    };
    let bad = state_bad(file, start);
    let copied =
        copy::copy(disk, start, bad, &mut *target, hasher, &mut watch).map_err(|stopped| {
            output::note("the same command goes on from here when the reason is gone");
            writing(stopped.0)
        })?;
    progress.end();
    drop(target);
    if arguments.read_back {
        read_back::check(file, format, arguments.hash, &copied.sums)?;
    }
    State::remove(file);
    let mut damaged: Vec<Damage> = copied.bad.iter().map(Damage::from).collect();
    if let Some(why) = &image.doubt {
        damaged.insert(0, Damage { offset: 0, length_bytes: disk.size(), why: why.clone() });
    }
    for damage in &damaged {
        output::note(&format!(
            "damaged: {} bytes from byte {} on: {}",
            damage.length_bytes, damage.offset, damage.why
        ));
    }
    Ok(Report {
        vdi,
        made_of: image.made_of.clone(),
        file: file.to_path_buf(),
        format,
        size_bytes: disk.size(),
        data_bytes: before + copied.data_bytes,
        sha256: copied.sums.sha256,
        crc32: copied.sums.crc32,
        read_back: arguments.read_back,
        resumed_at_byte: start,
        seconds: started.elapsed().as_secs_f64(),
        damaged,
        notes: image.notes.clone(),
    })
}

fn state_bad(file: &Path, start: u64) -> Vec<Bad> {
    let state = (start > 0).then(|| State::load(file)).flatten();
    state.map_or(Vec::new(), |state| state.bad())
}

/// The state of an unfinished export of the same disk to the same file whose done part is proved right, or that of a new one; with a hash
/// that has the done part.
fn resume(image: &Image, format: Format, file: &Path, hash: Hash) -> (State, Option<Hasher>) {
    let hasher = || Hasher::start(hash);
    let fresh = || State {
        identity: image.identity.clone(),
        format,
        done_bytes: 0,
        used_bytes: 0,
        sha256_of_done: None,
        data_bytes: 0,
        file_id: new_id(image).to_string(),
        bad: Vec::new(),
    };
    let Some(state) = State::load(file) else { return (fresh(), hasher()) };
    if state.done_bytes == 0 || state.identity != image.identity || state.format != format {
        return (fresh(), hasher());
    }
    output::note(&format!(
        "an export to {} was interrupted at byte {}: its part is verified",
        file.display(),
        state.done_bytes
    ));
    let with_part = hasher();
    let proved = target::reopen(file, format).is_ok_and(|written| {
        state::is_right(&written, &image.disk, &state, &mut |part| {
            if let Some(hasher) = &with_part {
                hasher.bytes(part.to_vec(), part.len());
            }
        })
    });
    if proved {
        return (state, with_part);
    }
    output::note("the part is not what was written: the export begins anew");
    (fresh(), hasher())
}

fn target(handle: File, size: u64, state: &State) -> io::Result<Box<dyn Target>> {
    let used = state.used_bytes;
    Ok(match state.format {
        Format::Raw => Box::new(target::RawTarget::new(handle, size, used)?),
        Format::Qcow2 => Box::new(qcow2::Qcow2Target::new(handle, size, used)?),
        Format::Vhd => {
            let id = state.file_id.parse().unwrap_or(Id::ZERO);
            Box::new(vhd::VhdTarget::new(handle, size, id, timestamp(), used)?)
        }
    })
}

/// The id of a VHD that is written: the same disk gives the same one, and never the source's own.
fn new_id(image: &Image) -> Id {
    let sum: [u8; 32] = Sha256::digest(format!("export {}", image.identity)).into();
    let mut id = Id::ZERO;
    id.0.copy_from_slice(&sum[..16]);
    // A uuid of version 8, made by its own rule.
    id.0[6] = id.0[6] & 0x0F | 0x80;
    id.0[8] = id.0[8] & 0x3F | 0x80;
    id
}

/// Now, as VHD counts: seconds since the year 2000.
fn timestamp() -> u32 {
    let unix = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let epoch = u64::try_from(disk_format::vhd::EPOCH_UNIX_S).unwrap_or(0);
    u32::try_from(unix.saturating_sub(epoch)).unwrap_or(0)
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{}: {} bytes, {} of them data, in {:.1} s\n",
        report.file.display(),
        report.size_bytes,
        report.data_bytes,
        report.seconds
    );
    if let Some(vdi) = &report.vdi {
        text.push_str(&format!("vdi     {vdi}\n"));
    }
    text.push_str(&format!("from    {}\n", report.made_of.join(" on ")));
    if let Some(sum) = &report.sha256 {
        text.push_str(&format!("sha256  {sum} (of the disk's content)\n"));
    }
    if let Some(sum) = &report.crc32 {
        text.push_str(&format!("crc32   {sum} (of the disk's content)\n"));
    }
    let lost: u64 = report.damaged.iter().map(|damage| damage.length_bytes).sum();
    if lost > 0 {
        text.push_str(&format!("damaged {lost} bytes, listed on standard error\n"));
    }
    text
}
