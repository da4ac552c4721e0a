//! Where a VM may run, and which of the fit hosts is best.
//!
//! Order of preference: the VM's affinity, then the host with most memory left, then the smaller uuid, so that the same
//! facts always give the same answer. The commit that follows guards the target's reservation, so eight hosts racing
//! for the last slot end with one winner (design.md section 4).

use uuid::Uuid;

use crate::refusal::{Refusal, Unfit};

/// What placement needs to know of a host.
#[derive(Debug, Clone)]
pub struct HostView {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// Known to be alive.
    pub live: bool,
    /// Takes VMs.
    pub enabled: bool,
    /// Free memory after reservations, bytes.
    pub memory_free: i64,
    /// Processors.
    pub cpus: i64,
    /// Repositories plugged there.
    pub srs: Vec<Uuid>,
    /// Networks present there.
    pub networks: Vec<Uuid>,
}

/// What placement needs to know of a VM.
#[derive(Debug, Clone)]
pub struct VmNeeds {
    /// The VM.
    pub vm: Uuid,
    /// Memory it takes, bytes, overhead included.
    pub memory: i64,
    /// Virtual processors.
    pub vcpus: i64,
    /// Repositories of its disks.
    pub srs: Vec<Uuid>,
    /// Networks of its interfaces.
    pub networks: Vec<Uuid>,
    /// Preferred host.
    pub affinity: Option<Uuid>,
}

/// A chosen host and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The host.
    pub host: Uuid,
    /// One line for logs and `xe`.
    pub why: String,
}

/// Whether `host` can take the VM.
///
/// # Errors
/// The first thing that is missing.
pub fn fits(host: &HostView, vm: &VmNeeds) -> Result<(), Unfit> {
    if !host.live {
        return Err(Unfit::NotLive);
    }
    if !host.enabled {
        return Err(Unfit::Disabled);
    }
    if let Some(sr) = vm.srs.iter().find(|sr| !host.srs.contains(sr)) {
        return Err(Unfit::Sr { sr: *sr });
    }
    if let Some(network) = vm.networks.iter().find(|n| !host.networks.contains(n)) {
        return Err(Unfit::Network { network: *network });
    }
    if vm.vcpus > host.cpus.saturating_mul(VCPUS_PER_CPU) {
        return Err(Unfit::Cpus { needed: vm.vcpus, present: host.cpus });
    }
    if vm.memory > host.memory_free {
        return Err(Unfit::Memory { needed: vm.memory, free: host.memory_free });
    }
    Ok(())
}

/// Virtual processors of one VM per processor of the host that are tolerated before a host counts as too small.
pub const VCPUS_PER_CPU: i64 = 8;

/// Chooses a host for `vm`; `only` restricts the choice to one.
///
/// # Errors
/// [`Refusal::Unfit`] for the named host, [`Refusal::NoHost`] with a reason for each host otherwise.
pub fn choose(hosts: &[HostView], vm: &VmNeeds, only: Option<Uuid>) -> Result<Choice, Refusal> {
    if let Some(wanted) = only {
        let unfit = |why| Refusal::Unfit { vm: vm.vm, host: wanted, why };
        let host = hosts.iter().find(|h| h.host == wanted).ok_or(unfit(Unfit::NotLive))?;
        fits(host, vm).map_err(unfit)?;
        return Ok(Choice { host: wanted, why: format!("{} was asked for", host.label) });
    }
    let mut reasons = Vec::new();
    let mut best: Option<&HostView> = None;
    for host in hosts {
        match fits(host, vm) {
            Ok(()) => {
                let better = |b: &HostView| {
                    let key = |h: &HostView| {
                        (vm.affinity == Some(h.host), h.memory_free, std::cmp::Reverse(h.host))
                    };
                    key(host) > key(b)
                };
                if best.is_none_or(better) {
                    best = Some(host);
                }
            }
            Err(why) => reasons.push((host.host, why)),
        }
    }
    let Some(best) = best else { return Err(Refusal::NoHost { vm: vm.vm, reasons }) };
    let left = (best.memory_free - vm.memory) >> 20;
    let why = if vm.affinity == Some(best.host) {
        format!("{} is the VM's affinity, {left} MiB left", best.label)
    } else {
        format!("{} has most room, {left} MiB left", best.label)
    };
    Ok(Choice { host: best.host, why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(n: u128, free_mib: i64) -> HostView {
        HostView {
            host: Uuid::from_u128(n),
            label: format!("h{n}"),
            live: true,
            enabled: true,
            memory_free: free_mib << 20,
            cpus: 4,
            srs: vec![Uuid::from_u128(100)],
            networks: vec![],
        }
    }

    fn vm(memory_mib: i64) -> VmNeeds {
        VmNeeds {
            vm: Uuid::from_u128(50),
            memory: memory_mib << 20,
            vcpus: 1,
            srs: vec![Uuid::from_u128(100)],
            networks: vec![],
            affinity: None,
        }
    }

    #[test]
    fn the_host_with_most_room_is_chosen() {
        let choice = choose(&[host(1, 500), host(2, 900)], &vm(256), None).expect("fits");
        assert_eq!(choice.host, Uuid::from_u128(2));
    }

    #[test]
    fn start_is_refused_when_the_sr_is_unplugged() {
        let bare = HostView { srs: vec![], ..host(1, 900) };
        let refusal = choose(&[bare], &vm(256), None).expect_err("no host");
        assert_eq!(
            refusal,
            Refusal::NoHost {
                vm: Uuid::from_u128(50),
                reasons: vec![(Uuid::from_u128(1), Unfit::Sr { sr: Uuid::from_u128(100) })]
            }
        );
    }

    #[test]
    fn affinity_wins_over_room_but_not_over_fitness() {
        let vm = VmNeeds { affinity: Some(Uuid::from_u128(1)), ..vm(256) };
        let choice = choose(&[host(1, 300), host(2, 900)], &vm, None).expect("fits");
        assert_eq!(choice.host, Uuid::from_u128(1));
        let choice = choose(&[host(1, 100), host(2, 900)], &vm, None).expect("fits");
        assert_eq!(choice.host, Uuid::from_u128(2));
    }

    proptest! {
        #[test]
        fn a_chosen_host_always_fits(
            free in proptest::collection::vec(0i64..2000, 1..8),
            live in proptest::collection::vec(any::<bool>(), 8),
            memory in 1i64..2000,
        ) {
            let hosts: Vec<_> = free
                .iter()
                .enumerate()
                .map(|(i, f)| HostView { live: live[i], ..host(i as u128 + 1, *f) })
                .collect();
            match choose(&hosts, &vm(memory), None) {
                Ok(choice) => {
                    let host = hosts.iter().find(|h| h.host == choice.host).expect("known");
                    prop_assert!(host.live && host.memory_free >= memory << 20);
                }
                Err(_) => prop_assert!(
                    hosts.iter().all(|h| !h.live || h.memory_free < memory << 20)
                ),
            }
        }
    }
}
