#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store_core::fuzzing::filter_text(data));
