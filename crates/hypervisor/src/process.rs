//! Which process a guest is, as this program sees processes.
//!
//! libvirt's daemon keeps a pid file per domain, but in its own pid namespace, and a stale one may outlive a crash. So
//! the file is only a hint: the answer is a process whose command line says that it is this guest.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use uuid::Uuid;

use crate::domain_xml::domain_name;

/// Where libvirt's QEMU driver keeps pid files.
const PID_FILE_DIR: &str = "/run/libvirt/qemu";

/// The process of the guest `vm`; `None` if there is none that we can see.
pub fn find(vm: Uuid) -> Option<i32> {
    find_in(Path::new("/proc"), Path::new(PID_FILE_DIR), vm)
}

/// Whether process `pid` is the guest `vm`.
pub fn is_guest(pid: i32, vm: Uuid) -> bool {
    guest_of(Path::new("/proc"), pid) == Some(vm)
}

/// Every guest process that we can see, with its VM: also those that libvirt has forgotten (adoption, design.md 5.7).
pub fn all() -> Vec<(i32, Uuid)> {
    all_in(Path::new("/proc"))
}

/// Whether process `pid` has the very file open that `path` names now. [`None`] if that can't be told.
pub fn has_open(pid: i32, path: &Path) -> Option<bool> {
    // A block device is the same through whatever node: libvirt gives QEMU a /dev of its own.
    let identity = |path: &Path| {
        fs::metadata(path).map(|file| {
            let block = file.file_type().is_block_device();
            if block { (file.rdev(), 0) } else { (file.dev(), file.ino()) }
        })
    };
    let wanted = match identity(path) {
        Ok(wanted) => wanted,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    // What is closed while we look is not what we look for.
    Some(open.flatten().any(|file| identity(&file.path()).is_ok_and(|other| other == wanted)))
}

fn find_in(proc: &Path, pid_files: &Path, vm: Uuid) -> Option<i32> {
    let file = pid_files.join(format!("{}.pid", domain_name(vm)));
    let hint = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    if let Some(pid) = hint.filter(|pid| guest_of(proc, *pid) == Some(vm)) {
        return Some(pid);
    }
    all_in(proc).into_iter().find(|(_, other)| *other == vm).map(|(pid, _)| pid)
}

fn all_in(proc: &Path) -> Vec<(i32, Uuid)> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| Some((pid, guest_of(proc, pid)?))).collect()
}

/// The VM of a QEMU that libvirt started: it has `-name guest=hf-<uuid>,...` among its arguments.
fn guest_of(proc: &Path, pid: i32) -> Option<Uuid> {
    let arguments = fs::read(proc.join(pid.to_string()).join("cmdline")).ok()?;
    let mut arguments = arguments.split(|byte| *byte == 0);
    arguments.find(|argument| *argument == b"-name")?;
    let name = std::str::from_utf8(arguments.next()?).ok()?;
    let name = name.split(',').find_map(|part| part.strip_prefix("guest="))?;
    name.strip_prefix(crate::domain_xml::NAME_PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: i32, arguments: &[&str]) {
        let dir = proc.join(pid.to_string());
        fs::create_dir_all(&dir).expect("a directory");
        let line: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
        fs::write(dir.join("cmdline"), line).expect("a file");
    }

    #[test]
    fn an_open_file_is_known_by_what_it_is_and_not_by_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (name, other) = (dir.path().join("name"), dir.path().join("other"));
        let me = i32::try_from(std::process::id()).expect("a pid");
        let _open = fs::File::create(&name).expect("a file");
        assert_eq!(has_open(me, &name), Some(true));
        fs::rename(&name, &other).expect("renamed");
        assert_eq!((has_open(me, &name), has_open(me, &other)), (Some(false), Some(true)));
        fs::write(&name, "another file").expect("a file");
        assert_eq!(has_open(me, &name), Some(false));
    }

    #[test]
    fn a_guest_is_known_by_its_command_line_and_a_stale_pid_file_is_no_proof() {
        let dir = tempfile::tempdir().expect("a directory");
        let (proc, files) = (dir.path().join("proc"), dir.path().join("run"));
        fs::create_dir_all(&files).expect("a directory");
        let (vm, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        process(&proc, 12, &["qemu", "-S", "-name", &format!("guest=hf-{vm},debug-threads=on")]);
        process(&proc, 13, &["qemu", "-name", &format!("guest=hf-{other}")]);
        process(&proc, 14, &["grep", &format!("guest=hf-{vm}")]);
        process(&proc, 15, &[]);
        assert_eq!(find_in(&proc, &files, vm), Some(12));
        let pid_file = files.join(format!("hf-{vm}.pid"));
        for (hint, found) in [("13\n", 12), ("99\n", 12), ("12\n", 12), ("nonsense", 12)] {
            fs::write(&pid_file, hint).expect("a file");
            assert_eq!(find_in(&proc, &files, vm), Some(found), "{hint}");
        }
        assert_eq!(find_in(&proc, &files, Uuid::from_u128(9)), None);
        let mut all = all_in(&proc);
        all.sort_unstable();
        assert_eq!(all, [(12, vm), (13, other)]);
    }
}
