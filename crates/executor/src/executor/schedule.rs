//! Which step may start next: order and resources, nothing else.
//!
//! A step is ready once everything it depends on has completed, and starts when nothing that runs shares a
//! resource with it. A step with undeclared resources starts only when nothing runs, and then alone. Work per
//! step does not grow with the plan: who waits for a resource is looked at again only when it is free.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::planner::ExecutionPlan;
use crate::tools::Resources;

/// Where a step comes in the order of a plan: its own place, or its `for_each` step's place and its number.
pub(super) type Order = (usize, usize);
type Ready = BTreeSet<(Order, usize)>;

#[derive(Debug)]
struct Node {
    order: Order,
    waiting: usize,
    after: Vec<usize>,
    /// Runs only when it is called upon, as a fallback.
    reserve: bool,
    resources: Option<Resources>,
}

/// Which step may start next.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    nodes: Vec<Node>,
    ready: Ready,
    /// Waiting for a key, by key.
    parked: HashMap<String, Ready>,
    /// Waiting to be alone.
    alone: Ready,
    held: HashSet<String>,
    running: usize,
    exclusive: bool,
}

impl Schedule {
    /// A plan that has been validated. `reserves` are the steps that run only as a fallback,
    /// with the steps they stand in for: those they run after in any case.
    pub(super) fn new(plan: &ExecutionPlan, reserves: &HashMap<usize, HashSet<usize>>) -> Self {
        let index: HashMap<_, _> = plan.steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
        let mut schedule = Self::default();
        for at in 0..plan.steps.len() {
            schedule.nodes.push(Node {
                order: (at, 0),
                waiting: 0,
                after: Vec::new(),
                reserve: reserves.contains_key(&at),
                resources: None,
            });
        }
        for (at, step) in plan.steps.iter().enumerate() {
            let dependencies: BTreeSet<usize> = step
                .depends_on
                .iter()
                .filter_map(|id| index.get(id).copied())
                .filter(|before| reserves.get(&at).is_none_or(|owners| !owners.contains(before)))
                .collect();
            schedule.nodes[at].waiting = dependencies.len();
            for dependency in dependencies {
                schedule.nodes[dependency].after.push(at);
            }
        }
        for at in 0..schedule.nodes.len() {
            if schedule.nodes[at].waiting == 0 && !schedule.nodes[at].reserve {
                schedule.ready.insert((schedule.nodes[at].order, at));
            }
        }
        schedule
    }

    /// Adds a step in the place of another, ready at once unless it is a reserve.
    pub(super) fn add(&mut self, beside: usize, number: usize, reserve: bool) -> usize {
        let at = self.nodes.len();
        let order = (self.nodes[beside].order.0, number);
        self.nodes.push(Node { order, waiting: 0, after: Vec::new(), reserve, resources: None });
        if !reserve {
            self.ready.insert((order, at));
        }
        at
    }

    /// Calls upon a reserve. False when what it depends on has not completed.
    pub(super) fn call_up(&mut self, at: usize) -> bool {
        let node = &self.nodes[at];
        let possible = node.waiting == 0;
        if possible {
            self.ready.insert((node.order, at));
        }
        possible
    }

    /// The next ready step; it must be started, settled or put back.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.exclusive {
            return None;
        }
        let next = self.ready.pop_first().or_else(|| if self.running == 0 { self.alone.pop_first() } else { None });
        next.map(|(_, at)| at)
    }

    /// Takes what the step needs, or parks it until that is free.
    pub(super) fn start(&mut self, at: usize, resources: Resources) -> bool {
        let order = self.nodes[at].order;
        match &resources {
            Resources::Undeclared if self.running > 0 => {
                self.alone.insert((order, at));
                return false;
            }
            Resources::Keys(keys) => {
                if let Some(taken) = keys.iter().find(|key| self.held.contains(*key)) {
                    self.parked.entry(taken.clone()).or_default().insert((order, at));
                    // It may have been woken for a key that is still free: the next in line gets its chance.
                    let free: Vec<&String> = keys.iter().filter(|key| !self.held.contains(*key)).collect();
                    free.into_iter().for_each(|key| wake(&mut self.parked, &mut self.ready, key));
                    return false;
                }
                self.held.extend(keys.iter().cloned());
            }
            Resources::Undeclared => self.exclusive = true,
            Resources::Independent => {}
        }
        self.running += 1;
        self.nodes[at].resources = Some(resources);
        true
    }

    /// The step no longer runs.
    pub(super) fn release(&mut self, at: usize) {
        let Some(resources) = self.nodes[at].resources.take() else { return };
        self.running -= 1;
        match resources {
            Resources::Undeclared => self.exclusive = false,
            Resources::Independent => {}
            Resources::Keys(keys) => {
                for key in &keys {
                    self.held.remove(key);
                }
                for key in &keys {
                    wake(&mut self.parked, &mut self.ready, key);
                }
            }
        }
    }

    /// The step completed: what waited for nothing else is ready.
    pub(super) fn complete(&mut self, at: usize) {
        for next in std::mem::take(&mut self.nodes[at].after) {
            let node = &mut self.nodes[next];
            node.waiting = node.waiting.saturating_sub(1);
            if node.waiting == 0 && !node.reserve {
                self.ready.insert((node.order, next));
            }
        }
    }

    /// The step will never complete: who depends on it directly.
    pub(super) fn abandon(&mut self, at: usize) -> Vec<usize> {
        std::mem::take(&mut self.nodes[at].after)
    }
}

