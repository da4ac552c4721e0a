//! Other people's clients, unmodified, in the versions that the tests are written for.
//!
//! Fetched once from their registries into `target/clients/`; the directory's name carries the version, so a change of
//! version is a new directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::process::{Finished, command, must, run};

use crate::{PoolLab, workspace};

/// Python's XenAPI on PyPI.
const PYTHON_XENAPI: &str = "26.21.1";
/// npm's xen-api.
const NPM_XEN_API: &str = "4.7.6";
/// npm's jsdom: a browser's document model; the newest that runs on Debian's node.
const NPM_JSDOM: &str = "26.1.0";
/// Longest download and installation.
const INSTALL: Duration = Duration::from_secs(180);
/// Longest run of a script.
const RUN: Duration = Duration::from_secs(240);

/// Runs one of our scripts with Python's XenAPI.
///
/// # Panics
/// If the client can't be had, or the script fails: then with everything it wrote.
pub fn python(script: &str, facts: &str) -> String {
    let venv = directory(&format!("python-xenapi-{PYTHON_XENAPI}"), |dir| {
        let mut make = command("python3");
        make.args(["-m", "venv"]).arg(dir);
        must(make, None, INSTALL).expect("making a venv (Debian: python3-venv)");
        let mut install = command(dir.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check"]);
        install.arg(format!("XenAPI=={PYTHON_XENAPI}"));
        must(install, None, INSTALL).expect("installing XenAPI from PyPI");
    });
    let mut client = command(venv.join("bin/python"));
    client.arg("-u").arg(scripts().join(script)).arg(facts);
    judged(script, run(client, None, RUN))
}

/// Runs one of our scripts with npm's xen-api.
///
/// # Panics
/// If the client can't be had, or the script fails: then with everything it wrote.
pub fn node(script: &str, facts: &str) -> String {
    let mut client = command("node");
    client.arg(scripts().join(script)).arg(facts);
    client.env(NODE_MODULES, npm("xen-api", NPM_XEN_API));
    judged(script, run(client, None, RUN))
}

/// Runs the story of the page in jsdom, on a lab's own network; a guest runs on the host of that name.
///
/// # Panics
/// If jsdom can't be had, or the script fails: then with everything it wrote.
pub fn page(lab: &PoolLab, guest_on: &str) -> String {
    let script = "page_story.mjs";
    let mut facts: serde_json::Value =
        serde_json::from_str(&lab.facts_for_clients(Path::new(""))).expect("facts are JSON");
    facts["guestOn"] = guest_on.into();
    let story = scripts().join(script);
    let facts = facts.to_string();
    // The lab's network trusts the pool's authority by the variable that the lab sets; node has a name of its own for it.
    let inside = "NODE_EXTRA_CA_CERTS=\"$XE_CA\" exec node \"$0\" \"$1\"";
    let mut client = lab.command(&["client", "--", "sh", "-c", inside]);
    client.arg(story).arg(facts).env(NODE_MODULES, npm("jsdom", NPM_JSDOM));
    judged(script, run(client, None, RUN))
}

/// Modules are looked up beside the script, which is in the source tree: the script asks for this directory instead.
const NODE_MODULES: &str = "HOLDFAST_NODE_MODULES";

/// A package of npm's, installed under `target/clients/`: its `node_modules`.
fn npm(package: &str, version: &str) -> PathBuf {
    let modules = directory(&format!("npm-{package}-{version}"), |dir| {
        fs::create_dir_all(dir).expect("a directory under target");
        fs::write(dir.join("package.json"), "{\"private\": true}\n").expect("a file under target");
        let mut install = command("npm");
        install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]);
        install.arg(format!("{package}@{version}")).current_dir(dir);
        must(install, None, INSTALL).expect("installing from npm (Debian: npm)");
    });
    modules.join("node_modules")
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A directory under `target/clients/` that is complete or absent.
fn directory(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let all = workspace().join("target/clients");
    let dir = all.join(name);
    let complete = dir.join(".complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&all).expect("a directory under target");
        fill(&dir);
        fs::write(&complete, "").expect("a file under target");
    }
    dir
}

#[expect(clippy::print_stdout, reason = "what the client saw belongs to the test's output")]
fn judged(script: &str, done: anyhow::Result<Finished>) -> String {
    let done = done.unwrap_or_else(|e| panic!("{e:#}"));
    println!("{}", done.stdout);
    assert!(
        done.status.success(),
        "{script} failed ({}):\n{}\n{}",
        done.status,
        done.stdout,
        done.stderr
    );
    done.stdout
}
