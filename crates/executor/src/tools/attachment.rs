//! What a tool's author attaches to a result for those who call from the same program: a front end in another
//! language gets back the very object that its tool returned.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Any value, shared by its clones. It is not recorded, takes no part in JSON, and goes where the result it belongs to
/// is replaced by another.
///
/// ```
/// use agentic_executor::ToolResult;
/// use agentic_executor::tools::Attachment;
///
/// let mut result = ToolResult::success("3 rows");
/// result.attachment = Some(Attachment::new(vec![1, 2, 3]));
/// let rows = result.attachment.as_ref().and_then(|attachment| attachment.downcast_ref::<Vec<i32>>());
/// assert_eq!(rows, Some(&vec![1, 2, 3]));
/// ```
#[derive(Clone)]
pub struct Attachment(Arc<dyn Any + Send + Sync>);

impl Attachment {
    /// Wraps a value.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self(Arc::new(value))
    }
    /// The value, if it is of this type.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment")
    }
}

/// The same value, not an equal one.
impl PartialEq for Attachment {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
