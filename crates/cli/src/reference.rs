//! `docs/reference/cli.md` and `settings.md` are made here from the command line and the table of settings.
//! The tests fail when a file differs; `AGENTIC_UPDATE=1 cargo test -p agentic-cli reference` writes them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Arguments;
use crate::settings::table::{KEYS, Narrow};

fn command_line() -> String {
    let mut page = String::from(
        "# Command line\n\nMade from the program itself by `crates/cli/src/reference.rs`; do not edit by hand.\n",
    );
    let mut root = Arguments::command().term_width(100);
    root.build();
    describe(&mut page, &mut root, 2);
    page
}

fn describe(page: &mut String, command: &mut clap::Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or("agentic").to_owned();
    let help = command.render_long_help().to_string();
    let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    write!(page, "\n{} {name}\n\n```text\n{}\n```\n", "#".repeat(depth), help.trim_end()).unwrap();
    for inner in command.get_subcommands_mut() {
        describe(page, inner, depth + 1);
    }
}

fn settings() -> String {
    let mut page = String::from(
        "# Settings\n\nMade from the table in `crates/cli/src/settings/table.rs` by `crates/cli/src/reference.rs`; do not edit by hand.\n\n\
         Flags beat environment variables, which beat the workspace's `agentic.toml`, which beats the user's\n\
         `$XDG_CONFIG_HOME/agentic/config.toml` (or the file that `AGENTIC_CONFIG` names), which beats the defaults.\n\
         A workspace's file may only narrow what a run may do: a wider value there is ignored, and a warning names it.\n\
         An unknown name is an error, at its line. MB is 2^20 bytes. `agentic doctor` prints every setting with where it came from.\n\n\
         ```toml\n\
         # ~/.config/agentic/config.toml\n\
         max_steps = 100\n\n\
         [sandbox]\n\
         read_only = [\"/srv/datasets\", \"~/reference\"]\n\n\
         [sandbox.limits]\n\
         memory = 1024\n\n\
         [[approval]]\n\
         action = \"ask\"\n\
         tool = \"shell\"\n\
         command = \"git push*\"\n\
         ```\n\n\
         An `[[approval]]` rule has an `action` (`allow`, `ask`, `deny`) and globs: `tool`, `path`, `command`. The last rule that\n\
         matches a call decides; without one it passes. Of a workspace's rules, `deny` is taken last of all the files', `ask` first,\n\
         and `allow` is ignored. `--approve` comes after every file.\n\n\
         | name | may be | default | environment | a workspace may | what |\n|---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let variable = key.variable.map(|name| format!("`{name}`")).unwrap_or_default();
        let narrow = match key.narrow {
            Narrow::No => "not set it".to_owned(),
            Narrow::Less => "lower it".to_owned(),
            Narrow::To(value) => format!("set `{value}`"),
            Narrow::More => "add to it".to_owned(),
            Narrow::Fewer => "take from it".to_owned(),
            Narrow::Within => "set it, or take from it".to_owned(),
        };
        writeln!(
            page,
            "| `{}` | {} | {} | {variable} | {narrow} | {} |",
            key.name,
            key.kind.expected(),
            key.default,
            key.what
        )
        .unwrap();
    }
    page
}

fn check(file: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
    if std::env::var_os("AGENTIC_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/reference/{file} is not what the program says; AGENTIC_UPDATE=1 cargo test -p agentic-cli reference writes it"
    );
}

#[test]
fn the_command_line_is_documented() {
    check("cli.md", &command_line());
}

#[test]
fn the_settings_are_documented() {
    check("settings.md", &settings());
}

#[test]
fn the_report_of_tests_is_documented() {
    let mut schema = agentic_executor::TestReport::schema();
    // What the command line adds to the report.
    let properties = schema["properties"].as_object_mut().unwrap();
    properties.insert("run_id".into(), serde_json::json!({"description": "The run in the journal.", "type": "string"}));
    let error = serde_json::json!({"description": "Why the run did not succeed.", "type": ["string", "null"]});
    properties.insert("error".into(), error);
    check("tests.schema.json", &format!("{schema:#}\n"));
}

#[test]
fn the_rules_and_the_report_of_a_migration_are_documented() {
    check("rules.schema.json", &format!("{:#}\n", agentic_migrate::RuleSet::schema()));
    let mut schema = agentic_migrate::conduct::MigrationReport::schema();
    // What the command line adds to the report.
    let properties = schema["properties"].as_object_mut().unwrap();
    properties
        .insert("run_id".into(), serde_json::json!({"description": "The last run in the journal.", "type": "string"}));
    let error = serde_json::json!({"description": "Why it was not applied.", "type": ["string", "null"]});
    properties.insert("error".into(), error);
    check("migration.schema.json", &format!("{schema:#}\n"));
}

