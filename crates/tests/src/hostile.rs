//! Malformed requests by the thousand, each with what a correct server answers.
//!
//! A [`Generator`] makes requests from a seed. Most begin as an honest call that changes nothing and are then spoiled in
//! one way whose consequence is known: the answer's class is asserted, not merely that there is one. Random damage, whose
//! consequence nobody can know, must still get a well-formed answer. Nothing here leaves objects behind if the server is
//! correct, so its memory must not grow.

use datamodel::{Lifecycle, Method, Param, Role, Type};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use xenapi::{Text, Value, jsonrpc, xmlrpc};

/// Deeper than any decoder goes.
const TOO_DEEP: usize = 100;
/// Larger than a call may be, bytes.
const TOO_LARGE: usize = (16 << 20) + 1;
/// Larger than a record may be, bytes.
const TOO_LARGE_TO_KEEP: usize = 1 << 20;
/// JSON-RPC's codes of a text that is no JSON, and of JSON that is no request.
const PARSE: i64 = -32_700;
const REQUEST: i64 = -32_600;

/// Which protocol a request pretends to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// JSON-RPC at `/jsonrpc`.
    Json,
    /// XML-RPC at `/`.
    Xml,
}

impl Wire {
    /// Where it is posted.
    pub fn path(self) -> &'static str {
        match self {
            Self::Json => "/jsonrpc",
            Self::Xml => "/",
        }
    }
}

