//! What the fuzz target of this crate calls (`fuzz/`), and the same with a fixed sequence of inputs as a test. In no other build.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel;
use crate::spec::{Report, Request, Spec, Status};

/// Bytes as each message between engine, spawner and nest init, straight and over a socket; the first byte says as which.
///
/// # Panics
/// When what was read is not read back from what it is written as.
pub fn messages(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 6 {
        0 => again::<Request>(bytes),
        1 => again::<Report>(bytes),
        2 => again::<Status>(bytes),
        3 => again::<Spec>(bytes),
        4 => over_a_socket::<Request>(bytes),
        _ => over_a_socket::<Status>(bytes),
    }
}

fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(message) = postcard::from_bytes::<T>(bytes) else { return };
    let written = postcard::to_stdvec(&message).expect("what was read can be written");
    let read: T = postcard::from_bytes(&written).expect("what was written can be read");
    assert_eq!(postcard::to_stdvec(&read).expect("and written again"), written);
}

fn over_a_socket<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let (ours, theirs) = channel::pair().expect("a pair of sockets");
    // Longer than the socket takes: not sent, and then there is nothing to read.
    if rustix::net::send(&ours, bytes, rustix::net::SendFlags::DONTWAIT).is_err() {
        return;
    }
    drop(ours);
    if let Ok(Some((message, descriptors))) = channel::receive::<T>(&theirs) {
        assert!(descriptors.is_empty());
        postcard::to_stdvec(&message).expect("what was read can be written");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::spec::State;
    use crate::{Control, LimitKind};

    #[test]
    fn whatever_arrives_is_a_message_or_an_error() {
        let request = Request::Nest {
            flags: u64::MAX,
            uid_map: "0 1000 1\n".into(),
            gid_map: "0 1000 1\n".into(),
            deny_setgroups: true,
            into_cgroup: false,
        };
        let exited = Status::Exited {
            status: 9,
            verdict: Some(LimitKind::Memory),
            user: Duration::from_millis(12),
            system: Duration::from_millis(3),
            peak: 1 << 40,
            hits: vec![LimitKind::Memory, LimitKind::Output],
            left: vec!["sleep".into()],
        };
        let started = Status::Started { enforced: vec![(Control::Landlock, State::Degraded("ABI 4".into()))] };
        let encoded = [
            (0, postcard::to_stdvec(&request).unwrap()),
            (1, postcard::to_stdvec(&Report::Failed { stage: "clone".into(), errno: 1 }).unwrap()),
            (2, postcard::to_stdvec(&exited).unwrap()),
            (2, postcard::to_stdvec(&started).unwrap()),
            (4, postcard::to_stdvec(&request).unwrap()),
            (5, postcard::to_stdvec(&exited).unwrap()),
        ];
        let seeds: Vec<Vec<u8>> = encoded.into_iter().map(|(which, bytes)| [vec![which], bytes].concat()).collect();
        for seed in &seeds {
            messages(seed);
        }
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        for bytes in agentic_testkit::mutations(&seeds, 20_000) {
            messages(&bytes);
        }
        // The third byte of a spec's beginning and lengths that promise more than there is.
        for bytes in agentic_testkit::mutations(&[&[3, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]], 5_000) {
            messages(&bytes);
        }
    }
}
