//! Which files of a layer are files of the folder under another name.
//!
//! Certain only: a file is never taken for another because of its bytes alone. In an overlay's upper, overlayfs marks what it
//! copied up, and keeps its time of modification: such a file, unwritten, at a new path is the one of that time and those bytes whose path
//! is gone. (Which one it was, overlayfs notes as a file handle, but not for mounts of a user namespace.) In a private copy it is
//! the inode that was made for the original, and nobody wrote to. A folder's rename is not told: overlayfs refuses it, and whoever copies
//! and removes instead makes new files; nor is a file of several names, which overlayfs does not mark. Where two could be meant,
//! neither is told.

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
use super::view::{View, kind, unless_gone};

/// Bytes of a file beyond which it is not read only to be told as renamed.
const LARGEST: i64 = 256 << 20;

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
    match layer {
        Kind::Upper => {
            let new: Vec<_> = new.filter(|(.., copied_up)| *copied_up).map(|(path, stat, _)| (path, stat)).collect();
            // Read only where a file of one side has its like on the other.
            let times = |side: &[(&Path, &Stat)]| side.iter().map(|(_, stat)| unwritten(stat)).collect::<HashSet<_>>();
            let (old_times, new_times) = (times(&gone), times(&new));
            let mut pairs = Pairs::default();
            for (path, stat) in gone.into_iter().filter(|(_, stat)| like(stat, &new_times)) {
                if let Some(hash) = hash_below(view, path)? {
                    pairs.add_old((unwritten(stat), hash), path);
                }
            }
            for (path, stat) in new.into_iter().filter(|(_, stat)| like(stat, &old_times)) {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
                let hash = hash(File::from(open_beneath(upper.fd(), path, flags, Mode::empty())?))?;
                pairs.add_new((unwritten(stat), hash), path);
            }
            Ok(pairs.certain())
        }
        Kind::Copy(manifest) => {
            let mut pairs = Pairs::default();
            // Its number alone would be given away again once nothing holds the inode.
            for (path, _) in gone {
                if let Some(copy) = manifest.copy(path) {
                    pairs.add_old(copy.content(), path);
                }
            }
            for (path, stat, _) in new {
                pairs.add_new(super::stamp::Identity::of(stat).content(), path);
            }
            Ok(pairs.certain())
        }
    }
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
    fn certain(self) -> BTreeMap<PathBuf, PathBuf> {
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

/// What a rename leaves as it was and a write does not.
fn unwritten(stat: &Stat) -> (i64, Stamp) {
    (stat.st_size, Stamp::written(stat))
}

fn like(stat: &Stat, others: &HashSet<(i64, Stamp)>) -> bool {
    stat.st_size <= LARGEST && others.contains(&unwritten(stat))
}

/// `None` for what may not be read, or is not there any more.
fn hash_below(view: &View, path: &Path) -> io::Result<Option<blake3::Hash>> {
    let Some(found) = view.find(path)? else { return Ok(None) };
    match view.open(path, &found) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        opened => unless_gone(opened)?.map(hash).transpose(),
    }
}

fn hash(file: File) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize())
}
