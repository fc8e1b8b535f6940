//! The kinds that end in a shell command: test, build, install, git, run.
//!
//! Every command is one of ours, or the caller's own (`context["command"]`). From the task's text come only
//! package names, messages and paths, each quoted as one word; the text itself is never a command.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::part::{Part, is_noise};
use super::{Planning, text};
use crate::planner::error::PlanError;
use crate::planner::plan::{CommitPolicy, OnFailure, PlanStep};
use crate::planner::words::Word;
use crate::project::{Ecosystem, MOST_PROJECTS, Project, Suggestion};

/// What tests, builds and installs may take when nobody says.
const LONG: Duration = Duration::from_secs(600);

impl Planning<'_> {
    pub(super) fn test(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        if let Some(command) = self.command() {
            let step = self.shell(part, command, "Run tests")?;
            return self.tests(vec![step]);
        }
        let named = [
            ("pytest", "pytest"),
            ("unittest", "python3 -m unittest discover"),
            ("cargo", "cargo test"),
            ("npm", "npm test"),
            ("make", "make test"),
        ];
        // "make sure the tests pass" does not name make.
        let makes =
            part.words.windows(2).any(|pair| pair[0].is("make") && pair[1].is_one_of(&["test", "tests", "check"]));
        let named = named.into_iter().find(|(word, _)| part.has(&[word]) && (*word != "make" || makes));
        part.use_words(&["unit", "cargo", "npm", "make", "pass", "passing", "sure", "python", "rust", "node"]);
        let target = part
            .take(|word| word.is_path())
            .or(self.take_folder(part)?)
            .map(|path| path.trim_end_matches('/').to_owned());
        if let Some(folder) = &target
            && named.is_none()
            && let Some(found) = self.project.tests(folder)
        {
            self.assume_found("test", &found);
            let step = self.shell(part, in_folder(&found), &format!("Run tests in {folder}"))?;
            return self.tests(vec![step]);
        }
        let found = match named {
            Some((word, command)) => {
                let reason = format!("the task names {word}");
                vec![Suggestion { folder: String::new(), command: command.into(), reason }]
            }
            None => self.project.everywhere(|project, folder| project.tests(folder)),
        };
        if found.is_empty() {
            self.plan.assume(
                "the test command is `pytest`, as nothing in the project says which; `command` in the context names another",
            );
        }
        let first = found.first().map_or("pytest", |found| found.command.as_str()).to_owned();
        if let Some(target) = &target {
            let fits = target.ends_with(".py") || target.contains(".py::") || !self.project.0.list(target).is_empty();
            if found.len() > 1 || first != "pytest" || !fits {
                return Err(self.missing(
                    part,
                    format!("the tests of {target} alone cannot be run by rule"),
                    &["command"],
                ));
            }
            if let Some(found) = found.first() {
                self.assume_found("test", found);
            }
            let step = self.shell(part, format!("pytest {}", quote(target)), &format!("Run tests in {target}"))?;
            return self.tests(vec![step]);
        }
        let mut steps = Vec::new();
        for found in &found {
            self.assume_found("test", found);
        }
        match found.as_slice() {
            [] => steps.push(self.shell(part, "pytest".into(), "Run tests")?),
            several => {
                for found in self.bounded(several) {
                    let description = if found.folder.is_empty() {
                        "Run tests".into()
                    } else {
                        format!("Run tests in {}", found.folder)
                    };
                    steps.push(self.shell(part, in_folder(found), &description)?);
                }
            }
        }
        self.tests(steps)
    }

    fn tests(&mut self, mut steps: Vec<PlanStep>) -> Result<(), PlanError> {
        let several = steps.len() > 1;
        for step in &mut steps {
            step.commit = CommitPolicy::Always;
            if several {
                // One red project does not keep the others from being tested.
                step.on_failure = OnFailure::Continue;
            }
        }
        self.plan.assume("what the tests write is kept whether they pass or not");
        self.long(steps)
    }

    pub(super) fn build(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let named =
            [("cargo", "cargo build"), ("npm", "npm run build")].into_iter().find(|(word, _)| part.has(&[word]));
        if let Some((_, command)) = named
            && !self.may_take_command
        {
            let step = self.shell(part, command.into(), "Build the project")?;
            return self.long(vec![step]);
        }
        if part.has(&["release"]) {
            return Err(self.missing(part, "which command builds a release is not known".into(), &["command"]));
        }
        self.in_projects(
            part,
            "build",
            "Build the project",
            "how the project is built is not known",
            |project, folder| project.build(folder),
        )
    }

    pub(super) fn install(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        part.use_words(&[
            "package", "packages", "library", "module", "modules", "pip", "npm", "cargo", "using", "via", "python",
        ]);
        let by_name = [("pip", Ecosystem::Python), ("npm", Ecosystem::Npm), ("cargo", Ecosystem::Cargo)];
        let named = by_name.into_iter().find(|(word, _)| part.has(&[word])).map(|(_, ecosystem)| ecosystem);
        let needs = ["dependencies", "dependency", "deps", "requirements", "needed"];
        let mut packages = match self.context.get("package") {
            Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
            Some(value) => {
                text(value).map(|text| text.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
            }
            None => Vec::new(),
        };
        if packages.is_empty() && !part.has(&needs) {
            packages = self.packages(part)?;
            self.strict = true;
        }
        if packages.is_empty() {
            part.use_words(&needs);
            if named == Some(Ecosystem::Npm) {
                let step = self.shell(part, "npm install".into(), "Install dependencies")?;
                return self.long(vec![step]);
            }
            return self.in_projects(
                part,
                "install",
                "Install dependencies",
                "what to install is not known",
                |project, folder| project.install(folder),
            );
        }
        if let Some(wrong) = packages.iter().find(|package| !is_package(package)) {
            return Err(self.refused(part, format!("\"{wrong}\" is no package name")));
        }
        let ecosystem = named.or_else(|| self.project.ecosystem()).unwrap_or(Ecosystem::Python);
        let command = match ecosystem {
            Ecosystem::Python => "pip install",
            Ecosystem::Npm => "npm install",
            Ecosystem::Cargo => "cargo add",
        };
        if named.is_none() {
            self.plan.assume(format!("packages are installed with `{command}`"));
        }
        let quoted: Vec<String> = packages.iter().map(|package| quote(package)).collect();
        let step =
            self.shell(part, format!("{command} {}", quoted.join(" ")), &format!("Install {}", packages.join(", ")))?;
        self.long(vec![step])
    }

    /// The names after the verb: one, or several with commas or "and" between them. Any other word could be a package
    /// that nobody wanted ("install the latest version of requests"), so it is refused.
    fn packages(&self, part: &mut Part<'_>) -> Result<Vec<String>, PlanError> {
        let mut packages = Vec::new();
        let mut separated = true;
        let start = part.words.iter().position(|word| word.is("install") || word.is("add")).map_or(0, |verb| verb + 1);
        for at in start..part.words.len() {
            let word = &part.words[at];
            if word.is_one_of(&["from", "with", "for", "in", "into", "to", "on"]) {
                break;
            }
            if word.is_one_of(&["and", "&", "plus"]) {
                separated = true;
                part.use_at(at);
            } else if !part.is_used(at) && (word.quoted || !is_noise(word)) {
                if !separated {
                    return Err(self.refused(part, "several packages need a comma or \"and\" between them".into()));
                }
                packages.push(word.text.clone());
                separated = word.after.contains(',');
                part.use_at(at);
            }
        }
        Ok(packages)
    }

    fn in_projects(
        &mut self,
        part: &mut Part<'_>,
        verb: &str,
        description: &str,
        unknown: &str,
        ask: impl Fn(Project<'_>, &str) -> Option<Suggestion>,
    ) -> Result<(), PlanError> {
        if let Some(command) = self.command() {
            let step = self.shell(part, command, description)?;
            return self.long(vec![step]);
        }
        let target = self.take_folder(part)?;
        let found = match &target {
            Some(folder) => ask(self.project, folder.trim_end_matches('/')).into_iter().collect(),
            None => self.project.everywhere(ask),
        };
        if found.is_empty() {
            return Err(self.missing(
                part,
                unknown.into(),
                if verb == "install" { &["package"] } else { &["command"] },
            ));
        }
        let mut steps = Vec::new();
        for found in self.bounded(&found) {
            self.assume_found(verb, found);
            let description =
                if found.folder.is_empty() { description.into() } else { format!("{description} in {}", found.folder) };
            steps.push(self.shell(part, in_folder(found), &description)?);
        }
        self.long(steps)
    }

    pub(super) fn commit(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let stage_only = part.has(&["stage"]) && !part.has(&["commit"]);
        part.use_words(&[
            "git",
            "commit",
            "add",
            "stage",
            "changes",
            "change",
            "work",
            "everything",
            "message",
            "with",
        ]);
        let stage = self.shell(part, "git add -A".into(), "Stage changes")?;
        let stage = self.effect(vec![stage]);
        if stage_only {
            return Ok(());
        }
        let message =
            self.context.get("message").and_then(text).or_else(|| part.take(|word| word.quoted)).or_else(|| {
                // "commit with message fix it", "commit: fix it"
                let says = |word: &Word| {
                    word.is_one_of(&["message", "saying"]) || word.is("commit") && word.after.contains(':')
                };
                let from = part.words.iter().position(says)? + 1;
                let rest: Vec<&str> = part.words[from..].iter().map(|word| word.text.as_str()).collect();
                (from..part.words.len()).for_each(|at| part.use_at(at));
                (!rest.is_empty()).then(|| rest.join(" "))
            });
        let message = message.unwrap_or_else(|| {
            self.plan.assume("the commit message is \"Update\"; `message` in the context gives another");
            "Update".into()
        });
        let mut commit = self.shell(part, format!("git commit -m {}", quote(&message)), "Commit changes")?;
        commit.depends_on = stage;
        self.effect(vec![commit]);
        Ok(())
    }

    pub(super) fn git_show(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let all = [
            ("status", "git status --short", "status"),
            ("diff", "git diff", "diff"),
            ("log", "git log --oneline -n 20", "log"),
            ("history", "git log --oneline -n 20", "log"),
        ];
        part.use_words(&["git", "status", "diff", "log", "history"]);
        for (word, command, what) in all {
            if part.has(&[word]) {
                let step = self.shell(part, command.into(), &format!("Show git {what}"))?;
                self.observe(step);
            }
        }
        Ok(())
    }

    pub(super) fn run(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        part.use_words(&["command", "script", "program", "shell", "snippet", "python", "bash", "javascript"]);
        if let Some(code) = self.context.get("code").and_then(text) {
            let language = self.context.get("lang").or_else(|| self.context.get("language")).and_then(text);
            let mut params = Map::from_iter([("code".to_owned(), json!(code))]);
            if let Some(language) = language {
                params.insert("language".into(), json!(language));
            }
            let step = self.step(part, "run_code", params, "Run code")?;
            self.effect(vec![step]);
            return Ok(());
        }
        match self.command() {
            Some(command) => {
                let step = self.shell(part, command, "Run command")?;
                self.effect(vec![step]);
                Ok(())
            }
            None => Err(self.missing(part, "the text of a task is never run as a command".into(), &["command"])),
        }
    }

    fn bounded<'s>(&mut self, found: &'s [Suggestion]) -> &'s [Suggestion] {
        if found.len() > MOST_PROJECTS {
            self.plan.assume(format!("only the first {MOST_PROJECTS} of {} projects are worked on", found.len()));
        }
        &found[..found.len().min(MOST_PROJECTS)]
    }
    fn assume_found(&mut self, verb: &str, found: &Suggestion) {
        let place = if found.folder.is_empty() { String::new() } else { format!(" in {}", found.folder) };
        self.plan.assume(format!("the {verb} command{place} is `{}`: {}", found.command, found.reason));
    }
    /// The caller's command, for one part only.
    fn command(&mut self) -> Option<String> {
        if !self.may_take_command {
            return None;
        }
        self.context.get("command").and_then(text).filter(|command| !command.trim().is_empty())
    }
    /// A step whose command is run by the shell.
    pub(super) fn shell(&self, part: &Part<'_>, command: String, description: &str) -> Result<PlanStep, PlanError> {
        self.step(part, "shell", Map::from_iter([("command".to_owned(), Value::String(command))]), description)
    }
    fn long(&mut self, mut steps: Vec<PlanStep>) -> Result<(), PlanError> {
        for step in &mut steps {
            step.timeout = Some(LONG);
        }
        self.plan.assume("tests, builds and installs may take 600 s each");
        self.effect(steps);
        Ok(())
    }
    /// The folder that the part names. A place that is none must not become "everywhere".
    fn take_folder(&self, part: &mut Part<'_>) -> Result<Option<String>, PlanError> {
        let place = |word: &Word| !word.text.is_empty() && !is_noise(word);
        let Some(folder) = part.take_after(&["in", "inside", "under", "within", "of", "for", "at"], place) else {
            return Ok(None);
        };
        let there = !folder.contains("..") && !self.project.0.list(folder.trim_end_matches('/')).is_empty();
        if there {
            Ok(Some(folder))
        } else {
            Err(self.refused(part, format!("there is no folder \"{folder}\" in the project")))
        }
    }
}

