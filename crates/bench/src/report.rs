//! One line per metric: `NAME metric ours=… peer=PEERNAME:… ratio=… limit=… n=… ok|SHORT`.

use serde_json::{Value, json};

/// Collects lines and says at the end whether all limits hold.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    /// Rounds that were asked for, if any were.
    pub(crate) rounds: Option<usize>,
    lines: Vec<Value>,
    short: usize,
    said: Vec<String>,
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Metric<'a> {
    pub(crate) name: &'a str,
    pub(crate) metric: &'a str,
    pub(crate) ours: f64,
    pub(crate) peer: &'a str,
    pub(crate) peers: f64,
    pub(crate) limit: f64,
    pub(crate) n: usize,
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}

impl Report {
    pub(crate) fn new(json: bool, rounds: Option<usize>) -> Self {
        Self { json, rounds, lines: Vec::new(), short: 0, said: Vec::new() }
    }

    /// Ours divided by the peer's must not be above the limit.
    pub(crate) fn ratio(&mut self, m: &Metric<'_>) {
        let ratio = if m.peers > 0.0 { m.ours / m.peers } else { f64::INFINITY };
        let ok = ratio <= m.limit;
        self.said.push(m.metric.to_owned());
        self.line(
            json!({"name": m.name, "metric": m.metric, "ours": m.ours, "peer": m.peer,
                "peers": m.peers, "ratio": ratio, "limit": m.limit, "n": m.n, "ok": ok}),
            format!(
                "{} {} ours={:.3} peer={}:{:.3} ratio={ratio:.2} limit={} n={}",
                m.name, m.metric, m.ours, m.peer, m.peers, m.limit, m.n
            ),
            ok,
        );
    }

    /// Ours must not be above an absolute limit.
    pub(crate) fn absolute(&mut self, name: &str, metric: &str, ours: f64, limit: f64, n: usize) {
        let ok = ours <= limit;
        let ratio = ours / limit;
        self.said.push(metric.to_owned());
        self.line(
            json!({"name": name, "metric": metric, "ours": ours, "peer": "limit", "peers": limit,
                "ratio": ratio, "limit": 1.0, "n": n, "ok": ok}),
            format!(
                "{name} {metric} ours={ours:.3} peer=limit:{limit} ratio={ratio:.2} limit=1 n={n}"
            ),
            ok,
        );
    }

    /// Figures beside the last metric, without a limit.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.json {
            print(&format!("# {text}"));
        } else if let Some(last) = self.lines.last_mut() {
            last["note"] = json!(text);
        }
    }

    /// A measurement that could not be taken: each of its metrics that has no figure counts as short.
    pub(crate) fn failed(&mut self, name: &str, metrics: &[&str], error: &anyhow::Error) {
        for metric in metrics {
            if !self.said.iter().any(|said| said == metric) {
                self.line(
                    json!({"name": name, "metric": metric, "error": format!("{error:#}"), "ok": false}),
                    format!("{name} {metric} failed: {error:#}"),
                    false,
                );
            }
        }
    }

    fn line(&mut self, value: Value, text: String, ok: bool) {
        if !ok {
            self.short += 1;
        }
        if self.json {
            self.lines.push(value);
        } else {
            print(&format!("{text} {}", if ok { "ok" } else { "SHORT" }));
        }
    }

    /// Prints the document, and fails if anything is short.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        if self.json {
            print(&Value::Array(self.lines).to_string());
        }
        anyhow::ensure!(self.short == 0, "{} metrics are SHORT", self.short);
        Ok(())
    }
}

/// The middle of the samples.
pub(crate) fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
