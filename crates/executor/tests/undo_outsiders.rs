//! Somebody else works in the folder between a step and its rollback, between the preview and the rollback, and while it
//! is being made: whatever they wrote is where they wrote it afterwards, or comes back when the rollback is taken back.
//!
//! A few cases each time; `cargo xtask undo` runs many. A case that fails says its seed.

mod undo_support;
mod workspace_support;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use agentic_executor::workspace::{Backend, Moment, RollBack, RolledBack, WorkspaceError};
use undo_support::{Random, each_case};
use workspace_support::{World, upper, watched};

/// Interleavings of each test where nobody says otherwise.
const CASES: u64 = 60;

const PATHS: [&str; 10] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "n", "n/a", "n/e/b"];

/// Bytes that nobody else writes, and where they are, as the one who wrote them knows.
#[derive(Debug)]
struct Token {
    bytes: String,
    /// Where it was written and where it was moved, the last one last.
    paths: Vec<PathBuf>,
}

/// Somebody else.
struct Outsider {
    root: PathBuf,
    random: Random,
    /// What they wrote and did not overwrite or remove themselves.
    tokens: Vec<Token>,
    /// A file that they hold open for writing, and where it is; `None` when they removed it.
    held: Option<(File, Option<PathBuf>)>,
    next: u64,
    did: Vec<String>,
}