fn in_folder(found: &Suggestion) -> String {
    if found.folder.is_empty() {
        return found.command.clone();
    }
    // `./` keeps a folder named like an option from being one.
    let folder = if found.folder.starts_with('-') { format!("./{}", found.folder) } else { found.folder.clone() };
    format!("cd {} && {}", quote(&folder), found.command)
}

/// A name that a package manager takes, and no option, URL or path.
fn is_package(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphanumeric() || c == '@' || c == '_')
        && name.len() <= 200
        && !name.contains("://")
        && !name.contains("..")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "@/._-[]<>=!~^,+".contains(c))
}

/// One word of the shell, whatever is in it.
pub(in crate::planner) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_makes_one_word() {
        assert_eq!(quote("a/b.py"), "a/b.py");
        assert_eq!(quote("it's; rm -rf $HOME"), r"'it'\''s; rm -rf $HOME'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a\nb"), "'a\nb'");
    }

    #[test]
    fn package_names() {
        for name in ["requests", "numpy>=1.2", "@types/node", "uvicorn[standard]", "left-pad@1.0.0"] {
            assert!(is_package(name), "{name}");
        }
        for name in ["-r", "--index-url=http://x", "a;b", "http://x/y", "../x", "", "$(x)"] {
            assert!(!is_package(name), "{name}");
        }
    }
}
