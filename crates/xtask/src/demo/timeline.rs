//! From what was seen to what is said: the timeline of a power cut, and whether everything held. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lab::{Guest, Host};

/// Longest time a guest's disk counter may stand still on a survivor.
pub(super) const GUEST_GAP_MAX: Duration = Duration::from_millis(1000);

/// One command that was run against a survivor. Times are since the start of watching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) host: String,
    pub(super) started: Duration,
    pub(super) ended: Duration,
    pub(super) what: Answer,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The API answered a read: who is coordinator.
    Coordinator(String),
    /// The API accepted and committed a write.
    Written,
    /// It failed.
    Failed(String),
}

/// One answer of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) mac: String,
    pub(super) at: Duration,
    pub(super) boot: String,
    pub(super) seq: u64,
    pub(super) foreign: u64,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// When the cut was ordered.
    pub(super) cut: Option<Duration>,
    /// The coordinator's uuid before the cut.
    pub(super) coordinator_before: String,
    /// When a survivor's daemon first said that it suspects the coordinator, and which.
    pub(super) suspected: Option<(Duration, String)>,
    pub(super) samples: Vec<Sample>,
    pub(super) counts: Vec<Count>,
    /// When watching ended.
    pub(super) end: Duration,
}

impl Seen {
    /// Samples begun after the cut.
    fn later(&self) -> impl Iterator<Item = &Sample> {
        let cut = self.cut.unwrap_or(Duration::MAX);
        self.samples.iter().filter(move |s| s.started >= cut)
    }

    fn first<'a>(&'a self, mut is: impl FnMut(&Sample) -> bool + 'a) -> Option<&'a Sample> {
        self.later().filter(move |s| is(s)).min_by_key(|s| s.ended)
    }

    /// Whether all that is waited for has been seen: every survivor names a new coordinator and accepted a write.
    pub(super) fn recovered(&self, survivors: &[Host]) -> bool {
        survivors.iter().all(|host| {
            self.first(|s| s.host == host.name && self.names_new(s)).is_some()
                && self.first(|s| s.host == host.name && s.what == Answer::Written).is_some()
        })
    }

    fn names_new(&self, sample: &Sample) -> bool {
        matches!(&sample.what, Answer::Coordinator(uuid) if !uuid.is_empty() && *uuid != self.coordinator_before)
    }

    /// The longest time in which no read of this survivor ended well, from the cut to the end of watching.
    fn read_silence(&self, host: &str) -> Option<Duration> {
        let mut last = self.cut?;
        let mut longest = Duration::ZERO;
        let mut ends: Vec<_> = self
            .samples
            .iter()
            .filter(|s| s.host == host && matches!(s.what, Answer::Coordinator(_)))
            .map(|s| s.ended)
            .filter(|end| *end >= last)
            .collect();
        ends.sort_unstable();
        for end in ends.iter().chain([&self.end]) {
            longest = longest.max(end.saturating_sub(last));
            last = *end;
        }
        Some(longest)
    }
}

/// What is printed, and what did not hold.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) rows: Vec<String>,
    pub(super) failures: Vec<String>,
}

