//! Which runner a command starts, and where its own arguments begin: `uv run pytest -q` is pytest behind `uv run`.
//!
//! A command that is more than one simple command is run as it is. Nothing is guessed from what a script may do.

use serde_json::Value;

use crate::project::ProjectView;

/// A runner that we know how to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pytest,
    Unittest,
    Cargo,
    Nextest,
    Go,
    Jest,
    Vitest,
    Node,
    Bats,
    Ctest,
    /// Anything else: one test, which passes when the command does.
    Command,
}

/// A command taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestCommand {
    pub(super) kind: Kind,
    /// As it was given, or as a script of `package.json` says it.
    pub(super) line: String,
    /// What runs before it in the same shell (`npm run pretest`).
    pub(super) first: Option<String>,
    /// `NAME=value` and wrappers (`uv run`), which stay in front; then the words that name the runner.
    pub(super) front: Vec<String>,
    /// What the runner is given.
    pub(super) args: Vec<String>,
}

/// Scripts that call scripts are followed so far.
const MOST_SCRIPTS: usize = 4;

impl TestCommand {
    /// Takes a command apart; `folder` of `project` is where it runs.
    pub(super) fn parse(line: &str, project: &dyn ProjectView, folder: &str) -> Self {
        Self::followed(line, project, folder, 0)
    }
    fn followed(line: &str, project: &dyn ProjectView, folder: &str, depth: usize) -> Self {
        let opaque =
            || Self { kind: Kind::Command, line: line.to_owned(), first: None, front: Vec::new(), args: Vec::new() };
        // What must succeed before it (`cmake --build build && ctest`) stays before it.
        if let Some((first, last)) = line.rsplit_once("&&")
            && !first.contains(['\'', '"', '#', '|', ';', '\n'])
        {
            let mut command = Self::followed(last.trim(), project, folder, depth);
            if command.kind == Kind::Command {
                return opaque();
            }
            command.first = Some(match command.first {
                Some(more) => format!("{} && {more}", first.trim()),
                None => first.trim().to_owned(),
            });
            return command;
        }
        let Some(words) = simple_words(line) else { return opaque() };
        let front = words.iter().take_while(|word| is_assignment(word)).count() + wrapper(&words);
        let Some(named) = words.get(front..) else { return opaque() };
        if let Some(extra) = script(named).filter(|_| depth < MOST_SCRIPTS) {
            return Self::of_script(&words[..front], extra, project, folder, depth).unwrap_or_else(opaque);
        }
        let Some((kind, count)) = kind(named) else { return opaque() };
        if kind == Kind::Vitest && is_old_vitest(project, folder) {
            return opaque();
        }
        let (front, args) = words.split_at(front + count);
        Self { kind, line: line.to_owned(), first: None, front: front.to_vec(), args: args.to_vec() }
    }
    /// What `npm test` runs, with the arguments that it would pass on.
    fn of_script(
        front: &[String],
        extra: &[String],
        project: &dyn ProjectView,
        folder: &str,
        depth: usize,
    ) -> Option<Self> {
        let path = if folder.is_empty() { "package.json".to_owned() } else { format!("{folder}/package.json") };
        let package: Value = serde_json::from_str(&project.read(&path, 1 << 20)?).ok()?;
        let scripts = package.get("scripts")?;
        let script = scripts.get("test")?.as_str()?;
        let line = [script.to_owned(), join(extra)].join(" ");
        let mut command = Self::followed(line.trim(), project, folder, depth + 1);
        // Something that runs after the tests belongs to them: npm does it, we would not.
        if command.kind == Kind::Command || scripts.get("posttest").is_some() {
            return None;
        }
        command.first = scripts.get("pretest").map(|_| "npm run --silent pretest".to_owned());
        command.front.splice(0..0, front.iter().cloned());
        Some(command)
    }
    /// The command with arguments of ours before its own.
    pub(super) fn with(&self, ours: &[&str]) -> String {
        let words = self.front.iter().map(String::as_str).chain(ours.iter().copied());
        self.lined(words.chain(self.args.iter().map(String::as_str)))
    }
    /// The command with other arguments than its own.
    pub(super) fn instead(&self, args: &[&str]) -> String {
        self.lined(self.front.iter().map(String::as_str).chain(args.iter().copied()))
    }
    fn lined<'w>(&self, words: impl Iterator<Item = &'w str>) -> String {
        let words: Vec<String> = words.map(str::to_owned).collect();
        let line = join(&words);
        match &self.first {
            Some(first) => format!("{first} && {line}"),
            None => line,
        }
    }
}

