//! Whether a simple command is what a rule of a list means: by words and options, not by substring.

use super::{Text, base_name};

/// Whether a simple command is what a blocked rule means: the same name, every option letter of the rule, every
/// other word of it (`if=` is a beginning), in any order. `rm -r -f //` is `rm -rf /`; `rm -rf /tmp/x` is not.
pub(super) fn matches_blocked(simple: &[Text], rule: &str) -> bool {
    let mut rule = rule.split_whitespace();
    let Some(name) = rule.next() else { return false };
    let Some(called) = simple.first().and_then(Option::as_deref).map(base_name) else { return false };
    // mkfs stands for mkfs.ext4 and its kin.
    if called != name && !called.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) {
        return false;
    }
    let arguments: Vec<&str> = simple[1..].iter().flatten().map(String::as_str).collect();
    let options = letters(&arguments);
    rule.all(|wanted| match wanted {
        option if option.starts_with('-') => {
            arguments.contains(&option) || letters(&[option]).chars().all(|letter| options.contains(letter))
        }
        beginning if beginning.ends_with('=') => arguments.iter().any(|argument| argument.starts_with(beginning)),
        word => arguments.iter().any(|argument| same_word(argument, word)),
    })
}

/// The option letters of some arguments, the long forms of `rm`'s among them.
fn letters(arguments: &[&str]) -> String {
    let of = |argument: &&str| match *argument {
        "--recursive" | "-R" => "r".to_owned(),
        "--force" => "f".to_owned(),
        short if short.starts_with('-') && !short.starts_with("--") => short[1..].replace('R', "r"),
        _ => String::new(),
    };
    arguments.iter().map(of).collect()
}

/// Whether two words mean the same, paths by what they lead to: `/`, `//`, `/.`, `/*` and `/tmp/..` are one.
fn same_word(argument: &str, word: &str) -> bool {
    let plain = |path: &str| {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/').filter(|part| !matches!(*part, "" | "." | "*")) {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        parts.join("/")
    };
    argument == word || (word.starts_with('/') && argument.starts_with('/') && plain(argument) == plain(word))
}

/// Whether a simple command begins with the words of an allowed rule: `git status` allows `git status -s`.
/// The name must be the very one: `/tmp/ls` is not `ls`.
pub(super) fn matches_allowed(simple: &[Text], rule: &str) -> bool {
    let mut words = simple.iter();
    let mut rule = rule.split_whitespace().peekable();
    rule.peek().is_some() && rule.all(|wanted| words.next().and_then(Option::as_deref) == Some(wanted))
}
