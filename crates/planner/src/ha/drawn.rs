//! Pools for tests: a few words each, or drawn at random.

use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    Ended, Host, LostOn, Pool, Priority, Rule, RuleKind, Run, Standing, Tries, Unproven, Vm,
};
use crate::fence::Proof;

pub(super) const GIB: i64 = 1 << 30;

/// A shared repository that every host has.
const SHARED: Uuid = Uuid::from_u128(100);

pub(super) fn host(n: u128, gib: i64) -> Host {
    Host {
        host: Uuid::from_u128(n),
        label: format!("h{n}"),
        standing: Standing::Serving,
        memory: gib * GIB,
        cpus: 16,
        srs: vec![SHARED],
        networks: vec![],
    }
}

pub(super) fn vm(n: u128, gib: i64) -> Vm {
    Vm {
        vm: Uuid::from_u128(n),
        label: format!("v{n}"),
        priority: Priority::Restart,
        order: 0,
        start_delay: Duration::ZERO,
        shutdown_delay: Duration::ZERO,
        memory: gib * GIB,
        memory_min: gib * GIB,
        vcpus: 1,
        srs: vec![SHARED],
        networks: vec![],
        affinity: None,
        run: Run::Off,
        tries: Tries::default(),
    }
}

pub(super) fn on(vm: Vm, host: u128) -> Vm {
    Vm { run: Run::On { host: Uuid::from_u128(host), memory: vm.memory }, ..vm }
}

pub(super) fn down(vm: Vm) -> Vm {
    Vm { run: Run::Down(Ended::seen("its host saw it end")), ..vm }
}

pub(super) fn fenced() -> Proof {
    Proof::PowerOff { device: "fence_ipmilan".to_owned(), reads: 2 }
}

pub(super) fn lost(host: u128, evidence: Result<Proof, Unproven>) -> Run {
    let boot = "boot".to_owned();
    Run::Lost(vec![LostOn {
        host: Uuid::from_u128(host),
        label: format!("h{host}"),
        boot,
        evidence,
    }])
}

pub(super) fn rule(name: &str, kind: RuleKind, strict: bool, vms: &[u128]) -> Rule {
    let vms = vms.iter().map(|n| Uuid::from_u128(*n)).collect();
    Rule { name: name.to_owned(), kind, strict, vms }
}

pub(super) fn pool(
    hosts: impl IntoIterator<Item = Host>,
    vms: impl IntoIterator<Item = Vm>,
) -> Pool {
    Pool {
        hosts: hosts.into_iter().collect(),
        vms: vms.into_iter().collect(),
        rules: vec![],
        shrink: false,
    }
}

/// Pools of up to so many hosts and VMs, quite full, some VMs unprotected, some hosts without the repository of some VMs.
pub(super) fn pools(hosts: usize, vms: usize) -> impl Strategy<Value = Pool> {
    let host = (4i64..40, 0u8..12);
    let vm = (1i64..14, 0u8..8, 0usize..hosts, 0u8..10);
    (proptest::collection::vec(host, 2..=hosts), proptest::collection::vec(vm, 0..=vms)).prop_map(
        |(hosts, vms)| {
            let special = Uuid::from_u128(101);
            let mut drawn = pool(
                hosts.iter().enumerate().map(|(at, (gib, odd))| {
                    let mut one = host_of(at, *gib);
                    if *odd > 2 {
                        one.srs.push(special);
                    }
                    if *odd == 1 {
                        one.standing = Standing::Disabled;
                    }
                    one
                }),
                [],
            );
            let mut used = vec![0; drawn.hosts.len()];
            for (at, (gib, class, wish, odd)) in vms.iter().enumerate() {
                let mut one = super::drawn::vm(1000 + at as u128, *gib);
                one.priority = match class {
                    0 => Priority::None,
                    1 => Priority::BestEffort,
                    _ => Priority::Restart,
                };
                one.memory_min = one.memory / 2;
                if *odd == 0 {
                    one.srs.push(special);
                }
                let host = wish % drawn.hosts.len();
                let room = drawn.hosts[host].memory - used[host];
                if room < one.memory {
                    continue;
                }
                used[host] += one.memory;
                drawn.vms.push(on(one, host as u128 + 1));
            }
            drawn
        },
    )
}

fn host_of(at: usize, gib: i64) -> Host {
    host(at as u128 + 1, gib)
}

/// That many hosts that live.
pub(super) fn some_hosts(pool: &Pool, count: usize, pick: u64) -> Vec<Uuid> {
    let mut live: Vec<Uuid> =
        pool.hosts.iter().filter(|h| h.standing != Standing::Gone).map(|h| h.host).collect();
    let mut pick = pick;
    let mut failed = Vec::new();
    while failed.len() < count && !live.is_empty() {
        pick = pick.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from((pick >> 33) % live.len() as u64).unwrap_or(0);
        failed.push(live.remove(at));
    }
    failed
}

/// The pool after those hosts failed and were fenced.
pub(super) fn fail(pool: &Pool, failed: &[Uuid]) -> Pool {
    let mut after = pool.clone();
    for host in after.hosts.iter_mut().filter(|h| failed.contains(&h.host)) {
        host.standing = Standing::Gone;
    }
    for vm in &mut after.vms {
        if let Run::On { host, .. } = vm.run
            && failed.contains(&host)
        {
            vm.run = lost(host.as_u128(), Ok(fenced()));
        }
    }
    after
}
