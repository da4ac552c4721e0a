//! High availability's decisions alone, in a pool of 64 hosts and 2,000 VMs: a whole plan of restarts, and the check before
//! a VM's start. The limits are stated; there is no peer whose planner can be asked without its pool.

use std::time::Duration;

use planner::ha::{
    Effort, Ended, Host, Limits, Pool, Priority, Run, Standing, Tries, Verdict, Vm, admit, largest,
    restarts, tolerates,
};
use uuid::Uuid;

use crate::clock::monotonic_s;
use crate::report::{Report, median};

/// What is reported, in order.
pub(crate) const METRICS: [&str; 4] = [
    "restart-plan-64-hosts-2000-vms-ms",
    "restart-plan-8-of-64-hosts-lost-ms",
    "admission-1-failure-ms",
    "admission-3-failures-ms",
];
const HOSTS: u128 = 64;
const VMS: u128 = 2000;
const PLAN_MS: f64 = 50.0;
const ADMISSION_MS: f64 = 5.0;
const ROUNDS: usize = 21;
const GIB: i64 = 1 << 30;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let rounds = report.rounds.unwrap_or(ROUNDS);
    // Everything at once: every VM of the pool is down, as after the loss of all power.
    let all_down =
        pool(512, |vm| Vm { run: Run::Down(Ended::seen("the pool's power was lost")), ..vm });
    let limits = Limits { per_host: 64, per_pool: 4000, ..Limits::default() };
    let mut placed = 0;
    let whole = timed(rounds, || {
        let plan = restarts(&all_down, &limits, None);
        placed = plan.starts.len() + plan.waits.len();
    });
    anyhow::ensure!(placed == 2000, "{placed} of 2000 VMs have a place");
    report.absolute("ha", METRICS[0], whole, PLAN_MS, rounds);
    let running = pool(512, |vm| vm);
    let mut eight = running.clone();
    for host in eight.hosts.iter_mut().take(8) {
        host.standing = Standing::Gone;
    }
    let gone: Vec<Uuid> = eight.hosts.iter().take(8).map(|h| h.host).collect();
    for vm in &mut eight.vms {
        if matches!(vm.run, Run::On { host, .. } if gone.contains(&host)) {
            vm.run = Run::Down(Ended::seen("its host is fenced"));
        }
    }
    let some = timed(rounds, || drop(restarts(&eight, &limits, None)));
    report.absolute("ha", METRICS[1], some, PLAN_MS, rounds);
    for (metric, failures) in [(METRICS[2], 1), (METRICS[3], 3)] {
        let after = running.with(vm(9999), Some(running.hosts[5].host));
        anyhow::ensure!(admit(&running, &after, failures).is_ok(), "it fits");
        let check = timed(rounds, || {
            let after = running.with(vm(9999), Some(running.hosts[5].host));
            let _ = admit(&running, &after, failures);
        });
        report.absolute("ha", metric, check, ADMISSION_MS, rounds);
    }
    // So full that counting shows nothing and every way to fail is tried: no limit, since it is rare.
    let full = pool(FULL_GIB, |vm| vm);
    let verdict = tolerates(&full, 2, Effort::QUESTION);
    let tried = timed(rounds, || drop(tolerates(&full, 2, Effort::QUESTION)));
    let word = match verdict {
        Verdict::Holds(how) => format!("{how:?}"),
        Verdict::Refuted(_) => "refuted".to_owned(),
        Verdict::NotShown(_) => "not shown".to_owned(),
    };
    let (most, _) = largest(&running, Effort::QUESTION);
    report.note(&format!(
        "survives {most} failures; two failures of a nearly full pool: {word}, {tried:.1} ms"
    ));
    Ok(())
}

/// Memory of each host of the nearly full pool, GiB.
const FULL_GIB: i64 = 150;

fn timed(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut samples: Vec<f64> = (0..rounds)
        .map(|_| {
            let begun = monotonic_s();
            work();
            (monotonic_s() - begun) * 1000.0
        })
        .collect();
    median(&mut samples)
}

fn vm(n: u128) -> Vm {
    // From 1 to 8 GiB, as mixed as pools are.
    let gib = 1 + i64::try_from(n * 7 % 8).unwrap_or(0);
    Vm {
        vm: Uuid::from_u128(100_000 + n),
        label: format!("vm{n}"),
        priority: match n % 10 {
            0 => Priority::None,
            1 => Priority::BestEffort,
            _ => Priority::Restart,
        },
        order: i64::try_from(n % 5).unwrap_or(0),
        start_delay: Duration::ZERO,
        shutdown_delay: Duration::ZERO,
        memory: gib * GIB,
        memory_min: gib * GIB / 2,
        vcpus: 2,
        srs: vec![Uuid::from_u128(1 + n % 3)],
        networks: vec![Uuid::from_u128(11)],
        affinity: None,
        run: Run::Off,
        tries: Tries::default(),
    }
}

fn pool(host_gib: i64, change: impl Fn(Vm) -> Vm) -> Pool {
    let hosts = (0..HOSTS).map(|n| Host {
        host: Uuid::from_u128(1000 + n),
        label: format!("h{n}"),
        standing: Standing::Serving,
        memory: host_gib * GIB,
        cpus: 64,
        srs: (1..=3).map(Uuid::from_u128).collect(),
        networks: vec![Uuid::from_u128(11)],
    });
    let vms = (0..VMS).map(|n| {
        let vm = vm(n);
        let run = Run::On { host: Uuid::from_u128(1000 + n / 8 % HOSTS), memory: vm.memory };
        change(Vm { run, priority: Priority::Restart, ..vm })
    });
    Pool { hosts: hosts.collect(), vms: vms.collect(), rules: vec![], shrink: false }
}
