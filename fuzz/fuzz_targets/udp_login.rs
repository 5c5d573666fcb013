#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mynah::protocol::udp_login::frame::fuzz(input));
