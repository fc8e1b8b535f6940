//! A program in the sandbox, called from Rust: `cargo run --example library -- /path/of/project /path/of/state`

use agentic_executor::AgenticExecutor;
use agentic_executor::config::{Budgets, Config, Host, SandboxSettings};
use agentic_executor::sandbox::{Spawner, spawner_hook};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    spawner_hook(); // first in main: the process that clones sandboxes is this program, started again
    let mut folders = std::env::args_os().skip(1);
    let config = Config {
        workspace: folders.next().ok_or("the project's folder is missing (absolute)")?.into(),
        state: folders.next().ok_or("a private folder outside the project is missing (absolute)")?.into(),
        spawner: Spawner::CurrentExe,
        host: Host::default(), // no home, no environment: interpreters are those of the system
        sandbox: SandboxSettings::default(),
        budgets: Budgets::default(),
    };
    let executor = AgenticExecutor::builder(config).build()?;
    let result = executor.execute_code("print(sum(range(10)))", "Add up");
    println!("{}", result.summary());
    Ok(())
}
