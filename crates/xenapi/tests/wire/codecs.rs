//! Both codecs give back what they were given, as far as the wire can say it.

use proptest::collection::vec;
use proptest::prelude::*;
use xenapi::jsonrpc::{self, Id, Version};
use xenapi::{Envelope, Error, Limits, Protocol, Text, Value, xmlrpc};

use crate::made_up::{texts, values};

/// What is left of a text on its way through XML: the characters that XML 1.0 has no way to write are dropped.
fn xml_text(text: &str) -> String {
    let sayable = |c: &char| !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(sayable).collect()
}

/// What a value looks like after the wire, before it is given its type again.
fn on_wire(value: &Value, xml: bool) -> Value {
    let text = |text: &str| if xml { xml_text(text) } else { text.to_owned() };
    let key = |key: &Value| match on_wire(key, xml) {
        Value::Str(text) => text,
        other => panic!("{other:?} is no key"),
    };
    match value {
        Value::Void => Value::word(""),
        Value::Str(s) => Value::from(text(s)),
        Value::Int(n) if xml => Value::from(n.to_string()),
        Value::Float(f) if !xml && !f.is_finite() => Value::Void,
        Value::DateTime(t) if !xml => Value::from(t.to_string()),
        Value::Ref(r) => Value::from(r.to_string()),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::DateTime(_) => value.clone(),
        Value::Set(items) => Value::Set(items.iter().map(|v| on_wire(v, xml)).collect()),
        Value::Map(pairs) => {
            Value::Struct(pairs.iter().map(|(k, v)| (key(k), on_wire(v, xml))).collect())
        }
        Value::Struct(members) => {
            Value::Struct(members.iter().map(|(k, v)| (text(k).into(), on_wire(v, xml))).collect())
        }
        Value::Record(record) => {
            let shown =
                record.iter().filter(|(field, value)| field.name != "hint" || !value.is_void());
            Value::Struct(shown.map(|(f, v)| (Text::from(f.name), typeless(v, xml))).collect())
        }
        Value::Projected(view) => on_wire(&Value::Record(view.to_record().into()), xml),
    }
}

/// Like [`on_wire`], for maps whose keys are numbers.
fn typeless(value: &Value, xml: bool) -> Value {
    match value {
        Value::Map(pairs) => {
            let key = |k: &Value| match k {
                Value::Int(n) => Text::from(n.to_string()),
                other => on_wire(other, xml).as_str().expect("keys are text").into(),
            };
            Value::Struct(pairs.iter().map(|(k, v)| (key(k), on_wire(v, xml))).collect())
        }
        other => on_wire(other, xml),
    }
}

fn methods() -> impl Strategy<Value = String> {
    "[A-Za-z_]{1,20}\\.[A-Za-z_]{1,20}"
}

proptest! {
    #[test]
    fn a_json_call_comes_back(method in methods(), params in vec(values(), 0..5), v2 in any::<bool>(), id in any::<u64>()) {
        let version = if v2 { Version::V2 } else { Version::V1 };
        let mut body = Vec::new();
        jsonrpc::encode_call(version, &Id::number(id), &method, &params, &mut body);
        let call = jsonrpc::decode_call(&body).expect("our own call");
        prop_assert_eq!(call.version, version);
        prop_assert_eq!(call.id, Id::number(id));
        prop_assert_eq!(&*call.method, &*method);
        let expected: Vec<Value> = params.iter().map(|v| on_wire(v, false)).collect();
        prop_assert_eq!(call.params, expected);
    }

    #[test]
    fn an_xml_call_comes_back(method in methods(), params in vec(values(), 0..5)) {
        let mut body = Vec::new();
        xmlrpc::encode_call(&method, &params, &mut body);
        let call = xmlrpc::decode_call(&body).expect("our own call");
        prop_assert_eq!(&*call.method, &*method);
        let expected: Vec<Value> = params.iter().map(|v| on_wire(v, true)).collect();
        prop_assert_eq!(call.params, expected);
    }

    #[test]
    fn an_answer_comes_back_in_every_protocol(value in values()) {
        for protocol in protocols() {
            let envelope = Envelope::new(protocol.clone());
            let mut body = Vec::new();
            envelope.success(&value, &mut body);
            let (answer, xml) = match protocol {
                Protocol::XmlRpc => (xmlrpc::decode_response(&body).expect("our own answer"), true),
                Protocol::JsonRpc(..) => (jsonrpc::decode_response(&body).expect("our own answer"), false),
            };
            prop_assert_eq!(answer, Ok(on_wire(&value, xml)));
        }
    }

    #[test]
    fn an_error_comes_back_in_every_protocol(code in "[A-Z_]{1,30}", params in vec(texts(), 0..5)) {
        let params: Vec<String> = params.iter().map(|p| xml_text(p)).collect();
        let error = Error::new(&code, params);
        for protocol in protocols() {
            let mut body = Vec::new();
            Envelope::new(protocol.clone()).failure(&error, &mut body);
            let answer = match protocol {
                Protocol::XmlRpc => xmlrpc::decode_response(&body).expect("our own answer"),
                Protocol::JsonRpc(..) => jsonrpc::decode_response(&body).expect("our own answer"),
            };
            prop_assert_eq!(answer, Err(error.clone()));
        }
    }

    #[test]
    fn an_xml_value_alone_comes_back(value in values()) {
        let mut text = Vec::new();
        xmlrpc::encode_value(&value, &mut text);
        prop_assert_eq!(xmlrpc::decode_value(&text, Limits::CALL).expect("our own value"), on_wire(&value, true));
    }

    #[test]
    fn what_is_written_as_json_is_json(value in values()) {
        let mut text = Vec::new();
        jsonrpc::encode_value(&value, &mut text);
        serde_json::from_slice::<serde_json::Value>(&text).expect("JSON");
    }
}

