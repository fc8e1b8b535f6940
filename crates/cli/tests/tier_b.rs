//! Where namespaces are refused: `exec` and `run` work in tier B and say so, and below it they refuse with the reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use agentic_testkit::{agentic_binary, in_stock_container, is_root, skip};
use serde_json::Value;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let folder = tempfile::tempdir_in(base).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let place = Self { folder };
        place.write("a.txt", "one\n");
        place.write(".env", "SECRET=1\n");
        place
    }
    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.work().join(name), text).unwrap();
    }
    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.work().join(name)).ok()
    }
    fn dress(&self, mut command: Command, args: &[&str]) -> Output {
        command.args(args).current_dir(self.work()).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("HOME", self.folder.path()).env("AGENTIC_STATE", self.folder.path().join("state"));
        command.env("AGENTIC_PYTHON", "/usr/bin/python3");
        command.output().unwrap()
    }
    fn contained(&self, landlock: bool, args: &[&str]) -> Output {
        self.dress(in_stock_container(agentic_binary(), landlock), args)
    }
    fn free(&self, args: &[&str]) -> Output {
        self.dress(Command::new(agentic_binary()), args)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn has_landlock() -> bool {
    let ask = "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))";
    let output = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", ask]).output().unwrap();
    text(&output.stdout).trim().parse::<i32>().is_ok_and(|abi| abi >= 2)
}

#[test]
fn the_container_refuses_what_a_stock_one_refuses() {
    let ask = "import ctypes; l = ctypes.CDLL(None, use_errno=True)\n\
        def e(*a):\n    ctypes.set_errno(0); l.syscall(*a); return ctypes.get_errno()\n\
        import platform\n\
        n = (97, 40) if platform.machine() == 'aarch64' else (272, 165)\n\
        print(e(n[0], 0x10000000), e(435, 0, 0), e(n[1], 0, 0, 0, 0, 0), e(444, None, 0, 1))";
    let run = |landlock| {
        let output = in_stock_container("/usr/bin/python3", landlock).args(["-I", "-S", "-c", ask]).output().unwrap();
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(run(false), "1 38 1 38");
    if has_landlock() {
        assert_eq!(run(true), "1 38 1 0");
    }
}

#[test]
fn exec_works_and_says_in_which_tier() {
    if !has_landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let place = Place::new();
    let script = "cat a.txt; echo two > b.txt; rm a.txt; ls -a | tr '\\n' ' '; exit 7";
    let output = place.contained(true, &["exec", "--lang", "bash", "-e", script]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "one\n. .. b.txt ", "hidden files are not there");
    assert_eq!((place.read("a.txt"), place.read("b.txt")), (None, Some("two\n".into())), "what it wrote is kept");
    assert_eq!(place.read(".env").unwrap(), "SECRET=1\n");

    let output = place.contained(true, &["exec", "--json", "-e", "print(6 * 7)"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["exit_code"], &said["stdout"]), (&0.into(), &"42\n".into()), "{said}");
    assert_eq!(said["enforced"]["user_namespace"]["state"], "off");
    assert!(said["enforced"]["user_namespace"]["reason"].as_str().unwrap().contains("namespaces are refused here"));
    assert_eq!(said["enforced"]["seccomp"]["state"], "active");

    // The control: outside the container the same command has its namespaces.
    let output = place.free(&["exec", "--json", "-e", "print(6 * 7)"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["enforced"]["user_namespace"]["state"], "active");
}

#[test]
fn tier_a_is_refused_there_and_tier_b_is_had_anywhere() {
    if !has_landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let place = Place::new();
    let output = place.contained(true, &["exec", "--tier", "a", "--lang", "bash", "-e", "echo never"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("this host cannot enforce"), "{}", text(&output.stderr));
    let output = place.free(&["exec", "--tier", "b", "--json", "-e", "open('c.txt', 'w').write('x')"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["enforced"]["user_namespace"]["state"], "off", "{said}");
    assert_eq!(place.read("c.txt").unwrap(), "x");
}

/// A container whose runtime covers parts of `/proc`, as stock ones do: no namespace inside may have a `/proc` of its own.
fn with_masked_proc(place: &Place, args: &[&str]) -> Output {
    let cover = "for name in scsi acpi driver bus fs; do [ -d /proc/$name ] && mount -t tmpfs none /proc/$name && exec \"$@\"; done; exit 99";
    let mut command = Command::new("unshare");
    // An ordinary user takes a user namespace for it.
    command.args(if is_root() {
        &["--mount"][..]
    } else {
        &["--user", "--map-current-user", "--keep-caps", "--mount"]
    });
    command.args(["sh", "-c", cover, "sh"]).arg(agentic_binary());
    place.dress(command, args)
}

#[test]
fn where_proc_is_masked_it_is_tier_b_also_right_after_the_host_had_tier_a() {
    if !has_landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let place = Place::new();
    let exec = ["exec", "--json", "-e", "print(6 * 7)"];
    // The control, which leaves in the state folder what it found out about this file system.
    for (output, tier) in [(place.free(&exec), "active"), (with_masked_proc(&place, &exec), "off")] {
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        assert_eq!(
            (&said["stdout"], &said["enforced"]["user_namespace"]["state"]),
            (&"42\n".into(), &tier.into()),
            "{said}"
        );
    }
    let output = with_masked_proc(&place, &["exec", "--tier", "a", "-e", "print(1)"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("/proc in the sandbox"), "{}", text(&output.stderr));
}

/// Root of a user namespace of other users of the host, as a rootless container has it.
const ROOTLESS: &str = "import ctypes, os, sys\n\
    asked, told, done, go = *os.pipe(), *os.pipe()\n\
    child = os.fork()\n\
    if child == 0:\n\
    \x20   if ctypes.CDLL(None).unshare(0x10000000): os._exit(98)\n\
    \x20   os.write(told, b'x'); os.read(done, 1)\n\
    \x20   os.setresgid(0, 0, 0); os.setgroups([0]); os.setresuid(0, 0, 0)\n\
    \x20   os.execvp(sys.argv[1], sys.argv[1:])\n\
    os.read(asked, 1)\n\
    for name in ('uid_map', 'gid_map'): open(f'/proc/{child}/{name}', 'w').write('0 100000 65536')\n\
    os.write(go, b'x')\n\
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))";

#[test]
fn root_of_a_rootless_container_is_the_user_that_he_is_outside() {
    if !has_landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let place = Place::new();
    let mut owner = 0;
    if is_root() {
        owner = 100_000;
        for path in
            [place.folder.path().to_owned(), place.work(), place.work().join("a.txt"), place.work().join(".env")]
        {
            std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
        }
    }
    for (tier, user) in [("a", "1000"), ("b", "0")] {
        let mut command = match is_root() {
            true => Command::new("/usr/bin/python3"),
            // Mapped alone: the caller himself.
            false => Command::new("unshare"),
        };
        command.args(if is_root() { &["-I", "-S", "-c", ROOTLESS][..] } else { &["--map-root-user"] });
        command.arg(agentic_binary());
        let code = "import os; print(os.getuid(), open('a.txt').read().strip()); open('b.txt', 'w').write('two')";
        let output = place.dress(command, &["exec", "--tier", tier, "-e", code]);
        assert_eq!(text(&output.stdout), format!("{user} one\n"), "{tier}: {}", text(&output.stderr));
        assert_eq!(place.read("b.txt").as_deref(), Some("two"));
        let written = std::fs::metadata(place.work().join("b.txt")).unwrap();
        assert!(!is_root() || std::os::unix::fs::MetadataExt::uid(&written) == owner);
        std::fs::remove_file(place.work().join("b.txt")).unwrap();
    }
}

const PLAN: &str = "task: two steps\nsteps:\n  - id: one\n    tool: shell\n    params: {command: \"echo made > made.txt\"}\n  \
    - id: two\n    tool: shell\n    depends_on: [one]\n    params: {command: \"cat made.txt; echo x > lost.txt; exit 3\"}\n";

#[test]
fn a_run_s_steps_are_transactions_there_too() {
    if !has_landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let place = Place::new();
    std::fs::write(place.folder.path().join("plan.yaml"), PLAN).unwrap();
    let plan = place.folder.path().join("plan.yaml");
    let output = place.contained(true, &["run", plan.to_str().unwrap(), "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_ne!(output.status.code(), Some(6), "{said}");
    assert_eq!(place.read("made.txt").as_deref(), Some("made\n"), "{said}");
    assert_eq!(place.read("lost.txt"), None, "a failed step leaves nothing");
}

#[test]
fn without_landlock_too_a_run_is_refused_with_the_reason() {
    let place = Place::new();
    let output = place.contained(false, &["exec", "--lang", "bash", "-e", "echo never"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""), "{}", text(&output.stderr));
    let why = text(&output.stderr);
    assert!(why.contains("Landlock") && why.contains("--allow-degraded landlock"), "{why}");
    std::fs::write(place.folder.path().join("plan.yaml"), PLAN).unwrap();
    let plan = place.folder.path().join("plan.yaml");
    let output = place.contained(false, &["run", plan.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(place.read("made.txt"), None);
    // Given up by name it runs, and says so.
    let output = place.contained(false, &["exec", "--json", "--allow-degraded", "landlock", "-e", "print(1)"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!((&said["stdout"], &said["enforced"]["landlock"]["state"]), (&"1\n".into(), &"off".into()), "{said}");
}

#[test]
fn doctor_names_the_tier() {
    if !has_landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let place = Place::new();
    let output = place.contained(true, &["doctor", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["tier"], output.status.code()), (&"B".into(), Some(0)), "{said}");
    assert!(said["advice"]["user_namespace"].as_str().unwrap().contains("AppArmor"));
    let schema = std::fs::read(agentic_testkit::project_root().join("docs/reference/doctor.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let keys = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&said), keys(&schema["properties"]), "the published schema names what is printed");
    let output = place.contained(false, &["doctor", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["tier"], output.status.code()), (&"none".into(), Some(6)), "{said}");
    assert!(said["refused"].as_str().unwrap().contains("Landlock"), "{said}");
}

#[test]
fn fix_is_told_first_done_by_root_and_done_once() {
    let place = Place::new();
    let root = place.folder.path().join("root");
    std::fs::create_dir_all(root.join("usr/sbin")).unwrap();
    let parser = root.join("usr/sbin/apparmor_parser");
    std::fs::write(&parser, format!("#!/bin/sh\necho \"$@\" >> {}/loaded\n", root.display())).unwrap();
    std::fs::set_permissions(&parser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let fix = |more: &[&str]| {
        let args = ["doctor", "--fix", "--root", root.to_str().unwrap()];
        place.free(&[&args, more].concat())
    };
    let profile = root.join("etc/apparmor.d/usr.local.libexec.agentic.agentic");
    let copy = root.join("usr/local/libexec/agentic/agentic");
    let output = fix(&["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches("would ").count(), 3, "{}", text(&output.stdout));
    assert!(!profile.exists() && !copy.exists() && !root.join("loaded").exists());
    let output = fix(&[]);
    if !is_root() {
        assert_eq!(output.status.code(), Some(6));
        assert!(text(&output.stderr).contains("sudo ") && !profile.exists(), "{}", text(&output.stderr));
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o7777;
    assert_eq!((mode(&copy), mode(&profile)), (0o755, 0o644));
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(agentic_binary()).unwrap());
    let written = std::fs::read_to_string(&profile).unwrap();
    assert!(written.contains("profile agentic /usr/local/libexec/agentic/agentic") && written.contains("deny userns"));
    assert_eq!(std::fs::read_to_string(root.join("loaded")).unwrap(), format!("-r {}\n", profile.display()));
    assert!(text(&output.stdout).contains("to undo: "));
    let again = fix(&[]);
    assert_eq!(text(&again.stdout).matches("unchanged ").count(), 2, "{}", text(&again.stdout));
}
