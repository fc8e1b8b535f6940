//! What a run may spend: each way to spend more, with the exact verdict. Past what a limit ends a run for, the tree is
//! gone and the verdict says so; past what a program is answered for, it hears the errno. The control is the same
//! program under a limit that leaves it room.

use agentic_sandbox::{ExitReason, LimitKind};

use crate::attempt::{Attempt, Limit, Proof, Proof::*, Scene, Setup, python, shell};

const SOON: Setup = Setup::limits(&[Limit::Wall(700)]);
const LATER: &[Proof] = &[With(Setup::limits(&[Limit::Wall(20_000)]))];
/// A memory bomb takes this, then lives long enough for a look, then says that it got through.
const SMALL: Setup = Setup::limits(&[Limit::Memory(64), Limit::Disk(1024), Limit::Wall(30_000), Limit::Processes(128)]);
const LARGE: &[Proof] =
    &[With(Setup::limits(&[Limit::Memory(1024), Limit::Disk(1024), Limit::Wall(30_000), Limit::Processes(128)]))];
const FEW: Setup = Setup::limits(&[Limit::Processes(16)]);
const MANY: &[Proof] = &[With(Setup::limits(&[Limit::Processes(200)]))];
const LITTLE_CPU: Setup = Setup::limits(&[Limit::Cpu(300), Limit::Wall(30_000)]);
const MUCH_CPU: &[Proof] = &[With(Setup::limits(&[Limit::Cpu(20_000), Limit::Wall(30_000)]))];
const NARROW: Setup = Setup::limits(&[Limit::Disk(8)]);
const WIDE: &[Proof] = &[With(Setup::limits(&[Limit::Disk(128)]))];
const LAYER: Setup = Setup { workspace: true, ..Setup::limits(&[Limit::Disk(8), Limit::Wall(30_000)]) };
const WIDE_LAYER: &[Proof] =
    &[With(Setup { workspace: true, ..Setup::limits(&[Limit::Disk(512), Limit::Wall(30_000)]) })];
const CUT: Setup = Setup::limits(&[Limit::Output(4096)]);

/// A bomb of memory.
const fn memory(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &[], LARGE).within(SMALL).ending(ExitReason::MemoryExceeded, &[LimitKind::Memory])
}
/// What is ended when time is up.
const fn wall(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &[], LATER).within(SOON).ending(ExitReason::TimedOut, &[LimitKind::Wall])
}
/// What is ended when the processor was used enough.
const fn cpu(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &[], MUCH_CPU).within(LITTLE_CPU).ending(ExitReason::TimedOut, &[LimitKind::Cpu])
}
/// What is answered EAGAIN.
const fn processes(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused EAGAIN"], MANY)
        .within(FEW)
        .ending(ExitReason::Exited(0), &[LimitKind::Processes])
        .sampled()
}
/// What is answered ENOSPC.
const fn scratch(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused ENOSPC"], WIDE)
        .within(NARROW)
        .ending(ExitReason::Exited(0), &[LimitKind::Disk])
        .sampled()
}
/// What fills a layer on the disk.
const fn layer(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &[], WIDE_LAYER).within(LAYER).ending(ExitReason::DiskExceeded, &[LimitKind::Disk])
}

