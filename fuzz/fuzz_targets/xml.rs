#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockplate_fuzz::xml(data));
