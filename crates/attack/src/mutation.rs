//! Each barrier removed in turn: some attempt must notice. A barrier that nothing notices is one that nobody tests.
//!
//! Barriers stand in rows behind one another, so there are two ways to be noticed: *alone*, when an attempt gets through as
//! soon as this one is gone; and *in depth*, when it gets through with others gone too, and does not while this one stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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

/// Removes every barrier that some control of these attempts removes, each in turn, and says what noticed.
///
/// # Errors
/// What the host refused.
pub fn mutate(attempts: &[&'static Attempt], weakened: &Weakened) -> std::io::Result<Vec<Mutation>> {
    let mut sets: BTreeMap<String, Vec<&'static Attempt>> = BTreeMap::new();
    let mut barriers = BTreeSet::new();
    for attempt in attempts {
        for set in removed(attempt) {
            let names: Vec<&str> = set.split('+').collect();
            barriers.extend(names.iter().copied());
            // The whole set, the set without each, and each alone.
            let alone = names.iter().map(|name| (*name).to_owned());
            let less = names.iter().map(|gone| without(set, gone)).filter(|less| !less.is_empty());
            for set in alone.chain(less).chain([set.to_owned()]) {
                let list = sets.entry(set).or_default();
                if !list.iter().any(|known| known.id == attempt.id) {
                    list.push(attempt);
                }
            }
        }
    }
    // What gets through without each set.
    let bait = Bait::new()?;
    let mut through: BTreeMap<&str, BTreeSet<&'static str>> = BTreeMap::new();
    for (set, list) in &sets {
        let enclosure = Cold::weakened(weakened.without(set)?, set);
        let runner = Runner { enclosure: &enclosure, weakened: None, width: 1 };
        let escaped = list.iter().filter(|a| matches!(runner.attempt(a, &bait), Outcome::Escaped(_)));
        through.insert(set, escaped.map(|attempt| attempt.id).collect());
    }
    let escapes = |set: &str, id: &str| through.get(set).is_some_and(|ids| ids.contains(id));
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

fn without(set: &str, barrier: &str) -> String {
    set.split('+').filter(|name| *name != barrier).collect::<Vec<_>>().join("+")
}