impl Outsider {
    fn new(root: &Path, seed: u64) -> Self {
        Self {
            root: root.to_owned(),
            random: Random::of(seed),
            tokens: Vec::new(),
            held: None,
            next: 0,
            did: Vec::new(),
        }
    }
    fn token(&mut self) -> String {
        self.next += 1;
        format!("<outsider {}>", self.next)
    }
    /// What lay at the path or beneath it is gone, by their own hand.
    fn forget(&mut self, path: &Path) {
        self.tokens.retain(|token| !token.paths.last().unwrap().starts_with(path));
        if let Some((_, place @ Some(_))) = &mut self.held
            && place.as_ref().unwrap().starts_with(path)
        {
            *place = None;
        }
    }
    /// All names of the file: they are emptied together.
    fn forget_bytes(&mut self, path: &Path) {
        let inode = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        let mine = inode(&self.root.join(path));
        let root = self.root.clone();
        self.tokens.retain(|token| {
            let place = token.paths.last().unwrap();
            place != path && (mine.is_none() || inode(&root.join(place)) != mine)
        });
    }
    fn moved(&mut self, from: &Path, to: &Path) {
        self.forget(to);
        let place = |path: &Path| {
            path.strip_prefix(from)
                .ok()
                .map(|rest| if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
        };
        for token in &mut self.tokens {
            if let Some(there) = place(token.paths.last().unwrap()) {
                token.paths.push(there);
            }
        }
        if let Some((_, Some(held))) = &mut self.held
            && let Some(there) = place(held)
        {
            *held = there;
        }
    }
    /// Does one thing, if it can be done.
    fn act(&mut self) {
        let path = PathBuf::from(self.random.one_of(&PATHS));
        let other = PathBuf::from(self.random.one_of(&PATHS));
        let (here, there) = (self.root.join(&path), self.root.join(&other));
        let what = self.random.below(12);
        let done = match what {
            0..=2 => {
                let token = self.token();
                let before = here.metadata().is_ok();
                let done = File::create(&here).map(|mut file| {
                    if before {
                        self.forget_bytes(&path);
                    }
                    file.write_all(token.as_bytes()).unwrap();
                });
                if done.is_ok() {
                    self.tokens.push(Token { bytes: token, paths: vec![path.clone()] });
                }
                done
            }
            3 | 4 => {
                let token = self.token();
                let done = OpenOptions::new().append(true).open(&here).map(|mut file| {
                    file.write_all(token.as_bytes()).unwrap();
                });
                if done.is_ok() {
                    self.tokens.push(Token { bytes: token, paths: vec![path.clone()] });
                }
                done
            }
            5 | 6 => {
                let token = self.token();
                let draft = self.root.with_file_name("draft");
                fs::write(&draft, &token).unwrap();
                let done = fs::rename(&draft, &here);
                if done.is_ok() {
                    self.forget(&path);
                    self.tokens.push(Token { bytes: token, paths: vec![path.clone()] });
                }
                done
            }
            7 => {
                let done = fs::remove_file(&here).or_else(|_| fs::remove_dir(&here));
                if done.is_ok() {
                    self.forget(&path);
                }
                done
            }
            8 => {
                let done = fs::rename(&here, &there);
                if done.is_ok() && path != other {
                    self.moved(&path, &other);
                }
                done
            }
            9 => {
                let mode = self.random.one_of(&[0o600, 0o640, 0o755]);
                fs::set_permissions(&here, fs::Permissions::from_mode(mode | 0o100))
            }
            10 => fs::create_dir(&here),
            _ => match self.held.take() {
                None => OpenOptions::new().append(true).open(&here).map(|file| {
                    self.held = Some((file, Some(path.clone())));
                }),
                Some((mut file, place)) => {
                    let token = self.token();
                    file.write_all(token.as_bytes()).unwrap();
                    if let Some(place) = place {
                        self.tokens.push(Token { bytes: token, paths: vec![place] });
                    }
                    Ok(())
                }
            },
        };
        self.did.push(format!(
            "{} {what} {} {} {:?}",
            self.next,
            path.display(),
            other.display(),
            done.err().map(|error| error.kind())
        ));
    }
    /// The tokens that are not where they were written or moved last (`anywhere`: nor where they were before that).
    fn missing(&self, anywhere: bool) -> Vec<&Token> {
        let is_at = |token: &Token, path: &Path| {
            fs::read(self.root.join(path)).is_ok_and(|bytes| contains(&bytes, token.bytes.as_bytes()))
        };
        let gone = |token: &&Token| {
            let last = token.paths.len() - 1;
            !token.paths[if anywhere { 0 } else { last }..].iter().any(|path| is_at(token, path))
        };
        self.tokens.iter().filter(gone).collect()
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether a token is somewhere else, by a hidden name that was told. (The folder around it may have been moved since.)
fn told_at(root: &Path, token: &Token, said: &str) -> bool {
    found_anywhere(root, token).iter().any(|path| {
        path.components().any(|name| {
            let name = name.as_os_str().to_string_lossy();
            name.starts_with(".agentic-") && said.contains(&*name)
        })
    })
}
/// For a failure: every file that holds a token.
fn found_anywhere(place: &Path, token: &Token) -> Vec<PathBuf> {
    let (mut found, mut next) = (Vec::new(), vec![place.to_owned()]);
    while let Some(folder) = next.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                next.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| contains(&bytes, token.bytes.as_bytes())) {
                found.push(path);
            }
        }
    }
    found
}

type Act = Box<dyn FnMut(Moment<'_>) + Send>;

/// A folder, a step on it, and something that is done at each moment of applying once it is set.
fn story(random: &mut Random, linked: bool) -> (World, String, Arc<Mutex<Option<Act>>>) {
    let during: Arc<Mutex<Option<Act>>> = Arc::default();
    let called = Arc::clone(&during);
    let world = watched(Some(Arc::new(move |moment: Moment<'_>| {
        if let Some(act) = called.lock().unwrap().as_mut() {
            act(moment);
        }
        Ok(())
    })));
    for path in ["a", "b", "d/a", "d/b", "d/e/a"] {
        if random.percent(80) {
            world.put(path, &format!("{path} as it was"));
        }
    }
    if linked && random.percent(60) {
        world.put("b", "of two names");
        fs::remove_file(world.root.join("d/b")).ok();
        fs::create_dir_all(world.root.join("d")).unwrap();
        fs::hard_link(world.root.join("b"), world.root.join("d/b")).unwrap();
    }
    let attempt = world.open_as(Backend::Copy);
    attempt.make_undoable();
    let root = upper(&attempt, 0);
    // At least one change, so that there is something to take back.
    fs::create_dir_all(root.join("n/e")).unwrap();
    fs::write(root.join("n/e/b"), "by the step").unwrap();
    for _ in 0..1 + random.below(6) {
        let path = root.join(random.one_of(&PATHS));
        match random.below(6) {
            0 | 1 => drop(fs::write(&path, "by the step")),
            2 => drop(fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path))),
            3 => drop(fs::rename(&path, root.join(random.one_of(&PATHS)))),
            4 => {
                fs::remove_file(&path).ok();
                fs::create_dir(&path).ok();
                fs::write(path.join("a"), "by the step").ok();
            }
            _ => drop(OpenOptions::new().append(true).open(&path).map(|mut file| file.write_all(b"more").unwrap())),
        }
    }
    let name = attempt.name().unwrap();
    attempt.commit().unwrap();
    (world, name, during)
}

