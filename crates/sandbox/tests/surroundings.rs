//! What a program reads about the machine: its limits, and nothing of the host's other users.

mod common;

use agentic_sandbox::{Control, Enforcement, Limits, MB, Policy, Profile, Source, View, Workspace};
use agentic_testkit::report_skip;
use common::{Folder, code, printed, unconfined};

/// How many processors each way of asking tells of.
const PROCESSORS: &str = r"
import os, re
count = lambda path, pattern: len(re.findall(pattern, open(path).read(), re.M))
def listed(path):
    parts = [part.split('-') for part in open(path).read().strip().split(',')]
    return sum(int(part[-1]) - int(part[0]) + 1 for part in parts)
cpu = '/sys/devices/system/cpu/'
print(os.cpu_count(), len(os.sched_getaffinity(0)), os.sysconf('SC_NPROCESSORS_ONLN'), os.sysconf('SC_NPROCESSORS_CONF'),
      count('/proc/cpuinfo', r'^processor\s*:'), count('/proc/stat', r'^cpu\d'), listed(cpu + 'online'), listed(cpu + 'possible'),
      len([name for name in os.listdir(cpu) if re.fullmatch(r'cpu\d+', name)]))";

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn every_way_of_counting_processors_tells_the_limit() {
    if processors() < 2 {
        report_skip("one processor cannot be limited to fewer");
        return;
    }
    let told = |cpus| printed(&code(Policy::default(), Limits { cpus, ..Limits::default() }, PROCESSORS));
    let same = |number: usize| format!("{}\n", vec![number.to_string(); 9].join(" "));
    assert_eq!(told(Some(1)), same(1));
    // The control: without the limit it is what the caller has.
    assert_eq!(told(None), same(processors()));
    assert_eq!(told(Some(1 << 20)), same(processors()), "more than there are means all");
    // A pool of a thread for each processor fits in the process limit.
    let few = Limits { processes: 2, ..Limits::default() };
    assert_eq!(printed(&code(Policy::default(), few, PROCESSORS)), same(1));
}

#[test]
fn a_limit_of_processors_cannot_be_widened() {
    if processors() < 2 {
        report_skip("one processor cannot be limited to fewer");
        return;
    }
    let text = "import os, errno\nown = os.sched_getaffinity(0)\nfor wanted in (range(1024), own):\n try: os.sched_setaffinity(0, wanted); print('done')\n except OSError as e: print(errno.errorcode[e.errno])\nprint(os.sched_getaffinity(0) == own)";
    for profile in [Profile::Default, Profile::Strict] {
        let policy = || Policy { profile, ..Policy::default() };
        let one = Limits { cpus: Some(1), ..Limits::default() };
        assert_eq!(printed(&code(policy(), one, text)), "EPERM\nEPERM\nTrue\n");
        assert_eq!(printed(&code(policy(), Limits::default(), text)), "done\ndone\nTrue\n");
    }
}

#[test]
fn runs_with_one_processor_each_do_not_all_share_it() {
    if processors() < 2 {
        report_skip("there is but one processor");
        return;
    }
    let text = "import os\nprint(os.sched_getaffinity(0))";
    let told = || printed(&code(Policy::default(), Limits { cpus: Some(1), ..Limits::default() }, text));
    let first = told();
    // Other tests of this program may take turns in between.
    assert!((0..50).any(|_| told() != first), "always {first}");
}

#[test]
fn memory_is_the_limit() {
    let text = "import os\nmemory = dict(l.split(':') for l in open('/proc/meminfo'))\nprint(memory['MemTotal'].strip(), memory['SwapTotal'].strip(), memory['MemFree'].split() == memory['MemAvailable'].split())\nprint(os.sysconf('SC_PHYS_PAGES'))";
    let host = unconfined("import os\nprint(os.sysconf('SC_PHYS_PAGES'))");
    let inside = printed(&code(Policy::default(), Limits { memory: 100 * MB, ..Limits::default() }, text));
    // What asks the kernel by sysinfo(2) hears of the whole machine: no file stands between them, and the docs say so.
    let mut lines = inside.lines();
    assert_eq!(lines.next(), Some("102400 kB 0 kB True"));
    assert!(lines.next() == Some(host.trim()) || inside.contains("\n25600\n"), "{inside} {host}");
}

#[test]
fn the_resource_limits_can_be_asked_for() {
    let text =
        "import resource as r\nprint([r.getrlimit(n)[1] for n in (r.RLIMIT_NPROC, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE)])";
    let limits = Limits { processes: 30, open_files: 100, file_size: 5 * MB, ..Limits::default() };
    let output = code(Policy::default(), limits, text);
    // One process of each run is ours, and one more lets the cgroup answer first, which tells the result.
    let most = if output.enforced[&Control::Processes] == Enforcement::Active { 32 } else { 31 };
    assert_eq!(printed(&output), format!("[{most}, 100, {}]\n", 5 * MB));
}

