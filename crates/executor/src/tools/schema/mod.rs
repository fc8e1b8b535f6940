//! One definition of a tool's arguments, as JSON Schema (2020-12).
//!
//! A typed argument struct (serde + schemars) or a list of [`ToolParameter`]s is turned into one plain object
//! schema: everything inlined, no `$schema`, no Rust number formats, optional arguments simply not required.
//! What providers want differs from that only in shape; `provider.rs` derives theirs from it, so a tool is
//! described once.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) mod provider;

pub use provider::SchemaFormat;

/// Marks a property that plans may use and models are not shown. Validated like any other, absent from every
/// provider's shape.
pub(crate) const PLAN_ONLY: &str = "x-plan-only";

/// The largest integer that every JSON implementation keeps exactly (RFC 8259, section 6).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// One argument of a simple tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolParameter {
    /// Its name.
    pub name: String,
    /// A JSON Schema type name: `string`, `integer`, `number`, `boolean`, `array`, `object`.
    pub param_type: String,
    /// What it means, for people and models.
    pub description: String,
    /// Whether a call without it is refused. Default: yes.
    #[serde(default = "yes")]
    pub required: bool,
    /// What holds when it is absent.
    #[serde(default)]
    pub default: Option<Value>,
}

fn yes() -> bool {
    true
}

impl ToolParameter {
    /// A required argument.
    pub fn required(name: impl Into<String>, param_type: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            param_type: param_type.into(),
            description: description.into(),
            required: true,
            default: None,
        }
    }
    /// An optional argument and what holds when it is absent.
    pub fn optional(
        name: impl Into<String>,
        param_type: impl Into<String>,
        description: impl Into<String>,
        default: impl Into<Option<Value>>,
    ) -> Self {
        Self { required: false, default: default.into(), ..Self::required(name, param_type, description) }
    }
}

/// The object schema of a list of parameters. It takes further arguments or not as the tool's
/// [`refuses_unknown`](crate::Tool::refuses_unknown) says.
pub fn from_parameters(parameters: &[ToolParameter]) -> Value {
    let mut properties = Map::new();
    for parameter in parameters {
        let mut property = json!({"type": parameter.param_type, "description": parameter.description});
        if let (Some(default), Some(keywords)) = (&parameter.default, property.as_object_mut()) {
            keywords.insert("default".into(), default.clone());
        }
        properties.insert(parameter.name.clone(), property);
    }
    let required: Vec<&str> = parameters.iter().filter(|p| p.required).map(|p| p.name.as_str()).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// The object schema of a typed argument struct.
pub fn of<A: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>().to_value();
    tidy(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.remove("description");
        root.entry("properties").or_insert_with(|| json!({}));
        root.entry("required").or_insert_with(|| json!([]));
    }
    schema
}

/// Calls `visit` with each direct subschema.
pub(crate) fn each_child(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (keyword, value) in schema.iter_mut() {
        match keyword.as_str() {
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                if let Value::Object(children) = value {
                    children.values_mut().for_each(&mut *visit);
                }
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                if let Value::Array(children) = value {
                    children.iter_mut().for_each(&mut *visit);
                }
            }
            "items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains" | "propertyNames" => {
                if let Value::Array(children) = value {
                    children.iter_mut().for_each(&mut *visit);
                } else {
                    visit(value);
                }
            }
            _ => {}
        }
    }
}

/// Removes what schemars adds for Rust's sake.
fn tidy(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    keywords.remove("title");
    if let Some(Value::String(text)) = keywords.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    bound_integer(keywords);
    list_choices(keywords);
    let required: Vec<Value> =
        keywords.get("required").and_then(Value::as_array).map(|names| names.to_vec()).unwrap_or_default();
    if let Some(Value::Object(properties)) = keywords.get_mut("properties") {
        for (name, property) in properties.iter_mut() {
            if !required.iter().any(|other| other == name) {
                without_null(property);
            }
        }
    }
    each_child(keywords, &mut tidy);
}

