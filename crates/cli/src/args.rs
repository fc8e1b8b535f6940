//! What was typed, and nothing else: the command line as clap sees it. What it means is decided in
//! [`crate::settings`] and in the subcommand's own file. Longer than its neighbours because it is one table:
//! every flag with the words that `--help` and `docs/reference/cli.md` say of it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::exit_code::RUN_AND_EXEC;

/// Plan tasks, run their steps in a kernel sandbox over private workspace layers, recover, and report.
#[derive(Debug, Parser)]
#[command(name = "agentic", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  agentic run \"read config and run tests\" -c command=\"python -m pytest -q\"
  agentic exec -e 'print(sum(range(10)))'
  agentic doctor

Run `agentic COMMAND --help` for the examples of one command.")]
#[command(after_long_help = RUN_AND_EXEC)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Subcommands,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Run a task or a plan file, step by step, in sandboxed transactions.
    Run(RunArgs),
    /// Show the plan of a task or plan file, and run nothing.
    Plan(PlanArgs),
    /// Run one program in the sandbox, with stdin, stdout, stderr and exit status passed through.
    Exec(Box<ExecArgs>),
    /// List the tools, print their schemas, or call one.
    Tool(ToolArgs),
    /// Replace text in a file, or apply a patch to many: exactly, or say why not.
    Edit(EditArgs),
    /// Run the project's tests with its own runner, and report each: passed, failed, flaky, timed out, crashed, leaky.
    Test(TestArgs),
    /// Rewrite a code base by rules, verify the result in the sandbox, and apply what verifies.
    Migrate(MigrateArgs),
    /// List the runs of the journal, newest first.
    Runs(RunsArgs),
    /// Show one run: its steps, attempts, timings, outputs and recoveries.
    Show(ShowArgs),
    /// Show what a run, or one of its steps, changed.
    Diff(DiffArgs),
    /// Take back what a run did, or what it did after one of its steps.
    Rollback(RollbackArgs),
    /// Go on with a run that was cut off, or that ended before its plan did.
    Resume(ResumeArgs),
    /// Free what undo keeps of old runs.
    Gc(GcArgs),
    /// Try each sandbox control on this host; print runtimes and settings with where each came from.
    Doctor(DoctorArgs),
    /// Print the completion script of a shell.
    Completions(CompletionsArgs),
}

/// The folder a command works in.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// Work in this folder instead of the current one.
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// A task and what is known about it.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// A task in words, an existing file that ends in .yaml, .yml or .json (a plan), or `-` (a plan on stdin).
    #[arg(value_name = "TASK|PLAN.yaml|-")]
    pub(crate) task: String,
    /// A fact that the planner may use (path, content, pattern, command, package, message, old_name, new_name).
    #[arg(short = 'c', long = "context", value_name = "KEY=VALUE", action = ArgAction::Append, value_parser = pair)]
    pub(crate) context: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic run \"read config and run tests\" -c command=\"python -m pytest -q\"
  agentic run \"refactor rename function\" -c old_name=getUserData -c new_name=fetchUserProfile
  agentic run plan.yaml --mode parallel
  agentic plan \"run tests\" --format yaml | agentic run - --yes
  agentic run \"run tests\" --approve 'deny shell command=rm *' --json

Exit status: 0 succeeded, 1 failed, 2 bad input, 3 partly done, 4 denied, 5 limit or budget,
6 the host cannot enforce a control, 130 cancelled.")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    #[command(flatten)]
    pub(crate) conduct: ConductArgs,
    /// Show the plan and run nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Hold back what the steps write until all of them have succeeded, show it, and ask before it is applied as a whole
    /// (with --yes: apply it).
    #[arg(long)]
    pub(crate) staged: bool,
}

/// What steps may do, and where.
#[derive(Debug, Args)]
pub(crate) struct Permissions {
    /// Which isolation tier steps run in. Default: best.
    #[arg(long, value_enum)]
    pub(crate) tier: Option<TierName>,
    /// Answer yes wherever an approval rule asks.
    #[arg(long)]
    pub(crate) yes: bool,
    /// An approval rule: `allow|ask|deny TOOL [path=GLOB] [command=GLOB]`; the last one that matches a call decides.
    #[arg(long = "approve", value_name = "RULE", action = ArgAction::Append)]
    pub(crate) approve: Vec<String>,
    /// Let steps change this protected path of the workspace (git hooks, editor and agent settings, …), or `all`.
    #[arg(long = "allow-persist", value_name = "PATH|all", action = ArgAction::Append)]
    pub(crate) allow_persist: Vec<String>,
}

