//! What the servers of the tests publish, each of the same small size: a Python package, an npm package, a git repository.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The file of the Python package called `greeting`.
pub(crate) const WHEEL: &str = "greeting-1.0-py3-none-any.whl";

/// Runs a program of the host, for what a test needs; what it prints.
pub(crate) fn prepare(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The wheel in a folder: `greeting.WORD` is `word`.
pub(crate) fn wheel(folder: &Path, word: &str) {
    const MAKE: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('greeting.py', 'WORD = %r\n' % sys.argv[2])
    about = 'greeting-1.0.dist-info/'
    wheel.writestr(about + 'METADATA', 'Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n')
    wheel.writestr(about + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(about + 'RECORD', 'greeting.py,,\n' + ''.join(about + n + ',,\n' for n in ('METADATA', 'WHEEL', 'RECORD')))
"#;
    std::fs::create_dir_all(folder).unwrap();
    prepare(Command::new("python3").args(["-c", MAKE]).arg(folder.join(WHEEL)).arg(word));
}

/// An index of that package alone, in the form of PEP 503: its page beneath `simple` links to the wheel at `link`.
pub(crate) fn index(folder: &Path, link: &str) {
    let page = folder.join("simple/greeting");
    std::fs::create_dir_all(&page).unwrap();
    std::fs::write(page.join("index.html"), format!("<a href=\"{link}\">{WHEEL}</a>\n")).unwrap();
}

/// The npm package `greeting`, which is the string `word`, packed in a folder.
pub(crate) fn tarball(folder: &Path, word: &str) -> PathBuf {
    let (made, tarball) = (folder.join("made"), folder.join("greeting-1.0.0.tgz"));
    let package = made.join("package");
    std::fs::create_dir_all(&package).unwrap();
    let about = r#"{"name": "greeting", "version": "1.0.0", "main": "index.js"}"#;
    std::fs::write(package.join("package.json"), about).unwrap();
    std::fs::write(package.join("index.js"), format!("module.exports = '{word}'\n")).unwrap();
    prepare(Command::new("tar").arg("-czf").arg(&tarball).arg("-C").arg(made).arg("package"));
    tarball
}

/// A repository of one commit that holds one file, as `project.git` in a folder; served as files, too.
pub(crate) fn repository(folder: &Path, file: &str, text: &str) {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(folder).args(["-c", "user.name=A", "-c", "user.email=a@example.org"]).args(args);
        prepare(command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null"));
    };
    std::fs::create_dir_all(folder).unwrap();
    git(&["init", "-q", "-b", "main", "source"]);
    std::fs::write(folder.join("source").join(file), text).unwrap();
    git(&["-C", "source", "add", "."]);
    git(&["-C", "source", "commit", "-q", "-m", "one"]);
    git(&["clone", "-q", "--bare", "source", "project.git"]);
    git(&["-C", "project.git", "update-server-info"]);
}
