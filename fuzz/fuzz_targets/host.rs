//! Host names, targets, rules and descriptions of secrets.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_proxy::fuzzing::host(bytes));
