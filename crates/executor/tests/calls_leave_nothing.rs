//! Many bare calls of one process, each by an executor of its own over shared workspaces: nothing grows with their
//! number.

mod real_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use agentic_executor::sandbox::Sandbox;
use agentic_executor::{AgenticExecutor, Journal, ToolRegistry, Workspaces};
use agentic_testkit::skip;
use real_support::{Real, has_python};
use serde_json::json;

/// Calls before the first look: caches fill, allocators settle.
const WARM_UP: usize = 30;
/// Calls between the looks; `AGENTIC_TEST_CALLS` asks for more.
const CALLS: usize = 70;
/// Kibibytes that resident memory may differ by: pages of the allocator come and go.
const SLACK: u64 = 4096;

/// What a process holds, and what lies in its state folder.
fn held(state: &Path) -> BTreeMap<&'static str, u64> {
    let count = |path: &Path| std::fs::read_dir(path).map_or(0, |entries| entries.count() as u64);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let own = format!("-{}-", std::process::id());
    BTreeMap::from([
        // One that is being read here among them, each time. A reserved range of ids is one, too.
        ("descriptors", count(Path::new("/proc/self/fd"))),
        ("threads", number("Threads:")),
        ("children", children()),
        ("layers", count(&state.join("layers"))),
        ("code", count(&state.join("code"))),
        ("aside", count(&state.join("aside"))),
        ("groups", groups(Path::new("/sys/fs/cgroup"), &own)),
        ("KiB", number("VmRSS:")),
    ])
}

fn children() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let each = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    each.map(|list| list.split_whitespace().count() as u64).sum()
}

fn groups(folder: &Path, part: &str) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let each = folders.map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        u64::from(name.starts_with("agentic-") && name.contains(part)) + groups(&entry.path(), part)
    });
    each.sum()
}

#[test]
fn descriptors_threads_memory_layers_and_groups_do_not_grow() {
    if !has_python() {
        skip!("no Python to run");
    }
    let real = Real::new();
    let sandbox = Sandbox::new(real.config.spawner.clone()).unwrap();
    let workspaces = Workspaces::new(&real.config.state, sandbox).unwrap();
    let journal = Arc::new(Journal::open(&real.config.state.join("journal.sqlite3")).unwrap());
    let registry = ToolRegistry::full_registry();
    let call = |n: usize| {
        let executor = AgenticExecutor::builder(real.config.clone())
            .registry(registry.clone())
            .workspaces(workspaces.clone())
            .journal(journal.clone())
            .build()
            .unwrap();
        // Every tenth is too long for an argument, and every tenth writes.
        let code = match n % 10 {
            0 => format!("print(1)  # {}", "-".repeat(200 << 10)),
            1 => "open('f', 'w').write('x'); print(1)".into(),
            _ => "print(1)".to_owned(),
        };
        let result = executor.call("run_code", json!({ "code": code }).as_object().unwrap().clone());
        assert_eq!(result.output, "1\n", "{result:?}");
    };
    (0..WARM_UP).for_each(call);
    let before = held(&real.config.state);
    let calls = std::env::var("AGENTIC_TEST_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(CALLS);
    let began = std::time::Instant::now();
    (0..calls).for_each(call);
    let after = held(&real.config.state);
    println!("{calls} calls in {:?}: {before:?} before, {after:?} after", began.elapsed());
    for (what, most) in before {
        let slack = if what == "KiB" { SLACK } else { 0 };
        assert!(after[what] <= most + slack, "{what}: {} after, {most} before", after[what]);
    }
}