/// An enum with documented variants comes as `oneOf` constants; as a list it is the same and every provider takes it.
fn list_choices(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = keywords.get("oneOf") else { return };
    let mut choices = Vec::new();
    for variant in variants {
        match (variant.get("const"), variant.get("enum").and_then(Value::as_array)) {
            (Some(only @ Value::String(_)), _) => choices.push(only.clone()),
            (None, Some(several)) if several.iter().all(Value::is_string) => choices.extend(several.iter().cloned()),
            _ => return,
        }
    }
    keywords.remove("oneOf");
    keywords.insert("type".into(), "string".into());
    keywords.insert("enum".into(), choices.into());
}

/// Turns a Rust number format into the bounds it stands for.
fn bound_integer(keywords: &mut Map<String, Value>) {
    let Some(format) = keywords.get("format").and_then(Value::as_str) else { return };
    let maximum = match format {
        "uint8" => u64::from(u8::MAX),
        "uint16" => u64::from(u16::MAX),
        "uint32" => u64::from(u32::MAX),
        "int32" => i32::MAX as u64,
        "uint" | "uint64" | "int" | "int64" => MAX_SAFE_INTEGER,
        "float" | "double" => {
            keywords.remove("format");
            return;
        }
        _ => return,
    };
    keywords.remove("format");
    keywords.entry("maximum").or_insert_with(|| maximum.into());
}

/// An optional argument is absent, not null: `["string", "null"]` becomes `"string"`. (A null that is sent all
/// the same is dropped before validation, see [`super::validate`].)
fn without_null(property: &mut Value) {
    let Value::Object(keywords) = property else { return };
    if keywords.get("default") == Some(&Value::Null) {
        keywords.remove("default");
    }
    if let Some(Value::Array(types)) = keywords.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            keywords.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(options)) = keywords.get_mut("enum") {
        options.retain(|option| !option.is_null());
    }
    if let Some(Value::Array(alternatives)) = keywords.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative != &json!({"type": "null"}));
        if let [Value::Object(only)] = alternatives.as_slice() {
            let only = only.clone();
            keywords.remove("anyOf");
            for (keyword, value) in only {
                keywords.entry(keyword).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Args {
        /// Where
        /// to look.
        path: String,
        /// How many.
        #[serde(default = "fifty")]
        #[schemars(range(min = 1))]
        most: u32,
        /// A child.
        child: Option<Child>,
        /// A word.
        word: Option<String>,
        /// A choice.
        choice: Option<Choice>,
    }
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        /// The first.
        One,
        Two,
    }
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Child {
        /// Its size.
        size: u64,
    }
    fn fifty() -> u32 {
        50
    }

    #[test]
    fn a_struct_becomes_one_plain_object_schema() {
        assert_eq!(
            of::<Args>(),
            json!({
                "type": "object",
                "properties": {
                    "path": {"description": "Where to look.", "type": "string"},
                    "most": {"description": "How many.", "type": "integer", "minimum": 1, "maximum": u32::MAX, "default": 50},
                    "child": {
                        "description": "A child.",
                        "type": "object",
                        "properties": {"size": {"description": "Its size.", "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64}},
                        "required": ["size"],
                    },
                    "word": {"description": "A word.", "type": "string"},
                    "choice": {"description": "A choice.", "type": "string", "enum": ["two", "one"]},
                },
                "required": ["path"],
                "additionalProperties": false,
            })
        );
    }

    #[test]
    fn parameters_become_the_schema_that_python_programs_expect() {
        let parameters = [
            ToolParameter::required("path", "string", "Where"),
            ToolParameter::optional("most", "integer", "How many", json!(5)),
        ];
        assert_eq!(
            from_parameters(&parameters),
            json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Where"},
                    "most": {"type": "integer", "description": "How many", "default": 5},
                },
                "required": ["path"],
            })
        );
    }
}
