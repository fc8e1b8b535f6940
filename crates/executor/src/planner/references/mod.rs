//! `${{ … }}` in parameters, `when` and `for_each`: what earlier steps left, the item, the context, the task.
//!
//! | written | is |
//! |---|---|
//! | `steps.ID.output` | what the step produced; `null` before it has |
//! | `steps.ID.error` | what it said when it failed, else `null` |
//! | `steps.ID.status` | `pending`, `running`, `completed`, `failed`, `skipped` |
//! | `steps.ID.metadata.a.b[0]` | a fact beside its output |
//! | `item`, `item.x` | the item of the step's `for_each` (or the name it was given) |
//! | `context.key`, `task` | what the run was given |
//!
//! A string that is exactly one reference becomes the value with its type; inside other text the value is
//! spliced: text as it is, `null` as nothing, anything else as JSON. `$${{` stands for `${{` itself. What is
//! spliced is never read again, so a step's output cannot bring references of its own.

use std::fmt;

use serde_json::{Map, Value};

use super::plan::{ExecutionPlan, ForEach, PlanStep};
use crate::id::StepId;

mod evaluate;
mod expression;

use evaluate::{evaluate, kind, truthy};
use expression::{Expression, Part, Path};

/// Why a `${{ … }}` has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceError {
    /// The text between the braces.
    pub reference: String,
    /// Why, in words.
    pub reason: String,
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to resolve `${{{{ {} }}}}`: {}", self.reference, self.reason)
    }
}

impl std::error::Error for ReferenceError {}

/// Finds steps by id. A plan does it by looking at each; keep a map for large ones.
pub trait Steps {
    /// The step of that id.
    fn step(&self, id: &str) -> Option<&PlanStep>;
}

impl Steps for ExecutionPlan {
    fn step(&self, id: &str) -> Option<&PlanStep> {
        self.steps.iter().find(|step| step.id.as_str() == id)
    }
}

impl<S: std::hash::BuildHasher> Steps for std::collections::HashMap<StepId, PlanStep, S> {
    fn step(&self, id: &str) -> Option<&PlanStep> {
        self.get(&StepId::from(id))
    }
}

/// What references can see when a step starts.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// What was asked for.
    pub task: &'a str,
    /// The steps so far.
    pub steps: &'a dyn Steps,
    /// What the run was given.
    pub context: &'a Map<String, Value>,
    /// The name and value of the item, inside a `for_each`.
    pub item: Option<(&'a str, &'a Value)>,
}

impl<'a> Scope<'a> {
    /// What a step of this plan sees: its task, its steps, its context.
    pub fn of(plan: &'a ExecutionPlan, item: Option<(&'a str, &'a Value)>) -> Self {
        Self { task: &plan.task, steps: plan, context: plan.context(), item }
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("task", &self.task).field("item", &self.item).finish_non_exhaustive()
    }
}

/// What an expression's path starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A field of a step.
    Step {
        /// The step's id.
        id: String,
    },
    /// A key of the context.
    Context(String),
    /// The task.
    Task,
    /// Any other name: the item of a `for_each`, or a mistake.
    Item(String),
}

/// One `${{ … }}` of a step, as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The text between the braces, trimmed.
    pub text: String,
    /// What it starts from, or why it cannot be read.
    pub parsed: Result<Vec<Root>, String>,
    /// Whether it stands in the list of a `for_each`, where the item is not known yet.
    pub in_items: bool,
}

/// Resolves every reference in a step's parameters.
///
/// # Errors
/// The first reference that cannot be read or has no value.
pub fn resolve(params: &Map<String, Value>, scope: &Scope<'_>) -> Result<Map<String, Value>, ReferenceError> {
    params.iter().map(|(key, value)| Ok((key.clone(), resolve_value(value, scope)?))).collect()
}

/// Resolves every reference in a value.
///
/// # Errors
/// The first reference that cannot be read or has no value.
pub fn resolve_value(value: &Value, scope: &Scope<'_>) -> Result<Value, ReferenceError> {
    Ok(match value {
        Value::String(text) => resolve_text(text, scope)?,
        Value::Array(items) => Value::Array(items.iter().map(|v| resolve_value(v, scope)).collect::<Result<_, _>>()?),
        Value::Object(fields) => Value::Object(resolve(fields, scope)?),
        other => other.clone(),
    })
}

