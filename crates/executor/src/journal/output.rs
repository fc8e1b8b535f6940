//! Large values live beside the journal, by content: an event holds at most 16 KiB of any one of them.
//!
//! `put` and `get` are the two calls that this module needs of a content-addressed store.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{JournalError, OutputRef};

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

fn blob(store: &Path, hash: &str) -> PathBuf {
    store.join(&hash[..2]).join(hash)
}

fn put(store: &Path, bytes: &[u8]) -> Result<String, JournalError> {
    let hash = blake3::hash(bytes).to_hex().to_string();
    let write = || -> io::Result<()> {
        let path = blob(store, &hash);
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(store);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let unfinished = folder.join(format!(".{}", uuid::Uuid::now_v7()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = zstd::stream::copy_encode(bytes, &mut file, 3)
            .and_then(|()| file.flush())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            fs::remove_file(&unfinished).ok();
        }
        written
    };
    match write() {
        Ok(()) => Ok(hash),
        Err(source) => Err(JournalError::Output { action: "write", hash, source }),
    }
}

fn get(store: &Path, hash: &str) -> io::Result<Vec<u8>> {
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a BLAKE3 hash"));
    }
    let bytes = zstd::stream::decode_all(fs::File::open(blob(store, hash))?)?;
    if blake3::hash(&bytes).to_hex().as_str() != hash {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes do not have this hash"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_kept_by_content_and_come_back() {
        let store = tempfile::tempdir().unwrap();
        for value in [json!("é".repeat(20_000)), json!([1, { "a": "b".repeat(40_000) }]), json!("short"), json!(3)] {
            let kept = keep(Some(store.path()), &value).unwrap();
            assert_eq!(matches!(kept, OutputRef::Stored { .. }), is_large(&value));
            assert_eq!(load(Some(store.path()), &kept).unwrap(), value);
        }
    }

    #[test]
    fn a_changed_blob_is_noticed() {
        let store = tempfile::tempdir().unwrap();
        let kept = keep(Some(store.path()), &json!("x".repeat(20_000))).unwrap();
        let OutputRef::Stored { hash, .. } = &kept else { panic!("expected a stored output") };
        fs::write(blob(store.path(), hash), zstd::encode_all(&b"other"[..], 3).unwrap()).unwrap();
        assert!(load(Some(store.path()), &kept).unwrap_err().to_string().contains("do not have this hash"));
    }
}
