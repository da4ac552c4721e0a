//! Sessions: tokens, tasks, events, records and streams.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::{Client, Options, Session, Target, TaskState, empty_body, stream_body};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use xenapi::jsonrpc::Call;
use xenapi::{Error, OpaqueRef, Value, xmlrpc};

use crate::server::{PKI, Reply, Server};

async fn session(server: &Server) -> Session {
    let client = Client::connect(server.target.clone(), Options::new(PKI.trust()))
        .await
        .expect("it listens");
    client.session("OpaqueRef:secret")
}

fn object(members: &[(&'static str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

fn batch(token: &'static str, events: Vec<Value>) -> Reply {
    Reply::Ok(object(&[
        ("events", Value::Set(events)),
        ("token", Value::word(token)),
        ("valid_ref_counts", object(&[])),
    ]))
}

const TASK: &str = "OpaqueRef:01234567-89ab-cdef-0123-456789abcdef";

fn task(status: &'static str, progress: f64, more: (&'static str, Value)) -> Value {
    let snapshot = object(&[
        ("status", Value::word(status)),
        ("progress", Value::Float(progress)),
        ("name_label", Value::word("Async.VM.start")),
        more,
    ]);
    event("mod", snapshot)
}

fn event(operation: &'static str, snapshot: Value) -> Value {
    object(&[
        ("id", Value::word("1")),
        ("class", Value::word("task")),
        ("operation", Value::word(operation)),
        ("ref", Value::word(TASK)),
        ("snapshot", snapshot),
    ])
}

fn text(params: &[Value], at: usize) -> &str {
    params.get(at).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn logging_in_gives_a_session_whose_token_goes_first_and_is_not_printed() {
    let server = Server::tls(|call: &Call| match &*call.method {
        "session.login_with_password" if text(&call.params, 1) == "right" => {
            Reply::Ok(Value::word("OpaqueRef:token"))
        }
        "session.login_with_password" => {
            Reply::Fail(Error::new("SESSION_AUTHENTICATION_FAILED", ["root", "wrong"]))
        }
        _ => Reply::Ok(Value::Set(call.params.clone())),
    })
    .await;
    let client = Client::connect(server.target.clone(), Options::new(PKI.trust()))
        .await
        .expect("it listens");
    let refused = client.login("root", "wrong", "test").await.expect_err("wrong password");
    assert!(refused.is("SESSION_AUTHENTICATION_FAILED"));
    let session = client.login("root", "right", "test").await.expect("right password");
    assert_eq!(
        session.call("VM.start", &[Value::Int(1)]).await.expect("an answer"),
        Value::Set(vec![Value::word("OpaqueRef:token"), Value::Int(1)])
    );
    assert!(!format!("{session:?}").contains("token"));
    session.logout().await.expect("an answer");
}

#[tokio::test]
async fn a_task_is_waited_for_by_events_and_its_progress_is_told() {
    let round = AtomicUsize::new(0);
    let server = Server::tls(move |call: &Call| match &*call.method {
        "Async.VM.start" => Reply::Ok(Value::word(TASK)),
        "task.destroy" => Reply::Ok(Value::Void),
        "event.from" => {
            assert_eq!(call.params[1], Value::Set(vec![Value::from(format!("task/{TASK}"))]));
            match (round.fetch_add(1, Ordering::SeqCst), text(&call.params, 2)) {
                (0, "") => batch("a", vec![task("pending", 0.0, ("result", Value::word("")))]),
                (1, "a") => batch("b", vec![]),
                (2, "b") => Reply::Fail(Error::new("EVENTS_LOST", ["task"])),
                (3, "") => batch("c", vec![task("pending", 0.5, ("result", Value::word("")))]),
                (4, "c") => {
                    let mut result = Vec::new();
                    xmlrpc::encode_value(&Value::word(TASK), &mut result);
                    let result = String::from_utf8(result).expect("text");
                    batch("d", vec![task("success", 1.0, ("result", Value::from(result)))])
                }
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other}"),
    })
    .await;
    let session = session(&server).await;
    let mut told = Vec::new();
    let limit = Duration::from_secs(5);
    let result = session
        .call_async("VM.start", &[], limit, |p| told.push((p.state, p.done)))
        .await
        .expect("success");
    assert_eq!(result, Value::word(TASK));
    assert_eq!(
        told,
        [(TaskState::Pending, 0.0), (TaskState::Pending, 0.5), (TaskState::Success, 1.0)]
    );
    assert_eq!(server.calls().last().map(String::as_str), Some("task.destroy"));
}

#[tokio::test]
async fn a_failed_cancelled_or_vanished_task_is_an_error_of_the_server() {
    let info = ("error_info", Value::str_set(["NO_HOSTS_AVAILABLE"]));
    let cases = [
        (task("failure", 1.0, info), "NO_HOSTS_AVAILABLE"),
        (task("failure", 1.0, ("error_info", Value::Set(vec![]))), "INTERNAL_ERROR"),
        (task("cancelled", 1.0, ("x", Value::Void)), "TASK_CANCELLED"),
        (event("del", Value::Void), "HANDLE_INVALID"),
    ];
    for (event, code) in cases {
        let server = Server::tls(move |_| batch("a", vec![event.clone()])).await;
        let task = OpaqueRef::parse(TASK).expect("a reference");
        let error = session(&server)
            .await
            .wait_task(task, Duration::from_secs(5), |_| {})
            .await
            .expect_err(code);
        assert!(error.is(code), "{error}");
    }
}

#[tokio::test]
async fn waiting_for_a_task_ends_with_its_time() {
    let server = Server::tls(|_| batch("a", vec![task("pending", 0.1, ("x", Value::Void))])).await;
    let task = OpaqueRef::parse(TASK).expect("a reference");
    let error = session(&server)
        .await
        .wait_task(task, Duration::from_millis(100), |_| {})
        .await
        .expect_err("never done");
    assert!(error.to_string().contains("while waiting for the task Async.VM.start"), "{error}");
    assert!(error.may_have_happened());
}

#[tokio::test]
async fn events_go_on_behind_a_token_and_say_when_they_begin_anew() {
    let server = Server::tls(|call: &Call| match text(&call.params, 2) {
        "old" => Reply::Fail(Error::new("EVENTS_LOST", ["task"])),
        "" => batch("new", vec![event("add", Value::word("r"))]),
        token => batch("newer", vec![event("del", Value::from(token))]),
    })
    .await;
    let session = session(&server).await;
    let mut events = session.events(&["task"]).after("old");
    let first = events.next(Duration::from_secs(1)).await.expect("events");
    assert!(first.anew);
    assert_eq!((events.token(), first.events.len()), ("new", 1));
    let second = events.next(Duration::from_secs(1)).await.expect("events");
    assert!(!second.anew);
    assert_eq!((events.token(), &*second.events[0].operation), ("newer", "del"));
}

#[tokio::test]
async fn records_are_read_with_their_types_and_hosts_are_learned() {
    let class = xenapi::Record::class_named("host").expect("a class");
    let server = Server::tls(move |_| {
        let record = |n: u128, address: &'static str| {
            let mut host = xenapi::Record::new(class, uuid::Uuid::from_u128(n));
            host.set_by_name("address", Value::word(address));
            (host.opaque().to_string().into(), Value::Record(host.into()))
        };
        Reply::Ok(Value::Struct(vec![record(1, "10.90.0.1"), record(2, "10.90.0.2")]))
    })
    .await;
    let session = session(&server).await;
    let hosts = session.records("host").await.expect("records");
    assert_eq!(hosts[1].uuid(), uuid::Uuid::from_u128(2));
    session.learn_hosts().await.expect("records");
    let Target::Tls { port, .. } = server.target else { panic!("a TLS target") };
    let known = session.client().hosts();
    assert_eq!(
        known,
        [server.target.clone(), Target::tls("10.90.0.1", port), Target::tls("10.90.0.2", port)]
    );
}

#[tokio::test]
async fn a_stream_follows_a_redirect_and_arrives_whole() {
    let far = Server::with_streams(
        |_| Reply::Silence,
        |request| {
            assert_eq!(request.uri().path(), "/export");
            assert_eq!(request.uri().query(), Some("session_id=OpaqueRef:secret&ref=a%20b"));
            let pieces = (0..64_u8).map(|n| {
                Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from(vec![n; 64 << 10])))
            });
            Response::new(stream_body(StreamBody::new(futures_util::stream::iter(pieces))))
        },
    )
    .await;
    let location = format!("https://{}/export", far.target);
    let near = Server::with_streams(
        |_| Reply::Silence,
        move |_| {
            Response::builder()
                .status(302)
                .header("location", &location)
                .body(empty_body())
                .expect("a response")
        },
    )
    .await;
    let session = session(&near).await;
    let answer = session.get_stream("/export", &[("ref", "a b")]).await.expect("a stream");
    let bytes = answer.into_body().collect().await.expect("all of it").to_bytes();
    assert_eq!(bytes.len(), 4 << 20);
    assert!(bytes.chunks(64 << 10).zip(0..).all(|(piece, n)| piece.iter().all(|byte| *byte == n)));
}

#[tokio::test]
async fn a_stream_to_the_server_is_sent_once_to_the_host_that_takes_it() {
    let got = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = got.clone();
    let server = Server::with_streams(
        |_| Reply::Silence,
        move |request| {
            let length = request
                .headers()
                .get("content-length")
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned);
            seen.lock()
                .expect("no panic under the lock")
                .push((request.method().to_string(), length));
            Response::new(empty_body())
        },
    )
    .await;
    let session = session(&server).await;
    let target = session.put_target("/import", &[]).await.expect("here");
    assert_eq!(target, server.target);
    let body = stream_body(Full::new(Bytes::from_static(b"xva")));
    session
        .put_stream(&target, "/import", &[("task_id", TASK)], Some(3), body)
        .await
        .expect("taken");
    let put = |length: &str| ("PUT".to_owned(), Some(length.to_owned()));
    assert_eq!(*got.lock().expect("no panic under the lock"), [put("0"), put("3")]);
}

#[tokio::test]
async fn a_refused_stream_tells_the_status_and_the_first_line() {
    let server = Server::with_streams(
        |_| Reply::Silence,
        |_| {
            let body = stream_body(Full::new(Bytes::from_static(b"no such VM\nsecond line")));
            Response::builder().status(404).body(body).expect("a response")
        },
    )
    .await;
    let error = session(&server).await.get_stream("/export", &[]).await.expect_err("refused");
    assert_eq!(error.to_string(), format!("{} answers 404: no such VM", server.target));
}
