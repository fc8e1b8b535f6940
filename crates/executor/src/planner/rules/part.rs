//! One part of a task, with a note of which of its words a rule made use of.

use crate::planner::split::FILLERS;
use crate::planner::words::Word;

/// Words that carry nothing once a part's kind is known.
const NOISE: &[&str] = &[
    "the",
    "a",
    "an",
    "all",
    "of",
    "my",
    "our",
    "this",
    "that",
    "these",
    "those",
    "its",
    "it",
    "them",
    "every",
    "any",
    "some",
    "to",
    "in",
    "into",
    "on",
    "onto",
    "for",
    "from",
    "with",
    "at",
    "by",
    "as",
    "inside",
    "within",
    "across",
    "under",
    "through",
    "file",
    "files",
    "folder",
    "folders",
    "directory",
    "directories",
    "dir",
    "project",
    "projects",
    "repo",
    "repository",
    "codebase",
    "code",
    "source",
    "sources",
    "workspace",
    "here",
    "there",
    "up",
    "out",
    "content",
    "contents",
    "containing",
    "named",
    "called",
    "name",
    "new",
    "function",
    "functions",
    "method",
    "methods",
    "variable",
    "variables",
    "class",
    "classes",
    "symbol",
    "identifier",
    "text",
    "string",
    "word",
    "line",
    "lines",
    "pattern",
    "occurrence",
    "occurrences",
    "usage",
    "usages",
    "use",
    "uses",
    "reference",
    "references",
    "where",
    "is",
    "are",
    "be",
    "has",
    "have",
    "do",
    "does",
    "so",
    "whole",
    "entire",
    "full",
    "everything",
    "everywhere",
    "current",
    "me",
    "suite",
    "suites",
    "if",
];

pub(super) struct Part<'w> {
    pub(super) words: &'w [Word],
    /// The words as a text, for messages.
    pub(super) text: String,
    used: Vec<bool>,
}

impl<'w> Part<'w> {
    pub(super) fn new(words: &'w [Word]) -> Self {
        let shown = |word: &Word| if word.quoted { format!("\"{}\"", word.text) } else { word.text.clone() };
        let text = words.iter().map(shown).collect::<Vec<_>>().join(" ");
        Self { words, text, used: vec![false; words.len()] }
    }
    /// The place of the first word that is not mere politeness.
    pub(super) fn verb(&self) -> Option<usize> {
        self.words.iter().position(|word| !word.is_one_of(FILLERS) && !word.is_one_of(&["the", "a"]))
    }
    pub(super) fn has(&self, words: &[&str]) -> bool {
        self.words.iter().any(|word| word.is_one_of(words))
    }
    pub(super) fn word(&self, at: usize) -> Option<&'w Word> {
        self.words.get(at)
    }
    pub(super) fn is(&self, at: usize, words: &[&str]) -> bool {
        self.word(at).is_some_and(|word| word.is_one_of(words))
    }
    /// Notes that a rule made use of the word.
    pub(super) fn use_at(&mut self, at: usize) {
        if let Some(used) = self.used.get_mut(at) {
            *used = true;
        }
    }
    pub(super) fn use_words(&mut self, words: &[&str]) {
        for (at, word) in self.words.iter().enumerate() {
            self.used[at] |= word.is_one_of(words);
        }
    }
    pub(super) fn is_used(&self, at: usize) -> bool {
        self.used.get(at).copied().unwrap_or(true)
    }
    /// The first unused word that fits, now used.
    pub(super) fn take(&mut self, fits: impl Fn(&Word) -> bool) -> Option<String> {
        let at = (0..self.words.len()).find(|&at| !self.used[at] && fits(&self.words[at]))?;
        self.used[at] = true;
        Some(self.words[at].text.clone())
    }
    /// Every unused word that fits, now used.
    pub(super) fn take_all(&mut self, fits: impl Fn(&Word) -> bool) -> Vec<String> {
        std::iter::from_fn(|| self.take(&fits)).collect()
    }
    /// The unused word right after one of `words`, if it fits; both now used.
    pub(super) fn take_after(&mut self, words: &[&str], fits: impl Fn(&Word) -> bool) -> Option<String> {
        let at = (1..self.words.len())
            .find(|&at| !self.used[at] && self.words[at - 1].is_one_of(words) && fits(&self.words[at]))?;
        self.used[at - 1] = true;
        self.used[at] = true;
        Some(self.words[at].text.clone())
    }
    /// The words that no rule made use of and that say something.
    pub(super) fn left_over(&self) -> Vec<&'w Word> {
        let unused = self.words.iter().enumerate().filter(|(at, _)| !self.used[*at]).map(|(_, word)| word);
        unused
            .filter(|word| word.quoted || !(word.is_one_of(NOISE) || word.is_one_of(FILLERS) || word.is("and")))
            .collect()
    }
}

/// Whether a word carries nothing by itself.
pub(super) fn is_noise(word: &Word) -> bool {
    word.is_one_of(NOISE)
}
