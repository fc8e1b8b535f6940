//! The simple commands of a shell command line, so that a rule about `git *` is not fooled by `git status; rm -rf .`.

use brush_parser::{Token, tokenize_str};

/// What a command line runs.
pub(super) struct Commands {
    /// Each simple command with its words as a shell would see them, quotes taken off.
    pub(super) texts: Vec<String>,
    /// Whether these are all: no substitution, no evaluation, nothing that cannot be parsed.
    pub(super) judgeable: bool,
}

const RESERVED: [&str; 14] =
    ["if", "then", "else", "elif", "fi", "do", "done", "while", "until", "case", "esac", "{", "}", "!"];
const EVALUATING: [&str; 8] = ["eval", "exec", "source", ".", "env", "xargs", "command", "builtin"];

pub(super) fn simple_commands(line: &str) -> Commands {
    let Ok(tokens) = tokenize_str(line) else {
        return Commands { texts: inner(line), judgeable: false };
    };
    let mut commands = Commands { texts: Vec::new(), judgeable: true };
    let mut words: Vec<String> = Vec::new();
    let end = |words: &mut Vec<String>, commands: &mut Commands| {
        if let Some(first) = words.first() {
            commands.judgeable &= !EVALUATING.contains(&first.as_str());
            commands.texts.push(words.join(" "));
            words.clear();
        }
    };
    for token in &tokens {
        match token {
            Token::Operator(text, _) if text.contains(['<', '>']) => words.push(text.clone()),
            Token::Operator(..) => end(&mut words, &mut commands),
            Token::Word(text, _) => {
                if text.contains("$(") || text.contains('`') || text.contains("<(") || text.contains(">(") {
                    commands.judgeable = false;
                    commands.texts.extend(inner(text));
                }
                if words.is_empty() && RESERVED.contains(&text.as_str()) {
                    continue;
                }
                if words.is_empty() && is_assignment(text) {
                    // `X=1 command` runs `command`; the assignment can change what that means.
                    commands.judgeable = false;
                    continue;
                }
                words.push(brush_parser::unquote_str(text));
            }
        }
    }
    end(&mut words, &mut commands);
    commands
}

/// What stands after each `$(` and backtick, for rules that refuse: read by eye, not parsed.
fn inner(text: &str) -> Vec<String> {
    let parts = text.split(['`', '(', ')', ';', '&', '|', '\n']);
    parts.map(|part| part.trim().trim_matches(['"', '\'']).to_owned()).filter(|part| !part.is_empty()).collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_simple_command() {
        for (line, expected, judgeable) in [
            ("git status", vec!["git status"], true),
            ("git status; rm -rf .", vec!["git status", "rm -rf ."], true),
            ("a 'x; y' && \"b\" c | d &", vec!["a x; y", "b c", "d"], true),
            ("if true; then rm x; fi", vec!["true", "rm x"], true),
            ("A=1 make", vec!["make"], false),
            ("eval rm x", vec!["eval rm x"], false),
        ] {
            let commands = simple_commands(line);
            assert_eq!(commands.texts, expected, "{line}");
            assert_eq!(commands.judgeable, judgeable, "{line}");
        }
    }

    #[test]
    fn what_hides_in_a_substitution_is_seen_and_never_judged_safe() {
        for line in ["echo $(rm -rf x)", "echo `rm -rf x`", "echo \"$(rm -rf x)\"", "echo 'unclosed $(rm -rf x)"] {
            let commands = simple_commands(line);
            assert!(commands.texts.iter().any(|text| text == "rm -rf x"), "{line}: {:?}", commands.texts);
            assert!(!commands.judgeable, "{line}");
        }
    }
}
