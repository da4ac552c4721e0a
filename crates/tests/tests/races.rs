//! Eight real hosts want the same thing at the same moment: the last free memory, and the same VM.

use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tests::{PoolLab, Rpc, until};
use xenapi::{Error, Value};

/// Racers.
const HOSTS: u8 = 8;
/// Memory of each VM, bytes.
const VM_MEMORY: i64 = 128 << 20;
/// Memory that each host claims, MiB: what it keeps for itself (512), and room for one VM with what QEMU needs for it
/// (33 more), not for two.
const HOST_MEMORY_MIB: u64 = 512 + 250;
/// Longest `up` of eight hosts on a busy machine.
const UP: Duration = Duration::from_secs(300);
/// Longest wait for hosts to agree.
const PATIENCE: Duration = Duration::from_secs(120);

/// One host's door, with a session.
struct Door {
    rpc: Rpc,
    session: Value,
    host: Value,
}

impl Door {
    fn open(address: SocketAddr, tls: Arc<rustls::ClientConfig>, password: &str) -> Self {
        let mut rpc = Rpc::new(address, tls);
        let login = [Value::from("root"), password.into(), "1.0".into(), "races".into()];
        let session = rpc.call("session.login_with_password", &login).expect("logs in");
        let host = rpc
            .call("session.get_this_host", &[session.clone(), session.clone()])
            .expect("a session knows its host");
        Self { rpc, session, host }
    }

    fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, Error> {
        let mut all = vec![self.session.clone()];
        all.extend_from_slice(params);
        self.rpc.call(method, &all)
    }

    fn ok(&mut self, method: &str, params: &[Value]) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn text(&mut self, method: &str, object: &Value) -> String {
        let value = self.ok(method, std::slice::from_ref(object));
        value.as_str().unwrap_or_default().to_owned()
    }

    fn vm(&mut self, label: &str) -> Value {
        let found = self.ok("VM.get_by_name_label", &["Other install media".into()]);
        let template = found.as_set().expect("a set").values()[0].clone();
        let vm = self.ok("VM.clone", &[template, label.into()]);
        self.ok("VM.provision", std::slice::from_ref(&vm));
        let memory = Value::from(VM_MEMORY);
        let limits = [vm.clone(), memory.clone(), memory.clone(), memory.clone(), memory];
        self.ok("VM.set_memory_limits", &limits);
        vm
    }
}

/// Makes one call through each host, all at the same moment.
fn at_once(
    doors: &mut [Door],
    method: &str,
    params: impl Fn(usize, &Door) -> Vec<Value>,
) -> Vec<Result<Value, Error>> {
    let start = Arc::new(Barrier::new(doors.len()));
    std::thread::scope(|scope| {
        let calls: Vec<_> = doors
            .iter_mut()
            .enumerate()
            .map(|(number, door)| {
                let (params, start) = (params(number, door), Arc::clone(&start));
                scope.spawn(move || {
                    start.wait();
                    door.call(method, &params)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().expect("the caller lives")).collect()
    })
}

/// QEMU processes inside each host.
fn guests(lab: &PoolLab) -> usize {
    (1..=HOSTS)
        .map(|host| {
            let host = format!("h{host}");
            let found = lab.try_run(&["exec", &host, "--", "pgrep", "-c", "qemu-system"]);
            found.ok().and_then(|text| text.trim().parse::<usize>().ok()).unwrap_or_default()
        })
        .sum()
}

/// Eight VMs started at once through eight hosts while one host has room for one: one runs, its memory is reserved, the
/// other seven are told that there is no host for them. The same VM started through all eight at once runs once.
#[test]
fn eight_hosts_racing_for_the_last_slot_and_for_one_vm_have_one_winner_each() {
    let lab = PoolLab::up_with(HOSTS, &["--memory-mib", &HOST_MEMORY_MIB.to_string()], UP);
    let status = lab.status();
    let password = status["password"].as_str().expect("a lab has a password").to_owned();
    let addresses = status["hosts"].as_array().expect("a lab has hosts").iter().map(|host| {
        let address = host["api"].as_str().expect("hosts have addresses");
        address.parse().expect("an address")
    });
    let mut doors: Vec<Door> = addresses.map(|at| Door::open(at, lab.tls(), &password)).collect();
    let vms: Vec<Value> = (0..doors.len()).map(|n| doors[0].vm(&format!("racer {n}"))).collect();
    // One slot is left: all hosts but one take no VMs. They still answer for the pool.
    for number in 1..doors.len() {
        let host = doors[number].host.clone();
        doors[0].ok("host.disable", &[host]);
    }
    let no = Value::from(false);
    let answers = at_once(&mut doors, "VM.start", |number, _| {
        vec![vms[number].clone(), no.clone(), no.clone()]
    });
    let winners: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(error.is("NO_HOSTS_AVAILABLE"), "{error}");
    }
    assert_eq!(guests(&lab), 1);
    let (winner, slot) = (vms[winners[0]].clone(), doors[0].host.clone());
    for door in &mut doors {
        until("the host to know the winner", PATIENCE, || {
            let power = door.text("VM.get_power_state", &winner);
            let on = door.ok("VM.get_resident_on", std::slice::from_ref(&winner));
            if power == "Running" && on == slot { Ok(()) } else { Err(format!("{power}, {on:?}")) }
        });
    }
    for vm in vms.iter().filter(|vm| **vm != winner) {
        assert_eq!(doors[0].text("VM.get_power_state", vm), "Halted");
    }
    // The reservation is the winner's alone: when it ends there is room for exactly one again.
    doors[0].ok("VM.hard_shutdown", std::slice::from_ref(&winner));
    let next = vms.iter().find(|vm| **vm != winner).expect("there were eight").clone();
    doors[7].ok("VM.start", &[next.clone(), no.clone(), no.clone()]);
    let refused = doors[3].call("VM.start", &[winner, no.clone(), no.clone()]);
    assert!(refused.as_ref().is_err_and(|e| e.is("NO_HOSTS_AVAILABLE")), "{refused:?}");
    doors[5].ok("VM.hard_shutdown", std::slice::from_ref(&next));

    // The same VM, through each host and to each host.
    for number in 1..doors.len() {
        let host = doors[number].host.clone();
        doors[0].ok("host.enable", &[host]);
    }
    let answers = at_once(&mut doors, "VM.start_on", |_, door| {
        vec![next.clone(), door.host.clone(), no.clone(), no.clone()]
    });
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let fair = error.is("VM_BAD_POWER_STATE") || error.is("OTHER_OPERATION_IN_PROGRESS");
        assert!(fair, "{error}");
    }
    assert_eq!(guests(&lab), 1);
    doors[0].ok("VM.hard_shutdown", &[next]);
    assert_eq!(guests(&lab), 0);
}
