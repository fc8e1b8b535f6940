//! What `agentic exec` does when a program wants too much: it ends as said, its output so far is shown,
//! nothing is left running, and our own memory stays flat.

mod scene;

use std::time::{Duration, Instant};

use agentic_testkit::wait_until_gone;
use scene::{Measured, Scene};

/// Reached only by a test that fails.
const SOON: Duration = Duration::from_secs(20);
/// Kilobytes that the program itself may take, whatever passes through it (measured: 19 to 22 MB, a debug build).
const FLAT: u64 = 48 << 10;

fn marker(name: &str) -> String {
    format!("agentic-shows-{name}-{}-end", std::process::id())
}

#[track_caller]
fn is_gone(marker: &str) {
    assert_eq!(wait_until_gone(marker, SOON), Vec::<u32>::new(), "processes were left behind");
}

#[test]
fn a_line_prints_its_result() {
    let seen = Scene::new().run(["exec", "-e", "print(sum(range(10)))"]);
    seen.ends(0);
    assert_eq!((seen.stdout.as_str(), seen.stderr.as_str()), ("45\n", ""));
}

/// Ends within two seconds of a limit of one. The machine may be busy, so the best of three tries counts.
#[track_caller]
fn times_out(name: &str, code: &str) {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let marker = marker(name);
        let code = format!("print('so far', flush=True) # {marker}\n{code}");
        let start = Instant::now();
        let seen = Scene::new().run(["exec", "--timeout", "1", "-e", &code]);
        best = best.min(start.elapsed());
        seen.ends(124).prints("so far").says("timed out after 1.0 s; the process tree was ended");
        is_gone(&marker);
        if best < Duration::from_secs(2) {
            return;
        }
    }
    panic!("it took {best:?} at best");
}

#[test]
fn an_endless_loop_times_out() {
    times_out("loop", "while True: pass");
}

#[test]
fn a_sleeper_times_out() {
    times_out("sleeper", "import time; time.sleep(600)");
}

#[test]
fn who_ignores_sigterm_times_out() {
    times_out(
        "ignorer",
        "import signal, time\nfor s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(600)",
    );
}

#[test]
fn a_daemon_in_a_session_of_its_own_times_out() {
    times_out(
        "daemon",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\ntime.sleep(600)",
    );
}

#[test]
fn a_daemon_does_not_outlive_its_program() {
    let marker = marker("outlive");
    let code = format!(
        "import os, time # {marker}\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\nprint('done')"
    );
    let start = Instant::now();
    Scene::new().run(["exec", "-e", &code]).ends(0).prints("done");
    assert!(start.elapsed() < SOON, "the call waited for a grandchild: {:?}", start.elapsed());
    is_gone(&marker);
}

#[track_caller]
fn passes_its_memory(name: &str, code: &str) {
    let marker = marker(name);
    let code = format!("print('so far', flush=True) # {marker}\n{code}\nprint('had it all', flush=True)");
    let seen = Scene::new().measure(["exec", "--memory", "256", "--timeout", "60", "-e", &code]);
    assert_eq!(seen.code, 137, "{}", seen.stderr);
    assert!(seen.stderr.contains("used more than its 256 MB of memory; the process tree was ended"), "{}", seen.stderr);
    assert_eq!(seen.head, b"so far\n", "{}", String::from_utf8_lossy(&seen.head));
    is_flat(&seen);
    is_gone(&marker);
}

#[track_caller]
fn is_flat(seen: &Measured) {
    assert!(seen.peak > 0, "the peak was not measured");
    assert!(seen.peak < FLAT, "our own memory went up to {} kB", seen.peak);
}

#[test]
fn a_list_of_two_gigabytes_passes_its_memory() {
    passes_its_memory("list", "x = [0] * (2 << 27)");
}

#[test]
fn a_file_in_memory_that_is_mapped_passes_its_memory() {
    passes_its_memory(
        "mapped",
        "import mmap, os\nf = os.memfd_create('x')\nos.ftruncate(f, 2 << 30)\nm = mmap.mmap(f, 2 << 30)\nfor i in range(0, 2 << 30, 4096): m[i] = 1",
    );
}

#[test]
fn a_file_in_memory_that_is_written_passes_its_memory() {
    passes_its_memory(
        "written",
        "import os\nf = os.memfd_create('x')\nb = b'x' * (1 << 20)\nfor i in range(2048): os.write(f, b)",
    );
}

#[test]
fn a_file_in_memory_is_none_on_disk() {
    // The control of the two above, and more than the scratch space holds.
    let code = "import os, time\nf = os.memfd_create('x')\nfor i in range(180): os.write(f, b'x' * (1 << 20))\ntime.sleep(2)\nprint('had it all')";
    Scene::new().run(["exec", "--memory", "256", "-e", code]).ends(0).prints("had it all");
}

