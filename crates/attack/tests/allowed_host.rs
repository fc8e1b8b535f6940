//! The network group from runs that may reach one host by its name: everything but that name stays refused, by no way
//! around the proxy and by no spelling through it.

mod slowness;

use std::io::Write;
use std::net::TcpListener;

use agentic_attack::{Cold, Runner, groups};
use agentic_proxy::{Access, ProxyGateway};
use agentic_sandbox::{Command, Network, Policy, Sandbox, Spawner, Tier};
use agentic_testkit::{agentic_binary, spawner_binary};

#[test]
fn an_allowed_host_opens_nothing_but_itself() {
    let sandbox = Sandbox::new(Spawner::Path(spawner_binary())).expect("a sandbox");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever does not listen any more has what it came for.
            let _ = stream.write_all(b"harmless\n");
        }
    });
    let rule = format!("harmless.test:{port}=127.0.0.1");
    let access = Access { allow: vec![rule.parse().expect("a rule")], ..Access::default() };
    let gateway = ProxyGateway::new(access, Spawner::Path(agentic_binary())).expect("rules that agree");

    // That the name is reached, for otherwise what follows would show nothing.
    let fetch = format!(
        "import socket\nprint(socket.create_connection(('harmless.test', {port})).makefile().readline(), end='')"
    );
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-I", "-S", "-c", &fetch]).gateway(gateway.clone());
    command.policy(Policy { network: Network::Proxied, tier: Tier::A, ..Policy::default() });
    let output = command.output(&sandbox).expect("a run");
    assert_eq!(output.stdout.text(), "harmless\n", "{}", output.stderr.text());

    let enclosure = Cold::new(sandbox).reaching(gateway).slowed(slowness::here());
    let runner = Runner { enclosure: &enclosure, weakened: None, width: 4 };
    let attempts: Vec<_> = groups::named("network/").into_iter().chain(groups::proxied()).collect();
    assert!(attempts.len() > 60, "attempts are missing: {}", attempts.len());
    let report = runner.run(&attempts);
    for line in report.remarks() {
        println!("{line}");
    }
    println!("{report}");
    assert!(report.sound(), "{:#?}", report.findings());
}
