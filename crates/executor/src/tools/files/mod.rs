//! `file_read` and `file_write`: whole files, their text decoded and encoded as asked, their kind told apart.

mod content;
mod encoding;
mod read;
mod rename;
mod write;

pub(crate) use content::{is_binary, utf16_mark};
pub(crate) use encoding::TextEncoding;
pub use read::FileReadTool;
pub(crate) use read::unknown_encoding;
pub use write::FileWriteTool;

/// Bytes of a file that any of the file tools takes into memory at most.
pub(crate) const MOST_IN_MEMORY: u64 = 256 << 20;
