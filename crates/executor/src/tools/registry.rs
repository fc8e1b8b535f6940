//! The tools an executor has, by name.

use std::sync::Arc;

use crate::tools::Tool;

/// The tools an executor has, in the order they were registered.
#[derive(Debug, Clone, Default)]
pub struct ToolRegistry {
    tools: Vec<Arc<dyn Tool>>,
}

impl ToolRegistry {
    /// No tools.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a tool; one of the same name is replaced.
    pub fn register(&mut self, tool: Arc<dyn Tool>) {
        self.tools.retain(|other| other.name() != tool.name());
        self.tools.push(tool);
    }
    /// The tool of that name: the very object that was registered.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.name() == name).cloned()
    }
    /// The names, in order.
    pub fn list_tools(&self) -> Vec<String> {
        self.tools.iter().map(|tool| tool.name().to_owned()).collect()
    }
}
