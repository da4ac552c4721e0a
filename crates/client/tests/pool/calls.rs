//! Which host is asked, how often, and what comes of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{CallError, Client, OnWait, Options, Target};
use xenapi::{Error, Value};

use crate::server::{PKI, Reply, Server, nobody};

fn options() -> Options {
    let mut options = Options::new(PKI.trust());
    // So that a test of a host that says nothing takes no longer than it must.
    options.read_patience = Duration::from_millis(150);
    options
}

fn name(text: &'static str) -> impl Fn(&xenapi::jsonrpc::Call) -> Reply + Send + Sync + 'static {
    move |_| Reply::Ok(Value::word(text))
}

fn slave_of(target: &Target) -> Error {
    let Target::Tls { host, .. } = target else { panic!("a TLS target") };
    Error::new("HOST_IS_SLAVE", [host.as_str()])
}

#[tokio::test]
async fn a_call_travels_over_tls_and_over_a_unix_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let echo = |call: &xenapi::jsonrpc::Call| Reply::Ok(Value::Set(call.params.clone()));
    let servers = [Server::tls(echo).await, Server::unix(&dir.path().join("api.sock"), echo)];
    let params =
        [Value::word("OpaqueRef:x"), Value::Int(i64::MIN), Value::Bool(true), Value::word("é\n\0")];
    for server in &servers {
        let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
        for _ in 0..3 {
            let answer = client.call("VM.echo", &params).await.expect("it answers");
            assert_eq!(answer, Value::Set(params.to_vec()));
        }
    }
}

#[tokio::test]
async fn the_servers_error_is_the_callers_error() {
    let server =
        Server::tls(|_| Reply::Fail(Error::new("VM_BAD_POWER_STATE", ["r", "halted", "running"])))
            .await;
    let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
    let error = client.call("VM.start", &[]).await.expect_err("it refuses");
    assert!(error.is("VM_BAD_POWER_STATE"));
    assert_eq!(error.to_string(), "VM_BAD_POWER_STATE: r, halted, running");
    assert!(!error.may_have_happened());
    assert_eq!(server.calls().len(), 1);
}

/// proves: S2-18 (client)
#[tokio::test]
async fn any_call_goes_to_another_host_when_nobody_listens() {
    let (gone, server) = (nobody().await, Server::tls(name("second")).await);
    let client =
        Client::new(gone.clone(), options().with_others([server.target.clone()])).expect("options");
    for method in ["VM.get_all", "VM.start"] {
        assert_eq!(client.call(method, &[]).await.expect(method), Value::word("second"));
    }
    assert_eq!(
        client.current_target(),
        server.target,
        "the host that answered is asked first from now on"
    );
    let client = Client::connect(gone, options().with_others([server.target.clone()]))
        .await
        .expect("one listens");
    assert_eq!(client.current_target(), server.target);
}

/// proves: S2-18 (client)
#[tokio::test]
async fn a_read_goes_to_another_host_when_one_is_silent_hangs_up_or_is_ill() {
    for illness in
        [Reply::Silence, Reply::HangUp, Reply::Raw(503, "starting"), Reply::Raw(200, "<html>")]
    {
        let ill = illness.clone();
        let first = Server::tls(move |_| ill.clone()).await;
        let second = Server::tls(name("second")).await;
        let client =
            Client::connect(first.target.clone(), options().with_others([second.target.clone()]))
                .await
                .expect("it listens");
        assert_eq!(
            client.call("VM.get_all", &[]).await.expect("the second answers"),
            Value::word("second"),
            "{illness:?}"
        );
        assert_eq!((first.calls().len(), second.calls().len()), (1, 1), "{illness:?}");
    }
}

