#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mynah::control::fuzz(input));
