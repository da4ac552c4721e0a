//! One small write through the API (`VM.set_name_label`) against one bare etcd transaction on the same cluster.

use std::time::Instant;

use anyhow::Context as _;
use etcd_client::{
    Certificate, Compare, CompareOp, ConnectOptions, Identity, TlsOptions, Txn, TxnOp,
};
use serde_json::{Value as Json, json};
use xenapi::Value;

use crate::lab::{Lab, PLAIN, number, root_session, runtime};
use crate::report::{Metric, Report, median};

/// What is reported.
pub(crate) const METRIC: &str = "VM.set_name_label-ms";
const ROUNDS: usize = 500;
/// Rounds in which a side may have had no answer (an election on a busy machine); they count for neither.
const LOST_MAX: usize = ROUNDS / 20;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let lab = Lab::up("write", 3, &PLAIN)?;
    let a = lab.worker("h1", "write", &[])?;
    report.ratio(&Metric {
        name: "write",
        metric: METRIC,
        ours: number(&a, "ours_ms")?,
        peer: "etcd-txn",
        peers: number(&a, "etcd_ms")?,
        limit: 1.5,
        n: usize::try_from(a["n"].as_u64().context("a count")?)?,
    });
    Ok(())
}

/// A client of the host's own etcd, with the host's certificate.
pub(crate) async fn bare_etcd(endpoints: &[String]) -> anyhow::Result<etcd_client::Client> {
    bare_etcd_of(std::path::Path::new("/var/lib/holdfast/tls"), endpoints).await
}

/// The same with the certificate in that directory.
pub(crate) async fn bare_etcd_of(
    dir: &std::path::Path,
    endpoints: &[String],
) -> anyhow::Result<etcd_client::Client> {
    let read = |name: &str| std::fs::read(dir.join(name)).with_context(|| name.to_owned());
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")?))
        .identity(Identity::from_pem(read("host.pem")?, read("host.key")?));
    let options = ConnectOptions::new()
        .with_tls(tls)
        .with_connect_timeout(std::time::Duration::from_millis(300))
        .with_timeout(std::time::Duration::from_millis(250));
    Ok(etcd_client::Client::connect(endpoints, Some(options)).await?)
}

/// URL of this host's etcd, from its configuration.
pub(crate) fn own_etcd() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/etc/holdfast/holdfast.toml")?;
    let address = text
        .lines()
        .find_map(|l| l.trim().strip_prefix("address")?.split('"').nth(1))
        .context("the configuration has the host's address")?;
    Ok(format!("https://{address}:2379"))
}

pub(crate) fn worker() -> anyhow::Result<Json> {
    runtime()?.block_on(async {
        let session = root_session().await?;
        let vm = session
            .call("VM.get_by_name_label", &["Other install media".into()])
            .await?
            .as_set()
            .and_then(|s| s.opaques().next())
            .context("the pool has its template")?;
        let mut etcd = bare_etcd(&[own_etcd()?]).await?;
        let body = vec![b'x'; 512];
        etcd.put("/bench/key", body.clone(), None).await?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let label = format!("Other install media {}", round % 2);
            let start = Instant::now();
            let written =
                session.call("VM.set_name_label", &[Value::Ref(vm), label.into()]).await.is_ok();
            let took = start.elapsed();
            let txn = Txn::new()
                .when([Compare::version("/bench/key", CompareOp::Greater, 0)])
                .and_then([TxnOp::put("/bench/key", body.clone(), None)]);
            let start = Instant::now();
            if etcd.txn(txn).await.is_ok() && written {
                bare.push(start.elapsed().as_secs_f64() * 1e3);
                ours.push(took.as_secs_f64() * 1e3);
            }
        }
        session.call("VM.set_name_label", &[Value::Ref(vm), "Other install media".into()]).await?;
        etcd.delete("/bench/key", None).await?;
        let lost = ROUNDS - ours.len();
        anyhow::ensure!(lost <= LOST_MAX, "{lost} of {ROUNDS} writes were not answered");
        Ok(json!({"n": ours.len(), "ours_ms": median(&mut ours), "etcd_ms": median(&mut bare)}))
    })
}
