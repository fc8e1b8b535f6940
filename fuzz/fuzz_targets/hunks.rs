//! A text, two NUL bytes, and a patch that is put into it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_executor::fuzzing::hunks(bytes));
