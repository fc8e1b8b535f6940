//! Large values live beside the journal, by content: an event holds at most 16 KiB of any one of them.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{JournalError, OutputRef};
use crate::workspace::{ContentHash, Store};

/// Bytes of a value that an event itself may hold.
pub const INLINE: usize = 16 * 1024;
const HEAD: usize = 1024;

/// What an event says about `value`: the value, or where it is kept.
pub(super) fn keep(store: Option<&Path>, value: &Value) -> Result<OutputRef, JournalError> {
    let Some(store) = store else { return Ok(OutputRef::Inline(value.clone())) };
    if !is_large(value) {
        return Ok(OutputRef::Inline(value.clone()));
    }
    let (text, json) = match value {
        Value::String(text) => (std::borrow::Cow::Borrowed(text), false),
        other => (std::borrow::Cow::Owned(other.to_string()), true),
    };
    let hash = put(store, text.as_bytes())?;
    Ok(OutputRef::Stored { hash, size: text.len() as u64, head: head(&text), json })
}

/// The same for every member of a result's metadata: a large one becomes `{"$stored": {hash, size}}`.
pub(super) fn keep_members(
    store: Option<&Path>,
    members: &Map<String, Value>,
) -> Result<Map<String, Value>, JournalError> {
    let mut kept = Map::new();
    for (name, value) in members {
        let value = match keep(store, value)? {
            OutputRef::Inline(value) => value,
            OutputRef::Stored { hash, size, json, .. } => {
                json!({ "$stored": { "hash": hash, "size": size, "json": json } })
            }
        };
        kept.insert(name.clone(), value);
    }
    Ok(kept)
}

/// The value an event refers to.
pub(super) fn load(store: Option<&Path>, output: &OutputRef) -> Result<Value, JournalError> {
    match output {
        OutputRef::Inline(value) => Ok(value.clone()),
        OutputRef::Stored { hash, json, .. } => {
            let failed = |source| JournalError::Output { action: "read", hash: hash.clone(), source };
            let store = store.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            let text = String::from_utf8(get(store, hash).map_err(failed)?)
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            if !json {
                return Ok(Value::String(text));
            }
            serde_json::from_str(&text).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
        }
    }
}

/// Whether the JSON of `value` is past [`INLINE`], judged without building it.
fn is_large(value: &Value) -> bool {
    fn size(value: &Value, most: usize) -> usize {
        let mut sum: usize = 8;
        match value {
            Value::String(text) => return text.len(),
            Value::Array(items) => {
                for item in items {
                    sum += size(item, most) + 1;
                    if sum > most {
                        break;
                    }
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    sum += name.len() + 4 + size(member, most);
                    if sum > most {
                        break;
                    }
                }
            }
            _ => {}
        }
        sum
    }
    size(value, INLINE) > INLINE
}

fn head(text: &str) -> String {
    let mut end = text.len().min(HEAD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn put(store: &Path, bytes: &[u8]) -> Result<String, JournalError> {
    let put = Store::open(store).and_then(|store| store.put(bytes));
    match put {
        Ok(hash) => Ok(hash.into()),
        Err(error) => {
            let hash = ContentHash::of(bytes).into();
            Err(JournalError::Output { action: "write", hash, source: io::Error::other(error) })
        }
    }
}

fn get(store: &Path, hash: &str) -> io::Result<Vec<u8>> {
    let hash =
        ContentHash::try_from(hash.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Store::open(store).and_then(|store| store.get(&hash)).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_kept_by_content_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        for value in [json!("é".repeat(20_000)), json!([1, { "a": "b".repeat(40_000) }]), json!("short"), json!(3)] {
            let kept = keep(Some(&store), &value).unwrap();
            assert_eq!(matches!(kept, OutputRef::Stored { .. }), is_large(&value));
            assert_eq!(load(Some(&store), &kept).unwrap(), value);
        }
    }
}
