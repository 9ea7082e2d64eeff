#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| satsuma_storage::fuzz::log(bytes));
