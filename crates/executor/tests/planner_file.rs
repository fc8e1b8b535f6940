//! Plan files: what is read, where each mistake is said to be, and that the published schema is current.

use std::time::Duration;

use agentic_executor::ExecutionMode;
use agentic_executor::planner::{
    CommitPolicy, ExecutionPlan, Format, OnFailure, PlanFile, PlanStep, recovery, render, schema,
};
use serde_json::{Map, Value, json};

const FULL: &str = r#"
task: Search, test, edit
workspace: demo
mode: parallel
context:
  level: 3
steps:
  - id: find
    tool: search
    params: {pattern: TODO, max_results: 5}
    description: Find TODOs
  - id: test
    tool: shell
    params:
      command: pytest -q
    depends_on: find
    retries: {max: 1, delay: 0.5}
    timeout: 10m
    commit: always
    on_failure: {fallback: [again]}
    when: ${{ steps.find.metadata.matches != 0 && context.level == 3 }}
  - id: again
    tool: shell
    params: {command: "echo ${{ steps.test.error }}"}
    timeout: 1.5
    retries: 0
  - tool: file_read
    depends_on: [find, test]
    params: {path: "${{ file }}"}
    for_each: {items: "${{ steps.find.metadata.files }}", name: file}
    on_failure: continue
"#;

fn problems(text: &str) -> Vec<String> {
    let tools = ["shell", "search", "file_read"].map(str::to_owned);
    match PlanFile::parse_for(text, "p.yaml", &tools) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.message)).collect(),
    }
}

#[test]
fn every_field_is_read() {
    let file = PlanFile::parse(FULL, "p.yaml").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(file.plan.task, "Search, test, edit");
    assert_eq!((file.workspace.unwrap().to_str(), file.mode), (Some("demo"), Some(ExecutionMode::Parallel)));
    assert_eq!(file.context["level"], 3);
    let [find, test, again, read] = file.plan.steps.as_slice() else { panic!("{:?}", file.plan) };
    assert_eq!(find.params["max_results"], 5);
    assert_eq!((test.retry.max, test.retry.delay, test.timeout), (1, 0.5, Some(Duration::from_secs(600))));
    assert_eq!((test.commit, test.depends_on[0].as_str()), (CommitPolicy::Always, "find"));
    assert_eq!(test.on_failure, OnFailure::Fallback(vec!["again".into()]));
    assert_eq!((again.timeout, again.retry.max), (Some(Duration::from_millis(1500)), 0));
    assert_eq!(
        (read.id.as_str(), read.description.as_str(), read.for_each.as_ref().unwrap().name.as_str()),
        ("step_4", "file_read", "file")
    );
}

#[test]
fn what_is_written_reads_back_the_same() {
    let file = PlanFile::parse(FULL, "p.yaml").unwrap();
    let again = PlanFile::parse(&file.to_yaml(), "p.yaml").unwrap_or_else(|e| panic!("{e}\n{}", file.to_yaml()));
    assert_eq!(
        (again.plan, again.context, again.mode, again.workspace),
        (file.plan, file.context, file.mode, file.workspace)
    );
}

