//! Finds the groups of the table that a path belongs to.
//!
//! Main type: [`Places`], the table by the first name of each place: a layer can hold 100,000 paths, so each is looked
//! up and not compared with every line.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::OnceLock;

use super::rules::{GROUPS, Group, PACKAGES};

/// One place of a group, taken apart.
#[derive(Debug)]
struct Place {
    group: usize,
    names: Vec<String>,
    top: bool,
    beneath: bool,
}

/// The table, by the first name of each place.
#[derive(Debug)]
pub(super) struct Places {
    by_name: HashMap<String, Vec<Place>>,
    /// Places whose first name holds a star.
    starred: Vec<Place>,
}

impl Places {
    pub(super) fn get() -> &'static Self {
        static PLACES: OnceLock<Places> = OnceLock::new();
        PLACES.get_or_init(Self::build)
    }
    fn build() -> Self {
        let mut places = Self { by_name: HashMap::new(), starred: Vec::new() };
        for (group, at) in
            GROUPS.iter().enumerate().flat_map(|(index, group)| group.places.iter().map(move |at| (index, at)))
        {
            let text = at.to_ascii_lowercase();
            let (top, text) = text.strip_prefix('/').map_or((false, &*text), |rest| (true, rest));
            let (beneath, text) = text.strip_suffix("/**").map_or((false, text), |rest| (true, rest));
            let names: Vec<String> = text.split('/').map(str::to_owned).collect();
            let place = Place { group, top, beneath, names };
            match place.names.first() {
                Some(first) if first.contains('*') => places.starred.push(place),
                Some(first) => places.by_name.entry(first.clone()).or_default().push(place),
                None => {}
            }
        }
        places
    }
    /// The first names of places: a link of such a name at the top of a folder stands for one.
    pub(super) fn first_names(&self) -> BTreeSet<&str> {
        self.by_name.keys().map(String::as_str).collect()
    }
    /// The groups that `path` (relative to a root that lies at `root`) belongs to. A link belongs to every place that
    /// would lie behind it. Inside a folder of installed packages a group is told with `true`.
    pub(super) fn groups(&self, root: &Path, path: &Path, link: bool) -> Vec<(&'static Group, bool)> {
        let names = |path: &Path| -> Vec<String> {
            path.iter().map(|name| name.to_string_lossy().to_ascii_lowercase()).collect()
        };
        let own = names(path);
        // What is cached for Python has rules of its own.
        if own.iter().rev().nth(1).is_some_and(|folder| folder == "__pycache__") {
            return Vec::new();
        }
        let packaged = own[..own.len().saturating_sub(1)].iter().any(|name| PACKAGES.contains(&name.as_str()));
        // The root's own names count too: a workspace can be the `.vscode` folder of a project. Three are enough.
        let above = names(root);
        let above = &above[above.len().saturating_sub(3)..];
        let base = above.len();
        let all: Vec<&str> = above.iter().chain(&own).map(String::as_str).collect();
        let mut found = Vec::new();
        for at in 0..all.len() {
            let places = self.by_name.get(all[at]).into_iter().flatten();
            let starred = self.starred.iter().filter(|_| at + 1 == all.len());
            for place in places.chain(starred) {
                if place.fits(&all[at..], link) && (at == base || !place.top) && (at >= base || !place.beneath) {
                    found.push((&GROUPS[place.group], packaged));
                }
            }
        }
        found
    }
}

impl Place {
    fn fits(&self, names: &[&str], link: bool) -> bool {
        let count = self.names.len();
        let same = |count: usize| self.names.iter().zip(names).take(count).all(|(place, name)| one(place, name));
        match names.len() {
            length if length == count && !self.beneath => same(count),
            length if length > count && self.beneath => same(count),
            length if length < count || (length == count && self.beneath) => link && same(length),
            _ => false,
        }
    }
}

/// Whether a name fits one with at most one star.
fn one(place: &str, name: &str) -> bool {
    match place.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => place == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(path: &str, link: bool) -> Vec<&'static str> {
        let found = Places::get().groups(Path::new("/home/u/p"), Path::new(path), link);
        found.into_iter().map(|(group, _)| group.kind).collect()
    }

    #[test]
    fn a_path_belongs_to_its_places_and_to_no_other() {
        assert_eq!(kinds(".bashrc", false), ["shell_startup"]);
        assert_eq!(kinds("deep/in/.BashRC", false), ["shell_startup"]);
        assert_eq!(kinds("bashrc", false), [""; 0]);
        assert_eq!(kinds(".vscode/tasks.json", false), ["editor"]);
        assert_eq!(kinds(".vscode/snippets.json", false), [""; 0]);
        assert_eq!(kinds("tasks.json", false), [""; 0]);
        assert_eq!(kinds(".idea/a/b.xml", false), ["editor"]);
        assert_eq!(kinds("conftest.py", false), ["test_startup"]);
        assert_eq!(kinds("tests/conftest.py", false), [""; 0]);
        assert_eq!(kinds("p.code-workspace", false), ["editor"]);
        assert_eq!(kinds("x/.code-workspace/y", false), [""; 0]);
        assert_eq!(kinds(".venv/lib/python3.12/site-packages/a.pth", false), ["python_startup"]);
        assert_eq!(kinds("models/weights.pth", false), [""; 0]);
        assert_eq!(kinds("a/__pycache__/sitecustomize.cpython-312.pyc", false), [""; 0]);
    }

    #[test]
    fn a_link_stands_for_what_would_lie_behind_it() {
        assert!(kinds(".vscode", true).contains(&"editor"));
        assert!(kinds(".github", true).contains(&"ci"));
        assert!(kinds(".idea", true).contains(&"editor"));
        assert_eq!(kinds(".vscode", false), [""; 0]);
    }

    #[test]
    fn the_roots_own_names_count_for_exact_places_alone() {
        let of = |root: &str, path: &str| Places::get().groups(Path::new(root), Path::new(path), false).len();
        assert_eq!(of("/home/u/p/.vscode", "tasks.json"), 1);
        assert_eq!(of("/home/u/.idea/p", "src/main.rs"), 0);
    }

    #[test]
    fn no_place_is_listed_twice_at_one_level() {
        let mut seen = BTreeSet::new();
        for group in GROUPS {
            for place in group.places {
                assert!(seen.insert(place.to_ascii_lowercase()), "{place}");
                assert!(!place.trim_end_matches("/**").ends_with('/') && !place.contains("//"), "{place}");
            }
        }
    }
}
