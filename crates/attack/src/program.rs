//! From an act to a program: the words that every Python program begins with.

use std::path::Path;

use crate::attempt::Act;
use crate::bait::{Bait, quoted};

/// `HOST` (what there is to be had), and the ways to say what came of it. A program says one line and ends.
const WORDS: &str = r"
import errno, os, sys
def say(line):
    os.write(1, (line + '\n').encode())
    os._exit(0)
def reached(): say('reached')
def refused(why): say('refused ' + why)
def named(number): return errno.errorcode.get(number, str(number))
def attempt(act, *args):
    try: act(*args)
    except OSError as error: refused(named(error.errno))
    reached()
def libc():
    import ctypes
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library
def syscall(number, *args):
    import ctypes
    ctypes.set_errno(0)
    done = libc().syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return done, ctypes.get_errno() if done == -1 else 0
KEPT = []
def buffer(content):
    import ctypes
    KEPT.append(ctypes.create_string_buffer(content))
    return ctypes.addressof(KEPT[-1])
def call(number, *args):
    done, error = syscall(number, *args)
    say('ok' if done != -1 else named(error))
";

/// Python source, ready for `-c`.
pub(crate) fn source(act: &str, bait: &Bait, workspace: Option<&Path>, pair: Option<&str>) -> String {
    let mut facts = bait.facts();
    if let Some(path) = workspace {
        facts.push(("workspace", quoted(&path.to_string_lossy())));
    }
    if let Some(token) = pair {
        facts.push(("pair", quoted(token)));
    }
    let facts: String = facts.iter().map(|(name, value)| format!("'{name}': {value}, ")).collect();
    format!("HOST = {{{facts}}}{WORDS}{act}\n")
}

/// The source of an act that is one Python program; `None` for a shell script and for what is more than one.
pub(crate) fn text(act: Act) -> Option<String> {
    match act {
        Act::Python(source) => Some(source.to_owned()),
        Act::Call(number, args) => Some(format!("call({number}, {args})")),
        Act::Shell(_) | Act::Pair(..) | Act::Host(_) => None,
    }
}
