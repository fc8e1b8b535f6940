//! Limits: each ends or bounds the whole tree, says so, and keeps the output so far.

mod common;

use std::time::Duration;

use agentic_sandbox::{Enforcement, ExitReason, LimitKind, Limits, MB, Output, Policy, Stdin};
use common::{Folder, code, printed, sandbox, seconds, shell};

fn memory(most: u64) -> Limits {
    Limits { memory: most * MB, wall: Duration::from_secs(60), processes: 128, ..Limits::default() }
}

fn assert_memory_exceeded(name: &str, output: &Output) {
    assert_eq!(output.reason, ExitReason::MemoryExceeded, "{name}: {}", output.stderr.text());
    assert!(output.limits_hit.contains(&LimitKind::Memory), "{name}: {:?}", output.limits_hit);
    assert!(output.stdout.text().starts_with("begun\n"), "{name}: the output so far is kept");
}

#[test]
fn memory_is_bounded_for_the_whole_tree() {
    for (name, text) in [
        ("list", "x = [0] * (2 << 27)\nprint('done')"),
        ("bytes", "x = bytearray(2 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint('done')"),
        (
            "memfd",
            "import os\nf = os.memfd_create('x')\nb = b'x' * (1 << 20)\nfor _ in range(2048): os.write(f, b)\nprint('done')",
        ),
        (
            "shared",
            "import mmap, time\nm = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1\ntime.sleep(3); print('done')",
        ),
        (
            "mapped memfd without a descriptor",
            "import os, mmap, time\nf = os.memfd_create('x'); os.ftruncate(f, 1 << 30)\nm = mmap.mmap(f, 1 << 30); os.close(f)\nfor i in range(0, 1 << 30, 4096): m[i] = 1\ntime.sleep(3); print('done')",
        ),
        (
            "memfd of an undumpable process",
            "import os, ctypes, time\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\nf = os.memfd_create('x')\nb = b'x' * (1 << 20)\nfor _ in range(1024): os.write(f, b)\ntime.sleep(3); print('done')",
        ),
        (
            "threads whose first has ended",
            "import threading, ctypes, time\ndef f():\n x = bytearray(1 << 30)\n for i in range(0, len(x), 4096): x[i] = 1\n time.sleep(3); print('done', flush=True)\nthreading.Thread(target=f).start()\nctypes.CDLL(None).syscall(60 if __import__('os').uname().machine == 'x86_64' else 93, 0)",
        ),
        (
            "children",
            "import os, time\nfor _ in range(20):\n if os.fork() == 0:\n  x = bytearray(30 << 20)\n  for i in range(0, len(x), 4096): x[i] = 1\n  time.sleep(60)\ntime.sleep(60)",
        ),
    ] {
        let output = code(Policy::default(), memory(256), &format!("print('begun', flush=True)\n{text}"));
        assert_memory_exceeded(name, &output);
    }
    // The control: the same within the limit.
    let output = code(Policy::default(), memory(256), "x = bytearray(64 << 20); print('done')");
    assert_eq!(printed(&output), "done\n");
    assert!(output.usage.peak_memory > 32 * MB, "{:?}", output.usage);
}

#[test]
fn files_in_memory_count_as_memory() {
    let limits = Limits { disk: 2048 * MB, ..memory(256) };
    let text = "print('begun', flush=True)\nb = b'x' * (1 << 20)\nwith open('/dev/shm/x', 'wb') as f:\n for _ in range(1500): f.write(b)\nprint('done')";
    assert_memory_exceeded("tmpfs", &code(Policy::default(), limits, text));
}

#[test]
fn memory_held_by_nobody_alive_is_exceeded_all_the_same() {
    // Every process is small and says that it is no better a victim than the nest init, which the kernel may then take.
    let script = "echo begun; echo 0 > /proc/self/oom_score_adj; i=0; while :; do i=$((i + 1)); head -c 4194304 /dev/zero > /dev/shm/$i; done";
    let limits = Limits { disk: 2048 * MB, ..memory(64) };
    assert_memory_exceeded("small", &shell(Policy::default(), limits, script));
}

