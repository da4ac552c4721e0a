//! What repairing a storage repository does on each host: which attachments are missing, what is put there, what can't be.
//!
//! The same [`Plan`] is printed by a dry run and performed by the real one (S1-32). A missing or unplugged attachment gets
//! the device-config that was given, or its own, or that of an attachment that works. What is plugged is never touched:
//! guests may have disks open there.

use std::collections::BTreeMap;

use uuid::Uuid;

/// What a driver needs to reach storage.
pub type Config = BTreeMap<String, String>;

/// The attachment of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pbd {
    /// Its PBD.
    pub pbd: Uuid,
    /// It is plugged.
    pub attached: bool,
    /// How it is reached.
    pub config: Config,
}

/// One host of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// Why it can do nothing now.
    pub away: Option<String>,
    /// Its attachment.
    pub pbd: Option<Pbd>,
}

/// Everything that the plan is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The repository.
    pub sr: Uuid,
    /// Its label.
    pub label: String,
    /// Several hosts may attach it.
    pub shared: bool,
    /// All hosts of the pool.
    pub hosts: Vec<HostFacts>,
    /// Only these are repaired; empty: all that should have it.
    pub only: Vec<Uuid>,
    /// The device-config for them; empty: find one.
    pub given: Config,
}

/// What is done on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is plugged.
    Nothing,
    /// Make a PBD with that device-config.
    Make(Config),
    /// Give the PBD that device-config.
    Change(Uuid, Config),
    /// The PBD is as it should be.
    Keep(Uuid),
}

/// One host's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub label: String,
    /// What is done to its record, before it is plugged.
    pub action: Action,
    /// In words.
    pub text: String,
    /// Why it will not be plugged now; with what to do.
    pub blocked: Option<String>,
}

impl Step {
    /// Whether the host is to plug it.
    pub fn plugs(&self) -> bool {
        self.action != Action::Nothing && self.blocked.is_none()
    }
}

/// What will be done, host by host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// By the hosts' labels.
    pub steps: Vec<Step>,
}

/// Plans the repair.
///
/// # Errors
/// In words, with the next command: nothing says which hosts should have it, or how it is reached.
pub fn plan(facts: &Facts) -> Result<Plan, String> {
    let name = format!("repository '{}' ({})", facts.label, facts.sr);
    let mut hosts: Vec<&HostFacts> = facts.hosts.iter().filter(|h| is_meant(facts, h)).collect();
    hosts.sort_by(|a, b| (&a.label, a.host).cmp(&(&b.label, b.host)));
    if hosts.is_empty() {
        return Err(format!(
            "{name} is not shared and no host has an attachment to it: name its host: \
             xe sr-repair uuid={} host-uuid=HOST device-config:KEY=VALUE",
            facts.sr
        ));
    }
    let found = template(facts);
    let mut steps = Vec::new();
    for host in hosts {
        let wanted = if facts.given.is_empty() { found.as_ref() } else { None };
        let step = match (&host.pbd, facts.given.is_empty()) {
            (Some(pbd), true) => standing(host, pbd),
            (Some(pbd), false) => given(host, pbd, &facts.given),
            (None, false) => {
                let text = format!(
                    "make the PBD with the given device-config ({}), plug it",
                    shown(&facts.given)
                );
                new_step(host, Action::Make(facts.given.clone()), text)
            }
            (None, true) => {
                let Some((from, config)) = wanted else {
                    return Err(format!(
                        "no host has an attachment to {name} that shows how it is reached: \
                         xe sr-repair uuid={} device-config:KEY=VALUE",
                        facts.sr
                    ));
                };
                let text =
                    format!("make the PBD as host '{from}' has it ({}), plug it", shown(config));
                new_step(host, Action::Make(config.clone()), text)
            }
        };
        steps.push(only_one(facts, host, step));
    }
    Ok(Plan { steps })
}

fn is_meant(facts: &Facts, host: &HostFacts) -> bool {
    if facts.only.is_empty() {
        facts.shared || host.pbd.is_some()
    } else {
        facts.only.contains(&host.host)
    }
}

/// The attachment to copy: a plugged one of a host that is there, else a plugged one, else any.
fn template(facts: &Facts) -> Option<(String, Config)> {
    let rank = |h: &HostFacts| {
        let attached = h.pbd.as_ref().is_some_and(|p| p.attached);
        (!attached, h.away.is_some(), h.label.clone())
    };
    let mut having: Vec<&HostFacts> = facts.hosts.iter().filter(|h| h.pbd.is_some()).collect();
    having.sort_by_key(|h| rank(h));
    having.first().and_then(|h| Some((h.label.clone(), h.pbd.as_ref()?.config.clone())))
}

fn new_step(host: &HostFacts, action: Action, text: String) -> Step {
    let blocked = host
        .away
        .as_ref()
        .filter(|_| action != Action::Nothing)
        .map(|why| format!("{why}; its PBD is recorded now and is plugged when it comes back"));
    Step { host: host.host, label: host.label.clone(), action, text, blocked }
}

fn standing(host: &HostFacts, pbd: &Pbd) -> Step {
    if pbd.attached {
        return new_step(host, Action::Nothing, "is plugged".to_owned());
    }
    let text = format!("plug PBD {} ({})", pbd.pbd, shown(&pbd.config));
    new_step(host, Action::Keep(pbd.pbd), text)
}

