//! Patches of both forms.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agentic_executor::fuzzing::patch(bytes));