#[rustfmt::skip]
pub(super) const RESOURCES: &[Attempt] = &[
    wall("resources/sleep", "a place that is never given back", "import time\ntime.sleep(2)\nreached()"),
    wall("resources/spin", "the processor", "import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nreached()"),
    wall("resources/ignore-every-signal", "a process that cannot be asked to end",
        "import signal, time\nfor n in range(1, 65):\n try: signal.signal(n, signal.SIG_IGN)\n except (OSError, ValueError): pass\ntime.sleep(2)\nreached()"),
    wall("resources/block-every-signal", "a process that cannot be asked to end",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(2)\nreached()"),
    wall("resources/stopped", "a process that is stopped and so never ends",
        "import signal, time\nif os.fork() == 0: time.sleep(1.5); os.kill(os.getppid(), signal.SIGCONT); os._exit(0)\nos.kill(os.getpid(), signal.SIGSTOP)\nreached()"),
    wall("resources/double-fork", "a daemon in a session of its own",
        "import time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(60)\n os._exit(0)\ntime.sleep(2)\nreached()"),
    wall("resources/vfork-like-wait", "a parent that waits for ever", "import time\nchild = os.fork()\nif child == 0: time.sleep(2); os._exit(0)\nos.waitpid(child, 0)\nreached()"),
    wall("resources/closed-streams", "a run whose streams have ended", "import time\nkept = os.dup(1)\nfor n in range(3): os.close(n)\ntime.sleep(2)\nos.write(kept, b'reached\\n')"),
    wall("resources/read-for-ever", "a run that waits for itself", "import select\nr, w = os.pipe()\nselect.select([r], [], [], 2)\nreached()"),
    wall("resources/regular-expression", "the processor, by backtracking", "import re, time\nre.match('(a+)+$', 'a' * 25 + 'b')\ntime.sleep(1)\nreached()"),
    shell("resources/shell-loop", "the processor, without another program",
        "i=0; while [ $i -lt 3000000 ]; do i=$((i + 1)); done; echo reached", &[], &[With(Setup::limits(&[Limit::Wall(60_000)]))]).within(Setup::limits(&[Limit::Wall(300)])).ending(ExitReason::TimedOut, &[LimitKind::Wall]),
    cpu("resources/cpu", "more of the processor than it was given", "import time\nwhile time.process_time() < 2: pass\nreached()"),
    cpu("resources/cpu-of-children", "the same, by children at once",
        "import time\nfor _ in range(3):\n if os.fork() == 0:\n  while time.process_time() < 1: pass\n  os._exit(0)\nfor _ in range(3): os.wait()\nreached()"),
    cpu("resources/cpu-of-short-children", "the same, by children in a row",
        "import time\nfor _ in range(40):\n child = os.fork()\n if child == 0:\n  while time.process_time() < .05: pass\n  os._exit(0)\n os.waitpid(child, 0)\nreached()"),
    cpu("resources/cpu-of-threads", "the same, by threads that hold no lock",
        "import hashlib, threading\nts = [threading.Thread(target=lambda: hashlib.pbkdf2_hmac('sha256', b'x', b'x', 1500000)) for _ in range(3)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nreached()"),
    cpu("resources/cpu-of-orphans", "the same, by a process whose parent is gone",
        "import time\nr, w = os.pipe()\nif os.fork() == 0:\n if os.fork() == 0:\n  while time.process_time() < 1.5: pass\n  os.write(w, b'x')\n os._exit(0)\nos.wait()\nos.read(r, 1)\nreached()"),
    cpu("resources/cpu-in-the-kernel", "the processor, spent by the kernel", "import time\nwhile time.process_time() < 2: os.urandom(1 << 16)\nreached()"),
    memory("resources/memory-anonymous", "memory", "x = bytearray(256 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time; time.sleep(1)\nreached()"),
    memory("resources/memory-list", "memory, by objects", "x = [bytes(1000) for _ in range(250000)]\nimport time; time.sleep(1)\nreached()"),
    memory("resources/memory-memfd", "memory, by a file without a name",
        "import time\nf = os.memfd_create('x')\nfor _ in range(256): os.write(f, bytes(1 << 20))\ntime.sleep(1)\nreached()"),
    memory("resources/memory-shared", "memory, by a shared mapping",
        "import mmap, time\nm = mmap.mmap(-1, 256 << 20)\nfor i in range(0, 256 << 20, 4096): m[i] = 1\ntime.sleep(1)\nreached()"),
    memory("resources/memory-of-a-closed-memfd", "memory, by a mapping whose file is closed",
        "import mmap, time\nf = os.memfd_create('x'); os.ftruncate(f, 256 << 20)\nm = mmap.mmap(f, 256 << 20); os.close(f)\nfor i in range(0, 256 << 20, 4096): m[i] = 1\ntime.sleep(1)\nreached()"),
    memory("resources/memory-of-children", "memory, by many small processes",
        "import time\nfor _ in range(16):\n if os.fork() == 0:\n  x = bytearray(16 << 20)\n  for i in range(0, len(x), 4096): x[i] = 1\n  time.sleep(20); os._exit(0)\ntime.sleep(2)\nreached()"),
    memory("resources/memory-in-dev-shm", "memory, by files in /dev/shm",
        "import time\nwith open('/dev/shm/x', 'wb') as f:\n for _ in range(256): f.write(bytes(1 << 20))\ntime.sleep(1)\nreached()"),
    memory("resources/memory-in-tmp", "memory, by files in /tmp",
        "import time\nfor n in range(64): open('/tmp/%d' % n, 'wb').write(bytes(4 << 20))\ntime.sleep(1)\nreached()"),
    memory("resources/memory-of-removed-files", "memory, by files that are gone and open",
        "import time\nf = open('/tmp/x', 'wb'); os.unlink('/tmp/x')\nfor _ in range(256): f.write(bytes(1 << 20))\nf.flush(); time.sleep(1)\nreached()"),
    memory("resources/memory-system-v", "memory, by a segment that is attached to nobody",
        "import ctypes, time\nl = libc(); l.shmat.restype = ctypes.c_void_p; l.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]; l.shmdt.argtypes = [ctypes.c_void_p]\nn = l.shmget(0, 256 << 20, 0o1600)\na = l.shmat(n, None, 0)\nctypes.memset(a, 1, 256 << 20)\nl.shmdt(a)\ntime.sleep(1)\nreached()"),
    memory("resources/memory-of-an-undumpable-process", "memory, where nobody may look",
        "import time\nlibc().prctl(4, 0, 0, 0, 0)\nf = os.memfd_create('x')\nfor _ in range(256): os.write(f, bytes(1 << 20))\ntime.sleep(1)\nreached()"),
    memory("resources/memory-of-a-thread", "memory, of a process whose first thread has ended",
        "import ctypes, threading, time\ndef act():\n x = bytearray(256 << 20)\n for i in range(0, len(x), 4096): x[i] = 1\n time.sleep(1); reached()\nthreading.Thread(target=act).start()\nlibc().syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"),
    memory("resources/memory-by-an-archive", "memory, by a small archive", "import time, zlib\nc = zlib.compressobj(9)\nb = b''.join([c.compress(bytes(1 << 20)) for _ in range(256)] + [c.flush()])\nx = zlib.decompress(b)\ntime.sleep(1)\nreached()"),
    memory("resources/memory-by-a-better-victim", "another victim for the kernel",
        "import time\nopen('/proc/self/oom_score_adj', 'w').write('500')\nfor _ in range(16):\n if os.fork() == 0:\n  x = bytearray(16 << 20)\n  for i in range(0, len(x), 4096): x[i] = 1\n  time.sleep(20)\ntime.sleep(2)\nreached()"),
    processes("resources/fork-bomb", "every process number",
        "import time\nfor _ in range(100):\n try: child = os.fork()\n except OSError as error: refused(named(error.errno))\n if child == 0: time.sleep(20); os._exit(0)\nreached()"),
    processes("resources/fork-bomb-in-sessions", "the same, each in a session of its own",
        "import time\nfor _ in range(100):\n try: child = os.fork()\n except OSError as error: refused(named(error.errno))\n if child == 0: os.setsid(); time.sleep(20); os._exit(0)\nreached()"),
    processes("resources/fork-chain", "the same, each the child of the last",
        "import time\nfor _ in range(100):\n try: child = os.fork()\n except OSError as error: os.write(1, ('refused ' + named(error.errno) + '\\n').encode()); os._exit(0)\n if child: os.waitpid(child, 0); os._exit(0)\nreached()"),
    processes("resources/thread-bomb", "the same, by threads",
        "import _thread, time\nfor _ in range(100):\n try: _thread.start_new_thread(time.sleep, (20,))\n except RuntimeError: refused('EAGAIN')\nreached()"),
    processes("resources/zombies", "process numbers of the dead",
        "for _ in range(100):\n try: child = os.fork()\n except OSError as error: refused(named(error.errno))\n if child == 0: os._exit(0)\nreached()"),
    scratch("resources/scratch", "the disk", "def act():\n with open('/tmp/x', 'wb') as f:\n  for _ in range(32): f.write(bytes(1 << 20))\nattempt(act)"),
    scratch("resources/scratch-by-allocation", "the disk, without writing", "attempt(lambda: os.posix_fallocate(os.open('/tmp/x', os.O_CREAT | os.O_RDWR), 0, 32 << 20))"),
    scratch("resources/scratch-by-many-files", "the disk, by small files",
        "def act():\n for n in range(5000): open('/tmp/%d' % n, 'wb', 0).write(bytes(4096))\nattempt(act)"),
    scratch("resources/scratch-across-folders", "the disk, a part in each place",
        "def act():\n for at in ('/tmp', '/var/tmp', '/dev/shm', '/home/user'):\n  with open(at + '/x', 'wb') as f: f.write(bytes(6 << 20))\nattempt(act)"),
    python("resources/inodes", "every file number", "def act():\n for n in range(500): open('/tmp/%d' % n, 'w').close()\nattempt(act)",
        &["refused ENOSPC"], WIDE).within(Setup::limits(&[Limit::Inodes(128)])).ending(ExitReason::Exited(0), &[LimitKind::Disk]),
    layer("resources/layer", "the disk below the workspace", "import time\nfor n in range(64): open('f%d' % n, 'wb').write(bytes(1 << 20))\ntime.sleep(3)\nreached()"),
    layer("resources/layer-without-a-name", "the same, by a file that is gone and open",
        "import time\nf = open('f', 'wb'); os.unlink('f')\nfor _ in range(64): f.write(bytes(1 << 20))\nf.flush(); time.sleep(3)\nreached()"),
    layer("resources/layer-deep", "the same, in a deep folder",
        "import time\nfor _ in range(40): os.mkdir('d' * 20); os.chdir('d' * 20)\nwith open('f', 'wb') as f:\n for _ in range(64): f.write(bytes(1 << 20))\ntime.sleep(3)\nreached()"),
    python("resources/layer-in-passing", "the same, and gone before a look", "os.posix_fallocate(os.open('f', os.O_CREAT | os.O_RDWR), 0, 64 << 20)",
        &[], &[By(kept_in_a_wide_layer)]).within(LAYER).ending(ExitReason::DiskExceeded, &[LimitKind::Disk]),
    python("resources/file-size", "one endless file", "attempt(lambda: os.ftruncate(os.memfd_create('x'), 2 << 20))",
        &["refused EFBIG"], &[With(Setup::PLAIN)]).within(Setup::limits(&[Limit::FileSize(1 << 20)])),
    python("resources/descriptors", "every descriptor of the host",
        "for _ in range(200):\n try: os.dup(0)\n except OSError as error: refused(named(error.errno))\nreached()",
        &["refused EMFILE"], &[With(Setup::PLAIN)]).within(Setup::limits(&[Limit::OpenFiles(64)])),
    python("resources/descriptors-of-pipes", "the same, by pipes",
        "kept = []\nfor _ in range(100):\n try: kept.append(os.pipe())\n except OSError as error: refused(named(error.errno))\nreached()",
        &["refused EMFILE"], &[With(Setup::PLAIN)]).within(Setup::limits(&[Limit::OpenFiles(64)])),
    python("resources/output-flood", "our memory, by its output", "for _ in range(64): os.write(1, b'x' * (1 << 16))\nos.write(1, b'\\nrefused cut\\n')",
        &["refused cut"], &[By(kept_where_it_fits)]).within(CUT).ending(ExitReason::Exited(0), &[LimitKind::Output]),
    python("resources/error-flood", "our memory, by its complaints", "for _ in range(64): os.write(2, b'x' * (1 << 16))\nsay('refused cut')",
        &["refused cut"], &[By(kept_where_it_fits)]).within(CUT).ending(ExitReason::Exited(0), &[LimitKind::Output]),
    python("resources/input-flood", "a feeder that waits for a reader", "say('refused to read')",
        &["refused to read"], &[By(fed_to_a_reader)]).within(Setup { stdin: 3 << 20, ..Setup::PLAIN }),
    python("resources/locked-memory", "memory that cannot be swapped", "import ctypes\nl = libc(); l.mmap.restype = ctypes.c_void_p; l.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]\na = l.mmap(None, 32 << 20, 3, 0x22, -1, 0)\nreached() if l.mlock(a, 32 << 20) == 0 else refused(named(__import__('ctypes').get_errno()))",
        &["refused ENOMEM"], &[Host]).or_missing(&["refused ENOMEM"]),
    python("resources/message-queues", "kernel memory, by message queues",
        "l = libc()\nos.umask(0)\nfor n in range(64):\n if l.mq_open(('/q%d' % n).encode(), os.O_CREAT | os.O_RDWR, 0o600, None) < 0: refused(named(__import__('ctypes').get_errno()))\nreached()",
        &["refused EMFILE", "refused EACCES"], &[Elsewhere("linux/rlimit.rs: the_kernel_holds_what_was_asked")]),
    python("resources/timers", "kernel memory, by timers",
        "import ctypes\nt = ctypes.c_void_p()\nl = libc()\nfor n in range(2000):\n if l.timer_create(1, None, ctypes.byref(t)) < 0: refused(named(ctypes.get_errno()))\nreached()",
        &["refused EAGAIN"], &[Without("rlimit:RLIMIT_SIGPENDING")]),
    python("resources/core-dump", "the disk, or a program of the host, by a core dump",
        "import time\nchild = os.fork()\nif child == 0: os.abort()\nos.waitpid(child, 0)\nreached() if any(n.startswith('core') for n in os.listdir('.')) else refused('none')",
        &["refused none"], &[Elsewhere("linux/rlimit.rs: the_kernel_holds_what_was_asked")]).within(Setup::WORKSPACE),
    python("resources/huge-argument", "kernel memory, by arguments", "attempt(os.execv, '/bin/true', ['true', 'x' * (1 << 18)])",
        &["refused E2BIG"], &[By(executed_with_little)]),
    python("resources/huge-arguments", "kernel memory, by many arguments", "attempt(os.execv, '/bin/true', ['true'] + ['x' * 100000] * 100)",
        &["refused E2BIG"], &[By(executed_with_little)]),
];

/// That the same bytes are all kept, and no limit named, where the limit is wide.
fn kept_where_it_fits(scene: &Scene<'_>) -> Result<String, String> {
    let wide = Setup { limits: &[Limit::Output(16 << 20)], ..scene.attempt.setup };
    let ran = scene.enclosure.run(scene.attempt.act, &wide, scene.bait)?;
    let all = ran.stdout.len().max(ran.stderr.len()) >= 64 << 16;
    Ok(if all && ran.hits.is_empty() { "reached".into() } else { format!("{:?}", ran.hits) })
}

/// That a program which reads is fed to the last byte.
fn fed_to_a_reader(scene: &Scene<'_>) -> Result<String, String> {
    let ran = scene.python(
        "n = 0\nwhile data := os.read(0, 1 << 16): n += len(data)\nreached() if n == 3 << 20 else refused(str(n))",
    )?;
    Ok(ran.stdout.trim().to_owned())
}

/// That the program is executed when its arguments are short: the kernel's bound on them is one that nothing lifts.
fn executed_with_little(scene: &Scene<'_>) -> Result<String, String> {
    Ok(scene.python("os.execv('/bin/echo', ['echo', 'reached'])")?.stdout.trim().to_owned())
}

/// That the same bytes are kept where they fit.
fn kept_in_a_wide_layer(scene: &Scene<'_>) -> Result<String, String> {
    let wide = Setup { limits: &[Limit::Disk(512)], ..scene.attempt.setup };
    let ran = scene.enclosure.run(scene.attempt.act, &wide, scene.bait)?;
    Ok(if ran.reason == ExitReason::Exited(0) { "reached".into() } else { format!("{:?}", ran.reason) })
}
