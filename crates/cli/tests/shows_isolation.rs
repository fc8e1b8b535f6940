//! What a program inside `agentic exec` cannot reach, by whatever way it asks. The same programs are run
//! outside first: there each finds what inside it must not.

mod scene;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentic_testkit::{SecretServer, find_program, is_root, processes_with_marker, skip};
use scene::Scene;
use serde_json::{Value, json};

/// Asks for everything by the ordinary way, by `os.open` and by the C library, and prints what came as JSON.
const PROBE: &str = r#"
import ctypes, json, os, socket, sys

want = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
seen = {}

def by_open(path):
    with open(path, 'rb') as file:
        return file.read()

def by_os(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)

def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def by_libc(path):
    fd = check(libc.open(path.encode(), os.O_RDONLY))
    buffer = ctypes.create_string_buffer(65536)
    count = check(libc.read(fd, buffer, 65536))
    libc.close(fd)
    return buffer.raw[:count]

def by_number(path):
    # openat(AT_FDCWD) by its number, past the C library's own function.
    number = {'x86_64': 257, 'aarch64': 56}[os.uname().machine]
    fd = check(libc.syscall(number, -100, path.encode(), os.O_RDONLY, 0))
    return os.read(fd, 65536)

for name, path in want['files'].items():
    for way in (by_open, by_os, by_libc, by_number):
        try:
            seen[f'{name} {way.__name__}'] = way(path).decode(errors='replace')
        except OSError as error:
            seen[f'{name} {way.__name__}'] = f'refused: {error.strerror}'

for name, path in want['there'].items():
    for way, ask in (('stat', os.stat), ('libc', lambda p: check(libc.access(p.encode(), 0)))):
        try:
            ask(path)
            seen[f'{name} {way}'] = 'there'
        except OSError as error:
            seen[f'{name} {way}'] = f'refused: {error.strerror}'

def by_socket():
    with socket.create_connection(tuple(want['server']), timeout=5) as peer:
        peer.sendall(b'GET / HTTP/1.0\r\n\r\n')
        return b''.join(iter(lambda: peer.recv(4096), b''))

def by_libc_socket():
    fd = check(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    host, port = want['server']
    address = socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, 'big') + socket.inet_aton(host) + bytes(8)
    check(libc.connect(fd, address, len(address)))
    os.write(fd, b'GET / HTTP/1.0\r\n\r\n')
    return b''.join(iter(lambda: os.read(fd, 4096), b''))

for way in (by_socket, by_libc_socket):
    try:
        seen[f'server {way.__name__}'] = way().decode()
    except OSError as error:
        seen[f'server {way.__name__}'] = f'refused: {error.strerror or error}'

seen['environment'] = json.dumps(dict(os.environ))
# Descriptors that came along by mistake would lead outside.
seen['descriptors'] = sorted(fd for fd in map(int, os.listdir('/proc/self/fd')) if os.path.exists(f'/proc/self/fd/{fd}'))
seen['processes'] = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    for file in ('cmdline', 'environ', 'status'):
        try:
            seen['processes'].append(by_os(f'/proc/{pid}/{file}').decode(errors='replace'))
        except OSError:
            pass
for way, ask in (('kill', lambda p: os.kill(p, 0)), ('libc', lambda p: check(libc.kill(p, 0)))):
    try:
        ask(want['pid'])
        seen[f'process {way}'] = 'there'
    except OSError as error:
        seen[f'process {way}'] = f'refused: {error.strerror}'
print(json.dumps(seen))
"#;

/// The same by what a shell has.
const SHELL_PROBE: &str = r#"
for path in "$HOST_HOME/secret.txt" "$BESIDE" "$LINK" "/proc/self/root$BESIDE" "/proc/1/root$BESIDE" "$WORK/../beside.txt"; do
    echo "file: $(cat "$path" 2>&1)"
done
test -e /etc/shadow && echo "shadow $((40 + 2))"
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'
env
kill -0 "$PID" 2>/dev/null && echo "process $((40 + 2))"
(exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && cat <&3) 2>&1
true
"#;

/// Everything that must not be reached.
struct Outside {
    scene: Scene,
    server: SecretServer,
    sleeper: Child,
    /// In the arguments of a process outside.
    marker: String,
}

