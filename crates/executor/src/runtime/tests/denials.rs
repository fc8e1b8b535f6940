//! Messages of programs against the policy they were under.

use agentic_sandbox::{Captured, Certainty, Closed, Workspace};

use super::*;

fn output(status: i32, stderr: &str) -> Output {
    let stderr = Captured { head: stderr.into(), total: stderr.len() as u64, ..Captured::default() };
    Output {
        reason: ExitReason::Exited(status),
        stdout: Captured::default(),
        stderr,
        usage: Default::default(),
        limits_hit: Vec::new(),
        enforced: Default::default(),
        denials: Vec::new(),
        network: None,
        left: Vec::new(),
    }
}

fn policy() -> Policy {
    Policy {
        workspaces: vec![Workspace { path: "/w".into(), source: Source::Copy { dir: "/state/copy".into() } }],
        read_only: vec!["/data".into()],
        read_write: vec!["/out".into()],
        hide: vec!["/w/.env".into(), "/data/secret".into()],
        home: Some("/home/user".into()),
        ..Policy::default()
    }
}

fn told(policy: &Policy, stderr: &str) -> Vec<Denial> {
    let imports = ImportPolicy { allowed: None, blocked: vec!["socket".into()] };
    let found = inferred(&output(1, stderr), Under { policy, imports: &imports, dir: Path::new("/w/sub") });
    // A reader who has no command line finds what to change as well.
    const FIELDS: [&str; 6] = ["allow_net", "blocked_imports", "dotenv=", ", hide)", ", read_only)", ", read_write)"];
    for how in found.iter().filter_map(|denial| denial.how_to_allow.as_ref()).filter(|how| how.contains("--")) {
        assert!(FIELDS.iter().any(|field| how.contains(field)), "{how}");
    }
    found
}

fn rules(policy: &Policy, stderr: &str) -> Vec<(Refuser, String, String)> {
    told(policy, stderr).into_iter().map(|denial| (denial.control, denial.rule, denial.object)).collect()
}

fn view(rule: &str, path: &str) -> Vec<(Refuser, String, String)> {
    vec![(Refuser::View, rule.to_owned(), path.to_owned())]
}

#[test]
fn every_form_compiles() {
    assert_eq!(COMPILED.paths.len(), FORMS.len());
    assert!(COMPILED.network.is_some() && COMPILED.import.is_some() && COMPILED.descriptors.is_some());
    assert!(COMPILED.file_size.is_some());
}

