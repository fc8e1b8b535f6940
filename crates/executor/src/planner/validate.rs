//! Whether a plan can run: ids, dependencies, tools, references, fallbacks; all problems at once.
//!
//! One graph decides everything: a step's ancestors are what it depends on, directly or not, and, for a
//! stand-in, also the step it stands in for and the stand-ins before it, for it runs after them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::error::{PlanError, PlanProblem};
use super::plan::{ExecutionPlan, PlanStep};
use super::references::{self, Root};
use crate::id::StepId;

impl ExecutionPlan {
    /// Whether the plan can run with these tools; `None` leaves the tools unchecked.
    ///
    /// # Errors
    /// [`PlanError::Invalid`] with every problem, in the order of the steps, cycles last.
    pub fn validate(&self, tools: Option<&[String]>) -> Result<(), PlanError> {
        let problems = Check::new(self).problems(tools);
        if problems.is_empty() { Ok(()) } else { Err(PlanError::Invalid(problems)) }
    }
}

struct Check<'a> {
    plan: &'a ExecutionPlan,
    index: HashMap<&'a StepId, usize>,
    /// What must be over before a step starts, by place.
    before: Vec<Vec<usize>>,
    stand_ins: HashSet<&'a StepId>,
}

impl<'a> Check<'a> {
    fn new(plan: &'a ExecutionPlan) -> Self {
        let mut index = HashMap::new();
        for (place, step) in plan.steps.iter().enumerate() {
            index.entry(&step.id).or_insert(place);
        }
        let mut before: Vec<Vec<usize>> = plan
            .steps
            .iter()
            .map(|step| step.depends_on.iter().filter_map(|id| index.get(id).copied()).collect())
            .collect();
        for (place, step) in plan.steps.iter().enumerate() {
            let mut earlier = vec![place];
            for stand_in in step.fallback().iter().filter_map(|id| index.get(id).copied()) {
                if !earlier.contains(&stand_in) {
                    before[stand_in].extend(&earlier);
                    earlier.push(stand_in);
                }
            }
        }
        Self { plan, index, before, stand_ins: plan.stand_ins() }
    }

    fn problems(&self, tools: Option<&[String]>) -> Vec<PlanProblem> {
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        for (place, step) in self.plan.steps.iter().enumerate() {
            if step.id.0.trim().is_empty() {
                problems.push(PlanProblem::EmptyId { index: place });
            } else if !seen.insert(&step.id) {
                problems.push(PlanProblem::DuplicateId { step: step.id.clone(), index: place });
            }
            self.tool(step, tools, &mut problems);
            self.dependencies(step, &mut problems);
            self.fallbacks(step, &mut problems);
            self.references(place, step, &mut problems);
        }
        self.cycles(&mut problems);
        problems
    }

    fn tool(&self, step: &PlanStep, tools: Option<&[String]>, problems: &mut Vec<PlanProblem>) {
        let Some(tools) = tools else { return };
        if !tools.contains(&step.tool) {
            let nearest = nearest(&step.tool, tools.iter().map(String::as_str)).map(str::to_owned);
            problems.push(PlanProblem::UnknownTool { step: step.id.clone(), tool: step.tool.clone(), nearest });
        }
    }

    fn dependencies(&self, step: &PlanStep, problems: &mut Vec<PlanProblem>) {
        for id in &step.depends_on {
            if !self.index.contains_key(id) {
                problems.push(PlanProblem::UnknownDependency {
                    step: step.id.clone(),
                    dependency: id.clone(),
                    nearest: self.nearest_step(id),
                });
            } else if self.stand_ins.contains(id) && !self.stand_ins.contains(&step.id) {
                problems.push(PlanProblem::BadFallback {
                    step: self.owner_of(id),
                    fallback: id.clone(),
                    reason: format!("step `{}` depends on it, but it runs only as a fallback", step.id),
                });
            }
        }
    }

    fn fallbacks(&self, step: &PlanStep, problems: &mut Vec<PlanProblem>) {
        let mut seen = HashSet::new();
        for id in step.fallback() {
            let reason = if !self.index.contains_key(id) {
                match self.nearest_step(id) {
                    Some(nearest) => format!("it is no step of this plan (did you mean `{nearest}`?)"),
                    None => "it is no step of this plan".into(),
                }
            } else if *id == step.id {
                "it is the step itself".into()
            } else if !seen.insert(id) {
                "it is named twice".into()
            } else {
                continue;
            };
            problems.push(PlanProblem::BadFallback { step: step.id.clone(), fallback: id.clone(), reason });
        }
    }