/// Makes the timeline and judges it.
pub(super) fn judge(
    seen: &Seen,
    coordinator: &str,
    survivors: &[Host],
    guests: &[Guest],
) -> Report {
    let mut report = Report::default();
    let Some(cut) = seen.cut else {
        report.failures.push("the power was never cut".into());
        return report;
    };
    let mut events: Vec<(Duration, String)> =
        vec![(cut, format!("power of {coordinator}, the coordinator, is cut"))];
    match &seen.suspected {
        Some((at, host)) => events.push((*at, format!("{host} suspects {coordinator}"))),
        None => report.failures.push(format!("no survivor said that it suspects {coordinator}")),
    }
    match seen.first(|s| seen.names_new(s)) {
        Some(s) => {
            let Answer::Coordinator(uuid) = &s.what else {
                unreachable!("names_new saw a coordinator")
            };
            let name = survivors
                .iter()
                .find(|h| h.uuid.as_deref() == Some(uuid))
                .map_or(uuid.as_str(), |h| h.name.as_str());
            events.push((s.ended, format!("{name} is the new coordinator (as {} says)", s.host)));
        }
        None => report.failures.push("no survivor named a new coordinator".into()),
    }
    match seen.first(|s| s.what == Answer::Written) {
        Some(s) => events.push((s.ended, format!("first write accepted (by {})", s.host))),
        None => report.failures.push("no survivor accepted a write".into()),
    }
    for host in survivors {
        let name = &host.name;
        let read = seen.first(|s| s.host == *name && matches!(s.what, Answer::Coordinator(_)));
        match (read, seen.read_silence(name)) {
            (Some(s), Some(silence)) => events.push((
                s.ended,
                format!("API of {name} answers (longest silence {})", seconds(silence)),
            )),
            _ => report.failures.push(format!("the API of {name} did not answer after the cut")),
        }
        match seen.first(|s| s.host == *name && s.what == Answer::Written) {
            Some(s) => events.push((s.ended, format!("{name} accepts writes"))),
            None => report.failures.push(format!("{name} accepted no write after the cut")),
        }
        if seen.first(|s| s.host == *name && seen.names_new(s)).is_none() {
            report.failures.push(format!("{name} still names the old coordinator"));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    report.rows = events
        .into_iter()
        .map(|(at, what)| format!("{:>9}  {what}", format!("+{}", seconds(at.saturating_sub(cut)))))
        .collect();
    for guest in guests {
        guest_judge(seen, guest, &mut report);
    }
    report
}

fn guest_judge(seen: &Seen, guest: &Guest, report: &mut Report) {
    let mut counts: Vec<_> = seen.counts.iter().filter(|c| c.mac == guest.mac).collect();
    counts.sort_by_key(|c| c.at);
    let mut boots: BTreeMap<&str, ()> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    let mut foreign = 0;
    let mut backwards = false;
    let mut moved: Option<&Count> = None;
    for count in &counts {
        boots.insert(&count.boot, ());
        foreign = foreign.max(count.foreign);
        match moved {
            Some(last) if count.seq > last.seq => {
                longest = longest.max(count.at.saturating_sub(last.at));
                moved = Some(count);
            }
            Some(last) => backwards |= count.seq < last.seq,
            None => moved = Some(count),
        }
    }
    if let Some(last) = moved {
        longest = longest.max(seen.end.saturating_sub(last.at));
    }
    let Guest { name, host, .. } = guest;
    let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
        report.failures.push(format!("{name} on {host} was never heard"));
        return;
    };
    report.rows.push(format!(
        "           {name} on {host} counted from {} to {}; its disk counter never stood still longer than {}",
        first.seq,
        last.seq,
        seconds(longest)
    ));
    if longest > GUEST_GAP_MAX {
        report.failures.push(format!("{name} on {host} stood still for {}", seconds(longest)));
    }
    if boots.len() != 1 || backwards {
        report.failures.push(format!("{name} on {host} was started anew"));
    }
    if foreign > 0 {
        report.failures.push(format!("{name} on {host} met a foreign writer {foreign} times"));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn host(name: &str) -> Host {
        Host { name: name.into(), uuid: Some(format!("uuid-{name}")), role: "member".into() }
    }

    fn guest() -> Guest {
        Guest { name: "g".into(), host: "h2".into(), mac: "m".into() }
    }

    fn read(host: &str, from: u64, to: u64, uuid: &str) -> Sample {
        Sample {
            host: host.into(),
            started: ms(from),
            ended: ms(to),
            what: Answer::Coordinator(uuid.into()),
        }
    }

    fn write(host: &str, from: u64, to: u64) -> Sample {
        Sample { host: host.into(), started: ms(from), ended: ms(to), what: Answer::Written }
    }

    fn count(at: u64, seq: u64) -> Count {
        Count { mac: "m".into(), at: ms(at), boot: "b".into(), seq, foreign: 0 }
    }

    fn good() -> Seen {
        Seen {
            cut: Some(ms(1000)),
            coordinator_before: "uuid-h1".into(),
            suspected: Some((ms(2500), "h2".into())),
            samples: vec![
                read("h2", 900, 950, "uuid-h1"),
                write("h2", 950, 990),
                read("h2", 1010, 1050, "uuid-h1"),
                read("h3", 1010, 1060, "uuid-h1"),
                read("h2", 3000, 3050, "uuid-h2"),
                read("h3", 3000, 3060, "uuid-h2"),
                write("h3", 1100, 2000),
                write("h2", 1100, 2100),
            ],
            counts: (0..45).map(|i| count(i * 100, i)).collect(),
            end: ms(4500),
        }
    }

    fn judged(seen: &Seen) -> Report {
        judge(seen, "h1", &[host("h2"), host("h3")], &[guest()])
    }

    #[test]
    fn a_good_run_prints_its_timeline_in_order_of_time() {
        let report = judged(&good());
        assert_eq!(report.failures, Vec::<String>::new());
        assert_eq!(
            report.rows,
            [
                "  +0.00 s  power of h1, the coordinator, is cut",
                "  +0.05 s  API of h2 answers (longest silence 2.00 s)",
                "  +0.06 s  API of h3 answers (longest silence 2.00 s)",
                "  +1.00 s  first write accepted (by h3)",
                "  +1.00 s  h3 accepts writes",
                "  +1.10 s  h2 accepts writes",
                "  +1.50 s  h2 suspects h1",
                "  +2.05 s  h2 is the new coordinator (as h2 says)",
                "           g on h2 counted from 0 to 44; its disk counter never stood still longer than 0.10 s",
            ]
        );
    }

    #[test]
    fn what_ended_before_the_cut_proves_nothing_about_after_it() {
        let mut seen = good();
        seen.samples.retain(|s| s.started < ms(1000) || s.what != Answer::Written);
        assert!(!seen.recovered(&[host("h2")]));
        assert!(judged(&seen).failures.contains(&"no survivor accepted a write".to_owned()));
    }

    #[test]
    fn a_guest_that_stood_still_or_started_anew_fails_the_demo() {
        let mut seen = good();
        seen.counts.retain(|c| c.at < ms(1500) || c.at > ms(2900));
        assert_eq!(judged(&seen).failures, ["g on h2 stood still for 1.60 s"]);

        let mut seen = good();
        seen.counts.retain(|c| c.at < ms(2000));
        assert_eq!(judged(&seen).failures, ["g on h2 stood still for 2.60 s"]);

        let mut seen = good();
        seen.counts[30].boot = "other".into();
        assert_eq!(judged(&seen).failures, ["g on h2 was started anew"]);
    }

    #[test]
    fn a_survivor_that_keeps_the_old_coordinator_fails_the_demo() {
        let mut seen = good();
        seen.samples.retain(|s| *s != read("h3", 3000, 3060, "uuid-h2"));
        assert_eq!(judged(&seen).failures, ["h3 still names the old coordinator"]);
        assert!(!seen.recovered(&[host("h2"), host("h3")]));
        assert!(seen.recovered(&[host("h2")]));
    }
}
