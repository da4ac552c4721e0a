//! Finding our programs, and saying what is missing where something is.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The root of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/tests is two levels down")
}

/// Where our programs are: `HOLDFAST_BIN`, or beside the running test.
fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("HOLDFAST_BIN") {
        return PathBuf::from(dir);
    }
    let exe = std::env::current_exe().expect("a running test has a path");
    // target/debug/deps/TEST-HASH
    exe.ancestors().nth(2).expect("tests are in target/PROFILE/deps").to_owned()
}

/// One of our programs.
///
/// # Panics
/// If it isn't built.
pub fn program(name: &str) -> PathBuf {
    let path = bin_dir().join(name);
    assert!(
        path.exists(),
        "{} is missing (build it with: cargo build --workspace --bins, or set HOLDFAST_BIN)",
        path.display()
    );
    path
}

/// True if the test may make namespaces. Says so otherwise: a lab's tests are for root.
pub fn root_or_say() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|l| {
        l.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
    });
    assert!(
        root,
        "this test makes hosts in namespaces, which takes root (try: sudo -E cargo xtask test)"
    );
    root
}

/// The test guest's disk, built if need be.
///
/// # Panics
/// If it can't be built; the text says what is missing.
pub fn test_guest_image() -> PathBuf {
    // Not `cargo xtask`: that would wait for whoever is building something.
    let mut build = lab::process::command(program("xtask"));
    build.arg("guest").current_dir(workspace());
    lab::process::must(build, None, Duration::from_secs(300)).expect("building the test guest");
    workspace().join("target/holdfast-guest/guest.qcow2")
}
