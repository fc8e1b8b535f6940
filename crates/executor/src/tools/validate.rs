//! Arguments are checked against the tool's schema before anything is done with them.
//!
//! [`Validator`] is a compiled schema. It first brings arguments into the form the schema means (a null for an
//! optional argument is an absent one, as strict providers send it; `5.0` for an integer is `5`), then checks
//! them; a refusal names the place by JSON pointer, what was expected and what was found.

use std::any::TypeId;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{ToolCall, ToolResult};
use crate::cause::Cause;

/// One reason why arguments were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentError {
    /// Where, as a JSON pointer into the arguments: `/max_results`, `/edits/0/old`.
    pub pointer: String,
    /// What should have been there.
    pub expected: String,
    /// What was there; `None` when nothing was.
    pub found: Option<String>,
    message: String,
}

impl std::fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ArgumentError {}

impl ArgumentError {
    /// A required argument that is not there.
    pub fn missing(pointer: impl Into<String>) -> Self {
        let pointer = pointer.into();
        let name = pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
        Self {
            message: format!("Missing required parameter: {name}"),
            pointer,
            expected: "a value".into(),
            found: None,
        }
    }
    /// An argument that is not what it should be.
    pub fn invalid(pointer: impl Into<String>, expected: impl Into<String>, found: &Value) -> Self {
        let (pointer, expected, found) = (pointer.into(), expected.into(), shown(found));
        let message = format!("Invalid parameter {pointer}: expected {expected}, found {found}");
        Self { pointer, expected, found: Some(found), message }
    }
    /// An argument refused for a reason in words.
    pub fn refused(pointer: impl Into<String>, expected: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), expected: expected.into(), found: None, message: message.into() }
    }
    /// The failure a tool answers with.
    pub fn into_result(self) -> ToolResult {
        results(vec![self])
    }
}

impl From<ArgumentError> for ToolResult {
    fn from(error: ArgumentError) -> Self {
        error.into_result()
    }
}

/// The failure that several errors make: the first is the message, all are in the metadata.
fn results(errors: Vec<ArgumentError>) -> ToolResult {
    let first = errors.first().map(|error| (error.message.clone(), error.pointer.clone())).unwrap_or_default();
    let list: Vec<Value> = errors
        .into_iter()
        .map(|e| json!({"pointer": e.pointer, "message": e.message, "expected": e.expected, "found": e.found}))
        .collect();
    ToolResult::failure(Cause::InvalidArguments, first.0).with("pointer", first.1).with("errors", list)
}

/// A compiled argument schema.
#[derive(Debug)]
pub struct Validator {
    schema: Value,
    compiled: jsonschema::Validator,
}

impl Validator {
    /// Compiles `schema`, an object schema. With `refuse_unknown` arguments that it does not name are refused
    /// even if it is silent about them.
    ///
    /// # Errors
    /// What is wrong with the schema, in words.
    pub fn new(schema: &Value, refuse_unknown: bool) -> Result<Self, String> {
        let Value::Object(root) = schema else { return Err("it is not an object".into()) };
        match root.get("type") {
            Some(Value::String(name)) if name == "object" => {}
            _ => return Err("its `type` is not \"object\"".into()),
        }
        if root.get("properties").is_some_and(|properties| !properties.is_object()) {
            return Err("its `properties` are not an object".into());
        }
        jsonschema::draft202012::meta::validate(schema).map_err(|error| error.to_string())?;
        let mut schema = schema.clone();
        if let (true, Some(root)) = (refuse_unknown, schema.as_object_mut()) {
            let silent = !["additionalProperties", "unevaluatedProperties", "patternProperties", "$ref"]
                .iter()
                .any(|keyword| root.contains_key(*keyword));
            if silent {
                root.insert("additionalProperties".into(), false.into());
            }
        }
        let compiled = jsonschema::draft202012::new(&schema).map_err(|error| error.to_string())?;
        Ok(Self { schema, compiled })
    }

