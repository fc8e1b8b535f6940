//! What can be opened, read, written and executed: `/proc`, the view, devices, identities, programs.

use agentic_sandbox::Closed;

use crate::attempt::{Attempt, Proof, Proof::*, Setup, python, shell};

/// Neither the filter nor the view: the nest init hides from the program because it holds what the program lacks.
const HIDDEN_INIT: &[Proof] = &[Without("undumpable+capabilities+landlock")];

#[rustfmt::skip]
pub(in crate::groups) const PROC: &[Attempt] = &[
    python("kernel/init-environ", "the environment of the process above", "attempt(lambda: open('/proc/1/environ', 'rb').read(1))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-mem", "the memory of the process above", "attempt(lambda: open('/proc/1/mem', 'rb'))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-mem-write", "the memory of the process above, written", "attempt(lambda: open('/proc/1/mem', 'r+b', 0))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-maps", "where things lie in the process above", "attempt(lambda: open('/proc/1/maps').read(1))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-fd", "the descriptors of the process above", "attempt(lambda: os.listdir('/proc/1/fd'))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-fd-read", "where a descriptor of the process above leads", "attempt(os.readlink, '/proc/1/fd/2')",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-exe", "our executable", "attempt(lambda: open('/proc/1/exe', 'rb'))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-root", "another root by a magic link", "attempt(lambda: os.listdir('/proc/1/root/'))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-cwd", "another folder by a magic link", "attempt(lambda: os.listdir('/proc/1/cwd/'))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-namespaces", "descriptors of namespaces, to enter", "attempt(lambda: open('/proc/1/ns/user'))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-auxv", "addresses of the process above", "attempt(lambda: open('/proc/1/auxv', 'rb').read(1))",
        &["refused EACCES"], HIDDEN_INIT),
    python("kernel/init-syscall", "what the process above waits in", "attempt(lambda: open('/proc/1/syscall').read(1))",
        &["refused EACCES"], HIDDEN_INIT).or_missing(&["refused ENOENT"]),
    python("kernel/init-clear-refs", "the pages of the process above, watched", "attempt(lambda: open('/proc/1/clear_refs', 'w'))",
        &["refused EACCES"], HIDDEN_INIT).or_missing(&["refused ENOENT"]),
    python("kernel/init-killed", "the enclosure's end without a verdict",
        // Without Landlock's scope the signal is accepted, and has no effect on a pid 1: then this line is printed.
        "try: os.kill(1, 9)\nexcept OSError as error: refused(named(error.errno))\nrefused('no effect')",
        &["refused EPERM", "refused no effect"], &[Elsewhere("processes.rs: the_nest_init_can_be_neither_read_nor_killed")]),
    python("kernel/init-unfiltered", "every system call, by the process above",
        "mode = [line.split()[1] for line in open('/proc/1/status') if line.startswith('Seccomp:')]\nreached() if mode != ['2'] else refused('filtered')",
        &["refused filtered"], &[Without("nest-init-filter")]),
    python("kernel/host-process-environ", "secrets of the user's other processes",
        "text = open('/proc/%d/environ' % HOST['victim'], 'rb') if os.path.exists('/proc/%d' % HOST['victim']) else refused('ENOENT')\nif HOST['token'].encode() in text.read(): reached()",
        &["refused ENOENT"], &[Host]),
    python("kernel/host-process-signal", "the user's other processes, ended", "attempt(os.kill, HOST['victim'], 0)",
        &["refused ESRCH"], &[Host]),
    python("kernel/host-process-pidfd", "the user's other processes, held", "attempt(os.pidfd_open, HOST['victim'])",
        &["refused ESRCH"], &[Host]),
    python("kernel/host-process-priority", "the user's other processes, slowed", "attempt(os.setpriority, os.PRIO_PROCESS, HOST['victim'], 19)",
        &["refused ESRCH"], &[Host]),
    python("kernel/host-process-limits", "the limits of the user's other processes",
        "import resource\nattempt(resource.prlimit, HOST['victim'], resource.RLIMIT_CORE)",
        &["refused ESRCH"], &[Host]),
    python("kernel/host-process-affinity", "the user's other processes, moved", "attempt(os.sched_setaffinity, HOST['victim'], os.sched_getaffinity(0))",
        &["refused ESRCH"], &[Host]),
    python("kernel/host-process-list", "what else runs here",
        "reached() if os.path.exists('/proc/%d' % HOST['engine']) else refused('absent')",
        &["refused absent"], &[Host]),
    python("kernel/core-pattern", "a program of the host that the kernel starts as root", "attempt(lambda: open('/proc/sys/kernel/core_pattern', 'r+'))",
        &["refused EACCES", "refused EPERM", "refused EROFS"], &[HostAsRoot]),
    python("kernel/modprobe-path", "a program of the host that the kernel starts as root", "attempt(lambda: open('/proc/sys/kernel/modprobe', 'r+'))",
        &["refused EACCES", "refused EPERM", "refused ENOENT", "refused EROFS"], &[HostAsRoot]).or_missing(&["refused ENOENT"]),
    python("kernel/sysctl-of-the-network", "settings of the network", "attempt(lambda: open('/proc/sys/net/ipv4/ip_forward', 'r+'))",
        &["refused EACCES", "refused EPERM"], &[HostAsRoot]),
    python("kernel/sysctl-of-user-namespaces", "namespaces, allowed again", "attempt(lambda: open('/proc/sys/user/max_user_namespaces', 'r+'))",
        &["refused EACCES", "refused EPERM"], &[Without("capabilities")]),
    python("kernel/sysrq", "the host, by magic keys", "attempt(lambda: open('/proc/sysrq-trigger', 'w'))",
        &["refused EACCES", "refused EPERM", "refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT"]),
    python("kernel/kcore", "the kernel's memory", "attempt(lambda: open('/proc/kcore', 'rb').read(4))",
        &["refused EACCES", "refused EPERM", "refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT", "refused EPERM"]),
    python("kernel/kmsg", "the kernel's log", "attempt(lambda: os.open('/proc/kmsg', os.O_RDONLY | os.O_NONBLOCK))",
        &["refused EACCES", "refused EPERM"], &[HostAsRoot]).or_missing(&["refused ENOENT"]),
    python("kernel/uid-map", "other ids in its user namespace", "attempt(lambda: os.write(os.open('/proc/self/uid_map', os.O_WRONLY), b'0 1000 1'))",
        &["refused EPERM", "refused EACCES"], &[Elsewhere("kernel.rs: nothing_under_proc_can_be_written_but_what_is_the_programs_own")]),
    python("kernel/oom-score", "another victim when memory runs out", "attempt(lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-500'))",
        &["refused EACCES", "refused EPERM"], &[HostAsRoot]).or_missing(&["refused EACCES"]),
    python("kernel/keys", "names and numbers of the user's keys", "reached() if open('/proc/keys').read(1) else refused('empty')",
        &["refused empty"], &[Host, WithoutAsUser("covered-proc")]).or_missing(&["refused empty"]),
    python("kernel/cgroup-path", "where on the host its cgroup lies",
        "paths = {line.rstrip().split(':', 2)[2] for line in open('/proc/self/cgroup')}\nreached() if paths != {'/'} else refused('only the root')",
        &["refused only the root"], &[Without("cgroup-namespace")]).or_missing(&["refused only the root"]),
    python("kernel/cgroup-files", "its own limits, lifted", "attempt(os.listdir, '/sys/fs/cgroup')",
        &["refused ENOENT"], &[Host]),
    python("kernel/release-agent", "a program that the kernel starts when a cgroup empties",
        "import glob\nfound = glob.glob('/sys/fs/cgroup/*/release_agent')\nreached() if found else refused('absent')",
        &["refused absent"], &[Host]).or_missing(&["refused absent"]),
    python("kernel/sysfs", "devices and drivers of the host", "attempt(os.listdir, '/sys/class')",
        &["refused ENOENT"], &[Host]),
    python("kernel/securityfs", "the kernel's internals", "attempt(os.listdir, '/sys/kernel')",
        &["refused ENOENT"], &[Host]),
    python("kernel/host-name", "which machine this is", "reached() if os.uname().nodename == HOST['name'] else refused('another')",
        &["refused another"], &[Host, Without("uts-namespace")]),
];