fn protocols() -> [Protocol; 3] {
    let id = || Id::number(7);
    [Protocol::XmlRpc, Protocol::JsonRpc(Version::V1, id()), Protocol::JsonRpc(Version::V2, id())]
}

fn json(call: &str) -> jsonrpc::Call {
    jsonrpc::decode_call(call.as_bytes()).expect(call)
}

#[test]
fn the_answer_has_the_shape_of_xenserver() {
    let written = |protocol: Protocol, result: Result<Value, Error>| {
        let envelope = Envelope::new(protocol);
        let mut body = Vec::new();
        match result {
            Ok(value) => envelope.success(&value, &mut body),
            Err(error) => envelope.failure(&error, &mut body),
        }
        String::from_utf8(body).expect("UTF-8")
    };
    let [xml, v1, v2] = protocols();
    let error = || Err(Error::new("HANDLE_INVALID", ["VM", "OpaqueRef:x"]));
    assert_eq!(written(v1.clone(), Ok(Value::Int(1))), r#"{"result":1,"error":null,"id":7}"#);
    assert_eq!(
        written(v1, error()),
        r#"{"result":null,"error":["HANDLE_INVALID","VM","OpaqueRef:x"],"id":7}"#
    );
    assert_eq!(written(v2.clone(), Ok(Value::Void)), r#"{"jsonrpc":"2.0","result":"","id":7}"#);
    assert_eq!(
        written(v2, error()),
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","OpaqueRef:x"]},"id":7}"#
    );
    assert_eq!(
        written(xml.clone(), Ok(Value::Int(1))),
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
         <value>Success</value></member><member><name>Value</name><value>1</value></member></struct></value>\
         </param></params></methodResponse>"
    );
    assert_eq!(
        written(xml, error()),
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
         <value>Failure</value></member><member><name>ErrorDescription</name><value><array><data>\
         <value>HANDLE_INVALID</value><value>VM</value><value>OpaqueRef:x</value></data></array></value></member>\
         </struct></value></param></params></methodResponse>"
    );
}

#[test]
fn an_id_of_any_kind_is_given_back_byte_for_byte() {
    for id in [
        "7",
        "-7",
        "1e3",
        "\"a\\u0041\"",
        "null",
        "[1, {\"a\" : 2}]",
        "true",
        "123456789012345678901234567890",
    ] {
        let call = json(&format!(r#"{{"jsonrpc":"2.0","method":"a.b","params":[],"id": {id} }}"#));
        assert_eq!(call.id.as_json(), id);
    }
    assert_eq!(json(r#"{"method":"a.b","params":[]}"#).id, Id::null());
}

#[test]
fn json_calls_of_both_versions_and_of_every_order_are_read() {
    assert_eq!(json(r#"{"id":1,"params":["s"],"method":"VM.get_all"}"#).version, Version::V1);
    assert_eq!(json(r#"{"id":1,"method":"VM.get_all","jsonrpc":"2.0"}"#).params, []);
    assert_eq!(
        json(r#"{"id":1,"method":"a","params":null,"jsonrpc":"2.0","extra":[{}]}"#).params,
        []
    );
    let named = json(r#"{"id":1,"method":"a","params":{"x":1},"jsonrpc":"2.0"}"#);
    assert_eq!(named.params, [Value::Struct(vec![("x".into(), Value::Int(1))])]);
    let numbers =
        json(r#"{"id":1,"method":"a","params":[9223372036854775807,9223372036854775808,-1.5e3]}"#);
    let huge = Value::Float(9_223_372_036_854_775_808.0);
    assert_eq!(numbers.params, [Value::Int(i64::MAX), huge, Value::Float(-1500.0)]);
}

#[test]
fn what_is_no_json_call_is_refused_by_jsonrpcs_own_codes() {
    let refused = |body: &str| jsonrpc::decode_call(body.as_bytes()).expect_err(body).fault.code();
    for body in [
        "",
        "  ",
        "{",
        "nope",
        "{\"id\":1,}",
        "{\"a\":1} x",
        "\u{0}",
        "{\"params\":[1e400]}",
        "{\"id\":1,\"method\":\"\\ud800\"}",
    ] {
        assert_eq!(refused(body), -32_700, "{body}");
    }
    for body in [
        "[]",
        "[{\"id\":1,\"method\":\"a\",\"params\":[]}]",
        "1",
        "\"x\"",
        "null",
        "{}",
        r#"{"id":1,"params":[]}"#,
        r#"{"id":1,"method":7,"params":[]}"#,
        r#"{"id":1,"method":"a"}"#,
        r#"{"id":1,"method":"a","params":{}}"#,
        r#"{"id":1,"method":"a","params":"x"}"#,
        r#"{"id":1,"jsonrpc":"3.0","method":"a","params":[]}"#,
        r#"{"id":1,"method":"a","method":"b","params":[]}"#,
    ] {
        assert_eq!(refused(body), -32_600, "{body}");
    }
    let malformed =
        jsonrpc::decode_call(br#"{"jsonrpc":"2.0","id":"q","params":[]}"#).expect_err("no method");
    let mut answer = Vec::new();
    jsonrpc::write_malformed(&malformed, &mut answer);
    assert_eq!(
        String::from_utf8(answer).expect("UTF-8"),
        r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"the member method is missing"},"id":"q"}"#
    );
}

#[test]
fn a_call_nested_too_deeply_or_with_too_many_values_is_refused() {
    let deep = |n: usize| {
        format!(r#"{{"id":1,"method":"a","params":{}{}}}"#, "[".repeat(n), "]".repeat(n))
    };
    jsonrpc::decode_call(deep(64).as_bytes()).expect("64 levels");
    for depth in [65, 100_000] {
        jsonrpc::decode_call(deep(depth).as_bytes()).expect_err("too deep");
    }
    let wide = format!(r#"{{"id":1,"method":"a","params":[{}0]}}"#, "0,".repeat(200_000));
    let malformed = jsonrpc::decode_call(wide.as_bytes()).expect_err("too wide");
    assert_eq!(malformed.fault.code(), -32_600);
    assert_eq!(malformed.id, Id::number(1), "the id came first");

    let deep = |n: usize| {
        let (open, close) = ("<value><array><data>".repeat(n), "</data></array></value>".repeat(n));
        format!(
            "<methodCall><methodName>a</methodName><params><param>{open}{close}</param></params></methodCall>"
        )
    };
    xmlrpc::decode_call(deep(64).as_bytes()).expect("64 levels");
    for depth in [65, 100_000] {
        xmlrpc::decode_call(deep(depth).as_bytes()).expect_err("too deep");
    }
    let wide = format!("<value><array><data>{}</data></array></value>", "<value/>".repeat(200_001));
    xmlrpc::decode_value(wide.as_bytes(), Limits::CALL).expect_err("too wide");
}

#[test]
fn every_scalar_of_xmlrpc_is_read() {
    for (text, value) in [
        ("<value>a &lt;b&gt; &#65;&#x42; <![CDATA[<c>]]></value>", Value::word("a <b> AB <c>")),
        ("<value/>", Value::word("")),
        ("<value> </value>", Value::word(" ")),
        ("<value><string/></value>", Value::word("")),
        ("<value>\n <string> x </string>\n</value>", Value::word(" x ")),
        ("<value><i4>-5</i4></value>", Value::Int(-5)),
        ("<value><int> 5 </int></value>", Value::Int(5)),
        ("<value><i8>9223372036854775807</i8></value>", Value::Int(i64::MAX)),
        ("<value><ex:i8 xmlns:ex='x'>7</ex:i8></value>", Value::Int(7)),
        ("<value><int>9223372036854775808</int></value>", Value::word("9223372036854775808")),
        ("<value><double>1.5e3</double></value>", Value::Float(1500.0)),
        ("<value><boolean>1</boolean></value>", Value::Bool(true)),
        ("<value><boolean>yes</boolean></value>", Value::word("yes")),
        (
            "<value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value>",
            Value::DateTime(xenapi::Timestamp(1_767_225_600)),
        ),
        ("<value><base64>aG9s\n ZGZhc3Q</base64></value>", Value::word("holdfast")),
        ("<value><nil/></value>", Value::Void),
        ("<value><array/></value>", Value::Set(vec![])),
        ("<value><array> <data> </data> </array></value>", Value::Set(vec![])),
        ("<value><struct/></value>", Value::Struct(vec![])),
        ("<?xml version='1.0'?><!-- c --><value>x<!-- c -->y</value><!-- c -->", Value::word("xy")),
    ] {
        assert_eq!(
            xmlrpc::decode_value(text.as_bytes(), Limits::CALL).expect(text),
            value,
            "{text}"
        );
    }
}

#[test]
fn what_is_no_xmlrpc_is_refused_with_its_place() {
    for text in [
        "",
        " ",
        "x",
        "<value>",
        "<value></valu>",
        "<value><int>1</value>",
        "<value>x<int>1</int></value>",
        "<value><int>1</int><int>2</int></value>",
        "<value><thing/></value>",
        "<value/><value/>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><value>&a;</value>",
        "<value>&nbsp;</value>",
        "<value>&#0;</value>",
        "<value><base64>***</base64></value>",
        "<value><base64>/w==</base64></value>",
        "<value><struct><member><value/></member></struct></value>",
        "<value><array><value/></array></value>",
        "<value><struct><member><name>a<b/></name><value/></member></struct></value>",
    ] {
        xmlrpc::decode_value(text.as_bytes(), Limits::CALL).expect_err(text);
    }
    xmlrpc::decode_value(b"<value>\xff</value>", Limits::CALL).expect_err("not UTF-8");
    let malformed =
        xmlrpc::decode_value(b"<value><thing/></value>", Limits::CALL).expect_err("no such type");
    assert!(malformed.to_string().contains("<thing> is no type of XML-RPC"), "{malformed}");
    assert_eq!(
        xmlrpc::decode_call(
            b"<methodCall><methodName>system.listMethods</methodName></methodCall>"
        )
        .expect("no params"),
        xmlrpc::Call { method: "system.listMethods".into(), params: vec![] }
    );
}

#[test]
fn answers_that_other_servers_give_are_read() {
    let mut bare = Vec::new();
    xmlrpc::write_bare(&Value::str_set(["a.b"]), &mut bare);
    assert_eq!(xmlrpc::decode_response(&bare).expect("bare"), Ok(Value::str_set(["a.b"])));
    let mut fault = Vec::new();
    xmlrpc::write_fault(-32_600, "not a <call>", &mut fault);
    assert_eq!(
        xmlrpc::decode_response(&fault).expect("fault"),
        Err(Error::new("Fault", ["-32600", "not a <call>"]))
    );
    let data = br#"{"jsonrpc":"2.0","error":{"code":1,"message":"X","data":"y"},"id":null}"#;
    assert_eq!(jsonrpc::decode_response(data).expect("text as data"), Err(Error::new("X", ["y"])));
}

/// The call as Python's `xmlrpc.client` writes it.
#[test]
fn a_call_of_the_python_client_is_read() {
    let text = "<?xml version='1.0'?>\n<methodCall>\n<methodName>VM.create</methodName>\n<params>\n<param>\n\
        <value><string>OpaqueRef:s</string></value>\n</param>\n<param>\n<value><int>5</int></value>\n</param>\n\
        <param>\n<value><boolean>1</boolean></value>\n</param>\n<param>\n<value><double>1.5</double></value>\n</param>\n\
        <param>\n<value><struct>\n<member>\n<name>a</name>\n<value><string>b &lt;&amp;&gt; é\n</string></value>\n\
        </member>\n<member>\n<name>n</name>\n<value><array><data>\n<value><int>1</int></value>\n\
        <value><string>2</string></value>\n<value><nil/></value></data></array></value>\n</member>\n</struct></value>\n\
        </param>\n<param>\n<value><dateTime.iso8601>20260101T00:00:00Z</dateTime.iso8601></value>\n</param>\n\
        <param>\n<value><base64>\ndGV4dA==\n</base64></value>\n</param>\n<param>\n<value><string></string></value>\n\
        </param>\n</params>\n</methodCall>\n";
    let call = xmlrpc::decode_call(text.as_bytes()).expect("a call");
    assert_eq!(call.method, "VM.create");
    let object = vec![
        ("a".into(), Value::word("b <&> é\n")),
        ("n".into(), Value::Set(vec![Value::Int(1), Value::word("2"), Value::Void])),
    ];
    let expected = [
        Value::word("OpaqueRef:s"),
        Value::Int(5),
        Value::Bool(true),
        Value::Float(1.5),
        Value::Struct(object),
        Value::DateTime(xenapi::Timestamp(1_767_225_600)),
        Value::word("text"),
        Value::word(""),
    ];
    assert_eq!(call.params, expected);
}
