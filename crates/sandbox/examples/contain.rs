//! Runs a program of the host in a sandbox: `cargo run -p agentic-sandbox --example contain -- /bin/id`.

use agentic_sandbox::{Command, Sandbox, Spawner, spawner_hook};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    spawner_hook();
    let mut args = std::env::args_os().skip(1);
    let program = args.next().ok_or("name a program")?;
    let sandbox = Sandbox::new(Spawner::CurrentExe)?;
    let mut policy = agentic_sandbox::Policy::default();
    use agentic_sandbox::Control as C;
    policy.allow_degraded = [C::Capabilities, C::NoNewPrivs, C::Seccomp].into();
    let output = Command::new(program).args(args).policy(policy).output(&sandbox)?;
    print!("{}", output.stdout.text());
    eprint!("{}", output.stderr.text());
    eprintln!("{:?} {:?}", output.reason, output.usage);
    std::process::exit(output.reason.code());
}
