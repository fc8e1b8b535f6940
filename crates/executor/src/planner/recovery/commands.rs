//! Commands that stand in for one that is not installed.

/// Commands that do the same, in the order in which they are tried.
pub(super) const ALTERNATIVES: &[(&str, &str)] = &[
    ("pytest", "python3 -m pytest"),
    ("py.test", "python3 -m pytest"),
    ("python", "python3"),
    ("python3", "python"),
    ("pip", "python3 -m pip"),
    ("pip3", "python3 -m pip"),
    ("node", "nodejs"),
    ("make", "gmake"),
];

/// The same command line with the program that is missing replaced by another that does the same. `missing` is its
/// name, when the failure says it; otherwise the first program with a known replacement counts.
///
/// ```
/// use agentic_executor::planner::recovery::alternative_command;
/// assert_eq!(alternative_command("cd api && pytest -q", Some("pytest")).unwrap(), "cd api && python3 -m pytest -q");
/// assert_eq!(alternative_command("python x.py", None).unwrap(), "python3 x.py");
/// assert!(alternative_command("echo pytest", Some("pytest")).is_none());
/// ```
pub fn alternative_command(command: &str, missing: Option<&str>) -> Option<String> {
    for (start, end) in programs(command) {
        let program = &command[start..end];
        if missing.is_some_and(|missing| missing != program) {
            continue;
        }
        if let Some((_, instead)) = ALTERNATIVES.iter().find(|(name, _)| *name == program) {
            return Some(format!("{}{instead}{}", &command[..start], &command[end..]));
        }
    }
    None
}

/// Where the programs of a command line stand: the first word of each simple command, assignments aside. What is
/// quoted or cannot be told is no program.
fn programs(command: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut expects = true;
    let mut quote = None;
    let mut word: Option<usize> = None;
    let mut escaped = false;
    for (at, c) in command.char_indices().chain([(command.len(), '\n')]) {
        if escaped {
            escaped = false;
            continue;
        }
        if let Some(open) = quote {
            match c {
                '\\' if open == '"' => escaped = true,
                c if c == open => quote = None,
                _ => {}
            }
            continue;
        }
        let ends = c.is_whitespace() || ";&|()".contains(c);
        if !ends {
            word.get_or_insert(at);
            match c {
                '\'' | '"' | '`' => quote = Some(c),
                '\\' => escaped = true,
                _ => {}
            }
            continue;
        }
        if let Some(start) = word.take()
            && expects
        {
            let text = &command[start..at];
            if !text.contains('=') {
                found.push((start, at));
                expects = false;
            }
        }
        if c == '\n' || ";&|(".contains(c) {
            expects = true;
        }
    }
    found
}
