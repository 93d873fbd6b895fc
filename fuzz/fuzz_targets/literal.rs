//! Any text: the literal parser is total, and what it accepts survives its canonical text.

#![no_main]

use azr_executor::equality::{agree, answer, strict};
use azr_executor::{Value, parse_literal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(value) = parse_literal(text) else { return };
    let canonical = value.to_canonical();
    assert!(canonical.is_ascii());
    let back = Value::from_canonical(&canonical).expect("canonical texts read back");
    assert!(strict(&value, &value) && strict(&value, &back) && agree(&value, &back));
    assert_eq!(back.to_canonical(), canonical);
    // Only what holds a NaN differs from itself.
    assert!(answer(&value, &back) || canonical.contains("nan"));
    let _ = value.repr();
});
