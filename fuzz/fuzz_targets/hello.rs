//! The beginning of a TLS stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_proxy::fuzzing::hello(bytes));
