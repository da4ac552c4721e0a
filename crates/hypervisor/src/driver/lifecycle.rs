//! From creation to the end of a domain, and looking at it: blocking functions over a connection.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use driver_api::hypervisor::{
    DiskKind, DiskSpec, DomainObservation, DomainSpec, DomainState, HostFacts, Result,
};
use driver_api::{DriverError, Kind};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::stream::Stream;
use virt_sys as sys;

use crate::domain_xml::{self, HostSupport, NAME_PREFIX, target_name};
use crate::failure::{invalid, malformed, no_domain, of_host, of_vm};
use crate::ghost::Ghost;
use crate::live_xml::{LiveDomain, Retarget, RetargetDisk, retarget};
use crate::{ffi, picture, process};

/// Pause between looks at whether a process is gone.
const GONE_POLL: Duration = Duration::from_millis(5);
/// Most bytes of a screenshot.
const PICTURE_BYTES_MAX: usize = 64 << 20;

/// What does not change while a domain lives, by VM, with libvirt's number for that life. Saves reading its XML at each
/// look.
#[derive(Debug, Default)]
pub(super) struct Known {
    domains: Mutex<HashMap<Uuid, (u32, Facts)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    generation: Option<u64>,
    pid: i32,
    vnc: String,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (u32, Facts)>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The domain of `vm`, if there is one.
pub(super) fn lookup(connection: &Connect, vm: Uuid) -> Result<Option<Domain>> {
    match connection.lookup_domain_by_uuid(vm) {
        Ok(domain) => Ok(Some(domain)),
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(of_vm(vm)(error)),
    }
}

/// The domain of `vm`, or [`Kind::NotFound`].
pub(super) fn get(connection: &Connect, vm: Uuid) -> Result<Domain> {
    lookup(connection, vm)?.ok_or_else(|| no_domain(vm))
}

/// What libvirt says of a domain now, as we read it.
pub(super) fn live(domain: &Domain, vm: Uuid) -> Result<LiveDomain> {
    let xml = domain.xml_desc(0).map_err(of_vm(vm))?;
    LiveDomain::parse(&xml).map_err(malformed(vm))
}

pub(super) fn facts(connection: &Connect) -> Result<HostFacts> {
    let version = |version: u32| {
        format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
    };
    let cpuinfo = read_proc("/proc/cpuinfo")?;
    let field = |name: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let meminfo = read_proc("/proc/meminfo")?;
    let memory_kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .unwrap_or(0);
    Ok(HostFacts {
        hypervisor: format!(
            "{} {}",
            connection.driver_type().map_err(of_host)?,
            version(connection.hyp_version().map_err(of_host)?)
        ),
        libvirt: version(connection.lib_version().map_err(of_host)?),
        cpu_model: field("model name").unwrap_or_else(|| "unknown".to_owned()),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_bytes: memory_kib << 10,
    })
}

fn read_proc(path: &str) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| DriverError::new(Kind::Failed, path, error.to_string()))
}

