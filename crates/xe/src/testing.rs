//! A fake API for the tests of this crate: records in memory, field accessors, and a log of what was called.
//!
//! Messages other than the accessors answer nothing, or what `answers` says; tests assert on `calls`.

use std::collections::BTreeMap;

use crate::api::{Api, Fields, Value, text_of};
use crate::command_line::Surroundings;
use crate::failure::CallError;
use crate::output::Captured;

/// Records by class and reference.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    pub(crate) records: BTreeMap<String, BTreeMap<String, Fields>>,
    pub(crate) answers: BTreeMap<String, Result<Value, CallError>>,
    pub(crate) calls: std::rc::Rc<std::cell::RefCell<Vec<String>>>,
}

/// A uuid ending in `n`.
pub(crate) fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// The reference of [`uuid`] `n`.
pub(crate) fn reference(n: u32) -> String {
    format!("OpaqueRef:{}", uuid(n))
}

/// What a field of that type holds when nothing was set.
fn zero(ty: &datamodel::Type) -> Value {
    use datamodel::Type;
    match ty {
        Type::Int => Value::from(0),
        Type::Float => Value::from(0.0),
        Type::Bool => Value::Bool(false),
        Type::DateTime => Value::from("19700101T00:00:00Z"),
        Type::Ref(_) => Value::from(crate::api::NULL_REF),
        Type::Enum(words) => Value::from(words.values[0]),
        Type::Set(_) => Value::Array(vec![]),
        Type::Map(..) => Value::Object(Fields::new()),
        _ => Value::from(""),
    }
}

impl Fake {
    /// Adds a record; `fields` is a JSON object, the uuid is added.
    pub(crate) fn with(mut self, class: &str, n: u32, fields: Value) -> Self {
        let Value::Object(mut fields) = fields else { panic!("fields are an object") };
        fields.insert("uuid".into(), Value::String(uuid(n)));
        for field in datamodel::class(class).map_or(&[][..], |c| c.fields) {
            if !fields.contains_key(field.name) {
                fields.insert(field.name.to_owned(), zero(&field.ty));
            }
        }
        self.records.entry(class.into()).or_default().insert(reference(n), fields);
        self
    }

    /// What `method` answers.
    pub(crate) fn answering(mut self, method: &str, answer: Value) -> Self {
        self.answers.insert(method.into(), Ok(answer));
        self
    }

    /// The error `method` ends with.
    pub(crate) fn failing(mut self, method: &str, code: &str, params: &[&str]) -> Self {
        let params = params.iter().map(|p| (*p).to_owned()).collect();
        self.answers.insert(method.into(), Err(CallError::Api { code: code.into(), params }));
        self
    }

    fn record(&mut self, class: &str, reference: &str) -> Result<&mut Fields, CallError> {
        self.records
            .get_mut(class)
            .and_then(|c| c.get_mut(reference))
            .ok_or_else(|| api_error("HANDLE_INVALID", &[class, reference]))
    }
}

fn api_error(code: &str, params: &[&str]) -> CallError {
    CallError::Api {
        code: code.to_owned(),
        params: params.iter().map(|p| (*p).to_owned()).collect(),
    }
}

impl Api for Fake {
    fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Value, CallError> {
        let texts: Vec<String> = params.iter().map(text_of).collect();
        self.calls.borrow_mut().push(format!("{method}({})", texts.join(", ")));
        if let Some(answer) = self.answers.get(method) {
            return answer.clone();
        }
        let (class, name) = method.rsplit_once('.').expect("a method has a class");
        let first = texts.first().cloned().unwrap_or_default();
        if name == "get_all_records" {
            let all = self.records.get(class).cloned().unwrap_or_default();
            return Ok(Value::Object(
                all.into_iter().map(|(k, v)| (k, Value::Object(v))).collect(),
            ));
        }
        if name == "get_all" {
            let all = self.records.get(class).cloned().unwrap_or_default();
            return Ok(Value::Array(all.into_keys().map(Value::String).collect()));
        }
        if name == "get_by_uuid" {
            let reference = format!("OpaqueRef:{first}");
            return match self.records.get(class).is_some_and(|c| c.contains_key(&reference)) {
                true => Ok(Value::String(reference)),
                false => Err(api_error("UUID_INVALID", &[class, &first])),
            };
        }
        if name == "get_by_name_label" {
            let all = self.records.get(class).cloned().unwrap_or_default();
            let found = all.into_iter().filter(|(_, f)| f.get("name_label") == params.first());
            return Ok(Value::Array(found.map(|(r, _)| Value::String(r)).collect()));
        }
        if name == "get_record" {
            return Ok(Value::Object(self.record(class, &first)?.clone()));
        }
        if let Some(async_method) = method.strip_prefix("Async.") {
            let result = self.call(async_method, params)?;
            self.answers.insert(
                "event.from".into(),
                Ok(serde_json::json!({"token": "1", "events": [{"ref": "OpaqueRef:task", "snapshot": {
                    "status": "success", "progress": 1.0, "error_info": [],
                    "result": format!("<value>{}</value>", text_of(&result))}}]})),
            );
            return Ok(Value::String("OpaqueRef:task".into()));
        }
        if let Some(field) = name.strip_prefix("get_") {
            let record = self.record(class, &first)?;
            return Ok(record.get(field).cloned().unwrap_or(Value::Null));
        }
        if let Some(field) = name.strip_prefix("set_")
            && params.len() == 2
        {
            let value = params[1].clone();
            self.record(class, &first)?.insert(field.into(), value);
        }
        Ok(Value::Null)
    }

    fn session(&mut self) -> Result<String, CallError> {
        Ok(String::new())
    }

    fn download(
        &mut self,
        target: &str,
        into: &mut dyn std::io::Write,
        _progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError> {
        self.calls.borrow_mut().push(format!("GET {target}"));
        into.write_all(b"data").map_err(|e| CallError::Broken(e.to_string()))
    }

    fn upload(
        &mut self,
        target: &str,
        from: &mut dyn crate::api::Source,
        _length: Option<u64>,
        _into: &mut dyn std::io::Write,
        _progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError> {
        let mut data = String::new();
        from.read_to_string(&mut data).map_err(|e| CallError::Broken(e.to_string()))?;
        self.calls.borrow_mut().push(format!("PUT {target} {data}"));
        Ok(())
    }

    fn another(&mut self, _globals: crate::Globals) -> Box<dyn Api> {
        Box::new(self.clone())
    }
}

/// What one run of `xe` printed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: u8,
    pub(crate) calls: Vec<String>,
}

/// Runs `xe` with these words.
pub(crate) fn xe_words(fake: &Fake, words: &[&str], input: &[&str]) -> Run {
    let arguments: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let mut terminal = Captured {
        input: input.iter().rev().map(|l| format!("{l}\n")).collect(),
        ..Captured::default()
    };
    let fake = Fake { calls: std::rc::Rc::default(), ..fake.clone() };
    let calls = std::rc::Rc::clone(&fake.calls);
    let code =
        super::dispatch::run_with(&arguments, &Surroundings::default(), &mut terminal, &mut |_| {
            Box::new(fake.clone())
        });
    let calls = calls.borrow().clone();
    Run {
        out: String::from_utf8(terminal.out).expect("output is UTF-8"),
        err: terminal.err,
        code,
        calls,
    }
}

/// Runs `xe` with a line split at blanks.
pub(crate) fn xe(fake: &Fake, line: &str) -> Run {
    xe_words(fake, &line.split(' ').collect::<Vec<_>>(), &[])
}
