//! One run and another at the same time: a sender that prints `ready` and stays, and a receiver that must find nothing.
//! The control is the same pair without the barrier, on the host or in weakened sandboxes. Timing is left aside: runs
//! share processors and caches, and what they tell by that is not promised (SECURITY.md, side channels).
//!
//! What a sender leaves on the host in a control, it or the receiver removes: a receiver that got through says so by
//! the channel itself, and the sender then cleans up. A sender that is ended before, since something else refused its
//! receiver, does not: what would stay is undone from outside.

use crate::attempt::{Act, Attempt, Proof::*, Scene, Setup, pair, python};

/// A number that both know, and nobody else uses.
macro_rules! words {
    ($text:literal) => {
        concat!("import time\nWORD = HOST['pair']\nKEY = int(WORD.split('-')[1], 16) & 0x7fffffff\nPORT = 20000 + KEY % 20000\ndef ready(): os.write(1, b'ready\\n')\n", $text)
    };
}

const ABSENT: &[&str] = &["refused absent"];
const NO_ANSWER: &[&str] = &["refused ECONNREFUSED"];

/// Queues, segments and semaphores outlive whoever made them, and count against their owner's limits.
const UNDO: &str = words!(
    "l = libc()\nl.mq_unlink(('/' + WORD).encode())\nfor get, control in ((lambda: l.shmget(KEY, 0, 0), lambda n: l.shmctl(n, 0, 0)), (lambda: l.semget(KEY, 0, 0), lambda n: l.semctl(n, 0, 0, 0)), (lambda: l.msgget(KEY, 0), lambda n: l.msgctl(n, 0, 0))):\n n = get()\n if n >= 0 and control(n): say('left')\nsay('undone')"
);

