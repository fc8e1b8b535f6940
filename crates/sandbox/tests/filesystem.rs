//! What a program can read and write: the view, and nothing else. Each denial has its control.

mod common;

use agentic_sandbox::{Limits, Policy};
use common::{Folder, code, printed, sandbox, seconds, shell, unconfined};

/// Tells the errno name of reading a path, or `read`.
fn read_attempt(path: &str) -> String {
    format!(
        "import errno\ntry:\n open({path:?}, 'rb').read(1); print('read')\nexcept OSError as e: print(errno.errorcode[e.errno])"
    )
}

#[test]
fn a_file_beside_the_workspace_is_absent() {
    let folder = Folder::new();
    std::fs::write(folder.beside().join("secret"), "x").unwrap();
    let attempt = read_attempt(folder.beside().join("secret").to_str().unwrap());
    assert_eq!(unconfined(&attempt), "read\n");
    assert_eq!(printed(&code(folder.policy(), Limits::default(), &attempt)), "ENOENT\n");
}

#[test]
fn the_password_hashes_are_absent() {
    // The control: the file is there, whoever may read it.
    assert!(std::path::Path::new("/etc/shadow").exists());
    let output = code(Policy::default(), Limits::default(), &read_attempt("/etc/shadow"));
    assert_eq!(printed(&output), "ENOENT\n");
}

#[test]
fn a_path_opened_by_ctypes_is_as_absent() {
    let folder = Folder::new();
    let secret = folder.beside().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let attempt = format!(
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfd = libc.open({:?}.encode(), 0)\nprint('read' if fd >= 0 else errno.errorcode[ctypes.get_errno()])",
        secret.to_str().unwrap()
    );
    assert_eq!(unconfined(&attempt), "read\n");
    assert_eq!(printed(&code(folder.policy(), Limits::default(), &attempt)), "ENOENT\n");
}

#[test]
fn writes_land_in_the_layer_and_the_folder_stays() {
    let folder = Folder::new();
    std::fs::write(folder.path.join("old"), "before").unwrap();
    let output = shell(
        folder.policy(),
        Limits::default(),
        "echo after > old; mkdir sub; echo new > sub/file; cat old; rm old; pwd",
    );
    assert_eq!(printed(&output), format!("after\n{}\n", folder.path.display()));
    assert_eq!(std::fs::read_to_string(folder.path.join("old")).unwrap(), "before");
    assert!(!folder.path.join("sub").exists());
    assert_eq!(std::fs::read_to_string(folder.upper().join("sub/file")).unwrap(), "new\n");
    use std::os::unix::fs::FileTypeExt;
    assert!(std::fs::symlink_metadata(folder.upper().join("old")).unwrap().file_type().is_char_device());
}

#[test]
fn files_in_the_layer_belong_to_the_owner_of_the_workspace() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    printed(&shell(folder.policy(), Limits::default(), "echo new > file; test -O file; test -O ."));
    let owner = std::fs::metadata(&folder.path).unwrap();
    let made = std::fs::metadata(folder.upper().join("file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (owner.uid(), owner.gid()));
}

#[test]
fn the_system_is_read_only_and_scratch_is_private() {
    let script = "for d in / /usr /etc /sys /dev; do touch $d/x 2>/dev/null && echo wrote $d; done; \
        for d in /tmp /var/tmp /dev/shm /run $HOME; do touch $d/x || echo no $d; done; ls -A /home";
    let output = agentic_sandbox::Command::new("/bin/sh")
        .args(["-c", script])
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/home/user")
        .output(sandbox())
        .unwrap();
    assert_eq!(printed(&output), "user\n");
}

#[test]
fn hidden_paths_are_absent_and_their_folder_is_not() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path.join("app")).unwrap();
    std::fs::write(folder.path.join("app/.env"), "KEY=1").unwrap();
    std::fs::write(folder.path.join("app/main"), "code").unwrap();
    let script = "cat app/.env 2>&1; ls -A app; stat -c %a app";
    std::fs::set_permissions(folder.path.join("app"), std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    assert!(shell(folder.policy(), Limits::default(), script).stdout.text().starts_with("KEY=1"));
    let folder_two = Folder::new();
    std::process::Command::new("cp").arg("-a").arg(folder.path.join("app")).arg(&folder_two.path).status().unwrap();
    let policy = Policy { hide: vec![folder_two.path.join("app/.env")], ..folder_two.policy() };
    let output = shell(policy, Limits::default(), script);
    assert_eq!(printed(&output), "cat: app/.env: No such file or directory\nmain\n750\n");
}

