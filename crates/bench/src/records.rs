//! Many records: what `VM.get_all_records` of 5,000 VMs costs the server, against serialising the same document with
//! `serde_json`, and what they weigh in memory.

use anyhow::Context as _;
use serde_json::{Value as Json, json};
use xenapi::{Value, jsonrpc};

use crate::clock::cpu_s;
use crate::lab::{Lab, PLAIN, daemon_pid, memory_mib, number, root_session, runtime};
use crate::report::{Metric, Report, median};

/// What is reported, in order.
pub(crate) const METRICS: [&str; 4] = [
    "get_all_records-json-cpu-s",
    "get_all_records-xml-cpu-s",
    "daemon-rss-5000-vms-mib",
    "daemon-peak-five-calls-mib",
];
const VMS: usize = 5000;
const ROUNDS: usize = 7;
/// Times that the peak is provoked; the highest counts.
const PEAKS: usize = 3;
/// Calls at once for the peak.
const AT_ONCE: usize = 5;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let lab = Lab::up("records", 1, &PLAIN)?;
    let a = lab.worker("h1", "records", &[&VMS.to_string()])?;
    for (metric, ours, limit) in [(METRICS[0], "json_cpu_s", 2.0), (METRICS[1], "xml_cpu_s", 4.0)] {
        report.ratio(&Metric {
            name: "records",
            metric,
            ours: number(&a, ours)?,
            peer: "serde_json",
            peers: number(&a, "serde_cpu_s")?,
            limit,
            n: ROUNDS,
        });
    }
    report.absolute("records", METRICS[2], number(&a, "rss_mib")?, 64.0, 1);
    report.absolute("records", METRICS[3], number(&a, "peak_mib")?, 96.0, PEAKS);
    report.note(&format!("document {} MB", number(&a, "document_bytes")? / 1e6));
    Ok(())
}

pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    let vms: usize = arguments.first().context("how many VMs")?.parse()?;
    runtime()?.block_on(async {
        let session = root_session().await?;
        let template = session.call("VM.get_by_name_label", &["Other install media".into()]).await?;
        let template = template
            .as_set()
            .and_then(|s| s.opaques().next())
            .context("the pool has its template")?;
        let record = session.record("VM", template).await?;
        for n in 0..vms {
            let mut members: Vec<(xenapi::Text, Value)> = record
                .iter()
                .filter(|(f, _)| f.store == datamodel::Store::Stored)
                .map(|(f, v)| (f.name.into(), v.clone()))
                .collect();
            for (name, value) in &mut members {
                match name.as_str() {
                    "name_label" => *value = format!("bench {n}").into(),
                    "is_a_template" | "is_default_template" => *value = false.into(),
                    _ => {}
                }
            }
            session.call("VM.create", &[Value::Struct(members)]).await?;
        }
        let pid = daemon_pid()?;
        let body = |xml: bool| -> Vec<u8> {
            let mut out = Vec::new();
            let params = [Value::str(session.token())];
            if xml {
                xenapi::xmlrpc::encode_call("VM.get_all_records", &params, &mut out);
            } else {
                let id = jsonrpc::Id::number(1);
                jsonrpc::encode_call(jsonrpc::Version::V2, &id, "VM.get_all_records", &params, &mut out);
            }
            out
        };
        let (json_body, xml_body) = (body(false), body(true));
        let document = post("/jsonrpc", &json_body)?;
        let parsed: Json = serde_json::from_slice(&document)?;
        let (mut ours, mut xml, mut serde) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // Several calls make one sample: one alone is as short as what disturbs it.
            const CALLS: usize = 5;
            let before = cpu_s(pid)?;
            for _ in 0..CALLS {
                post("/jsonrpc", &json_body)?;
            }
            ours.push((cpu_s(pid)? - before) / CALLS as f64);
            let before = cpu_s(pid)?;
            for _ in 0..CALLS {
                post("/", &xml_body)?;
            }
            xml.push((cpu_s(pid)? - before) / CALLS as f64);
            let own = i32::try_from(std::process::id())?;
            let before = cpu_s(own)?;
            for _ in 0..CALLS {
                let bytes = serde_json::to_vec(&parsed)?;
                std::hint::black_box(bytes);
            }
            serde.push((cpu_s(own)? - before) / CALLS as f64);
        }
        let rss = memory_mib(pid, "VmRSS")?;
        let mut peak = 0.0_f64;
        for _ in 0..PEAKS {
            // Resets the high-water mark, then five calls at once.
            std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
            let threads: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let body = json_body.clone();
                    std::thread::spawn(move || post("/jsonrpc", &body).map(|d| d.len()))
                })
                .collect();
            for thread in threads {
                thread.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
            }
            peak = peak.max(memory_mib(pid, "VmHWM")?);
        }
        Ok(json!({
            "json_cpu_s": median(&mut ours), "xml_cpu_s": median(&mut xml), "serde_cpu_s": median(&mut serde),
            "rss_mib": rss, "peak_mib": peak, "document_bytes": document.len(),
        }))
    })
}

/// What `path` answers to a bare GET over the host's socket.
pub(crate) fn get(path: &str) -> anyhow::Result<Vec<u8>> {
    request("GET", path, &[])
}

fn post(path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    request("POST", path, body)
}

/// A bare HTTP request over the host's socket: no client's cost in the way, only the bytes are taken.
fn request(method: &str, path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect("/run/holdfast/api.sock")?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head =
        answer.windows(4).position(|w| w == b"\r\n\r\n").context("an HTTP answer has a head")?;
    let (head, rest) = answer.split_at(head + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    anyhow::ensure!(head.starts_with("http/1.1 200"), "answer: {head}");
    if head.contains("transfer-encoding: chunked") { unchunk(rest) } else { Ok(rest.to_vec()) }
}

fn unchunk(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(rest.len());
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").context("a chunk has a size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?.trim(), 16)?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(out);
        }
        out.extend_from_slice(rest.get(..size).context("a chunk is whole")?);
        rest = rest.get(size + 2..).context("a chunk ends")?;
    }
}
