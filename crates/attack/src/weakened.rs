//! Weakened spawners: one program, started under names that say which barriers it leaves out.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use agentic_sandbox::{Sandbox, Spawner};
use tempfile::TempDir;

/// Where spawners without barriers come from. Only tests have one.
#[derive(Debug)]
pub struct Weakened {
    program: PathBuf,
    names: TempDir,
    made: Mutex<HashMap<String, Sandbox>>,
}

impl Weakened {
    /// From the program `weakened-spawner` of `agentic-sandbox`, built with the feature `weaken`.
    ///
    /// # Errors
    /// No folder can be made beside it.
    pub fn new(program: &Path) -> io::Result<Self> {
        let beside = program.parent().unwrap_or(Path::new("/"));
        let make = |folder: &Path| tempfile::Builder::new().prefix("weakened-").tempdir_in(folder);
        let names = make(beside).or_else(|_| make(&std::env::temp_dir()))?;
        // One's own copy, since a link to somebody else's file may be refused (fs.protected_hardlinks). Made once: a file
        // that another thread's child still holds open for writing cannot be executed.
        let own = names.path().join("program");
        fs::hard_link(program, &own).or_else(|_| fs::copy(program, &own).map(drop))?;
        Ok(Self { program: own, names, made: Mutex::default() })
    }

    /// A sandbox without these barriers (`seccomp+capabilities`).
    ///
    /// # Errors
    /// What the host refused.
    pub fn without(&self, barriers: &str) -> io::Result<Sandbox> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = made.get(barriers) {
            return Ok(sandbox.clone());
        }
        let path = self.names.path().join(barriers);
        fs::hard_link(&self.program, &path)?;
        let sandbox = Sandbox::new(Spawner::Path(path)).map_err(io::Error::other)?;
        made.insert(barriers.to_owned(), sandbox.clone());
        Ok(sandbox)
    }
}
