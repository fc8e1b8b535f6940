//! The spawner as a program of its own, for engines that cannot re-execute themselves: a test harness, a
//! Python extension that embeds it.

fn main() {
    agentic_sandbox::spawner_hook();
    eprintln!("agentic-spawner: started by the sandbox engine, not by hand");
    std::process::exit(2);
}
