//! Throwaway hosts for the tests: libvirt's daemon in namespaces of its own, with directories of its own and no KVM.
//!
//! Each host has its own mount, pid, network, UTS and IPC namespace. Its pid namespace ends with the test (kill-child,
//! and a death signal should the test itself be killed), so nothing is left behind. The daemon's socket lies in the
//! host's directory, where the test can reach it. The machine's own network and `/dev/kvm` are not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hypervisor::{LibvirtHypervisor, LibvirtOptions};

/// Longest wait for a daemon to come up.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Last lines of each log that a failing test shows.
const LOG_LINES: usize = 4;

/// Turns a fresh set of namespaces into a host; `$1` is its directory, `$2` its name, `$3` its address.
const INIT: &str = r#"
set -eu
mount --make-rprivate /
hostname "$2"
for dir in etc/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt; do
    mkdir -p "$1/$dir" "/$dir"
    mount --bind "$1/$dir" "/$dir"
done
# libvirt's QEMU driver does not start without these, whatever its configuration says.
for file in passwd group; do
    cp "/etc/$file" "$1/$file"
    mount --bind "$1/$file" "/etc/$file"
done
grep -q '^libvirt-qemu:' /etc/group || echo 'libvirt-qemu:x:64055:' >> /etc/group
grep -q '^kvm:' /etc/group || echo 'kvm:x:64054:' >> /etc/group
grep -q '^libvirt-qemu:' /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/:/bin/false' >> /etc/passwd
# Nothing here has a name (S2-33).
for file in hosts resolv.conf; do
    : > "$1/$file"
    mount --bind "$1/$file" "/etc/$file"
done
mount -t tmpfs tmpfs /run
mount -t sysfs sysfs /sys
mkdir -p "$1/dev"
mount -t tmpfs tmpfs "$1/dev"
mkdir "$1/dev/net" "$1/dev/pts" "$1/dev/shm"
for node in null zero full random urandom tty net/tun; do
    touch "$1/dev/$node"
    mount --bind "/dev/$node" "$1/dev/$node"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
mount -t tmpfs tmpfs "$1/dev/shm"
ln -s pts/ptmx "$1/dev/ptmx"
ln -s /proc/self/fd "$1/dev/fd"
mount --move "$1/dev" /dev
# libvirt waits for as long as the kernel tries to connect.
echo 2 > /proc/sys/net/ipv4/tcp_syn_retries
ip link set lo up
ip link add br0 type bridge
ip link set br0 address "02:00:00:00:00:${3##*.}"
ip address add "$3/24" dev br0
ip link set br0 up
virtlogd -d
echo $$ > "$1/init.up"
while :; do
    libvirtd -l || true
    echo restarted >> "$1/restarts"
done
"#;

/// One host; dropping it is a power cut.
pub(crate) struct Host {
    dir: PathBuf,
    name: String,
    address: String,
    namespaces: Child,
}

/// Why the tests can't run here; `None` if they can.
pub(crate) fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    let tools = [
        "/usr/sbin/libvirtd",
        "/usr/sbin/virtlogd",
        "/usr/bin/qemu-system-x86_64",
        "/usr/bin/qemu-img",
        "/usr/bin/setpriv",
        "/usr/bin/unshare",
        "/dev/net/tun",
    ];
    tools.into_iter().find(|tool| !Path::new(tool).exists())
}