#[test]
fn hidden_paths_cannot_be_read_wherever_they_lie() {
    use std::os::unix::fs::symlink;
    let script = |path: &std::path::Path| {
        let at = path.display();
        format!(
            "for f in {at}/token {at}/keys/one; do cat $f 2>/dev/null; done; cat {at}/open; echo x 2>/dev/null > {at}/token; true"
        )
    };
    let fill = |path: &std::path::Path| {
        std::fs::create_dir(path.join("keys")).unwrap();
        for name in ["token", "keys/one"] {
            std::fs::write(path.join(name), "secret").unwrap();
        }
        std::fs::write(path.join("open"), "open").unwrap();
        symlink("/etc", path.join("link")).unwrap();
    };
    for kind in ["read-only", "cache", "read-write", "copy"] {
        let folder = Folder::new();
        let path = folder.path.clone();
        fill(&path);
        let mut policy = Policy::default();
        match kind {
            "read-only" => policy.read_only = vec![path.clone()],
            "cache" => policy.caches = vec![path.clone()],
            "read-write" => policy.read_write = vec![path.clone()],
            _ => {
                let dir = path.clone();
                policy.workspaces = vec![agentic_sandbox::Workspace {
                    path: path.clone(),
                    source: agentic_sandbox::Source::Copy { dir },
                }];
            }
        }
        let control = shell(policy.clone(), Limits::default(), &format!("cat {0}/token {0}/keys/one", path.display()));
        assert_eq!(printed(&control), "secretsecret", "{kind}: the control");
        policy.hide = ["token", "keys", "link/hostname", "absent"].map(|name| path.join(name)).into();
        let output = shell(policy, Limits::default(), &format!("{}; cat /etc/hostname", script(&path)));
        assert_eq!(printed(&output), "opensandbox\n", "{kind}");
        assert_eq!(std::fs::read_to_string(path.join("token")).unwrap(), "secret", "{kind}");
    }
}

#[test]
fn the_running_host_cannot_be_shown() {
    for path in ["/", "/proc", "/proc/1", "/sys/fs/cgroup", "/dev", "/dev/pts"] {
        for policy in [
            Policy { read_only: vec![path.into()], ..Policy::default() },
            Policy { caches: vec![path.into()], ..Policy::default() },
            Policy { read_write: vec![path.into()], ..Policy::default() },
        ] {
            let error = agentic_sandbox::Command::new("/bin/true").policy(policy).output(sandbox()).unwrap_err();
            assert!(matches!(error, agentic_sandbox::Error::Policy(_)), "{path}: {error}");
        }
    }
}

/// Root's files in a folder that only root can enter, other people's among them.
#[test]
fn started_as_root_a_workspace_of_any_owner_below_a_closed_folder_works_and_keeps_its_owners() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    if !agentic_testkit::is_root() {
        agentic_testkit::report_skip("only root has files of several owners");
        return;
    }
    for owner in [0, 1, 1000, 4242, 65_534, 200_000] {
        let (folder, shared) = (Folder::new(), Folder::new());
        std::fs::set_permissions(folder.beside(), std::fs::Permissions::from_mode(0o700)).unwrap();
        for (name, whose) in [("own", owner), ("roots", 0), ("others", 1234)] {
            std::fs::write(folder.path.join(name), name).unwrap();
            std::fs::set_permissions(folder.path.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
            chown(folder.path.join(name), Some(whose), Some(whose)).unwrap();
        }
        for path in [folder.path.clone(), folder.upper(), folder.beside().join("work"), shared.path.clone()] {
            chown(path, Some(owner), Some(owner)).unwrap();
        }
        let policy = Policy { read_write: vec![shared.path.clone()], ..folder.policy() };
        let script = format!(
            "cat own; echo; cat roots 2>/dev/null || echo closed; cat others 2>/dev/null || echo closed; echo x > made; echo x > {0}/made; chmod 6755 made {0}/made; id -u; id -G",
            shared.path.display()
        );
        let roots = if owner == 0 { "roots" } else { "closed\n" };
        let expected = format!("own\n{roots}closed\n1000\n1000\n");
        let output = shell(policy, Limits::default(), &script);
        assert_eq!((printed(&output), output.stderr.text()), (expected, String::new()), "owner {owner}");
        for made in [folder.upper().join("made"), shared.path.join("made")] {
            let made =
                std::fs::metadata(&made).unwrap_or_else(|error| panic!("{}: {error}, owner {owner}", made.display()));
            assert_eq!((made.uid(), made.gid()), (owner, owner));
        }
        let kept = std::fs::metadata(folder.path.join("others")).unwrap();
        assert_eq!((kept.uid(), kept.mode() & 0o7777), (1234, 0o600));
    }
}

#[test]
fn set_id_bits_give_nothing_inside() {
    let text = "import os, shutil, subprocess\nshutil.copy('/usr/bin/id', '/tmp/id'); os.chmod('/tmp/id', 0o6755)\nprint(oct(os.stat('/tmp/id').st_mode & 0o6000), subprocess.run(['/tmp/id', '-u'], capture_output=True, text=True).stdout.strip())\n\
        print([l for l in open('/proc/self/mountinfo') if 'nosuid' not in l.split()[5]])";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), text)), "0o6000 1000\n[]\n");
}

