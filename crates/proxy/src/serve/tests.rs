//! The door to the network, with a resolver whose answers the test decides.

use std::net::TcpListener;

use super::*;

/// Every name has these addresses.
#[derive(Debug)]
struct Answers(Vec<IpAddr>);

impl Resolver for Answers {
    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

fn reach(rule: &str, port: u16, addresses: &[&str]) -> (Result<TcpStream, Denied>, NetworkDecision) {
    let access = Access { allow: vec![rule.parse().unwrap()], ..Access::default() };
    let answers = Answers(addresses.iter().map(|address| address.parse().unwrap()).collect());
    let server = Server::new(access, Arc::new(answers), Upstream::new(None).unwrap(), None, |_| {});
    let target = Target { host: Host::parse("intranet.test").unwrap(), port };
    let mut seen = None;
    let mut result = None;
    let _ = server.decided("tcp", Some(&target), |open| {
        result = Some(server.reach(&target, open));
        seen = Some(open.edit().clone());
        Ok(())
    });
    (result.unwrap(), seen.unwrap())
}

#[test]
fn a_name_that_resolves_to_an_address_of_no_public_network_is_refused_after_resolution() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rule = format!("intranet.test:{port}");
    for (address, what) in [
        ("127.0.0.1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("10.0.0.7", "a private network"),
        ("169.254.169.254", "link-local, where clouds keep credentials"),
        ("::1", "loopback"),
    ] {
        let (result, decision) = reach(&rule, port, &[address]);
        let denied = result.err().unwrap();
        assert_eq!(denied.status, 403);
        assert!(denied.reason.contains(&format!("({what})")), "{address}: {}", denied.reason);
        let remedy = denied.remedy.unwrap();
        assert!(remedy.contains(&format!("(--allow-net intranet.test:{port}=")), "{remedy}");
        assert!(remedy.contains(&format!("allow_net=[\"intranet.test:{port}=")), "{remedy}");
        assert!(!decision.allowed && decision.address.is_none(), "{decision:?}");
    }
    // Of several addresses only a public one would be tried; of these there is none.
    assert_eq!(reach(&rule, port, &["10.0.0.7", "127.0.0.1"]).0.err().unwrap().status, 403);
    // The control: the same name and address, where a rule names the network.
    let (result, decision) = reach(&format!("{rule}=127.0.0.0/8"), port, &["10.0.0.7", "127.0.0.1"]);
    assert_eq!(result.unwrap().peer_addr().unwrap(), listener.local_addr().unwrap());
    assert_eq!((decision.allowed, decision.address), (true, Some("127.0.0.1".parse().unwrap())));
}

#[test]
fn a_name_without_an_address_is_no_refusal() {
    let (result, decision) = reach("other.test", 80, &["10.0.0.7"]);
    assert!(result.err().unwrap().reason.contains("no rule allows intranet.test") && !decision.allowed);
    #[derive(Debug)]
    struct Nobody;
    impl Resolver for Nobody {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<IpAddr>> {
            Err(io::Error::other("nobody knows it"))
        }
    }
    let access = Access { allow: vec!["intranet.test".parse().unwrap()], ..Access::default() };
    let server = Server::new(access, Arc::new(Nobody), Upstream::new(None).unwrap(), None, |_| {});
    let target = Target { host: Host::parse("intranet.test").unwrap(), port: 80 };
    let told = server.decided("tcp", Some(&target), |open| {
        let denied = server.reach(&target, open).err();
        assert!(open.edit().allowed);
        denied.map_or(Ok(()), Err)
    });
    assert_eq!(told.unwrap_err().status, 502);
}