fn how(random: &mut Random, root: &Path) -> RollBack {
    let only = if random.percent(30) { vec![root.join("n")] } else { Vec::new() };
    RollBack { force: random.percent(50), only, ..RollBack::default() }
}

fn said(outcome: &Result<RolledBack, WorkspaceError>) -> String {
    match outcome {
        Ok(done) => format!("{:?} {:?}", done.kept, done.changed_since),
        Err(error) => format!("{error} {error:?}"),
    }
}

/// Every token is where its writer left it, or was told to be elsewhere, or comes back with the rollback's own undoing.
fn nothing_is_lost(
    world: &World,
    outsider: &mut Outsider,
    outcome: &Result<RolledBack, WorkspaceError>,
    how: &RollBack,
    anywhere: bool,
    earlier: &str,
    seed: u64,
) {
    let told = earlier.to_owned() + &said(outcome);
    // Nothing is taken back over what they have open still.
    outsider.held = None;
    let elsewhere = |token: &&Token| !told_at(&world.root, token, &told);
    let missing: Vec<&Token> = outsider.missing(anywhere).into_iter().filter(elsewhere).collect();
    if missing.is_empty() {
        return;
    }
    let layer = outcome.as_ref().ok().and_then(|done| done.layer.clone());
    let did = &outsider.did[outsider.did.len().saturating_sub(150)..];
    let story = format!("{how:?}\n{told}\n{did:#?}\nseed {seed}");
    assert!(how.force, "lost without force: {missing:?}\n{story}");
    let layer = layer.unwrap_or_else(|| panic!("lost, and nothing to take back: {missing:?}\n{story}"));
    let back =
        |force| world.workspaces.roll_back(std::slice::from_ref(&layer), &RollBack { force, ..RollBack::default() });
    let again = back(false).or_else(|_| back(true));
    FORCED.fetch_add(1, Ordering::Relaxed);
    let still = outsider.missing(anywhere);
    let is_still = |one: &&&Token| still.iter().any(|other| other.bytes == one.bytes) && elsewhere(one);
    let lost: Vec<_> = missing.iter().filter(is_still).collect();
    let lies = |token: &Token| found_anywhere(world.temp.path(), token);
    let lies: Vec<_> = lost.iter().map(|token| lies(token)).collect();
    assert!(lost.is_empty(), "lost although kept: {lost:?}, by now in {lies:?}\n{again:?}\n{story}");
}

/// So that the tests are seen to have met what they are about.
static REFUSED: AtomicU64 = AtomicU64::new(0);
static MADE: AtomicU64 = AtomicU64::new(0);
static FORCED: AtomicU64 = AtomicU64::new(0);