#[test]
fn each_mistake_is_said_at_its_line_and_column() {
    for (text, expected) in [
        ("steps: [", &["1:8 failed to read the YAML: unclosed bracket"][..]),
        ("a: 1\na: 2\nsteps: []", &["2:1 failed to read the YAML: duplicate mapping key"]),
        ("just text", &["1:1 a plan is a mapping with `steps`, not the text \"just text\""]),
        ("", &["1:1 a plan is a mapping with `steps`, not nothing"]),
        ("task: x", &["1:1 `steps` is missing"]),
        ("steps: []", &["1:8 a plan needs at least one step"]),
        ("steps: {}", &["1:8 `steps` must be a list, not a mapping"]),
        ("stps: []\nsteps:\n- tool: shell", &["1:1 `stps` is no key of a plan"]),
        ("steps:\n- tool: shell\n  parms: {}", &["3:3 `parms` is no key of a step"]),
        ("steps:\n- id: a", &["2:3 step `a` has no `tool`"]),
        ("steps:\n- tool: shel", &["2:9 step `step_1` calls the unknown tool `shel`"]),
        (
            "steps:\n- tool: shell\n  depends_on: [b]",
            &["3:16 step `step_1` depends on `b`, which is no step of this plan"],
        ),
        ("steps:\n- {id: a, tool: shell}\n- {id: a, tool: shell}", &["3:8 two steps have the id `a`"]),
        ("steps:\n- {id: '', tool: shell}", &["2:8 step 1 has no id"]),
        (
            "steps:\n- {id: a, tool: shell, depends_on: b}\n- {id: b, tool: shell, depends_on: [a]}",
            &["2:36 the dependencies form a cycle: a -> b -> a"],
        ),
        (
            "steps:\n- tool: shell\n  params: {command: 'echo ${{ steps.x.output }}'}",
            &["3:21 step `step_1` refers to `${{ steps.x.output }}`: `x` is no step"],
        ),
        ("steps:\n- tool: shell\n  when: steps.x", &["3:9 step `step_1` refers to"]),
        ("steps:\n- tool: shell\n  on_failure: {fallback: [x]}", &["3:27 step `step_1` cannot fall back to `x`"]),
        (
            "steps:\n- tool: shell\n  on_failure: retry",
            &["3:15 `on_failure` must be one of stop, continue, rollback, replan"],
        ),
        ("steps:\n- tool: shell\n  timeout: 0", &["3:12 `timeout` must be seconds above 0"]),
        ("steps:\n- tool: shell\n  timeout: -1", &["3:12 `timeout` must be"]),
        ("steps:\n- tool: shell\n  timeout: 1e300", &["3:12 `timeout` must be"]),
        ("steps:\n- tool: shell\n  timeout: soon", &["3:12 `timeout` must be"]),
        (
            "steps:\n- tool: shell\n  retries: -1",
            &["3:12 `retries` must be a whole number from 0 to 1000, not the number -1"],
        ),
        ("steps:\n- tool: shell\n  retries: {max: 1, delay: -1}", &["3:28 `delay` must be a number from 0"]),
        (
            "steps:\n- tool: shell\n  commit: yes",
            &["3:11 `commit` must be one of on_success, always, never, not the text \"yes\""],
        ),
        ("steps:\n- tool: shell\n  params: [1]", &["3:11 `params` must be a mapping, not a list"]),
        ("steps:\n- tool: shell\n  for_each: {items: 5}", &["3:13 `for_each` needs `items`"]),
        (
            "steps:\n- tool: 5\n- x",
            &["2:9 `tool` must be a text, not the number 5", "3:3 a step is a mapping with `tool`, not the text \"x\""],
        ),
        ("steps: [{tool: shell}]\n---\nsteps: []", &["3:1 failed to read the YAML: multiple YAML documents"]),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{text}\nfound    {found}\nexpected {expected}");
        }
    }
}

#[test]
fn several_mistakes_are_listed_in_the_order_of_the_file_with_hints() {
    let text = "mode: fast\nsteps:\n  - id: a\n    tool: shell\n    depends: [b]\n    depends_on: [bb]\n  - id: b\n    tool: shell\n    timeout: x\n";
    let error = PlanFile::parse(text, "plan.yaml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "plan.yaml:1:7: `mode` must be one of sequential, parallel, interactive, not the text \"fast\"\n\
         plan.yaml:5:5: `depends` is no key of a step\n  did you mean `depends_on`?\n\
         plan.yaml:6:18: step `a` depends on `bb`, which is no step of this plan\n  did you mean `b`?\n\
         plan.yaml:9:14: `timeout` must be seconds above 0 and up to a week, or text such as `90s`, `10m`, `1h30m`, not the text \"x\""
    );
}

