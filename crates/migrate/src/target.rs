//! A file as the rules see it before they see its text: its path, and what that tells.

use std::path::Path;

use globset::Candidate;

use crate::language::Language;

/// A path, looked at once for all rules.
pub(crate) struct Target<'p> {
    pub(crate) candidate: Candidate<'p>,
    language: Option<Language>,
    /// A header, which the languages C and C++ share.
    header: bool,
}

impl<'p> Target<'p> {
    pub(crate) fn new(path: &'p Path) -> Self {
        let path = path.strip_prefix(".").unwrap_or(path);
        let header = path.extension().is_some_and(|extension| extension == "h");
        Self { candidate: Candidate::new(path), language: Language::of(path), header }
    }

    /// As which language a rule for `languages` (none: any) reads the file: a header is C++ for a rule that means C++.
    pub(crate) fn language(&self, languages: &[Language]) -> Option<Language> {
        let language = self.language?;
        if languages.is_empty() || languages.contains(&language) {
            return Some(language);
        }
        (self.header && languages.contains(&Language::Cpp)).then_some(Language::Cpp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_cpp_only_for_a_rule_that_means_cpp() {
        let header = Target::new(Path::new("./include/a.h"));
        assert_eq!(header.language(&[]), Some(Language::C));
        assert_eq!(header.language(&[Language::Cpp]), Some(Language::Cpp));
        assert_eq!(header.language(&[Language::Cpp, Language::C]), Some(Language::C));
        assert_eq!(header.language(&[Language::Java]), None);
        assert_eq!(Target::new(Path::new("a.c")).language(&[Language::Cpp]), None);
    }
}
