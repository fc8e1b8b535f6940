//! Secrets in what comes back through the network proxy.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_proxy::fuzzing::mask(bytes));