#[test]
fn a_path_outside_the_view_is_told_in_each_languages_words() {
    for (stderr, path) in [
        ("FileNotFoundError: [Errno 2] No such file or directory: '/srv/a b.csv'", "/srv/a b.csv"),
        ("Error: ENOENT: no such file or directory, open '/srv/x'", "/srv/x"),
        ("cat: /srv/x: No such file or directory", "/srv/x"),
        ("ls: cannot access '/srv/x': No such file or directory", "/srv/x"),
        ("bash: line 1: /srv/x: No such file or directory", "/srv/x"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '../../srv/x'", "/srv/x"),
    ] {
        assert_eq!(rules(&policy(), stderr), view("not in the view", path), "{stderr}");
    }
    let home = "FileNotFoundError: [Errno 2] No such file or directory: '/home/user/.ssh/id'";
    assert_eq!(rules(&policy(), home), view("home is an empty folder inside", "/home/user/.ssh/id"));
    let denial = &told(&policy(), home)[0];
    assert_eq!((denial.certainty, denial.count), (Certainty::Inferred, 1));
    assert!(denial.how_to_allow.as_ref().unwrap().contains("--ro /home/user/.ssh/id"), "{denial}");
}

#[test]
fn what_is_missing_where_the_view_shows_everything_is_no_denial() {
    for path in
        ["/w/missing", "missing", "/usr/lib/missing", "/data/missing", "/out/missing", "/tmp/missing", "/proc/9/x"]
    {
        let stderr = format!("FileNotFoundError: [Errno 2] No such file or directory: '{path}'");
        assert_eq!(told(&policy(), &stderr), [], "{path}");
    }
    assert_eq!(told(&policy(), "ValueError: /srv/x"), []);
    // A run that succeeded was refused nothing that mattered.
    let imports = ImportPolicy::default();
    let under = Under { policy: &policy(), imports: &imports, dir: Path::new("/w") };
    assert_eq!(inferred(&output(0, "cat: /srv/x: No such file or directory"), under), []);
}

#[test]
fn hidden_paths_are_told_as_hidden() {
    let absent = |path: &str| format!("FileNotFoundError: [Errno 2] No such file or directory: '{path}'");
    assert_eq!(rules(&policy(), &absent("/w/.env")), view("dotenv files are hidden", "/w/.env"));
    assert_eq!(rules(&policy(), &absent("../.env")), view("dotenv files are hidden", "/w/.env"));
    assert_eq!(rules(&policy(), &absent("/data/secret")), view("hidden by name", "/data/secret"));
}

#[test]
fn what_takes_no_writes_is_told_where_the_view_makes_it_so() {
    for (stderr, path) in [
        ("OSError: [Errno 30] Read-only file system: '/usr/x'", "/usr/x"),
        ("PermissionError: [Errno 13] Permission denied: '/data/x'", "/data/x"),
        ("Error: EROFS: read-only file system, open '/data/x'", "/data/x"),
        ("touch: cannot touch '/data/x': Read-only file system", "/data/x"),
    ] {
        assert_eq!(rules(&policy(), stderr), view("read-only in the view", path), "{stderr}");
    }
    for path in ["/w/x", "/out/x"] {
        assert_eq!(told(&policy(), &format!("PermissionError: [Errno 13] Permission denied: '{path}'")), [], "{path}");
    }
    let mut reading = policy();
    reading.workspaces[0].source = Source::ReadOnly;
    let stderr = "OSError: [Errno 30] Read-only file system: '/w/x'";
    assert_eq!(rules(&reading, stderr), view("the workspace is read-only here", "/w/x"));
}

#[test]
fn a_network_that_is_not_there_is_told_and_one_that_is_there_is_not() {
    let stderr = "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>";
    let found = told(&policy(), stderr);
    assert_eq!(
        (found[0].control, found[0].rule.as_str(), found[0].object.as_str()),
        (Refuser::Network, "network: none", stderr)
    );
    assert!(found[0].how_to_allow.as_ref().unwrap().contains("--network host"));
    assert_eq!(told(&Policy { network: Network::Host, ..policy() }, stderr), []);
    // Without sockets the filter has told it, exactly.
    assert_eq!(told(&Policy { closed: Closed { inet: true, ..Closed::default() }, ..policy() }, stderr), []);
}

#[test]
fn limits_that_are_told_by_an_error_number_alone_name_the_setting_of_their_view() {
    for said in
        ["mv: cannot move 'huge' to 'huger': File too large", "OSError: [Errno 27] File too large", "Error: EFBIG: x"]
    {
        let denials = told(&policy(), said);
        let [denial] = &*denials else { panic!("{said}: {denials:?}") };
        assert_eq!((denial.control, &*denial.object), (Refuser::Limits, "the size of a file"));
        assert!(denial.how_to_allow.as_ref().unwrap().contains("(sandbox.limits.file_size, max_file_size_mb)"));
    }
    let host = Policy { view: View::Host, ..policy() };
    let denials = told(&host, "bash: /dev/null: Too many open files");
    assert!(denials[0].how_to_allow.as_ref().unwrap().contains("sandbox.host_limits.open_files"), "{denials:?}");
    assert_eq!(told(&policy(), "the file is too large for me"), []);
}

#[test]
fn a_blocked_import_is_exact_and_only_what_the_policy_blocks() {
    let found = told(&policy(), "ImportError: Blocked import: 'socket' (…)\nImportError: Blocked import: 'json'");
    assert_eq!(found.len(), 1, "anybody can print the words: {found:?}");
    assert_eq!(
        (found[0].control, found[0].object.as_str(), found[0].certainty),
        (Refuser::Imports, "socket", Certainty::Exact)
    );
}

#[test]
fn a_program_cannot_make_the_list_long() {
    let many: String = (0..500).map(|n| format!("cat: /srv/{n}: No such file or directory\n")).collect();
    let found = told(&policy(), &many);
    assert_eq!(found.len(), MOST_INFERRED);
    assert_eq!(found[0].object, "/srv/499", "the last is most likely what it failed of");
}

#[test]
fn what_the_result_tells_of_a_path_is_not_guessed_again() {
    let stderr = "bash: /usr/bin/ls: Operation not permitted";
    let (policy, imports) = (policy(), ImportPolicy::default());
    let under = Under { policy: &policy, imports: &imports, dir: Path::new("/w") };
    let mut output = output(126, stderr);
    assert_eq!(inferred(&output, under).len(), 1);
    output.denials =
        vec![Denial::exact(Refuser::Seccomp, "no program is started after the first", "exec of /usr/bin/ls", None)];
    assert_eq!(inferred(&output, under), []);
}