#[rustfmt::skip]
pub(in crate::groups) const FILES: &[Attempt] = &[
    python("kernel/file-beside", "a file of the user's outside the workspace", "attempt(lambda: open(HOST['beside']).read())",
        &["refused ENOENT"], &[Host]),
    python("kernel/file-hidden", "a file that --hide names", "attempt(lambda: open(HOST['shared'] + '/hidden').read())",
        &["refused ENOENT"], &[Host, Without("hidden-paths")]).within(Setup { hidden: true, ..Setup::SHARED }),
    python("kernel/file-of-a-read-only-folder", "a file of the host, written", "attempt(lambda: open(HOST['shared'] + '/open', 'r+'))",
        &["refused EROFS", "refused EACCES"], &[Host, WithoutAsUser("overlay-view+read-only+landlock")]).within(Setup::SHARED),
    python("kernel/new-file-in-a-read-only-folder", "a file on the host", "attempt(lambda: open(HOST['shared'] + '/new', 'x'))",
        &["refused EROFS", "refused EACCES"], &[Host, WithoutAsUser("overlay-view+read-only+landlock")]).within(Setup::SHARED),
    python("kernel/times-in-a-read-only-folder", "a file's times, changed", "attempt(os.utime, HOST['shared'] + '/open')",
        &["refused EROFS", "refused EACCES"], &[Host, WithoutAsUser("overlay-view+read-only+landlock")]).within(Setup::SHARED),
    python("kernel/lock-in-a-read-only-folder", "a lock that others of the host wait for", LOCKED,
        &["refused its own"], &[Without("overlay-view")]).within(Setup::SHARED),
    python("kernel/path-socket-stream", "a daemon of the host by its socket's path",
        "import socket\nattempt(socket.socket(socket.AF_UNIX).connect, HOST['shared'] + '/stream')",
        &["refused ECONNREFUSED"], &[Host, Without("overlay-view")]).within(Setup::SHARED),
    python("kernel/path-socket-datagram", "a daemon of the host by its socket's path",
        "import socket\nattempt(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect, HOST['shared'] + '/datagram')",
        &["refused ECONNREFUSED"], &[Host, Without("overlay-view")]).within(Setup::SHARED),
    python("kernel/path-socket-by-a-pair", "the same by a datagram pair that was disconnected",
        "import ctypes, socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nlibc().connect(a.fileno(), bytes(16), 2)\nattempt(a.sendto, b'x', HOST['shared'] + '/datagram')",
        &["refused ECONNREFUSED"], &[Host, Without("overlay-view")]).within(Setup::SHARED),
    python("kernel/loopback-tcp", "a service on the host's loopback",
        "import socket\nattempt(socket.socket().connect, ('127.0.0.1', HOST['tcp']))",
        &["refused ECONNREFUSED"], &[Host, Without("network-namespace")]),
    python("kernel/loopback-udp", "a service on the host's loopback",
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('127.0.0.1', HOST['udp']))\ns.send(b'x')\ns.settimeout(0.2)\ntry: s.recv(1)\nexcept TimeoutError: reached()\nexcept OSError as error: refused(named(error.errno))",
        &["refused ECONNREFUSED"], &[Host, Without("network-namespace")]),
    python("kernel/abstract-socket", "the desktop by an abstract socket",
        "import socket\nattempt(socket.socket(socket.AF_UNIX).connect, chr(0) + HOST['abstract'])",
        &["refused ECONNREFUSED", "refused EPERM"], &[Host, Without("network-namespace+landlock")]),
    python("kernel/dev-mem", "physical memory", "attempt(os.open, '/dev/mem', os.O_RDONLY)",
        &["refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT", "refused EPERM"]),
    python("kernel/dev-kmsg", "the kernel's log", "attempt(os.open, '/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)",
        &["refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT"]),
    python("kernel/dev-kvm", "a virtual machine", "attempt(os.open, '/dev/kvm', os.O_RDWR)",
        &["refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT", "refused EACCES"]),
    python("kernel/dev-fuse", "a file system of its own", "attempt(os.open, '/dev/fuse', os.O_RDWR)",
        &["refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT"]),
    python("kernel/dev-tun", "a network device", "attempt(os.open, '/dev/net/tun', os.O_RDWR)",
        &["refused ENOENT"], &[HostAsRoot]).or_missing(&["refused ENOENT"]),
    python("kernel/dev-disks", "the host's disks",
        "import stat\nfound = [n for n in os.listdir('/dev') if stat.S_ISBLK(os.stat('/dev/' + n).st_mode)]\nreached() if found else refused('none')",
        &["refused none"], &[Host]).or_missing(&["refused none"]),
    python("kernel/leaked-descriptors", "a descriptor of ours",
        "found = []\nfor n in range(3, 64):\n try: os.fstat(n); found.append(n)\n except OSError: pass\nreached() if found else refused('none')",
        &["refused none"], &[Without("closed-descriptors")]),
    python("kernel/streams-are-pipes", "the caller's terminal or files, opened again by their streams",
        "import stat\nkinds = {stat.S_ISFIFO(os.fstat(n).st_mode) for n in range(3)}\nreached() if kinds != {True} else refused('pipes')",
        &["refused pipes"], &[Host]),
    python("kernel/working-directory", "a folder of the host, still held",
        "reached() if os.getcwd() != '/' or os.stat('/').st_ino != os.stat('.').st_ino else refused('the root')",
        &["refused the root"], &[Host]),
];