/// How the steps of a run are conducted and shown.
#[derive(Debug, Args)]
pub(crate) struct ConductArgs {
    /// How steps are scheduled. Default: what the plan says, else sequential; for `resume`: as before.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Stop after this many steps (retries not counted). Default: 50.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_steps: Option<String>,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// Print one JSON object at the end (docs/reference/result.schema.json) and nothing else.
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) json: bool,
    /// Print each event as a line of JSON as it happens (docs/reference/event.schema.json), then the result.
    #[arg(long)]
    pub(crate) jsonl: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic test
  agentic test -j 8 --junit report.xml -- pytest tests/unit
  agentic test --flaky fail --retries 3 --timeout 60
  agentic test --history
  agentic test --history test_login

Without a command the project's files say what to run: pytest, unittest, cargo test, cargo nextest, go test, jest, vitest,
node --test, bats, ctest, make test; several where there are several. A command that is none of these counts as one test.
What fails is run again, each test in a process and sandbox of its own, with AGENTIC_TEST_ATTEMPT set to 2, 3, ….

Exit status: 0 passed, 1 failed (or the runner's report cannot be relied on), 2 bad input, 4 denied, 6 the host cannot
enforce a control, 7 no tests were run, 130 cancelled.")]
pub(crate) struct TestArgs {
    /// The test command, after `--`; with --history: parts of a test's name.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Tests at once. Default: as the project and its runner say.
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: Option<u32>,
    /// How often a test that failed is run again, alone. Default: 2 (for a command that reports no tests: 0).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) retries: Option<u32>,
    /// Seconds that one test may take. Default: 300.
    #[arg(long, value_name = "SECONDS", value_parser = finite)]
    pub(crate) timeout: Option<f64>,
    /// Seconds that all of it may take. Default: 3600.
    #[arg(long, value_name = "SECONDS", value_parser = finite)]
    pub(crate) global_timeout: Option<f64>,
    /// End at the first test that fails.
    #[arg(short = 'x', long)]
    pub(crate) fail_fast: bool,
    /// Whether a test that fails and passes when run again fails the whole. Default: pass.
    #[arg(long, value_enum)]
    pub(crate) flaky: Option<FailOrPass>,
    /// Whether a test that leaves processes running fails the whole. Default: pass.
    #[arg(long, value_enum)]
    pub(crate) leaky: Option<FailOrPass>,
    /// Write the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Keep nothing that the tests write. Default: it is kept, as without a sandbox, also when tests fail.
    #[arg(long)]
    pub(crate) discard: bool,
    /// Show what the journal knows of this workspace's tests: how often each failed or was flaky, and how long it takes.
    #[arg(long, conflicts_with_all = ["junit", "discard", "workers", "retries", "fail_fast"])]
    pub(crate) history: bool,
    /// With --history: how many of the newest runs of tests count.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) runs: usize,
    /// Show every test as it ends.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// Print the report as one JSON object (docs/reference/tests.schema.json) and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic migrate rename.yaml --dry-run
  agentic migrate rename.yaml --verify 'python3 -m unittest'
  agentic migrate rules.yaml --verify 'cargo build' --verify 'cargo test' --bisect
  agentic migrate rules.yaml --verify 'npm test' --bisect --batch 50 --json

A rules file (docs/reference/rules.schema.json):
  rules:
    - identifier: {from: fetch, to: load}                     # whole names, in code only
    - regex: {pattern: 'old\\.example\\.(\\w+)', replacement: 'new.example.$1'}
    - {language: python, pattern: 'self.assertTrue($A == $B)', fix: 'self.assertEqual($A, $B)'}
    - command: ruff format .                                  # a program of yours, run in the sandbox

Files that git ignores, hidden ones and those that are no UTF-8 text are left alone. The tree is verified before the change
and with it; what the commands write on the way is dropped. All changes are applied as one, or none: what somebody else
changed meanwhile is not overwritten. `agentic rollback RUN` takes it back.

Exit status: 0 applied, or nothing to do; 1 it does not verify, or could not be applied; 2 bad input; 3 partly applied
(--bisect); 4 denied; 6 the host cannot enforce a control; 130 cancelled.")]
pub(crate) struct MigrateArgs {
    /// The rules, a YAML file, or `-` for stdin.
    #[arg(value_name = "RULES.yaml|-")]
    pub(crate) rules: PathBuf,
    /// A command that ends with 0 where the tree is as it should be: tests, a build, a linter. All of them have to.
    #[arg(long, value_name = "COMMAND", action = ArgAction::Append)]
    pub(crate) verify: Vec<String>,
    /// When it does not verify with all changes, apply the largest part that does, and name the files that are left.
    #[arg(long, requires = "verify")]
    pub(crate) bisect: bool,
    /// Verify this often at most; then the best part so far is applied. Default: 200.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) max_verifications: Option<u32>,
    /// Verify and apply so many files at a time. When it is cut off, the same command goes on where it was, unless a rule
    /// matches its own result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,
    /// Seconds that each command may take. Default: 600.
    #[arg(long, value_name = "SECONDS", value_parser = finite)]
    pub(crate) timeout: Option<f64>,
    /// Show what would be applied as a unified diff, and apply nothing.
    #[arg(long, conflicts_with = "batch")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// Print the report as one JSON object (docs/reference/migration.schema.json) and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number of seconds that JSON can carry.
fn finite(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| seconds.is_finite())
        .ok_or_else(|| "it is no number of seconds".to_owned())
}

/// What becomes of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOrPass {
    /// It is reported and counted.
    Pass,
    /// It is a failure.
    Fail,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic resume 4f2a
  agentic resume 4f2a --mode parallel --max-steps 200
  agentic resume 4f2a --retry publish

Steps that completed are not done again. A step that was cut off begins with the files as they were before it; one that
may have done something outside the workspace is called again only with --retry. Flags of the run are not remembered:
give again what it was given.

Exit status: as of `agentic run`; 1 when it cannot go on, with the reason.")]
pub(crate) struct ResumeArgs {
    /// The run's id, its first characters, or its last.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) conduct: ConductArgs,
    /// Call this step again although it may have done something outside the workspace when it was cut off.
    #[arg(long, value_name = "STEP", action = ArgAction::Append)]
    pub(crate) retry: Vec<String>,
    /// Go on although plan, tools or files are not what the run left.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic plan \"read config and run tests\"
  agentic plan \"find TODO, then run tests\" --format mermaid
  agentic plan \"run tests\" --format yaml > plan.yaml
  agentic plan plan.yaml --format dot | dot -Tsvg > plan.svg")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// The form it is shown in.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic exec -e 'print(sum(range(10)))'
  agentic exec script.py --timeout 10 --memory 512 -- --verbose input.csv
  echo 'echo hello' | agentic exec --lang bash -
  agentic exec --block-import socket --block-import subprocess untrusted.py
  agentic exec --allow-net pypi.org --allow-net files.pythonhosted.org --lang bash -e 'pip download six'
  agentic exec --view host --lang bash -e 'cargo build'

Exit status: the program's own; 124 timed out, 125 our own error or refusal, 126 not executable,
127 not found, 128+N ended by signal N, 137 memory or disk limit.")]
pub(crate) struct ExecArgs {
    /// The program text: a file, or `-` for stdin.
    #[arg(value_name = "FILE|-", conflicts_with = "code")]
    pub(crate) file: Option<PathBuf>,
    /// The program text itself.
    #[arg(short = 'e', long = "code", value_name = "CODE", allow_hyphen_values = true)]
    pub(crate) code: Option<OsString>,
    /// Its language. Default: by the file's extension or its #! line, else python.
    #[arg(long = "lang", value_enum)]
    pub(crate) language: Option<Language>,
    /// Seconds on the clock. Default: 30.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) timeout: Option<String>,
    /// MB of memory of the whole process tree. Default: 256, in the host view half of this machine's.
    #[arg(long, value_name = "MB", allow_negative_numbers = true)]
    pub(crate) memory: Option<String>,
    /// Processors that the whole process tree runs on. Default: all, up to half of the process limit.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) cpus: Option<String>,
    /// A module that the program may not import.
    #[arg(long = "block-import", value_name = "M", action = ArgAction::Append)]
    pub(crate) block_import: Vec<String>,
    /// One of the only modules that the program may import.
    #[arg(long = "allow-import", value_name = "M", action = ArgAction::Append)]
    pub(crate) allow_import: Vec<String>,
    /// How far the network reaches. Default: none.
    #[arg(long, value_enum)]
    pub(crate) network: Option<NetworkReach>,
    /// A host that may be reached, by HTTP, HTTPS or TCP: HOST[:PORT] (without: 80 and 443), *.HOST for names below it,
    /// =ADDRESS to pin it, =NETWORK/BITS to admit private addresses.
    #[arg(long = "allow-net", value_name = "HOST[:PORT]", action = ArgAction::Append)]
    pub(crate) allow_net: Vec<String>,
    /// A header that the proxy sets and the program never holds: HEADER=[PREFIX ]env:VARIABLE@HOST[/PATH], or file:PATH.
    #[arg(long, value_name = "SECRET", action = ArgAction::Append)]
    pub(crate) secret: Vec<String>,
    /// An allowed host whose TLS the proxy opens, under an authority that only this run trusts.
    #[arg(long = "tls-terminate", value_name = "HOST", action = ArgAction::Append)]
    pub(crate) tls_terminate: Vec<String>,
    /// A file of certificates (PEM) trusted besides the system's where --allow-net is used.
    #[arg(long = "trust-ca", value_name = "FILE")]
    pub(crate) trust_ca: Option<PathBuf>,
    /// MB that may pass the network allow-list, both ways. Default: 1024.
    #[arg(long = "max-net", value_name = "MB", allow_negative_numbers = true)]
    pub(crate) max_net: Option<String>,
    /// Which part of the host is visible. Default: system.
    #[arg(long, value_enum)]
    pub(crate) view: Option<ViewName>,
    /// Which isolation tier it runs in. Default: best.
    #[arg(long, value_enum)]
    pub(crate) tier: Option<TierName>,
    /// Which system calls the program is answered. Default: default.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileName>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Drop what the program wrote in the folder. Default: it is kept when the program ends by itself.
    #[arg(long)]
    pub(crate) discard: bool,
    /// A further host path, read-only.
    #[arg(long = "ro", value_name = "P", action = ArgAction::Append)]
    pub(crate) ro: Vec<PathBuf>,
    /// A host path that is written through: nothing undoes what happens there.
    #[arg(long = "rw", value_name = "P", action = ArgAction::Append)]
    pub(crate) rw: Vec<PathBuf>,
    /// A path that is made absent.
    #[arg(long, value_name = "P", action = ArgAction::Append)]
    pub(crate) hide: Vec<PathBuf>,
    /// An environment variable inside; without `=V` the caller's value is passed on.
    #[arg(long, value_name = "K=V", action = ArgAction::Append)]
    pub(crate) env: Vec<String>,
    /// A file of K=V lines, each an environment variable inside.
    #[arg(long = "env-file", value_name = "F")]
    pub(crate) env_file: Option<PathBuf>,
    /// The interpreter, by path.
    #[arg(long, value_name = "PATH")]
    pub(crate) runtime: Option<PathBuf>,
    /// MB passed on of each output stream; the rest is drained. Default: no cap.
    #[arg(long = "max-output", value_name = "MB", allow_negative_numbers = true)]
    pub(crate) max_output: Option<String>,
    /// Give up this control where the host cannot enforce it (names: `agentic doctor`).
    #[arg(long = "allow-degraded", value_name = "CONTROL", action = ArgAction::Append)]
    pub(crate) allow_degraded: Vec<String>,
    /// Let the program change this protected path of the workspace (git hooks, editor and agent settings, …), or `all`.
    #[arg(long = "allow-persist", value_name = "PATH|all", action = ArgAction::Append)]
    pub(crate) allow_persist: Vec<String>,
    /// Give the program a terminal instead of pipes.
    #[arg(long, conflicts_with = "json")]
    pub(crate) tty: bool,
    /// Print one JSON object at the end, the output in it, instead of passing it through.
    #[arg(long)]
    pub(crate) json: bool,
    /// Arguments of the program.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic tool list
  agentic tool schema --format openai
  agentic tool call search --params '{\"pattern\": \"TODO\", \"file_pattern\": \"*.py\"}'")]
#[command(disable_help_subcommand = true)]
pub(crate) struct ToolArgs {
    #[command(subcommand)]
    pub(crate) command: ToolCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// Names and descriptions.
    #[command(after_help = "Examples:\n  agentic tool list\n  agentic tool list --json")]
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// JSON Schemas, in the shape that a provider expects.
    #[command(after_help = "Examples:\n  agentic tool schema\n  agentic tool schema search --format anthropic")]
    Schema {
        /// Only this tool.
        name: Option<String>,
        /// Whose shape.
        #[arg(long, value_enum, default_value_t = SchemaFormat::Plain)]
        format: SchemaFormat,
    },
    /// One call, checked against the schema, run in the sandbox, committed at once when it succeeds.
    #[command(after_help = "Examples:
  agentic tool call file_read --params '{\"path\": \"README.md\"}'
  agentic tool call shell --params '{\"command\": \"git status\"}' --json
  echo '{\"path\": \"a.txt\", \"content\": \"hi\"}' | agentic tool call file_write --params -

Exit status: 0 succeeded, 1 failed, 2 bad input, 4 denied, 5 limit, 6 the host cannot enforce a control, 130 cancelled.")]
    Call {
        /// The tool.
        name: String,
        /// Its arguments, a JSON object; `-` reads them from stdin.
        #[arg(long, value_name = "JSON", default_value = "{}", allow_hyphen_values = true)]
        params: String,
        /// Let the call change this protected path of the workspace (git hooks, editor and agent settings, …), or `all`.
        #[arg(long = "allow-persist", value_name = "PATH|all", action = ArgAction::Append)]
        allow_persist: Vec<String>,
        /// Print the whole result as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic edit config.py --old 'DEBUG = False' --new 'DEBUG = True'
  agentic edit src/lib.rs --old \"$(cat before.txt)\" --new \"$(cat after.txt)\" --json
  git diff | agentic edit -C ../other --patch -

--old and --new: every occurrence is replaced and the count reported.
--patch: the `*** Begin Patch` envelope or a unified diff, over one file or many, all of it or
nothing; every hunk must fit at exactly one place.
Exit status as of `agentic run`.")]
pub(crate) struct EditArgs {
    /// The file.
    #[arg(required_unless_present = "patch", conflicts_with = "patch")]
    pub(crate) path: Option<PathBuf>,
    /// The text that is there now.
    #[arg(
        long,
        value_name = "A",
        allow_hyphen_values = true,
        required_unless_present = "patch",
        conflicts_with = "patch"
    )]
    pub(crate) old: Option<String>,
    /// The text to put in its place.
    #[arg(
        long,
        value_name = "B",
        allow_hyphen_values = true,
        required_unless_present = "patch",
        conflicts_with = "patch"
    )]
    pub(crate) new: Option<String>,
    /// Apply this patch instead; `-` is standard input.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) patch: Option<PathBuf>,
    /// Let the patch change this protected path of the workspace (git hooks, editor and agent settings, …), or `all`.
    #[arg(long = "allow-persist", value_name = "PATH|all", action = ArgAction::Append, requires = "patch")]
    pub(crate) allow_persist: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  agentic runs\n  agentic runs --limit 100 --json | jq -r '.[0].id'")]
pub(crate) struct RunsArgs {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// As a JSON array, each with its `id`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic show 4f2a
  agentic show \"$(agentic runs --json | jq -r '.[0].id')\" --json")]
pub(crate) struct ShowArgs {
    /// The run's id, its first characters, or its last.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Its events as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic diff 4f2a
  agentic diff 4f2a step_2 --stat
  agentic diff 4f2a | git apply --reverse --check

Bytes that somebody changed since, and that nothing kept, are not shown.")]
pub(crate) struct DiffArgs {
    /// The run's id, its first characters, or its last.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// One of its steps; all of them otherwise.
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Count lines by file.
    #[arg(long)]
    pub(crate) stat: bool,
    /// The differences as a JSON array.
    #[arg(long, conflicts_with = "stat")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic rollback 4f2a --dry-run
  agentic rollback 4f2a --to step_2
  agentic rollback 4f2a src/app.py

What somebody else changed since is not overwritten: nothing is done, and the paths are listed. With --force it is
overwritten and kept. A rollback is a run of its own, and is rolled back like one.

Exit status: 0 rolled back (or would be), 1 refused or failed, 2 bad input.")]
pub(crate) struct RollbackArgs {
    /// The run's id, its first characters, or its last.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Only these paths and what lies beneath them.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Back to where this step ended; to before the run otherwise.
    #[arg(long, value_name = "STEP")]
    pub(crate) to: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Overwrite what was changed since by somebody else, and keep it first.
    #[arg(long)]
    pub(crate) force: bool,
    /// What was done as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic gc
  agentic gc --max-size 500 --dry-run

What is freed first are the originals of the oldest calls: those cannot be rolled back any more. Events and outputs of
the journal stay, and so does all that a run without an end needs. A run does the same once an
hour.")]
pub(crate) struct GcArgs {
    /// Megabytes that the originals and the journal's large outputs may take.
    #[arg(long, value_name = "MB", default_value_t = crate::gc::MOST)]
    pub(crate) max_size: u64,
    /// Say what would be freed, and free nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// What was freed as one JSON object: bytes `before` and `after`, `records`, `entries` and `layers` that are gone.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  agentic doctor\n  agentic doctor --json | jq .controls\n  agentic doctor --attack --group kernel

Exit status: 0 every control can be enforced, 6 some cannot.
With --attack: 0 nothing got through and nothing was inconclusive, 130 stopped by Ctrl-C before the end, else 6."
)]
pub(crate) struct DoctorArgs {
    /// As one JSON object (docs/reference/doctor.schema.json).
    #[arg(long)]
    pub(crate) json: bool,
    /// As root: install an AppArmor profile that lets a root-owned copy of this program make user namespaces.
    #[arg(long, conflicts_with = "json")]
    pub(crate) fix: bool,
    /// With --fix: say what would be done, and do nothing.
    #[arg(long, requires = "fix")]
    pub(crate) dry_run: bool,
    /// With --fix: the folder that stands for `/`. For trials.
    #[arg(long, requires = "fix", hide = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Run the attack corpus against the sandbox of this host instead: a minute or more.
    #[arg(long)]
    pub(crate) attack: bool,
    /// Of the attack corpus one group: kernel, network, cross-run, python, resources, reward-hacking.
    #[arg(long, value_name = "GROUP", requires = "attack")]
    pub(crate) group: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  agentic completions bash > ~/.local/share/bash-completion/completions/agentic
  agentic completions fish > ~/.config/fish/completions/agentic.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// How steps are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// One after the other.
    Sequential,
    /// Independent steps at once.
    Parallel,
    /// Each step is shown and waits for yes, no, edit or all.
    Interactive,
}

/// The forms a plan is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people.
    Text,
    /// `ExecutionPlan.to_dict()`.
    Json,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// A plan file that `agentic run` accepts.
    Yaml,
}

/// Whose shape a tool schema has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// OpenAI function calling.
    Openai,
    /// Anthropic tool use.
    Anthropic,
    /// The Model Context Protocol.
    Mcp,
    /// Name, description, parameters.
    Plain,
}

/// The languages that have a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// CPython.
    Python,
    /// GNU Bash.
    Bash,
    /// Node.js.
    Javascript,
}

/// How far the network reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkReach {
    /// An empty network whose loopback is its own.
    None,
    /// The host's network.
    Host,
}

/// An isolation tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierName {
    /// a where this host lets us, else b.
    Best,
    /// Namespaces and all the rest, or a refusal.
    A,
    /// Landlock, the system-call filter and limits, without namespaces.
    B,
}

impl TierName {
    /// As the settings have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// Which system calls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// Pure code in one process: threads and files, but no exec, no child, no socket.
    Strict,
    /// Programs may start programs and open sockets in their own network.
    Default,
}

/// Which part of the host is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ViewName {
    /// System folders, the runtime, the workspace.
    System,
    /// And the toolchain folders of the home folder.
    Host,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, for example command=\"pytest -q\"".to_owned()),
    }
}
