//! Allow- and block-lists for shell commands, judged on the parsed simple commands.
//!
//! [`judge`] says whether a command passes. One decision: this is a convenience that catches mistakes early
//! and explains itself, not a boundary; whatever gets past it meets the sandbox. Under an allow-list, what
//! cannot be understood is refused; under a block-list alone it is left to the shell and the sandbox.

use brush_parser::ast::{
    Assignment, AssignmentName, AssignmentValue, Command, CommandPrefixOrSuffixItem, CompoundCommand, CompoundList,
    ExtendedTestExpr, IoFileRedirectTarget, IoRedirect, Pipeline, SimpleCommand, Word,
};
use brush_parser::word::{self, WordPiece, WordPieceWithSource};
use brush_parser::{Parser, ParserOptions};

mod rules;

use rules::{matches_allowed, matches_blocked};

/// What is blocked unless the operator says otherwise.
pub const BLOCKED_BY_DEFAULT: &[&str] = &["rm -rf /", "mkfs", "dd if="];

/// A command deeper nested than this is not parsed: the parser works by recursion and backtracking.
const MOST_NESTED: usize = 12;
/// Substitutions within substitutions are followed this deep.
const MOST_SUBSTITUTED: usize = 4;
/// So many words after a wrapper's name may be its own.
const MOST_OPTIONS: usize = 16;
/// Variables that decide what a name means.
const DECIDING: [&str; 8] =
    ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV", "IFS", "SHELLOPTS"];
/// Commands that run the command in their arguments.
const WRAPPERS: [&str; 15] = [
    "sudo", "doas", "env", "nice", "ionice", "nohup", "timeout", "command", "exec", "builtin", "stdbuf", "setsid",
    "xargs", "time", "chroot",
];
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];

/// Whether a command passes the lists.
///
/// # Errors
/// Why not, in a sentence that names the rule and the simple command.
pub fn judge(command: &str, allowed: Option<&[String]>, blocked: &[String]) -> Result<(), String> {
    if allowed.is_none() && blocked.is_empty() {
        return Ok(());
    }
    let found = match parse(command, 0) {
        Ok(found) => found,
        Err(reason) => {
            return match allowed {
                Some(_) => {
                    Err(format!("the command cannot be parsed ({reason}), and there is a list of allowed commands"))
                }
                None => judge_words(command, blocked),
            };
        }
    };
    for simple in found.simple.iter().chain(&found.within) {
        for rule in blocked {
            if matches_blocked(simple, rule) {
                return Err(format!("Command blocked: `{}` matches the blocked `{rule}`", show(simple)));
            }
        }
    }
    let Some(allowed) = allowed else { return Ok(()) };
    if let Some(what) = &found.hidden {
        return Err(format!("Command not allowed: {what}, and there is a list of allowed commands"));
    }
    for simple in &found.simple {
        if !allowed.iter().any(|rule| matches_allowed(simple, rule)) {
            return Err(format!("Command not allowed: `{}` is not in the list ({})", show(simple), allowed.join(", ")));
        }
    }
    Ok(())
}

/// A word's text; `None` where only running the shell would tell.
type Text = Option<String>;

/// The simple commands of a command, and what an allow-list cannot judge.
#[derive(Debug, Default)]
struct Found {
    /// What the shell itself runs.
    simple: Vec<Vec<Text>>,
    /// What those seem to run in turn (`sudo …`, `sh -c …`): good enough to block, not to allow.
    within: Vec<Vec<Text>>,
    hidden: Option<String>,
}

