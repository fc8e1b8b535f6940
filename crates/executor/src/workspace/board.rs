//! Which layers are open on which roots, which finished ones wait, and when they are applied.
//!
//! Main type: [`Board`]. A folder is never written while it is the lower of a mounted layer: overlayfs reads stale
//! bytes then. So a finished layer waits until no mount is open on its roots, and is a further lower of layers
//! that open meanwhile. They are applied in the order in which they finished.
//!
//! Longer than its neighbours: whatever decides when a layer is applied reads and writes the one board.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::apply::{Applied, Names, Part, Watcher, apply};
use super::change_set::ChangeSet;
use super::commit::{Check, Own, Plan};
use super::error::{Aside, Conflict, WorkspaceError};
use super::folder_lock::{FolderLocks, Held};
use super::layer::{Layer, Root, dirs};
use super::path::Dir;
use super::persistence::{AllowPersist, Examined, examine};
use super::reading::{Act, Reading, beneath};
use super::stage::Stage;
use super::stamp::Stamp;
use super::store::Store;
use super::undo::{Pending, Records, capture};
use super::view::{View, lookup};

/// Waiting layers on one root at most. A mount option is a text of 255 bytes at most, which is 14 lowers by descriptor;
/// the folder itself and a mask over hidden paths are two of them.
pub(super) const MOST_WAITING: usize = 12;

/// A finished set of layers.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) layers: Vec<Layer>,
    /// The state folder that holds them.
    pub(super) folder: PathBuf,
    /// The last finished layer that was visible when they opened.
    pub(super) seen: u64,
    pub(super) terms: Terms,
    number: u64,
}

/// What an attempt is held to when it is committed.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// Absolute paths that the step could not see.
    pub(super) hidden: Vec<PathBuf>,
    /// Protected paths that may be changed.
    pub(super) allowed: AllowPersist,
    /// Leave protected paths out, rather than refuse the whole.
    pub(super) hold_back: bool,
    /// Keep what is replaced, so that the layer can be rolled back.
    pub(super) undoable: bool,
}

/// An attempt that has not ended.
#[derive(Debug)]
struct Open {
    roots: Vec<PathBuf>,
    /// Whether it has the roots mounted.
    mounted: bool,
    seen: u64,
    stamp: Option<Stamp>,
}

/// How a finished layer touched a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// Made or kept a folder: what others do beneath it is no conflict.
    Folder,
    /// Anything else: what others do to it or beneath it is one.
    Whole,
}

#[derive(Debug)]
struct Logged {
    number: u64,
    paths: HashMap<PathBuf, Touch>,
}

/// The state that all attempts of a process share.
#[derive(Debug, Default)]
pub(super) struct Board {
    open: BTreeMap<u64, Open>,
    waiting: Vec<Finished>,
    log: Vec<Logged>,
    failed: Vec<(u64, Vec<PathBuf>)>,
    own: Own,
    next: u64,
    finished: u64,
    asides: Vec<Aside>,
    /// Where finished layers go, when they are held back.
    stage: Option<Stage>,
}

/// What applying needs besides the board.
pub(super) struct Ground<'a> {
    pub(super) store: &'a Store,
    pub(super) watcher: Option<&'a Watcher>,
    pub(super) asides: &'a Path,
    pub(super) records: &'a Records,
    pub(super) locks: &'a FolderLocks,
    /// Whether folders are written to only while nobody else has them mounted.
    pub(super) alone: bool,
}

impl Ground<'_> {
    /// Takes folders alone; `None` while another process has one.
    fn alone(&self, roots: &[PathBuf]) -> Option<Result<Option<Held>, WorkspaceError>> {
        if !self.alone {
            return Some(Ok(None));
        }
        match self.locks.alone(roots) {
            Ok(None) => None,
            other => Some(other),
        }
    }
}

fn overlap(a: &Path, b: &Path) -> bool {
    beneath(a, b) || beneath(b, a)
}

