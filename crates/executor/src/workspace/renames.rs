//! Which files of a layer are files of the folder under another name.
//!
//! Told where exactly one fits: a file with the bytes and the time of modification of one whose path is gone, and more than that.
//! In an overlay's upper, overlayfs marks what it copied up, so it is one of the folder's files and no new one. (Which one,
//! it notes as a file handle, but not for mounts of a user namespace.) In a private copy it is the inode that was made for the
//! original. A folder's rename is not told of an overlay, which refuses it: whoever copies and removes instead makes new files; nor is a
//! file of several names, which overlayfs does not mark. Where two could be meant, neither is told; an error means that nothing is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::hash::Hash;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::path::Dir;
use super::reading::{Act, Item, Kind, Reading};
use super::resolve::open_beneath;
use super::stamp::Stamp;
use super::store::ContentHash;
use super::undo::hash_file;
use super::view::{View, kind};

/// Bytes that are read of both sides together, only to tell what was renamed. Where it would be more, nothing is told.
const MOST_READ: i64 = 256 << 20;

/// The new path of each renamed file, with the old one.
pub(super) fn renamed(
    reading: &Reading,
    upper: &Dir,
    view: &View,
    layer: Kind<'_>,
) -> io::Result<BTreeMap<PathBuf, PathBuf>> {
    let gone: Vec<(&Path, &Stat)> = reading.items.iter().flat_map(removed).collect();
    if gone.is_empty() {
        return Ok(BTreeMap::new());
    }
    let new = reading.items.iter().filter_map(|item| match &item.act {
        Act::Put { upper, copied_up } if kind(upper) == FileType::RegularFile => Some((&*item.path, upper, *copied_up)),
        _ => None,
    });
    let new: Vec<(&Path, &Stat)> = match layer {
        Kind::Upper => new.filter(|(.., copied_up)| *copied_up).map(|(path, stat, _)| (path, stat)).collect(),
        Kind::Copy(_) => new.map(|(path, stat, _)| (path, stat)).collect(),
    };
    // What a rename leaves as it was and a write does not. In a copy the inode, too; its number alone would not do: it is given
    // away again once nothing holds it.
    let kind_of_old = |path: &Path, stat: &Stat| match layer {
        Kind::Upper => Some((None, stat.st_size, Stamp::written(stat))),
        Kind::Copy(manifest) => manifest.copy(path).map(|copy| {
            let (dev, inode, size, written) = copy.content();
            (Some((dev, inode)), size, written)
        }),
    };
    let kind_of_new = |stat: &Stat| {
        let inode = matches!(layer, Kind::Copy(_)).then_some((stat.st_dev, stat.st_ino));
        (inode, stat.st_size, Stamp::written(stat))
    };
    let mut old: Vec<_> = gone.into_iter().filter_map(|(path, stat)| Some((path, kind_of_old(path, stat)?))).collect();
    let mut new: Vec<_> = new.into_iter().map(|(path, stat)| (path, kind_of_new(stat))).collect();
    // Read only where a file of one side has its like on the other.
    let kinds: HashSet<_> = old.iter().map(|(_, kind)| *kind).collect();
    new.retain(|(_, kind)| kinds.contains(kind));
    let kinds: HashSet<_> = new.iter().map(|(_, kind)| *kind).collect();
    old.retain(|(_, kind)| kinds.contains(kind));
    // All or none: a file that is left out could be the second one that fits.
    if old.iter().chain(&new).map(|(_, (_, size, _))| *size).fold(0, i64::saturating_add) > MOST_READ {
        return Ok(BTreeMap::new());
    }
    let mut pairs = Pairs::default();
    for (path, kind) in old {
        let found = view.find(path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        pairs.add_old((kind, hash(&view.open(path, &found)?)?), path);
    }
    for (path, kind) in new {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = File::from(open_beneath(upper.fd(), path, flags, Mode::empty())?);
        pairs.add_new((kind, hash(&file)?), path);
    }
    Ok(pairs.unique())
}

/// What tells files apart: the paths that are gone and the new ones for each.
#[derive(Debug)]
struct Pairs<'a, K>(HashMap<K, (Vec<&'a Path>, Vec<&'a Path>)>);

impl<K> Default for Pairs<'_, K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<'a, K: Hash + Eq> Pairs<'a, K> {
    fn add_old(&mut self, file: K, path: &'a Path) {
        self.0.entry(file).or_default().0.push(path);
    }
    fn add_new(&mut self, file: K, path: &'a Path) {
        self.0.entry(file).or_default().1.push(path);
    }
    /// The new path of each that has one on either side, with the old one.
    fn unique(self) -> BTreeMap<PathBuf, PathBuf> {
        let pair = |(old, new): (Vec<&Path>, Vec<&Path>)| match (&*old, &*new) {
            ([from], [to]) => Some(((*to).to_owned(), (*from).to_owned())),
            _ => None,
        };
        self.0.into_values().filter_map(pair).collect()
    }
}

/// The regular files that an item takes away.
fn removed(item: &Item) -> impl Iterator<Item = (&Path, &Stat)> {
    let file = |stat: &Stat| kind(stat) == FileType::RegularFile;
    let (under, own) = match &item.act {
        Act::Delete { under } => (&under[..], item.lower.as_ref()),
        _ => (&[][..], None),
    };
    let own = own.into_iter().map(|stat| (&*item.path, stat));
    own.chain(under.iter().map(|(path, stat)| (&**path, stat))).filter(move |(_, stat)| file(stat))
}

fn hash(file: &File) -> io::Result<Option<ContentHash>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    hash_file(file)
}