fn show(simple: &[Text]) -> String {
    let words = simple.iter().map(|word| word.as_deref().unwrap_or("…"));
    words.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

fn options() -> ParserOptions {
    ParserOptions::default()
}

fn parse(command: &str, depth: usize) -> Result<Found, String> {
    if nesting(command) > MOST_NESTED {
        return Err(format!("nested deeper than {MOST_NESTED}"));
    }
    // The parser is not ours: a panic of its is a command that cannot be parsed.
    let parsed = std::panic::catch_unwind(|| Parser::new(command.as_bytes(), &options()).parse_program());
    let program = parsed.map_err(|_| "the parser gave up".to_owned())?.map_err(|error| error.to_string())?;
    let mut found = Found::default();
    for list in &program.complete_commands {
        found.list(list, depth);
    }
    Ok(found)
}

/// How deep a command seems to nest, brackets and keywords in quotes counted too: an upper bound.
fn nesting(command: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for word in command.split_inclusive(|c: char| c.is_whitespace() || "(){}[];`\"".contains(c)) {
        let opened = word.ends_with(['(', '{', '[']);
        let closed = word.ends_with([')', '}', ']']);
        match word.trim_end_matches(|c: char| c.is_whitespace() || "(){}[];`\"".contains(c)) {
            "if" | "while" | "until" | "for" | "case" | "select" | "coproc" | "time" | "!" => now += 1,
            "fi" | "done" | "esac" => now = now.saturating_sub(1),
            _ => {}
        }
        now = (now + usize::from(opened)).saturating_sub(usize::from(closed));
        most = most.max(now);
    }
    most
}

impl Found {
    fn hide(&mut self, what: &str) {
        self.hidden.get_or_insert_with(|| what.to_owned());
    }
    fn list(&mut self, list: &CompoundList, depth: usize) {
        for item in &list.0 {
            for (_, pipeline) in &item.0 {
                self.pipeline(pipeline, depth);
            }
        }
    }
    fn pipeline(&mut self, pipeline: &Pipeline, depth: usize) {
        for command in &pipeline.seq {
            self.command(command, depth);
        }
    }
    fn command(&mut self, command: &Command, depth: usize) {
        let redirects = match command {
            Command::Simple(simple) => {
                self.simple(simple, depth);
                None
            }
            Command::Compound(compound, redirects) => {
                self.compound(compound, depth);
                redirects.as_ref()
            }
            Command::Function(function) => {
                self.compound(&function.body.0, depth);
                function.body.1.as_ref()
            }
            Command::ExtendedTest(test, redirects) => {
                self.test(&test.expr, depth);
                redirects.as_ref()
            }
        };
        for redirect in redirects.iter().flat_map(|list| &list.0) {
            self.redirect(redirect, depth);
        }
    }
    fn compound(&mut self, compound: &CompoundCommand, depth: usize) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => self.raw(&arithmetic.expr.value),
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten() {
                    self.raw(&part.value);
                }
                self.list(&clause.body.list, depth);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list, depth),
            CompoundCommand::Subshell(subshell) => self.list(&subshell.list, depth),
            CompoundCommand::ForClause(clause) => {
                for word in clause.values.iter().flatten() {
                    self.word(word, depth);
                }
                self.list(&clause.body.list, depth);
            }
            CompoundCommand::CaseClause(clause) => {
                self.word(&clause.value, depth);
                for case in &clause.cases {
                    for pattern in &case.patterns {
                        self.word(pattern, depth);
                    }
                    if let Some(list) = &case.cmd {
                        self.list(list, depth);
                    }
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, depth);
                self.list(&clause.then, depth);
                for otherwise in clause.elses.iter().flatten() {
                    if let Some(condition) = &otherwise.condition {
                        self.list(condition, depth);
                    }
                    self.list(&otherwise.body, depth);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0, depth);
                self.list(&clause.1.list, depth);
            }
            CompoundCommand::Coprocess(coprocess) => self.command(&coprocess.body, depth),
        }
    }
    fn test(&mut self, test: &ExtendedTestExpr, depth: usize) {
        match test {
            ExtendedTestExpr::And(a, b) | ExtendedTestExpr::Or(a, b) => {
                self.test(a, depth);
                self.test(b, depth);
            }
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => self.test(inner, depth),
            ExtendedTestExpr::UnaryTest(_, word) => {
                self.word(word, depth);
            }
            ExtendedTestExpr::BinaryTest(_, a, b) => {
                self.word(a, depth);
                self.word(b, depth);
            }
        }
    }
    fn simple(&mut self, simple: &SimpleCommand, depth: usize) {
        let mut words = Vec::new();
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            self.item(item, depth, &mut words);
        }
        words.clear();
        if let Some(name) = &simple.word_or_name {
            words.push(self.word(name, depth));
        }
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            self.item(item, depth, &mut words);
        }
        if simple.word_or_name.is_some() {
            self.within(&words, depth);
            self.simple.push(words);
        }
    }
    fn item(&mut self, item: &CommandPrefixOrSuffixItem, depth: usize, words: &mut Vec<Text>) {
        match item {
            CommandPrefixOrSuffixItem::IoRedirect(redirect) => self.redirect(redirect, depth),
            CommandPrefixOrSuffixItem::Word(word) => {
                let text = self.word(word, depth);
                words.push(text);
            }
            CommandPrefixOrSuffixItem::AssignmentWord(assignment, word) => {
                self.assignment(assignment, depth);
                let text = self.word(word, depth);
                words.push(text);
            }
            CommandPrefixOrSuffixItem::ProcessSubstitution(_, subshell) => {
                self.hide("it substitutes a process");
                self.list(&subshell.list, depth);
                words.push(None);
            }
        }
    }
    fn assignment(&mut self, assignment: &Assignment, depth: usize) {
        let name = match &assignment.name {
            AssignmentName::VariableName(name) => name,
            AssignmentName::ArrayElementName(name, index) => {
                self.raw(index);
                name
            }
        };
        if DECIDING.contains(&name.as_str()) {
            self.hide(&format!("it sets {name}"));
        }
        match &assignment.value {
            AssignmentValue::Scalar(word) => {
                self.word(word, depth);
            }
            AssignmentValue::Array(items) => {
                for (index, word) in items {
                    if let Some(index) = index {
                        self.word(index, depth);
                    }
                    self.word(word, depth);
                }
            }
        }
    }
    fn redirect(&mut self, redirect: &IoRedirect, depth: usize) {
        match redirect {
            IoRedirect::File(_, _, target) => match target {
                IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word) => {
                    self.word(word, depth);
                }
                IoFileRedirectTarget::ProcessSubstitution(_, subshell) => {
                    self.hide("it substitutes a process");
                    self.list(&subshell.list, depth);
                }
                IoFileRedirectTarget::Fd(_) => {}
            },
            IoRedirect::HereDocument(_, document) if document.requires_expansion => {
                self.raw(&document.doc.value);
            }
            IoRedirect::HereDocument(..) => {}
            IoRedirect::HereString(_, word) | IoRedirect::OutputAndError(word, _) => {
                self.word(word, depth);
            }
        }
    }

    /// The text of a word, with whatever it substitutes looked into.
    fn word(&mut self, word: &Word, depth: usize) -> Text {
        match word::parse(&word.value, &options()) {
            Ok(pieces) => self.pieces(&pieces, &word.value, depth),
            Err(_) => {
                self.hide("a word cannot be parsed");
                None
            }
        }
    }
    fn pieces(&mut self, pieces: &[WordPieceWithSource], source: &str, depth: usize) -> Text {
        let mut text = Some(String::new());
        for piece in pieces {
            let known = match &piece.piece {
                WordPiece::Text(plain) | WordPiece::SingleQuotedText(plain) => Some(plain.clone()),
                WordPiece::EscapeSequence(escaped) => {
                    Some(escaped.strip_prefix('\\').unwrap_or(escaped).trim_start_matches('\n').to_owned())
                }
                WordPiece::AnsiCQuotedText(quoted) if !quoted.contains('\\') => Some(quoted.clone()),
                WordPiece::AnsiCQuotedText(_) => None,
                WordPiece::DoubleQuotedSequence(inner) | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    self.pieces(inner, source, depth)
                }
                WordPiece::TildeExpansion(_) => source.get(piece.start_index..piece.end_index).map(str::to_owned),
                WordPiece::CommandSubstitution(command) | WordPiece::BackquotedCommandSubstitution(command) => {
                    self.substituted(command, depth);
                    None
                }
                WordPiece::ParameterExpansion(_) | WordPiece::ArithmeticExpression(_) => {
                    // `${x:-$(cmd)}` and `$(( a[$(cmd)] ))` run commands too. Indices of quoted pieces are not
                    // worth trusting, so the whole word is looked at.
                    self.raw(source);
                    None
                }
            };
            text = text.zip(known).map(|(text, known)| text + &known);
        }
        text
    }
    /// Text that is expanded but is no word: only whether it substitutes matters.
    fn raw(&mut self, text: &str) {
        let plain = text.replace("$((", "");
        if plain.contains("$(") || plain.contains('`') {
            self.hide("it substitutes a command");
        }
    }
    fn substituted(&mut self, command: &str, depth: usize) {
        self.hide("it substitutes a command");
        self.nested(command, depth);
    }
    fn nested(&mut self, command: &str, depth: usize) {
        if depth < MOST_SUBSTITUTED
            && let Ok(found) = parse(command, depth + 1)
        {
            self.within.extend(found.simple);
            self.within.extend(found.within);
        }
    }
    /// Commands within a simple command's arguments: `sudo …`, `sh -c '…'`, `eval …`.
    fn within(&mut self, words: &[Text], depth: usize) {
        let Some(name) = words.first().and_then(Option::as_deref).map(base_name) else { return };
        let arguments = &words[1..];
        if SHELLS.contains(&name) {
            let code = arguments.iter().flatten().position(|word| word.starts_with('-') && word.ends_with('c'));
            if let Some(code) = code.and_then(|at| arguments.get(at + 1)?.as_deref()) {
                self.nested(code, depth);
            }
        } else if name == "eval" {
            let code: Vec<&str> = arguments.iter().flatten().map(String::as_str).collect();
            self.nested(&code.join(" "), depth);
        } else if WRAPPERS.contains(&name) {
            // Where its own options end is each wrapper's business; every rest is tried.
            for start in 0..arguments.len().min(MOST_OPTIONS) {
                self.within.push(arguments[start..].to_vec());
            }
            // A wrapped shell: `sudo sh -c '…'`.
            let shell = arguments.iter().take(MOST_OPTIONS).position(|word| {
                word.as_deref().is_some_and(|word| SHELLS.contains(&base_name(word)) || word == "eval")
            });
            if let Some(at) = shell {
                self.within(&arguments[at..], depth);
            }
        }
    }
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Without a parse, a block-list still looks at the words between separators.
fn judge_words(command: &str, blocked: &[String]) -> Result<(), String> {
    for part in command.split(['\n', ';', '|', '&', '(', ')', '{', '}', '`']) {
        let words = part.split_whitespace().map(|word| Some(word.trim_matches(['"', '\'']).to_owned()));
        let words: Vec<Text> = words.collect();
        for start in 0..words.len().min(MOST_OPTIONS) {
            if let Some(rule) = blocked.iter().find(|rule| matches_blocked(&words[start..], rule)) {
                return Err(format!("Command blocked: `{}` matches the blocked `{rule}`", show(&words[start..])));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
