//! Which changes verify together, when all of them do not.
//!
//! The search knows nothing of files: it tries sets of numbers. First it leaves out what the failing output names, which is
//! right in most cases and costs one try. What is left to decide is then added by halves: a group that breaks is split, a
//! single one that breaks is named. Changes that need each other (a function and its callers) break alone and not
//! together, so the named ones are at last tried together too, with fewer and fewer of them left out (delta debugging).
//! What is kept has been verified as it is, and no single change that is named could be added to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How often what the output names is extended by what the next output names.
const ROUNDS: usize = 4;

/// What one try came to.
#[derive(Debug, Clone)]
pub(super) enum Tried<T> {
    Green,
    Red(T),
}

/// What verifies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found<T> {
    /// Verified together.
    pub(super) kept: Vec<usize>,
    /// The others, each with what broke when it was added to what was kept then.
    pub(super) named: Vec<(usize, Option<T>)>,
    /// Whether every one that is named was tried.
    pub(super) complete: bool,
}

struct Search<F, T> {
    attempt: F,
    /// Sets that were red, with what broke.
    red: HashMap<Vec<usize>, T>,
    kept: BTreeSet<usize>,
    troubles: BTreeMap<usize, T>,
    used_up: bool,
}

/// The largest part that can be found of `count` changes, all of which together are red because of `first`. `names` says
/// which changes a failure names, `attempt` tries a set; `None`: no more tries.
pub(super) fn largest<T: Clone, E>(
    count: usize,
    first: &T,
    names: impl Fn(&T) -> Vec<usize>,
    attempt: impl FnMut(&[usize]) -> Result<Option<Tried<T>>, E>,
) -> Result<Found<T>, E> {
    let all: BTreeSet<usize> = (0..count).collect();
    let red = HashMap::from([(all.iter().copied().collect(), first.clone())]);
    let mut search = Search { attempt, red, kept: BTreeSet::new(), troubles: BTreeMap::new(), used_up: false };
    let mut open: Vec<usize> = all.iter().copied().collect();
    let mut suspects: BTreeSet<usize> = names(first).into_iter().collect();
    for _ in 0..ROUNDS {
        if suspects.is_empty() || suspects.len() == count {
            break;
        }
        match search.test(&(&all - &suspects))? {
            None => break,
            Some(Tried::Green) => {
                search.kept = &all - &suspects;
                open = suspects.iter().copied().collect();
                break;
            }
            Some(Tried::Red(next)) => {
                let before = suspects.len();
                suspects.extend(names(&next));
                if suspects.len() == before {
                    break;
                }
            }
        }
    }
    let named = search.grow(open)?;
    let named = search.together(&all, named)?;
    let kept: Vec<usize> = search.kept.iter().copied().collect();
    let troubles = &mut search.troubles;
    let named = named.into_iter().map(|at| (at, troubles.remove(&at))).collect();
    Ok(Found { kept, named, complete: !search.used_up })
}

