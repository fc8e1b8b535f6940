//! Identifiers. Run and call ids sort by time of creation (UUID version 7, RFC 9562).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

id!(RunId, "One execution of a plan.");
id!(StepId, "A step of a plan: `step_1`, or the name its author gave.");
id!(CallId, "One attempt at a step: one tool call.");

impl RunId {
    /// A new id, later than every earlier one of this process.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}
impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}
impl CallId {
    /// A new id, later than every earlier one of this process.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}
impl Default for CallId {
    fn default() -> Self {
        Self::new()
    }
}