#[test]
fn json_is_yaml_and_a_shown_plan_runs_again() {
    let plan = PlanFile::parse(FULL, "p").unwrap().plan;
    let mut shown = plan.clone();
    shown.steps[0].status = agentic_executor::StepStatus::Completed;
    let read = PlanFile::parse(&render(&shown, Format::Json), "p").unwrap();
    assert_eq!(read.plan, plan, "a plan that is read starts over");
}

#[test]
fn the_published_schema_is_current_and_agrees_with_the_reader() {
    compare("../../docs/reference/plan.schema.json", &format!("{:#}\n", schema()));
    jsonschema::meta::validate(&schema()).unwrap();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let value = |text: &str| serde_json::to_value(serde_saphyr::from_str::<Value>(text).unwrap()).unwrap();
    let full = value(FULL);
    assert!(
        validator.is_valid(&full),
        "{:#?}",
        validator.iter_errors(&full).map(|e| e.to_string()).collect::<Vec<_>>()
    );
    let shown = PlanFile::parse(FULL, "p").unwrap().plan.to_dict();
    assert!(
        validator.is_valid(&shown),
        "{:#?}",
        validator.iter_errors(&shown).map(|e| e.to_string()).collect::<Vec<_>>()
    );
    for wrong in [
        "{}",
        "steps: []",
        "steps: [{id: a}]",
        "steps: [{tool: shell, parms: {}}]",
        "stps: 1\nsteps: [{tool: shell}]",
        "steps: [{tool: shell, commit: maybe}]",
        "steps: [{tool: shell, timeout: soon}]",
        "steps: [{tool: shell, retries: {most: 1}}]",
        "steps: [{tool: shell, on_failure: {fall: []}}]",
        "steps: [{tool: shell, for_each: {}}]",
    ] {
        assert!(!validator.is_valid(&value(wrong)), "the schema takes {wrong}");
        assert!(PlanFile::parse(wrong, "p").is_err(), "the reader takes {wrong}");
    }
}

#[test]
fn the_recovery_page_is_current() {
    compare("../../docs/reference/recovery.md", &recovery::reference());
}

/// Compares a generated file with the committed one; `UPDATE_GENERATED=1` writes it.
fn compare(path: &str, expected: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not current: run this test with UPDATE_GENERATED=1", path.display());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(steps|tool|id|depends_on|shell|: |- |\n|  |\\[|\\]|\\{|\\}|\"|'|&a |\\*a|[a-z]|é|\\||\t|#|%){0,60}") {
        let _ = PlanFile::parse(&text, "p");
    }
    #[test]
    fn any_bytes_are_read_or_refused(text in "\\PC{0,80}") {
        let _ = PlanFile::parse(&text, "p");
    }
    #[test]
    fn any_plan_is_written_so_that_it_reads_back(
        task in "\\PC{0,100}", description in "([a-z #:>|\n'\"-]|é| {2}){1,120}", content in "(\n|[ -~]|\t){0,120}", key in "[ -~]{0,10}"
    ) {
        let mut plan = ExecutionPlan::new(task);
        let params = Map::from_iter([(key, json!({"content": agentic_executor::planner::references::escape(&content)}))]);
        plan.steps.push(PlanStep::new("a", "shell", params, description));
        let yaml = PlanFile::of(plan.clone()).to_yaml();
        let read = PlanFile::parse(&yaml, "p").map_err(|e| proptest::test_runner::TestCaseError::fail(format!("{e}\n{yaml}")))?;
        proptest::prop_assert_eq!(read.plan, plan, "{}", yaml);
    }
}

#[test]
fn the_plan_carries_the_context_with_what_was_given_over_it() {
    let file = PlanFile::parse("context: {a: 1, b: 2}\nsteps: [{tool: shell}]", "p").unwrap();
    let plan = file.into_plan(&Map::from_iter([("b".to_owned(), json!("given"))]));
    assert_eq!(plan.context(), json!({"a": 1, "b": "given"}).as_object().unwrap());
    let condition = "${{ context.a == 1 && context.b == 'given' }}";
    let scope = agentic_executor::planner::references::Scope::of(&plan, None);
    assert!(agentic_executor::planner::references::eval_condition(condition, &scope).unwrap());
}
