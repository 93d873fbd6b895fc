//! Any text: the parser of argument lists is total, and what it accepts survives its canonical text.

#![no_main]

use azr_executor::{Arguments, parse_arguments};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(arguments) = parse_arguments(text) {
        let canonical = arguments.to_canonical();
        let back = Arguments::from_canonical(&canonical).expect("canonical texts read back");
        assert_eq!(back.to_canonical(), canonical);
    }
    if let Ok(arguments) = Arguments::from_canonical(text) {
        assert_eq!(arguments.to_canonical(), text);
    }
});
