//! The whole corpus against a cold run, with every control: nothing escapes, nothing is inconclusive.
//!
//! `AGENTIC_ATTACK` narrows it to ids that contain a word, for whoever writes an attempt.

mod common;
mod slowness;

use agentic_attack::{Cold, Runner, Weakened, groups};
use agentic_sandbox::{Sandbox, Spawner};
use agentic_testkit::{report_skip, spawner_binary};

#[test]
fn nothing_escapes_and_nothing_is_inconclusive() {
    let sandbox = Sandbox::new(Spawner::Path(spawner_binary())).expect("a sandbox");
    let enclosure = Cold::new(sandbox).slowed(slowness::here());
    let weakened = common::weakened_spawner().map(|path| Weakened::new(&path).expect("a folder for weakened spawners"));
    if weakened.is_none() {
        report_skip("no weakened spawner: set AGENTIC_WEAKENED_SPAWNER; controls that need one are left out");
    }
    let runner = Runner { enclosure: &enclosure, weakened: weakened.as_ref(), width: 4 };
    let word = std::env::var("AGENTIC_ATTACK").unwrap_or_default();
    let report = runner.run(&groups::named(&word));
    for line in report.remarks() {
        println!("{line}");
    }
    println!("{report}");
    assert!(report.sound(), "{:#?}", report.findings());
    assert!(!word.is_empty() || report.counts().attempts > 450, "attempts are missing");
}