/// A schema of `docs/reference`.
fn schema(file: &str) -> jsonschema::Validator {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn fits(schema: &jsonschema::Validator, value: &serde_json::Value) {
    let wrong: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{value}");
}

#[test]
fn a_result_fits_its_schema() {
    use agentic_executor::{ExecutionResult, ExecutionStep, StopReason, ToolResult};
    let result = ExecutionResult {
        task: "run tests".into(),
        success: false,
        steps: vec![ExecutionStep {
            step_id: "step_1".into(),
            tool: "shell".into(),
            params: serde_json::Map::new(),
            result: Some(ToolResult::failure(agentic_executor::Cause::TestFailure, "1 failed")),
            start_time: 1.0,
            end_time: 2.5,
            retries: 1,
        }],
        total_time: 1.5,
        error: Some("step_1 failed".into()),
        metadata: serde_json::Map::new(),
        run_id: "r".into(),
        stop_reason: StopReason::Failed,
    };
    let schema = schema("result.schema.json");
    let mut object = result.to_dict();
    fits(&schema, &object);
    // The control: what is not a result does not fit.
    object["stop_reason"] = "bored".into();
    assert!(!schema.is_valid(&object));
}

#[test]
fn every_event_fits_its_schema() {
    use std::time::Duration;

    use agentic_executor::journal::OutputRef;
    use agentic_executor::tools::Idempotency;
    use agentic_executor::workspace::{Change, ChangeKind, LeftOut, Level, Persistence};
    use agentic_executor::{Cause, ChangeSet, Event, EventBody, ExecutionPlan, StepStatus, StopReason, ToolStatus};
    use agentic_sandbox::{Control, Enforcement, Usage};

    let plan = ExecutionPlan::new("run tests");
    let changes = ChangeSet {
        changes: vec![Change {
            path: "/w/a".into(),
            kind: ChangeKind::Added,
            size: 3,
            renamed_from: Some("/w/b".into()),
        }],
        left_out: vec![LeftOut { path: "/w/b".into(), reason: "a FIFO is never applied".into() }],
        persistence: vec![Persistence {
            path: "/w/a".into(),
            level: Level::Flagged,
            kind: "ci".into(),
            reason: "is run by a CI server".into(),
        }],
    };
    let bodies = [
        EventBody::RunStarted {
            task: "run tests".into(),
            mode: Default::default(),
            workspace: "/w".into(),
            plan: plan.clone(),
            plan_hash: "00".into(),
            tools: [("shell".to_owned(), "00".to_owned())].into(),
            context: Default::default(),
            staged: false,
        },
        EventBody::RunResumed {
            mode: Default::default(),
            plan: plan.clone(),
            tools: [("shell".to_owned(), "00".to_owned())].into(),
            again: vec!["step_1".into()],
            taken_back: vec!["0190".into()],
            lost: vec!["0191".into()],
            changed: vec!["/w/a was changed since".into()],
        },
        EventBody::PlanChanged { reason: "expanded".into(), plan },
        EventBody::StepStarted { step: "step_1".into(), tool: "shell".into(), description: String::new() },
        EventBody::CallIntended {
            call: "c".into(),
            step: None,
            attempt: 1,
            tool: "shell".into(),
            params: Default::default(),
            params_hash: "00".into(),
            layer: None,
            idempotency: Idempotency::Layered,
        },
        EventBody::CallRefused {
            call: "c".into(),
            step: None,
            tool: "shell".into(),
            params: Default::default(),
            cause: Cause::Denied,
            error: "no".into(),
        },
        EventBody::CallFinished {
            call: "c".into(),
            step: None,
            status: ToolStatus::Success,
            cause: None,
            error: None,
            output: OutputRef::Stored { hash: "00".into(), size: 9, head: "..".into(), json: false },
            metadata: Default::default(),
            duration: Duration::ZERO,
            usage: None,
            enforced: None,
            changes: None,
        },
        EventBody::CallOutput { call: "c".into(), step: Some("step_1".into()), text: "..".into() },
        EventBody::CallFinished {
            call: "c".into(),
            step: Some("step_1".into()),
            status: ToolStatus::Error,
            cause: Some(Cause::TestFailure),
            error: Some("1 failed".into()),
            output: OutputRef::Inline("..".into()),
            metadata: Default::default(),
            duration: Duration::from_millis(1500),
            usage: Some(Usage::default()),
            enforced: Some(
                [(Control::Seccomp, Enforcement::Active), (Control::Memory, Enforcement::Degraded("sampled".into()))]
                    .into(),
            ),
            changes: Some(changes),
        },
        EventBody::RecoveryTaken {
            step: "step_1".into(),
            cause: Cause::Timeout,
            strategy: "raise_limit".into(),
            detail: "60 s".into(),
        },
        EventBody::LayerNotApplied {
            step: Some("step_1".into()),
            layer: "0190".into(),
            paths: vec!["/srv/a".into()],
            folder: "/state/aside/0190".into(),
            error: "conflict on /srv/a".into(),
        },
        EventBody::StepFinished {
            step: "step_1".into(),
            status: StepStatus::Failed,
            attempts: 2,
            error: None,
            duration: Duration::from_secs(2),
        },
        EventBody::RunFinished { stop_reason: StopReason::Failed, error: None, duration: Duration::from_secs(2) },
    ];
    let schema = schema("event.schema.json");
    for body in bodies {
        let event = Event { version: 1, run: "r".into(), sequence: 0, time: jiff::Timestamp::UNIX_EPOCH, body };
        let mut line = serde_json::to_value(&event).unwrap();
        fits(&schema, &line);
        line.as_object_mut().unwrap().remove("event");
        assert!(!schema.is_valid(&line), "an event without its kind fits");
    }
}