/// A lock on a host file is seen by the host; on an overlay's inode it is not. Asked by a `flock` of this run's own:
/// the device number tells whether the inode is the host's.
const LOCKED: &str = r"
import fcntl
file = open(HOST['shared'] + '/open')
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
device = os.fstat(file.fileno()).st_dev
types = [line.split(' - ')[1].split()[0] for line in open('/proc/self/mountinfo') if line.split()[4] == HOST['shared']]
refused('its own') if types == ['overlay'] else reached()
";

/// A plain run, where programs may start programs.
const OPEN: &[Proof] = &[With(Setup::PLAIN)];
const NO_EXEC: Setup = Setup { closed: Closed { exec: true, inet: false }, ..Setup::PLAIN };
const NO_INET: Setup = Setup { closed: Closed { exec: false, inet: true }, ..Setup::PLAIN };

#[rustfmt::skip]
pub(in crate::groups) const EXECUTION: &[Attempt] = &[
    python("kernel/no-exec-execve", "a program, where exec is closed", "attempt(os.execv, '/bin/echo', ['echo', 'reached'])",
        &["refused EPERM"], OPEN).within(NO_EXEC),
    python("kernel/no-exec-by-descriptor", "a program by its descriptor", "attempt(os.execve, os.open('/bin/echo', os.O_RDONLY), ['echo', 'reached'], {})",
        &["refused EPERM"], &[Host, Without("seccomp")]).within(NO_EXEC),
    python("kernel/no-exec-memfd", "a program from memory",
        "fd = os.memfd_create('x')\nos.write(fd, open('/bin/echo', 'rb').read())\nattempt(os.execv, '/proc/self/fd/%d' % fd, ['echo', 'reached'])",
        &["refused EPERM"], OPEN).within(NO_EXEC),
    python("kernel/no-exec-spawn", "a program by posix_spawn",
        "try: child = os.posix_spawn('/bin/echo', ['echo', 'reached'], {})\nexcept OSError as error: refused(named(error.errno))\nos.waitpid(child, 0)",
        &["refused EPERM"], OPEN).within(NO_EXEC),
    python("kernel/no-exec-loader", "a program by the dynamic loader", "import glob\nattempt(os.execv, glob.glob('/lib*/ld-linux*')[0], ['ld', '/bin/echo', 'reached'])",
        &["refused EPERM"], OPEN).within(NO_EXEC),
    python("kernel/no-exec-in-a-child", "a program in a child",
        "child = os.fork()\nif child == 0: attempt(os.execv, '/bin/echo', ['echo', 'reached'])\nos.waitpid(child, 0)",
        &["refused EPERM"], OPEN).within(NO_EXEC),
    python("kernel/no-exec-in-a-thread", "a program from another thread",
        "import threading\nt = threading.Thread(target=attempt, args=(os.execv, '/bin/echo', ['echo', 'reached']))\nt.start(); t.join()",
        &["refused EPERM"], OPEN).within(NO_EXEC),
    python("kernel/no-exec-the-ticket", "the one exec that starts the program, guessed by its descriptor",
        "import ctypes\nargv = (ctypes.c_char_p * 3)(b'echo', b'reached', None)\nfor fd in range(3, 32):\n done, error = syscall(322 if os.uname().machine == 'x86_64' else 281, fd, buffer(b''), ctypes.addressof(argv), 0, 0x1000)\n if error != 1: refused(named(error))\nrefused('EPERM')",
        &["refused EPERM"], &[Elsewhere("processes.rs: without_exec_the_program_starts_and_nothing_after_it")]).within(NO_EXEC),
    python("kernel/empty-path", "a program that no path names",
        "import ctypes\nfd = os.open('/bin/echo', os.O_RDONLY)\nargv = (ctypes.c_char_p * 3)(b'echo', b'reached', None)\ndone, error = syscall(322 if os.uname().machine == 'x86_64' else 281, fd, buffer(b''), ctypes.addressof(argv), 0, 0x1000)\nrefused(named(error))",
        &["refused EPERM"], &[Host, Without("call:execveat")]),
    python("kernel/set-id-mounts", "another uid by a set-id program in a place that it can write",
        "places = [p for p in ('/tmp', '/dev/shm', '/home/user', os.getcwd()) if not os.statvfs(p).f_flag & os.ST_NOSUID]\nreached() if places else refused('nosuid')",
        &["refused nosuid"], &[Without("nosuid")]).within(Setup::WORKSPACE),
    shell("kernel/set-id", "another uid by a set-id program",
        "cp /usr/bin/id /tmp/id && chmod 6755 /tmp/id && test \"$(/tmp/id -u)\" = 1000 && test \"$(id -ru)\" = 1000 && echo 'refused its own uid' || echo reached",
        &["refused its own uid"], &[Elsewhere("filesystem.rs: set_id_bits_give_nothing_inside")]),
    python("kernel/inet-closed", "the network, where it is closed", "import socket\nattempt(socket.socket)",
        &["refused EAFNOSUPPORT"], &[With(Setup::PLAIN), Without("call:socket")]).within(NO_INET),
    python("kernel/netlink-closed", "the interfaces, where the network is closed", "import socket\nattempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        &["refused EAFNOSUPPORT"], &[With(Setup::PLAIN), Without("call:socket")]).within(NO_INET),
];

#[rustfmt::skip]
pub(in crate::groups) const IDENTITY: &[Attempt] = &[
    python("kernel/uid-zero", "root", "attempt(os.setresuid, 0, 0, 0)",
        &["refused EINVAL", "refused EPERM"], &[HostAsRoot]),
    python("kernel/gid-zero", "root's group", "attempt(os.setresgid, 0, 0, 0)",
        &["refused EINVAL", "refused EPERM"], &[HostAsRoot]),
    python("kernel/bypass-modes", "files that their modes close",
        "path = '/tmp/closed'\nopen(path, 'w').close()\nos.chmod(path, 0)\nattempt(open, path)",
        &["refused EACCES"], &[Without("capabilities")]),
    python("kernel/low-port", "a port that only root may open", "import socket\nattempt(socket.socket().bind, ('127.0.0.1', 80))",
        &["refused EACCES"], &[Without("capabilities")]),
    python("kernel/interface-down", "the interfaces of its network namespace", INTERFACE_DOWN,
        &["refused EPERM"], &[Without("capabilities")]),
    python("kernel/ambient", "capabilities by the ambient set",
        "done, error = syscall(157 if os.uname().machine == 'x86_64' else 167, 47, 2, 10, 0, 0)\nreached() if done == 0 else refused(named(error))",
        &["refused EPERM"], &[Without("capabilities+call:prctl")]),
    python("kernel/trusted-attribute", "attributes that only root may set",
        "open('file', 'w').close()\nattempt(os.setxattr, 'file', 'trusted.x', b'y')",
        &["refused EPERM"], &[HostAsRoot]).or_missing(&["refused EOPNOTSUPP"]).within(Setup::WORKSPACE),
    python("kernel/file-capability", "capabilities by a file",
        "import struct, tempfile\nfile = tempfile.NamedTemporaryFile()\nattempt(os.setxattr, file.name, 'security.capability', struct.pack('<5I', 0x02000001, 0xffffffff, 0, 0xffffffff, 0))",
        &["refused EPERM"], &[Without("capabilities")]),
    python("kernel/limit-raised", "a resource limit, raised",
        "import resource\ntry: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 19, 1 << 19))\nexcept ValueError: refused('EPERM')\nreached()",
        &["refused EPERM"], &[HostAsRoot]).or_missing(&["refused EPERM"]),
    python("kernel/limit-of-queues", "kernel memory by message queues",
        "import resource\ntry: resource.setrlimit(12, (1 << 24, 1 << 24))\nexcept ValueError: refused('EPERM')\nreached()",
        &["refused EPERM"], &[HostAsRoot]).or_missing(&["refused EPERM"]),
    python("kernel/real-time", "the processor, for itself", "attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))",
        &["refused EPERM"], &[HostAsRoot]).or_missing(&["refused EPERM"]),
    python("kernel/priority", "more of the processor", "attempt(os.setpriority, os.PRIO_PROCESS, 0, -5)",
        &["refused EACCES", "refused EPERM"], &[HostAsRoot]),
    python("kernel/immutable", "a file that its owner cannot remove",
        IMMUTABLE,
        &["refused ENOTTY"], &[HostAsRoot, Without("call:ioctl")]).or_missing(&["refused EPERM", "refused EOPNOTSUPP"]).within(Setup::WORKSPACE),
];

/// FS_IOC_SETFLAGS with FS_IMMUTABLE_FL: ioctl_iflags(2). Where it succeeds it is undone, or the folder could not be removed.
const IMMUTABLE: &str = r"
import fcntl
fd = os.open('file', os.O_CREAT | os.O_RDWR)
try: fcntl.ioctl(fd, 0x40086602, (16).to_bytes(8, 'little'))
except OSError as error: refused(named(error.errno))
flags = int.from_bytes(fcntl.ioctl(fd, 0x80086601, bytes(8)), 'little')
fcntl.ioctl(fd, 0x40086602, (flags & ~16).to_bytes(8, 'little'))
reached()
";

/// RTM_NEWLINK for interface 1, flags to 0: rtnetlink(7).
const INTERFACE_DOWN: &str = r"
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.bind((0, 0))
s.send(struct.pack('<IHHIIBBHiII', 32, 16, 5, 1, 0, 0, 0, 0, 1, 0, 1))
error = -struct.unpack('<i', s.recv(4096)[16:20])[0]
reached() if error == 0 else refused(named(error))
";
