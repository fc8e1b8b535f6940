//! The messages between engine, spawner and nest init.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_sandbox::fuzzing::messages(bytes));