fn wake(parked: &mut HashMap<String, Ready>, ready: &mut Ready, key: &str) {
    if let Some(line) = parked.get_mut(key) {
        if let Some(first) = line.pop_first() {
            ready.insert(first);
        }
        if line.is_empty() {
            parked.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::PlanStep;
    use serde_json::Map;

    fn plan(steps: &[(&str, &[&str])]) -> ExecutionPlan {
        let mut plan = ExecutionPlan::new("test");
        for (id, after) in steps {
            let mut step = PlanStep::new(*id, "noop", Map::new(), "");
            step.depends_on = after.iter().map(|id| (*id).into()).collect();
            plan.steps.push(step);
        }
        plan
    }
    fn keys(keys: &[&str]) -> Resources {
        Resources::Keys(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn a_step_is_ready_when_all_it_depends_on_completed() {
        let mut schedule = Schedule::new(&plan(&[("a", &[]), ("b", &["a", "a"]), ("c", &["a", "b"])]), &HashMap::new());
        assert_eq!(schedule.next(), Some(0));
        assert_eq!(schedule.next(), None);
        schedule.complete(0);
        assert_eq!(schedule.next(), Some(1));
        assert_eq!(schedule.next(), None);
        schedule.complete(1);
        assert_eq!(schedule.next(), Some(2));
    }

    #[test]
    fn undeclared_runs_alone() {
        let mut schedule = Schedule::new(&plan(&[("a", &[]), ("b", &[]), ("c", &[])]), &HashMap::new());
        let (a, b, c) = (schedule.next().unwrap(), schedule.next().unwrap(), schedule.next().unwrap());
        assert!(schedule.start(a, Resources::Independent));
        assert!(!schedule.start(b, Resources::Undeclared), "something runs");
        assert!(schedule.start(c, Resources::Independent));
        schedule.release(a);
        assert_eq!(schedule.next(), None, "c still runs");
        schedule.release(c);
        assert_eq!(schedule.next(), Some(b));
        assert!(schedule.start(b, Resources::Undeclared));
        schedule.add(a, 1, false);
        assert_eq!(schedule.next(), None, "nothing beside b");
        schedule.release(b);
        assert_eq!(schedule.next(), Some(3));
    }

    #[test]
    fn shared_keys_are_serialised_and_nobody_is_forgotten() {
        let mut schedule = Schedule::new(&plan(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]), &HashMap::new());
        let all: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        assert!(schedule.start(all[0], keys(&["x"])));
        assert!(schedule.start(all[1], keys(&["y"])));
        assert!(!schedule.start(all[2], keys(&["x", "y"])));
        assert!(!schedule.start(all[3], keys(&["x"])));
        schedule.release(all[0]);
        assert_eq!(schedule.next(), Some(2), "woken by x");
        assert!(!schedule.start(2, keys(&["x", "y"])), "y is still held");
        assert_eq!(schedule.next(), Some(3), "x went to the next in line");
        assert!(schedule.start(3, keys(&["x"])));
        schedule.release(all[1]);
        assert_eq!(schedule.next(), Some(2));
        assert!(!schedule.start(2, keys(&["x", "y"])));
        schedule.release(3);
        assert_eq!(schedule.next(), Some(2));
        assert!(schedule.start(2, keys(&["x", "y"])));
    }
}
