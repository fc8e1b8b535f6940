//! The value of an expression in a scope: looking names up, comparing, and what counts as true.

use serde_json::Value;

use super::Scope;
use super::expression::{Expression, Part, Path};

/// `lenient`: what is not there is `null` instead of an error.
pub(super) fn evaluate(expression: &Expression, scope: &Scope<'_>, lenient: bool) -> Result<Value, String> {
    let value = |e: &Expression| evaluate(e, scope, lenient);
    Ok(match expression {
        Expression::Literal(value) => value.clone(),
        Expression::Path(path) => lookup(path, scope, lenient)?,
        Expression::Not(inner) => Value::Bool(!truthy(&value(inner)?)),
        Expression::Equal(a, b) => Value::Bool(equal(&value(a)?, &value(b)?)),
        Expression::NotEqual(a, b) => Value::Bool(!equal(&value(a)?, &value(b)?)),
        Expression::And(a, b) => Value::Bool(truthy(&value(a)?) && truthy(&value(b)?)),
        Expression::Or(a, b) => Value::Bool(truthy(&value(a)?) || truthy(&value(b)?)),
    })
}

fn lookup(path: &Path, scope: &Scope<'_>, lenient: bool) -> Result<Value, String> {
    let missing = |reason: String| if lenient { Ok(Value::Null) } else { Err(reason) };
    match (path.root.as_str(), path.rest.as_slice()) {
        ("task", _) => Ok(scope.task.into()),
        ("context", [Part::Key(key), rest @ ..]) => match scope.context.get(key) {
            Some(value) => walk(value, rest).map_or_else(missing, Ok),
            None => missing(format!("the context has no `{key}`")),
        },
        ("steps", [Part::Key(id), Part::Key(field), rest @ ..]) => {
            let step = scope.steps.step(id).ok_or_else(|| format!("`{id}` is no step of this plan"))?;
            let result = step.result.as_ref();
            match field.as_str() {
                "status" => Ok(step.status.as_str().into()),
                "error" => {
                    let error = step.error.as_ref().or_else(|| result.and_then(|r| r.error.as_ref()));
                    Ok(error.map_or(Value::Null, |text| text.as_str().into()))
                }
                "output" => match result {
                    Some(result) => walk(&result.output, rest).map_or_else(missing, Ok),
                    None if rest.is_empty() => Ok(Value::Null),
                    None => missing(format!("`{id}` has no output, it is {}", step.status.as_str())),
                },
                _ => match (result, rest) {
                    (Some(result), []) => Ok(Value::Object(result.metadata.clone())),
                    (Some(result), [Part::Key(key), rest @ ..]) => match result.metadata.get(key) {
                        Some(value) => walk(value, rest).map_or_else(missing, Ok),
                        None => missing(format!("the metadata of `{id}` has no `{key}`")),
                    },
                    (Some(_), _) => missing("metadata has names, no indexes".into()),
                    (None, _) => missing(format!("`{id}` has no metadata, it is {}", step.status.as_str())),
                },
            }
        }
        (name, rest) => match scope.item {
            Some((item, value)) if item == name => walk(value, rest).map_or_else(missing, Ok),
            _ => Err(format!("`{name}` is not known here")),
        },
    }
}

fn walk(value: &Value, rest: &[Part]) -> Result<Value, String> {
    let mut value = value;
    for part in rest {
        let next = match (part, value) {
            (Part::Key(key), Value::Object(fields)) => fields.get(key),
            (Part::Key(key), Value::Array(items)) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            (Part::Index(index), Value::Array(items)) => items.get(*index),
            _ => None,
        };
        let shown = match part {
            Part::Key(key) => format!("`{key}`"),
            Part::Index(index) => format!("[{index}]"),
        };
        value = next.ok_or_else(|| format!("{} has no {shown}", kind(value)))?;
    }
    Ok(value.clone())
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

/// As JSON, except that `1` and `1.0` are the same number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64() && (x.is_f64() || y.is_f64()),
        _ => a == b,
    }
}