/// Whether a project's vitest is older than 3: it has no such reporters.
fn is_old_vitest(project: &dyn ProjectView, folder: &str) -> bool {
    let path = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let text = project.read(&format!("{path}node_modules/vitest/package.json"), 1 << 20);
    let package: Option<Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    let major = package.and_then(|package| package["version"].as_str()?.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major < 3)
}

/// Words as a shell reads them back; leading assignments stay assignments.
fn join(words: &[String]) -> String {
    let assignments = words.iter().take_while(|word| is_assignment(word)).count();
    let quote = |word: &str| shlex::try_quote(word).map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    let quoted = words.iter().enumerate().map(|(at, word)| match word.split_once('=') {
        Some((name, value)) if at < assignments => format!("{name}={}", quote(value)),
        _ => quote(word),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The words of a command that is one simple command without any substitution; `None` for anything more.
fn simple_words(line: &str) -> Option<Vec<String>> {
    let mut quote = None;
    let mut escaped = false;
    for letter in line.chars() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | '~' | '#' | '\n') => {
                return None;
            }
            (None | Some('"'), '$' | '`') => return None,
            _ => {}
        }
    }
    shlex::split(line).filter(|words| !words.is_empty())
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let mut letters = name.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    })
}

/// How many words after the assignments only say where the runner is found.
fn wrapper(words: &[String]) -> usize {
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| is_assignment(word)).collect();
    match words[..] {
        ["uv" | "poetry" | "pdm" | "pipenv" | "hatch", "run", ..] => 2,
        ["npx" | "bunx", "--no-install", ..] | ["pnpm" | "yarn", "exec", ..] => 2,
        ["npm", "exec", "--", ..] => 3,
        ["npx" | "bunx" | "env" | "exec" | "command", ..] => 1,
        ["yarn" | "pnpm", "jest" | "vitest", ..] => 1,
        _ => 0,
    }
}

/// The arguments that a call of the package's test script passes on; `None` when it is no such call.
fn script(words: &[String]) -> Option<&[String]> {
    let named: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut count = match named[..] {
        ["npm" | "pnpm" | "yarn", "test" | "t" | "tst", ..] => 2,
        ["npm" | "pnpm" | "yarn", "run", "test", ..] => 3,
        _ => return None,
    };
    count += usize::from(named.get(count) == Some(&"--"));
    words.get(count..)
}

/// The runner that words name, and how many of them name it.
fn kind(words: &[String]) -> Option<(Kind, usize)> {
    let program = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let words: Vec<String> =
        words.iter().enumerate().map(|(at, word)| if at == 0 { program(word) } else { word.clone() }).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let first = *words.first()?;
    let python = first == "python" || first.strip_prefix("python3").is_some_and(is_version) || first == "python2";
    Some(match words[..] {
        ["pytest" | "py.test", ..] => (Kind::Pytest, 1),
        [_, "-m", "pytest", ..] if python => (Kind::Pytest, 3),
        [_, "-m", "unittest", ..] if python => (Kind::Unittest, 3),
        ["cargo", "nextest", "run" | "r", ..] => (Kind::Nextest, 3),
        ["cargo", "test" | "t", ..] => (Kind::Cargo, 2),
        ["cargo-nextest", "nextest", "run", ..] => (Kind::Nextest, 3),
        ["go", "test", ..] => (Kind::Go, 2),
        ["jest" | "jest.js", ..] => (Kind::Jest, 1),
        ["vitest", "run", ..] => (Kind::Vitest, 2),
        ["vitest", ..] => (Kind::Vitest, 1),
        ["node", ..] if words.contains(&"--test") => (Kind::Node, 1),
        ["bats", ..] => (Kind::Bats, 1),
        ["ctest", ..] => (Kind::Ctest, 1),
        _ => return None,
    })
}

