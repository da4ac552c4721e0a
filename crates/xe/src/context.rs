//! What a command has in its hands: the API, the printer and its parameters, with the look-ups every command needs.
//!
//! Not here: what commands do. Looking up an object never changes anything, so a command that looks everything up first
//! does nothing by halves (S2-54).

use std::collections::HashMap;

use crate::api::{Api, Fields, NULL_REF, Value, is_uuid, s, text_of};
use crate::command_line::Params;
use crate::failure::{CallError, Failure};
use crate::local;
use crate::output::Out;
use crate::quantity;
use crate::task;

/// Shortest piece of a uuid that may stand for the whole.
const MIN_UUID_PREFIX: usize = 8;

/// A class as fetched: which fields (`None` for all), and the records by reference.
struct Fetched {
    fields: Option<Vec<String>>,
    records: HashMap<String, Fields>,
}

/// A command's hands.
pub(crate) struct Context<'a, 't> {
    /// Calls the pool.
    pub api: &'a mut dyn Api,
    /// Prints.
    pub out: &'a mut Out<'t>,
    /// The command's parameters, in XenServer's spelling.
    pub params: Params,
    /// Records fetched as a whole class.
    classes: HashMap<String, Fetched>,
    /// Many objects are shown: related records are worth fetching by class.
    bulk: bool,
}

