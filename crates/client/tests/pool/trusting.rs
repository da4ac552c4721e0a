//! Who is believed.

use client::{CallError, Client, Identity, Options, Trust, fingerprint};
use sha2::{Digest, Sha256};
use xenapi::Value;

use crate::server::{PKI, Reply, Server};

async fn connect(trust: Trust) -> Result<Client, CallError> {
    let server = Server::tls(|_| Reply::Ok(Value::Void)).await;
    let client = Client::connect(server.target.clone(), Options::new(trust)).await?;
    client.call("session.logout", &[]).await.map(|_| client)
}

fn print_of(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

#[tokio::test]
async fn a_host_is_believed_for_its_pools_ca_or_a_known_fingerprint() {
    connect(PKI.trust()).await.expect("signed by the CA");
    connect(Trust::Fingerprint(print_of(&PKI.ca)))
        .await
        .expect("signed by the CA of that fingerprint");
    connect(Trust::Fingerprint(print_of(&PKI.host))).await.expect("has that fingerprint");
    let client = connect(Trust::Insecure).await.expect("anybody");
    let shown = client.server_certificates();
    assert_eq!(shown, [PKI.host.clone(), PKI.ca.clone()], "so that a person can compare");
    assert_eq!(fingerprint(&shown[1]).len(), 32 * 3 - 1);
}

#[tokio::test]
async fn a_stranger_is_refused_before_anything_is_said() {
    let stranger =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let other_ca = Trust::ca_pem(stranger.cert.pem().as_bytes(), true).expect("PEM");
    for trust in [other_ca, Trust::Fingerprint([7; 32])] {
        let server = Server::tls(|_| Reply::Ok(Value::Void)).await;
        let answer = Client::connect(server.target.clone(), Options::new(trust)).await;
        let Err(CallError::Tls { host, reason }) = answer else {
            panic!("a stranger was believed")
        };
        assert_eq!(host, server.target.to_string());
        assert!(reason.contains("UnknownIssuer") || reason.contains("certificate"), "{reason}");
        assert!(server.calls().is_empty());
    }
}

#[tokio::test]
async fn the_name_counts_unless_the_caller_knows_better() {
    let server = Server::tls(|_| Reply::Ok(Value::Void)).await;
    let client::Target::Tls { port, .. } = server.target else { panic!("a TLS target") };
    let by_name = client::Target::tls("localhost", port);
    let trust = |check_name| Trust::ca_pem(PKI.ca_pem.as_bytes(), check_name).expect("our own CA");
    let refused = Client::connect(by_name.clone(), Options::new(trust(true))).await;
    assert!(
        matches!(refused, Err(CallError::Tls { .. })),
        "the certificate names only the address"
    );
    Client::connect(by_name, Options::new(trust(false))).await.expect("signed by the CA");
}

#[test]
fn keys_and_tokens_are_not_printed() {
    let made = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).expect("a certificate");
    let identity =
        Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes());
    assert_eq!(format!("{:?}", identity.expect("PEM")), "Identity { chain: 1, .. }");
    Trust::ca_pem(b"no certificate", true).expect_err("nothing in it");
}
