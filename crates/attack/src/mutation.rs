//! Each barrier removed in turn: some attempt must notice. A barrier that nothing notices is one that nobody tests.
//!
//! Barriers stand in rows behind one another, so there are two ways to be noticed: *alone*, when an attempt gets through as
//! soon as this one is gone; and *in depth*, when it gets through with others gone too, and does not while this one stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use agentic_sandbox::{Command, Policy, Tier};

use crate::attempt::{Attempt, Proof};
use crate::bait::Bait;
use crate::enclosure::Cold;
use crate::report::Outcome;
use crate::run::Runner;
use crate::weakened::Weakened;

/// Barriers without which no run starts at all, or whose absence the nest init finds out before the program starts.
const STRUCTURAL: &[&str] = &["user-namespace", "mount-namespace", "pid-namespace", "no-new-privs"];

/// What came of removing one barrier.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// The barrier, as the weakened spawner calls it.
    pub barrier: String,
    /// Attempts that get through when it alone is gone.
    pub alone: Vec<&'static str>,
    /// Attempts that get through when it is gone with others, and not while it stands.
    pub in_depth: Vec<(&'static str, String)>,
    /// Why no run starts without it.
    pub refused: Option<String>,
    /// Whether any control that removes it works on this host.
    pub shown: bool,
}

impl Mutation {
    /// Whether something noticed, or nothing can here.
    pub fn noticed(&self) -> bool {
        !self.alone.is_empty() || !self.in_depth.is_empty() || self.refused.is_some() || !self.shown
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |names: &mut dyn Iterator<Item = String>| names.take(3).collect::<Vec<_>>().join(", ");
        let what = if let Some(why) = &self.refused {
            format!("no run starts: {}", why.chars().take(90).collect::<String>())
        } else if !self.alone.is_empty() {
            format!("{} alone: {}", self.alone.len(), first(&mut self.alone.iter().map(ToString::to_string)))
        } else if !self.in_depth.is_empty() {
            let mut named = self.in_depth.iter().map(|(id, beside)| format!("{id} (beside {beside})"));
            format!("{} in depth: {}", self.in_depth.len(), first(&mut named))
        } else if self.shown {
            "NOTHING NOTICED".to_owned()
        } else {
            "not shown on this host".to_owned()
        };
        write!(f, "{:<28} {what}", self.barrier)
    }
}

/// The barriers that an attempt's controls remove.
fn removed(attempt: &Attempt) -> impl Iterator<Item = &'static str> {
    let root = rustix::process::geteuid().is_root();
    attempt.proofs.iter().filter_map(move |proof| match proof {
        Proof::Without(barriers) => Some(*barriers),
        Proof::WithoutAsUser(barriers) if !root => Some(*barriers),
        _ => None,
    })
}

/// Which barriers are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Every one that some control removes.
    All,
    /// Of the system calls and of the resource limits one each, and the rest.
    OneOfAKind,
}

impl Which {
    /// Of these barriers those that are to be removed.
    fn of(self, barriers: BTreeSet<&'static str>) -> BTreeSet<&'static str> {
        let mut kinds = BTreeSet::new();
        let kind = |name: &'static str| name.split_once(':').map_or(name, |(kind, _)| kind);
        barriers.into_iter().filter(|name| kinds.insert(kind(name)) || self == Self::All).collect()
    }
}

/// Removes barriers that some control of these attempts removes, each in turn, and says what noticed. `width` attempts
/// are made at once.
///
/// # Errors
/// What the host refused.
pub fn mutate(
    attempts: &[&'static Attempt],
    weakened: &Weakened,
    which: Which,
    width: usize,
) -> std::io::Result<Vec<Mutation>> {
    let barriers =
        which.of(attempts.iter().flat_map(|attempt| removed(attempt)).flat_map(|set| set.split('+')).collect());
    let mut jobs: BTreeSet<(String, &'static str)> = BTreeSet::new();
    let mut by_id: BTreeMap<&'static str, &'static Attempt> = BTreeMap::new();
    for attempt in attempts {
        by_id.insert(attempt.id, attempt);
        for set in removed(attempt) {
            // The whole set, each barrier alone, and the set without it.
            for name in set.split('+').filter(|name| barriers.contains(name)) {
                let runs = [set.to_owned(), name.to_owned(), without(set, name)];
                jobs.extend(runs.into_iter().filter(|set| !set.is_empty()).map(|set| (set, attempt.id)));
            }
        }
    }
    let jobs: Vec<_> = jobs.into_iter().collect();
    let through = through(&jobs, &by_id, weakened, width)?;
    let escapes = |set: &str, id: &'static str| through.contains(&(set.to_owned(), id));
    let mut rows = Vec::new();
    for barrier in barriers {
        let mut row =
            Mutation { barrier: barrier.into(), alone: Vec::new(), in_depth: Vec::new(), refused: None, shown: false };
        for attempt in attempts {
            for set in removed(attempt).filter(|set| set.split('+').any(|name| name == barrier)) {
                row.shown |= escapes(set, attempt.id);
                let beside = without(set, barrier);
                if escapes(barrier, attempt.id) {
                    row.alone.push(attempt.id);
                } else if escapes(set, attempt.id) && !escapes(&beside, attempt.id) {
                    row.in_depth.push((attempt.id, beside));
                }
            }
        }
        row.alone.dedup();
        rows.push(row);
    }
    for barrier in STRUCTURAL {
        // Under the ordinary policy, which waives nothing.
        let policy = Policy { tier: Tier::A, ..Policy::default() };
        let outcome = Command::new("/bin/true").policy(policy).output(&weakened.without(barrier)?);
        let refused = outcome.err().map(|error| error.to_string());
        let barrier = (*barrier).to_owned();
        rows.push(Mutation { barrier, alone: Vec::new(), in_depth: Vec::new(), refused, shown: true });
    }
    Ok(rows)
}

/// Of these attempts, each without a set of barriers, those that get through.
fn through(
    jobs: &[(String, &'static str)],
    by_id: &BTreeMap<&'static str, &'static Attempt>,
    weakened: &Weakened,
    width: usize,
) -> std::io::Result<BTreeSet<(String, &'static str)>> {
    let (next, escaped) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    let work = || -> std::io::Result<()> {
        let bait = Bait::new()?;
        while let Some((set, id)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let enclosure = Cold::weakened(weakened.without(set)?, set);
            let runner = Runner { enclosure: &enclosure, weakened: None, width: 1 };
            if matches!(runner.attempt(by_id[id], &bait), Outcome::Escaped(_)) {
                escaped.lock().unwrap_or_else(PoisonError::into_inner).insert((set.clone(), *id));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..width.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(escaped.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn without(set: &str, barrier: &str) -> String {
    set.split('+').filter(|name| *name != barrier).collect::<Vec<_>>().join("+")
}
