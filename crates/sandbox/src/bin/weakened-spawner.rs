//! A spawner without the barriers that its file name lists: the control of the attack corpus. For tests only, and
//! built by the feature `weaken` alone.

fn main() {
    agentic_sandbox::weakened_spawner();
    eprintln!("weakened-spawner: started by a test of the attack corpus, not by hand");
    std::process::exit(2);
}
