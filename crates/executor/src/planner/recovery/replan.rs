//! Replanning by hand: what to run instead of a failed step, one step at a time.

use serde_json::{Map, Value, json};

use super::causes::missing_command;
use super::{StrategyKind, alternative_command, cause_of, has_remedy, missing_module, search_for, strategies};
use crate::cause::Cause;
use crate::planner::TaskPlanner;
use crate::planner::plan::{ExecutionPlan, PlanStep, StepStatus};
use crate::planner::rules::quote;

impl TaskPlanner {
    /// What to run instead of a failed step, or `None` when nothing can help. By cause: a file that is not found
    /// becomes a search for it at once; a cause that cannot change and has no remedy ends it; else the same step
    /// again while retries are left (with a remedied command where one is known); then the recovery table.
    pub fn replan_on_failure(&self, plan: &ExecutionPlan, failed_step: &PlanStep, error: &str) -> Option<PlanStep> {
        let cause = cause_of(failed_step, error);
        let has = |tool: &str| self.available_tools.iter().any(|known| known == tool);
        let with_fresh_id = |mut step: PlanStep, ending: &str| {
            let base = format!("{}_{ending}", failed_step.id);
            let taken = |id: &str| plan.steps.iter().any(|step| step.id.as_str() == id);
            let mut id = base.clone();
            let mut number = 2;
            while taken(&id) {
                id = format!("{base}_{number}");
                number += 1;
            }
            step.id = id.as_str().into();
            step.depends_on.clone_from(&failed_step.depends_on);
            step
        };
        let text = |key: &str| failed_step.params.get(key).and_then(Value::as_str);
        if cause == Cause::NotFound
            && has("search")
            && let Some(path) = text("path").filter(|path| !path.is_empty())
        {
            return Some(with_fresh_id(search_for(path), "search"));
        }
        // What is not found is searched for, above, or not at all: trying again finds nothing new.
        if !cause.can_change() && (cause == Cause::NotFound || !has_remedy(cause, &failed_step.tool)) {
            return None;
        }
        let again = || {
            let mut step = failed_step.clone();
            step.status = StepStatus::Pending;
            step.result = None;
            step.error = None;
            step.retry_count += 1;
            step
        };
        let other_command = || {
            let command = alternative_command(text("command")?, missing_command(error))?;
            let mut step = again();
            step.params.insert("command".into(), command.into());
            Some(step)
        };
        if failed_step.can_retry() {
            return if cause == Cause::MissingCommand { other_command() } else { Some(again()) };
        }
        strategies(cause, &failed_step.tool).iter().find_map(|strategy| match strategy.kind {
            StrategyKind::UseAlternativeCommand => other_command(),
            StrategyKind::InstallMissingModule if has("shell") => {
                let module = missing_module(error)?;
                let root = if module.starts_with('@') { module } else { module.split('/').next().unwrap_or(module) };
                let command = if error.contains("Cannot find module") { "npm install" } else { "pip install" };
                let params = Map::from_iter([("command".to_owned(), json!(format!("{command} {}", quote(root))))]);
                let step = PlanStep::new("", "shell", params, format!("Install {root}"));
                Some(with_fresh_id(step, "install"))
            }
            StrategyKind::RaiseTimeout => {
                let now = failed_step.timeout.map_or(30, |time| time.as_secs().max(1));
                let then = (now * u64::from(strategy.factor)).min(strategy.ceiling);
                (then > now).then(|| {
                    let mut step = again();
                    step.timeout = Some(std::time::Duration::from_secs(then));
                    step
                })
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::recovery::TABLE;
    use crate::planner::recovery::causes::cause_in;
    use crate::tools::ToolResult;

    fn planner() -> TaskPlanner {
        TaskPlanner::new(["file_read", "search", "shell"].map(str::to_owned).to_vec())
    }

    fn failed(tool: &str, params: &Value) -> (ExecutionPlan, PlanStep) {
        let mut plan = ExecutionPlan::new("t");
        let step = plan.add_step(tool, params.as_object().unwrap().clone(), "d", vec!["step_0".into()]);
        step.status = StepStatus::Failed;
        let step = step.clone();
        (plan, step)
    }

    #[test]
    fn a_file_that_is_not_found_is_searched_at_once() {
        let (plan, step) = failed("file_read", &json!({"path": "conf/config[1].yaml"}));
        let search = planner().replan_on_failure(&plan, &step, "file not found").unwrap();
        assert_eq!((search.tool.as_str(), search.status), ("search", StepStatus::Pending));
        assert_eq!(Value::Object(search.params), json!({"pattern": "^", "file_pattern": "config[[]1[]].yaml"}));
        assert_eq!((search.id.as_str(), &search.depends_on), ("step_1_search", &step.depends_on));
    }

    #[test]
    fn what_cannot_change_is_not_tried_again() {
        let (plan, mut step) = failed("file_read", &json!({"path": "x"}));
        for error in ["Permission denied", "Unknown tool: x", "Missing required parameter: path"] {
            assert_eq!(planner().replan_on_failure(&plan, &step, error), None, "{error}");
        }
        step.result = Some(ToolResult::failure(Cause::SyntaxError, "file not found, says the message"));
        assert_eq!(planner().replan_on_failure(&plan, &step, "file not found"), None, "the type goes before the text");
        step.result.as_mut().unwrap().cause = None;
        assert_eq!(planner().replan_on_failure(&plan, &step, "file not found"), None, "also once it was journaled");
    }

    #[test]
    fn the_same_step_again_while_retries_are_left() {
        let (plan, mut step) = failed("shell", &json!({"command": "x"}));
        step.error = Some("boom".into());
        let again = planner().replan_on_failure(&plan, &step, "boom").unwrap();
        assert_eq!((again.id.as_str(), again.status, again.retry_count), ("step_1", StepStatus::Pending, 1));
        assert_eq!(again.error, None);
        step.retry_count = 2;
        assert_eq!(planner().replan_on_failure(&plan, &step, "boom"), None);
    }

    #[test]
    fn then_the_table() {
        let (plan, mut step) = failed("shell", &json!({"command": "cd a && pytest -q"}));
        let other = planner().replan_on_failure(&plan, &step, "sh: 1: pytest: not found").unwrap();
        assert_eq!(other.params["command"], "cd a && python3 -m pytest -q");
        step.retry_count = 2;
        let install =
            planner().replan_on_failure(&plan, &step, "ModuleNotFoundError: No module named 'foo.bar'").unwrap();
        assert_eq!(
            (install.params["command"].as_str(), install.id.as_str()),
            (Some("pip install foo"), "step_1_install")
        );
        let longer = planner().replan_on_failure(&plan, &step, "Command timed out after 30s").unwrap();
        assert_eq!(longer.timeout.unwrap().as_secs(), 60);
        step.timeout = Some(std::time::Duration::from_secs(1800));
        assert_eq!(planner().replan_on_failure(&plan, &step, "timed out"), None);
    }

    #[test]
    fn only_programs_are_replaced() {
        for (command, expected) in [
            ("pytest", Some("python3 -m pytest")),
            ("A=1 pytest x | tee y", Some("A=1 python3 -m pytest x | tee y")),
            ("(cd a; pytest)", Some("(cd a; python3 -m pytest)")),
            ("echo 'a && pytest'", None),
            ("grep pytest x", None),
            ("", None),
        ] {
            assert_eq!(alternative_command(command, Some("pytest")).as_deref(), expected, "{command}");
        }
    }

    #[test]
    fn every_cause_ends_in_giving_up_and_none_that_cannot_change_is_retried_blindly() {
        let causes: Vec<Cause> = TABLE.iter().flat_map(|row| row.causes).copied().collect();
        for cause in causes {
            for tool in ["file_read", "file_write", "edit", "shell", "run_code", "search", "mine"] {
                let found = strategies(cause, tool);
                assert_eq!(found.last().map(|s| s.kind), Some(StrategyKind::GiveUp), "{cause:?} {tool}");
                let blind = found.iter().any(|s| s.kind == StrategyKind::WaitAndRetry);
                assert!(!blind || cause.can_change(), "{cause:?} {tool}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_command_line_is_safe_to_look_at(command in "([a-z]{1,3}|pytest|[ ;&|()'\"`\\\\=\n]|é){0,20}", error in ".{0,60}") {
            let _ = alternative_command(&command, None);
            let _ = (missing_module(&error), missing_command(&error), cause_in(&error));
        }
    }
}
