//! Heads of requests and answers, and bodies in chunks, as they pass the network proxy.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_proxy::fuzzing::head(bytes));