#[test]
fn processes_are_bounded_and_the_program_sees_why() {
    let text = "import os, errno, time\nn = 0\ntry:\n while n < 10000:\n  if os.fork() == 0: time.sleep(60); os._exit(0)\n  n += 1\nexcept OSError as e: print(errno.errorcode[e.errno], n < 64)";
    let output = code(Policy::default(), seconds(30), text);
    assert_eq!(printed(&output), "EAGAIN True\n");
    assert!(output.limits_hit.contains(&LimitKind::Processes), "{:?}", output.limits_hit);
}

#[test]
fn output_is_cut_and_the_program_goes_on() {
    let output = code(
        Policy::default(),
        seconds(60),
        "import sys\nb = 'x' * (1 << 20)\nfor _ in range(64): sys.stdout.write(b)\nprint('end')",
    );
    assert!(output.reason.success());
    assert_eq!(output.stdout.total, 64 * MB + 4);
    assert!(output.stdout.truncated() && output.stdout.text().ends_with("xend\n"));
    assert!(((output.stdout.head.len() + output.stdout.tail.len()) as u64) <= MB);
    assert!(output.limits_hit.contains(&LimitKind::Output));
}

#[test]
fn scratch_space_is_bounded_and_the_program_sees_why() {
    let text = "import errno\nb = b'x' * (1 << 20)\ntry:\n with open('/tmp/x', 'wb') as f:\n  for _ in range(1024): f.write(b)\nexcept OSError as e: print(errno.errorcode[e.errno])";
    let limits = Limits { disk: 16 * MB, ..seconds(30) };
    let output = code(Policy::default(), limits, text);
    assert_eq!(printed(&output), "ENOSPC\n");
    assert!(output.limits_hit.contains(&LimitKind::Disk), "{:?}", output.limits_hit);
}

#[test]
fn a_layer_on_disk_is_bounded() {
    let folder = Folder::new();
    let text = "print('begun', flush=True)\nb = b'x' * (1 << 20)\nfor i in range(1024):\n with open(f'f{i}', 'wb') as f: f.write(b)\nimport time; time.sleep(60)";
    let limits = Limits { disk: 64 * MB, ..seconds(60) };
    let output = code(folder.policy(), limits, text);
    assert_eq!(output.reason, ExitReason::DiskExceeded, "{}", output.stderr.text());
    assert_eq!(output.stdout.text(), "begun\n");
    assert!(matches!(output.enforced[&agentic_sandbox::Control::Disk], Enforcement::Degraded(_)));
}

#[test]
fn a_program_that_is_gone_before_the_next_look_is_bounded_too() {
    let text = "import os\nwith open('f', 'wb') as f: os.posix_fallocate(f.fileno(), 0, 48 << 20)\nos._exit(0)";
    let within = code(Folder::new().policy(), Limits { disk: 64 * MB, ..seconds(60) }, text);
    assert_eq!(within.reason, ExitReason::Exited(0), "{}", within.stderr.text());
    let output = code(Folder::new().policy(), Limits { disk: 32 * MB, ..seconds(60) }, text);
    assert_eq!(output.reason, ExitReason::DiskExceeded, "{}", output.stderr.text());
}

#[test]
fn a_layer_is_bounded_however_its_bytes_are_hidden() {
    for (name, text) in [
        // Longer than any path.
        ("deep", "for i in range(600): os.mkdir('d' * 20); os.chdir('d' * 20)\nwith open('f', 'wb') as f: fill(f)"),
        ("nameless", "f = open('f', 'wb'); os.unlink('f'); fill(f)"),
        (
            "nameless and undumpable",
            "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\nf = open('f', 'wb'); os.unlink('f'); fill(f)",
        ),
    ] {
        let folder = Folder::new();
        let text = format!(
            "import os, time\ndef fill(f):\n for _ in range(128): f.write(b'x' * (1 << 20))\n f.flush(); time.sleep(30)\n{text}"
        );
        let output = code(folder.policy(), Limits { disk: 32 * MB, ..seconds(60) }, &text);
        assert_eq!(output.reason, ExitReason::DiskExceeded, "{name}: {}", output.stderr.text());
    }
}

