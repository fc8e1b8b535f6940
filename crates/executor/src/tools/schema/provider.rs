//! The shapes in which model providers and MCP clients want a tool described.
//!
//! [`describe`] first flattens the tool's schema to what all of them take (no references, no alternatives at the
//! top, see `tests/schemas/` for each provider's published rules), then dresses it. OpenAI's strict mode takes
//! only a part of JSON Schema: a tool that cannot be said in it is offered without `strict`, never distorted.

use serde_json::{Map, Value, json};

use super::{PLAN_ONLY, each_child};
use crate::tools::{Idempotency, Tool};

/// Who is going to read the schemas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchemaFormat {
    /// `{"name", "description", "parameters"}`, as the Python package always had it.
    #[default]
    Plain,
    /// OpenAI function calling, `strict` wherever the schema can be said in it.
    OpenAi,
    /// Anthropic tool use (`input_schema`).
    Anthropic,
    /// Model Context Protocol (`inputSchema`, `title`, `annotations`).
    Mcp,
}

impl SchemaFormat {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Plain, Self::OpenAi, Self::Anthropic, Self::Mcp];

    /// The word used on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Mcp => "mcp",
        }
    }
}

/// A tool in a provider's shape.
pub(crate) fn describe(tool: &dyn Tool, format: SchemaFormat) -> Value {
    let (name, description) = (tool.name(), tool.description());
    let mut schema = flatten(&tool.schema());
    match format {
        SchemaFormat::Plain => {
            schema.remove("additionalProperties");
            json!({"name": name, "description": description, "parameters": schema})
        }
        SchemaFormat::OpenAi => {
            let strict = strict(&schema);
            let is_strict = strict.is_some();
            json!({
                "type": "function",
                "function": {
                    "name": name,
                    "description": description,
                    "parameters": strict.unwrap_or(Value::Object(schema)),
                    "strict": is_strict,
                },
            })
        }
        SchemaFormat::Anthropic => json!({"name": name, "description": description, "input_schema": schema}),
        SchemaFormat::Mcp => {
            let read_only = tool.idempotency() == Idempotency::ReadOnly;
            json!({
                "name": name,
                "title": tool.title(),
                "description": description,
                "inputSchema": schema,
                "annotations": {
                    "title": tool.title(),
                    "readOnlyHint": read_only,
                    "destructiveHint": !read_only,
                    "idempotentHint": read_only,
                    "openWorldHint": tool.idempotency() == Idempotency::External,
                },
            })
        }
    }
}

/// The schema without references, plan-only properties, and alternatives at the top.
fn flatten(schema: &Value) -> Map<String, Value> {
    let mut inlined = inline(schema, schema, &mut Vec::new());
    strip(&mut inlined);
    let Value::Object(mut root) = inlined else { return Map::new() };
    root.insert("type".into(), "object".into());
    root.entry("properties").or_insert_with(|| json!({}));
    root.entry("required").or_insert_with(|| json!([]));
    if let Some(Value::Array(parts)) = root.remove("allOf") {
        parts.iter().for_each(|part| merge(&mut root, part, true));
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(mut alternatives)) = root.remove(keyword) else { continue };
        for alternative in &alternatives {
            merge(&mut root, alternative, false);
        }
        // An alternative that asks for what is not shown is no alternative for a model.
        alternatives.retain(|alternative| names(alternative).iter().all(|name| property(&root, name).is_some()));
        if let [only] = alternatives.as_slice() {
            merge(&mut root, only, true);
        }
    }
    root
}

fn property<'a>(schema: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}

fn names(schema: &Value) -> Vec<String> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Adds a part's properties to `root`, and what it requires when that holds for every call.
fn merge(root: &mut Map<String, Value>, part: &Value, always: bool) {
    if let (Some(Value::Object(from)), Some(Value::Object(to))) = (part.get("properties"), root.get_mut("properties")) {
        for (name, property) in from {
            to.entry(name.clone()).or_insert_with(|| property.clone());
        }
    }
    if let (true, Some(Value::Array(required))) = (always, root.get_mut("required")) {
        for name in names(part) {
            if !required.iter().any(|other| other == name.as_str()) {
                required.push(name.into());
            }
        }
    }
}