impl std::fmt::Debug for Context<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Parameters may hold secrets.
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl<'a, 't> Context<'a, 't> {
    /// Puts the pieces together.
    pub(crate) fn new(api: &'a mut dyn Api, out: &'a mut Out<'t>, params: Params) -> Self {
        Self { api, out, params, classes: HashMap::new(), bulk: false }
    }

    /// Says that many objects will be shown.
    pub(crate) fn set_bulk(&mut self, bulk: bool) {
        self.bulk = bulk;
    }

    /// True if related records are fetched by class rather than one by one.
    pub(crate) fn is_bulk(&self) -> bool {
        self.bulk
    }

    // ---- calls

    /// One call.
    pub(crate) fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Value, Failure> {
        Ok(self.api.call(method, params)?)
    }

    /// One call that answers text (a reference, mostly).
    pub(crate) fn call_text(
        &mut self,
        method: &str,
        params: Vec<Value>,
    ) -> Result<String, Failure> {
        Ok(text_of(&self.api.call(method, params)?))
    }

    /// A call that may take long: runs as a task, with progress on a terminal and Ctrl-C to cancel.
    pub(crate) fn run(&mut self, method: &str, params: Vec<Value>) -> Result<String, Failure> {
        task::run(self.api, self.out, method, params)
    }

    /// The uuid of a record.
    pub(crate) fn uuid_of(&mut self, class: &str, reference: &str) -> Result<String, Failure> {
        self.call_text(&format!("{class}.get_uuid"), vec![s(reference)])
    }

    /// One field of a record, as text.
    pub(crate) fn get(
        &mut self,
        class: &str,
        reference: &str,
        field: &str,
    ) -> Result<String, Failure> {
        self.call_text(&format!("{class}.get_{field}"), vec![s(reference)])
    }

    /// A field that is a set, as texts.
    pub(crate) fn get_set(
        &mut self,
        class: &str,
        reference: &str,
        field: &str,
    ) -> Result<Vec<String>, Failure> {
        let value = self.call(&format!("{class}.get_{field}"), vec![s(reference)])?;
        Ok(texts(&value))
    }

    /// The whole record.
    pub(crate) fn record(&mut self, class: &str, reference: &str) -> Result<Fields, Failure> {
        match self.call(&format!("{class}.get_record"), vec![s(reference)])? {
            Value::Object(fields) => Ok(fields),
            _ => {
                Err(CallError::Broken(format!("{class}.get_record did not return a record")).into())
            }
        }
    }

    /// All records of a class by reference, fetched once; with `wanted`, at least those fields.
    pub(crate) fn class(
        &mut self,
        class: &str,
        wanted: Option<&[&str]>,
    ) -> Result<&HashMap<String, Fields>, Failure> {
        let covered = self.classes.get(class).is_some_and(|have| match (&have.fields, wanted) {
            (None, _) => true,
            (Some(have), Some(wanted)) => wanted.iter().all(|w| have.iter().any(|h| h == w)),
            (Some(_), None) => false,
        });
        if !covered {
            let fields = wanted.map(|w| w.iter().map(|f| (*f).to_owned()).collect());
            let records = self.api.records(class, wanted)?.into_iter().collect();
            self.classes.insert(class.to_owned(), Fetched { fields, records });
        }
        Ok(&self.classes[class].records)
    }

    /// What is known of a record without asking again.
    pub(crate) fn cached(&self, class: &str, reference: &str) -> Option<&Fields> {
        let have = self.classes.get(class)?;
        if have.fields.is_some() { None } else { have.records.get(reference) }
    }

    /// The pool's only pool record.
    pub(crate) fn pool(&mut self) -> Result<String, Failure> {
        let all = self.call("pool.get_all", vec![])?;
        texts(&all)
            .into_iter()
            .next()
            .ok_or_else(|| CallError::Broken("the server has no pool record".to_owned()).into())
    }

    /// The coordinator.
    pub(crate) fn coordinator(&mut self) -> Result<String, Failure> {
        let pool = self.pool()?;
        self.get("pool", &pool, "master")
    }

    /// The host that answers this session; on the unix socket, this machine.
    pub(crate) fn this_host(&mut self) -> Result<String, Failure> {
        let session = self.api.session()?;
        match self.api.call("session.get_this_host", vec![s(session)]) {
            Ok(host) => Ok(text_of(&host)),
            // Root on the socket has no session record; the machine knows itself by its configuration and its name.
            Err(CallError::Api { code, params }) => {
                let known = local::names();
                let hosts =
                    self.api.records("host", Some(&["name_label", "hostname", "address"]))?;
                let is_me = |fields: &Fields| {
                    let text = |name: &str| fields.get(name).map(text_of).unwrap_or_default();
                    let own = [text("address"), text("hostname"), text("name_label")];
                    own.iter().any(|n| !n.is_empty() && known.contains(n))
                };
                let mut mine = hosts.iter().filter(|(_, f)| is_me(f));
                match (mine.next(), mine.next(), hosts.as_slice()) {
                    (Some((host, _)), None, _) | (None, None, [(host, _)]) => Ok(host.clone()),
                    _ => Err(CallError::Api { code, params }.into()),
                }
            }
            Err(other) => Err(other.into()),
        }
    }

    // ---- parameters

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<String, Failure> {
        self.params.get(name).map(str::to_owned).ok_or_else(|| Failure::missing(name))
    }

    /// A parameter, or its default.
    pub(crate) fn text_or(&self, name: &str, default: &str) -> String {
        self.params.get(name).unwrap_or(default).to_owned()
    }

    /// A parameter that may be absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.params.get(name).map(str::to_owned)
    }

    /// A truth value, with its default.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.params.get(name) {
            Some(text) => quantity::boolean(name, text),
            None => Ok(default),
        }
    }

    /// A truth value that is false when absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        self.flag_or(name, false)
    }

    /// A size that must be there.
    pub(crate) fn bytes(&self, name: &str) -> Result<i64, Failure> {
        quantity::bytes(name, &self.required(name)?)
    }

    /// Refuses unless `--force` was given.
    pub(crate) fn fail_without_force(&self) -> Result<(), Failure> {
        if self.flag("force")? {
            return Ok(());
        }
        Err(Failure::refused(
            "This operation is dangerous and may cause data loss. This operation must be forced (use --force).",
        ))
    }

    // ---- objects

    /// The object a required parameter names.
    pub(crate) fn object(&mut self, class: &str, param: &str) -> Result<String, Failure> {
        let text = self.required(param)?;
        self.resolve(class, &text)
    }

    /// The object an optional parameter names.
    pub(crate) fn object_if_given(
        &mut self,
        class: &str,
        param: &str,
    ) -> Result<Option<String>, Failure> {
        match self.text(param) {
            Some(text) if !text.is_empty() => self.resolve(class, &text).map(Some),
            _ => Ok(None),
        }
    }

    /// The object an optional parameter names, or the null reference.
    pub(crate) fn object_or_null(&mut self, class: &str, param: &str) -> Result<String, Failure> {
        Ok(self.object_if_given(class, param)?.unwrap_or_else(|| NULL_REF.to_owned()))
    }

    /// The reference of what `text` names: a uuid, a unique name, the unique start of a uuid; for a host also
    /// `localhost`, a host name, an address or the unique start of a name (S2-35).
    pub(crate) fn resolve(&mut self, class: &str, text: &str) -> Result<String, Failure> {
        if is_uuid(text) {
            return self.call_text(&format!("{class}.get_by_uuid"), vec![s(text)]);
        }
        if class == "host" && is_localhost(text) {
            return self.this_host();
        }
        let found = self.matching(class, text)?;
        match found.as_slice() {
            [(reference, _)] => Ok(reference.clone()),
            [] => Err(CallError::Api {
                code: "UUID_INVALID".to_owned(),
                params: vec![class.to_owned(), text.to_owned()],
            }
            .into()),
            many => {
                let mut text =
                    format!("'{text}' names {} objects, give the uuid of one:", many.len());
                for (reference, name) in many.iter().take(20) {
                    let uuid = crate::api::uuid_of_ref(reference).unwrap_or(reference);
                    text.push_str(&format!("\n  {uuid} {name}"));
                }
                Err(Failure::refused(text))
            }
        }
    }

    /// Objects that `text` may name, as (reference, name label). An exact name beats the start of one.
    fn matching(&mut self, class: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
        if text.is_empty() {
            return Ok(vec![]);
        }
        let is_host = class == "host";
        let wanted = ["name_label", "hostname", "address", "is_a_snapshot"];
        let mut all: Vec<(String, Fields)> =
            self.class(class, Some(&wanted))?.iter().map(|(r, f)| (r.clone(), f.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let is = |fields: &Fields, name: &str| fields.get(name).is_some_and(|v| v == text);
        let starts = |fields: &Fields, name: &str| {
            fields.get(name).and_then(Value::as_str).is_some_and(|v| v.starts_with(text))
        };
        let exact = |fields: &Fields| {
            is(fields, "name_label") || is_host && (is(fields, "hostname") || is(fields, "address"))
        };
        let near = |fields: &Fields| {
            let uuid = starts(fields, "uuid")
                && (is_host || text.len() >= MIN_UUID_PREFIX)
                && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            uuid || is_host && (starts(fields, "name_label") || starts(fields, "hostname"))
        };
        let pick = |keep: &dyn Fn(&Fields) -> bool| -> Vec<(String, String)> {
            all.iter()
                .filter(|(_, f)| keep(f))
                .map(|(r, f)| (r.clone(), f.get("name_label").map(text_of).unwrap_or_default()))
                .collect()
        };
        let found = pick(&exact);
        Ok(if found.is_empty() { pick(&near) } else { found })
    }
}

/// The names of the machine `xe` runs on.
pub(crate) fn is_localhost(text: &str) -> bool {
    matches!(text, "localhost" | "127.0.0.1" | "::1" | "this")
}

/// The texts of an array; of a map, its keys.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        Value::Object(map) => map.keys().cloned().collect(),
        _ => vec![],
    }
}