impl Board {
    /// One that applies nothing: finished layers go into the stage.
    pub(super) fn staging(stage: Stage) -> Self {
        Self { stage: Some(stage), ..Self::default() }
    }
    pub(super) fn stage(&mut self) -> Option<&mut Stage> {
        self.stage.as_mut()
    }
    /// Takes what was staged; nothing is open and nothing waits any more.
    pub(super) fn take_stage(&mut self) -> Option<Stage> {
        self.stage.take()
    }
    /// Registers an attempt on roots as mounted, until [`Self::unmount`] or [`Self::close`].
    pub(super) fn register(&mut self, roots: Vec<PathBuf>) -> u64 {
        self.next += 1;
        self.open.insert(self.next, Open { roots, mounted: true, seen: self.finished, stamp: None });
        self.next
    }
    pub(super) fn seen(&self, attempt: u64) -> u64 {
        self.open.get(&attempt).map_or(0, |open| open.seen)
    }
    pub(super) fn opened(&mut self, attempt: u64, stamp: Option<Stamp>, mounted: bool) {
        if let Some(open) = self.open.get_mut(&attempt) {
            (open.stamp, open.mounted) = (stamp, mounted);
        }
    }
    pub(super) fn unmount(&mut self, attempt: u64) {
        if let Some(open) = self.open.get_mut(&attempt) {
            open.mounted = false;
        }
    }
    pub(super) fn close(&mut self, attempt: u64) {
        self.open.remove(&attempt);
        if self.open.is_empty() && self.waiting.is_empty() {
            // Every later stamp is later than all that these speak of.
            self.log.clear();
            self.failed.clear();
            self.own.clear();
        }
    }
    /// Whether a finished layer waits that is one of these.
    pub(super) fn is_waiting(&self, one_of: &dyn Fn(&str) -> bool) -> bool {
        self.waiting.iter().any(|finished| one_of(&name(&finished.folder)))
    }
    /// The process that has the folder of one of these layers.
    pub(super) fn held_up_by(&self, locks: &FolderLocks, one_of: &dyn Fn(&str) -> bool) -> Option<String> {
        let waiting = self.waiting.iter().find(|finished| one_of(&name(&finished.folder)));
        let layers = waiting.into_iter().flat_map(|one| &one.layers);
        locks.owner(&layers.map(|layer| layer.root.path.clone()).collect::<Vec<_>>())
    }
    /// Sets these layers aside, and those that stand on them fail when their turn comes.
    pub(super) fn give_up(&mut self, one_of: &dyn Fn(&str) -> bool, why: &str, asides: &Path) {
        let (given_up, left) =
            std::mem::take(&mut self.waiting).into_iter().partition(|finished| one_of(&name(&finished.folder)));
        self.waiting = left;
        for finished in Vec::<Finished>::from_iter(given_up) {
            let roots: Vec<PathBuf> = finished.layers.iter().map(|layer| layer.root.path.clone()).collect();
            let conflicts = roots.iter().map(|root| Conflict { path: root.clone(), reason: why.to_owned() }).collect();
            self.failed.push((finished.number, roots));
            self.asides.push(set_aside(&finished, WorkspaceError::Conflict(conflicts), asides));
        }
    }
    /// Takes the layers among these that could not be applied.
    pub(super) fn take_asides(&mut self, one_of: &dyn Fn(&str) -> bool) -> Vec<Aside> {
        let (taken, left) = std::mem::take(&mut self.asides).into_iter().partition(|aside| one_of(&aside.layer()));
        self.asides = left;
        taken
    }
    /// Whether a new attempt on `root` has to wait: too many layers below it, or one that is not over this very root.
    pub(super) fn must_wait(&self, root: &Path) -> bool {
        let on = |finished: &&Finished| finished.layers.iter().any(|layer| overlap(&layer.root.path, root));
        let over = |finished: &Finished| finished.layers.iter().any(|layer| layer.root.path == root);
        let waiting: Vec<_> = self.waiting.iter().filter(on).collect();
        waiting.len() + usize::from(self.stage.is_some()) >= MOST_WAITING
            || waiting.iter().any(|finished| !over(finished))
    }
    /// What waits on `root`, topmost first, as far as `seen` reaches.
    pub(super) fn lowers(&self, root: &Path, seen: u64) -> Vec<PathBuf> {
        let visible = self.waiting.iter().filter(|finished| finished.number <= seen).rev();
        let layers = visible.flat_map(|finished| finished.layers.iter().filter(|layer| layer.root.path == root));
        let staged = self.stage.iter().filter_map(|stage| stage.upper(root));
        layers.map(Layer::written).chain(staged).collect()
    }
    pub(super) fn view(&self, root: &Root, seen: u64) -> Result<View, WorkspaceError> {
        Ok(View { layers: dirs(&self.lowers(&root.path, seen))?, folder: root.dir.clone() })
    }
    fn is_mounted(&self, layers: &[Layer]) -> bool {
        let mounted = self.open.values().filter(|open| open.mounted).flat_map(|open| &open.roots);
        mounted.into_iter().any(|root| layers.iter().any(|layer| overlap(&layer.root.path, root)))
    }

