//! Every attempt at a step works in private layers over its workspace roots, committed or dropped as a whole.
//!
//! [`Workspaces`] knows which layers are open on each root and which finished ones wait to be applied;
//! [`Attempt`] is one call's set of open layers; [`ChangeSet`] is what a layer did; [`Dir`] is the one door
//! to host paths; [`Store`] keeps bytes by their hash.
//!
//! ```text
//!  open ─► Layer (overlay · copy · direct) ─► step runs ─► Reading (what differs) ─► Check (did anybody else?)
//!                                                                                        │
//!                        Board: waits while a mount is open on the root ◄── Plan ────────┘──► apply (all or nothing)
//! ```
//!
//! Longer than most: the map of the module, and all that decides how an attempt opens.
//!
//! The one decision: a folder is never written while it is the lower of a mounted layer, and nobody's bytes are
//! ever replaced unseen. A path that somebody else changed since the layer opened is a conflict, by name.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use agentic_sandbox::{Sandbox, Tier};

mod apply;
mod attempt;
mod attributes;
mod board;
mod change_set;
mod commit;
mod copy;
mod error;
mod exchange;
mod folder_lock;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod known;
mod layer;
mod path;
mod persistence;
mod reading;
mod renames;
mod resolve;
mod stage;
mod stamp;
mod state;
mod store;
mod sweep;
mod tree;
mod undo;
mod view;
mod wait;

#[doc(hidden)]
pub use apply::{Moment, Watcher};
pub use attempt::Attempt;
pub use change_set::{
    Change, ChangeKind, ChangeSet, LeftOut, path_from_text, path_on_a_line, path_to_text, plain_path,
};
pub use copy::CopyLimits;
pub use error::{Aside, Conflict, WorkspaceError};
pub use exchange::Exchange;
use known::Known;
pub use layer::Backend;
pub use path::{Dir, DirEntry, FileKind, Metadata};
pub use persistence::{AllowPersist, Level, Persistence};
pub use stage::StagedChanges;
pub use state::state_outside;
pub use store::{ContentHash, Store};
pub use undo::{
    Bytes, Collect, Collected, DiffLine, DiffPart, Difference, Kept, PlannedRollBack, Record, Records, Recovered,
    RollBack, RolledBack, Stat, StatRow, State, Time, differences, unified,
};
pub use wait::OnWait;

use crate::Cancel;
use crate::tools::Access;
use board::{Board, Ground};
pub(crate) use folder_lock::process_name;
use folder_lock::{AGAIN, FolderLocks};
use layer::{Layer, Root};
use wait::{Wait, waits_for};

/// Roots as they were given, and without links.
type Spellings = Vec<(PathBuf, PathBuf)>;

/// Where root's copies lie that a program of another user works in.
const PASSABLE: &str = "/var/tmp/agentic-layers-0";

/// Why a layer is a copy.
enum Why {
    /// No overlay can be had over the folder.
    NoOverlay(String),
    /// The run has no mounts at all.
    Uncovered(String),
}

/// The workspace roots of an executor, with the layers that are open on them or wait to be applied. Clones share them.
///
/// Not to be used, nor dropped, in a forked child of the process: the layers are the parent's, and threads that hold
/// locks are not there. The child leaks what it inherited and makes its own ([`Sandbox::after_fork`]).
#[derive(Clone)]
pub struct Workspaces {
    shared: Arc<Shared>,
    limits: CopyLimits,
    tier: Tier,
    cancel: Option<Cancel>,
}

struct Shared {
    state: PathBuf,
    sandbox: Sandbox,
    store: Store,
    records: Records,
    recovered: OnceLock<Vec<Recovered>>,
    locks: FolderLocks,
    board: Mutex<Board>,
    changed: Condvar,
    probes: Mutex<HashMap<(u64, u64), Option<String>>>,
    watcher: Option<Watcher>,
    patience: Duration,
    on_wait: Option<OnWait>,
    /// Finished layers are held back.
    staged: bool,
}

