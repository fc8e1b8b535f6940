//! Somebody else works in the folder while a program runs: every byte of both survives, or the run ends as a
//! conflict that names the path, with the folder as the other left it.

mod scene;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use scene::Scene;

/// What a run does, then what another program does before the run ends.
struct Meeting {
    name: &'static str,
    /// Shell text that the sandboxed program runs before it waits.
    step: &'static str,
    other: fn(&Path),
    /// The path that the conflict names; `None` where both must survive.
    conflict: Option<&'static str>,
    /// What must be there afterwards: path and content, `None` for absent.
    after: &'static [(&'static str, Option<&'static str>)],
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

const MEETINGS: &[Meeting] = &[
    Meeting {
        name: "another file",
        step: "echo step > file; echo new > made; rm gone",
        other: |folder| write(folder, "unrelated", "theirs\n"),
        conflict: None,
        after: &[
            ("file", Some("step\n")),
            ("made", Some("new\n")),
            ("gone", None),
            ("unrelated", Some("theirs\n")),
            ("one", Some("linked\n")),
        ],
    },
    Meeting {
        name: "the same file, edited in place",
        step: "echo step > file",
        other: |folder| write(folder, "file", "theirs\n"),
        conflict: Some("file"),
        after: &[("file", Some("theirs\n"))],
    },
    Meeting {
        name: "the same file, replaced",
        step: "echo step >> file; echo new > made",
        other: |folder| {
            write(folder, "file.tmp", "theirs\n");
            std::fs::rename(folder.join("file.tmp"), folder.join("file")).unwrap();
        },
        conflict: Some("file"),
        // Nothing of the step is there when part of it cannot be.
        after: &[("file", Some("theirs\n")), ("made", None)],
    },
    Meeting {
        name: "the same file, deleted",
        step: "echo step > file",
        other: |folder| std::fs::remove_file(folder.join("file")).unwrap(),
        conflict: Some("file"),
        after: &[("file", None)],
    },
    Meeting {
        name: "deleted here, edited there",
        step: "rm file",
        other: |folder| write(folder, "file", "theirs\n"),
        conflict: Some("file"),
        after: &[("file", Some("theirs\n"))],
    },
    Meeting {
        name: "created by both",
        step: "echo step > made",
        other: |folder| write(folder, "made", "theirs\n"),
        conflict: Some("made"),
        after: &[("made", Some("theirs\n"))],
    },
    Meeting {
        name: "a folder renamed under an edit",
        step: "echo step > folder/inner",
        other: |folder| std::fs::rename(folder.join("folder"), folder.join("moved")).unwrap(),
        conflict: Some("folder"),
        after: &[("moved/inner", Some("inner\n")), ("folder", None)],
    },
    Meeting {
        name: "a folder deleted here, filled there",
        step: "rm -r folder",
        other: |folder| write(folder, "folder/theirs", "theirs\n"),
        conflict: Some("folder"),
        after: &[("folder/theirs", Some("theirs\n")), ("folder/inner", Some("inner\n"))],
    },
    Meeting {
        name: "one name of a linked pair here, the other there",
        step: "echo step > one",
        other: |folder| write(folder, "two", "theirs\n"),
        conflict: Some("one"),
        after: &[("one", Some("theirs\n")), ("two", Some("theirs\n"))],
    },
];

#[test]
fn every_byte_of_both_survives_or_the_conflict_is_named() {
    for meeting in MEETINGS {
        let scene = Scene::new();
        let folder = scene.work("");
        scene.file("file", "before\n").file("gone", "gone\n").file("folder/inner", "inner\n").file("one", "linked\n");
        std::fs::hard_link(folder.join("one"), folder.join("two")).unwrap();
        let script = format!("{}; echo ready; read line", meeting.step);
        let mut command = scene.command(["exec", "--lang", "bash", "-e", &script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            panic!("{}: {line:?} {:?}", meeting.name, child.wait_with_output());
        }
        (meeting.other)(&folder);
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"go\n").unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match meeting.conflict {
            None => assert!(output.status.success(), "{}: {said}", meeting.name),
            Some(path) => {
                assert!(!output.status.success(), "{}: no conflict was told", meeting.name);
                let named = folder.join(path);
                assert!(
                    said.contains("conflict") && said.contains(named.to_str().unwrap()),
                    "{}: {said}",
                    meeting.name
                );
            }
        }
        for (path, content) in meeting.after {
            let found = std::fs::read_to_string(folder.join(path)).ok();
            if folder.join(path).is_dir() {
                panic!("{}: {path} is there", meeting.name);
            }
            assert_eq!(found.as_deref(), *content, "{}: {path}; {said}", meeting.name);
        }
    }
}
