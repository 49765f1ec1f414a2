#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store_mongodb::fuzzing::mongodb(data));