impl<F, T, E> Search<F, T>
where
    T: Clone,
    F: FnMut(&[usize]) -> Result<Option<Tried<T>>, E>,
{
    /// A try, unless it is known to be red.
    fn test(&mut self, set: &BTreeSet<usize>) -> Result<Option<Tried<T>>, E> {
        let list: Vec<usize> = set.iter().copied().collect();
        if let Some(trouble) = self.red.get(&list) {
            return Ok(Some(Tried::Red(trouble.clone())));
        }
        if self.used_up {
            return Ok(None);
        }
        Ok(match (self.attempt)(&list)? {
            None => {
                self.used_up = true;
                None
            }
            Some(Tried::Green) => Some(Tried::Green),
            Some(Tried::Red(trouble)) => {
                self.red.insert(list, trouble.clone());
                Some(Tried::Red(trouble))
            }
        })
    }

    /// Adds what can be added, and returns the rest.
    fn grow(&mut self, open: Vec<usize>) -> Result<Vec<usize>, E> {
        let mut named = Vec::new();
        let mut groups = vec![open];
        while let Some(group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            let with: BTreeSet<usize> = self.kept.iter().chain(&group).copied().collect();
            match self.test(&with)? {
                Some(Tried::Green) => self.kept = with,
                Some(Tried::Red(trouble)) if group.len() == 1 => {
                    self.troubles.insert(group[0], trouble);
                    named.extend(group);
                }
                Some(Tried::Red(_)) => {
                    let (first, second) = group.split_at(group.len() / 2);
                    groups.extend([second.to_vec(), first.to_vec()]);
                }
                None => named.extend(group),
            }
        }
        named.sort_unstable();
        Ok(named)
    }

    /// Leaves out as few of `out` as it can, the others put in together.
    fn together(&mut self, all: &BTreeSet<usize>, mut out: Vec<usize>) -> Result<Vec<usize>, E> {
        let mut parts = 2;
        'again: while out.len() > 1 && !self.used_up {
            let size = out.len().div_ceil(parts);
            let chunks: Vec<Vec<usize>> = out.chunks(size).map(<[usize]>::to_vec).collect();
            // Leaving out one part alone, then all but one part.
            let without = |part: &[usize]| out.iter().copied().filter(|at| !part.contains(at)).collect::<Vec<_>>();
            let rests: Vec<Vec<usize>> = chunks.iter().map(|part| without(part)).collect();
            for (left_out, alone) in
                chunks.iter().map(|part| (part, true)).chain(rests.iter().map(|rest| (rest, false)))
            {
                let in_set: BTreeSet<usize> = all.iter().copied().filter(|at| !left_out.contains(at)).collect();
                match self.test(&in_set)? {
                    None => break 'again,
                    Some(Tried::Red(trouble)) => {
                        if let [one] = without(left_out).as_slice() {
                            self.troubles.insert(*one, trouble);
                        }
                    }
                    Some(Tried::Green) => {
                        parts = if alone { 2 } else { (parts - 1).max(2) };
                        out = left_out.clone();
                        self.kept = in_set;
                        continue 'again;
                    }
                }
            }
            if parts >= out.len() {
                break;
            }
            parts = (parts * 2).min(out.len());
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found over `count` changes, with how many tries of at most `most`.
    fn found(count: usize, most: usize, hints: &[usize], green: impl Fn(&[usize]) -> bool) -> (Found<String>, usize) {
        let mut tries = 0;
        let found = largest::<String, ()>(
            count,
            &"all".to_owned(),
            |_| hints.to_vec(),
            |set| {
                if tries == most {
                    return Ok(None);
                }
                tries += 1;
                Ok(Some(if green(set) { Tried::Green } else { Tried::Red(format!("{set:?}")) }))
            },
        );
        (found.unwrap(), tries)
    }
    fn numbers(found: &Found<String>) -> Vec<usize> {
        found.named.iter().map(|(at, _)| *at).collect()
    }

    #[test]
    fn the_ones_that_break_are_found_by_halves() {
        let (one, tries) = found(64, 200, &[], |set| !set.contains(&17));
        assert_eq!((numbers(&one), one.kept.len(), one.complete), (vec![17], 63, true));
        assert!(one.named[0].1.is_some());
        assert!(tries <= 12, "{tries}");
        let (some, tries) = found(64, 200, &[], |set| !set.iter().any(|at| [3, 40, 41].contains(at)));
        assert_eq!((numbers(&some), some.kept.len()), (vec![3, 40, 41], 61));
        assert!(tries <= 50, "{tries}");
    }

    #[test]
    fn what_the_output_names_is_left_out_first() {
        let (one, tries) = found(64, 200, &[17], |set| !set.contains(&17));
        assert_eq!((numbers(&one), tries), (vec![17], 1));
        let (one, _) = found(64, 200, &[5], |set| !set.contains(&17));
        assert_eq!(numbers(&one), [17], "a wrong hint is only a try");
    }

    #[test]
    fn changes_that_need_each_other_are_kept_together() {
        // A function and its callers, none of which works alone, and one change that is wrong.
        let callers = |set: &[usize]| set.iter().filter(|at| **at != 9).count();
        let (one, tries) = found(20, 200, &[], |set| !set.contains(&9) && [0, 19].contains(&callers(set)));
        assert_eq!((numbers(&one), one.kept.len()), (vec![9], 19), "{tries}");
    }

    #[test]
    fn a_bound_is_kept_to_and_what_is_kept_was_verified() {
        for most in 0..30 {
            let green = |set: &[usize]| !set.contains(&17) && !set.contains(&3);
            let (some, tries) = found(64, most, &[], green);
            assert!(tries <= most && green(&some.kept), "{most}: {some:?}");
            assert_eq!(some.kept.len() + some.named.len(), 64);
        }
        assert!(!found(64, 3, &[], |set| !set.contains(&17)).0.complete);
    }

    #[test]
    fn when_nothing_verifies_nothing_is_kept() {
        let (none, _) = found(5, 200, &[], |_| false);
        assert_eq!((none.kept.len(), numbers(&none)), (0, vec![0, 1, 2, 3, 4]));
        let (none, tries) = found(1, 200, &[], |_| false);
        assert_eq!((none.named, tries), (vec![(0, Some("all".to_owned()))], 0));
    }

    proptest::proptest! {
        /// Whatever verifies with what: pairs that need each other, some that break, and some at random.
        #[test]
        fn what_is_kept_verifies_and_nothing_can_be_added(
            count in 1..24_usize,
            bad in proptest::collection::vec(0..24_usize, 1..4),
            needs in proptest::collection::vec((0..24_usize, 0..24_usize), 0..8),
            hints in proptest::collection::vec(0..24_usize, 0..4),
        ) {
            let hints: Vec<usize> = hints.into_iter().filter(|at| *at < count).collect();
            let green = |set: &[usize]| {
                let both = |a: usize, b: usize| a >= count || b >= count || set.contains(&a) == set.contains(&b);
                !set.iter().any(|at| bad.contains(at)) && needs.iter().all(|(a, b)| both(*a, *b))
            };
            let all: Vec<usize> = (0..count).collect();
            if !green(&all) {
                let (found, _) = found(count, usize::MAX, &hints, green);
                proptest::prop_assert!(found.complete && (found.kept.is_empty() || green(&found.kept)));
                proptest::prop_assert_eq!(found.kept.len() + found.named.len(), count);
                for (at, trouble) in &found.named {
                    let mut more: Vec<usize> = found.kept.iter().copied().chain([*at]).collect();
                    more.sort_unstable();
                    proptest::prop_assert!(trouble.is_some() && !green(&more), "{:?} could be added: {:?}", at, found);
                }
            }
        }
    }
}