    /// Applies every waiting layer whose roots are free, in order.
    pub(super) fn drain(&mut self, ground: &Ground<'_>) {
        let mut index = 0;
        while index < self.waiting.len() {
            let roots = |finished: &Finished| -> Vec<PathBuf> {
                finished.layers.iter().map(|layer| layer.root.path.clone()).collect()
            };
            let mine = roots(&self.waiting[index]);
            let behind = self.waiting[..index]
                .iter()
                .any(|earlier| roots(earlier).iter().any(|one| mine.iter().any(|other| overlap(one, other))));
            if behind || self.is_mounted(&self.waiting[index].layers) {
                index += 1;
                continue;
            }
            // A lock that cannot be had at all is told as the layer's failure.
            let Some(alone) = ground.alone(&mine) else {
                index += 1;
                continue;
            };
            let finished = self.waiting.remove(index);
            let outcome = alone.and_then(|_alone| self.apply_waiting(&finished, ground));
            if let Err(error) = outcome {
                self.failed.push((finished.number, mine));
                self.asides.push(set_aside(&finished, error, ground.asides));
            } else {
                let _ = super::tree::remove(&finished.folder);
            }
        }
    }
    fn apply_waiting(&mut self, finished: &Finished, ground: &Ground<'_>) -> Result<(), WorkspaceError> {
        for (number, roots) in &self.failed {
            let stood_on =
                finished.layers.iter().find(|layer| roots.iter().any(|root| overlap(root, &layer.root.path)));
            if let Some(layer) = stood_on
                && *number <= finished.seen
            {
                let reason = "its step worked over a layer that could not be applied".to_owned();
                return Err(WorkspaceError::Conflict(vec![Conflict { path: layer.root.path.clone(), reason }]));
            }
        }
        let mut readings = self.read(&finished.layers, None)?;
        // What was refused or held back when the step finished has been settled then; what a path means can have
        // changed since with the layers below.
        self.guard(&finished.layers, &mut readings, &finished.terms, None)?;
        self.check(&finished.layers, &readings, &finished.terms.hidden, None)?;
        self.apply(&finished.layers, &readings, ground, &name(&finished.folder), &finished.terms)?;
        Ok(())
    }
    /// Finishes an attempt that has been unmounted: applies it at once or lets it wait, and takes its layers then.
    /// Nothing is changed or taken when it meets a conflict or would leave behind what it may not.
    pub(super) fn finish(
        &mut self,
        attempt: u64,
        layers: &mut Vec<Layer>,
        folder: &Path,
        terms: &mut Terms,
        ground: &Ground<'_>,
    ) -> Result<ChangeSet, WorkspaceError> {
        self.drain(ground);
        let seen = self.seen(attempt);
        if let Some((_, roots)) = self.failed.iter().find(|(number, roots)| {
            *number <= seen && layers.iter().any(|layer| roots.iter().any(|root| overlap(root, &layer.root.path)))
        }) {
            let reason = "this step worked over a layer that could not be applied".to_owned();
            let path = roots.first().cloned().unwrap_or_default();
            return Err(WorkspaceError::Conflict(vec![Conflict { path, reason }]));
        }
        let mut readings = self.read(layers, Some(seen))?;
        let examined = self.guard(layers, &mut readings, terms, Some(seen))?;
        let mut set = told(layers, &readings, &examined);
        if readings.iter().all(|reading| reading.items.is_empty()) {
            let _ = super::tree::remove(folder);
            return Ok(set);
        }
        let paths = touches(layers, &readings);
        let mut conflicts = self.parallel(seen, &paths);
        match self.check(layers, &readings, &terms.hidden, Some(seen)) {
            Err(WorkspaceError::Conflict(further)) => conflicts.extend(further),
            other => other?,
        }
        if !conflicts.is_empty() {
            conflicts.sort_by(|a, b| a.path.cmp(&b.path));
            conflicts.dedup_by(|a, b| a.path == b.path);
            return Err(WorkspaceError::Conflict(conflicts));
        }
        let roots: Vec<PathBuf> = layers.iter().map(|layer| layer.root.path.clone()).collect();
        let alone = if self.is_busy(layers) { None } else { ground.alone(&roots) };
        let waits = alone.is_none();
        if let Some(alone) = alone {
            let _alone = alone?;
            let applied = self.apply(layers, &readings, ground, &name(folder), terms)?;
            for (path, reason) in applied.left {
                set.left_out.push(super::change_set::LeftOut { path, reason });
            }
            let _ = super::tree::remove(folder);
        }
        self.finished += 1;
        self.log.push(Logged { number: self.finished, paths });
        if waits {
            let number = self.finished;
            let (layers, terms) = (std::mem::take(layers), std::mem::take(terms));
            self.waiting.push(Finished { layers, folder: folder.to_owned(), seen, terms, number });
        }
        Ok(set)
    }
    /// Whether a layer over these roots would have to wait.
    pub(super) fn is_busy(&self, layers: &[Layer]) -> bool {
        let waiting = self.waiting.iter().flat_map(|finished| &finished.layers);
        let mut waiting =
            waiting.filter(|earlier| layers.iter().any(|layer| overlap(&layer.root.path, &earlier.root.path)));
        self.is_mounted(layers) || waiting.next().is_some()
    }
    /// Applies layers that were filled by us; `None` while their roots are busy, here or in another process.
    pub(super) fn apply_staged(
        &mut self,
        layers: &[Layer],
        readings: &mut [Reading],
        guard: Option<&AllowPersist>,
        ground: &Ground<'_>,
        layer: &str,
    ) -> Result<Option<Applied>, WorkspaceError> {
        let roots: Vec<PathBuf> = layers.iter().map(|layer| layer.root.path.clone()).collect();
        let alone = if self.is_busy(layers) { None } else { ground.alone(&roots) };
        let Some(alone) = alone else { return Ok(None) };
        let _alone = alone?;
        if let Some(allowed) = guard {
            self.guard(layers, readings, &Terms { allowed: allowed.clone(), ..Terms::default() }, None)?;
        }
        self.check(layers, readings, &[], None)?;
        let terms = Terms { undoable: true, ..Terms::default() };
        let applied = self.apply(layers, readings, ground, layer, &terms)?;
        self.finished += 1;
        self.log.push(Logged { number: self.finished, paths: touches(layers, readings) });
        Ok(Some(applied))
    }
    /// What layers did so far, as it is told.
    pub(super) fn change_set(&self, layers: &[Layer], attempt: u64) -> Result<ChangeSet, WorkspaceError> {
        let seen = self.seen(attempt);
        let readings = self.read(layers, Some(seen))?;
        let examined = self.examine(layers, &readings, Some(seen))?;
        Ok(told(layers, &readings, &examined))
    }
    fn examine(
        &self,
        layers: &[Layer],
        readings: &[Reading],
        seen: Option<u64>,
    ) -> Result<Vec<Examined>, WorkspaceError> {
        let mut all = Vec::new();
        for (layer, reading) in layers.iter().zip(readings) {
            let view = self.view(&layer.root, seen.unwrap_or(0))?;
            let examined = examine(&layer.root.path, reading, &layer.dir()?, layer.backend, &view);
            all.push(examined.map_err(WorkspaceError::io("examine what was written in", &layer.root.path))?);
        }
        Ok(all)
    }
    /// Refuses what would be left behind and may not be, or takes it out of the readings.
    fn guard(
        &self,
        layers: &[Layer],
        readings: &mut [Reading],
        terms: &Terms,
        seen: Option<u64>,
    ) -> Result<Vec<Examined>, WorkspaceError> {
        let mut examined = self.examine(layers, readings, seen)?;
        if terms.hold_back {
            for (reading, examined) in readings.iter_mut().zip(&mut examined) {
                examined.hold_back(reading, &terms.allowed);
            }
        }
        let refused: Vec<_> = examined.iter().flat_map(|one| one.refused(&terms.allowed)).collect();
        if refused.is_empty() { Ok(examined) } else { Err(WorkspaceError::Persistence(refused)) }
    }
    /// Against the folders as they are (`None`) or with the waiting layers that were seen.
    fn read(&self, layers: &[Layer], seen: Option<u64>) -> Result<Vec<Reading>, WorkspaceError> {
        layers.iter().map(|layer| layer.read(&self.view(&layer.root, seen.unwrap_or(0))?)).collect()
    }
    fn check(
        &self,
        layers: &[Layer],
        readings: &[Reading],
        hidden: &[PathBuf],
        seen: Option<u64>,
    ) -> Result<(), WorkspaceError> {
        let mut conflicts = Vec::new();
        for (layer, reading) in layers.iter().zip(readings) {
            let view = self.view(&layer.root, seen.unwrap_or(0))?;
            let check = Check { root: &layer.root.path, view: &view, base: &layer.base, own: &self.own, hidden };
            conflicts.extend(check.conflicts(reading)?);
        }
        if conflicts.is_empty() { Ok(()) } else { Err(WorkspaceError::Conflict(conflicts)) }
    }
    fn apply(
        &mut self,
        layers: &[Layer],
        readings: &[Reading],
        ground: &Ground<'_>,
        layer: &str,
        terms: &Terms,
    ) -> Result<Applied, WorkspaceError> {
        let written: Vec<_> = layers.iter().map(Layer::dir).collect::<Result<_, _>>()?;
        if let Some(stage) = &mut self.stage {
            let mut plans = Vec::new();
            for ((reading, dir), layer) in readings.iter().zip(&written).zip(layers) {
                let staged = stage.dir(&layer.root.path)?;
                let below: Vec<_> = std::iter::once(&layer.root.dir).chain(&staged).collect();
                plans.push(Plan::of(reading, dir, &below)?);
            }
            stage.take(&parts(layers, &written, &plans), &terms.allowed, &mut self.own)?;
            return Ok(Applied::default());
        }
        let plans = readings.iter().zip(&written).zip(layers);
        let plans: Vec<_> = plans
            .map(|((reading, dir), layer)| Plan::of(reading, dir, &[&layer.root.dir]))
            .collect::<Result<_, _>>()?;
        // A folder that somebody else changed since any open layer began must go on looking changed.
        let oldest = layers.iter().filter_map(Layer::stamp);
        let oldest = oldest.chain(self.open.values().filter_map(|open| open.stamp));
        let oldest = oldest.chain(self.waiting.iter().flat_map(|f| f.layers.iter().filter_map(Layer::stamp))).min();
        let mut foreign = Vec::new();
        for (layer, reading) in layers.iter().zip(readings) {
            for item in &reading.items {
                let folder = item.path.parent().unwrap_or(Path::new(""));
                let path = layer.root.path.join(folder);
                let now = lookup(&layer.root.dir, folder).map_err(WorkspaceError::io("look at", &path))?;
                if let (Some(now), Some(oldest)) = (now, oldest)
                    && Stamp::changed(&now) >= oldest
                    && !self.own.is(&path, &now)
                {
                    foreign.push(path);
                }
            }
        }
        let parts = parts(layers, &written, &plans);
        // What is replaced is kept first, and on the disk before the first name changes. A layer that waited may have
        // nothing left to do (another one made the same folder); it was told as changed, so it has a record.
        let record = terms.undoable.then(|| capture(layer, &parts, ground.store)).transpose()?;
        let pending = record.map(|record| ground.records.prepare(&record)).transpose()?;
        let mut applied = apply(&parts, Names::of(layer), ground.store, ground.watcher)?;
        if let Some(Err(error)) = pending.map(Pending::settle) {
            let place = layers.first().map(|layer| layer.root.path.clone()).unwrap_or_default();
            applied.left.push((place, format!("what was replaced cannot be put back: {error}")));
        }
        for (path, identity) in &applied.files {
            self.own.file(path.clone(), *identity);
        }
        for path in applied.folders.iter().filter(|path| !foreign.contains(path)) {
            for layer in layers {
                if let Ok(rest) = path.strip_prefix(&layer.root.path)
                    && let Ok(Some(stat)) = lookup(&layer.root.dir, rest)
                {
                    self.own.folder(path.clone(), &stat);
                }
            }
        }
        Ok(applied)
    }
    /// Paths that a layer finished meanwhile touched too.
    fn parallel(&self, seen: u64, mine: &HashMap<PathBuf, Touch>) -> Vec<Conflict> {
        let mut found = Vec::new();
        for logged in self.log.iter().filter(|logged| logged.number > seen) {
            for (one, other) in [(mine, &logged.paths), (&logged.paths, mine)] {
                for (path, touch) in one {
                    for above in path.ancestors() {
                        let met = other.get(above);
                        let same = above == path && met.is_some() && !(met == Some(touch) && *touch == Touch::Folder);
                        if same || (above != path && met == Some(&Touch::Whole)) {
                            let reason = "was changed by another step at the same time".to_owned();
                            found.push(Conflict { path: path.clone(), reason });
                        }
                    }
                }
            }
        }
        found
    }
}