#[test]
fn twenty_children_pass_their_memory_together() {
    passes_its_memory(
        "children",
        "import os, time\nfor i in range(20):\n    if os.fork() == 0:\n        x = bytearray(b'x' * (30 << 20))\n        time.sleep(50)\n        os._exit(0)\ntime.sleep(50)",
    );
}

#[test]
fn one_child_of_that_size_is_within_it() {
    // The control of the one above.
    let code = "import os\npid = os.fork()\nif pid == 0:\n    x = bytearray(b'x' * (30 << 20))\n    os._exit(0)\nprint(os.waitpid(pid, 0)[1])";
    Scene::new().run(["exec", "--memory", "256", "-e", code]).ends(0).prints("0\n");
}

#[test]
fn ten_thousand_forks_are_refused_and_the_program_goes_on() {
    let marker = marker("forks");
    let code = format!(
        "import errno, os, time # {marker}\nmade = refused = 0\nfor i in range(10000):\n    try:\n        if os.fork() == 0:\n            time.sleep(50)\n            os._exit(0)\n        made += 1\n    except OSError as error:\n        assert error.errno == errno.EAGAIN, error\n        refused += 1\nprint(made < 64, made + refused)"
    );
    let seen = Scene::new().measure(["exec", "-e", &code]);
    assert_eq!((seen.code, seen.head.as_slice()), (0, b"True 10000\n".as_slice()), "{}", seen.stderr);
    assert!(seen.stderr.contains("the program met a limit: 64 processes"), "{}", seen.stderr);
    is_flat(&seen);
    is_gone(&marker);
}

const GIGABYTE_TO_STDOUT: &str = "import os\nb = b'x' * (1 << 20)\nfor i in range(1024):\n    v = memoryview(b)\n    while v: v = v[os.write(1, v):]";

#[test]
fn a_gigabyte_on_stdout_passes_through() {
    let seen = Scene::new().measure(["exec", "--timeout", "300", "-e", GIGABYTE_TO_STDOUT]);
    assert_eq!((seen.code, seen.total), (0, 1 << 30), "{}", seen.stderr);
    is_flat(&seen);
}

#[test]
fn a_gigabyte_on_stdout_as_json_is_cut_and_said() {
    let scene = Scene::new();
    let args = ["exec", "--json", "--timeout", "300", "-e", GIGABYTE_TO_STDOUT];
    let seen = scene.measure(args);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    assert!(seen.total < 4 << 20, "{} bytes of JSON", seen.total);
    let object = scene.run(args).json();
    assert_eq!((&object["truncated"], &object["limits_hit"][0]), (&true.into(), &"output".into()));
    assert!(object["stdout"].as_str().unwrap().contains(&format!("[{} bytes cut]", (1 << 30) - (1 << 20))));
    is_flat(&seen);
}

/// One gigabyte into a file, and how that went.
fn fills(path: &str) -> (Scene, Measured) {
    let scene = Scene::new();
    let code = format!(
        "f = open({path:?}, 'wb')\nb = b'x' * (1 << 20)\nfor i in range(1024): f.write(b)\nprint('had it all')"
    );
    let seen = scene.measure(["exec", "--timeout", "60", "-e", &code]);
    (scene, seen)
}

#[test]
fn a_gigabyte_to_the_workspace_ends_it() {
    let (scene, seen) = fills("big");
    assert_eq!((seen.code, seen.head.as_slice()), (137, b"".as_slice()), "{}", seen.stderr);
    assert!(seen.stderr.contains("wrote more than its 128 MB of scratch space"), "{}", seen.stderr);
    assert!(!scene.work("big").exists(), "half of it came into the workspace");
    is_flat(&seen);
}

#[test]
fn a_gigabyte_to_tmp_is_a_full_disk() {
    let (_scene, seen) = fills("/tmp/big");
    assert_eq!((seen.code, seen.head.as_slice()), (1, b"".as_slice()), "{}", seen.stderr);
    assert!(seen.stderr.contains("No space left on device"), "{}", seen.stderr);
    assert!(seen.stderr.contains("the program met a limit: 128 MB of scratch space"), "{}", seen.stderr);
    is_flat(&seen);
}

#[test]
fn a_tenth_of_it_fits() {
    // The control of the two above.
    let code = "for path in ('small', '/tmp/small'): open(path, 'wb').write(b'x' * (50 << 20))";
    let scene = Scene::new();
    scene.run(["exec", "-e", code]).ends(0);
    assert_eq!(scene.work("small").metadata().unwrap().len(), 50 << 20);
}