fn is_version(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{MemoryProject, NoProject};

    fn parsed(line: &str) -> (Kind, String) {
        let command = TestCommand::parse(line, &NoProject, "");
        (command.kind, command.with(&["OURS"]))
    }

    #[test]
    fn runners_behind_wrappers_and_assignments() {
        for (line, kind, with) in [
            ("pytest -q tests/unit", Kind::Pytest, "pytest OURS -q tests/unit"),
            (".venv/bin/pytest", Kind::Pytest, ".venv/bin/pytest OURS"),
            ("A='x y' python3.12 -m pytest -k 'a or b'", Kind::Pytest, "A='x y' python3.12 -m pytest OURS -k 'a or b'"),
            ("uv run pytest", Kind::Pytest, "uv run pytest OURS"),
            ("python3 -m unittest discover -s tests", Kind::Unittest, "python3 -m unittest OURS discover -s tests"),
            ("cargo test --lib", Kind::Cargo, "cargo test OURS --lib"),
            ("cargo nextest run", Kind::Nextest, "cargo nextest run OURS"),
            ("go test ./...", Kind::Go, "go test OURS ./..."),
            ("npx --no-install jest", Kind::Jest, "npx --no-install jest OURS"),
            ("vitest", Kind::Vitest, "vitest OURS"),
            ("node --test", Kind::Node, "node OURS --test"),
            ("bats test", Kind::Bats, "bats OURS test"),
            ("ctest --test-dir build", Kind::Ctest, "ctest OURS --test-dir build"),
        ] {
            assert_eq!(parsed(line), (kind, with.to_owned()), "{line}");
        }
    }

    #[test]
    fn what_is_more_than_a_simple_command_runs_as_it_is() {
        for line in
            ["pytest | tee log", "pytest && ls", "pytest $X", "make test", "pytest > out", "'pytest", "pytest *.py"]
        {
            assert_eq!(TestCommand::parse(line, &NoProject, "").kind, Kind::Command, "{line}");
        }
    }

    #[test]
    fn what_comes_before_stays_before() {
        let (kind, with) = parsed("cmake -S . -B build && cmake --build build && ctest --test-dir build");
        assert_eq!(kind, Kind::Ctest);
        assert_eq!(with, "cmake -S . -B build && cmake --build build && ctest OURS --test-dir build");
    }

    #[test]
    fn a_test_script_is_what_it_says() {
        let project =
            |scripts: &str| MemoryProject::new([("web/package.json", &*format!(r#"{{"scripts": {scripts}}}"#))]);
        let jest = project(r#"{"test": "jest --coverage", "pretest": "tsc"}"#);
        let command = TestCommand::parse("CI=1 npm test -- --silent", &jest, "web");
        assert_eq!(command.kind, Kind::Jest);
        assert_eq!(command.with(&["OURS"]), "npm run --silent pretest && CI=1 jest OURS --coverage --silent");
        for opaque in
            [r#"{"test": "tsc; jest"}"#, r#"{"test": "jest", "posttest": "x"}"#, r#"{"test": "npm test"}"#, "{}"]
        {
            let command = TestCommand::parse("npm test", &project(opaque), "web");
            assert_eq!((command.kind, command.line.as_str()), (Kind::Command, "npm test"), "{opaque}");
        }
    }
}
