#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mynah::store::fuzz(input));
