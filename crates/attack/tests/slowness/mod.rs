//! How slow the processor is that the tests run on.

/// `AGENTIC_ATTACK_SLOWNESS`: how many times as slow as usual this processor is, being emulated. Default 1.
pub(crate) fn here() -> u32 {
    std::env::var("AGENTIC_ATTACK_SLOWNESS").map_or(1, |text| text.parse().expect("AGENTIC_ATTACK_SLOWNESS: a number"))
}