/// Replaces each local reference by what it stands for. A definition inside itself becomes "anything".
fn inline(schema: &Value, root: &Value, open: &mut Vec<String>) -> Value {
    let Value::Object(keywords) = schema else { return schema.clone() };
    let mut result = keywords.clone();
    if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
        result.remove("$ref");
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        match target {
            Some(target) if !open.iter().any(|other| other == reference) => {
                open.push(reference.to_owned());
                if let Value::Object(found) = inline(target, root, open) {
                    for (keyword, value) in found {
                        result.entry(keyword).or_insert(value);
                    }
                }
                open.pop();
            }
            _ => {
                let name = reference.rsplit('/').next().unwrap_or_default();
                result.entry("description").or_insert_with(|| format!("A further {name}.").into());
            }
        }
    }
    result.remove("$defs");
    result.remove("definitions");
    each_child(&mut result, &mut |child| *child = inline(child, root, open));
    Value::Object(result)
}

/// Removes plan-only properties and keywords that no provider reads.
fn strip(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    keywords.retain(|keyword, _| !matches!(keyword.as_str(), "$schema" | "$id" | "$comment" | "$anchor" | "title"));
    let mut hidden = Vec::new();
    if let Some(Value::Object(properties)) = keywords.get_mut("properties") {
        properties.retain(|name, property| {
            let hide = property.get(PLAN_ONLY).is_some();
            if hide {
                hidden.push(name.clone());
            }
            !hide
        });
    }
    if let Some(Value::Array(required)) = keywords.get_mut("required") {
        required.retain(|name| !hidden.iter().any(|other| name == other.as_str()));
    }
    each_child(keywords, &mut strip);
}

/// Keywords that OpenAI's strict mode documents as supported, besides those that are rewritten.
const STRICT_KEYWORDS: [&str; 10] = [
    "type",
    "description",
    "enum",
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
];
const STRICT_FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
/// Documented bound on nesting.
const STRICT_DEPTH: usize = 10;

/// The schema under the rules of OpenAI's strict mode, or nothing where it cannot be said there.
fn strict(schema: &Map<String, Value>) -> Option<Value> {
    strict_schema(schema, 1)
}

fn strict_schema(schema: &Map<String, Value>, depth: usize) -> Option<Value> {
    if depth > STRICT_DEPTH {
        return None;
    }
    let unsayable = [
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "patternProperties",
        "propertyNames",
        "prefixItems",
        "contains",
        "dependentSchemas",
        "dependentRequired",
        "unevaluatedProperties",
        "$ref",
    ];
    if unsayable.iter().any(|keyword| schema.contains_key(*keyword)) {
        return None;
    }
    let mut result: Map<String, Value> = schema
        .iter()
        .filter(|(keyword, _)| STRICT_KEYWORDS.contains(&keyword.as_str()) || *keyword == "maxItems")
        .map(|(keyword, value)| (keyword.clone(), value.clone()))
        .collect();
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && STRICT_FORMATS.contains(&format)
    {
        result.insert("format".into(), format.into());
    }
    if let Some(value) = schema.get("const") {
        result.insert("enum".into(), json!([value]));
    }
    // Strict mode refuses `default`; a model can still be told.
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let text = result.get("description").and_then(Value::as_str).unwrap_or_default();
        result.insert("description".into(), format!("{text} Default: {default}.").trim().into());
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(alternatives) = schema.get(keyword).and_then(Value::as_array) {
            let alternatives: Option<Vec<Value>> =
                alternatives.iter().map(|a| strict_schema(a.as_object()?, depth + 1)).collect();
            result.insert("anyOf".into(), alternatives?.into());
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "object" => strict_object(schema, &mut result, depth)?,
        Some(Value::String(name)) if name == "array" => {
            let items = strict_schema(schema.get("items")?.as_object()?, depth + 1)?;
            result.insert("items".into(), items);
        }
        Some(Value::Array(names)) if names.iter().any(|name| name == "object" || name == "array") => return None,
        Some(_) => {}
        None if result.contains_key("anyOf") || result.contains_key("enum") => {}
        None => return None,
    }
    Some(Value::Object(result))
}

