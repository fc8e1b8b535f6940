//! Inputs near good ones: what a fuzzer would try first, the same at every run.

/// `count` variations of the seeds, by a fixed sequence: bits flipped, bytes set, removed, doubled, cut off, seeds joined.
///
/// # Panics
/// Without a seed.
pub fn mutations<'a>(seeds: &'a [&'a [u8]], count: usize) -> impl Iterator<Item = Vec<u8>> + 'a {
    assert!(!seeds.is_empty(), "mutations start from a seed");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: usize| {
        // xorshift64: any sequence will do that is the same tomorrow.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below.max(1)
    };
    (0..count).map(move |_| {
        let mut bytes = seeds[next(seeds.len())].to_vec();
        for _ in 0..=next(6) {
            let at = next(bytes.len() + 1);
            match next(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << next(8),
                1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'$'][next(8)],
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.insert(at, next(256) as u8),
                4 => {
                    let piece = bytes[at..(at + next(16)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                5 => bytes.truncate(at),
                _ => {
                    let other = seeds[next(seeds.len())];
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[next(other.len() + 1)..]);
                }
            }
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_differ_from_the_seed_and_are_the_same_every_time() {
        let seeds: &[&[u8]] = &[b"one seed", b"another"];
        let made: Vec<_> = mutations(seeds, 1000).collect();
        assert_eq!(made, mutations(seeds, 1000).collect::<Vec<_>>());
        let different: std::collections::BTreeSet<_> = made.iter().collect();
        assert!(different.len() > 800, "{}", different.len());
    }
}