/// The list that a `for_each` goes over.
///
/// # Errors
/// When a reference has no value or the value is no list.
pub fn items(each: &ForEach, scope: &Scope<'_>) -> Result<Vec<Value>, ReferenceError> {
    match resolve_value(&each.items, scope)? {
        Value::Array(items) => Ok(items),
        other => Err(ReferenceError {
            reference: each
                .items
                .as_str()
                .unwrap_or("for_each")
                .trim_start_matches("${{")
                .trim_end_matches("}}")
                .trim()
                .into(),
            reason: format!("`for_each` needs a list, this is {}", kind(&other)),
        }),
    }
}

/// Whether a step's `when` is true. It is one `${{ … }}` or the expression itself; `false`, `null`, 0, empty text
/// and empty lists are false. A part of `metadata`, an item or the context that is not there counts as `null`.
///
/// # Errors
/// When it cannot be read, or names a step that is not there.
pub fn eval_condition(condition: &str, scope: &Scope<'_>) -> Result<bool, ReferenceError> {
    let text = condition_text(condition);
    let expression = read(text)?;
    evaluate(&expression, scope, true).map(|value| truthy(&value)).map_err(|reason| error(text, reason))
}

/// Text that resolves to `text` itself: every `${{` is written `$${{`.
pub fn escape(text: &str) -> String {
    text.replace("${{", "$${{")
}

/// Every `${{ … }}` in a value.
pub fn references_in(value: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    collect(value, false, &mut found);
    found
}

/// Every `${{ … }}` of a step: its parameters, `when` and `for_each`.
pub fn references_of(step: &PlanStep) -> Vec<Reference> {
    let mut found = Vec::new();
    for value in step.params.values() {
        collect(value, false, &mut found);
    }
    if let Some(when) = &step.when {
        found.push(reference(condition_text(when), false));
    }
    if let Some(each) = &step.for_each {
        collect(&each.items, true, &mut found);
    }
    found
}

fn collect(value: &Value, in_items: bool, found: &mut Vec<Reference>) {
    match value {
        Value::String(text) => {
            for piece in Pieces(text) {
                match piece {
                    Piece::Reference(text) => found.push(reference(text, in_items)),
                    Piece::Unclosed(text) => {
                        found.push(Reference { text: text.into(), parsed: Err(UNCLOSED.into()), in_items });
                    }
                    Piece::Text(_) | Piece::Escaped => {}
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, in_items, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, in_items, found)),
        _ => {}
    }
}

fn reference(text: &str, in_items: bool) -> Reference {
    let parsed = expression::parse(text).and_then(|expression| {
        let mut roots = Ok(Vec::new());
        expression.paths(&mut |path| {
            if let Ok(all) = &mut roots {
                match root(path) {
                    Ok(root) => all.push(root),
                    Err(reason) => roots = Err(reason),
                }
            }
        });
        roots
    });
    Reference { text: text.trim().into(), parsed, in_items }
}

/// What a path starts from; refuses what has no meaning whatever the steps do.
fn root(path: &Path) -> Result<Root, String> {
    match path.root.as_str() {
        "task" if path.rest.is_empty() => Ok(Root::Task),
        "task" => Err("`task` is text, it has no parts".into()),
        "context" => match path.rest.first() {
            Some(Part::Key(key)) => Ok(Root::Context(key.clone())),
            _ => Err("expected a key: `context.key`".into()),
        },
        "steps" => match path.rest.as_slice() {
            [Part::Key(id), Part::Key(field), rest @ ..] => match field.as_str() {
                "output" | "metadata" => Ok(Root::Step { id: id.clone() }),
                "error" | "status" if rest.is_empty() => Ok(Root::Step { id: id.clone() }),
                "error" | "status" => Err(format!("`{field}` is text, it has no parts")),
                _ => Err(format!("a step has output, error, status and metadata, not `{field}`")),
            },
            _ => Err("expected a step and a field: `steps.ID.output`".into()),
        },
        name => Ok(Root::Item(name.to_owned())),
    }
}

const UNCLOSED: &str = "the `}}` is missing";

fn error(reference: &str, reason: impl Into<String>) -> ReferenceError {
    ReferenceError { reference: reference.trim().into(), reason: reason.into() }
}

fn read(text: &str) -> Result<Expression, ReferenceError> {
    let expression = expression::parse(text).map_err(|reason| error(text, reason))?;
    let mut bad = None;
    expression.paths(&mut |path| bad = bad.take().or_else(|| root(path).err()));
    bad.map_or(Ok(expression), |reason| Err(error(text, reason)))
}

fn condition_text(condition: &str) -> &str {
    let trimmed = condition.trim();
    let mut pieces = Pieces(trimmed);
    match (pieces.next(), pieces.next()) {
        (Some(Piece::Reference(inner)), None) => inner,
        _ => trimmed,
    }
}

fn resolve_text(text: &str, scope: &Scope<'_>) -> Result<Value, ReferenceError> {
    let value_of = |inner: &str| {
        let expression = read(inner)?;
        evaluate(&expression, scope, false).map_err(|reason| error(inner, reason))
    };
    let mut spliced = String::new();
    for (index, piece) in Pieces(text).enumerate() {
        match piece {
            Piece::Text(plain) => spliced.push_str(plain),
            Piece::Escaped => spliced.push_str("${{"),
            Piece::Unclosed(inner) => return Err(error(inner, UNCLOSED)),
            Piece::Reference(inner) => {
                let value = value_of(inner)?;
                if index == 0 && Pieces(text).nth(1).is_none() {
                    return Ok(value);
                }
                match value {
                    Value::String(text) => spliced.push_str(&text),
                    Value::Null => {}
                    other => spliced.push_str(&other.to_string()),
                }
            }
        }
    }
    Ok(Value::String(spliced))
}

/// The pieces of a text, lazily; joined again they are the text.
struct Pieces<'t>(&'t str);

