//! Arguments of the built-in tools.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_executor::fuzzing::arguments(bytes));