impl fmt::Debug for Workspaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspaces")
            .field("state", &self.shared.state)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        // A panic while applying leaves the board as a failed apply does.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn ground<'a>(&'a self, asides: &'a Path) -> Ground<'a> {
        Ground {
            store: &self.store,
            watcher: self.watcher.as_ref(),
            asides,
            records: &self.records,
            locks: &self.locks,
            // What is staged goes into no folder of the user's.
            alone: !self.staged,
        }
    }
    fn asides(&self) -> PathBuf {
        self.state.join("aside")
    }
    /// Waits until something has changed on the board, or another process may have let a folder go, and applies what waits.
    fn wait<'b>(&self, board: MutexGuard<'b, Board>, most: Duration) -> MutexGuard<'b, Board> {
        let waited = self.changed.wait_timeout(board, most.min(AGAIN));
        let mut board = waited.unwrap_or_else(PoisonError::into_inner).0;
        board.drain(&self.ground(&self.asides()));
        board
    }
    /// Ends an attempt, however it ended.
    fn close(&self, attempt: u64) {
        let mut board = self.board();
        board.unmount(attempt);
        board.drain(&self.ground(&self.asides()));
        board.close(attempt);
        drop(board);
        self.changed.notify_all();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // What finished is not lost because another process has the folder mounted to the end: nobody is left to wait.
        let asides = self.state.join("aside");
        let ground = Ground { alone: false, ..self.ground(&asides) };
        self.board.lock().unwrap_or_else(PoisonError::into_inner).drain(&ground);
    }
}

