//! The mutation run: each barrier removed in turn, and what noticed. Of the many system calls and resource limits one
//! each is removed; `AGENTIC_MUTATE=all` (`cargo xtask mutate`) removes them all. The last result of all of them, with the
//! corpus' own, is in `docs/reference/attack-results.md`.

mod common;

use agentic_attack::mutation::{self, Which};
use agentic_attack::{Weakened, groups};
use agentic_testkit::skip;

#[test]
fn each_barrier_removed_is_noticed_by_an_attempt() {
    let Some(program) = common::weakened_spawner() else {
        skip!("no weakened spawner: set AGENTIC_WEAKENED_SPAWNER");
    };
    let weakened = Weakened::new(&program).expect("a folder for weakened spawners");
    let all = std::env::var_os("AGENTIC_MUTATE").is_some_and(|which| which == "all");
    let (which, least) = if all { (Which::All, 80) } else { (Which::OneOfAKind, 15) };
    let rows = mutation::mutate(&groups::corpus(), &weakened, which, 4).expect("the mutation run");
    for row in &rows {
        println!("{row}");
    }
    let not_here = rows.iter().filter(|row| !row.shown).count();
    println!("{} barriers removed, {not_here} of them without a control that this host can run", rows.len());
    let unnoticed: Vec<_> = rows.iter().filter(|row| !row.noticed()).map(|row| &row.barrier).collect();
    assert!(unnoticed.is_empty(), "removed, and nothing noticed: {unnoticed:?}");
    assert!(rows.len() >= least, "only {} barriers were removed", rows.len());
}
