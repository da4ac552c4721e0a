#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code, reason = "each target calls one of them")]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let entry = entries::ENTRIES.iter().find(|(name, _)| *name == "signature");
    entry.expect("a target has its entry").1(bytes);
});