fn count(outcome: &Result<RolledBack, WorkspaceError>) {
    let which = if outcome.is_ok() { &MADE } else { &REFUSED };
    which.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn nothing_that_others_wrote_at_any_moment_is_lost() {
    each_case(CASES, |seed| {
        let mut random = Random::of(seed);
        let (world, layer, during) = story(&mut random, true);
        let how = how(&mut random, &world.root);
        let outsider = Arc::new(Mutex::new(Outsider::new(&world.root, seed ^ 1)));
        let acts = |random: &mut Random, percent: usize| {
            if random.percent(percent) {
                (0..1 + random.below(3)).for_each(|_| outsider.lock().unwrap().act());
            }
        };
        // Before it is looked at, and between the preview and the rollback.
        acts(&mut random, 40);
        let layers = [layer];
        if world.workspaces.records().find(&layers[0]).unwrap().is_none() {
            // It took back itself what it did.
            return;
        }
        let planned = world.workspaces.roll_back(&layers, &RollBack { dry_run: true, ..how.clone() });
        assert!(matches!(planned, Ok(_) | Err(WorkspaceError::NotTouched(_))), "{planned:?} seed {seed}");
        acts(&mut random, 40);
        // At a moment of the rollback itself.
        let mut left = random.percent(80).then(|| random.below(16));
        let (mut within, who) = (random.clone(), Arc::clone(&outsider));
        *during.lock().unwrap() = Some(Box::new(move |moment| {
            if left == Some(0) {
                let mut who = who.lock().unwrap();
                who.did.push(format!("at {moment:?}"));
                (0..1 + within.below(3)).for_each(|_| who.act());
            }
            left = left.and_then(|left: usize| left.checked_sub(1));
        }));
        let outcome = world.workspaces.roll_back(&layers, &how);
        *during.lock().unwrap() = None;
        count(&outcome);
        let mut outsider = outsider.lock().unwrap();
        nothing_is_lost(&world, &mut outsider, &outcome, &how, false, "", seed);
    });
    let [refused, made, forced] = [&REFUSED, &MADE, &FORCED].map(|count| count.load(Ordering::Relaxed));
    println!("{made} made, {refused} refused, {forced} overwrote what came back with their own undoing");
    assert!(made > 0 && refused > 0, "{made} made, {refused} refused");
}

/// Nobody waits for anybody: what meets, meets.
#[test]
fn nothing_that_others_write_meanwhile_is_lost() {
    each_case(CASES, |seed| {
        let mut random = Random::of(seed);
        let (world, layer, _) = story(&mut random, false);
        if world.workspaces.records().find(&layer).unwrap().is_none() {
            return;
        }
        let how = how(&mut random, &world.root);
        let ended = AtomicBool::new(false);
        // What was told by those that met something.
        let mut earlier = String::new();
        let (outcome, mut outsider) = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut outsider = Outsider::new(&world.root, seed ^ 1);
                while !ended.load(Ordering::Relaxed) && outsider.did.len() < 2000 {
                    outsider.act();
                }
                outsider
            });
            let mut outcome = world.workspaces.roll_back(std::slice::from_ref(&layer), &how);
            for _ in 0..20 {
                if outcome.is_ok() {
                    break;
                }
                earlier += &said(&outcome);
                outcome = world.workspaces.roll_back(std::slice::from_ref(&layer), &how);
            }
            ended.store(true, Ordering::Relaxed);
            (outcome, other.join().unwrap())
        });
        nothing_is_lost(&world, &mut outsider, &outcome, &how, true, &earlier, seed);
    });
}

/// The control: a tool that writes over what is there is found out by these very tests.
#[test]
fn the_count_of_what_was_written_finds_what_is_overwritten() {
    let world = workspace_support::world();
    let mut outsider = Outsider::new(&world.root, 1);
    let by_path: BTreeMap<PathBuf, String> = loop {
        outsider.act();
        if outsider.tokens.len() > 3 {
            break outsider
                .tokens
                .iter()
                .map(|token| (token.paths.last().unwrap().clone(), token.bytes.clone()))
                .collect();
        }
    };
    assert!(outsider.missing(false).is_empty(), "{:?}", outsider.did);
    for path in by_path.keys() {
        fs::write(world.root.join(path), "by a careless tool").unwrap();
    }
    assert_eq!(outsider.missing(false).len(), outsider.tokens.len());
}