#[rustfmt::skip]
pub(super) const CROSS_RUN: &[Attempt] = &[
    pair("cross-run/system-v-shared-memory", "a shared memory segment by its key", (
        words!("import ctypes\nl = libc(); l.shmat.restype = ctypes.c_void_p; l.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]\nn = l.shmget(KEY, 4096, 0o1666)\np = ctypes.cast(l.shmat(n, None, 0), ctypes.POINTER(ctypes.c_ubyte))\nready()\nfor _ in range(1000):\n if p[0]: break\n time.sleep(.01)\nl.shmctl(n, 0, 0)"),
        words!("import ctypes\nl = libc(); l.shmat.restype = ctypes.c_void_p; l.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]\nn = l.shmget(KEY, 0, 0)\nif n < 0: refused('absent')\nctypes.cast(l.shmat(n, None, 0), ctypes.POINTER(ctypes.c_ubyte))[0] = 1\nreached()")),
        ABSENT, &[Host, Without("ipc-namespace")]).undone_by(UNDO),
    pair("cross-run/system-v-semaphore", "a semaphore by its key", (
        words!("l = libc()\nn = l.semget(KEY, 1, 0o1666)\nready()\nfor _ in range(1000):\n if l.semctl(n, 0, 12, 0): break\n time.sleep(.01)\nl.semctl(n, 0, 0, 0)"),
        words!("l = libc()\nn = l.semget(KEY, 0, 0)\nif n < 0: refused('absent')\nl.semctl(n, 0, 16, 1)\nreached()")),
        ABSENT, &[Host, Without("ipc-namespace")]).undone_by(UNDO),
    pair("cross-run/system-v-message-queue", "a message queue by its key", (
        words!("import ctypes\nl = libc()\nn = l.msgget(KEY, 0o1666)\nready()\nb = ctypes.create_string_buffer(64)\nfor _ in range(1000):\n if l.msgrcv(n, b, 8, 0, 0o4000) >= 0: break\n time.sleep(.01)\nl.msgctl(n, 0, 0)"),
        words!("l = libc()\nn = l.msgget(KEY, 0)\nif n < 0: refused('absent')\nl.msgsnd(n, (1).to_bytes(8, sys.byteorder) + b'x', 1, 0)\nreached()")),
        ABSENT, &[Host, Without("ipc-namespace")]).undone_by(UNDO),
    pair("cross-run/posix-message-queue", "a message queue by its name", (
        words!("l = libc()\nos.umask(0)\nq = l.mq_open(('/' + WORD).encode(), os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o666, None)\nready()\nimport ctypes\nb = ctypes.create_string_buffer(1 << 16)\nfor _ in range(1000):\n if l.mq_receive(q, b, 1 << 16, None) >= 0: break\n time.sleep(.01)\nl.mq_unlink(('/' + WORD).encode())"),
        words!("l = libc()\nq = l.mq_open(('/' + WORD).encode(), os.O_RDWR)\nif q < 0: refused('absent')\nl.mq_send(q, b'x', 1, 0)\nreached()")),
        ABSENT, &[Host, Without("ipc-namespace+landlock")]).undone_by(UNDO),
    pair("cross-run/abstract-socket", "an abstract socket", (
        words!("import socket\ns = socket.socket(socket.AF_UNIX); s.bind(chr(0) + WORD); s.listen()\nready()\ntime.sleep(10)"),
        words!("import socket\nattempt(socket.socket(socket.AF_UNIX).connect, chr(0) + WORD)")),
        &["refused ECONNREFUSED", "refused EPERM"], &[Host, Without("network-namespace+landlock")]),
    pair("cross-run/abstract-datagram-socket", "an abstract datagram socket", (
        words!("import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(chr(0) + WORD)\nready()\ntime.sleep(10)"),
        words!("import socket\nattempt(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto, b'x', chr(0) + WORD)")),
        &["refused ECONNREFUSED", "refused EPERM"], &[Host, Without("network-namespace+landlock")]),
    pair("cross-run/loopback-tcp", "a port on the loopback", (
        words!("import socket\ns = socket.socket(); s.bind(('127.0.0.1', PORT)); s.listen()\nready()\ntime.sleep(10)"),
        words!("import socket\nattempt(socket.socket().connect, ('127.0.0.1', PORT))")),
        NO_ANSWER, &[Host, Without("network-namespace")]),
    pair("cross-run/loopback-tcp-six", "a port on the loopback, by IPv6", (
        words!("import socket\ns = socket.socket(socket.AF_INET6); s.bind(('::1', PORT)); s.listen()\nready()\ntime.sleep(10)"),
        words!("import socket\nattempt(socket.socket(socket.AF_INET6).connect, ('::1', PORT))")),
        &["refused ECONNREFUSED", "refused EADDRNOTAVAIL"], &[Host, Without("network-namespace")]),
    pair("cross-run/loopback-udp", "a datagram on the loopback", (
        words!("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', PORT))\nready()\ntime.sleep(10)"),
        words!("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', PORT)); s.send(b'x'); s.settimeout(.3)\ntry: s.recv(1)\nexcept TimeoutError: reached()\nexcept OSError as error: refused(named(error.errno))")),
        NO_ANSWER, &[Host, Without("network-namespace")]),
    pair("cross-run/port-taken", "one bit, by a port that is taken", (
        words!("import socket\ns = socket.socket(); s.bind(('127.0.0.1', PORT))\nready()\ntime.sleep(10)"),
        words!("import socket\ntry: socket.socket().bind(('127.0.0.1', PORT))\nexcept OSError as error: reached()\nrefused('free')")),
        &["refused free"], &[Host, Without("network-namespace")]),
    pair("cross-run/dev-shm", "a file in /dev/shm", (
        words!("open('/dev/shm/' + WORD, 'w').close()\nready()\ntime.sleep(10)"),
        words!("attempt(os.unlink, '/dev/shm/' + WORD)")),
        &["refused ENOENT"], &[Host]),
    pair("cross-run/tmp", "a file in /tmp", (
        words!("open('/tmp/' + WORD, 'w').close()\nready()\ntime.sleep(10)"),
        words!("attempt(os.unlink, '/tmp/' + WORD)")),
        &["refused ENOENT"], &[Host]),
    pair("cross-run/var-tmp", "a file in /var/tmp", (
        words!("open('/var/tmp/' + WORD, 'w').close()\nready()\ntime.sleep(10)"),
        words!("attempt(os.unlink, '/var/tmp/' + WORD)")),
        &["refused ENOENT"], &[Host]),
    pair("cross-run/temporary-names", "which temporary names are taken", (
        words!("import tempfile\nf = tempfile.NamedTemporaryFile(dir='/tmp', prefix=WORD)\nready()\ntime.sleep(2); f.close()"),
        words!("reached() if any(n.startswith(WORD) for n in os.listdir('/tmp')) else refused('absent')")),
        ABSENT, &[Host]),
    pair("cross-run/path-socket", "a socket by its path", (
        words!("import socket\ns = socket.socket(socket.AF_UNIX); s.bind('/tmp/' + WORD); s.listen()\nready()\ntime.sleep(10)"),
        words!("import socket\ntry: socket.socket(socket.AF_UNIX).connect('/tmp/' + WORD)\nexcept OSError as error: refused(named(error.errno))\nos.unlink('/tmp/' + WORD)\nreached()")),
        &["refused ENOENT"], &[Host]),
    pair("cross-run/flock", "one bit, by a lock on a file that both see", (
        words!("import fcntl\nf = open('/usr/bin/env'); fcntl.flock(f, fcntl.LOCK_EX)\nready()\ntime.sleep(10)"),
        words!("import fcntl\nf = open('/usr/bin/env')\ntry: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept OSError: reached()\nrefused('free')")),
        &["refused free"], &[Host, Without("overlay-view")]),
    pair("cross-run/posix-lock", "one bit, by a record lock on a file that both see", (
        words!("import fcntl\nf = open('/usr/bin/env'); fcntl.lockf(f, fcntl.LOCK_SH)\nready()\ntime.sleep(10)"),
        words!("import fcntl, struct\nf = open('/usr/bin/env')\nl = fcntl.fcntl(f, fcntl.F_GETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))\nreached() if struct.unpack('hhqqi4x', l)[0] != fcntl.F_UNLCK else refused('free')")),
        &["refused free"], &[Host, Without("overlay-view")]),
    pair("cross-run/inotify", "when another run opens a file that both see", (
        words!("ready()\nfor _ in range(400):\n open('/usr/bin/env').close(); time.sleep(.005)"),
        words!("import select\nl = libc(); n = l.inotify_init()\nl.inotify_add_watch(n, b'/usr/bin/env', 0x20)\nreached() if select.select([n], [], [], .5)[0] else refused('silence')")),
        &["refused silence"], &[Host, Without("overlay-view")]),
    pair("cross-run/process-list", "another run's command line", (
        words!("ready()\ntime.sleep(10)"),
        words!("for p in os.listdir('/proc'):\n if p.isdigit() and int(p) != os.getpid():\n  try: text = open('/proc/' + p + '/cmdline').read()\n  except OSError: continue\n  if WORD in text: reached()\nrefused('absent')")),
        ABSENT, &[Host]),
    pair("cross-run/process-numbers", "how many processes others start", (
        words!("ready()\ntime.sleep(10)"),
        "refused('two') if os.getpid() == 2 else reached()"),
        &["refused two"], &[Host]),
    pair("cross-run/locks-listed", "the list of locks", (
        words!("import fcntl\nf = open('/usr/bin/env'); fcntl.flock(f, fcntl.LOCK_SH)\nready()\ntime.sleep(10)"),
        "reached() if open('/proc/locks').read(1) else refused('empty')"),
        &["refused empty"], &[Host]),
    pair("cross-run/segments-listed", "the list of shared memory", (
        words!("import ctypes\nl = libc()\nn = l.shmget(KEY, 4096, 0o1666)\nready()\ntime.sleep(1)\nl.shmctl(n, 0, 0)"),
        words!("reached() if any(str(KEY) in line.split()[:1] for line in open('/proc/sysvipc/shm')) else refused('absent')")),
        ABSENT, &[Host]).undone_by(UNDO),
    pair("cross-run/keyring", "a key in the user's keyring", (
        words!("k, e = syscall(248 if os.uname().machine == 'x86_64' else 217, buffer(b'user'), buffer(WORD.encode()), buffer(b'x'), 1, -4)\nsyscall(250 if os.uname().machine == 'x86_64' else 219, 15, k, 5)\nready()\ntime.sleep(10)"),
        words!("n = 250 if os.uname().machine == 'x86_64' else 219\nk, e = syscall(n, 10, -4, buffer(b'user'), buffer(WORD.encode()), 0)\nif k < 0: refused(named(e))\nsyscall(n, 21, k)\nreached()")),
        &["refused EPERM"], &[Host]).or_missing(&["refused ENOKEY", "refused ENOSYS", "refused EDQUOT"]),
    pair("cross-run/vsock", "a port past every network namespace", (
        words!("import socket\ntry: s = socket.socket(40, socket.SOCK_STREAM); s.bind((1, PORT)); s.listen()\nexcept OSError: pass\nready()\ntime.sleep(10)"),
        words!("import socket\ndef act(): s = socket.socket(40, socket.SOCK_STREAM); s.settimeout(1); s.connect((1, PORT))\nattempt(act)")),
        &["refused EAFNOSUPPORT"], &[Host]).or_missing(&["refused ENODEV", "refused EAFNOSUPPORT", "refused ETIMEDOUT", "refused ECONNRESET", "refused EHOSTUNREACH", "refused None"]),
    pair("cross-run/working-folder", "another run's workspace", (
        words!("open('word', 'w').write(WORD)\nready()\ntime.sleep(10)"),
        words!("found = [p for p, _, f in os.walk(os.path.dirname(os.path.dirname(HOST['workspace']))) if 'word' in f]\nreached() if found else refused('absent')")),
        ABSENT, &[Host]).within(Setup::WORKSPACE),
    Attempt { act: Act::Host(addresses), ..python("cross-run/addresses", "where another run's memory lies", "", &["refused different"], &[By(addresses_fixed)]) },
    Attempt { act: Act::Host(random), ..python("cross-run/random-numbers", "another run's random numbers", "", &["refused different"], &[By(random_fixed)]) },
    Attempt { act: Act::Host(hashes), ..python("cross-run/hash-seed", "another run's hash seed", "", &["refused different"], &[By(hashes_fixed)]) },
];