/// What tells of the host and its other users, where the host has it: how much a file says, or how many entries a
/// folder has.
const HOST_FACTS: &str = "
import os
names = 'cmdline config.gz kallsyms modules partitions buddyinfo cgroups diskstats interrupts key-users keys locks ' \
    'schedstat softirqs sys/fs/dentry-state sys/fs/file-nr sys/fs/inode-nr sys/fs/inode-state sys/kernel/pty/nr ' \
    'vmstat zoneinfo bus driver fs irq pressure scsi asound'
for name in names.split():
    path = '/proc/' + name
    try: told = len(os.listdir(path)) if os.path.isdir(path) else len(open(path, 'rb').read(100))
    except FileNotFoundError: continue
    except PermissionError: told = 0
    print(name, told)";

#[test]
fn nothing_of_the_hosts_own_is_told_under_proc() {
    let outside = unconfined(HOST_FACTS);
    let told = outside.lines().filter(|line| !line.ends_with(" 0")).count();
    assert!(told > 10, "the control: outside they tell something: {outside}");
    for view in [View::System, View::Host] {
        let inside = printed(&code(Policy { view, ..Policy::default() }, Limits::default(), HOST_FACTS));
        for line in inside.lines() {
            assert!(line.ends_with(" 0"), "{line} in the {view:?} view\n{inside}");
        }
        assert_eq!(inside.lines().count(), outside.lines().count(), "nothing was left out: {inside}");
    }
}

#[test]
fn what_programs_need_of_proc_is_there() {
    let text = "for name in ('version', 'uptime', 'filesystems', 'mounts', 'self/status', 'self/maps', 'self/limits', 'sys/kernel/osrelease', 'sys/kernel/pid_max', 'sys/fs/file-max', 'sys/fs/pipe-max-size', 'sys/vm/overcommit_memory', 'sys/kernel/random/uuid', 'net/dev', 'cpuinfo', 'swaps'):\n assert open('/proc/' + name).read(), name\nprint('all')";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), text)), "all\n");
}

#[test]
fn the_load_of_the_machine_does_not_show() {
    let text = "import os\nread = lambda: [open('/proc/' + n).read() for n in ('stat', 'loadavg', 'vmstat')]\none = read()\nfor _ in range(20):\n if os.fork() == 0: os._exit(0)\n os.wait()\nprint(one == read(), one[1])";
    assert_eq!(unconfined(text).split_whitespace().next(), Some("False"), "the control");
    assert_eq!(printed(&code(Policy::default(), Limits::default(), text)), "True 0.00 0.00 0.00 1/2 2\n\n");
}

#[test]
fn each_run_has_a_boot_of_its_own() {
    let text = "print(open('/proc/sys/kernel/random/boot_id').read().strip())";
    let told = || printed(&code(Policy::default(), Limits::default(), text));
    let (host, one, two) = (unconfined(text), told(), told());
    assert!(host != one && host != two && one != two, "{host}{one}{two}");
    assert_eq!(host.len(), one.len());
}

#[test]
fn a_process_can_tell_when_it_began() {
    // What ps(1) and psutil compute: the boot's time plus a start in ticks since then.
    let text = "import os, time\nboot = int([l for l in open('/proc/stat') if l.startswith('btime')][0].split()[1])\nstart = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19]) / os.sysconf('SC_CLK_TCK')\nprint(abs(time.time() - (boot + start)) < 20)";
    assert_eq!(unconfined(text), "True\n");
    assert_eq!(printed(&code(Policy::default(), Limits::default(), text)), "True\n");
}

#[test]
fn mounts_name_no_folder_of_the_host_but_what_is_shown_there() {
    // A layer, a read-only workspace and a further folder with a hidden path, all below folders that are not shown.
    let (folder, extra) = (Folder::new(), Folder::new());
    std::fs::write(extra.path.join("secret"), "x").unwrap();
    for source in [folder.source(), Source::ReadOnly] {
        let policy = Policy {
            workspaces: vec![Workspace { path: folder.path.clone(), source }],
            view: View::Host,
            hide: vec![extra.path.join("secret")],
            read_only: vec![extra.path.clone()],
            ..Policy::default()
        };
        let text = "for name in ('mountinfo', 'mounts', 'mountstats'): print(open('/proc/self/' + name).read())";
        let told = printed(&code(policy, Limits::default(), text));
        assert!(told.contains(" - overlay "), "there are overlays to be told of: {told}");
        let mut rest = told.clone();
        for shown in [&folder.path, &extra.path] {
            assert!(told.contains(shown.to_str().unwrap()), "the control: where it is shown, it is named: {told}");
            rest = rest.replace(shown.to_str().unwrap(), "");
        }
        for beside in [folder.beside(), extra.beside()] {
            assert!(!rest.contains(beside.to_str().unwrap()), "{} in {rest}", beside.display());
        }
    }
}