enum Piece<'t> {
    Text(&'t str),
    /// `$${{`
    Escaped,
    /// What stands between the braces.
    Reference(&'t str),
    /// `${{` without an end.
    Unclosed(&'t str),
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;
    fn next(&mut self) -> Option<Piece<'t>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some(rest) = self.0.strip_prefix("$${{") {
            self.0 = rest;
            return Some(Piece::Escaped);
        }
        if let Some(rest) = self.0.strip_prefix("${{") {
            return Some(match end_of(rest) {
                Some(end) => {
                    self.0 = &rest[end + 2..];
                    Piece::Reference(&rest[..end])
                }
                None => {
                    self.0 = "";
                    Piece::Unclosed(rest)
                }
            });
        }
        let at = match self.0.find("${{") {
            Some(at) if self.0[..at].ends_with('$') => at - 1,
            Some(at) => at,
            None => self.0.len(),
        };
        let (text, rest) = self.0.split_at(at);
        self.0 = rest;
        Some(Piece::Text(text))
    }
}

/// Where `}}` stands outside quotes.
fn end_of(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::planner::StepStatus;
    use crate::tools::ToolResult;

    fn with_scope<T>(run: impl FnOnce(&Scope<'_>) -> T) -> T {
        let mut plan = ExecutionPlan::new("the task");
        let step = plan.add_step("search", Map::new(), "", vec![]);
        step.status = StepStatus::Completed;
        step.result =
            Some(ToolResult::success("3 hits ${{ task }}").with("files", json!(["a.py", "b.py"])).with("n", 3));
        plan.add_step("shell", Map::new(), "", vec![]);
        let context = json!({"flag": false, "deep": {"x": [1, {"y": "z"}]}});
        let item = json!({"path": "a b.py"});
        run(&Scope {
            task: &plan.task,
            steps: &plan,
            context: context.as_object().unwrap(),
            item: Some(("item", &item)),
        })
    }

    fn text(text: &str) -> Result<Value, String> {
        with_scope(|scope| resolve_value(&json!(text), scope).map_err(|e| e.to_string()))
    }

    #[test]
    fn a_lone_reference_keeps_its_type() {
        assert_eq!(text("${{ steps.step_1.metadata.files }}").unwrap(), json!(["a.py", "b.py"]));
        assert_eq!(text("${{steps.step_1.metadata.n}}").unwrap(), json!(3));
        assert_eq!(text("${{ context.deep.x[1].y }}").unwrap(), json!("z"));
        assert_eq!(text("${{ context.deep.x.0 }}").unwrap(), json!(1));
        assert_eq!(text("${{ item.path }}").unwrap(), json!("a b.py"));
        assert_eq!(text("${{ steps.step_2.output }}").unwrap(), Value::Null);
        assert_eq!(text("${{ steps['step_2'].status == 'pending' }}").unwrap(), json!(true));
    }

    #[test]
    fn inside_text_values_are_spliced_and_never_read_again() {
        assert_eq!(text("n=${{ steps.step_1.metadata.n }}!").unwrap(), json!("n=3!"));
        assert_eq!(text(" ${{ steps.step_1.output }}").unwrap(), json!(" 3 hits ${{ task }}"));
        assert_eq!(
            text("${{ steps.step_2.error }}x${{ steps.step_1.metadata.files }}").unwrap(),
            json!("x[\"a.py\",\"b.py\"]")
        );
        assert_eq!(text("${{ '}}' }}${{ \"\\\"\" }}").unwrap(), json!("}}\""));
    }

    #[test]
    fn an_escaped_reference_is_text() {
        assert_eq!(text("$${{ github.ref }} ${{ task }}").unwrap(), json!("${{ github.ref }} the task"));
        for original in ["${{ x }}", "$${{ x", "a$", "$$${{", "${${{"] {
            assert_eq!(text(&escape(original)).unwrap(), json!(original), "{original}");
        }
    }

    #[test]
    fn what_is_missing_is_an_error_in_parameters_and_null_in_conditions() {
        assert!(text("${{ context.nope }}").unwrap_err().contains("the context has no `nope`"));
        assert!(text("${{ steps.step_1.metadata.nope }}").unwrap_err().contains("has no `nope`"));
        assert!(text("${{ context.deep.x[7] }}").unwrap_err().contains("a list has no [7]"));
        assert!(text("${{ thing }}").unwrap_err().contains("not known here"));
        assert!(text("${{ steps.step_1 }}").unwrap_err().contains("`steps.ID.output`"));
        assert!(text("${{ task").unwrap_err().contains("`}}` is missing"));
        with_scope(|scope| {
            assert!(!eval_condition("${{ context.nope }}", scope).unwrap());
            assert!(eval_condition("steps.zzz.status == 'failed'", scope).is_err());
        });
    }

    #[test]
    fn conditions() {
        with_scope(|scope| {
            for (condition, expected) in [
                ("${{ steps.step_1.status == 'completed' && !context.flag }}", true),
                ("steps.step_1.metadata.n == 3.0", true),
                ("steps.step_1.metadata.n != 3", false),
                ("(context.flag || steps.step_2.output) == false", true),
                ("steps.step_2.error == null", true),
                ("true", true),
                ("''", false),
                ("0", false),
                ("item.path == \"a b.py\"", true),
            ] {
                assert_eq!(eval_condition(condition, scope), Ok(expected), "{condition}");
            }
        });
    }

    #[test]
    fn the_list_of_a_for_each_must_be_a_list() {
        with_scope(|scope| {
            let each = |items: Value| ForEach { items, name: "item".into() };
            assert_eq!(items(&each(json!("${{ steps.step_1.metadata.files }}")), scope).unwrap().len(), 2);
            assert_eq!(items(&each(json!([1, "${{ task }}"])), scope).unwrap(), [json!(1), json!("the task")]);
            let error = items(&each(json!("${{ steps.step_1.metadata.n }}")), scope).unwrap_err().to_string();
            assert!(error.contains("needs a list, this is a number"), "{error}");
        });
    }

    proptest::proptest! {
        #[test]
        fn any_text_resolves_or_is_refused(text in "(\\$|\\{|\\}|'|\"|[a-z. ]|é){0,40}") {
            with_scope(|scope| { let _ = resolve_value(&json!(text), scope); let _ = eval_condition(&text, scope); });
            references_in(&json!(text));
        }
        #[test]
        fn escaped_text_resolves_to_itself(original in "(\\$|\\{|\\}|[a-z ]){0,30}") {
            with_scope(|scope| assert_eq!(resolve_value(&json!(escape(&original)), scope).unwrap(), json!(original)));
        }
    }
}
