//! What a stock container does to a program: its filter refuses new namespaces and mounts.

use std::ffi::OsStr;
use std::process::Command;

/// Refuses what Docker's default profile refuses without CAP_SYS_ADMIN: new namespaces and mounts with EPERM, `clone3` with
/// ENOSYS. With `no-landlock`, Landlock answers ENOSYS as well, as on a kernel that has none.
const SCRIPT: &str = r#"
import ctypes, os, platform, struct, sys
arm = platform.machine() == 'aarch64'
libc = ctypes.CDLL(None, use_errno=True)
EPERM, ENOSYS, ALLOW = 0x50000 | 1, 0x50000 | 38, 0x7fff0000
clone, unshare, setns, mount, umount = (220, 97, 268, 40, 39) if arm else (56, 272, 308, 165, 166)
out = [(0x20, 0, 0, 0)]
def answer(number, value):
    out.extend([(0x15, 0, 1, number), (0x06, 0, 0, value)])
for number in [setns, mount, umount, 428, 429, 430, 431, 432, 433, 442]:
    answer(number, EPERM)
answer(435, ENOSYS)
if sys.argv[1] == 'no-landlock':
    for number in (444, 445, 446):
        answer(number, ENOSYS)
for number in (clone, unshare):
    out.extend([(0x15, 0, 4, number), (0x20, 0, 0, 16), (0x45, 0, 1, 0x7e020000), (0x06, 0, 0, EPERM), (0x06, 0, 0, ALLOW)])
out.append((0x06, 0, 0, ALLOW))
code = b''.join(struct.pack('HBBI', *line) for line in out)
held = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
program = Program(len(out), ctypes.addressof(held))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// A command that starts `program` (an absolute path) as a stock container would, with Landlock or without.
pub fn in_stock_container(program: impl AsRef<OsStr>, landlock: bool) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    let word = if landlock { "landlock" } else { "no-landlock" };
    command.args(["-I", "-S", "-c", SCRIPT, word]).arg(program);
    command
}
