//! The wire: a scripted server on a unix socket, answering whole, in chunks, late, or not at all.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::*;

/// Serves one answer per connection, then ends. The thread lives as long as the listener.
fn serve(answers: Vec<Vec<u8>>) -> (tempfile::TempDir, Globals) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("api.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut buffer = [0; 65536];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(&answer);
        }
        // Keeps accepting without answering: a server that hangs.
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
    let globals =
        Globals { servers: vec![path.to_string_lossy().into_owned()], ..Globals::default() };
    (dir, globals)
}

fn transport(globals: Globals) -> Transport {
    Transport::new(globals, Box::new(|_| {}))
}

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn an_answer_of_known_length_is_read() {
    let (_dir, globals) = serve(vec![answer(r#"{"jsonrpc":"2.0","result":"5","id":1}"#)]);
    let got = transport(globals).call("VM.get_x", vec![]);
    assert_eq!(got, Ok(Value::String("5".into())));
}

#[test]
fn an_answer_in_chunks_is_read() {
    let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{\"resu\r\n5\r\nlt\":1\r\n1\r\n}\r\n0\r\n\r\n";
    let (_dir, globals) = serve(vec![raw.to_vec()]);
    assert_eq!(transport(globals).call("VM.get_x", vec![]), Ok(Value::from(1)));
}

#[test]
fn errors_of_both_protocol_versions_are_understood() {
    let want =
        Err(CallError::Api { code: "UUID_INVALID".into(), params: vec!["VM".into(), "x".into()] });
    for body in [
        r#"{"result":null,"error":["UUID_INVALID","VM","x"],"id":1}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"UUID_INVALID","data":["VM","x"]},"id":1}"#,
    ] {
        let (_dir, globals) = serve(vec![answer(body)]);
        assert_eq!(transport(globals).call("VM.get_by_uuid", vec![]), want);
    }
}

#[test]
fn only_the_wanted_fields_of_records_are_kept() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"OpaqueRef:1":{"uuid":"1","name_label":"a\"b","big":{"x":[1,2]}}}}"#;
    let (_dir, globals) = serve(vec![answer(body)]);
    let got = transport(globals).records("VM", Some(&["name_label"])).expect("records");
    let want = serde_json::json!({"uuid": "1", "name_label": "a\"b"});
    assert_eq!(got, [("OpaqueRef:1".to_owned(), want.as_object().expect("an object").clone())]);
}

#[test]
fn a_failing_list_is_an_error() {
    let (_dir, globals) =
        serve(vec![answer(r#"{"result":null,"error":["SESSION_INVALID","x"],"id":1}"#)]);
    let got = transport(globals).records("VM", None);
    assert_eq!(
        got,
        Err(CallError::Api { code: "SESSION_INVALID".into(), params: vec!["x".into()] })
    );
}

/// proves: S2-5 (table)
#[test]
fn a_server_that_never_answers_is_given_up_after_the_timeout() {
    let (_dir, mut globals) = serve(vec![]);
    globals.timeout = Some(Duration::from_millis(200));
    let start = Instant::now();
    let got = transport(globals).call("pool.get_all_records", vec![]);
    assert!(matches!(got, Err(CallError::Timeout { .. })), "{got:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// proves: S2-5 (table)
#[test]
fn nobody_listening_is_said_with_the_addresses_tried() {
    let globals = Globals { servers: vec!["/nonexistent/api.sock".into()], ..Globals::default() };
    match transport(globals).call("pool.get_all_records", vec![]) {
        Err(CallError::Unreachable(text)) => {
            assert!(text.contains("/nonexistent/api.sock"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// proves: S2-18 (table)
#[test]
fn the_next_server_is_tried_when_one_is_gone() {
    let (_dir, mut globals) = serve(vec![answer(r#"{"result":7,"error":null,"id":1}"#)]);
    globals.servers.insert(0, "/nonexistent/api.sock".into());
    assert_eq!(transport(globals).call("VM.get_x", vec![]), Ok(Value::from(7)));
}

/// proves: S2-6 (table)
#[test]
fn a_wait_of_two_seconds_is_spoken_of_once() {
    let (_dir, mut globals) = serve(vec![]);
    globals.timeout = Some(Duration::from_millis(2600));
    let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&said);
    let notice = move |text: &str| heard.lock().expect("not poisoned").push(text.to_owned());
    let got = Transport::new(globals, Box::new(notice)).call("pool.get_all_records", vec![]);
    assert!(matches!(got, Err(CallError::Timeout { .. })), "{got:?}");
    let said = said.lock().expect("not poisoned");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("pool.get_all_records since 2 s"), "{said:?}");
}

#[test]
fn addresses_are_taken_apart() {
    assert_eq!(split_port("h1"), ("h1".into(), None));
    assert_eq!(split_port("h1:8443"), ("h1".into(), Some(8443)));
    assert_eq!(split_port("https://h1/"), ("h1".into(), None));
    assert_eq!(split_port("[fd00::1]:8443"), ("fd00::1".into(), Some(8443)));
    assert_eq!(split_port("fd00::1"), ("fd00::1".into(), None));
}
