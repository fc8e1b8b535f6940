//! A layer that a program left behind, read as a change set.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_executor::fuzzing::layer(bytes));
