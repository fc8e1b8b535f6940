//! Which files a rule is for: globs over the path from the root of the tree, as in an ignore file.

use globset::{Candidate, GlobBuilder, GlobMatcher};

use crate::error::Problem;

/// The `files` and `exclude` of a rule.
#[derive(Debug, Default)]
pub(crate) struct Globs {
    /// Each with whether it takes files in (`false`: it began with `!`).
    files: Vec<(GlobMatcher, bool)>,
    exclude: Vec<(GlobMatcher, bool)>,
}

impl Globs {
    pub(crate) fn compile(files: &[String], exclude: &[String]) -> Result<Self, Problem> {
        Ok(Self { files: list("files", files)?, exclude: list("exclude", exclude)? })
    }
    pub(crate) fn take(&self, candidate: &Candidate<'_>) -> bool {
        // A list that only takes out starts from everything.
        let all = self.files.iter().all(|(_, takes)| !takes);
        last(&self.files, candidate).unwrap_or(all) && !last(&self.exclude, candidate).unwrap_or(false)
    }
}

/// What the last glob that matches says.
fn last(globs: &[(GlobMatcher, bool)], candidate: &Candidate<'_>) -> Option<bool> {
    globs.iter().rev().find(|(glob, _)| glob.is_match_candidate(candidate)).map(|(_, takes)| *takes)
}

fn list(field: &str, globs: &[String]) -> Result<Vec<(GlobMatcher, bool)>, Problem> {
    globs
        .iter()
        .map(|written| {
            let (glob, takes) = match written.strip_prefix('!') {
                Some(rest) => (rest, false),
                None => (written.as_str(), true),
            };
            if glob.is_empty() {
                return Err(Problem::of(field, format!("{written:?} is no glob"), "write one such as `src/**/*.py`"));
            }
            let mut whole = glob.strip_prefix("./").unwrap_or(glob).to_owned();
            // Without a slash but at its end it means the name, in any folder.
            if !whole.trim_end_matches('/').contains('/') {
                whole.insert_str(0, "**/");
            }
            if whole.ends_with('/') {
                whole.push_str("**");
            }
            let whole = whole.trim_start_matches('/');
            let matcher = GlobBuilder::new(whole).literal_separator(true).build().map_err(|error| {
                let help = "`*` stays within a folder, `**` crosses folders, `{a,b}` is either, `!` in front takes out";
                Problem::of(field, format!("bad glob {written:?}: {}", error.kind()), help)
            })?;
            Ok((matcher.compile_matcher(), takes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::target::Target;

    fn taken(files: &[&str], exclude: &[&str], path: &str) -> bool {
        let owned = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
        Globs::compile(&owned(files), &owned(exclude)).unwrap().take(&Target::new(Path::new(path)).candidate)
    }

    #[test]
    fn globs_say_which_files() {
        assert!(taken(&[], &[], "any/thing"));
        assert!(taken(&["*.py"], &[], "a/b/c.py"), "a name matches in any folder");
        assert!(!taken(&["/*.py"], &[], "a/c.py"), "a slash in front means the root");
        assert!(taken(&["src/*.py"], &[], "./src/a.py"));
        assert!(!taken(&["src/*.py"], &[], "src/deep/a.py"), "one star stays within a folder");
        assert!(taken(&["src/**/*.py"], &[], "src/deep/er/a.py"));
        assert!(taken(&["src/**/*.py"], &[], "src/a.py"));
        assert!(taken(&["tests/"], &[], "a/tests/b/c.py"), "a folder means what is in it");
        assert!(taken(&["*.{py,pyi}"], &[], "a.pyi"));
    }

    #[test]
    fn an_exclamation_mark_takes_out_and_the_last_that_matches_decides() {
        assert!(!taken(&["*.py", "!gen/**"], &[], "gen/a.py"));
        assert!(taken(&["*.py", "!gen/**", "gen/keep.py"], &[], "gen/keep.py"));
        assert!(taken(&["!gen/**"], &[], "a.txt"), "a list that only takes out starts from everything");
        assert!(!taken(&["*.py"], &["old/**"], "old/a.py"));
        assert!(taken(&["*.py"], &["old/**", "!old/keep.py"], "old/keep.py"));
    }

    #[test]
    fn a_bad_glob_says_what_is_wrong() {
        let problem = Globs::compile(&[], &["a[".into()]).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("exclude"));
        assert!(problem.problem.contains("bad glob \"a[\": unclosed character class"), "{}", problem.problem);
        assert!(Globs::compile(&["!".into()], &[]).is_err());
    }
}
