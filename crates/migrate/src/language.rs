//! The languages whose syntax is known, and how a file's name tells its language.

use std::path::Path;

use ast_grep_language::SupportLang;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A language whose grammar is compiled in.
///
/// ```
/// use agentic_migrate::Language;
/// use std::path::Path;
///
/// assert_eq!(Language::of(Path::new("src/client.py")), Some(Language::Python));
/// assert_eq!(Language::of(Path::new("notes.txt")), None);
/// assert_eq!(Language::named("c++"), Some(Language::Cpp));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Language {
    /// Python 3: `.py`, `.pyi`, `.pyw`.
    Python,
    /// Rust: `.rs`.
    Rust,
    /// JavaScript with JSX: `.js`, `.jsx`, `.mjs`, `.cjs`.
    JavaScript,
    /// TypeScript: `.ts`, `.mts`, `.cts`.
    TypeScript,
    /// TypeScript with JSX: `.tsx`.
    Tsx,
    /// Go: `.go`.
    Go,
    /// Java: `.java`.
    Java,
    /// C: `.c`, `.h`.
    C,
    /// C++: `.cc`, `.cpp`, `.cxx`, `.hh`, `.hpp`, `.hxx`, `.ipp`, `.inl`, and `.h` for a rule that names C++ and not C.
    Cpp,
    /// Shell, read as bash: `.sh`, `.bash`, and the start-up files of bash.
    Bash,
}

impl Language {
    /// Every language, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Python,
        Self::Rust,
        Self::JavaScript,
        Self::TypeScript,
        Self::Tsx,
        Self::Go,
        Self::Java,
        Self::C,
        Self::Cpp,
        Self::Bash,
    ];

    /// Its name in a rules file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Tsx => "tsx",
            Self::Go => "go",
            Self::Java => "java",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Bash => "bash",
        }
    }

    /// The language of this name or usual short form, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "python" | "py" => Self::Python,
            "rust" | "rs" => Self::Rust,
            "javascript" | "js" | "jsx" => Self::JavaScript,
            "typescript" | "ts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "go" | "golang" => Self::Go,
            "java" => Self::Java,
            "c" => Self::C,
            "cpp" | "c++" | "cc" | "cxx" => Self::Cpp,
            "bash" | "sh" | "shell" => Self::Bash,
            _ => return None,
        })
    }

    /// The language of a file by its name; the content is not looked at.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if matches!(name, ".bashrc" | ".bash_profile" | ".bash_login" | ".bash_logout" | ".bash_aliases" | ".profile") {
            return Some(Self::Bash);
        }
        Some(match path.extension()?.to_str()? {
            "py" | "pyi" | "pyw" => Self::Python,
            "rs" => Self::Rust,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "go" => Self::Go,
            "java" => Self::Java,
            "c" | "h" => Self::C,
            "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" | "ipp" | "inl" => Self::Cpp,
            "sh" | "bash" => Self::Bash,
            _ => return None,
        })
    }

    pub(crate) fn grammar(self) -> SupportLang {
        match self {
            Self::Python => SupportLang::Python,
            Self::Rust => SupportLang::Rust,
            Self::JavaScript => SupportLang::JavaScript,
            Self::TypeScript => SupportLang::TypeScript,
            Self::Tsx => SupportLang::Tsx,
            Self::Go => SupportLang::Go,
            Self::Java => SupportLang::Java,
            Self::C => SupportLang::C,
            Self::Cpp => SupportLang::Cpp,
            Self::Bash => SupportLang::Bash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_is_found_by_its_name_and_serialises_to_it() {
        for language in Language::ALL {
            assert_eq!(Language::named(language.name()), Some(language));
            assert_eq!(serde_json::to_value(language).unwrap(), language.name());
        }
        assert_eq!(Language::named("cobol"), None);
    }
}
