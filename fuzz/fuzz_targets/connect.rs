//! What stands after `CONNECT`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_proxy::fuzzing::connect(bytes));
