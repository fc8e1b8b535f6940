//! The corpus against runs of tier B, which have no namespace: what is not promised there is listed, and counted apart.

mod common;
mod slowness;

use agentic_attack::{Cold, Runner, Weakened, groups};
use agentic_sandbox::{Sandbox, Spawner};
use agentic_testkit::{report_skip, spawner_binary};

#[test]
fn without_namespaces_nothing_escapes_but_what_is_not_promised() {
    let sandbox = Sandbox::new(Spawner::Path(spawner_binary())).expect("a sandbox");
    let enclosure = Cold::without_namespaces(sandbox).slowed(slowness::here());
    let weakened = common::weakened_spawner().map(|path| Weakened::new(&path).expect("a folder for weakened spawners"));
    if weakened.is_none() {
        report_skip("no weakened spawner: set AGENTIC_WEAKENED_SPAWNER; controls that need one are left out");
    }
    let runner = Runner { enclosure: &enclosure, weakened: weakened.as_ref(), width: 4 };
    let report = runner.run(&groups::named(&std::env::var("AGENTIC_ATTACK").unwrap_or_default()));
    for line in report.remarks() {
        println!("{line}");
    }
    println!("{report}");
    assert!(report.sound(), "{:#?}", report.findings());
}
