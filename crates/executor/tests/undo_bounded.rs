//! What undo keeps stays within its cap however many steps rewrite files, and what was done last can be taken back still.
//!
//! Few steps each time; `cargo xtask undo` makes a thousand and more.

mod undo_support;
mod workspace_support;

use std::fs;
use std::path::Path;

use agentic_executor::workspace::{Backend, Collect, RollBack};
use undo_support::{Random, Snapshot, number};
use workspace_support::{upper, world};

const FILES: usize = 8;
const SIZE: usize = 16 << 10;
/// Six steps' worth of originals.
const MOST: u64 = (6 * FILES * SIZE) as u64;
/// How many steps lie between two collections.
const OFTEN: usize = 10;

fn disk_use(folder: &Path) -> u64 {
    let mut all = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.metadata().unwrap();
        all += if found.is_dir() { disk_use(&entry.path()) } else { found.len() };
    }
    all
}

#[test]
fn a_thousand_steps_take_no_more_than_the_cap() {
    let steps = number("AGENTIC_UNDO_CASES").map_or(40, |cases| (cases as usize).max(40));
    let mut random = Random::of(1);
    let world = world();
    let kept = || disk_use(&world.state().join("store")) + disk_use(&world.state().join("undo"));
    let (mut layers, mut states, mut most) = (Vec::new(), Vec::new(), 0);
    for nth in 1..=steps {
        states.push(Snapshot::of(&world.root));
        let attempt = world.open_as(Backend::Copy);
        attempt.make_undoable();
        for file in 0..FILES {
            // Bytes that do not compress.
            let bytes: Vec<u8> = (0..SIZE).map(|_| random.below(256) as u8).collect();
            fs::write(upper(&attempt, 0).join(format!("f{file}")), bytes).unwrap();
        }
        layers.push(attempt.name().unwrap());
        attempt.commit().unwrap();
        most = most.max(kept());
        if nth % OFTEN == 0 {
            let done = world.workspaces.records().collect(&Collect { most: MOST, ..Collect::default() }).unwrap();
            assert!(kept() <= MOST, "{} bytes after {nth} steps: {done:?}", kept());
            assert_eq!(done.after, kept(), "it says what is there");
        }
    }
    // The control: between two collections more than the cap was written.
    assert!(most > MOST && most < 3 * MOST, "{most} bytes at the most");
    println!("{steps} steps, {} bytes each: {most} bytes at the most, {} in the end", FILES * SIZE, kept());
    // The last three are there still; the first is gone, and says so.
    let last = layers.len() - 3;
    world.workspaces.roll_back(&layers[last..], &RollBack::default()).unwrap();
    assert_eq!(states[last].differs(&Snapshot::of(&world.root)), Vec::<String>::new());
    world.workspaces.roll_back(&layers[..1], &RollBack::default()).unwrap_err();
}