    /// The arguments in the form the tool gets them.
    ///
    /// # Errors
    /// A result with [`Cause::InvalidArguments`]; `metadata["pointer"]` is where, `metadata["errors"]` lists all.
    pub fn check(&self, params: &Map<String, Value>) -> Result<Map<String, Value>, ToolResult> {
        let mut value = Value::Object(params.clone());
        normalise(&self.schema, &mut value);
        let errors = self.errors(&value);
        match value {
            Value::Object(params) if errors.is_empty() => Ok(params),
            _ => Err(results(errors)),
        }
    }

    fn errors(&self, value: &Value) -> Vec<ArgumentError> {
        let mut found: Vec<(u8, ArgumentError)> = Vec::new();
        for error in self.compiled.iter_errors(value) {
            self.explain(&error, &mut found);
        }
        // What is missing first, then what is too much, then what is wrong: one fix at a time makes sense in that order.
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, error)| error).collect()
    }

    fn explain(&self, error: &jsonschema::ValidationError<'_>, found: &mut Vec<(u8, ArgumentError)>) {
        let at = error.instance_path().as_str().to_owned();
        let instance: &Value = error.instance();
        let invalid = |expected: String| (2, ArgumentError::invalid(at.clone(), expected, instance));
        let entry = match error.kind() {
            ValidationErrorKind::Required { property } => {
                (0, ArgumentError::missing(child(&at, property.as_str().unwrap_or_default())))
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    found.push((1, self.unknown(&at, name)));
                }
                return;
            }
            ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => invalid(an(&kind.to_string())),
            ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
                invalid(kinds.iter().map(|kind| an(&kind.to_string())).collect::<Vec<_>>().join(" or "))
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(shown).collect();
                invalid(format!("one of {}", options.join(", ")))
            }
            ValidationErrorKind::Minimum { limit } => invalid(format!("at least {limit}")),
            ValidationErrorKind::Maximum { limit } => invalid(format!("at most {limit}")),
            ValidationErrorKind::ExclusiveMinimum { limit } => invalid(format!("more than {limit}")),
            ValidationErrorKind::ExclusiveMaximum { limit } => invalid(format!("less than {limit}")),
            ValidationErrorKind::MinLength { limit } => invalid(format!("at least {limit} characters")),
            ValidationErrorKind::MaxLength { limit } => invalid(format!("at most {limit} characters")),
            ValidationErrorKind::MinItems { limit } => invalid(format!("at least {limit} items")),
            ValidationErrorKind::MaxItems { limit } => invalid(format!("at most {limit} items")),
            ValidationErrorKind::Pattern { pattern } => invalid(format!("text matching {pattern}")),
            ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
                match self.missing_alternative(error) {
                    Some(pointer) => (0, ArgumentError::missing(pointer)),
                    None => invalid("one of the alternatives in the schema".to_owned()),
                }
            }
            _ => (
                2,
                ArgumentError::refused(at.clone(), "what the schema says", format!("Invalid parameter {at}: {error}")),
            ),
        };
        found.push(entry);
    }

    /// Where alternatives only ask for names ("content or transform"), the first alternative's missing one.
    fn missing_alternative(&self, error: &jsonschema::ValidationError<'_>) -> Option<String> {
        let alternatives = self.schema.pointer(error.schema_path().as_str())?.as_array()?;
        let required: Option<Vec<&Vec<Value>>> =
            alternatives.iter().map(|alternative| alternative.get("required")?.as_array()).collect();
        let required = required?;
        let given = |names: &[Value]| names.iter().filter_map(Value::as_str).any(|n| error.instance().get(n).is_some());
        // The alternative somebody has begun to fill in is the one that is meant.
        let meant = required.iter().find(|names| given(names)).or(required.first())?;
        let name = meant.iter().filter_map(Value::as_str).find(|name| error.instance().get(name).is_none())?;
        Some(child(error.instance_path().as_str(), name))
    }

    fn unknown(&self, at: &str, name: &str) -> ArgumentError {
        let known: Vec<&str> = if at.is_empty() {
            self.schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
        } else {
            Vec::new()
        };
        let expected =
            if known.is_empty() { "no such parameter".to_owned() } else { format!("one of {}", known.join(", ")) };
        ArgumentError::refused(
            child(at, name),
            expected.clone(),
            format!("Unknown parameter: {name} (expected {expected})"),
        )
    }
}