#[test]
fn a_read_write_path_is_written_through_and_a_read_only_one_is_not() {
    let (folder, shared) = (Folder::new(), Folder::new());
    std::fs::write(shared.path.join("old"), "before").unwrap();
    let path = shared.path.clone();
    let script = format!("echo after > {}/old", path.display());
    let read_only = Policy { read_only: vec![path.clone()], ..folder.policy() };
    let output = shell(read_only, Limits::default(), &script);
    assert!(output.stderr.text().contains("Read-only file system"), "{}", output.stderr.text());
    assert_eq!(std::fs::read_to_string(path.join("old")).unwrap(), "before");
    let folder = Folder::new();
    let read_write = Policy { read_write: vec![path.clone()], ..folder.policy() };
    printed(&shell(read_write, Limits::default(), &script));
    assert_eq!(std::fs::read_to_string(path.join("old")).unwrap(), "after\n");
}

#[test]
fn a_path_socket_of_the_host_cannot_be_reached_through_a_visible_folder() {
    use std::os::unix::net::UnixListener;
    let (folder, shared) = (Folder::new(), Folder::new());
    let socket = shared.path.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let attempt = format!(
        "import socket, errno\ns = socket.socket(socket.AF_UNIX)\ntry:\n s.connect({:?}); print('connected')\nexcept OSError as e: print(errno.errorcode[e.errno])",
        socket.to_str().unwrap()
    );
    assert_eq!(unconfined(&attempt), "connected\n");
    let policy = Policy { read_only: vec![shared.path.clone()], ..folder.policy() };
    assert_eq!(printed(&code(policy, Limits::default(), &attempt)), "ECONNREFUSED\n");
}

#[test]
fn a_symlink_out_of_the_workspace_leads_nowhere() {
    let folder = Folder::new();
    std::fs::write(folder.beside().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink("../secret", folder.path.join("link")).unwrap();
    let output = shell(folder.policy(), Limits::default(), "cat link 2>&1 || true");
    assert!(printed(&output).contains("No such file or directory"));
}

#[test]
fn names_of_any_bytes_pass() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let name = std::ffi::OsStr::from_bytes(b"a\xff\n b");
    let output = agentic_sandbox::Command::new("/bin/cp")
        .arg("/etc/hostname")
        .arg(name)
        .policy(folder.policy())
        .limits(seconds(10))
        .output(sandbox())
        .unwrap();
    printed(&output);
    assert!(folder.upper().join(name).exists());
}

#[test]
fn system_folders_are_refused_as_workspaces() {
    for path in ["/", "/usr", "/etc", "/proc/1", "relative", "/tmp/../etc"] {
        let policy = Policy {
            workspaces: vec![agentic_sandbox::Workspace {
                path: path.into(),
                source: agentic_sandbox::Source::ReadOnly,
            }],
            ..Policy::default()
        };
        let error = agentic_sandbox::Command::new("/bin/true").policy(policy).output(sandbox()).unwrap_err();
        assert!(matches!(error, agentic_sandbox::Error::Policy(_)), "{path}: {error}");
    }
}

#[test]
fn a_layer_mounted_for_the_tools_outside_shows_the_merged_folder_and_takes_writes() {
    use rustix::fs::{Mode, OFlags, openat};
    use std::io::{Read, Write};
    let folder = Folder::new();
    std::fs::write(folder.path.join("old"), "before").unwrap();
    let root = sandbox().mount(&folder.source()).unwrap();
    let open = |name: &str, flags| openat(&root, name, flags, Mode::from_raw_mode(0o644)).map(std::fs::File::from);
    let mut text = String::new();
    open("old", OFlags::RDONLY).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "before");
    open("new", OFlags::WRONLY | OFlags::CREATE).unwrap().write_all(b"made").unwrap();
    assert_eq!(std::fs::read_to_string(folder.upper().join("new")).unwrap(), "made");
    assert!(!folder.path.join("new").exists());
    drop(root);
    // The same layer can be mounted again, by the tools or for a run.
    let again = sandbox().mount(&folder.source()).unwrap();
    assert!(openat(&again, "new", OFlags::RDONLY, Mode::empty()).is_ok());
    drop(again);
    assert_eq!(printed(&shell(folder.policy(), Limits::default(), "cat old new")), "beforemade");
}

#[test]
fn a_read_only_path_that_is_a_link_is_shown_with_what_it_leads_to() {
    let (folder, shared) = (Folder::new(), Folder::new());
    std::fs::create_dir(shared.path.join("lib")).unwrap();
    std::fs::write(shared.path.join("lib/file"), "text").unwrap();
    std::os::unix::fs::symlink("lib", shared.path.join("lib64")).unwrap();
    let policy = Policy { read_only: vec![shared.path.join("lib"), shared.path.join("lib64")], ..folder.policy() };
    let script = format!("cd {} && cat lib/file lib64/file && readlink lib64", shared.path.display());
    assert_eq!(printed(&shell(policy, Limits::default(), &script)), "texttextlib\n");
}
