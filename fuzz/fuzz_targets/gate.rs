//! Any text: the static gate is total, and what passed passes again unchanged.

#![no_main]

use azr_executor::{ImportPolicy, Program};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let policy = ImportPolicy::default();
    let Ok(program) = Program::parse(text, &policy) else { return };
    let again = Program::parse(&program.source, &policy).expect("what passed passes again");
    assert_eq!(again.source, program.source);
    assert_eq!(again.canonical, program.canonical);
    assert_eq!(again.entry_renamed, None);
    assert_eq!(again.imports, program.imports);
});