impl Workspaces {
    /// Over a state folder (private, on a file system that can hold an overlay's upper) and the sandbox that mounts.
    ///
    /// # Errors
    /// When the state folder cannot be made or is not private.
    pub fn new(state: &Path, sandbox: Sandbox) -> Result<Self, WorkspaceError> {
        tree::private_folder(state)?;
        let state = state.canonicalize().map_err(WorkspaceError::io("resolve the state folder", state))?;
        for folder in ["layers", "aside"] {
            tree::private_folder(&state.join(folder))?;
        }
        let store = Store::open(state.join("store"))?;
        let records = Records::of(&state, store.clone());
        let locks = FolderLocks::of(&state);
        let shared = Shared {
            state,
            sandbox,
            store,
            records,
            recovered: OnceLock::new(),
            locks,
            board: Mutex::default(),
            changed: Condvar::new(),
            probes: Mutex::default(),
            watcher: None,
            patience: wait::LONGEST,
            on_wait: None,
            staged: false,
        };
        let workspaces =
            Self { shared: Arc::new(shared), limits: CopyLimits::default(), tier: Tier::Best, cancel: None };
        let recovered = undo::recover(&workspaces);
        workspaces.shared.recovered.get_or_init(|| recovered);
        Ok(workspaces)
    }
    /// The layers that were being applied when their processes ended: each was taken back when the state folder was opened.
    pub fn recovered(&self) -> &[Recovered] {
        self.shared.recovered.get().map_or(&[], Vec::as_slice)
    }
    /// The same for runs of this tier: without namespaces every layer that is written is a copy.
    #[must_use]
    pub fn with_tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }
    /// The same with other ceilings for the copy backend.
    #[must_use]
    pub fn with_copy_limits(mut self, limits: CopyLimits) -> Self {
        self.limits = limits;
        self
    }
    /// The same, with something to be done at each moment of applying. For tests; before the first clone.
    #[doc(hidden)]
    #[must_use]
    pub fn with_watcher(mut self, watcher: Watcher) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.watcher = Some(watcher);
        }
        self
    }
    /// The same, waiting this long at most for other processes that work in a folder. Default: ten minutes. Before the first
    /// clone.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.patience = patience;
        }
        self
    }
    /// The same, with somebody who is told when a finished layer has waited for another process for a second. Before
    /// the first clone.
    #[must_use]
    pub fn on_wait(mut self, tell: OnWait) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.on_wait = Some(tell);
        }
        self
    }
    /// The same, whose waits for others end when this is asked for: what waited to be applied is kept aside then.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }
    /// The state folder, without links.
    pub fn state(&self) -> &Path {
        &self.shared.state
    }
    /// The sandbox that mounts layers, and runs what is to run over them.
    pub fn sandbox(&self) -> &Sandbox {
        &self.shared.sandbox
    }
    /// The content-addressed store in the state folder.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }
    /// What the layers that were committed undoably replaced.
    pub fn records(&self) -> &Records {
        &self.shared.records
    }
    /// Opens private layers over `roots` (absolute folders; one inside another is covered by the outer one), with
    /// the best backend that this host can have.
    ///
    /// # Errors
    /// [`WorkspaceError::Root`] when a root is missing, no folder, `/`, or overlaps the state folder;
    /// [`WorkspaceError::TooLarge`] when it would have to be copied and is too large.
    pub fn open(&self, roots: &[PathBuf], access: Access) -> Result<Attempt, WorkspaceError> {
        self.open_as(roots, access, None)
    }
    /// As [`Self::open`], with this backend: a step that overlayfs could not serve (`EXDEV` from renaming a folder) is
    /// run again on a copy. [`Backend::Direct`] is for reading only.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(&self, roots: &[PathBuf], access: Access, backend: Backend) -> Result<Attempt, WorkspaceError> {
        self.open_as(roots, access, Some(backend))
    }
    fn open_as(&self, given: &[PathBuf], access: Access, wanted: Option<Backend>) -> Result<Attempt, WorkspaceError> {
        let given = if access == Access::None { &[] } else { given };
        let (roots, spellings) = self.roots(given)?;
        let paths: Vec<_> = roots.iter().map(|root| root.path.clone()).collect();
        let mut board = self.shared.board();
        if access == Access::Write
            && let Some(stage) = board.stage()
        {
            roots.iter().try_for_each(|root| stage.begin(root))?;
        }
        let mut wait = Wait::begin(self);
        board.drain(&self.shared.ground(&self.shared.asides()));
        while let Some(busy) = paths.iter().find(|path| board.must_wait(path)) {
            let what = |shared: &Shared| shared.waited_for(std::slice::from_ref(busy));
            let left = wait.left(what).map_err(|over| over.error(busy.clone(), what(&self.shared)))?;
            board = self.shared.wait(board, left);
        }
        let id = board.register(paths);
        let seen = board.seen(id);
        let lowers: Vec<_> = roots.iter().map(|root| board.lowers(&root.path, seen)).collect();
        drop(board);

        let mut chosen = Vec::new();
        for (root, lowers) in roots.into_iter().zip(lowers) {
            let (backend, why) = self.backend(&root, access, wanted, lowers.is_empty())?;
            chosen.push((root, lowers, backend, why));
        }
        let covered = chosen.iter().all(|(.., why)| !matches!(why, Some(Why::Uncovered(_))));
        // A user of root's making passes no private folder of root's.
        let reachable = !covered && agentic_sandbox::reserves_users();
        let all =
            if reachable { tree::passable_folder(Path::new(PASSABLE))? } else { self.shared.state.join("layers") };
        let folder = all.join(uuid::Uuid::now_v7().simple().to_string());
        let mut attempt = Attempt {
            shared: self.shared.clone(),
            id,
            folder: Some(folder.clone()),
            layers: Vec::new(),
            spellings,
            terms: Mutex::default(),
            degraded: None,
            covered,
            held: None,
        };
        if reachable {
            tree::make_passable(&folder).map_err(WorkspaceError::io("make the layer", &folder))?;
        }
        let mounts: Vec<&Path> = chosen
            .iter()
            .filter(|(_, _, backend, _)| *backend == Backend::Overlay)
            .map(|(root, ..)| root.path.as_path())
            .collect();
        if !mounts.is_empty() {
            attempt.held = Some(self.shared.locks.share(&mounts, self.shared.patience)?);
        }
        for (index, (root, lowers, backend, why)) in chosen.into_iter().enumerate() {
            let why = why.map(|(Why::NoOverlay(why) | Why::Uncovered(why))| why);
            if attempt.degraded.is_none() {
                attempt.degraded.clone_from(&why);
            }
            let why = why.unwrap_or_else(|| "a copy was asked for".into());
            let place = folder.join(index.to_string());
            if reachable {
                tree::make_passable(&place).map_err(WorkspaceError::io("make the layer", &place))?;
            }
            let layer = Layer::open(root, place, backend, lowers, &self.shared.state, self.limits, &why)?;
            attempt.layers.push(layer);
        }
        let stamp = attempt.layers.iter().filter_map(Layer::stamp).min();
        let mounted = attempt.layers.iter().any(|layer| layer.backend == Backend::Overlay);
        let mut board = self.shared.board();
        board.opened(id, stamp, mounted);
        if !mounted {
            board.drain(&self.shared.ground(&self.shared.asides()));
        }
        drop(board);
        self.shared.changed.notify_all();
        Ok(attempt)
    }
    fn backend(
        &self,
        root: &Root,
        access: Access,
        wanted: Option<Backend>,
        nothing_waits: bool,
    ) -> Result<(Backend, Option<Why>), WorkspaceError> {
        if matches!(wanted, Some(Backend::Direct) | None) && access != Access::Write && nothing_waits {
            return Ok((Backend::Direct, None));
        }
        if wanted == Some(Backend::Overlay) {
            return Ok((Backend::Overlay, None));
        }
        // A copy that is asked for by name follows an overlay that was had; nothing is tried for it.
        let known = wanted == Some(Backend::Copy) && self.tier == Tier::Best;
        if !known && let Some(why) = self.without_namespaces(root)? {
            return Ok((Backend::Copy, Some(Why::Uncovered(why))));
        }
        Ok(match wanted {
            Some(Backend::Copy) => (Backend::Copy, None),
            _ if agentic_sandbox::reserves_users() && layer::is_on_overlayfs(root) => {
                let why = "the folder lies on overlayfs, which cannot be id-mapped, so root's own files cannot be lent";
                (Backend::Copy, Some(Why::NoOverlay(why.to_owned())))
            }
            _ => match self.probe(root) {
                None => (Backend::Overlay, None),
                Some(why) => (Backend::Copy, Some(Why::NoOverlay(why))),
            },
        })
    }
    /// Why the run will have no mount. A host that is known to take an overlay is not asked again.
    fn without_namespaces(&self, root: &Root) -> Result<Option<String>, WorkspaceError> {
        if self.tier == Tier::Best
            && Known::of(&self.shared.state, self.devices(root)).is_some_and(|known| known.holds())
        {
            return Ok(None);
        }
        let failed = |source| WorkspaceError::Mount { path: root.path.clone(), source };
        self.shared.sandbox.without_namespaces(self.tier).map_err(failed)
    }
    /// The file systems of a layer and of its folder.
    fn devices(&self, root: &Root) -> (u64, u64) {
        let device = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.dev());
        (device(&self.shared.state), device(&root.path))
    }
    /// Why there is no overlay for this pair of file systems; tried once.
    fn probe(&self, root: &Root) -> Option<String> {
        let pair = self.devices(root);
        let mut probes = self.shared.probes.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.shared.state.join("layers").join(format!("probe-{}", uuid::Uuid::now_v7().simple()));
        let tried = || {
            let known = Known::of(&self.shared.state, pair);
            if known.as_ref().is_some_and(Known::holds) {
                return None;
            }
            let outcome = layer::probe(root, &folder, &self.shared.sandbox);
            if let (None, Some(known)) = (&outcome, known) {
                known.keep();
            }
            outcome
        };
        probes.entry(pair).or_insert_with(tried).clone()
    }
    /// The outermost of the roots, and every spelling that leads to one.
    fn roots(&self, given: &[PathBuf]) -> Result<(Vec<Root>, Spellings), WorkspaceError> {
        let state = &self.shared.state;
        let mut real = Vec::new();
        for path in given {
            if !path.is_absolute() {
                return Err(WorkspaceError::root(path, "it is not an absolute path"));
            }
            let found = path.canonicalize().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => WorkspaceError::root(path, "there is no such folder"),
                _ => WorkspaceError::root(path, error.to_string()),
            })?;
            if !found.is_dir() {
                return Err(WorkspaceError::root(path, "it is not a folder"));
            }
            if found == Path::new("/") {
                return Err(WorkspaceError::root(path, "the whole file system cannot be a workspace: name a folder"));
            }
            if state.starts_with(&found) {
                let reason = format!("the state folder {} lies inside it: set another state folder", state.display());
                return Err(WorkspaceError::root(path, reason));
            }
            if found.starts_with(state) {
                return Err(WorkspaceError::root(path, format!("it lies inside the state folder {}", state.display())));
            }
            real.push((path.clone(), found));
        }
        let mut outer: Vec<PathBuf> = real.iter().map(|(_, found)| found.clone()).collect();
        if let Some(stage) = self.shared.board().stage() {
            for path in &mut outer {
                if let Some(root) = stage.root_for(path)? {
                    *path = root;
                }
            }
        }
        outer.sort();
        // Sorted by components, a folder comes right before everything inside it.
        outer.dedup_by(|inner, outer| inner.starts_with(&*outer));
        let roots = outer.into_iter().map(|path| Ok(Root { dir: Dir::open_root(&path)?, path }));
        let roots = roots.collect::<Result<Vec<_>, WorkspaceError>>()?;
        Ok((roots, real))
    }
    /// Waits until every finished layer is applied or could not be. An attempt that is open in the calling thread
    /// would be waited for without end.
    ///
    /// # Errors
    /// [`WorkspaceError::NotApplied`]: conflicts that showed only when a finished layer was applied, with the folder
    /// that keeps what its step wrote. Each is told once.
    pub fn settle(&self) -> Result<(), WorkspaceError> {
        self.settle_only(&|_| true)
    }
    /// Whether one of these layers ([`Attempt::name`]) is finished and not applied yet.
    pub(crate) fn waits_for_one_of(&self, layers: &[String]) -> bool {
        let mut board = self.shared.board();
        board.drain(&self.shared.ground(&self.shared.asides()));
        board.is_waiting(&|layer| layers.iter().any(|one| one == layer))
    }
    /// As [`Self::settle`], of the layers whose [`Attempt::name`] is one of these: several runs share a workspace.
    ///
    /// # Errors
    /// As [`Self::settle`]; layers that wait for another process for longer than ten minutes could not be applied.
    pub fn settle_only(&self, one_of: &dyn Fn(&str) -> bool) -> Result<(), WorkspaceError> {
        let mut wait = Wait::begin(self);
        let mut board = self.shared.board();
        board.drain(&self.shared.ground(&self.shared.asides()));
        while board.is_waiting(one_of) {
            match wait.left(|shared| waits_for(board.held_up_by(&shared.locks, one_of))) {
                Ok(left) => board = self.shared.wait(board, left),
                Err(_) => {
                    let owner = board.held_up_by(&self.shared.locks, one_of);
                    board.give_up(one_of, &waits_for(owner), &self.shared.asides());
                    break;
                }
            }
        }
        let asides = board.take_asides(one_of);
        if asides.is_empty() { Ok(()) } else { Err(WorkspaceError::NotApplied(asides)) }
    }
}
