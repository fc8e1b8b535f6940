//! Every tool's schema in every shape keeps the rules that its readers have published (`tests/schemas/`).

use std::sync::Arc;

use agentic_executor::tools::{
    FunctionTool, RegistryError, SchemaFormat, Tool, ToolCall, ToolContext, ToolParameter, ToolRegistry, ToolResult,
    schema,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

fn rules(name: &str) -> jsonschema::Validator {
    let path = format!("{}/tests/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).expect("the rules are a valid schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn keeps(rules: &jsonschema::Validator, tool: &Value) {
    let broken: Vec<String> =
        rules.iter_errors(tool).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(broken.is_empty(), "{broken:#?}\nin {tool:#}");
}

fn parameters(tool: &Value, format: SchemaFormat) -> &Value {
    match format {
        SchemaFormat::Plain => &tool["parameters"],
        SchemaFormat::OpenAi => &tool["function"]["parameters"],
        SchemaFormat::Anthropic => &tool["input_schema"],
        SchemaFormat::Mcp => &tool["inputSchema"],
    }
}

/// A tool whose schema has all that makes providers choke: references, recursion, alternatives, a free map, titles.
struct Awkward;

impl Tool for Awkward {
    fn name(&self) -> &str {
        "awkward"
    }
    fn description(&self) -> &str {
        "Hard to say"
    }
    fn schema(&self) -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Awkward",
            "type": "object",
            "properties": {
                "tree": {"$ref": "#/$defs/Tree"},
                "where": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "integer"}], "description": "Where."},
                "env": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Variables."},
            },
            "oneOf": [{"required": ["tree"]}, {"required": ["where"]}],
            "$defs": {"Tree": {
                "title": "Tree", "type": "object", "description": "A tree.",
                "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
            }},
        })
    }
    fn execute(&self, _: &ToolCall, _: &ToolContext<'_>) -> ToolResult {
        ToolResult::success("")
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Typed {
    /// A choice.
    #[serde(default)]
    choice: Choice,
    /// Points.
    points: Vec<Point>,
    /// Maybe a point.
    maybe: Option<Point>,
    /// Small.
    small: Option<u8>,
}

#[derive(Debug, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Choice {
    #[default]
    One,
    Two,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Point {
    /// Across.
    x: f64,
    /// Down.
    y: Option<f64>,
}

fn registry() -> ToolRegistry {
    let registry = ToolRegistry::full_registry();
    registry.register(Arc::new(Awkward)).unwrap();
    let typed = |args: Typed, _: &ToolContext<'_>| {
        let across: f64 = args.points.iter().chain(&args.maybe).map(|point| point.x + point.y.unwrap_or(0.0)).sum();
        Ok(format!("{:?} {across} {:?}", args.choice, args.small))
    };
    registry.register_fn("typed", "A function's", typed).unwrap();
    registry
}

#[test]
fn every_shape_keeps_its_readers_rules() {
    let registry = registry();
    for format in SchemaFormat::ALL {
        let rules = rules(format.as_str());
        let tools = registry.get_schemas(format);
        assert_eq!(tools.len(), registry.list_tools().len());
        for tool in &tools {
            let name = tool["name"].as_str().or(tool["function"]["name"].as_str()).unwrap();
            if name == "awkward" && format == SchemaFormat::Plain {
                continue; // The plain shape is ours; only tools described our way have a type for each parameter.
            }
            keeps(&rules, tool);
            let schema = parameters(tool, format);
            jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
            for forbidden in ["$ref", "$defs", "$schema", "x-plan-only", "uint"] {
                assert!(!schema.to_string().contains(forbidden), "{name} holds {forbidden}: {schema}");
            }
        }
    }
}

#[test]
fn the_rules_refuse_what_they_should() {
    let broken = json!({
        "name": "bad name",
        "description": "",
        "input_schema": {"type": "object", "properties": {"a b": {"$ref": "#/x"}}, "anyOf": []},
    });
    assert_eq!(rules("anthropic").iter_errors(&broken).count(), 5);
    let lax = json!({"type": "function", "function": {"name": "a", "description": "b", "strict": true, "parameters": {
        "type": "object", "properties": {"a": {"type": "string", "default": "x"}}, "required": ["a"], "additionalProperties": false,
    }}});
    assert!(!rules("openai").is_valid(&lax), "default is not for strict mode");
    assert!(!rules("mcp").is_valid(&json!({"name": "a", "inputSchema": {"type": "string"}})));
}

#[test]
fn strict_schemas_require_everything_and_stay_shallow() {
    fn check(schema: &Value, depth: usize) {
        assert!(depth <= 10, "nested too deep");
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let names: Vec<&String> = properties.keys().collect();
            assert_eq!(json!(names), schema["required"]);
            properties.values().for_each(|property| check(property, depth + 1));
        }
        schema.get("items").into_iter().for_each(|items| check(items, depth + 1));
    }
    for tool in registry().get_schemas(SchemaFormat::OpenAi) {
        let strict = tool["function"]["strict"] == true;
        assert_eq!(strict, tool["function"]["name"] != "awkward", "{tool:#}");
        if strict {
            check(&tool["function"]["parameters"], 1);
        }
    }
}