impl Host {
    /// Starts host number `number` in a directory below `base`; its daemon may still be coming up.
    pub(crate) fn start(base: &Path, number: u8) -> Self {
        let name = format!("h{number}");
        let address = format!("10.90.77.{number}");
        let dir = base.join(&name);
        let config = dir.join("etc/libvirt");
        fs::create_dir_all(&config).expect("a directory");
        fs::create_dir_all(dir.join("sock")).expect("a directory");
        let daemon = format!(
            "host_uuid = \"00000000-0000-4000-8000-0000000000{number:02}\"\n\
             unix_sock_dir = \"{}\"\nunix_sock_group = \"root\"\nauth_unix_rw = \"none\"\n\
             auth_tcp = \"none\"\nlisten_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{address}\"\n\
             keepalive_interval = 1\nkeepalive_count = 3\n",
            dir.join("sock").display()
        );
        fs::write(config.join("libvirtd.conf"), daemon).expect("a file");
        let qemu = "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\n\
                    cgroup_controllers = []\nnamespaces = []\nsecurity_driver = \"none\"\n\
                    keepalive_interval = 1\nkeepalive_count = 3\n";
        fs::write(config.join("qemu.conf"), qemu).expect("a file");
        let log = fs::File::create(dir.join("log")).expect("a file");
        let namespaces = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "-m", "-p", "-n", "-u", "-i", "--fork"])
            .args(["--kill-child", "--mount-proc", "bash", "-c", INIT, "init"])
            .arg(&dir)
            .args([&name, &address])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("namespaces can be made");
        let host = Self { dir, name, address, namespaces };
        host.wait_for("its init", || host.dir.join("init.up").exists());
        host
    }

    /// Connects two hosts' bridges by a cable.
    pub(crate) fn cable(&self, other: &Self) {
        let (one, two) = (self.init_pid(), other.init_pid());
        let link = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns"];
        in_network(one, "ip", &[&link[..], &[two.to_string().as_str()]].concat());
        for pid in [one, two] {
            in_network(pid, "ip", &["link", "set", "eth0", "master", "br0"]);
            in_network(pid, "ip", &["link", "set", "eth0", "up"]);
        }
    }

    /// Takes the cable out, or puts it in again.
    pub(crate) fn set_cable(&self, up: bool) {
        let state = if up { "up" } else { "down" };
        in_network(self.init_pid(), "ip", &["link", "set", "eth0", state]);
    }

    /// Makes a file system of `size` bytes in memory, which only this host sees, and copies `file` onto it.
    pub(crate) fn small_disk(&self, size: u64, file: &Path) -> PathBuf {
        let small = self.dir.join("small");
        fs::create_dir_all(&small).expect("a directory");
        let path = small.join("disk");
        let options = format!("size={size}");
        let small = small.to_str().expect("UTF-8");
        self.inside("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", small]);
        let names = [file, &path].map(|path| path.to_str().expect("UTF-8"));
        self.inside("cp", &names);
        path
    }

    /// Gives the file system of [`Host::small_disk`] more room.
    pub(crate) fn grow_small_disk(&self, size: u64) {
        let options = format!("remount,size={size}");
        let small = self.dir.join("small");
        self.inside("mount", &["-o", &options, small.to_str().expect("UTF-8")]);
    }

    fn inside(&self, command: &str, arguments: &[&str]) {
        entering(self.init_pid(), "-m", command, arguments);
    }

    /// The host's address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// libvirt's URI of this host, as its peers see it.
    pub(crate) fn peer_uri(&self) -> String {
        format!("qemu+tcp://{}/system", self.address)
    }

    /// libvirt's URI of this host, as the test sees it.
    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.dir.join("sock/libvirt-sock").display())
    }

    /// A driver for this host.
    pub(crate) fn hypervisor(&self) -> LibvirtHypervisor {
        LibvirtHypervisor::new(LibvirtOptions::new(self.uri(), self.dir.join("state")))
    }

    /// Process id of libvirt's daemon, as the test sees it.
    pub(crate) fn daemon_pid(&self) -> i32 {
        let mut found = None;
        self.wait_for("its daemon", || {
            found = children(self.init_pid()).into_iter().find(|pid| {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                comm.trim() == "libvirtd"
            });
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// First process of the host's namespaces, as the test sees it: the only child of `unshare`.
    fn init_pid(&self) -> i32 {
        let unshare = i32::try_from(self.namespaces.id()).expect("a pid");
        *children(unshare).first().expect("the host is up")
    }

    /// What the daemons said, for whoever has to find out why a test failed.
    #[expect(clippy::print_stderr, reason = "a failing test tells its reader all it knows")]
    fn show_logs(&self) {
        let mut logs = vec![self.dir.join("log")];
        let qemu = fs::read_dir(self.dir.join("var/log/libvirt/qemu"));
        logs.extend(qemu.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())));
        for log in logs {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            eprintln!("--- {}\n{last}", log.display());
        }
    }

    fn wait_for(&self, what: &str, mut there: impl FnMut() -> bool) {
        let deadline = Instant::now() + START_LIMIT;
        while !there() {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{}: no {what}; log: {}", self.name, log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        // Ends `unshare`, whose death signal ends the namespace's init and with it everything inside.
        let init = self.init_pid();
        self.namespaces.kill().expect("our own child can be killed");
        self.namespaces.wait().expect("our own child can be waited for");
        let deadline = Instant::now() + START_LIMIT;
        while Path::new(&format!("/proc/{init}")).exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn in_network(pid: i32, command: &str, arguments: &[&str]) {
    entering(pid, "-n", command, arguments);
}

/// Runs a command in one of the namespaces of process `pid`.
fn entering(pid: i32, namespace: &str, command: &str, arguments: &[&str]) {
    let status = Command::new("nsenter")
        .args(["-t", &pid.to_string(), namespace, command])
        .args(arguments)
        .status()
        .expect("nsenter runs");
    assert!(status.success(), "{command} {arguments:?}: {status}");
}

/// Runs a command of the machine and returns its output.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().expect("the command runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
