#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store_redis::fuzzing::redis(data));