#[test]
fn one_file_is_bounded() {
    let folder = Folder::new();
    let text = "import errno\ntry:\n with open('f', 'wb') as f: f.truncate(2 << 20)\nexcept OSError as e: print(errno.errorcode[e.errno])";
    let output = code(folder.policy(), Limits { file_size: MB, ..seconds(30) }, text);
    assert_eq!(printed(&output), "EFBIG\n");
}

#[test]
fn cpu_time_is_bounded_across_processes() {
    let limits = Limits { cpu: Some(Duration::from_secs(1)), ..seconds(60) };
    let text = "import os\nprint('begun', flush=True)\nfor _ in range(3): os.fork()\nwhile True: pass";
    let output = code(Policy::default(), limits, text);
    assert_eq!(output.reason, ExitReason::TimedOut);
    assert!(output.limits_hit.contains(&LimitKind::Cpu), "{:?}", output.limits_hit);
    assert!(output.usage.user + output.usage.system < Duration::from_secs(10), "{:?}", output.usage);
}

#[test]
fn descriptors_are_bounded() {
    let text = "import os, errno\ntry:\n while True: os.dup(0)\nexcept OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(printed(&code(Policy::default(), Limits { open_files: 32, ..seconds(30) }, text)), "EMFILE\n");
}

#[test]
fn standard_input_is_fed_and_ends() {
    let bytes = vec![b'x'; 3 << 20];
    let output =
        agentic_sandbox::Command::new("/usr/bin/wc").arg("-c").stdin(Stdin::Bytes(bytes)).output(sandbox()).unwrap();
    assert_eq!(printed(&output).trim(), (3 << 20).to_string());
    // A program that reads none of it ends all the same.
    let output =
        agentic_sandbox::Command::new("/bin/true").stdin(Stdin::Bytes(vec![b'x'; 3 << 20])).output(sandbox()).unwrap();
    assert!(output.reason.success());
}

#[test]
fn what_was_spent_is_told() {
    let output = code(Policy::default(), seconds(60), "x = 0\nfor i in range(3_000_000): x += i");
    assert!(output.reason.success());
    assert!(output.usage.user > Duration::from_millis(20), "{:?}", output.usage);
    assert!(output.usage.wall >= output.usage.user / 4, "{:?}", output.usage);
    let exact = matches!(output.enforced[&agentic_sandbox::Control::Memory], Enforcement::Active);
    assert_eq!(output.usage.exact, exact, "exact only where a cgroup counts");
}

#[test]
fn limits_that_cannot_be_meant_are_refused_by_name() {
    for (name, limits) in [
        ("wall", Limits { wall: Duration::ZERO, ..Limits::default() }),
        ("memory", Limits { memory: 0, ..Limits::default() }),
        ("memory", Limits { memory: u64::MAX, ..Limits::default() }),
        ("processes", Limits { processes: 0, ..Limits::default() }),
        ("output", Limits { output: 0, ..Limits::default() }),
    ] {
        let error = agentic_sandbox::Command::new("/bin/true").limits(limits).output(sandbox()).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

#[test]
fn a_shell_pipeline_works_within_all_of_it() {
    let output = shell(Policy::default(), Limits::default(), "seq 1 1000 | awk '{s += $1} END {print s}'");
    assert_eq!(printed(&output), "500500\n");
}

#[test]
fn a_file_in_memory_is_no_file_on_disk() {
    let folder = Folder::new();
    let text = "import os, time\nf = os.memfd_create('x')\nb = b'x' * (1 << 20)\nfor _ in range(48): os.write(f, b)\ntime.sleep(1)\nprint('done')";
    let limits = Limits { disk: 16 * MB, ..seconds(30) };
    assert_eq!(printed(&code(folder.policy(), limits, text)), "done\n");
}