    fn references(&self, place: usize, step: &PlanStep, problems: &mut Vec<PlanProblem>) {
        let found = references::references_of(step);
        if found.is_empty() {
            return;
        }
        let ancestors = self.ancestors(place);
        for reference in found {
            let reason = match reference.parsed {
                Err(error) => Some(error.to_string()),
                Ok(roots) => {
                    roots.into_iter().find_map(|root| self.unresolvable(&root, step, &ancestors, reference.in_items))
                }
            };
            if let Some(reason) = reason {
                problems.push(PlanProblem::BadReference { step: step.id.clone(), reference: reference.text, reason });
            }
        }
    }

    /// Why a name in an expression of `step` can never have a value.
    fn unresolvable(&self, root: &Root, step: &PlanStep, ancestors: &HashSet<usize>, in_items: bool) -> Option<String> {
        match root {
            Root::Task | Root::Context(_) => None,
            Root::Step { id, .. } => match self.index.get(&StepId(id.clone())) {
                None => Some(match self.nearest_step(&StepId(id.clone())) {
                    Some(nearest) => format!("`{id}` is no step of this plan (did you mean `{nearest}`?)"),
                    None => format!("`{id}` is no step of this plan"),
                }),
                Some(_) if *id == step.id.0 => Some("a step cannot refer to itself".into()),
                Some(place) if !ancestors.contains(place) => {
                    Some(format!("`{id}` need not be done by then; add `{id}` to `depends_on`"))
                }
                Some(_) => None,
            },
            Root::Item(name) => match &step.for_each {
                Some(each) if each.name == *name && !in_items => None,
                Some(each) if in_items => Some(format!("the list of `for_each` cannot use its own `{}`", each.name)),
                _ => Some(format!(
                    "`{name}` is not known here; known are steps, context, task, and the item of a `for_each`"
                )),
            },
        }
    }