/// What a strict model sends (null for what it leaves out) is what the tool takes.
#[test]
fn what_a_strict_model_sends_is_accepted() {
    let registry = registry();
    let nulls = json!({"pattern": "x", "path": null, "file_pattern": null, "max_results": null, "case_sensitive": null,
        "context_lines": null, "respect_gitignore": null, "hidden": null, "output_mode": null, "multiline": null});
    let schema = registry.get_schemas(SchemaFormat::OpenAi);
    let search = schema.iter().find(|tool| tool["function"]["name"] == "search").unwrap();
    assert!(jsonschema::draft202012::new(&search["function"]["parameters"]).unwrap().is_valid(&nulls));
    let params = registry.validate("search", nulls.as_object().unwrap()).unwrap();
    assert_eq!(Value::Object(params), json!({"pattern": "x"}));
}

#[test]
fn the_plain_shape_is_what_python_programs_read() {
    let schemas = ToolRegistry::default_registry().get_schemas(SchemaFormat::Plain);
    let of = |name: &str| schemas.iter().find(|tool| tool["name"] == name).map(|tool| tool["parameters"].clone());
    assert_eq!(of("file_read").unwrap()["required"], json!(["path"]));
    assert_eq!(of("file_write").unwrap()["required"], json!(["path", "content"]));
    assert_eq!(of("search").unwrap()["required"], json!(["pattern"]));
    assert_eq!(of("search").unwrap()["properties"]["max_results"]["default"], 50);
    let write = of("file_write").unwrap();
    assert_eq!(write["properties"]["mode"]["enum"], json!(["overwrite", "append"]));
    let names: Vec<&String> = write["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["path", "content", "mode", "encoding"], "the plan-only transform is not shown");
}

#[test]
fn mcp_hints_tell_readers_from_writers() {
    for tool in ToolRegistry::full_registry().get_schemas(SchemaFormat::Mcp) {
        let reads = ["file_read", "search", "list_files"].contains(&tool["name"].as_str().unwrap());
        assert_eq!(tool["annotations"]["readOnlyHint"], reads, "{}", tool["name"]);
        assert_eq!(tool["annotations"]["destructiveHint"], !reads, "{}", tool["name"]);
    }
}

#[test]
fn registries_hold_what_they_say() {
    let default = ToolRegistry::default_registry().list_tools();
    assert_eq!(default, ["file_read", "file_write", "shell", "search"]);
    let full = ToolRegistry::full_registry().list_tools();
    let further = ["edit", "apply_patch", "list_files", "run_code", "run_tests", "rollback"];
    assert_eq!(full, [&["file_read", "file_write", "shell", "search"][..], &further].concat());
}

#[test]
fn a_registry_is_a_shared_handle_and_keeps_identity() {
    let registry = ToolRegistry::new();
    let clone = registry.clone();
    let tool: Arc<dyn Tool> = Arc::new(Awkward);
    registry.register(tool.clone()).unwrap();
    assert!(Arc::ptr_eq(&clone.get("awkward").unwrap(), &tool));
    let other: Arc<dyn Tool> = Arc::new(Awkward);
    clone.register(other.clone()).unwrap();
    assert_eq!(registry.list_tools(), ["awkward"]);
    assert!(Arc::ptr_eq(&registry.get("awkward").unwrap(), &other), "the later one replaces the earlier");
    let apart = registry.snapshot();
    apart.register_fn("more", "x", |_: Point, _: &ToolContext<'_>| Ok("x")).unwrap();
    assert_eq!((apart.list_tools().len(), registry.list_tools().len()), (2, 1));
    let unknown = registry.validate("nothing", &Map::new()).unwrap_err();
    assert_eq!(unknown.error.as_deref(), Some("Unknown tool: nothing"));
}

#[test]
fn names_and_schemas_that_break_the_rules_are_typed_errors() {
    let named = |name: &str| ToolRegistry::new().register_fn(name, "x", |_: Point, _: &ToolContext<'_>| Ok("x"));
    for bad in ["", "a b", "a.b", "é", "a/b", &"x".repeat(65)] {
        assert_eq!(named(bad), Err(RegistryError::Name(bad.to_owned())));
    }
    assert_eq!(named(&"x".repeat(64)), Ok(()));
    let text = FunctionTool::new("text", "x", |_: String, _: &ToolContext<'_>| Ok("x"));
    let refused = ToolRegistry::new().register(Arc::new(text));
    assert!(matches!(refused, Err(RegistryError::Schema { .. })), "{refused:?}");
}

#[test]
fn simple_parameters_make_a_valid_schema() {
    let made = schema::from_parameters(&[
        ToolParameter::required("a", "string", "A"),
        ToolParameter::optional("b", "integer", "B", None),
    ]);
    assert_eq!(made["required"], json!(["a"]));
    jsonschema::draft202012::meta::validate(&made).unwrap();
    let tool = |schema: Value| {
        let echo = |params: &Map<String, Value>, _: &ToolContext<'_>| Ok(params["a"].clone());
        ToolRegistry::new().register(Arc::new(FunctionTool::with_schema("echo", "Echoes", schema, echo)))
    };
    assert_eq!(tool(made), Ok(()));
    let no_type = schema::from_parameters(&[ToolParameter::required("a", "text", "A")]);
    assert!(matches!(tool(no_type), Err(RegistryError::Schema { .. })));
}
