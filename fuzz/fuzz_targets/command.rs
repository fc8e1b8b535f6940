//! Shell commands under allow- and block-lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_executor::fuzzing::command(bytes));