impl Outside {
    fn new(name: &str) -> Self {
        let scene = Scene::new().variable("CALLERS_SECRET", "s3cret-of-the-caller");
        std::fs::write(scene.path("home/secret.txt"), "secret-of-the-home").unwrap();
        std::fs::write(scene.path("beside.txt"), "secret-beside-the-workspace").unwrap();
        std::os::unix::fs::symlink(scene.path("beside.txt"), scene.work("link")).unwrap();
        let marker = format!("agentic-outside-{name}-{}", std::process::id());
        let mut sleeper = Command::new("sh");
        sleeper.args(["-c", "read line", &marker]).stdin(Stdio::piped()).current_dir("/");
        let sleeper = sleeper.spawn().unwrap();
        while !processes_with_marker(&marker).contains(&sleeper.id()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { scene, server: SecretServer::start(), sleeper, marker }
    }
    fn path(&self, name: &str) -> String {
        self.scene.path(name).to_str().unwrap().to_owned()
    }
    fn want(&self) -> String {
        let beside = self.path("beside.txt");
        json!({
            "files": {
                "home": self.path("home/secret.txt"),
                "beside": beside,
                "link": self.path("work/link"),
                "up": self.path("work/../beside.txt"),
                "own root": format!("/proc/self/root{beside}"),
                "cwd": "/proc/self/cwd/../beside.txt",
            },
            "there": {"shadow": "/etc/shadow", "home folder": self.path("home"), "runtime folder": "/run/lock"},
            "server": ["127.0.0.1", self.server.address().port()],
            "pid": self.sleeper.id(),
        })
        .to_string()
    }
    /// What of it appears in `text`.
    fn found_in(&self, text: &str) -> Vec<&str> {
        let secrets = ["s3cret-of-the-caller", "secret-of-the-home", "secret-beside-the-workspace"];
        let all = secrets.into_iter().chain([self.server.secret(), self.marker.as_str()]);
        all.filter(|secret| text.contains(secret)).collect()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.sleeper.kill();
        let _ = self.sleeper.wait();
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn python_reaches_nothing_by_any_way() {
    let Some(python) = find_program("python3") else { skip!("python3 is not installed") };
    for view in ["system", "host"] {
        let outside = Outside::new(view);
        outside.scene.file("probe.py", PROBE);
        let want = outside.want();

        let mut control = Command::new(python.as_path());
        control.arg("probe.py").arg(&want);
        outside.scene.surround(&mut control);
        let control = control.output().unwrap();
        let text = String::from_utf8_lossy(&control.stdout);
        let control = parse(&text);
        assert_eq!(outside.found_in(&text).len(), 5, "the control found only {:?}", outside.found_in(&text));
        let answers = control.as_object().unwrap().iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        for (name, answer) in answers {
            assert!(!answer.starts_with("refused"), "the control was refused: {name}: {answer}");
        }

        let hits = outside.server.hits();
        let seen = outside.scene.run(["exec", "--view", view, "probe.py", "--", &want]);
        let text = &seen.ends(0).stdout;
        let inside = parse(text);
        assert_eq!(outside.found_in(text), Vec::<&str>::new(), "reached in the {view} view: {text}");
        assert_eq!(outside.server.hits(), hits, "the server was asked");
        for (name, answer) in inside.as_object().unwrap() {
            let Some(answer) = answer.as_str().filter(|_| name != "environment") else { continue };
            // The home folder itself may be there, empty, in the host view.
            let allowed = name.starts_with("home folder") || (view == "host" && name.starts_with("runtime folder"));
            assert!(answer.starts_with("refused") || allowed, "{view}: {name}: {answer}");
        }
        // Three streams and the folder being listed, which is closed by then.
        assert!(inside["descriptors"].as_array().unwrap().iter().all(|fd| fd.as_u64() <= Some(3)), "{inside}");
    }
}

#[test]
fn bash_reaches_nothing_by_any_way() {
    for view in ["system", "host"] {
        let outside = Outside::new(&format!("bash-{view}"));
        let scene = &outside.scene;
        let given = [
            ("HOST_HOME", outside.path("home")),
            ("BESIDE", outside.path("beside.txt")),
            ("LINK", outside.path("work/link")),
            ("WORK", outside.path("work")),
            ("PID", outside.sleeper.id().to_string()),
            ("PORT", outside.server.address().port().to_string()),
        ];
        let mut control = Command::new("bash");
        control.args(["-c", SHELL_PROBE]);
        scene.surround(&mut control);
        let control = control.envs(given.iter().map(|(name, value)| (name, value))).output().unwrap();
        let text = String::from_utf8_lossy(&control.stdout);
        assert_eq!(outside.found_in(&text).len(), 5, "the control found only {:?}", outside.found_in(&text));
        assert!(text.contains("shadow 42") && text.contains("process 42"), "{text}");

        let mut args: Vec<String> =
            ["exec", "--view", view, "--lang", "bash", "-e", SHELL_PROBE].map(str::to_owned).into();
        args.extend(given.iter().flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")]));
        let seen = scene.run(args);
        let text = &seen.ends(0).stdout;
        assert_eq!(outside.found_in(text), Vec::<&str>::new(), "reached in the {view} view: {text}");
        assert!(!text.contains("shadow 42") && !text.contains("process 42"), "{text}");
        assert!(text.contains("file: cat:"), "the probe did not run: {text}");
    }
}

#[test]
fn the_kernel_says_that_nothing_is_left_to_use() {
    let scene = Scene::new();
    let read = "print(open('/proc/self/status').read())";
    for args in [vec!["exec", "-e", read], vec!["exec", "--lang", "bash", "-e", "cat /proc/self/status; true"]] {
        for view in ["system", "host"] {
            let seen = scene.run(args.iter().copied().chain(["--view", view]));
            let status = &seen.ends(0).stdout;
            let value = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or_else(|| panic!("no {name}: {status}")).trim().to_owned()
            };
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(value(set), "0000000000000000", "{set} in the {view} view");
            }
            assert_eq!((value("NoNewPrivs"), value("Seccomp")), ("1".into(), "2".into()));
        }
    }
    // The control: here it is otherwise.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(
        own.contains("Seccomp:\t0") || own.contains("NoNewPrivs:\t0") || !own.contains("CapBnd:\t0000000000000000")
    );
}

#[test]
fn started_as_root_it_is_nobody_outside() {
    if !is_root() {
        skip!("not root");
    }
    let scene = Scene::new();
    let marker = format!("agentic-uid-{}", std::process::id());
    let code = format!("import time; print('ready', flush=True); time.sleep(600) # {marker}");
    let mut child = scene.command(["exec", "-e", &code]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let uids: Vec<u32> = processes_with_marker(&marker)
        .into_iter()
        .filter_map(|pid| {
            let folder = std::fs::metadata(format!("/proc/{pid}/status")).ok()?;
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let python = line.split(|byte| *byte == 0).next()?.windows(6).any(|part| part == b"python");
            python.then(|| std::os::unix::fs::MetadataExt::uid(&folder))
        })
        .collect();
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM);
    child.wait().unwrap();
    assert!(!uids.is_empty() && uids.iter().all(|uid| *uid >= 0x7000_0000), "{uids:?}");
}
