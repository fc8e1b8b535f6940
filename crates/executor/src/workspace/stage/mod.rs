//! Changes that are held back: the finished layers of a staged run become one layer that nobody has applied yet.
//!
//! Main type: [`Stage`]. Over each root lies one upper that only we write (`merge.rs`): what each step did goes into it
//! while nothing has it mounted, and the layers of later steps lie over it. In the end it is read against the folder and
//! applied as one change set, or dropped (`changes.rs`). The folder is not written before.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::apply::Part;
use super::commit::Own;
use super::copy::CopyLimits;
use super::error::WorkspaceError;
use super::layer::{Backend, Layer, Root};
use super::path::Dir;
use super::persistence::AllowPersist;
use super::reading::{Act, Kind, Reading};
use super::tree::Place;
use super::view::View;

mod changes;
mod merge;

pub use changes::StagedChanges;
use merge::Merge;

/// What a staged run has written, over all of its roots.
#[derive(Debug)]
pub(super) struct Stage {
    state: PathBuf,
    roots: Vec<Staged>,
    /// What the steps were allowed to leave behind.
    allowed: AllowPersist,
    /// Why it holds nothing that could be applied: adding to it failed half-way.
    broken: Option<String>,
    place: Place,
}

/// What was written over one root.
#[derive(Debug)]
struct Staged {
    layer: Layer,
    /// Paths that lay over something in the folder when they came: as a copy-up tells of a step's layer.
    over: HashSet<PathBuf>,
    filled: bool,
}

impl Stage {
    /// An empty one, in a new folder `place` that is made when it is needed.
    pub(super) fn new(place: PathBuf, state: PathBuf) -> Self {
        Self { state, roots: Vec::new(), allowed: AllowPersist::default(), broken: None, place: Place(place) }
    }
    /// The staged root that `path` lies in, so that both are worked in as one.
    ///
    /// # Errors
    /// When `path` holds a staged root: what was staged does not lie over it.
    pub(super) fn root_for(&self, path: &Path) -> Result<Option<PathBuf>, WorkspaceError> {
        let roots = || self.roots.iter().map(|staged| &staged.layer.root.path);
        if let Some(root) = roots().find(|root| path.starts_with(root)) {
            return Ok(Some(root.clone()));
        }
        match roots().find(|root| root.starts_with(path)) {
            Some(root) => {
                let reason =
                    format!("a staged run cannot widen its folder: it has worked in {} before", root.display());
                Err(WorkspaceError::root(path, reason))
            }
            None => Ok(None),
        }
    }
    /// From now on what others change in the root is a conflict where the run changed it too.
    pub(super) fn begin(&mut self, root: &Root) -> Result<(), WorkspaceError> {
        self.usable()?;
        if self.roots.iter().all(|staged| staged.layer.root.path != root.path) {
            let folder = self.place.0.join(self.roots.len().to_string());
            let limits = CopyLimits::default();
            let layer = Layer::open(root.clone(), folder, Backend::Overlay, Vec::new(), &self.state, limits, "")?;
            self.roots.push(Staged { layer, over: HashSet::new(), filled: false });
        }
        Ok(())
    }
    /// The folder that lies over a root, once it holds something.
    pub(super) fn upper(&self, root: &Path) -> Option<PathBuf> {
        let staged = self.roots.iter().find(|staged| staged.filled && staged.layer.root.path == root)?;
        Some(staged.layer.written())
    }
    /// The folder that lies over a root, by descriptor.
    pub(super) fn dir(&self, root: &Path) -> Result<Option<Dir>, WorkspaceError> {
        self.upper(root).map(|upper| Dir::open_root(&upper)).transpose()
    }
    fn usable(&self) -> Result<(), WorkspaceError> {
        match &self.broken {
            Some(why) => Err(WorkspaceError::root(&self.place.0, format!("what was staged is lost: {why}"))),
            None => Ok(()),
        }
    }
    /// Takes in what a layer did. Nothing has the roots mounted.
    pub(super) fn take(
        &mut self,
        parts: &[Part<'_>],
        allowed: &AllowPersist,
        own: &mut Own,
    ) -> Result<(), WorkspaceError> {
        self.usable()?;
        let outcome = parts.iter().try_for_each(|part| {
            let path = part.root.path();
            let staged = self.roots.iter_mut().find(|staged| staged.layer.root.path == path);
            let staged = staged.ok_or_else(|| WorkspaceError::root(path, "nothing was staged over it"))?;
            staged.filled = true;
            let upper = Dir::open_root(&staged.layer.written())?;
            let merge = Merge { upper: &upper, folder: part.root, layer: part.layer, over: &mut staged.over };
            merge.run(&part.plan.ops, own).map_err(WorkspaceError::io("stage what was written in", path))
        });
        if let Err(error) = &outcome {
            self.broken = Some(error.to_string());
        }
        self.allowed = std::mem::take(&mut self.allowed).and(allowed.clone());
        outcome
    }
    /// What all of it comes to, against the folders as they are.
    fn read(&self) -> Result<Vec<Reading>, WorkspaceError> {
        self.usable()?;
        let read = |staged: &Staged| {
            let view = View { layers: Vec::new(), folder: staged.layer.root.dir.clone() };
            let mut reading = Reading::read(&staged.layer.dir()?, &view, Kind::Upper)?;
            for item in &mut reading.items {
                // Its own files and folders have not been copied up, and were copied up with the layers that they came from.
                let lay_over = staged.over.contains(&item.path);
                if let Act::Put { copied_up, .. } | Act::MakeDir { copied_up, .. } = &mut item.act {
                    *copied_up = lay_over;
                }
            }
            reading.without_hints();
            Ok(reading)
        };
        self.roots.iter().map(read).collect()
    }
}