type Compiled = LazyLock<Mutex<HashMap<TypeId, Arc<Validator>>>>;

/// The typed arguments of a call, checked by the tool's `schema`, which is made and compiled once for `A`. A call
/// that came through the executor was checked already; a tool does not rely on it.
pub(crate) fn arguments<A: DeserializeOwned + 'static>(
    call: &ToolCall,
    schema: impl FnOnce() -> Value,
) -> Result<A, ToolResult> {
    static COMPILED: Compiled = LazyLock::new(Mutex::default);
    let known = COMPILED.lock().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<A>()).cloned();
    let validator = match known {
        Some(validator) => validator,
        None => {
            let made = Validator::new(&schema(), true).map_err(|reason| {
                ToolResult::failure(Cause::Internal, format!("the schema of {} is invalid: {reason}", call.tool))
            })?;
            let made = Arc::new(made);
            COMPILED.lock().unwrap_or_else(PoisonError::into_inner).insert(TypeId::of::<A>(), made.clone());
            made
        }
    };
    let params = validator.check(&call.params)?;
    A::deserialize(&Value::Object(params)).map_err(|error| {
        ToolResult::failure(Cause::InvalidArguments, format!("Invalid parameters: {error}")).with("pointer", "")
    })
}

/// Drops nulls that stand for "absent", and writes integral numbers as integers where those are meant.
fn normalise(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
            let required = schema.get("required").and_then(Value::as_array);
            fields.retain(|name, field| {
                let absent = field.is_null()
                    && !required.is_some_and(|names| names.iter().any(|other| other == name.as_str()))
                    && properties.get(name).is_some_and(|property| !takes_null(property));
                !absent
            });
            for (name, field) in fields.iter_mut() {
                if let Some(property) = properties.get(name) {
                    normalise(property, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| normalise(schema, item));
            }
        }
        Value::Number(number) if schema.get("type").is_some_and(|kind| kind == "integer") => {
            if let Some(float) = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)
                && float.abs() <= 9_007_199_254_740_991.0
            {
                *value = (float as i64).into();
            }
        }
        _ => {}
    }
}

fn takes_null(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "null",
        Some(Value::Array(names)) => names.iter().any(|name| name == "null"),
        // Without a type only the validator can tell; leave the null to it.
        _ => true,
    }
}

fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn an(kind: &str) -> String {
    match kind {
        "integer" | "array" | "object" => format!("an {kind}"),
        "null" => "null".into(),
        _ => format!("a {kind}"),
    }
}

/// A value as an error message shows it.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = match value {
        Value::Object(_) => "an object".into(),
        Value::Array(items) => format!("an array of {}", items.len()),
        other => other.to_string(),
    };
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Relative paths resolve against the workspace root; `.` parts are dropped, `..` is left to the kernel where it
/// stays below the root and resolved in words where it does not (so that it can only reach another root).
pub fn resolve_path(root: &Path, path: &Path) -> PathBuf {
    let joined = root.join(path);
    let plain: PathBuf = joined.components().filter(|part| *part != Component::CurDir).collect();
    match plain.strip_prefix(root) {
        Ok(below) if stays_below(below) => plain,
        _ => lexical(&plain),
    }
}

fn stays_below(relative: &Path) -> bool {
    let mut depth = 0_usize;
    for part in relative.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir => return false,
            _ => {}
        }
    }
    true
}

/// The path with each `..` taken back by name.
pub(crate) fn lexical(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !result.pop() && !path.is_absolute() {
                    result.push("..");
                }
            }
            other => result.push(other),
        }
    }
    result
}

/// The parameters that are paths in the built-in tools, made absolute against the workspace root: what approval
/// rules and the journal look at.
pub fn resolve_paths(root: &Path, params: &Map<String, Value>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut add = |value: Option<&Value>| {
        if let Some(path) = value.and_then(Value::as_str) {
            paths.push(lexical(&resolve_path(root, Path::new(path))));
        }
    };
    add(params.get("path"));
    add(params.get("working_dir"));
    for edit in params.get("edits").and_then(Value::as_array).into_iter().flatten() {
        add(edit.get("path"));
    }
    paths
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
