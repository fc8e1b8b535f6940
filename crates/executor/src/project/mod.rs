//! What may be seen of a project without running anything, and what is read out of it: test commands, build commands,
//! configs.
//!
//! [`ProjectView`] is the whole of the planner's sight: it reads small files and lists folders beneath one
//! root, and runs nothing. Every fact found here becomes an assumption in the plan.

use serde_json::Value;

mod view;

pub use view::{MemoryProject, NoProject, ProjectEntry, ProjectView};

/// Files that say how a project is built are small; one that is larger is not looked into.
const MOST: u64 = 1 << 20;
/// How many projects of a monorepo become steps.
pub(crate) const MOST_PROJECTS: usize = 20;
/// How many test files are looked into.
const MOST_TEST_FILES: usize = 20;

/// A command that the project suggests, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggestion {
    /// The folder it is run in, relative; empty for the root.
    pub(crate) folder: String,
    pub(crate) command: String,
    /// `pyproject.toml configures pytest`
    pub(crate) reason: String,
}

/// A project's files with the questions that the rules ask.
#[derive(Clone, Copy)]
pub(crate) struct Project<'a>(pub(crate) &'a dyn ProjectView);

/// The kinds of build files, in the order in which they are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ecosystem {
    Python,
    Cargo,
    Npm,
}