/// Whether two runs print the same.
fn twice(scene: &Scene<'_>, source: &'static str) -> Result<String, String> {
    let (one, other) = (scene.python(source)?, scene.python(source)?);
    match (one.stdout.trim(), other.stdout.trim()) {
        ("", _) => Err(format!("it printed nothing: {}", one.stderr)),
        (one, other) if one == other => Ok("reached".into()),
        _ => Ok("refused different".into()),
    }
}

fn addresses(scene: &Scene<'_>) -> Result<String, String> {
    twice(scene, "import ctypes\nprint(ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value, id(object()))")
}

/// The same, of addresses that are the same for every process: where a file without a random base is loaded.
fn addresses_fixed(scene: &Scene<'_>) -> Result<String, String> {
    twice(
        scene,
        "import mmap, ctypes\nl = libc(); l.mmap.restype = ctypes.c_void_p\nprint(l.mmap(ctypes.c_void_p(0x20000000), 4096, 3, 0x100022, -1, 0))",
    )
}

fn random(scene: &Scene<'_>) -> Result<String, String> {
    twice(scene, "import random\nprint(random.random(), os.urandom(8).hex())")
}

fn random_fixed(scene: &Scene<'_>) -> Result<String, String> {
    twice(scene, "import random\nrandom.seed(1)\nprint(random.random())")
}

fn hashes(scene: &Scene<'_>) -> Result<String, String> {
    twice(scene, "print(hash('a word'))")
}

fn hashes_fixed(scene: &Scene<'_>) -> Result<String, String> {
    twice(scene, "print(hash(12345))")
}
