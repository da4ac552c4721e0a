//! Classes, fields, messages, enums, errors and alerts against `xenapi.json`.

use std::collections::{BTreeMap, BTreeSet};

use datamodel::{CLASSES, Class, DefaultValue, Field, Lifecycle, Method, Param, Role, Store, Type};
use serde_json::{Value, json};

use crate::Comparison;

pub(crate) fn compare(reference: &Value) -> Comparison {
    let mut found = Comparison::default();
    let [major, minor] = [0, 1].map(|i| reference["api_version"][i].as_i64().expect("a number"));
    found.same("API version", datamodel::API_VERSION, (major, minor));
    let classes = object(&reference["classes"]);
    let (mut fields, mut messages, mut implicit) = (0, 0, 0);
    for class in CLASSES.iter().filter(|c| c.state != Lifecycle::Internal) {
        let Some(theirs) = classes.get(class.name) else {
            found.differences.push(format!("class {} is not in the reference", class.name));
            continue;
        };
        found.same(class.name, class.state.as_str(), text(&theirs["state"]));
        found.same(class.name, class.events, theirs["events"] == json!(true));
        fields += compare_fields(&mut found, class, object(&theirs["fields"]));
        let (explicit, derived) = compare_methods(&mut found, class, &theirs["messages"]);
        messages += explicit;
        implicit += derived;
    }
    compare_relations(&mut found, &reference["relations"]);
    compare_enums(&mut found, object(&reference["enums"]));
    compare_errors(&mut found, object(&reference["errors"]));
    let alerts: BTreeMap<_, _> =
        datamodel::ALERTS.iter().map(|a| (a.name, u64::from(a.priority))).collect();
    let theirs: BTreeMap<_, _> = object(&reference["alerts"])
        .iter()
        .map(|(name, priority)| (name.as_str(), priority.as_u64().expect("a number")))
        .collect();
    found.same("alerts", &alerts, &theirs);

    let of = |what: &str| -> usize {
        let n = reference["counts"][what].as_u64().expect("the reference counts itself");
        usize::try_from(n).expect("a small number")
    };
    found.count("classes", CLASSES.len(), of("classes"));
    found.count("fields", fields, of("fields"));
    found.count("messages, explicit", messages, of("messages_explicit"));
    found.count("messages, derived", implicit, of("messages_implicit"));
    found.count("enums", datamodel::ENUMS.len(), of("enums"));
    found.count("errors", datamodel::ERRORS.len(), of("errors"));
    found.count("alerts", alerts.len(), of("alerts"));
    found
}

