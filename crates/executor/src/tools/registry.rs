//! The tools an executor has, by name, each with its compiled argument schema.
//!
//! A [`ToolRegistry`] is a shared handle: a clone sees what is registered through the original, so that a tool
//! added after an executor was built is there at its next call. A schema is compiled once, when it is registered.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::function::FunctionTool;
use super::schema::{SchemaFormat, provider};
use super::validate::Validator;
use super::{
    ApplyPatchTool, EditTool, FileReadTool, FileWriteTool, ListFilesTool, RollbackTool, RunCodeTool, RunTestsTool,
    SearchTool, ShellTool, Tool, ToolContext, ToolResult,
};
use crate::cause::Cause;

/// What keeps a tool from being registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name does not fit `[a-zA-Z0-9_-]{1,64}`.
    #[error("failed to register the tool {0:?}: a name is 1 to 64 letters, digits, `_` or `-`")]
    Name(String),
    /// The argument schema is not a valid object schema.
    #[error("failed to register the tool {name}: its argument schema is not a valid object schema: {reason}")]
    Schema {
        /// The tool.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Clone)]
struct Entry {
    tool: Arc<dyn Tool>,
    validator: Arc<Validator>,
}

/// The tools an executor has, in the order they were registered. Cloning shares it.
///
/// ```
/// use agentic_executor::{ToolContext, ToolRegistry};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Greeting {
///     /// Whom to greet.
///     name: String,
/// }
///
/// let registry = ToolRegistry::default_registry();
/// registry.register_fn("greet", "Greets somebody", |args: Greeting, _context: &ToolContext<'_>| {
///     Ok(format!("Hello, {}!", args.name))
/// })?;
/// assert_eq!(registry.list_tools().last().map(String::as_str), Some("greet"));
/// # Ok::<(), agentic_executor::tools::RegistryError>(())
/// ```
#[derive(Clone, Default)]
pub struct ToolRegistry {
    entries: Arc<RwLock<Vec<Entry>>>,
}

impl fmt::Debug for ToolRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolRegistry").field(&self.list_tools()).finish()
    }
}

impl ToolRegistry {
    /// No tools.
    pub fn new() -> Self {
        Self::default()
    }
    /// `file_read`, `file_write`, `shell`, `search`: what programs written against the Python package expect.
    pub fn default_registry() -> Self {
        Self::of(vec![
            Arc::new(FileReadTool::new()),
            Arc::new(FileWriteTool::new()),
            Arc::new(ShellTool::new()),
            Arc::new(SearchTool::new()),
        ])
    }
    /// Every built-in tool: the default four, `edit`, `apply_patch`, `list_files`, `run_code`, `run_tests` and `rollback`.
    pub fn full_registry() -> Self {
        let registry = Self::default_registry();
        registry.add_built_in(Arc::new(EditTool::new()));
        registry.add_built_in(Arc::new(ApplyPatchTool::new()));
        registry.add_built_in(Arc::new(ListFilesTool::new()));
        registry.add_built_in(Arc::new(RunCodeTool::new()));
        let shell = registry.get("shell");
        registry.add_built_in(Arc::new(RunTestsTool::beside(shell)));
        registry.add_built_in(Arc::new(RollbackTool::new()));
        registry
    }
    fn of(tools: Vec<Arc<dyn Tool>>) -> Self {
        let registry = Self::new();
        for tool in tools {
            registry.add_built_in(tool);
        }
        registry
    }
    /// Our own tools cannot fail here: the test `registries_hold_what_they_say` would.
    fn add_built_in(&self, tool: Arc<dyn Tool>) {
        let added = self.register(tool);
        debug_assert!(added.is_ok(), "{added:?}");
    }

    /// A registry of its own with the tools this one has now.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self { entries: Arc::new(RwLock::new(entries)) }
    }

    /// Adds a tool; one of the same name is replaced, in its place.
    ///
    /// # Errors
    /// When its name or its argument schema breaks the rules.
    pub fn register(&self, tool: Arc<dyn Tool>) -> Result<(), RegistryError> {
        let name = tool.name().to_owned();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(RegistryError::Name(name));
        }
        let validator = Validator::new(&tool.schema(), tool.refuses_unknown())
            .map_err(|reason| RegistryError::Schema { name: name.clone(), reason })?;
        let entry = Entry { tool, validator: Arc::new(validator) };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match entries.iter_mut().find(|other| other.tool.name() == name) {
            Some(place) => *place = entry,
            None => entries.push(entry),
        }
        Ok(())
    }
    /// Adds a tool made of a function over typed arguments. It may write to the workspace; for finer answers
    /// build a [`FunctionTool`] and [`Self::register`] it.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub fn register_fn<A, R>(
        &self,
        name: &str,
        description: &str,
        function: impl Fn(A, &ToolContext<'_>) -> Result<R, String> + Send + Sync + 'static,
    ) -> Result<(), RegistryError>
    where
        A: DeserializeOwned + JsonSchema + 'static,
        R: Into<Value>,
    {
        self.register(Arc::new(FunctionTool::new(name, description, function)))
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|entry| entry.tool.name() == name).cloned()
    }
    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|entry| entry.tool.clone()).collect()
    }
    /// The tool of that name: the very object that was registered.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.entry(name).map(|entry| entry.tool)
    }
    /// The names, in order.
    pub fn list_tools(&self) -> Vec<String> {
        self.tools().iter().map(|tool| tool.name().to_owned()).collect()
    }
    /// Every tool in a provider's shape, in order.
    pub fn get_schemas(&self, format: SchemaFormat) -> Vec<Value> {
        self.tools().iter().map(|tool| provider::describe(tool.as_ref(), format)).collect()
    }
    /// The arguments of a call to `name`, checked and in the form its tool gets them.
    ///
    /// # Errors
    /// The result to answer with: `Unknown tool: NAME`, or what is wrong with the arguments and where
    /// (`metadata["pointer"]`).
    pub fn validate(&self, name: &str, params: &Map<String, Value>) -> Result<Map<String, Value>, ToolResult> {
        match self.entry(name) {
            Some(entry) => entry.validator.check(params),
            None => Err(ToolResult::failure(Cause::UnknownTool, format!("Unknown tool: {name}"))
                .with("available", self.list_tools())),
        }
    }
}
