//! Which shell commands the lists let through, and which spellings do not get around them.

use super::*;

fn blocked(command: &str) -> bool {
    let rules: Vec<String> = BLOCKED_BY_DEFAULT.iter().map(|rule| (*rule).to_owned()).collect();
    judge(command, None, &rules).is_err()
}
fn allowed(command: &str) -> bool {
    let rules = ["ls".to_owned(), "echo".to_owned(), "git status".to_owned()];
    judge(command, Some(&rules), &[]).is_ok()
}

#[test]
fn default_rules_mean_commands_not_substrings() {
    for command in [
        "rm -rf /",
        "rm -fr /",
        "rm -r -f /",
        "rm --recursive --force //",
        "rm -rf /*",
        "rm -rf --no-preserve-root /",
        "cd x && rm -rf /",
        "(rm -rf /)",
        "sudo rm -rf /",
        "sh -c 'rm -rf /'",
        "sudo bash -c \"rm -rf /\"",
        "echo $(rm -rf /)",
        "echo `rm -rf /`",
        "eval rm -rf /",
        "r\\m -rf /",
        "'rm' -rf \"/\"",
        "/bin/rm -rf /",
        "if true; then rm -rf /; fi",
        "f() { rm -rf /; }; f",
        "mkfs /dev/sda",
        "mkfs.ext4 /dev/sda",
        "dd if=/dev/zero of=/dev/sda",
        "dd of=x if=/dev/zero",
        "true | dd if=/dev/zero",
        "rm -rf /tmp/..",
        "case x in x) rm -rf /;; esac",
        "while true; do rm -rf /; done",
        "cat <(rm -rf /)",
        "env A=1 rm -rf /",
    ] {
        assert!(blocked(command), "{command} should be blocked");
    }
    for command in [
        "rm -rf /tmp/x",
        "rm -rf ./build",
        "rm /",
        "echo 'rm -rf /'",
        "echo rm -rf /",
        "grep 'mkfs' file",
        "ls mkfs",
        "git commit -m 'rm -rf /'",
        "# rm -rf /",
        "echo dd if=",
        "make",
    ] {
        assert!(!blocked(command), "{command} should pass");
    }
}

#[test]
fn under_an_allow_list_every_simple_command_must_match() {
    for command in
        ["ls", "ls -la /tmp", "echo hi; ls", "git status -s", "ls | echo $HOME", "for f in *; do echo $f; done"]
    {
        assert!(allowed(command), "{command} should pass: {:?}", judge(command, Some(&["ls".into()]), &[]));
    }
    for command in [
        "cat x",
        "ls; cat x",
        "ls && rm x",
        "ls | sh",
        "echo $(cat x)",
        "echo `cat x`",
        "echo \"$(cat x)\"",
        "git push",
        "/tmp/ls",
        "$CMD",
        "ls ${x:-$(cat y)}",
        "ls <(cat x)",
        "PATH=/tmp ls",
        "echo $((a[$(cat x)]))",
        "ls (",
        "echo 'x",
        "cat <<E\n$(id)\nE",
        "lsx",
        "f() { cat x; }; ls",
        "((((((((((((((((ls))))))))))))))))",
        "git",
    ] {
        assert!(!allowed(command), "{command} should be refused");
    }
}

#[test]
fn blocked_beats_allowed() {
    let rules = ["rm".to_owned()];
    assert!(judge("rm -rf x", Some(&rules), &["rm -rf /".into()]).is_ok());
    let error = judge("rm -rf /", Some(&rules), &["rm -rf /".into()]).unwrap_err();
    assert!(error.contains("rm -rf /"), "{error}");
}

#[test]
fn hostile_nesting_is_answered_at_once() {
    let start = std::time::Instant::now();
    for text in ["((", "$(", "{ ", "`", "$((", "\"$(", "if ", "a[", "${x:-", "<<E\n"] {
        let command = text.repeat(20_000);
        assert!(judge(&command, Some(&["ls".into()]), &[]).is_err(), "{text}");
        let _ = judge(&command, None, &["rm -rf /".into()]);
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}