    fn ancestors(&self, place: usize) -> HashSet<usize> {
        let mut seen = HashSet::new();
        let mut open = self.before[place].clone();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&self.before[next]);
            }
        }
        seen
    }

    fn cycles(&self, problems: &mut Vec<PlanProblem>) {
        let mut graph = DiGraph::<(), ()>::with_capacity(self.before.len(), 0);
        let nodes: Vec<NodeIndex> = self.before.iter().map(|_| graph.add_node(())).collect();
        for (place, before) in self.before.iter().enumerate() {
            for &earlier in before {
                graph.update_edge(nodes[place], nodes[earlier], ());
            }
        }
        let mut found: Vec<Vec<usize>> = kosaraju_scc(&graph)
            .into_iter()
            .map(|component| component.into_iter().map(NodeIndex::index).collect::<Vec<_>>())
            .filter(|places| places.len() > 1 || places.iter().any(|&place| self.before[place].contains(&place)))
            .filter_map(|places| self.circle(&places))
            .collect();
        found.sort_unstable();
        for places in found {
            let steps = places.into_iter().map(|place| self.plan.steps[place].id.clone()).collect();
            problems.push(PlanProblem::Cycle { steps });
        }
    }

    /// One shortest circle through the first step of a strongly connected component.
    fn circle(&self, component: &[usize]) -> Option<Vec<usize>> {
        let inside: HashSet<usize> = component.iter().copied().collect();
        let start = component.iter().copied().min()?;
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(place) = queue.pop_front() {
            for &next in self.before[place].iter().filter(|next| inside.contains(next)) {
                if next == start {
                    let mut path = vec![place];
                    let mut at = place;
                    while at != start {
                        at = *came_from.get(&at)?;
                        path.push(at);
                    }
                    path.reverse();
                    return Some(path);
                }
                if let Entry::Vacant(unseen) = came_from.entry(next) {
                    unseen.insert(place);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn nearest_step(&self, id: &StepId) -> Option<StepId> {
        nearest(id.as_str(), self.plan.steps.iter().map(|step| step.id.as_str())).map(StepId::from)
    }

    fn owner_of(&self, stand_in: &StepId) -> StepId {
        let owner = self.plan.steps.iter().find(|step| step.fallback().contains(stand_in));
        owner.map_or_else(|| stand_in.clone(), |step| step.id.clone())
    }
}

/// The name that was probably meant: it goes on where the wrong one ends, or at most a third of its letters differ.
pub(super) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // The distance is quadratic in the length; no name that people mistype is longer than this.
    const LONGEST: usize = 100;
    if wrong.len() > LONGEST {
        return None;
    }
    let goes_on = |name: &str| wrong.len() > 2 && name.starts_with(wrong) && name != wrong;
    let short = names.filter(|name| name.len() <= LONGEST);
    let measured = short.map(|name| (if goes_on(name) { 1 } else { distance(wrong, name) }, name));
    let (distance, name) = measured.min_by_key(|(distance, _)| *distance)?;
    let length = wrong.chars().count();
    (length > 1 && distance > 0 && distance <= (length / 3).max(1)).then_some(name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::planner::{ForEach, OnFailure};

    fn plan(steps: &[(&str, &[&str])]) -> ExecutionPlan {
        let mut plan = ExecutionPlan::new("t");
        for (id, depends_on) in steps {
            let mut step = PlanStep::new(*id, "shell", Map::new(), "");
            step.depends_on = depends_on.iter().map(|id| StepId::from(*id)).collect();
            plan.steps.push(step);
        }
        plan
    }

    fn messages(plan: &ExecutionPlan) -> Vec<String> {
        let tools = ["shell".to_owned()];
        let result = plan.validate(Some(&tools));
        result.err().map(|e| e.problems().iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn a_sound_plan_passes() {
        assert_eq!(messages(&plan(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"])])), Vec::<String>::new());
    }

    #[test]
    fn cycles_are_named_each_once() {
        let plan = plan(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("d", &["d"]), ("e", &["a"])]);
        assert_eq!(
            messages(&plan),
            ["the dependencies form a cycle: a -> c -> b -> a", "the dependencies form a cycle: d -> d"]
        );
    }

    #[test]
    fn every_problem_is_listed() {
        let mut plan = plan(&[("build", &["tset"]), ("test", &[]), ("test", &[]), ("", &[])]);
        plan.steps[1].tool = "shel".into();
        assert_eq!(
            messages(&plan),
            [
                "step `build` depends on `tset`, which is no step of this plan",
                "step `test` calls the unknown tool `shel`",
                "two steps have the id `test`",
                "step 4 has no id",
            ]
        );
        let error = plan.validate(Some(&["shell".to_owned()])).unwrap_err();
        assert_eq!(error.problems()[1].hint().as_deref(), Some("did you mean `shell`?"));
    }

    #[test]
    fn a_reference_must_name_an_ancestor() {
        let mut plan = plan(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &[])]);
        plan.steps[2].params.insert("command".into(), json!("echo ${{ steps.a.output }}"));
        assert_eq!(messages(&plan), Vec::<String>::new());
        plan.steps[3]
            .params
            .insert("x".into(), json!(["${{ steps.a.output }}", "${{ steps.z.output }}", "${{ item }}"]));
        plan.steps[3].when = Some("${{ steps.a. }}".into());
        let found = messages(&plan);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("add `a` to `depends_on`"), "{found:?}");
        assert!(found[1].contains("`z` is no step"), "{found:?}");
        assert!(found[2].contains("`item` is not known here"), "{found:?}");
    }

    #[test]
    fn an_item_is_known_in_its_own_step_only() {
        let mut plan = plan(&[("a", &[]), ("b", &["a"])]);
        plan.steps[1].for_each = Some(ForEach { items: json!("${{ steps.a.metadata.files }}"), name: "file".into() });
        plan.steps[1].params.insert("path".into(), json!("${{ file }}"));
        assert_eq!(messages(&plan), Vec::<String>::new());
        plan.steps[1].params.insert("path".into(), json!("${{ item }}"));
        assert_eq!(messages(&plan).len(), 1);
    }

    #[test]
    fn a_stand_in_runs_after_what_it_stands_in_for() {
        let mut plan = plan(&[("a", &[]), ("b", &[]), ("c", &[])]);
        plan.steps[0].on_failure = OnFailure::Fallback(vec!["b".into(), "c".into()]);
        plan.steps[2].params.insert("x".into(), json!("${{ steps.a.error }} ${{ steps.b.output }}"));
        assert_eq!(messages(&plan), Vec::<String>::new());
        plan.steps[1].depends_on = vec!["c".into()];
        assert_eq!(messages(&plan), ["the dependencies form a cycle: b -> c -> b"]);
        plan.steps[1].depends_on = vec![];
        plan.steps[0].on_failure = OnFailure::Fallback(vec!["a".into(), "z".into(), "b".into(), "b".into()]);
        // Each of the three, and `c`, which is nobody's stand-in now and depends on nothing, refers to two steps.
        assert_eq!(messages(&plan).len(), 3 + 2, "{:?}", messages(&plan));
    }

    #[test]
    fn two_thousand_steps_are_checked_quickly() {
        let ids: Vec<String> = (0..2000).map(|i| format!("s{i}")).collect();
        let mut plan = ExecutionPlan::new("t");
        for (i, id) in ids.iter().enumerate() {
            let mut step = PlanStep::new(id, "shell", Map::new(), "");
            step.depends_on = ids[i.saturating_sub(3)..i].iter().map(|id| StepId(id.clone())).collect();
            plan.steps.push(step);
        }
        let started = std::time::Instant::now();
        assert_eq!(messages(&plan), Vec::<String>::new());
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