/// Each layer with what is to be done with it.
pub(super) fn parts<'a>(layers: &'a [Layer], written: &'a [Dir], plans: &'a [Plan]) -> Vec<Part<'a>> {
    let all = layers.iter().zip(written).zip(plans);
    all.map(|((layer, dir), plan)| Part { root: &layer.root.dir, layer: dir, plan }).collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// As it is told: what was read, and what of it runs later.
fn told(layers: &[Layer], readings: &[Reading], examined: &[Examined]) -> ChangeSet {
    let mut set = ChangeSet::default();
    for ((layer, reading), examined) in layers.iter().zip(readings).zip(examined) {
        let one = reading.change_set(&layer.root.path);
        set.changes.extend(one.changes);
        set.left_out.extend(one.left_out);
        set.persistence.extend(examined.told());
    }
    set.sort();
    set
}

fn touches(layers: &[Layer], readings: &[Reading]) -> HashMap<PathBuf, Touch> {
    let mut touches = HashMap::new();
    for (layer, reading) in layers.iter().zip(readings) {
        for item in &reading.items {
            let touch = match item.act {
                Act::MakeDir { .. } | Act::Mode { .. } => Touch::Folder,
                Act::Put { .. } | Act::Delete { .. } => Touch::Whole,
            };
            let known = touches.entry(layer.root.path.join(&item.path)).or_insert(touch);
            if touch == Touch::Whole {
                *known = touch;
            }
        }
    }
    touches
}

/// Moves a finished layer out of the way; what it wrote stays readable.
fn set_aside(finished: &Finished, error: WorkspaceError, asides: &Path) -> Aside {
    let conflicts = match error {
        WorkspaceError::Conflict(conflicts) => conflicts,
        other => {
            let path = finished.layers.first().map(|layer| layer.root.path.clone()).unwrap_or_default();
            vec![Conflict { path, reason: other.to_string() }]
        }
    };
    let folder = asides.join(finished.folder.file_name().unwrap_or_default());
    // Where it cannot be moved it stays where it is, and that is what is told.
    let moved = std::fs::rename(&finished.folder, &folder);
    Aside { conflicts, folder: if moved.is_ok() { folder } else { finished.folder.clone() } }
}
