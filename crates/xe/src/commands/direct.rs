//! Commands that are one call: which message, and where its arguments come from.
//!
//! A row with `each` is called once for every VM, host or SR the selectors choose; its first argument is that object.
//! `tests` compares every row's arguments with the datamodel.

mod rows;

use super::select::{self, Choice};
use crate::api::{Value, s, text_map, text_of};
use crate::context::{Context, texts};
use crate::failure::Failure;
use crate::output::Cell;
use crate::quantity;

/// Where an argument comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arg {
    /// The object the selectors chose.
    Chosen,
    /// The object a required parameter names: class, parameter.
    Object(&'static str, &'static str),
    /// The same, or the null reference.
    ObjectOrNull(&'static str, &'static str),
    /// Objects of a class, comma-separated; empty when absent.
    Objects(&'static str, &'static str),
    /// A parameter's text, or a default.
    Text(&'static str, &'static str),
    /// A truth value, or a default.
    Bool(&'static str, bool),
    /// A number, or a default.
    Int(&'static str, i64),
    /// A number with a point.
    Float(&'static str),
    /// A size.
    Bytes(&'static str),
    /// A map.
    Map(&'static str),
    /// The text of the local file a parameter names; empty when absent.
    File(&'static str),
    /// The last part of the path a parameter names.
    FileName(&'static str),
    /// The pool.
    Pool,
}

/// What is printed of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    /// Nothing.
    Nothing,
    /// The uuid of the object of this class that the result refers to.
    Uuid(&'static str),
    /// Uuids of several.
    Uuids(&'static str),
    /// A value as a line of a list.
    Value,
    /// A value as a message, as XenServer does for some.
    Message,
    /// A list's values, one a line.
    List,
    /// A map as one record.
    Record,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direct {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) args: &'static [Arg],
    pub(super) print: Print,
    /// Runs as a task.
    pub(super) long: bool,
    pub(super) each: Option<Choice>,
}

pub(super) use rows::ROWS;

/// The row of that name.
pub(super) fn find(name: &str) -> Option<&'static Direct> {
    ROWS.iter().find(|r| r.name == name)
}

/// Runs a row.
pub(super) fn run(ctx: &mut Context<'_, '_>, row: &'static Direct) -> Result<(), Failure> {
    let Some(choice) = row.each else { return perform(ctx, row, None) };
    // What the parameters name is looked up before the first object is touched.
    let fixed = arguments(ctx, row.args)?;
    let objects = select::choose(ctx, choice)?;
    select::each(ctx, choice, objects, |ctx, object| {
        let mut args = fixed.clone();
        for (value, arg) in args.iter_mut().zip(row.args) {
            if matches!(arg, Arg::Chosen) {
                *value = s(object.reference.as_str());
            }
        }
        perform(ctx, row, Some(args))
    })?;
    Ok(())
}

fn perform(
    ctx: &mut Context<'_, '_>,
    row: &'static Direct,
    args: Option<Vec<Value>>,
) -> Result<(), Failure> {
    let args = match args {
        Some(args) => args,
        None => arguments(ctx, row.args)?,
    };
    let result = if row.long { s(ctx.run(row.method, args)?) } else { ctx.call(row.method, args)? };
    print(ctx, row.print, &result)
}

fn print(ctx: &mut Context<'_, '_>, form: Print, result: &Value) -> Result<(), Failure> {
    match form {
        Print::Nothing => {}
        Print::Uuid(class) => {
            let uuid = ctx.uuid_of(class, &text_of(result))?;
            ctx.out.list(vec![uuid]);
        }
        Print::Uuids(class) => {
            let mut uuids = Vec::new();
            for reference in texts(result) {
                uuids.push(ctx.uuid_of(class, &reference)?);
            }
            ctx.out.list(uuids);
        }
        Print::Value => ctx.out.value(text_of(result), result.clone()),
        Print::Message => ctx.out.message(&text_of(result)),
        Print::List => ctx.out.list(texts(result)),
        Print::Record => {
            let cells = match result {
                Value::Object(map) => {
                    map.iter().map(|(k, v)| Cell::plain(k.as_str(), text_of(v))).collect()
                }
                _ => vec![],
            };
            ctx.out.record(cells);
        }
    }
    Ok(())
}

/// Works the arguments out; the chosen object is still missing.
pub(super) fn arguments(ctx: &mut Context<'_, '_>, args: &[Arg]) -> Result<Vec<Value>, Failure> {
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        values.push(argument(ctx, *arg)?);
    }
    Ok(values)
}

fn argument(ctx: &mut Context<'_, '_>, arg: Arg) -> Result<Value, Failure> {
    Ok(match arg {
        Arg::Chosen => Value::Null,
        Arg::Object(class, param) => s(ctx.object(class, param)?),
        Arg::ObjectOrNull(class, param) => s(ctx.object_or_null(class, param)?),
        Arg::Objects(class, param) => {
            Value::Array(objects(ctx, class, param)?.into_iter().map(Value::String).collect())
        }
        Arg::Text(param, default) => s(ctx.text_or(param, default)),
        Arg::Bool(param, default) => Value::Bool(ctx.flag_or(param, default)?),
        Arg::Int(param, default) => match ctx.text(param) {
            Some(text) => Value::from(quantity::int(param, &text)?),
            None => Value::from(default),
        },
        Arg::Float(param) => match ctx.text(param) {
            Some(text) => Value::from(quantity::float(param, &text)?),
            None => Value::from(0.0),
        },
        Arg::Bytes(param) => Value::from(ctx.bytes(param)?),
        Arg::Map(param) => map(ctx, param)?,
        Arg::File(param) => match ctx.text(param) {
            Some(path) => s(read_file(&path)?),
            None => s(""),
        },
        Arg::FileName(param) => {
            let path = ctx.required(param)?;
            s(path.rsplit('/').next().unwrap_or(&path))
        }
        Arg::Pool => s(ctx.pool()?),
    })
}

/// References of the objects a comma-separated parameter names.
pub(super) fn objects(
    ctx: &mut Context<'_, '_>,
    class: &str,
    param: &str,
) -> Result<Vec<String>, Failure> {
    let text = ctx.text_or(param, "");
    let mut references = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        references.push(ctx.resolve(class, part)?);
    }
    Ok(references)
}

/// A map parameter; `args:KEY:file=PATH` takes the value from a file.
fn map(ctx: &Context<'_, '_>, param: &str) -> Result<Value, Failure> {
    let mut pairs = Vec::new();
    for (key, value) in ctx.params.map(param) {
        match key.strip_suffix(":file") {
            Some(key) => pairs.push((key.to_owned(), read_file(&value)?)),
            None => pairs.push((key, value)),
        }
    }
    Ok(text_map(&pairs))
}

/// The text of a local file, or XenServer's complaint.
pub(super) fn read_file(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|e| Failure::refused(format!("Failed to read file {path}: {e}")))
}
