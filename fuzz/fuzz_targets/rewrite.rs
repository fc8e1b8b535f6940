//! Rules files, and files that they rewrite.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_migrate::fuzzing::rewrite(bytes));
