//! What the proofs of undo share: a snapshot that the test takes by itself, random trees, and random tool calls.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that look random, the same ones for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    pub fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
    pub fn percent(&mut self, of: usize) -> bool {
        self.below(100) < of
    }
}

/// A number from the environment: `AGENTIC_UNDO_CASES`, `AGENTIC_UNDO_SEED`.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {text:?}")))
}

/// Calls `case` with a seed for each of so many cases (`AGENTIC_UNDO_CASES`), or for the one of `AGENTIC_UNDO_SEED`. A
/// case that fails says how to have it again. Many cases are made some at once: most of a case is waiting.
pub fn each_case(usually: u64, case: impl Fn(u64) + Sync) {
    if let Some(seed) = number("AGENTIC_UNDO_SEED") {
        return case(seed);
    }
    let cases = number("AGENTIC_UNDO_CASES").unwrap_or(usually);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = now.as_nanos() as u64;
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while failed.load(Ordering::Relaxed) == 0 {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= cases {
                break;
            }
            let seed = first.wrapping_add(nth);
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(seed))).is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("case {nth} of {cases}: again with AGENTIC_UNDO_SEED={seed}");
            } else if (nth + 1) % 500 == 0 {
                eprintln!("{} of {cases} cases", nth + 1);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..if cases >= MANY { AT_ONCE } else { 1 } {
            scope.spawn(work);
        }
        work();
    });
    assert_eq!(failed.into_inner(), 0, "cases that failed");
}

/// From so many cases on, so many are made at once.
const MANY: u64 = 100;
const AT_ONCE: usize = 6;

/// What one path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Bytes; `None` when they may not be read.
    File(Option<Vec<u8>>),
    Folder,
    Link(PathBuf),
    Special,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub what: What,
    pub mode: u32,
    /// Of files: when their bytes were written last. What undo says nothing of (folders, links) has none.
    pub written: Option<(i64, i64)>,
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub inode: (u64, u64),
    pub links: u64,
}

impl Entry {
    fn is(&self, other: &Self) -> bool {
        (&self.what, self.mode, self.written, &self.attributes)
            == (&other.what, other.mode, other.written, &other.attributes)
    }
    fn told(&self) -> String {
        let Self { what, mode, written, attributes, .. } = self;
        match what {
            What::File(Some(bytes)) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
                format!("file {mode:o} {written:?} {attributes:?} {} bytes {shown:?}", bytes.len())
            }
            other => format!("{other:?} {mode:o} {written:?}"),
        }
    }
}

/// Everything in a folder, taken with nothing of ours.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(pub BTreeMap<PathBuf, Entry>);

impl Snapshot {
    pub fn of(root: &Path) -> Self {
        let mut all = BTreeMap::new();
        let mut next = vec![root.to_owned()];
        while let Some(folder) = next.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("list {folder:?}: {error}")) {
                let path = entry.unwrap().path();
                let found = path.symlink_metadata().unwrap();
                let mut written = None;
                let mut attributes = BTreeMap::new();
                let what = if found.is_dir() {
                    next.push(path.clone());
                    What::Folder
                } else if found.is_symlink() {
                    What::Link(fs::read_link(&path).unwrap())
                } else if found.is_file() {
                    written = Some((found.mtime(), found.mtime_nsec()));
                    let bytes = fs::read(&path).ok();
                    if bytes.is_some() {
                        attributes = attributes_of(&path);
                    }
                    What::File(bytes)
                } else {
                    What::Special
                };
                // The bits of a link are those of its system.
                let mode = if found.is_symlink() { 0 } else { found.mode() & 0o7777 };
                let (inode, links) = ((found.dev(), found.ino()), found.nlink());
                let entry = Entry { what, mode, written, attributes, inode, links };
                all.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
            }
        }
        Self(all)
    }
    /// The paths of files by file, each set of at least two names.
    pub fn linked(&self) -> Vec<BTreeSet<&Path>> {
        let mut sets: BTreeMap<(u64, u64), BTreeSet<&Path>> = BTreeMap::new();
        for (path, entry) in &self.0 {
            if matches!(entry.what, What::File(_)) {
                sets.entry(entry.inode).or_default().insert(path);
            }
        }
        sets.into_values().filter(|names| names.len() > 1).collect()
    }
    /// The part of it whose paths are `wanted`.
    pub fn only(&self, wanted: impl Fn(&Path) -> bool) -> Self {
        let part = self.0.iter().filter(|(path, _)| wanted(path));
        Self(part.map(|(path, entry)| (path.clone(), entry.clone())).collect())
    }
    pub fn joined(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
    /// In what `found` differs from it, in words; nothing when it does not.
    pub fn differs(&self, found: &Self) -> Vec<String> {
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(found.0.keys()).collect();
        let mut told = Vec::new();
        for path in paths {
            match (self.0.get(path), found.0.get(path)) {
                (Some(one), Some(other)) if one.is(other) => {}
                (one, other) => {
                    let said = |entry: Option<&Entry>| entry.map_or("nothing".to_owned(), Entry::told);
                    told.push(format!("{path:?}: expected {}, found {}", said(one), said(other)));
                }
            }
        }
        told
    }
    /// Names that are one file and should not be, or should be and are not (docs/design/undo.md): `self` is what was to
    /// come back, `before` what was there until then, `found` what is there now.
    pub fn links_differ(&self, before: &Self, found: &Self) -> Vec<String> {
        let mut told = Vec::new();
        let same = |snapshot: &Self, one: &Path, other: &Path| {
            let inode = |path: &Path| snapshot.0.get(path).map(|entry| entry.inode);
            inode(one).is_some() && inode(one) == inode(other)
        };
        for names in found.linked() {
            let names: Vec<_> = names.into_iter().collect();
            for (index, one) in names.iter().enumerate() {
                for other in &names[index + 1..] {
                    if !same(self, one, other) {
                        told.push(format!("{one:?} and {other:?} became one file"));
                    }
                }
            }
        }
        for names in self.linked() {
            let names: Vec<_> = names.into_iter().collect();
            for (index, one) in names.iter().enumerate() {
                for other in &names[index + 1..] {
                    let stayed = same(before, one, other) && same_inode(self, before, one);
                    let gone = !before.0.contains_key(*one) && !before.0.contains_key(*other);
                    if (stayed || gone) && !same(found, one, other) {
                        told.push(format!("{one:?} and {other:?} are not one file any more"));
                    }
                }
            }
        }
        told
    }
}

fn same_inode(one: &Snapshot, other: &Snapshot, path: &Path) -> bool {
    let inode = |snapshot: &Snapshot| snapshot.0.get(path).map(|entry| entry.inode);
    inode(one) == inode(other)
}

fn attributes_of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4096];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value).unwrap();
        value.truncate(length);
        all.insert(name.to_vec(), value);
    }
    all
}
