//! The content-addressed store gives back what it was given, keeps it private, and finds out a disk that lies.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use agentic_executor::workspace::{ContentHash, Store, WorkspaceError};

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in fs::read_dir(folder).unwrap() {
        let top = top.unwrap().path();
        if top.is_dir() {
            found.extend(fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()));
        } else if top.file_name() != Some("lock".as_ref()) {
            found.push(top);
        }
    }
    found
}

#[test]
fn the_same_bytes_are_kept_once_and_come_back() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("store");
    let store = Store::open(&folder).unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let file = temp.path().join("big");
    fs::write(&file, &big).unwrap();
    let hash = store.put(&big).unwrap();
    assert_eq!(hash, ContentHash::of(&big));
    assert_eq!(store.put_file(&fs::File::open(&file).unwrap()).unwrap(), hash);
    let empty = store.put(b"").unwrap();
    assert_eq!(entries(&folder).len(), 2);
    assert_eq!(store.get(&hash).unwrap(), big);
    assert_eq!(store.get(&empty).unwrap(), b"");
    let mut read = Vec::new();
    store.open_entry(&hash).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, big);
    assert!(!store.contains(&ContentHash::of(b"other")));
    assert!(store.get(&ContentHash::of(b"other")).unwrap_err().to_string().contains("No such file"));
}

#[test]
fn entries_are_private() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("store");
    Store::open(&folder).unwrap().put(b"secret").unwrap();
    let entry = &entries(&folder)[0];
    assert_eq!(fs::metadata(entry).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(entry.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_corrupted_entry_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("store");
    let store = Store::open(&folder).unwrap();
    let hash = store.put(b"some bytes").unwrap();
    let entry = entries(&folder).remove(0);
    let good = fs::read(&entry).unwrap();
    let other = store.put(b"some other bytes").unwrap();
    let swapped = fs::read(entries(&folder).into_iter().find(|path| *path != entry).unwrap()).unwrap();
    for bad in [b"".to_vec(), b"no zstd".to_vec(), good[..good.len() - 1].to_vec(), swapped] {
        fs::write(&entry, bad).unwrap();
        let error = store.get(&hash).unwrap_err();
        assert!(matches!(&error, WorkspaceError::Corrupted { path, .. } if *path == entry), "{error}");
        assert!(store.open_entry(&hash).is_err());
    }
    assert_eq!(store.get(&other).unwrap(), b"some other bytes");
}

#[test]
fn hashes_are_checked_when_read_from_text() {
    let hash = ContentHash::of(b"x");
    let json = serde_json::to_string(&hash).unwrap();
    assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
    assert!(serde_json::from_str::<ContentHash>("\"../../../etc/passwd\"").is_err());
}