pub(super) fn list(connection: &Connect, known: &Known) -> Result<Vec<DomainObservation>> {
    let domains =
        connection.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE).map_err(of_host)?;
    let mut observations = Vec::with_capacity(domains.len());
    for domain in domains {
        if !domain.name().map_err(of_host)?.starts_with(NAME_PREFIX) {
            continue;
        }
        let vm = domain.uuid().map_err(of_host)?;
        match look(&domain, known, vm) {
            Ok(observation) => observations.push(observation),
            // It ended while we looked.
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let present: std::collections::HashSet<Uuid> =
        observations.iter().map(|observation| observation.vm).collect();
    known.lock().retain(|vm, _| present.contains(vm));
    Ok(observations)
}

pub(super) fn observe(connection: &Connect, known: &Known, vm: Uuid) -> Result<DomainObservation> {
    look(&get(connection, vm)?, known, vm)
}

fn look(domain: &Domain, known: &Known, vm: Uuid) -> Result<DomainObservation> {
    let state = state(domain, vm)?.ok_or_else(|| no_domain(vm))?;
    let info = domain.info().map_err(of_vm(vm))?;
    let life = domain.id();
    let kept =
        known.lock().get(&vm).filter(|(id, _)| Some(*id) == life).map(|(_, facts)| facts.clone());
    let (generation, pid, vnc) = match kept {
        Some(facts) => (facts.generation, Some(facts.pid), Some(facts.vnc)),
        None => {
            let live = live(domain, vm)?;
            let pid = process::find(vm);
            // An incoming domain is not all there yet: its XML is replaced when it arrives.
            if let (Some(life), Some(pid), Some(vnc)) = (life, pid, &live.vnc)
                && state != DomainState::Incoming
            {
                let facts = Facts { generation: live.generation, pid, vnc: vnc.clone() };
                known.lock().insert(vm, (life, facts));
            }
            (live.generation, pid, live.vnc)
        }
    };
    Ok(DomainObservation {
        vm,
        state,
        generation,
        pid,
        vnc,
        memory_bytes: info.memory.saturating_mul(1024),
        cpu_time_ns: info.cpu_time,
        vcpus: info.nr_virt_cpu,
    })
}

/// The domain's state in our words; `None` for one that is off.
pub(super) fn state(domain: &Domain, vm: Uuid) -> Result<Option<DomainState>> {
    let (state, reason) = ffi::state(domain).map_err(of_vm(vm))?;
    let reason = u32::try_from(reason).unwrap_or(0);
    Ok(match state {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => Some(DomainState::Running),
        sys::VIR_DOMAIN_PAUSED => Some(match reason {
            sys::VIR_DOMAIN_PAUSED_IOERROR => DomainState::PausedIoError,
            sys::VIR_DOMAIN_PAUSED_CRASHED => DomainState::Crashed,
            sys::VIR_DOMAIN_PAUSED_SHUTTING_DOWN => DomainState::ShuttingDown,
            sys::VIR_DOMAIN_PAUSED_MIGRATION if is_incoming(domain) => DomainState::Incoming,
            _ => DomainState::Paused,
        }),
        sys::VIR_DOMAIN_PMSUSPENDED => Some(DomainState::Paused),
        sys::VIR_DOMAIN_SHUTDOWN => Some(DomainState::ShuttingDown),
        sys::VIR_DOMAIN_CRASHED => Some(DomainState::Crashed),
        _ => None,
    })
}

/// Both sides of a migration, and a restored domain, are "paused for migration". libvirt refuses to tell the target about
/// its job, and says so; nowhere else does it tell which side this is.
fn is_incoming(domain: &Domain) -> bool {
    match ffi::job(domain) {
        Ok(_) => false,
        Err(error) => error.code().is(ErrorNumber::OperationUnsupported),
    }
}

/// Which of the disks' files refuse direct I/O.
pub(super) fn host_support<'a>(disks: impl IntoIterator<Item = &'a DiskSpec>) -> HostSupport {
    let writable = disks.into_iter().filter(|disk| disk.kind == DiskKind::Disk);
    let paths = writable.filter_map(|disk| disk.path.as_ref());
    HostSupport { buffered: paths.filter(|path| refuses_direct_io(path)).cloned().collect() }
}

fn refuses_direct_io(path: &PathBuf) -> bool {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits())
        .expect("O_DIRECT is far below the sign bit");
    let opened = fs::OpenOptions::new().read(true).custom_flags(direct).open(path);
    matches!(opened, Err(error) if error.kind() == std::io::ErrorKind::InvalidInput)
}

pub(super) fn create_paused(
    connection: &Connect,
    known: &Known,
    spec: &DomainSpec,
) -> Result<DomainObservation> {
    if let Some(present) = present(connection, known, spec)? {
        return Ok(present);
    }
    let xml = domain_xml::domain_xml(spec, &host_support(&spec.disks));
    match connection.create_domain_xml(&xml, sys::VIR_DOMAIN_START_PAUSED) {
        Ok(domain) => look(&domain, known, spec.vm),
        // Somebody else was faster; theirs is judged as if it had been there before.
        Err(error) => match present(connection, known, spec) {
            Ok(Some(present)) => Ok(present),
            _ => Err(of_vm(spec.vm)(error)),
        },
    }
}

