//! Hostile texts for everything that reads literals: answers, inputs, stated outputs.
//!
//! Every reader must refuse them as values, without evaluating anything and in a moment. Values that are
//! harmless yet must not be paid for stand in [`UNEQUAL`].

/// Texts that are no values. The first three end or replace what a text would be pasted into.
pub const REFUSED: [&str; 40] = [
    "0) or (True",
    "9)\nimport os; os.system('echo x > /tmp/azr_escape_answer')#",
    "type(\"T\",(),{\"__eq__\":lambda s,o:True})()",
    "__import__('os').system('echo x > /tmp/azr_escape_answer')",
    "eval('9')",
    "exec('import os')",
    "open('/tmp/azr_escape_answer', 'w')",
    "globals()['gold']",
    "gold",
    "f(3)",
    "lambda: 9",
    "[x for x in [9]]",
    "9 if True else 0",
    "(y := 9)",
    "3 * 3",
    "10 ** 10 ** 8",
    "[0] * 10 ** 10",
    "'a' * 10 ** 10",
    "not 0",
    "9 == 9",
    "*[9]",
    "{**{}}",
    "f'{9}'",
    "f'{__import__(\"os\")}'",
    "'%s' % 9",
    "'{0.__class__}'.format(9)",
    "().__class__",
    "int",
    "int('9')",
    "bytes(10 ** 10)",
    "bytearray(b'9')",
    "range(10 ** 18)",
    "object()",
    "...",
    "NotImplemented",
    "'\\ud800'",
    "'\\N{DIGIT NINE}'",
    "９",
    "True\u{a0}",
    "<function f at 0x7f0000000000>",
];

/// A gold value and an answer that must not count as equal to it.
pub const UNEQUAL: [(&str, &str); 12] = [
    ("9", "'9'"),
    ("9", "[9]"),
    ("[9]", "(9,)"),
    ("'True'", "True"),
    ("nan", "nan"),
    ("[nan, 1]", "[nan, 1]"),
    ("{'a': 1}", "{'a': 1, 'b': 2}"),
    ("{1, 2}", "[1, 2]"),
    ("9007199254740993", "9007199254740992.0"),
    ("1.0", "inf"),
    ("0", "None"),
    ("b'a'", "'a'"),
];

/// Texts that are too long, too deep or too many; built because they are large.
pub fn oversized() -> Vec<String> {
    vec![
        "[".repeat(100_000),
        "(".repeat(50_000) + &")".repeat(50_000),
        "{1:".repeat(50_000),
        "-".repeat(200_000) + "'",
        "9".repeat(100_000),
        "0x".to_owned() + &"f".repeat(100_000),
        "1_".repeat(100_000) + "1",
        format!("[{}]", "0,".repeat(50_000)),
        format!("'{}'", "x".repeat(1 << 20)),
        "'a' ".repeat(100_000),
        "#".repeat(1 << 20),
        "1e".to_owned() + &"9".repeat(100_000) + "x",
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use azr_executor::equality::answer;
    use azr_executor::{parse_arguments, parse_literal};

    #[test]
    fn our_parsers_refuse_them() {
        for text in REFUSED {
            assert!(parse_literal(text).is_err(), "{text}");
            assert!(parse_arguments(text).is_err(), "{text}");
        }
        for text in oversized() {
            assert!(
                parse_literal(&text).is_err() && parse_arguments(&text).is_err(),
                "{}",
                &text[..20]
            );
        }
    }

    #[test]
    fn unequal_answers_are_not_paid_for() {
        for (gold, stated) in UNEQUAL {
            let (gold, stated) = (parse_literal(gold).unwrap(), parse_literal(stated).unwrap());
            assert!(!answer(&gold, &stated) && !answer(&stated, &gold), "{gold:?} {stated:?}");
        }
    }
}
