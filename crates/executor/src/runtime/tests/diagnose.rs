//! What a failure is taken for, from typed results, exit statuses and the messages of each runtime.

use agentic_sandbox::{Captured, Enforced, ExitReason, LimitKind, Output, Usage};

use crate::cause::Cause;
use crate::runtime::Language;
use crate::runtime::diagnose::{Circumstances, Diagnosis, diagnose};

fn output(reason: ExitReason, stdout: &str, stderr: &str) -> Output {
    let captured = |text: &str| Captured { head: text.into(), total: text.len() as u64, ..Captured::default() };
    Output {
        reason,
        stdout: captured(stdout),
        stderr: captured(stderr),
        usage: Usage::default(),
        limits_hit: Vec::new(),
        denials: Vec::new(),
        network: None,
        left: Vec::new(),
        enforced: Enforced::new(),
    }
}

/// Status, standard error, the cause, and one fact.
type Row = (i32, &'static str, Cause, Option<(&'static str, &'static str)>);

fn exited(status: i32, stdout: &str, stderr: &str) -> Diagnosis {
    let under = Circumstances { offline: true, ..Circumstances::default() };
    diagnose(&output(ExitReason::Exited(status), stdout, stderr), under).unwrap()
}

#[test]
fn typed_results_come_before_any_message() {
    let said = "ModuleNotFoundError: No module named 'x'\n";
    for (reason, cause) in [
        (ExitReason::TimedOut, Cause::Timeout),
        (ExitReason::MemoryExceeded, Cause::OutOfMemory),
        (ExitReason::DiskExceeded, Cause::DiskFull),
        (ExitReason::Cancelled, Cause::Cancelled),
        (ExitReason::Signalled(11), Cause::Crash),
    ] {
        assert_eq!(diagnose(&output(reason, "", said), Circumstances::default()).unwrap().cause, cause);
    }
    assert_eq!(diagnose(&output(ExitReason::Exited(0), "1 failed in 2s", said), Circumstances::default()), None);
}

#[test]
fn every_message_has_its_cause() {
    let rows: &[Row] = &[
        (
            1,
            "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nImportError: Blocked import: 'subprocess' is refused by blocked_imports (subprocess)",
            Cause::BlockedImport,
            Some(("module", "subprocess")),
        ),
        (1, "ModuleNotFoundError: No module named 'yaml'", Cause::MissingModule, Some(("module", "yaml"))),
        (1, "/usr/bin/python3: No module named pytest", Cause::MissingModule, Some(("module", "pytest"))),
        (1, "/w/.venv/bin/python3.12: No module named pytest", Cause::MissingModule, Some(("module", "pytest"))),
        (1, "Error: Cannot find module 'express'\nRequire stack:", Cause::MissingModule, Some(("module", "express"))),
        (
            1,
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'chalk' imported from /w/a.mjs",
            Cause::MissingModule,
            Some(("module", "chalk")),
        ),
        (1, "Error: Cannot find module '/w/missing.js'", Cause::NotFound, Some(("path", "/w/missing.js"))),
        (
            1,
            "  File \"<string>\", line 1\n    x = (\n        ^\nSyntaxError: '(' was never closed",
            Cause::SyntaxError,
            None,
        ),
        (1, "IndentationError: unexpected indent", Cause::SyntaxError, None),
        (1, "[eval]:1\nx = (\n\nSyntaxError: Unexpected end of input", Cause::SyntaxError, None),
        (2, "bash: line 1: syntax error near unexpected token `)'", Cause::SyntaxError, None),
        (2, "bash: -c: line 2: syntax error: unexpected end of file", Cause::SyntaxError, None),
        (2, "sh: 1: Syntax error: \"(\" unexpected", Cause::SyntaxError, None),
        (1, "Traceback (most recent call last):\nMemoryError", Cause::OutOfMemory, None),
        (
            134,
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            Cause::OutOfMemory,
            None,
        ),
        (1, "fork: Cannot allocate memory", Cause::OutOfMemory, None),
        (127, "bash: line 1: frobnicate: command not found", Cause::MissingCommand, Some(("command", "frobnicate"))),
        (1, "bash: frobnicate: command not found", Cause::MissingCommand, Some(("command", "frobnicate"))),
        (127, "sh: 1: frobnicate: not found", Cause::MissingCommand, Some(("command", "frobnicate"))),
        (
            127,
            "/usr/bin/env: 'frobnicate': No such file or directory",
            Cause::MissingCommand,
            Some(("command", "frobnicate")),
        ),
        (2, "make: frobnicate: No such file or directory", Cause::MissingCommand, Some(("command", "frobnicate"))),
        (101, "error: no such command: `nextest`", Cause::MissingCommand, Some(("command", "nextest"))),
        (127, "", Cause::MissingCommand, None),
        (126, "", Cause::PermissionDenied, None),
        (
            1,
            "FileNotFoundError: [Errno 2] No such file or directory: 'a.txt'",
            Cause::NotFound,
            Some(("path", "a.txt")),
        ),
        (
            2,
            "python3: can't open file '/w/a.py': [Errno 2] No such file or directory",
            Cause::NotFound,
            Some(("path", "/w/a.py")),
        ),
        (1, "Error: ENOENT: no such file or directory, open 'a.txt'", Cause::NotFound, Some(("path", "a.txt"))),
        (1, "cat: a.txt: No such file or directory", Cause::NotFound, Some(("path", "a.txt"))),
        (2, "ls: cannot access 'a.txt': No such file or directory", Cause::NotFound, Some(("path", "a.txt"))),
        (
            1,
            "PermissionError: [Errno 13] Permission denied: '/etc/x'",
            Cause::PermissionDenied,
            Some(("path", "/etc/x")),
        ),
        (1, "bash: line 1: ./x: Permission denied", Cause::PermissionDenied, None),
        (1, "touch: cannot touch '/usr/x': Read-only file system", Cause::PermissionDenied, None),
        (1, "OSError: [Errno 18] Invalid cross-device link: 'a' -> 'b'", Cause::CrossDevice, None),
        (1, "Error: EXDEV: cross-device link not permitted, rename 'a' -> 'b'", Cause::CrossDevice, None),
        (1, "mv: cannot move 'a' to 'b': Invalid cross-device link", Cause::CrossDevice, None),
        (1, "OSError: [Errno 28] No space left on device", Cause::DiskFull, None),
        (1, "Error: ENOSPC: no space left on device, write", Cause::DiskFull, None),
        (6, "curl: (6) Could not resolve host: example.org", Cause::NetworkDenied, None),
        (1, "socket.gaierror: [Errno -3] Temporary failure in name resolution", Cause::NetworkDenied, None),
        (1, "OSError: [Errno 101] Network is unreachable", Cause::NetworkDenied, None),
        (1, "OSError: [Errno 97] Address family not supported by protocol", Cause::NetworkDenied, None),
        (1, "Error: getaddrinfo EAI_AGAIN registry.example", Cause::NetworkDenied, None),
        (
            101,
            "error: no matching package named `rstest` found\nAs a reminder, you're using offline mode (--offline) which",
            Cause::NetworkDenied,
            None,
        ),
        (1, "error: externally-managed-environment\n\nhint: See PEP 668", Cause::PermissionDenied, None),
        (
            101,
            "error: failed to get `x`\nCaused by:\n  attempting to make an HTTP request, but --offline was specified",
            Cause::NetworkDenied,
            None,
        ),
        (139, "Segmentation fault", Cause::Crash, Some(("signal", "11"))),
        (3, "something went wrong", Cause::Failed, None),
        (1, "ValueError: 1", Cause::Failed, None),
    ];
    for (status, stderr, cause, fact) in rows {
        let diagnosis = exited(*status, "", stderr);
        assert_eq!(diagnosis.cause, *cause, "{stderr}");
        if let Some((key, value)) = fact {
            let told = diagnosis.facts.get(*key).map(|told| told.to_string().trim_matches('"').to_owned());
            assert_eq!(told.as_deref(), Some(*value), "{stderr}");
        }
        // The same bytes with a status of 0 are no failure at all.
        assert_eq!(diagnose(&output(ExitReason::Exited(0), "", stderr), Circumstances::default()), None);
    }
}

#[test]
fn failed_tests_are_told_from_tests_that_could_not_run() {
    for stdout in [
        "=================== 1 failed, 2 passed in 0.12s ===================",
        "FAILED test_a.py::test_b - ModuleNotFoundError: No module named 'x'\n1 failed, 1 passed in 0.01s",
        "Ran 3 tests in 0.001s\n\nFAILED (failures=1)",
        "FAILED (skipped=1, errors=2)",
        "test result: FAILED. 1 passed; 1 failed; 0 ignored",
        "Tests:       1 failed, 4 passed, 5 total",
        "      Tests  1 failed | 4 passed (5)",
        "  2 passing (5ms)\n  1 failing",
        "# pass 1\n# fail 1",
        "\u{2139} fail 2",
        "--- FAIL: TestX (0.00s)",
        "75% tests passed, 1 tests failed out of 4",
        "ok 1 - a\nnot ok 2 - b",
        "Tests run: 3, Failures: 1, Errors: 0, Skipped: 0",
    ] {
        assert_eq!(exited(1, stdout, "").cause, Cause::TestFailure, "{stdout}");
        assert_eq!(exited(1, "", stdout).cause, Cause::TestFailure, "on stderr: {stdout}");
    }
    let collecting = "E   ModuleNotFoundError: No module named 'numpy'\n1 error in 0.05s";
    assert_eq!(exited(2, collecting, "").cause, Cause::MissingModule);
    let moving = "E   OSError: [Errno 18] Invalid cross-device link\n1 failed in 0.05s";
    assert_eq!(exited(1, moving, "").cause, Cause::CrossDevice);
    for stdout in ["5 passed, 0 failed", "test result: ok. 1 passed; 0 failed", "# fail 0", "nothing failed"] {
        assert_eq!(exited(1, stdout, "").cause, Cause::Failed, "{stdout}");
    }
}

#[test]
fn network_messages_count_only_where_the_network_is_closed() {
    let output = output(ExitReason::Exited(6), "", "curl: (6) Could not resolve host: nope.invalid");
    let open = diagnose(&output, Circumstances::default()).unwrap();
    assert_eq!(open.cause, Cause::Failed);
    let closed = Circumstances { offline: true, ..Circumstances::default() };
    assert_eq!(diagnose(&output, closed).unwrap().cause, Cause::NetworkDenied);
    let policy = Circumstances { closes_inet: true, ..Circumstances::default() };
    assert!(diagnose(&output, policy).unwrap().facts["hint"].as_str().unwrap().contains("import policy"));
}

#[test]
fn the_last_message_is_the_one_that_ended_it() {
    let stderr = "FileNotFoundError: [Errno 2] No such file or directory: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nFileNotFoundError: [Errno 2] No such file or directory: 'b'\n";
    let diagnosis = exited(1, "", stderr);
    assert_eq!(diagnosis.facts["path"], "b");
    assert!(diagnosis.line.unwrap().ends_with("'b'"));
}

#[test]
fn limits_that_the_program_saw_explain_a_silent_failure() {
    let mut out = output(ExitReason::Exited(1), "", "write failed");
    out.limits_hit.push(LimitKind::FileSize);
    assert_eq!(diagnose(&out, Circumstances::default()).unwrap().cause, Cause::DiskFull);
    // Only a shell passes a child's signal on as a status.
    let python = Circumstances { language: Some(Language::Python), ..Circumstances::default() };
    assert_eq!(diagnose(&output(ExitReason::Exited(139), "", ""), python).unwrap().cause, Cause::Failed);
}

#[test]
fn every_form_compiles() {
    use crate::runtime::diagnose::forms;
    for form in forms() {
        regex::Regex::new(&format!("(?m){form}")).unwrap_or_else(|error| panic!("{form}: {error}"));
    }
}