fn given(host: &HostFacts, pbd: &Pbd, given: &Config) -> Step {
    if pbd.config == *given {
        return standing(host, pbd);
    }
    if pbd.attached {
        let mut step = new_step(
            host,
            Action::Nothing,
            format!("is plugged with another device-config ({})", shown(&pbd.config)),
        );
        step.blocked = Some(format!(
            "it is plugged with another device-config, which is left; first: xe pbd-unplug uuid={}",
            pbd.pbd
        ));
        return step;
    }
    let text = format!(
        "change PBD {} from ({}) to ({}), plug it",
        pbd.pbd,
        shown(&pbd.config),
        shown(given)
    );
    new_step(host, Action::Change(pbd.pbd, given.clone()), text)
}

/// What is not shared is attached to one host only.
fn only_one(facts: &Facts, host: &HostFacts, mut step: Step) -> Step {
    if facts.shared || step.action == Action::Nothing {
        return step;
    }
    let other = facts.hosts.iter().find(|h| h.host != host.host && h.pbd.is_some());
    let named_before = facts.only.iter().position(|h| *h == host.host) > Some(0);
    if other.is_some() || named_before {
        let who = other.map_or_else(String::new, |h| format!(", and host '{}' has it", h.label));
        step.action = Action::Nothing;
        step.text = "is left".to_owned();
        step.blocked = Some(format!("the repository is not shared{who}"));
    }
    step
}

/// A device-config for people: what may be a secret is not shown.
fn shown(config: &Config) -> String {
    let hidden = |key: &str| {
        let key = key.to_lowercase();
        ["pass", "secret", "chap"].iter().any(|word| key.contains(word))
    };
    let pairs: Vec<String> = config
        .iter()
        .map(|(k, v)| if hidden(k) { format!("{k}=...") } else { format!("{k}={v}") })
        .collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(location: &str) -> Config {
        Config::from([("location".to_owned(), location.to_owned())])
    }

    /// `h1`: plugged at /a; `h2`: no attachment; `h3`: unplugged at /old, dead.
    fn pool() -> Facts {
        let pbd = |n, attached, at: &str| {
            Some(Pbd { pbd: Uuid::from_u128(n), attached, config: config(at) })
        };
        let host = |n, away: Option<&str>, pbd| HostFacts {
            host: Uuid::from_u128(n),
            label: format!("h{n}"),
            away: away.map(str::to_owned),
            pbd,
        };
        Facts {
            sr: Uuid::from_u128(9),
            label: "shared".to_owned(),
            shared: true,
            hosts: vec![
                host(3, Some("host 'h3' is dead"), pbd(0x13, false, "/old")),
                host(2, None, None),
                host(1, None, pbd(0x11, true, "/a")),
            ],
            only: vec![],
            given: Config::new(),
        }
    }

    fn actions(facts: &Facts) -> Vec<(String, Action, bool)> {
        let plan = plan(facts).expect("a plan");
        plan.steps.into_iter().map(|s| (s.label.clone(), s.action.clone(), s.plugs())).collect()
    }

    #[test]
    fn a_missing_attachment_is_copied_from_one_that_works() {
        assert_eq!(
            actions(&pool()),
            [
                ("h1".to_owned(), Action::Nothing, false),
                ("h2".to_owned(), Action::Make(config("/a")), true),
                ("h3".to_owned(), Action::Keep(Uuid::from_u128(0x13)), false),
            ]
        );
        let steps = plan(&pool()).expect("a plan").steps;
        assert_eq!(steps[1].text, "make the PBD as host 'h1' has it (location=/a), plug it");
        assert!(steps[2].blocked.as_deref().is_some_and(|b| b.starts_with("host 'h3' is dead;")));
    }

    #[test]
    fn a_given_map_changes_what_is_unplugged_and_leaves_what_is_plugged() {
        let facts = Facts { given: config("/new"), ..pool() };
        let steps = plan(&facts).expect("a plan").steps;
        assert_eq!(steps[0].action, Action::Nothing);
        assert!(steps[0].blocked.as_deref().is_some_and(|b| b.contains("xe pbd-unplug uuid=")));
        assert_eq!(steps[1].action, Action::Make(config("/new")));
        assert_eq!(steps[2].action, Action::Change(Uuid::from_u128(0x13), config("/new")));
        let one = Facts { only: vec![Uuid::from_u128(2)], ..facts };
        assert_eq!(actions(&one), [("h2".to_owned(), Action::Make(config("/new")), true)]);
    }

    #[test]
    fn what_can_t_be_guessed_is_asked_for_by_the_next_command() {
        let mut facts = pool();
        for host in &mut facts.hosts {
            host.pbd = None;
        }
        let why = plan(&facts).expect_err("nothing to copy");
        assert!(why.contains("repository 'shared'") && why.contains("device-config:"), "{why}");
        facts.shared = false;
        let why = plan(&facts).expect_err("no host is meant");
        assert!(why.contains("host-uuid=HOST"), "{why}");
    }

    #[test]
    fn what_is_not_shared_stays_with_one_host() {
        let mut facts = Facts { shared: false, ..pool() };
        assert_eq!(actions(&facts).len(), 2, "only hosts that have an attachment are meant");
        facts.only = vec![Uuid::from_u128(2)];
        let steps = plan(&facts).expect("a plan").steps;
        assert_eq!(steps[0].action, Action::Nothing);
        assert_eq!(
            steps[0].blocked.as_deref(),
            Some("the repository is not shared, and host 'h3' has it")
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = Config::from([
            ("chappassword".to_owned(), "hunter2".to_owned()),
            ("target".to_owned(), "10.0.0.1".to_owned()),
        ]);
        assert_eq!(shown(&config), "chappassword=... target=10.0.0.1");
    }
}