#[tokio::test]
async fn a_write_that_may_have_happened_is_never_sent_again() {
    for illness in [Reply::Silence, Reply::HangUp, Reply::Raw(503, "starting")] {
        let ill = illness.clone();
        let first = Server::tls(move |_| ill.clone()).await;
        let second = Server::tls(name("second")).await;
        let options = options()
            .with_others([second.target.clone()])
            .with_deadline(Duration::from_millis(300));
        let client = Client::connect(first.target.clone(), options).await.expect("it listens");
        let error = client.call("VM.start", &[]).await.expect_err("nobody knows");
        assert!(error.may_have_happened(), "{illness:?}: {error}");
        assert_eq!((first.calls().len(), second.calls().len()), (1, 0), "{illness:?}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_names_what_was_waited_for() {
    let server = Server::tls(|_| Reply::Silence).await;
    let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
    let error = client
        .call_within("VM.get_all", &[], Duration::from_millis(200))
        .await
        .expect_err("silence");
    let CallError::NoAnswer { host, doing, waited, sent, .. } = error else { panic!("{error}") };
    assert_eq!(host, server.target.to_string());
    assert_eq!(doing, "the answer to VM.get_all");
    assert!(sent);
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn the_first_error_is_told_when_no_host_answers() {
    let (one, two) = (nobody().await, nobody().await);
    let client = Client::new(one.clone(), options().with_others([two])).expect("options");
    let error = client.call("VM.get_all", &[]).await.expect_err("nobody listens");
    let CallError::Unreachable { host, .. } = &error else { panic!("{error}") };
    assert_eq!(*host, one.to_string());
}

#[tokio::test]
async fn a_slave_names_the_coordinator_and_is_followed_even_for_a_write() {
    // Both listen on the loopback address, so the port tells them apart: the slave names a host with the slave's own port.
    let hops = Arc::new(AtomicUsize::new(0));
    let counted = hops.clone();
    let server = Server::tls(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Fail(Error::new("HOST_IS_SLAVE", ["127.0.0.1"])),
        _ => Reply::Ok(Value::word("done")),
    })
    .await;
    let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
    assert_eq!(client.call("VM.start", &[]).await.expect("followed"), Value::word("done"));
    assert_eq!(hops.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn two_slaves_that_name_each_other_are_not_followed_for_ever() {
    let server = Server::tls(|_| Reply::Fail(slave_of(&Target::tls("127.0.0.1", 1)))).await;
    let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
    let error = client.call("VM.start", &[]).await.expect_err("a circle");
    assert!(error.is("HOST_IS_SLAVE"));
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_between_calls_costs_nothing() {
    let server = Server::tls(|_| Reply::OkAndClose(Value::Int(1))).await;
    let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
    for _ in 0..20 {
        assert_eq!(client.call("VM.start", &[]).await.expect("a new connection"), Value::Int(1));
    }
    assert_eq!(server.calls().len(), 20);
}

#[tokio::test]
async fn many_calls_at_once_each_get_their_own_answer() {
    let server = Server::tls(|call| Reply::Ok(call.params[0].clone())).await;
    let client = Client::connect(server.target.clone(), options()).await.expect("it listens");
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..50 {
        let client = client.clone();
        calls.spawn(async move { (n, client.call("VM.echo", &[Value::Int(n)]).await) });
    }
    while let Some(done) = calls.join_next().await {
        let (n, answer) = done.expect("no panic");
        assert_eq!(answer.expect("an answer"), Value::Int(n));
    }
}

/// proves: S2-6 (client)
#[tokio::test]
async fn a_wait_of_two_seconds_is_mentioned_with_what_and_whom() {
    let server = Server::tls(|_| Reply::Silence).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let on_wait = OnWait::new(move |wait| {
        let line = format!("{} {} {}", wait.host, wait.what, wait.waited.as_secs());
        hear.lock().expect("no panic under the lock").push(line);
    });
    let client = Client::connect(server.target.clone(), options().with_on_wait(on_wait))
        .await
        .expect("it listens");
    client.call_within("VM.get_all", &[], Duration::from_millis(200)).await.expect_err("silence");
    assert!(
        heard.lock().expect("no panic under the lock").is_empty(),
        "a short wait isn't worth a word"
    );
    client.call_within("VM.get_all", &[], Duration::from_millis(2_300)).await.expect_err("silence");
    let heard = heard.lock().expect("no panic under the lock").clone();
    assert_eq!(heard, [format!("{} the answer to VM.get_all 2", server.target)]);
}

#[tokio::test]
async fn a_missing_socket_is_unreachable() {
    let client = Client::connect(Target::Unix("/nonexistent/api.sock".into()), options()).await;
    let Err(CallError::Unreachable { host, source }) = client else { panic!("nobody is there") };
    assert_eq!(
        (host.as_str(), source.kind()),
        ("/nonexistent/api.sock", std::io::ErrorKind::NotFound)
    );
}
