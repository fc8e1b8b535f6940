//! Approval rules as people write them: on the command line and in settings files.

use std::str::FromStr;

/// What a rule says about the calls it matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Action {
    /// They pass.
    Allow,
    /// A person is asked; without one they are refused.
    #[default]
    Ask,
    /// They are refused.
    Deny,
}

/// One rule. The last one that matches a call decides; without any it passes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What it says.
    pub(crate) action: Action,
    /// A glob over tool names; empty matches every tool.
    pub(crate) tool: String,
    /// A glob over the paths in a call's arguments.
    pub(crate) path: Option<String>,
    /// A glob over the command of a call.
    pub(crate) command: Option<String>,
}

impl FromStr for Action {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "allow" => Ok(Self::Allow),
            "ask" => Ok(Self::Ask),
            "deny" => Ok(Self::Deny),
            other => Err(format!("`{other}` is no action: allow, ask or deny")),
        }
    }
}

impl Action {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// `ACTION TOOL [path=GLOB] [command=GLOB]`; a command may hold spaces, so it comes last.
impl FromStr for Rule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (head, command) = match text.find("command=") {
            Some(at) => (&text[..at], Some(text[at + "command=".len()..].trim().to_owned())),
            None => (text, None),
        };
        let mut words = head.split_whitespace();
        let action = words.next().ok_or("the rule is empty")?.parse()?;
        let mut rule = Self { action, command, ..Self::default() };
        for word in words {
            match word.strip_prefix("path=") {
                Some(glob) => rule.path = Some(glob.to_owned()),
                None if rule.tool.is_empty() && !word.contains('=') => rule.tool = word.to_owned(),
                None => return Err(format!("`{word}` is not understood")),
            }
        }
        if rule.tool.is_empty() {
            rule.tool = "*".to_owned();
        }
        if rule.command.as_deref() == Some("") || rule.path.as_deref() == Some("") {
            return Err("a glob is empty".to_owned());
        }
        Ok(rule)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.action.as_str(), if self.tool.is_empty() { "*" } else { &self.tool })?;
        if let Some(path) = &self.path {
            write!(f, " path={path}")?;
        }
        if let Some(command) = &self.command {
            write!(f, " command={command}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_shown() {
        for text in [
            "allow *",
            "deny shell command=rm -rf *",
            "ask file_* path=src/**",
            "deny shell path=/etc/** command=cat *",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        assert_eq!("deny".parse::<Rule>().unwrap().tool, "*");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "perhaps shell", "deny shell extra", "deny shell command=", "deny tool=shell"] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