fn object(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().expect("an object")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn state_of(theirs: &Value) -> &str {
    theirs.get("state").map_or("published", text)
}

fn compare_fields(
    found: &mut Comparison,
    class: &Class,
    theirs: &serde_json::Map<String, Value>,
) -> usize {
    let ours: Vec<&Field> =
        class.fields.iter().filter(|f| f.state != Lifecycle::Internal).collect();
    let names: BTreeSet<_> = ours.iter().map(|f| f.name).collect();
    found.same(
        &format!("fields of {}", class.name),
        names,
        theirs.keys().map(String::as_str).collect(),
    );
    for field in &ours {
        let Some(theirs) = theirs.get(field.name) else { continue };
        let what = format!("{}.{}", class.name, field.name);
        found.same(&what, field.ty.to_string(), text(&theirs["type"]).to_owned());
        found.same(&what, field.qualifier.as_str(), text(&theirs["qualifier"]));
        found.same(&what, field.state.as_str(), state_of(theirs));
        let default = field.has_default.then(|| as_json(field.default, field.ty));
        let expected = theirs.get("default").map(|d| normal(d, field.ty));
        found.same(&format!("{what} default"), default, expected);
    }
    ours.len()
}

/// A default as the reference writes it.
fn as_json(default: DefaultValue, ty: Type) -> Value {
    match (default, ty) {
        (DefaultValue::Zero, Type::String) => json!(""),
        (DefaultValue::Zero, Type::Int) => json!(0),
        (DefaultValue::Zero, Type::Float) => json!(0.0),
        (DefaultValue::Zero, Type::Bool) => json!(false),
        (DefaultValue::Zero, Type::DateTime) => json!("19700101T00:00:00Z"),
        (DefaultValue::Zero, Type::Ref(_)) => json!("OpaqueRef:NULL"),
        (DefaultValue::Zero, Type::Set(_)) => json!([]),
        (DefaultValue::Zero, Type::Map(..)) => json!({}),
        (DefaultValue::Zero, Type::Enum(def)) => json!(def.values[0]),
        (DefaultValue::Zero, _) => Value::Null,
        (DefaultValue::Str(s), _) => json!(s),
        (DefaultValue::Int(i), _) => json!(i),
        (DefaultValue::Float(f), _) => json!(f),
        (DefaultValue::Bool(b), _) => json!(b),
        (DefaultValue::StrMap(pairs), _) => pairs.iter().map(|(k, v)| (*k, json!(v))).collect(),
        (DefaultValue::StrSet(items), _) => json!(items),
        (DefaultValue::IntSet(items), _) => json!(items),
    }
}

/// The reference writes the null reference in two ways.
fn normal(theirs: &Value, ty: Type) -> Value {
    match ty {
        Type::Ref(_) if theirs == "" => json!("OpaqueRef:NULL"),
        _ => theirs.clone(),
    }
}

fn role(method: &Method) -> Option<String> {
    let suffix = if method.client_cert() { "+client-cert" } else { "" };
    match method.role() {
        Role::AnySession => None,
        Role::Internal => Some("internal".to_owned()),
        role => role.name().map(|name| format!("{name}{suffix}")),
    }
}

fn compare_methods(
    found: &mut Comparison,
    class: &'static Class,
    theirs: &Value,
) -> (usize, usize) {
    let ours: BTreeMap<String, Method> = class
        .methods()
        .filter(|m| m.state() != Lifecycle::Internal)
        .map(|m| (m.name().into_owned(), m))
        .collect();
    // A class without messages has an empty list here.
    let theirs = theirs.as_object().cloned().unwrap_or_default();
    let names: BTreeSet<_> = ours.keys().cloned().collect();
    found.same(&format!("messages of {}", class.name), names, theirs.keys().cloned().collect());
    let mut counts = (0, 0);
    for (name, method) in &ours {
        let Some(theirs) = theirs.get(name) else { continue };
        let what = format!("{}.{name}", class.name);
        let flag = |name: &str, absent: bool| theirs.get(name).map_or(absent, |v| v == true);
        let derived = matches!(method, Method::Implicit(..));
        *(if derived { &mut counts.1 } else { &mut counts.0 }) += 1;
        found.same(&format!("{what} implicit"), derived, flag("implicit", false));
        found.same(&format!("{what} async"), method.is_async(), flag("async", false));
        found.same(&format!("{what} session"), method.session(), flag("session", true));
        found.same(&format!("{what} state"), method.state().as_str(), state_of(theirs));
        let their_role = theirs.get("role").map(|r| text(r).to_owned());
        found.same(&format!("{what} role"), role(method), their_role);
        let result = method.result().to_string();
        found.same(&format!("{what} result"), result, text(&theirs["result"]).to_owned());
        let errors: Vec<&str> = strings(&theirs["errors"]);
        found.same(&format!("{what} errors"), method.errors(), &errors);
        let params = theirs["params"].as_array().expect("a list");
        found.same(&format!("{what} params"), method.params().len(), params.len());
        for (ours, theirs) in method.params().iter().zip(params) {
            compare_param(found, &what, method, ours, theirs);
        }
    }
    counts
}

fn compare_param(
    found: &mut Comparison,
    what: &str,
    method: &Method,
    ours: &Param,
    theirs: &Value,
) {
    let what = format!("{what} parameter {}", ours.name);
    found.same(&what, ours.name, text(&theirs["name"]));
    // A secret text is text in a message that is never logged.
    let expected = match text(&theirs["type"]) {
        "secret string" if method.secret() => "string",
        other => other,
    };
    found.same(&what, ours.ty.to_string(), expected.to_owned());
    let default = ours.default.map(|d| as_json(d, ours.ty));
    found.same(&what, default, theirs.get("default").map(|d| normal(d, ours.ty)));
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(text).collect()
}

/// Every reverse field is the other end of a relation, and every relation between two of our classes is there.
fn compare_relations(found: &mut Comparison, relations: &Value) {
    let ends: BTreeSet<[&str; 4]> = relations
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| <[&str; 4]>::try_from(strings(r)).expect("four names"))
        .flat_map(|[a, fa, b, fb]| [[a, fa, b, fb], [b, fb, a, fa]])
        .collect();
    let mut ours = BTreeSet::new();
    for class in CLASSES {
        for field in class.fields {
            if let Store::Reverse { class: other, field: other_field } = field.store {
                let end = [class.name, field.name, other, other_field];
                if !ends.contains(&end) {
                    found.differences.push(format!("{end:?} is no relation of the reference"));
                }
                ours.insert(end);
                ours.insert([other, other_field, class.name, field.name]);
            }
        }
    }
    // An end that is no public field cannot be followed (`task.session`: a session's reference is its secret).
    let is_field = |class: &str, field: &str| {
        datamodel::class(class).is_some_and(|c| c.field(field).is_some())
    };
    for end in ends {
        // A relation that is its own other end (the roles of subjects) has one direction only.
        if end[..2] == end[2..] {
            continue;
        }
        if is_field(end[0], end[1]) && is_field(end[2], end[3]) && !ours.contains(&end) {
            found.differences.push(format!("the relation {end:?} is not followed"));
        }
    }
}

fn compare_enums(found: &mut Comparison, theirs: &serde_json::Map<String, Value>) {
    for def in datamodel::ENUMS {
        let expected = theirs.get(def.name).map(strings).unwrap_or_default();
        found.same(&format!("enum {}", def.name), def.values, &expected);
    }
}

fn compare_errors(found: &mut Comparison, theirs: &serde_json::Map<String, Value>) {
    let codes: BTreeSet<_> = datamodel::ERRORS.iter().map(|e| e.code).collect();
    found.same("error codes", codes, theirs.keys().map(String::as_str).collect());
    for error in datamodel::ERRORS {
        let Some(expected) = theirs.get(error.code) else { continue };
        let expected = (!expected.is_null()).then(|| strings(expected));
        found.same(error.code, error.params.map(<[&str]>::to_vec), expected);
    }
}