/// The test commands that a project's files suggest, each with its folder and the reason.
pub(crate) fn test_commands(project: &dyn ProjectView) -> Vec<Suggestion> {
    Project(project).tests_everywhere().into_iter().take(MOST_PROJECTS).collect()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl Project<'_> {
    fn has(self, folder: &str, name: &str) -> bool {
        self.0.exists(&join(folder, name))
    }
    fn text(self, folder: &str, name: &str) -> Option<String> {
        self.0.read(&join(folder, name), MOST)
    }
    fn files(self, folder: &str) -> Vec<String> {
        self.0.list(folder).into_iter().filter(|entry| !entry.is_folder).map(|entry| entry.name).collect()
    }

    /// What the build files of the root say the project is.
    pub(crate) fn ecosystem(self) -> Option<Ecosystem> {
        self.ecosystem_of("")
    }
    fn ecosystem_of(self, folder: &str) -> Option<Ecosystem> {
        let python = ["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile"];
        if python.iter().any(|name| self.has(folder, name)) {
            Some(Ecosystem::Python)
        } else if self.has(folder, "Cargo.toml") {
            Some(Ecosystem::Cargo)
        } else if self.has(folder, "package.json") {
            Some(Ecosystem::Npm)
        } else {
            None
        }
    }

    /// The test command of one folder.
    pub(crate) fn tests(self, folder: &str) -> Option<Suggestion> {
        self.all_tests(folder).into_iter().next()
    }
    /// The test commands of one folder, one for each language that has tests in it. A Makefile speaks for a folder in
    /// which nothing else does.
    fn all_tests(self, folder: &str) -> Vec<Suggestion> {
        let found = |command: &str, reason: &str| Suggestion {
            folder: folder.into(),
            command: command.into(),
            reason: reason.into(),
        };
        let mut all = Vec::new();
        if let Some(reason) = self.pytest_config(folder) {
            all.push(found("pytest", &reason));
        }
        if self.has(folder, "Cargo.toml") {
            all.push(if self.has(folder, ".config/nextest.toml") {
                found("cargo nextest run", "there is a .config/nextest.toml")
            } else {
                found("cargo test", "there is a Cargo.toml")
            });
        }
        all.extend(self.npm_tests(folder));
        if self.has(folder, "go.mod") {
            all.push(found("go test ./...", "there is a go.mod"));
        }
        all.extend(self.cmake_tests(folder));
        let guessed = |one: &Suggestion| one.reason.starts_with("it is a Python project");
        let python = if all.iter().any(|one| one.command == "pytest") { None } else { self.python_tests(folder) };
        all.extend(python.clone().filter(|one| !guessed(one)));
        all.extend(self.bats_tests(folder));
        if all.is_empty() {
            let target = ["test", "tests", "check"].into_iter().find(|target| self.make_target(folder, target));
            let make =
                target.map(|target| found(&format!("make {target}"), &format!("the Makefile has the target {target}")));
            // A folder named `tests` alone is the weakest sign.
            all.extend(make.or(python));
        }
        all
    }
    fn npm_tests(self, folder: &str) -> Option<Suggestion> {
        let found = |command: &str, reason: &str| {
            Some(Suggestion { folder: folder.into(), command: command.into(), reason: reason.into() })
        };
        if self.npm_script(folder, "test").is_some_and(|script| !script.contains("no test specified")) {
            return found("npm test", "package.json has a test script");
        }
        let package: Value = serde_json::from_str(&self.text(folder, "package.json")?).ok()?;
        for runner in ["vitest", "jest"] {
            if ["devDependencies", "dependencies"].iter().any(|key| package[*key].get(runner).is_some()) {
                return found(&format!("npx --no-install {runner}"), &format!("package.json depends on {runner}"));
            }
        }
        let is_test =
            |name: &String| [".test.js", ".test.mjs", ".test.cjs"].iter().any(|ending| name.ends_with(ending));
        ["", "test"]
            .into_iter()
            .find(|inner| self.files(join(folder, inner).trim_end_matches('/')).iter().any(is_test))
            .and_then(|_| found("node --test", "there are test files and no test script"))
    }
    fn cmake_tests(self, folder: &str) -> Option<Suggestion> {
        let text = self.text(folder, "CMakeLists.txt")?.to_lowercase();
        if !text.contains("enable_testing") && !text.contains("include(ctest)") {
            return None;
        }
        let command = "cmake -S . -B build && cmake --build build && ctest --test-dir build";
        Some(Suggestion {
            folder: folder.into(),
            command: command.into(),
            reason: "CMakeLists.txt enables testing".into(),
        })
    }
    fn bats_tests(self, folder: &str) -> Option<Suggestion> {
        let inner = ["", "test", "tests"].into_iter().find(|inner| {
            let place = if inner.is_empty() { folder.to_owned() } else { join(folder, inner) };
            self.files(&place).iter().any(|name| name.ends_with(".bats"))
        })?;
        Some(Suggestion {
            folder: folder.into(),
            command: format!("bats {}", if inner.is_empty() { "." } else { inner }),
            reason: "there are .bats files".into(),
        })
    }
    fn pytest_config(self, folder: &str) -> Option<String> {
        for name in ["pytest.ini", ".pytest.ini"] {
            if self.has(folder, name) {
                return Some(format!("there is a {name}"));
            }
        }
        for (name, mark) in [("pyproject.toml", "pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")] {
            if self.text(folder, name).is_some_and(|text| text.contains(mark)) {
                return Some(format!("{name} names pytest"));
            }
        }
        let names = ["conftest.py", "tests/conftest.py", "test/conftest.py"];
        names.into_iter().find(|name| self.has(folder, name)).map(|name| format!("there is a {name}"))
    }
    fn python_tests(self, folder: &str) -> Option<Suggestion> {
        let is_test = |name: &str| {
            let stem = name.strip_suffix(".py");
            stem.is_some_and(|stem| {
                stem.starts_with("test_") || stem.ends_with("_test") || stem == "test" || stem == "tests"
            })
        };
        for inner in ["", "tests", "test"] {
            let place = if inner.is_empty() { folder.to_owned() } else { join(folder, inner) };
            let files: Vec<String> =
                self.files(&place).into_iter().filter(|name| is_test(name)).take(MOST_TEST_FILES).collect();
            if files.is_empty() {
                continue;
            }
            let texts: Vec<String> = files.iter().filter_map(|name| self.text(&place, name)).collect();
            let unittest = !texts.is_empty()
                && texts.iter().all(|text| text.contains("unittest") && !text.contains("import pytest"));
            // Discovery enters packages only; a folder without `__init__.py` must be named.
            let (command, reason) = match (unittest, inner) {
                (false, _) => ("pytest".to_owned(), format!("there is {}", join(inner, &files[0]))),
                (true, "") => ("python3 -m unittest discover".into(), "the tests use unittest only".into()),
                (true, _) if self.has(&place, "__init__.py") => {
                    ("python3 -m unittest discover".into(), "the tests use unittest only".into())
                }
                (true, _) => (format!("python3 -m unittest discover -s {inner}"), "the tests use unittest only".into()),
            };
            return Some(Suggestion { folder: folder.into(), command, reason });
        }
        let python = self.ecosystem_of(folder) == Some(Ecosystem::Python);
        (python && (self.has(folder, "tests") || self.has(folder, "test"))).then(|| Suggestion {
            folder: folder.into(),
            command: "pytest".into(),
            reason: "it is a Python project with a folder of tests".into(),
        })
    }

    /// The build command of one folder.
    pub(crate) fn build(self, folder: &str) -> Option<Suggestion> {
        let found = |command: &str, reason: &str| {
            Some(Suggestion { folder: folder.into(), command: command.into(), reason: reason.into() })
        };
        if self.has(folder, "Cargo.toml") {
            return found("cargo build", "there is a Cargo.toml");
        }
        if self.npm_script(folder, "build").is_some() {
            return found("npm run build", "package.json has a build script");
        }
        if self.make_target(folder, "build") {
            return found("make build", "the Makefile has the target build");
        }
        if self.makefile(folder).is_some() {
            return found("make", "there is a Makefile");
        }
        if self.text(folder, "pyproject.toml").is_some_and(|text| text.contains("[build-system]")) {
            return found("python3 -m build", "pyproject.toml has a build system");
        }
        None
    }

    /// The command that installs what one folder's project needs.
    pub(crate) fn install(self, folder: &str) -> Option<Suggestion> {
        let found = |command: &str, reason: &str| {
            Some(Suggestion { folder: folder.into(), command: command.into(), reason: reason.into() })
        };
        if self.has(folder, "requirements.txt") {
            return found("pip install -r requirements.txt", "there is a requirements.txt");
        }
        if self.has(folder, "pyproject.toml") || self.has(folder, "setup.py") {
            return found("pip install -e .", "it is a Python project");
        }
        if self.has(folder, "Cargo.toml") {
            return found("cargo fetch", "there is a Cargo.toml");
        }
        if self.has(folder, "package-lock.json") {
            return found("npm ci", "there is a package-lock.json");
        }
        if self.has(folder, "package.json") {
            return found("npm install", "there is a package.json");
        }
        None
    }

    /// The test commands of the root, else of each project one and two folders down.
    pub(crate) fn tests_everywhere(self) -> Vec<Suggestion> {
        let of_root = self.all_tests("");
        if !of_root.is_empty() {
            return of_root;
        }
        let mut found = Vec::new();
        for outer in self.folders("") {
            let of_outer = self.all_tests(&outer);
            if of_outer.is_empty() {
                found.extend(self.folders(&outer).iter().flat_map(|inner| self.all_tests(inner)));
            } else {
                found.extend(of_outer);
            }
        }
        found
    }

    /// What `ask` says of the root, else of each project one and two folders down.
    pub(crate) fn everywhere(self, ask: impl Fn(Self, &str) -> Option<Suggestion>) -> Vec<Suggestion> {
        if let Some(found) = ask(self, "") {
            return vec![found];
        }
        let mut found = Vec::new();
        for outer in self.folders("") {
            match ask(self, &outer) {
                Some(suggestion) => found.push(suggestion),
                None => found.extend(self.folders(&outer).iter().filter_map(|inner| ask(self, inner))),
            }
        }
        found
    }
    fn folders(self, folder: &str) -> Vec<String> {
        // Made by tools, or other people's code: never a project of this repository.
        let skipped = [
            "node_modules",
            "target",
            "venv",
            "env",
            "dist",
            "build",
            "vendor",
            "third_party",
            "__pycache__",
            "site-packages",
        ];
        let entries = self.0.list(folder).into_iter();
        entries
            .filter(|entry| entry.is_folder && !entry.name.starts_with('.') && !skipped.contains(&entry.name.as_str()))
            .map(|entry| join(folder, &entry.name))
            .collect()
    }

    /// The file that people mean by "the config": found in the root, else one folder down.
    pub(crate) fn config(self) -> Option<String> {
        let stems = ["config", "settings", "configuration", "app.config"];
        let endings = ["yaml", "yml", "toml", "json", "ini", "cfg", "conf", "py", "js", "ts", "rs"];
        let in_folder = |folder: &str| {
            let names = self.files(folder);
            stems
                .iter()
                .flat_map(|stem| endings.iter().map(move |ending| format!("{stem}.{ending}")))
                .find(|name| names.contains(name))
                .map(|name| join(folder, &name))
        };
        let of_program = || self.files("").into_iter().find(|name| name.ends_with(".conf"));
        let in_config = || {
            let names = self.files("config");
            names
                .into_iter()
                .find(|name| name.starts_with("default.") || name.starts_with("app."))
                .map(|name| join("config", &name))
        };
        in_folder("")
            .or_else(|| in_folder("config"))
            .or_else(in_config)
            .or_else(of_program)
            .or_else(|| self.manifest(""))
            .or_else(|| self.folders("").iter().find_map(|folder| in_folder(folder)))
            .or_else(|| self.folders("").iter().find_map(|folder| self.manifest(folder)))
    }
    /// The build file of one folder.
    pub(crate) fn manifest(self, folder: &str) -> Option<String> {
        let names = [
            "pyproject.toml",
            "setup.cfg",
            "pytest.ini",
            "tox.ini",
            "setup.py",
            "Cargo.toml",
            "package.json",
            "go.mod",
            "Makefile",
            "makefile",
        ];
        names.iter().find(|name| self.has(folder, name)).map(|name| join(folder, name))
    }
    /// A file of the root whose name is `word`, with or without its ending, in any case.
    pub(crate) fn named(self, word: &str) -> Option<String> {
        let names = self.files("");
        let same = |name: &&String| name.eq_ignore_ascii_case(word);
        let stem = |name: &&String| name.split('.').next().is_some_and(|stem| stem.eq_ignore_ascii_case(word));
        names.iter().find(same).or_else(|| names.iter().find(stem)).cloned()
    }

    fn npm_script(self, folder: &str, name: &str) -> Option<String> {
        let package: Value = serde_json::from_str(&self.text(folder, "package.json")?).ok()?;
        package.get("scripts")?.get(name)?.as_str().map(str::to_owned)
    }
    fn makefile(self, folder: &str) -> Option<String> {
        ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| self.text(folder, name))
    }
    fn make_target(self, folder: &str, target: &str) -> bool {
        let Some(text) = self.makefile(folder) else { return false };
        text.lines().any(|line| {
            // `test check: deps` names two targets; `test := x` is a variable, a tab starts a recipe.
            !line.starts_with(['\t', '#', '.'])
                && line.split_once(':').is_some_and(|(names, rest)| {
                    !rest.starts_with('=') && names.split_whitespace().any(|name| name == target)
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dir;

    fn tests_of(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let project = MemoryProject::new(files.iter().copied());
        let found = Project(&project).everywhere(|project, folder| project.tests(folder));
        found.into_iter().map(|found| (found.folder, found.command)).collect()
    }

    fn root(command: &str) -> Vec<(String, String)> {
        vec![(String::new(), command.to_owned())]
    }

    #[test]
    fn test_commands_by_build_file() {
        assert_eq!(tests_of(&[("pyproject.toml", "[tool.pytest.ini_options]\n")]), root("pytest"));
        assert_eq!(tests_of(&[("tests/conftest.py", "")]), root("pytest"));
        assert_eq!(tests_of(&[("tests/test_a.py", "def test_a(): pass")]), root("pytest"));
        assert_eq!(tests_of(&[("test_a.py", "import unittest")]), root("python3 -m unittest discover"));
        assert_eq!(tests_of(&[("tests/test_a.py", "import unittest")]), root("python3 -m unittest discover -s tests"));
        assert_eq!(
            tests_of(&[("tests/__init__.py", ""), ("tests/test_a.py", "import unittest")]),
            root("python3 -m unittest discover")
        );
        assert_eq!(tests_of(&[("Cargo.toml", "")]), root("cargo test"));
        assert_eq!(tests_of(&[("package.json", r#"{"scripts": {"test": "node --test"}}"#)]), root("npm test"));
        assert_eq!(tests_of(&[("Makefile", "all:\n\techo test:\ntest: all\n")]), root("make test"));
        // Which tests there are says more than that there is a way to start them.
        assert_eq!(tests_of(&[("Makefile", "test:\n"), ("test_a.py", "")]), root("pytest"));
        assert_eq!(tests_of(&[("Makefile", "test:\n"), ("setup.py", ""), ("tests/data", "")]), root("make test"));
        assert_eq!(tests_of(&[("go.mod", "module m"), ("Makefile", "test:\n")]), root("go test ./..."));
        assert_eq!(tests_of(&[("Cargo.toml", ""), (".config/nextest.toml", "")]), root("cargo nextest run"));
        assert_eq!(tests_of(&[("test/a.bats", "")]), root("bats test"));
        assert_eq!(
            tests_of(&[("package.json", r#"{"devDependencies": {"jest": "^30"}}"#)]),
            root("npx --no-install jest")
        );
        assert_eq!(tests_of(&[("package.json", "{}"), ("test/a.test.js", "")]), root("node --test"));
        let cmake = "cmake -S . -B build && cmake --build build && ctest --test-dir build";
        assert_eq!(tests_of(&[("CMakeLists.txt", "Enable_Testing()")]), root(cmake));
    }

    #[test]
    fn a_folder_with_two_languages_has_two_commands() {
        let project =
            MemoryProject::new([("Cargo.toml", ""), ("pytest.ini", ""), ("Makefile", "test:\n"), ("a.bats", "")]);
        let found = Project(&project).tests_everywhere();
        let commands: Vec<&str> = found.iter().map(|found| found.command.as_str()).collect();
        assert_eq!(commands, ["pytest", "cargo test", "bats ."]);
    }

    #[test]
    fn what_only_looks_like_a_test_command_is_none() {
        let placeholder = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(tests_of(&[("package.json", placeholder)]), []);
        assert_eq!(tests_of(&[("Makefile", "test := 1\n#test:\n\ttest:\n")]), []);
        assert_eq!(tests_of(&[("package.json", "not json")]), []);
    }

    #[test]
    fn a_folder_on_disk_is_seen_and_nothing_outside_it() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("in");
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::write(root.path().join("secret"), "x").unwrap();
        std::fs::write(inside.join("a.txt"), "12345").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        let dir = Dir::open_root(&inside).unwrap();
        let view: &dyn ProjectView = &dir;
        let listed = view.list("").into_iter().map(|entry| (entry.name, entry.is_folder)).collect::<Vec<_>>();
        assert_eq!(listed, [("a.txt".to_owned(), false), ("link".into(), false), ("sub".into(), true)]);
        assert_eq!((view.read("a.txt", 5).as_deref(), view.read("a.txt", 4)), (Some("12345"), None));
        assert_eq!((view.read("link", 100), view.read("../secret", 100), view.read("sub", 100)), (None, None, None));
        assert!(view.exists("sub/") && view.exists("") && !view.exists("nope") && !view.exists("../secret"));
    }

    #[test]
    fn a_monorepo_has_one_command_for_each_project() {
        let files = [
            ("README.md", ""),
            ("api/pytest.ini", ""),
            ("libs/core/Cargo.toml", ""),
            ("web/package.json", r#"{"scripts": {"test": "x"}}"#),
            ("web/node_modules/dep/package.json", r#"{"scripts": {"test": "x"}}"#),
        ];
        let found = tests_of(&files);
        let expected = [("api", "pytest"), ("libs/core", "cargo test"), ("web", "npm test")];
        assert_eq!(found, expected.map(|(folder, command)| (folder.to_owned(), command.to_owned())));
    }
}
