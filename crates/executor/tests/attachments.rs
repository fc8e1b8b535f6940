//! What a tool attaches to its result comes back to the caller as the very same value, or not at all.

mod run_support;

use std::sync::{Arc, Mutex};

use agentic_executor::planner::Expect;
use agentic_executor::tools::Attachment;
use agentic_executor::{Cause, ToolResult};
use run_support::{Place, fake, params, plan, step};
use serde_json::json;

fn with(mut result: ToolResult, attachment: &Attachment) -> ToolResult {
    result.attachment = Some(attachment.clone());
    result
}

#[test]
fn it_reaches_subscribers_results_and_bare_calls_and_no_journal() {
    let place = Place::new();
    let given = Attachment::new(vec!["the", "very", "quincunx"]);
    let (works, fails) = (given.clone(), given.clone());
    let heard: Arc<Mutex<Vec<Option<Attachment>>>> = Arc::default();
    let told = heard.clone();
    let executor = place
        .builder([
            fake("works", move |_, _| with(ToolResult::success("ok"), &works)),
            fake("fails", move |_, _| with(ToolResult::failure(Cause::SyntaxError, "no"), &fails)),
        ])
        .on_step_complete(move |step| told.lock().unwrap().push(step.result.clone().unwrap().attachment))
        .build()
        .unwrap();
    let result = executor.execute_plan(plan([step("a", "works", json!({}), &[]), step("b", "fails", json!({}), &[])]));
    let expected = vec![Some(given.clone()), Some(given.clone())];
    assert_eq!(*heard.lock().unwrap(), expected);
    let returned: Vec<_> = result.steps.iter().map(|step| step.result.clone().unwrap().attachment).collect();
    assert_eq!(returned, expected);
    assert_eq!(returned[0].as_ref().unwrap().downcast_ref::<Vec<&str>>().unwrap().len(), 3);
    assert!(returned[0].as_ref().unwrap().downcast_ref::<String>().is_none());
    assert_eq!(executor.call("works", params(json!({}))).attachment, Some(given.clone()));
    assert_ne!(given, Attachment::new(vec!["the", "very", "quincunx"]), "an equal value is another one");
    let events = serde_json::to_string(&executor.journal().events(&result.run_id).unwrap()).unwrap();
    assert!(!events.contains("quincunx"), "{events}");
}

#[test]
fn it_goes_where_the_result_is_replaced() {
    let place = Place::new();
    let given = Attachment::new(1);
    let executor = place
        .builder([fake("tests", move |_, _| with(ToolResult::failure(Cause::TestFailure, "1 failed"), &given))])
        .build()
        .unwrap();
    let mut expecting = step("a", "tests", json!({}), &[]);
    expecting.expect = Expect::Failure;
    let result = executor.execute_plan(plan([expecting]));
    assert!(result.success, "{}", result.summary());
    assert_eq!(result.steps[0].result.as_ref().unwrap().attachment, None, "it said `failed`");
}
