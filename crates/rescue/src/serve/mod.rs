//! `serve`: a virtual disk, straight from the wrecked disk, as a read-only NBD export on loopback.
//!
//! For a look before anything is copied: `qemu-nbd --connect`, `nbdfuse`, or QEMU itself open the printed address. Nothing can be written.
//! Bytes that can't be vouched for are an error for whoever reads them, never zeroes. The protocol is in [`protocol`].

mod protocol;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk_format::source::{FileSource, Source};
use serde::Serialize;

use crate::export::{self, What};
use crate::output::{self, Output};
use crate::volumes::Reading;
use crate::{Error, Exit};

/// Clients at a time; each may hold a read of [`protocol::MAX_READ`] in memory.
const MAX_CLIENTS: usize = 4;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The wrecked disk, partition or image; or a VHD or qcow2 file. It is opened for reading only.
    path: PathBuf,
    #[command(flatten)]
    what: What,
    /// Address on loopback; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10809")]
    listen: SocketAddr,
    /// Serves bytes that can be read but may be wrong, instead of an error.
    #[arg(long)]
    doubtful: bool,
    #[command(flatten)]
    reading: Reading,
}

/// What is served.
#[derive(Debug, Serialize)]
struct Report {
    uri: String,
    size_bytes: u64,
    made_of: Vec<String>,
    notes: Vec<String>,
}

/// Runs the command until it is killed.
///
/// # Errors
/// If the disk is not found, the address is not on loopback, or can't be listened on.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    if arguments.what.all {
        return Err(Error::Usage("one disk is served at a time: --vdi or --volume".into()));
    }
    if !arguments.listen.ip().is_loopback() {
        return Err(Error::Refused(format!(
            "{} is not on loopback: this server knows no passwords, and what it shows is somebody's disk",
            arguments.listen
        )));
    }
    let source: Source =
        Arc::new(FileSource::open(&arguments.path).map_err(Error::io("opening", &arguments.path))?);
    let (vdi, image) = export::find(&arguments.path, &source, &arguments.what, &arguments.reading)?;
    for note in &image.notes {
        output::note(&format!("note: {note}"));
    }
    if let Some(why) = image.doubt.as_ref().filter(|_| !arguments.doubtful) {
        return Err(Error::Refused(format!("{why}; --doubtful serves it all the same")));
    }
    let address = PathBuf::from(arguments.listen.to_string());
    let listener =
        TcpListener::bind(arguments.listen).map_err(Error::io("listening on", &address))?;
    let local = listener.local_addr().map_err(Error::io("listening on", &address))?;
    let name = vdi.unwrap_or_default();
    let report = Report {
        uri: format!("nbd://{local}/{name}"),
        size_bytes: image.disk.size(),
        made_of: image.made_of.clone(),
        notes: image.notes.clone(),
    };
    match form {
        Output::Json => output::print_json(&report)?,
        Output::Text => output::print(&format!(
            "{}\n{} bytes, from {}; read-only, until this program is ended\n",
            report.uri,
            report.size_bytes,
            report.made_of.join(" on ")
        ))?,
    }
    let export =
        Arc::new(protocol::Export { name, disk: image.disk, doubtful: arguments.doubtful });
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = stream.map_err(Error::io("listening on", &address))?;
        if clients.fetch_add(1, Ordering::SeqCst) >= MAX_CLIENTS {
            clients.fetch_sub(1, Ordering::SeqCst);
            output::note(&format!("a client was sent away: there are {MAX_CLIENTS} already"));
            continue;
        }
        let (export, clients) = (Arc::clone(&export), Arc::clone(&clients));
        std::thread::spawn(move || {
            // Answers are small or large, never worth waiting for more.
            let _ = stream.set_nodelay(true);
            if let Err(error) = protocol::serve(&export, &mut &stream) {
                output::note(&format!("a client was lost: {error}"));
            }
            clients.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(Exit::Done)
}
