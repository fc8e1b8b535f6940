//! What a step expects of its call: that it succeeds, or, with `expect: failure`, that tests ran and some failed.
//!
//! The journal keeps what the call itself said; here a failure that was asked for becomes the success of the step,
//! and a success that was not wanted becomes its failure, before anything is tried again.

use crate::cause::Cause;
use crate::planner::{Expect, PlanStep};
use crate::tools::{ToolResult, ToolStatus};

/// Whether a call ended as its step expects.
pub(super) fn is_met(step: &PlanStep, result: &ToolResult) -> bool {
    match step.expect {
        Expect::Success => result.is_success(),
        Expect::Failure => !result.is_success() && result.cause == Some(Cause::TestFailure),
    }
}

/// What a call means for its step, and whether that is final: an unwanted success cannot be mended by another try.
pub(super) fn judged(step: &PlanStep, result: ToolResult) -> (ToolResult, bool) {
    match step.expect {
        Expect::Success => (result, false),
        Expect::Failure if is_met(step, &result) => (as_success(result), true),
        Expect::Failure if result.is_success() => {
            let message = "the step expects failed tests (`expect: failure`) and the call succeeded: what the plan is \
                           to mend does not fail here; remove `expect` if that is right";
            (renamed(ToolResult { status: ToolStatus::Error, ..result }, Cause::Failed, message.into()), true)
        }
        Expect::Failure => (result, false),
    }
}

/// The failure that is left, saying that it is not the one that was asked for.
pub(super) fn given_up(step: &PlanStep, result: ToolResult) -> ToolResult {
    match (step.expect, result.cause) {
        (_, Some(Cause::Cancelled)) => result,
        (Expect::Failure, Some(cause)) if !result.is_success() && !result.metadata.contains_key("unexpected") => {
            let said = result.brief().unwrap_or_default();
            let message = format!(
                "the step expects failed tests (`expect: failure`) and the call failed for another reason ({}): {said}",
                cause.as_str()
            );
            renamed(result, cause, message)
        }
        _ => result,
    }
}

fn as_success(mut result: ToolResult) -> ToolResult {
    result.metadata.remove("cause");
    let error = result.error.take();
    result = result.with("expected", Cause::TestFailure.as_str());
    if let Some(error) = error {
        result = result.with("expected_error", error);
    }
    ToolResult { status: ToolStatus::Success, cause: None, attachment: None, ..result }
}

fn renamed(result: ToolResult, cause: Cause, message: String) -> ToolResult {
    let result = result.with("cause", cause.as_str()).with("unexpected", true);
    ToolResult { error: Some(message), cause: Some(cause), attachment: None, ..result }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn step(expect: Expect) -> PlanStep {
        PlanStep { expect, ..PlanStep::new("a", "shell", Map::new(), "") }
    }

    #[test]
    fn red_tests_are_what_is_wanted_and_nothing_else_is() {
        let wanted = step(Expect::Failure);
        let red = ToolResult::failure(Cause::TestFailure, "1 failed");
        let (result, last) = judged(&wanted, red.clone());
        assert!(result.is_success() && last && result.error.is_none() && result.cause.is_none());
        assert_eq!((&result.metadata["expected"], result.metadata.get("cause")), (&"test_failure".into(), None));
        let (result, last) = judged(&wanted, ToolResult::success("1 passed"));
        assert!(!result.is_success() && last, "{result:?}");
        assert!(result.error.as_deref().unwrap().contains("the call succeeded"));
        let (result, last) = judged(&wanted, ToolResult::failure(Cause::MissingCommand, "no pytest"));
        assert!(!last, "another cause may be mended first");
        let result = given_up(&wanted, result);
        assert_eq!(result.cause, Some(Cause::MissingCommand));
        assert!(result.error.as_deref().unwrap().ends_with("another reason (missing_command): no pytest"));
        assert_eq!(judged(&step(Expect::Success), red.clone()), (red, false));
    }
}