/// What a correct server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A XenAPI error of one of these codes.
    Error(&'static [&'static str]),
    /// The protocol's own fault of one of these codes.
    Fault(&'static [i64]),
    /// Any well-formed answer of the protocol.
    WellFormed,
    /// One of these HTTP statuses.
    Status(&'static [u16]),
    /// One of these HTTP statuses, or the end of the connection without an answer.
    StatusOrHangup(&'static [u16]),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What is wrong with it.
    pub kind: &'static str,
    /// Protocol of its path.
    pub wire: Wire,
    /// All bytes on the wire, request line included.
    pub bytes: Vec<u8>,
    /// Our side says that nothing follows.
    pub then_finish: bool,
    /// What comes back.
    pub expected: Expected,
}

/// Makes requests.
#[derive(Debug)]
pub struct Generator {
    rng: StdRng,
    session: String,
    pool: String,
    strangers: Vec<String>,
    methods: Vec<Method>,
}

impl Generator {
    /// From a seed. `session` is root's, `pool` the pool's reference; `strangers` are references that are no sessions.
    pub fn new(seed: u64, session: &str, pool: &str, strangers: Vec<String>) -> Self {
        let callable = |m: &Method| {
            m.session()
                && m.role() < Role::Internal
                && matches!(m.state(), Lifecycle::Published | Lifecycle::Deprecated)
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            session: session.to_owned(),
            pool: pool.to_owned(),
            strangers,
            methods: datamodel::all_methods().filter(callable).collect(),
        }
    }

    /// The next request.
    pub fn next_attack(&mut self) -> Attack {
        let wire = if self.rng.random() { Wire::Json } else { Wire::Xml };
        match self.rng.random_range(0..100) {
            0..15 => self.truncated(wire),
            15..27 => self.damaged(wire),
            27..40 => self.wrong_type(wire),
            40..52 => self.unknown_reference(wire),
            52..62 => self.wrong_session(wire),
            62..70 => self.wrong_count(wire),
            70..76 => self.unknown_method(wire),
            76..80 => self.too_deep(wire),
            80..84 => self.not_text(wire),
            84..89 => self.not_a_call(wire),
            89 => self.too_many_values(wire),
            90 => self.too_large_to_keep(wire),
            _ => self.bad_http(wire),
        }
    }

    /// A body beyond the limit, sent in chunks that do not say so beforehand.
    pub fn too_large_in_chunks(&mut self, wire: Wire) -> Attack {
        let mut bytes = head(wire, "transfer-encoding: chunked");
        let piece = vec![b' '; 1 << 20];
        for _ in 0..=TOO_LARGE / piece.len() {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(&piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let expected = Expected::StatusOrHangup(&[413]);
        Attack { kind: "too large in chunks", wire, bytes, then_finish: false, expected }
    }

    /// An honest call that reads, as a body.
    pub fn honest(&mut self, wire: Wire) -> Vec<u8> {
        let session = Value::from(self.session.as_str());
        let calls: [(&str, Vec<Value>); 5] = [
            ("host.get_all_records", vec![]),
            ("VM.get_by_name_label", vec!["Zoë's \"VM\" <1>".into()]),
            ("pool.get_all", vec![]),
            ("session.get_auth_user_name", vec![session.clone()]),
            ("SR.get_by_uuid", vec!["5ef18a1c-0000-4000-8000-000000000000".into()]),
        ];
        let (method, rest) = calls.choose(&mut self.rng).expect("there are five").clone();
        let mut params = vec![session];
        params.extend(rest);
        encode(wire, method, &params)
    }

    fn truncated(&mut self, wire: Wire) -> Attack {
        let body = self.honest(wire);
        let cut = self.rng.random_range(0..body.len());
        post("truncated", wire, &body[..cut], Expected::Fault(&[PARSE]))
    }

    fn damaged(&mut self, wire: Wire) -> Attack {
        let mut body = self.honest(wire);
        for _ in 0..self.rng.random_range(1..6) {
            let at = self.rng.random_range(0..body.len());
            match self.rng.random_range(0..4) {
                0 => body[at] = self.rng.random(),
                1 => {
                    body.remove(at);
                }
                2 => body.insert(at, *b"\"{}[]<>&;\\\0'".choose(&mut self.rng).expect("some")),
                _ => {
                    let from = self.rng.random_range(0..body.len());
                    let piece = body[from..(from + 12).min(body.len())].to_vec();
                    body.splice(at..at, piece);
                }
            }
        }
        post("damaged", wire, &body, Expected::WellFormed)
    }

    fn wrong_type(&mut self, wire: Wire) -> Attack {
        loop {
            let method = *self.methods.choose(&mut self.rng).expect("there are messages");
            let params = method.params();
            if params.is_empty() {
                continue;
            }
            let at = self.rng.random_range(0..params.len());
            let mut values: Vec<Value> = params.iter().map(|p| self.fitting(&p.ty)).collect();
            values[at] = self.unfit(&params[at].ty);
            let body = self.call(wire, &method.full_name(), values);
            return post("wrong type", wire, &body, Expected::Error(&["FIELD_TYPE_ERROR"]));
        }
    }

    fn unknown_reference(&mut self, wire: Wire) -> Attack {
        loop {
            let method = *self.methods.choose(&mut self.rng).expect("there are messages");
            let params = method.params();
            let Some(Param { ty: Type::Ref(class), .. }) = params.first() else { continue };
            if params.iter().skip(1).any(|p| matches!(p.ty, Type::Record(_))) {
                continue;
            }
            // These say so whatever they are asked about.
            if datamodel::coverage::refusal(&method).is_some() {
                continue;
            }
            let values = params.iter().map(|p| self.fitting(&p.ty)).collect();
            let body = self.call(wire, &method.full_name(), values);
            let codes: &'static [&'static str] = match (*class, method) {
                ("session", _) => &["SESSION_INVALID", "NOT_IMPLEMENTED"],
                (_, Method::Implicit(..)) => &["HANDLE_INVALID", "NOT_IMPLEMENTED"],
                (_, Method::Explicit(..)) => &["HANDLE_INVALID", "NOT_IMPLEMENTED"],
            };
            return post("unknown reference", wire, &body, Expected::Error(codes));
        }
    }

    fn wrong_session(&mut self, wire: Wire) -> Attack {
        let method = *self.methods.choose(&mut self.rng).expect("there are messages");
        let session = match self.rng.random_range(0..6) {
            0 => Value::Bool(true),
            1 => Value::Set(vec![Value::from(self.session.as_str())]),
            2 => self.reference(),
            3 => Value::from(""),
            _ => Value::from(self.strangers.choose(&mut self.rng).map_or("", String::as_str)),
        };
        let mut values = vec![session];
        values.extend(method.params().iter().map(|p| self.fitting(&p.ty)));
        let body = encode(wire, &method.full_name(), &values);
        post("no session of ours", wire, &body, Expected::Error(&["SESSION_INVALID"]))
    }

    fn wrong_count(&mut self, wire: Wire) -> Attack {
        let method = *self.methods.choose(&mut self.rng).expect("there are messages");
        let params = method.params();
        let required = params.iter().filter(|p| p.default.is_none()).count();
        let given = if required > 0 && self.rng.random() {
            self.rng.random_range(0..required)
        } else {
            params.len() + self.rng.random_range(1..6)
        };
        let body = if required > 0 && given == 0 && self.rng.random() {
            encode(wire, &method.full_name(), &[])
        } else {
            let values = (0..given).map(|i| match params.get(i) {
                Some(param) => self.fitting(&param.ty),
                None => Value::from("more"),
            });
            let values = values.collect();
            self.call(wire, &method.full_name(), values)
        };
        let expected = Expected::Error(&["MESSAGE_PARAMETER_COUNT_MISMATCH"]);
        post("wrong number of parameters", wire, &body, expected)
    }

    fn unknown_method(&mut self, wire: Wire) -> Attack {
        let known = self.methods.choose(&mut self.rng).expect("there are messages").full_name();
        let name = match self.rng.random_range(0..6) {
            0 => known.to_uppercase() + "!",
            1 => known.replace('.', ""),
            2 => format!("{known}\u{0301}"),
            3 => format!("Async.Async.{known}"),
            4 => "VM.get_no_such_field".to_owned(),
            _ => format!("host.{}", "x".repeat(self.rng.random_range(1..200))),
        };
        let body = self.call(wire, &name, vec![]);
        post("unknown method", wire, &body, Expected::Error(&["MESSAGE_METHOD_UNKNOWN"]))
    }

    fn too_deep(&mut self, wire: Wire) -> Attack {
        let depth = self.rng.random_range(TOO_DEEP..20_000);
        let body = match wire {
            Wire::Json => {
                let (open, close) = if self.rng.random() { ("[", "]") } else { ("{\"a\":", "}") };
                format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"VM.get_all\",\"params\":[{}1{}]}}",
                    open.repeat(depth),
                    close.repeat(depth)
                )
            }
            Wire::Xml => format!(
                "<methodCall><methodName>VM.get_all</methodName><params><param>{}<value>1</value>{}</param></params>\
                 </methodCall>",
                "<value><array><data>".repeat(depth),
                "</data></array></value>".repeat(depth)
            ),
        };
        let fault: &'static [i64] = if wire == Wire::Json { &[REQUEST] } else { &[PARSE] };
        post("too deep", wire, body.as_bytes(), Expected::Fault(fault))
    }

    fn not_text(&mut self, wire: Wire) -> Attack {
        // Inside the method's name, where every byte counts.
        let mut body = encode(wire, "VM.get_xxxx", &[]);
        let at = body.windows(4).position(|w| w == b"xxxx").expect("it is in there");
        let bad: [&[u8]; 4] = [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"];
        let bad = *bad.choose(&mut self.rng).expect("there are four");
        body.splice(at..at + 4, bad.iter().copied());
        post("not UTF-8", wire, &body, Expected::Fault(&[PARSE]))
    }

    fn not_a_call(&mut self, wire: Wire) -> Attack {
        match wire {
            Wire::Json => {
                let bodies: [(&str, &'static [i64]); 12] = [
                    ("[]", &[REQUEST]),
                    (
                        "[{\"jsonrpc\":\"2.0\",\"method\":\"VM.get_all\",\"params\":[],\"id\":1}]",
                        &[REQUEST],
                    ),
                    ("null", &[REQUEST]),
                    ("\"VM.get_all\"", &[REQUEST]),
                    ("17", &[REQUEST]),
                    ("{}", &[REQUEST]),
                    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"params\":[]}", &[REQUEST]),
                    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7,\"params\":[]}", &[REQUEST]),
                    (
                        "{\"jsonrpc\":\"3.0\",\"id\":1,\"method\":\"VM.get_all\",\"params\":[]}",
                        &[REQUEST],
                    ),
                    (
                        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"VM.get_all\",\"params\":\"x\"}",
                        &[REQUEST],
                    ),
                    ("{\"method\":\"a\",\"method\":\"b\",\"params\":[],\"id\":1}", &[REQUEST]),
                    ("{\"method\":\"VM.get_all\",\"params\":[],\"id\":1} {}", &[PARSE]),
                ];
                let (body, fault) = *bodies.choose(&mut self.rng).expect("there are some");
                post("JSON that is no call", wire, body.as_bytes(), Expected::Fault(fault))
            }
            Wire::Xml => {
                let bodies = [
                    "",
                    "<methodCall/>",
                    "<methodResponse><params/></methodResponse>",
                    "<methodCall><methodName></methodName><params/></methodCall>",
                    "<methodCall><methodName>VM.get_all</methodName><params><param/></params></methodCall>",
                    "<methodCall><methodName>VM.get_all</methodName></methodCall><methodCall/>",
                    "<!DOCTYPE x [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><methodCall><methodName>&b;\
                     </methodName></methodCall>",
                    "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/shadow\">]><methodCall><methodName>&a;</methodName>\
                     </methodCall>",
                    "<methodCall><methodName>VM.get_all &nothing;</methodName></methodCall>",
                    "{\"method\":\"VM.get_all\",\"params\":[],\"id\":1}",
                    "GET / HTTP/1.1",
                ];
                let body = *bodies.choose(&mut self.rng).expect("there are some");
                post("XML that is no call", wire, body.as_bytes(), Expected::Fault(&[PARSE]))
            }
        }
    }

    fn too_many_values(&mut self, wire: Wire) -> Attack {
        let values = Value::Set(vec![Value::Bool(true); 250_000]);
        let body = encode(wire, "VM.get_all", &[values]);
        let fault: &'static [i64] = if wire == Wire::Json { &[REQUEST] } else { &[PARSE] };
        post("too many values", wire, &body, Expected::Fault(fault))
    }

    fn too_large_to_keep(&mut self, wire: Wire) -> Attack {
        let text = "x".repeat(self.rng.random_range(TOO_LARGE_TO_KEEP..2 * TOO_LARGE_TO_KEEP));
        let pool = Value::from(self.pool.as_str());
        let (method, values) = if self.rng.random() {
            ("pool.set_name_description", vec![pool, text.into()])
        } else {
            ("pool.add_to_other_config", vec![pool, "key".into(), text.into()])
        };
        let body = self.call(wire, method, values);
        post("too large to keep", wire, &body, Expected::Error(&["VALUE_NOT_SUPPORTED"]))
    }

    fn bad_http(&mut self, wire: Wire) -> Attack {
        let body = self.honest(wire);
        let path = wire.path();
        let raw = |kind, bytes: Vec<u8>, then_finish, expected| Attack {
            kind,
            wire,
            bytes,
            then_finish,
            expected,
        };
        let with_body = |line: &str| {
            let mut bytes = head(wire, line);
            bytes.extend_from_slice(&body);
            bytes
        };
        match self.rng.random_range(0..13) {
            0 => {
                let line =
                    format!("content-length: {}", TOO_LARGE + self.rng.random_range(0..1 << 40));
                raw("a length beyond the limit", head(wire, &line), false, Expected::Status(&[413]))
            }
            1 => {
                let bad = ["-1", "many", "1e3", "0x10", "99999999999999999999999999"];
                let line = format!("content-length: {}", bad.choose(&mut self.rng).expect("some"));
                raw("a length that is none", with_body(&line), false, Expected::Status(&[400]))
            }
            2 => {
                let line = "content-length: 5\r\ncontent-length: 6";
                raw("two lengths", with_body(line), false, Expected::Status(&[400]))
            }
            3 => {
                let line =
                    format!("content-length: {}", body.len() + self.rng.random_range(1..5000));
                raw("less than announced", with_body(&line), true, Expected::StatusOrHangup(&[400]))
            }
            4 => {
                let line =
                    format!("content-length: {}\r\nx-long: {}", body.len(), "x".repeat(300 << 10));
                raw("a header too long", with_body(&line), false, Expected::StatusOrHangup(&[431]))
            }
            5 => {
                let many: String = (0..300).map(|i| format!("x-{i}: {i}\r\n")).collect();
                let line = format!("{many}content-length: {}", body.len());
                raw("too many headers", with_body(&line), false, Expected::StatusOrHangup(&[431]))
            }
            6 => {
                let line = "transfer-encoding: chunked\r\n\r\nzz\r\n";
                raw(
                    "a chunk without a size",
                    with_body(line),
                    false,
                    Expected::StatusOrHangup(&[400]),
                )
            }
            7 => {
                let verb = *["GET", "PUT"].choose(&mut self.rng).expect("some");
                let bytes =
                    format!("{verb} /no/such/page HTTP/1.1\r\nhost: pool\r\n\r\n").into_bytes();
                raw("no such page", bytes, false, Expected::Status(&[404]))
            }
            8 => {
                let verb =
                    ["DELETE", "PATCH", "OPTIONS", "BREW"].choose(&mut self.rng).expect("some");
                let bytes =
                    format!("{verb} {path} HTTP/1.1\r\nhost: pool\r\ncontent-length: 0\r\n\r\n");
                raw("another verb", bytes.into_bytes(), false, Expected::Status(&[405]))
            }
            9 => {
                let lines = [
                    "POST",
                    "\0\0\0\0",
                    "POST  / HTTP/1.1",
                    "hello",
                    "POST / HTTP/9.9",
                    "POST / SPDY/1",
                ];
                let line = lines.choose(&mut self.rng).expect("some");
                let bytes = format!("{line}\r\nhost: pool\r\n\r\n").into_bytes();
                raw("no request line", bytes, false, Expected::StatusOrHangup(&[400]))
            }
            10 => {
                let bytes =
                    format!("POST {path} HTTP/1.1\r\nhost: pool\r\nbad header\x01: \x7f\r\n\r\n");
                raw(
                    "a header that is none",
                    bytes.into_bytes(),
                    false,
                    Expected::StatusOrHangup(&[400]),
                )
            }
            11 => {
                let long = "x".repeat(300 << 10);
                let bytes =
                    format!("POST /{long} HTTP/1.1\r\nhost: pool\r\ncontent-length: 0\r\n\r\n");
                raw(
                    "a path too long",
                    bytes.into_bytes(),
                    false,
                    Expected::StatusOrHangup(&[414, 431]),
                )
            }
            _ => {
                let size = self.rng.random_range(1..300);
                let bytes: Vec<u8> = (0..size).map(|_| self.rng.random()).collect();
                raw("noise", bytes, true, Expected::StatusOrHangup(&[400]))
            }
        }
    }

    fn call(&self, wire: Wire, method: &str, rest: Vec<Value>) -> Vec<u8> {
        let mut params = vec![Value::from(self.session.as_str())];
        params.extend(rest);
        encode(wire, method, &params)
    }

    fn reference(&mut self) -> Value {
        Value::Ref(xenapi::OpaqueRef::new(uuid::Uuid::from_u128(self.rng.random())))
    }

    /// A value of the type; references name nothing.
    fn fitting(&mut self, ty: &Type) -> Value {
        match ty {
            Type::Void => Value::Void,
            Type::String => Value::from("text"),
            Type::Int => Value::Int(self.rng.random_range(-5..1 << 40)),
            Type::Float => Value::Float(0.5),
            Type::Bool => Value::Bool(self.rng.random()),
            Type::DateTime => Value::from("20260101T00:00:00Z"),
            Type::Ref(_) => self.reference(),
            Type::Enum(def) => Value::from(def.values[0]),
            Type::Set(_) => Value::Set(vec![]),
            Type::Map(..) | Type::Record(_) | Type::EventBatch | Type::AnyRecord => {
                Value::Struct(vec![])
            }
            Type::Optional(inner) => self.fitting(inner),
        }
    }

    /// A value that no reading makes one of the type.
    fn unfit(&mut self, ty: &Type) -> Value {
        let list = Value::Set(vec![Value::Set(vec![]), Value::Set(vec![])]);
        let structure = Value::Struct(vec![(Text::from("a"), Value::Set(vec![]))]);
        let pick = self.rng.random_range(0..3);
        match (ty, pick) {
            (Type::Int | Type::Float | Type::Bool, 0) => Value::from("neither"),
            (Type::Set(_) | Type::Map(..) | Type::Record(_), 0) => Value::from("text"),
            (Type::Set(_), _) => structure,
            (Type::Optional(inner), _) => self.unfit(inner),
            (Type::Map(..) | Type::Record(_), _) | (_, 1) => list,
            _ => structure,
        }
    }
}

fn encode(wire: Wire, method: &str, params: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    match wire {
        Wire::Json => {
            let id = jsonrpc::Id::number(1);
            jsonrpc::encode_call(jsonrpc::Version::V2, &id, method, params, &mut out);
        }
        Wire::Xml => xmlrpc::encode_call(method, params, &mut out),
    }
    out
}

fn head(wire: Wire, lines: &str) -> Vec<u8> {
    format!("POST {} HTTP/1.1\r\nhost: pool\r\n{lines}\r\n\r\n", wire.path()).into_bytes()
}

fn post(kind: &'static str, wire: Wire, body: &[u8], expected: Expected) -> Attack {
    let mut bytes = head(wire, &format!("content-length: {}", body.len()));
    bytes.extend_from_slice(body);
    Attack { kind, wire, bytes, then_finish: false, expected }
}
