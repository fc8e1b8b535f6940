//! The mutation run: each barrier removed in turn, and what noticed. The last full result is in
//! `docs/reference/attack-results.md`.

mod common;

use agentic_attack::{Weakened, groups, mutation};
use agentic_testkit::skip;

#[test]
fn each_barrier_removed_is_noticed_by_an_attempt() {
    let Some(program) = common::weakened_spawner() else {
        skip!("no weakened spawner: set AGENTIC_WEAKENED_SPAWNER");
    };
    let weakened = Weakened::new(&program).expect("a folder for weakened spawners");
    let rows = mutation::mutate(&groups::corpus(), &weakened).expect("the mutation run");
    for row in &rows {
        println!("{row}");
    }
    let unnoticed: Vec<_> = rows.iter().filter(|row| !row.noticed()).map(|row| &row.barrier).collect();
    assert!(unnoticed.is_empty(), "removed, and nothing noticed: {unnoticed:?}");
    assert!(rows.len() > 80, "only {} barriers were removed", rows.len());
}
