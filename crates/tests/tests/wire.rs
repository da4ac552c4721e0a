//! The wire of one daemon: hostile input by the thousand, and large answers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::{Answer, Attack, Expected, Generator, HostileWire, OneHost, Wire};
use xenapi::{Error, Value, jsonrpc, xmlrpc};

/// Malformed requests in all.
const REQUESTS: usize = 10_000;
/// Of these, how many warm the daemon up: caches, allocator, thread stacks.
const WARM_UP: usize = 1_000;
/// Connections that attack at once.
const ATTACKERS: usize = 2;
/// What the resident memory may grow by after the warm-up, KiB. 0.2 MiB were measured; a leak of one small body per
/// request would show 2 MiB, and the allocator's holes under bodies of several MiB, if it were left alone, 12.
const TOLERANCE_KIB: u64 = 1 << 10;
/// What the allocator may keep of freed bodies: one of the largest that are taken.
const KEPT_KIB: u64 = 16 << 10;

/// What came back.
#[derive(Debug)]
enum Got {
    Answer(Answer),
    Hangup,
}

struct Attacker {
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    wire: Option<Wire>,
}

impl Attacker {
    fn send(&mut self, attack: &Attack) -> Got {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::connect(self.address, &self.tls).expect("the daemon takes connections"),
        };
        // A server that has heard enough may hang up while we still talk; its answer is there all the same.
        let sent = wire.send(&attack.bytes);
        if attack.then_finish {
            let _ = wire.finish_sending();
        }
        match wire.read() {
            Ok(answer) => {
                let whole = sent.is_ok() && !attack.then_finish && answer.status == 200;
                if whole && !answer.closes() {
                    self.wire = Some(wire);
                }
                Got::Answer(answer)
            }
            Err(error) if gone(&error) => Got::Hangup,
            Err(error) => panic!("{}: {error}\n{}", attack.kind, shown(&attack.bytes)),
        }
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn shown(bytes: &[u8]) -> String {
    let end = bytes.len().min(400);
    format!("{} bytes: {}", bytes.len(), String::from_utf8_lossy(&bytes[..end]))
}

/// What an answer says, or why it is none.
#[derive(Debug)]
enum Said {
    Success,
    Error(Error),
    Fault(i64),
}

fn read(wire: HostileWire, body: &[u8]) -> Result<Said, String> {
    match wire {
        HostileWire::Json => {
            let json: serde_json::Value =
                serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
            let code = json["error"]["code"].as_i64();
            if let Some(code) = code.filter(|c| *c < 0) {
                return Ok(Said::Fault(code));
            }
            match jsonrpc::decode_response(body) {
                Ok(Ok(_)) => Ok(Said::Success),
                Ok(Err(error)) => Ok(Said::Error(error)),
                Err(malformed) => Err(malformed.reason),
            }
        }
        HostileWire::Xml => match xmlrpc::decode_response(body) {
            Ok(Ok(_)) => Ok(Said::Success),
            Ok(Err(error)) if error.is("Fault") => {
                error.param(0).parse().map(Said::Fault).map_err(|_| "a fault without a code".into())
            }
            Ok(Err(error)) => Ok(Said::Error(error)),
            Err(malformed) => Err(malformed.reason),
        },
    }
}

/// Why the answer is not the one expected.
fn judge(attack: &Attack, got: &Got) -> Result<(), String> {
    let answer = match (&attack.expected, got) {
        (Expected::StatusOrHangup(_), Got::Hangup) => return Ok(()),
        (_, Got::Hangup) => return Err("the connection ended without an answer".into()),
        (Expected::StatusOrHangup(wanted) | Expected::Status(wanted), Got::Answer(answer)) => {
            let fits = wanted.contains(&answer.status);
            return if fits { Ok(()) } else { Err(format!("status {}", answer.status)) };
        }
        (_, Got::Answer(answer)) => answer,
    };
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let said = read(attack.wire, &answer.body)
        .map_err(|why| format!("not an answer ({why}): {}", shown(&answer.body)))?;
    if let Said::Error(error) = &said {
        if datamodel::error(&error.code).is_none() {
            return Err(format!("{error} is not in the catalogue"));
        }
        if error.is("INTERNAL_ERROR") {
            return Err(format!("{error}"));
        }
    }
    let fits = match (&attack.expected, &said) {
        (Expected::Error(codes), Said::Error(error)) => codes.contains(&&*error.code),
        (Expected::Fault(codes), Said::Fault(code)) => codes.contains(code),
        (Expected::WellFormed, _) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{said:?}")) }
}

fn attack(
    host: (SocketAddr, Arc<rustls::ClientConfig>),
    mut generator: Generator,
    count: usize,
) -> (Generator, BTreeMap<&'static str, usize>) {
    let mut attacker = Attacker { address: host.0, tls: host.1, wire: None };
    let mut kinds = BTreeMap::new();
    let mut wrong = Vec::new();
    for number in 0..count {
        let attack = if number % 1000 == 500 {
            generator.too_large_in_chunks(HostileWire::Json)
        } else {
            generator.next_attack()
        };
        let got = attacker.send(&attack);
        *kinds.entry(attack.kind).or_insert(0) += 1;
        if let Err(why) = judge(&attack, &got) {
            wrong.push(format!(
                "{} ({:?}): expected {:?}, got {why}\n{}",
                attack.kind,
                attack.wire,
                attack.expected,
                shown(&attack.bytes)
            ));
            assert!(wrong.len() < 40, "{}", wrong.join("\n\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    (generator, kinds)
}

fn seed() -> u64 {
    match std::env::var("HOLDFAST_SEED") {
        Ok(seed) => seed.parse().expect("HOLDFAST_SEED is a number"),
        Err(_) => 0x686f_6c64,
    }
}

#[expect(clippy::print_stdout, reason = "numbers of a run belong to its output")]
#[test]
fn ten_thousand_malformed_requests_get_the_right_refusals_and_cost_no_memory() {
    let seed = seed();
    println!("seed {seed} (HOLDFAST_SEED={seed} repeats it)");
    let mut host = OneHost::start();
    let session = host.login();
    let logged_out = host.login();
    let mut rpc = host.rpc();
    rpc.call("session.logout", &[logged_out.as_str().into()]).expect("logs out");
    let other = host.login();
    // The uuid of somebody's session is no secret, and opens nothing.
    let uuid = rpc
        .call("session.get_uuid", &[session.as_str().into(), other.as_str().into()])
        .expect("reads");
    let strangers = vec![
        logged_out,
        format!("OpaqueRef:{}", uuid.as_str().expect("a text")),
        uuid.as_str().expect("a text").to_owned(),
        "OpaqueRef:NULL".to_owned(),
        "root".to_owned(),
        "x".repeat(5000),
    ];
    let pool = match rpc.call("pool.get_all", &[session.as_str().into()]) {
        Ok(Value::Set(pools)) => pools[0].as_str().expect("a text").to_owned(),
        other => panic!("{other:?}"),
    };
    let mut generators: Vec<Generator> = (0..ATTACKERS)
        .map(|i| Generator::new(seed + i as u64, &session, &pool, strangers.clone()))
        .collect();

    // Bodies that take their time, while all that happens.
    let address = host.address();
    let tls = host.tls();
    let slow = std::thread::spawn({
        let body = generators[0].honest(HostileWire::Json);
        let tls = tls.clone();
        move || slow_bodies(address, &tls, &body)
    });
    let records = |rpc: &mut tests::Rpc| {
        let token = [Value::from(session.as_str())];
        ["VM", "VDI", "SR", "task", "host", "network", "PBD", "VBD", "VIF", "message"].map(
            |class| match rpc.call(&format!("{class}.get_all"), &token) {
                Ok(Value::Set(all)) => all.len(),
                other => panic!("{class}: {other:?}"),
            },
        )
    };
    let before = records(&mut rpc);

    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut memory = Vec::new();
    let start = Instant::now();
    for count in [WARM_UP; REQUESTS / WARM_UP] {
        let threads: Vec<_> = generators
            .into_iter()
            .map(|generator| {
                let host = (address, tls.clone());
                std::thread::spawn(move || attack(host, generator, count / ATTACKERS))
            })
            .collect();
        generators = Vec::new();
        for thread in threads {
            let (generator, seen) = thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
            generators.push(generator);
            for (kind, n) in seen {
                *kinds.entry(kind).or_insert(0) += n;
            }
        }
        host.assert_sound();
        memory.push(host.memory());
    }
    println!("{REQUESTS} requests in {:.1} s", start.elapsed().as_secs_f64());
    for (kind, n) in &kinds {
        println!("{n:6} {kind}");
    }
    for (round, memory) in memory.iter().enumerate() {
        println!(
            "after round {}: {} KiB of its own, {} KiB resident, peak {} KiB",
            round + 1,
            memory.own,
            memory.resident,
            memory.peak
        );
    }
    // A leak grows in every round. What grew in one round only is a freed body that the allocator keeps for the next one.
    let mut grown: Vec<u64> =
        memory.windows(2).map(|pair| pair[1].own.saturating_sub(pair[0].own)).collect();
    grown.sort_unstable();
    let steady = grown[grown.len() / 2] * grown.len() as u64;
    let (warm, end) = (memory[0].own, memory[memory.len() - 1].own);
    slow.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
    host.assert_sound();
    assert_eq!(records(&mut rpc), before, "objects were left behind");
    assert!(steady <= TOLERANCE_KIB, "grew by {steady} KiB, by round: {grown:?}");
    assert!(end <= warm + KEPT_KIB, "grew from {warm} KiB to {end} KiB");
}

/// One that comes byte by byte is answered; one that never ends is given up within the minute and a little.
fn slow_bodies(address: SocketAddr, tls: &Arc<rustls::ClientConfig>, body: &[u8]) {
    let head = |length: usize| {
        format!("POST /jsonrpc HTTP/1.1\r\nhost: pool\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut endless = Wire::connect(address, tls).expect("connects");
    endless.set_patience(Duration::from_secs(70)).expect("a timeout");
    endless.send(head(100).as_bytes()).expect("sends");
    endless.send(b"{").expect("sends");
    let mut dripping = Wire::connect(address, tls).expect("connects");
    dripping.send(head(body.len()).as_bytes()).expect("sends");
    for byte in body {
        dripping.send(&[*byte]).expect("the daemon waits for the rest");
    }
    let answer = dripping.read().expect("an answer");
    assert_eq!(answer.status, 200);
    let got = endless.read();
    match got {
        Ok(answer) => assert_eq!(answer.status, 408),
        Err(error) => assert!(gone(&error), "not given up: {error}"),
    }
}

/// VMs of a large pool.
const VMS: usize = 5_000;
/// Clients that make them.
const MAKERS: usize = 8;
/// Clients that read all of them at once.
const READERS: usize = 5;

fn text(words: &str) -> Value {
    Value::from(words)
}

/// As a tool would write a VM that somebody cares about.
fn vm(number: usize) -> Value {
    let map = |pairs: &[(&str, String)]| {
        Value::Struct(pairs.iter().map(|(k, v)| ((*k).into(), text(v))).collect())
    };
    let memory = || Value::Int(1 << 30);
    let members: Vec<(&str, Value)> = vec![
        ("name_label", text(&format!("vm {number} – Zoë's <\"&'>"))),
        ("name_description", text("one of many\nin two lines")),
        ("user_version", Value::Int(1)),
        ("is_a_template", Value::Bool(false)),
        ("affinity", text("OpaqueRef:NULL")),
        ("memory_static_max", memory()),
        ("memory_dynamic_max", memory()),
        ("memory_dynamic_min", memory()),
        ("memory_static_min", memory()),
        ("VCPUs_params", map(&[])),
        ("VCPUs_max", Value::Int(4)),
        ("VCPUs_at_startup", Value::Int(2)),
        ("actions_after_shutdown", text("destroy")),
        ("actions_after_reboot", text("restart")),
        ("actions_after_crash", text("restart")),
        ("PV_bootloader", text("")),
        ("PV_kernel", text("")),
        ("PV_ramdisk", text("")),
        ("PV_args", text("")),
        ("PV_bootloader_args", text("")),
        ("PV_legacy_args", text("")),
        ("HVM_boot_policy", text("BIOS order")),
        ("HVM_boot_params", map(&[("order", "cdn".into()), ("firmware", "uefi".into())])),
        ("platform", map(&[("nx", "true".into()), ("acpi", "1".into()), ("apic", "true".into())])),
        ("PCI_bus", text("")),
        ("other_config", map(&[("number", number.to_string()), ("owner", "somebody".into())])),
        (
            "recommendations",
            text("<restrictions><restriction field=\"memory-static-max\"/></restrictions>"),
        ),
    ];
    Value::Struct(members.into_iter().map(|(k, v)| (k.into(), v)).collect())
}

fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.member(name).unwrap_or_else(|| panic!("no {name} in it"))
}

#[expect(clippy::print_stdout, reason = "numbers of a run belong to its output")]
#[test]
fn five_thousand_vms_are_read_whole_over_both_protocols() {
    let mut host = OneHost::start();
    let session = host.login();
    let token = || text(&session);
    let count = |rpc: &mut tests::Rpc| match rpc.call("VM.get_all", &[token()]) {
        Ok(Value::Set(all)) => all.len(),
        other => panic!("{other:?}"),
    };
    let before = count(&mut host.rpc());
    let empty = host.memory();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for maker in 0..MAKERS {
            let mut rpc = host.rpc();
            let token = token();
            scope.spawn(move || {
                for number in (maker..VMS).step_by(MAKERS) {
                    rpc.call("VM.create", &[token.clone(), vm(number)]).expect("a VM is made");
                }
            });
        }
    });
    println!("made {VMS} VMs in {:.1} s", start.elapsed().as_secs_f64());
    let all = before + VMS;
    let resting = host.memory();
    println!("resident: {} KiB empty, {} KiB with {all} VMs", empty.resident, resting.resident);

    for xml in [false, true] {
        let connect = || if xml { host.rpc().in_xml() } else { host.rpc() };
        let mut rpc = connect();
        let name = if xml { "XML-RPC" } else { "JSON-RPC" };
        assert_eq!(count(&mut rpc), all);
        let start = Instant::now();
        let body = rpc.raw("VM.get_all_records", &[token()]);
        println!("{name}: {} bytes in {:.2} s", body.len(), start.elapsed().as_secs_f64());
        let decoded = if xml {
            xmlrpc::decode_response(&body).map_err(|m| m.reason)
        } else {
            jsonrpc::decode_response(&body).map_err(|m| m.reason)
        };
        let Value::Struct(records) = decoded.expect("an answer").expect("a success") else {
            panic!("{name}: not a map");
        };
        assert_eq!(records.len(), all, "{name}");
        // Every 97th, and with it every kind: templates are among them.
        for (reference, record) in records.iter().step_by(97) {
            let alone = rpc.call("VM.get_record", &[token(), text(reference)]).expect("reads");
            assert_eq!(*record, alone, "{name}: {reference}");
            assert_eq!(reference.strip_prefix("OpaqueRef:"), member(record, "uuid").as_str());
        }
        let labels: std::collections::BTreeSet<&str> =
            records.iter().filter_map(|(_, r)| member(r, "name_label").as_str()).collect();
        for number in [0, 1, VMS / 2, VMS - 1] {
            assert!(labels.contains(format!("vm {number} – Zoë's <\"&'>").as_str()), "{name}");
        }

        host.forget_peak();
        let resting = host.memory();
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                let mut rpc = connect();
                let token = token();
                let expected = body.len();
                scope.spawn(move || {
                    let body = rpc.raw("VM.get_all_records", &[token]);
                    assert_eq!(body.len(), expected);
                });
            }
        });
        let peak = host.memory().peak;
        println!(
            "{name}: {READERS} at once: {} KiB resting, {peak} KiB at the peak",
            resting.resident
        );
    }
    host.assert_sound();
}
