#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aios_fuzzed::device_tree(bytes));
