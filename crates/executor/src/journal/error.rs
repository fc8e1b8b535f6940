//! What keeps a journal from being opened, written or read.

use std::io;
use std::path::PathBuf;

/// What keeps a journal from being opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Its folder or file cannot be made.
    #[error("failed to create the journal {}: {source}; choose another state folder", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The database refused.
    #[error("failed to {action} the journal {place}: {source}")]
    Database {
        /// What was attempted.
        action: &'static str,
        /// The file, or `in memory`.
        place: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It can be read and not written.
    #[error("cannot write to the journal {place}: {reason}")]
    NotWritable {
        /// The file.
        place: String,
        /// Why.
        reason: String,
    },
    /// An earlier write failed; nothing is written after a gap.
    #[error("the journal {place} stopped recording: {reason}")]
    Broken {
        /// The file, or `in memory`.
        place: String,
        /// What failed first.
        reason: String,
    },
    /// An event has no JSON form.
    #[error("failed to encode the event `{kind}`: {source}")]
    Encode {
        /// The kind of event.
        kind: &'static str,
        /// What the encoder said.
        source: serde_json::Error,
    },
    /// A stored value is not what the format says.
    #[error("the journal {place} holds an unreadable {what}")]
    Corrupt {
        /// The file, or `in memory`.
        place: String,
        /// Which value of which run.
        what: String,
    },
    /// No run has that id.
    #[error("no run matches `{0}`; `agentic runs` lists them")]
    NoSuchRun(String),
    /// Several runs have that beginning or end.
    #[error("`{text}` matches {count} runs: {}{}", .examples.join(", "), if *.count > .examples.len() { ", …" } else { "" })]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many runs match.
        count: usize,
        /// The newest of them.
        examples: Vec<String>,
    },
    /// An output is not in the store, or its bytes are not those that were put there.
    #[error("failed to {action} the stored output {hash}: {source}")]
    Output {
        /// What was attempted.
        action: &'static str,
        /// BLAKE3, hexadecimal.
        hash: String,
        /// What the kernel said.
        source: io::Error,
    },
}
