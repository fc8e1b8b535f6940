//! A tool made of a function over typed arguments.
//!
//! The argument struct is the schema, so the two cannot drift. A panic in the function is a failed call, not the
//! end of the program that called it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Access, Idempotency, Resources, Tool, ToolCall, ToolContext, ToolResult, schema, validate};
use crate::cause::Cause;

type Function = dyn Fn(&ToolCall, &ToolContext<'_>) -> ToolResult + Send + Sync;

/// A tool made of a function over typed arguments.
///
/// ```
/// use agentic_executor::ToolContext;
/// use agentic_executor::tools::{Access, FunctionTool, Tool};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Sum {
///     /// What to add up.
///     numbers: Vec<i64>,
/// }
///
/// let tool = FunctionTool::new("sum", "Adds numbers up", |args: Sum, _: &ToolContext<'_>| {
///     Ok(args.numbers.iter().sum::<i64>())
/// })
/// .access(Access::None);
/// assert_eq!(tool.schema()["required"][0], "numbers");
/// ```
pub struct FunctionTool {
    name: String,
    description: String,
    schema: Value,
    function: Box<Function>,
    access: Access,
    resources: Resources,
    idempotency: Idempotency,
}

impl fmt::Debug for FunctionTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTool").field("name", &self.name).field("access", &self.access).finish_non_exhaustive()
    }
}

impl FunctionTool {
    /// A tool that runs `function`; an `Err` is a failed call with that message. Until told otherwise it may
    /// write to the workspace, runs alone, and its effects are taken to be in the layer.
    pub fn new<A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: impl Fn(A, &ToolContext<'_>) -> Result<R, String> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        R: Into<Value>,
    {
        let schema = schema::of::<A>();
        let own = schema.clone();
        Self::over(name.into(), description.into(), schema, move |call, context| {
            let args = validate::arguments::<A>(call, || own.clone())?;
            function(args, context)
                .map_err(|message| ToolResult::failure(Cause::Failed, message))
                .map(ToolResult::success)
        })
    }
    /// The same over untyped arguments that a schema describes, such as one made by
    /// [`schema::from_parameters`](super::schema::from_parameters). They were checked against it when the call came
    /// through an executor.
    pub fn with_schema<R: Into<Value>>(
        name: impl Into<String>,
        description: impl Into<String>,
        schema: Value,
        function: impl Fn(&Map<String, Value>, &ToolContext<'_>) -> Result<R, String> + Send + Sync + 'static,
    ) -> Self {
        Self::over(name.into(), description.into(), schema, move |call, context| {
            let output = function(&call.params, context);
            output.map_err(|message| ToolResult::failure(Cause::Failed, message)).map(ToolResult::success)
        })
    }
    fn over(
        name: String,
        description: String,
        schema: Value,
        function: impl Fn(&ToolCall, &ToolContext<'_>) -> Result<ToolResult, ToolResult> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            description,
            schema,
            function: Box::new(move |call, context| function(call, context).unwrap_or_else(|failure| failure)),
            access: Access::Write,
            resources: Resources::Undeclared,
            idempotency: Idempotency::Layered,
        }
    }
    /// Which layers a call needs.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }
    /// What a call touches.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }
    /// Whether repeating a call is harmless.
    #[must_use]
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }
}

impl Tool for FunctionTool {
    fn name(&self) -> &str {
        &self.name
    }
    fn description(&self) -> &str {
        &self.description
    }
    fn schema(&self) -> Value {
        self.schema.clone()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        guarded(&self.name, || (self.function)(call, context))
    }
    fn access(&self, _params: &Map<String, Value>) -> Access {
        self.access
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        self.resources.clone()
    }
    fn idempotency(&self) -> Idempotency {
        self.idempotency
    }
}

/// Runs somebody's code; a panic becomes a failure. What it left half-done lies in the layer, which is dropped.
fn guarded(name: &str, run: impl FnOnce() -> ToolResult) -> ToolResult {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        ToolResult::failure(Cause::Failed, format!("the tool {name} panicked: {said}")).with("panic", true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failed_call() {
        let result = guarded("boom", || panic!("index {} is gone", 7));
        assert_eq!(result.error.as_deref(), Some("the tool boom panicked: index 7 is gone"));
        assert_eq!(result.cause, Some(Cause::Failed));
        let control = guarded("fine", || ToolResult::success("ok"));
        assert!(control.is_success());
    }
}