/// The domain if it exists with the spec's generation; an error if it exists with another.
fn present(
    connection: &Connect,
    known: &Known,
    spec: &DomainSpec,
) -> Result<Option<DomainObservation>> {
    let Some(domain) = lookup(connection, spec.vm)? else { return Ok(None) };
    let observation = match look(&domain, known, spec.vm) {
        Ok(observation) => observation,
        Err(error) if error.kind == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if observation.generation == Some(spec.generation) {
        return Ok(Some(observation));
    }
    let text = format!(
        "a domain of generation {} exists, {} was asked for",
        observation.generation.map_or_else(|| "unknown".to_owned(), |number| number.to_string()),
        spec.generation
    );
    Err(DriverError::new(Kind::AlreadyExists, spec.vm.to_string(), text))
}

pub(super) fn unpause(connection: &Connect, vm: Uuid) -> Result<()> {
    let domain = get(connection, vm)?;
    match state(&domain, vm)? {
        Some(DomainState::Running) => Ok(()),
        Some(DomainState::Paused | DomainState::PausedIoError) => {
            domain.resume().map(drop).map_err(of_vm(vm))
        }
        other => Err(bad_state(vm, other)),
    }
}

pub(super) fn pause(connection: &Connect, vm: Uuid) -> Result<()> {
    let domain = get(connection, vm)?;
    match state(&domain, vm)? {
        Some(DomainState::Paused | DomainState::PausedIoError) => Ok(()),
        Some(DomainState::Running) => domain.suspend().map(drop).map_err(of_vm(vm)),
        other => Err(bad_state(vm, other)),
    }
}

fn bad_state(vm: Uuid, state: Option<DomainState>) -> DriverError {
    match state {
        None => no_domain(vm),
        Some(state) => {
            DriverError::new(Kind::BadState, vm.to_string(), format!("the domain is {state:?}"))
        }
    }
}

fn running(connection: &Connect, vm: Uuid) -> Result<Domain> {
    let domain = get(connection, vm)?;
    match state(&domain, vm)? {
        Some(DomainState::Running) => Ok(domain),
        other => Err(bad_state(vm, other)),
    }
}

pub(super) fn request_shutdown(connection: &Connect, vm: Uuid) -> Result<()> {
    // No flags: the guest agent if it is there, else the power button.
    running(connection, vm)?.shutdown_flags(0).map_err(of_vm(vm))
}

pub(super) fn request_reboot(connection: &Connect, vm: Uuid) -> Result<()> {
    running(connection, vm)?.reboot(0).map_err(of_vm(vm))
}

pub(super) fn reset(connection: &Connect, vm: Uuid) -> Result<()> {
    get(connection, vm)?.reset().map(drop).map_err(of_vm(vm))
}

pub(super) fn destroy(connection: &Connect, vm: Uuid, until: Instant) -> Result<()> {
    if let Some(ghost) = Ghost::find(vm)
        && lookup(connection, vm)?.is_some()
    {
        return ghost.lay();
    }
    let pid = process::find(vm);
    if let Some(domain) = lookup(connection, vm)?
        && let Err(error) = domain.destroy()
    {
        // Gone by itself meanwhile is what was wanted.
        if lookup(connection, vm)?.is_some() {
            return Err(of_vm(vm)(error));
        }
    }
    // libvirt waits for the process too, but not for one that it had forgotten.
    while pid.is_some_and(|pid| process::is_guest(pid, vm)) {
        if Instant::now() >= until {
            let text = "libvirt has no such domain, but its process is still there";
            return Err(DriverError::new(Kind::Timeout, vm.to_string(), text));
        }
        std::thread::sleep(GONE_POLL);
    }
    Ok(())
}

pub(super) fn save(connection: &Connect, vm: Uuid, path: &Path) -> Result<()> {
    let domain = get(connection, vm)?;
    ffi::save(&domain, utf8(vm, path)?).map_err(of_vm(vm))?;
    let flushed = fs::File::open(path).and_then(|file| file.sync_all());
    flushed.map_err(|error| {
        let text = format!("saved, but not known to be on the disk: {error}");
        DriverError::new(Kind::Failed, path.display().to_string(), text)
    })
}

pub(super) fn utf8(vm: Uuid, path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| invalid(vm, format!("not a UTF-8 path: {}", path.display())))
}

