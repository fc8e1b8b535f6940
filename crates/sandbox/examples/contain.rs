//! Runs a program of the host in a sandbox: `cargo run -p agentic-sandbox --example contain -- /usr/bin/id`.

use agentic_sandbox::{Command, Sandbox, Spawner, spawner_hook};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    spawner_hook();
    let mut args = std::env::args_os().skip(1);
    let program = args.next().ok_or("name a program")?;
    let sandbox = Sandbox::new(Spawner::CurrentExe)?;
    let output = Command::new(program).args(args).output(&sandbox)?;
    print!("{}", output.stdout.text());
    eprint!("{}", output.stderr.text());
    eprintln!("{:?} after {:?}", output.reason, output.usage.wall);
    std::process::exit(output.reason.code());
}