fn strict_object(schema: &Map<String, Value>, result: &mut Map<String, Value>, depth: usize) -> Option<()> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let open = !matches!(schema.get("additionalProperties"), None | Some(Value::Bool(false)));
    // A map with free keys has no strict form; below the top, no properties means exactly that.
    if open || (depth > 1 && properties.is_none_or(Map::is_empty)) {
        return None;
    }
    let required = names(&Value::Object(schema.clone()));
    let mut all = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        let mut property = strict_schema(property.as_object()?, depth + 1)?;
        if !required.contains(name) {
            nullable(&mut property);
        }
        all.insert(name.clone(), property);
    }
    result.insert("required".into(), all.keys().cloned().collect::<Vec<_>>().into());
    result.insert("properties".into(), all.into());
    result.insert("additionalProperties".into(), false.into());
    Some(())
}

/// Strict mode has no optional arguments: one that may be absent is one that may be null.
fn nullable(property: &mut Value) {
    let Value::Object(keywords) = property else { return };
    if let Some(kind) = keywords.get_mut("type") {
        match kind {
            Value::String(name) => *kind = json!([name, "null"]),
            Value::Array(names) if !names.iter().any(|name| name == "null") => names.push("null".into()),
            _ => {}
        }
    }
    if let Some(Value::Array(options)) = keywords.get_mut("enum")
        && !options.contains(&Value::Null)
    {
        options.push(Value::Null);
    }
    if let Some(Value::Array(alternatives)) = keywords.get_mut("anyOf") {
        alternatives.push(json!({"type": "null"}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(schema: Value) -> Value {
        Value::Object(flatten(&schema))
    }

    #[test]
    fn references_are_inlined_and_recursion_ends() {
        let schema = json!({
            "type": "object",
            "properties": {"node": {"$ref": "#/$defs/Node"}},
            "required": ["node"],
            "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
        });
        let flat = flat(schema);
        assert_eq!(flat["properties"]["node"]["properties"]["next"], json!({"description": "A further Node."}));
        assert!(!flat.to_string().contains("$ref"), "{flat}");
        assert_eq!(strict(flat.as_object().unwrap()), None, "a recursive schema has no strict form");
    }

    #[test]
    fn a_property_called_title_survives() {
        let flat = flat(json!({"type": "object", "title": "Args", "properties": {"title": {"type": "string"}}}));
        assert_eq!(flat["properties"]["title"], json!({"type": "string"}));
        assert_eq!(flat.get("title"), None);
    }

    #[test]
    fn the_one_alternative_that_models_see_becomes_required_and_several_are_dropped() {
        let one = flat(json!({
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}, "transform": {"type": "object", (PLAN_ONLY): true}},
            "required": ["path"],
            "anyOf": [{"required": ["content"]}, {"required": ["transform"]}],
        }));
        assert_eq!(one["required"], json!(["path", "content"]));
        assert_eq!(one["properties"].get("transform"), None);
        let two = flat(json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        }));
        assert_eq!(two["required"], json!([]));
        assert_eq!(two.get("anyOf"), None);
    }

    #[test]
    fn strict_makes_optional_nullable_and_says_the_default() {
        let schema = flatten(&json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1, "description": "Where."},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a", "description": "How."},
            },
            "required": ["path"],
        }));
        assert_eq!(
            strict(&schema),
            Some(json!({
                "type": "object",
                "required": ["path", "mode"],
                "properties": {
                    "path": {"type": "string", "description": "Where."},
                    "mode": {"type": ["string", "null"], "enum": ["a", "b", null], "description": "How. Default: \"a\"."},
                },
                "additionalProperties": false,
            }))
        );
    }

    #[test]
    fn a_free_map_is_offered_without_strict() {
        let schema = flatten(&json!({
            "type": "object",
            "properties": {"env": {"type": "object", "additionalProperties": {"type": "string"}}},
        }));
        assert_eq!(strict(&schema), None);
    }
}