pub(super) fn restore_paused(
    connection: &Connect,
    known: &Known,
    spec: &DomainSpec,
    path: &Path,
) -> Result<DomainObservation> {
    if let Some(present) = present(connection, known, spec)? {
        return Ok(present);
    }
    let vm = spec.vm;
    if let Err(error) = fs::metadata(path) {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Failed,
        };
        return Err(DriverError::new(kind, path.display().to_string(), error.to_string()));
    }
    let file = utf8(vm, path)?;
    let saved = connection.save_image_xml_desc(file, 0).map_err(of_vm(vm))?;
    check_fits(spec, &LiveDomain::parse(&saved).map_err(malformed(vm))?)?;
    let support = host_support(&spec.disks);
    let disks = spec.disks.iter().map(|disk| RetargetDisk {
        target: target_name(spec.acceleration, disk.kind, disk.position),
        buffered: disk.path.as_ref().map(|path| support.buffered.contains(path)),
        path: disk.path.clone(),
        format: disk.format,
    });
    let changes = Retarget {
        generation: spec.generation,
        title: Some(spec.title.clone()),
        disks: disks.collect(),
        nics: spec
            .nics
            .iter()
            .map(|nic| (nic.mac.to_ascii_lowercase(), nic.bridge.clone(), nic.link_up))
            .collect(),
        vnc_listen: Some(spec.vnc_listen.clone()),
    };
    let xml = retarget(&saved, &changes).map_err(malformed(vm))?;
    connection
        .restore_domain_flags(file, Some(&xml), sys::VIR_DOMAIN_SAVE_PAUSED)
        .map_err(of_vm(vm))?;
    observe(connection, known, vm)
}

/// Refuses to put a saved guest into a machine with other disks or NICs: it would write to files that nobody meant.
fn check_fits(spec: &DomainSpec, saved: &LiveDomain) -> Result<()> {
    if saved.uuid != Some(spec.vm) {
        return Err(invalid(spec.vm, "the file holds another VM"));
    }
    let mut wanted: Vec<String> = spec
        .disks
        .iter()
        .map(|disk| target_name(spec.acceleration, disk.kind, disk.position))
        .collect();
    wanted.sort();
    let mut there: Vec<String> = saved.disks.iter().map(|disk| disk.target.clone()).collect();
    there.sort();
    if wanted != there {
        let text = format!("the saved machine has the disks {there:?}, not {wanted:?}");
        return Err(invalid(spec.vm, text));
    }
    let mut wanted: Vec<String> =
        spec.nics.iter().map(|nic| nic.mac.to_ascii_lowercase()).collect();
    wanted.sort();
    let mut there: Vec<String> = saved.nics.iter().map(|(mac, _)| mac.clone()).collect();
    there.sort();
    if wanted != there {
        let text = format!("the saved machine has the NICs {there:?}, not {wanted:?}");
        return Err(invalid(spec.vm, text));
    }
    Ok(())
}

pub(super) fn cancel_job(connection: &Connect, vm: Uuid) -> Result<()> {
    let domain = get(connection, vm)?;
    if ffi::job(&domain).map_err(of_vm(vm))?.is_none() {
        return Ok(());
    }
    match ffi::abort_job(&domain) {
        // It ended by itself meanwhile.
        Err(error) if error.code().is(ErrorNumber::OperationInvalid) => Ok(()),
        other => other.map_err(of_vm(vm)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a job need not be exact to the byte")]
pub(super) fn job_progress(connection: &Connect, vm: Uuid) -> Result<Option<f64>> {
    let job = ffi::job(&get(connection, vm)?).map_err(of_vm(vm))?;
    Ok(job.map(|job| {
        if job.total == 0 {
            return 0.0;
        }
        let left = job.remaining.min(job.total) as f64 / job.total as f64;
        1.0 - left
    }))
}

pub(super) fn screenshot(connection: &Connect, vm: Uuid) -> Result<Vec<u8>> {
    let domain = get(connection, vm)?;
    let stream = Stream::new(connection, 0).map_err(of_vm(vm))?;
    domain.screenshot(&stream, 0, 0).map_err(of_vm(vm))?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = stream.recv(&mut buffer).map_err(of_vm(vm))?;
        let count = usize::try_from(count).unwrap_or(0);
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
        if bytes.len() > PICTURE_BYTES_MAX {
            drop(stream.abort());
            return Err(DriverError::new(Kind::Failed, vm.to_string(), "the picture has no end"));
        }
    }
    stream.finish().map_err(of_vm(vm))?;
    picture::png(bytes)
        .ok_or_else(|| DriverError::new(Kind::Failed, vm.to_string(), "unknown picture format"))
}
