//! Two runs at once: what one holds, the other neither meets nor sees. Each act has its control: outside, the second of
//! two plain processes does meet what the first one holds.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use agentic_sandbox::{Command, Network, Policy, Stream};
use common::{code, printed, python, sandbox, seconds, unconfined};

/// What the holder does before it waits, and what the other asks; `KEY` stands for something of this test run alone.
struct Channel {
    name: &'static str,
    hold: &'static str,
    ask: &'static str,
    /// The answer of somebody who does not meet the holder.
    alone: &'static str,
    /// The answer of somebody who does.
    met: &'static str,
}

const CHANNELS: &[Channel] = &[
    Channel {
        name: "a lock (flock) on a file that both see",
        hold: "import fcntl\nheld = open('/usr/bin/env', 'rb')\nfcntl.flock(held, fcntl.LOCK_EX)",
        ask: "import fcntl\ntry: fcntl.flock(open('/usr/bin/env', 'rb'), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\nexcept OSError: print('locked')",
        alone: "free",
        met: "locked",
    },
    Channel {
        name: "an abstract socket",
        hold: "import socket\nheld = socket.socket(socket.AF_UNIX)\nheld.bind('\\0agentic-KEY')\nheld.listen()",
        ask: "import socket\ntry: socket.socket(socket.AF_UNIX).connect('\\0agentic-KEY'); print('connected')\nexcept OSError as e: print(e.errno)",
        alone: "111",
        met: "connected",
    },
    Channel {
        name: "a server on loopback",
        hold: "import socket\nheld = socket.socket()\nheld.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\nheld.bind(('127.0.0.1', 20000 + KEY % 10000))\nheld.listen()",
        ask: "import socket\ntry: socket.create_connection(('127.0.0.1', 20000 + KEY % 10000), 5); print('connected')\nexcept OSError as e: print(e.errno)",
        alone: "111",
        met: "connected",
    },
    Channel {
        name: "System V shared memory",
        hold: "import ctypes\nassert ctypes.CDLL(None).shmget(0x40000000 + KEY, 4096, 0o1666) >= 0",
        ask: "import ctypes\nlibc = ctypes.CDLL(None)\nfound = libc.shmget(0x40000000 + KEY, 0, 0)\nlibc.shmctl(found, 0, None) if found >= 0 else None\nprint(found >= 0)",
        alone: "False",
        met: "True",
    },
    Channel {
        name: "a System V message queue",
        hold: "import ctypes\nassert ctypes.CDLL(None).msgget(0x40000000 + KEY, 0o1666) >= 0",
        ask: "import ctypes\nlibc = ctypes.CDLL(None)\nfound = libc.msgget(0x40000000 + KEY, 0)\nlibc.msgctl(found, 0, None) if found >= 0 else None\nprint(found >= 0)",
        alone: "False",
        met: "True",
    },
    Channel {
        name: "a file in /dev/shm",
        hold: "open('/dev/shm/agentic-KEY', 'w').write('x')",
        ask: "import os\nprint(os.path.exists('/dev/shm/agentic-KEY'))\nif os.path.exists('/dev/shm/agentic-KEY'): os.unlink('/dev/shm/agentic-KEY')",
        alone: "False",
        met: "True",
    },
    Channel {
        name: "a file in a folder for temporary files",
        hold: "open('/tmp/agentic-KEY', 'w').write('x')",
        ask: "import os\nprint(os.path.exists('/tmp/agentic-KEY'))\nif os.path.exists('/tmp/agentic-KEY'): os.unlink('/tmp/agentic-KEY')",
        alone: "False",
        met: "True",
    },
    Channel {
        name: "a process and its arguments",
        hold: "pass",
        ask: "import os\ndef line(pid):\n try: return open(f'/proc/{pid}/cmdline').read()\n except OSError: return ''\nprint(any('held-' + 'KEY' in line(pid) for pid in os.listdir('/proc') if pid.isdigit() and int(pid) != os.getpid()))",
        alone: "False",
        met: "True",
    },
    Channel {
        name: "what happens to a file that both see (inotify)",
        hold: "import threading, time\ndef touch():\n while True: open('/usr/bin/env', 'rb').close(); time.sleep(0.005)\nthreading.Thread(target=touch, daemon=True).start()",
        ask: "import ctypes, os, select\nlibc = ctypes.CDLL(None)\nwatch = libc.inotify_init()\nassert libc.inotify_add_watch(watch, b'/usr/bin/env', 0x20) >= 0\nprint(bool(select.select([watch], [], [], 1.5)[0]))",
        alone: "False",
        met: "True",
    },
];

fn key() -> u32 {
    std::process::id()
}

fn code_of(text: &str) -> String {
    text.replace("KEY", &key().to_string())
}

fn holder(channel: &Channel) -> String {
    code_of(&format!("{}\nprint('held', flush=True)\nimport time\ntime.sleep(600)\n'held-KEY'", channel.hold))
}

/// What the second of two runs says while the first one holds.
fn inside(channel: &Channel, policy: &Policy) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let child = Command::new(python())
        .args(["-I", "-S", "-c", &holder(channel)])
        .stdout(Stream::Observe(Arc::new(move |_: &[u8]| {
            let _ = tell.send(());
        })))
        .policy(policy.clone())
        .limits(seconds(120))
        .spawn(sandbox())
        .unwrap();
    let killer = child.killer();
    let waiting = std::thread::spawn(move || child.wait());
    told.recv_timeout(std::time::Duration::from_secs(60)).unwrap_or_else(|_| panic!("{}: the holder", channel.name));
    let said = printed(&code(policy.clone(), seconds(60), &code_of(channel.ask)));
    assert!(!waiting.is_finished(), "{}: the holder held on", channel.name);
    killer.kill();
    waiting.join().unwrap().unwrap();
    said.trim().to_owned()
}

/// The same of two processes outside.
fn outside(channel: &Channel) -> String {
    let mut first = std::process::Command::new(python())
        .args(["-I", "-S", "-c", &holder(channel)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n", "{}: the holder outside", channel.name);
    let said = unconfined(&code_of(channel.ask));
    first.kill().unwrap();
    first.wait().unwrap();
    said.trim().to_owned()
}

#[test]
fn what_one_run_holds_the_other_does_not_meet() {
    for channel in CHANNELS {
        assert_eq!(outside(channel), channel.met, "the control of {}", channel.name);
        assert_eq!(inside(channel, &Policy::default()), channel.alone, "{}", channel.name);
    }
}

#[test]
fn with_the_hosts_network_what_is_not_network_stays_apart() {
    let host = Policy { network: Network::Host, ..Policy::default() };
    let of_network = ["an abstract socket", "a server on loopback"];
    for channel in CHANNELS.iter().filter(|channel| !of_network.contains(&channel.name)) {
        assert_eq!(inside(channel, &host), channel.alone, "{}", channel.name);
    }
}
