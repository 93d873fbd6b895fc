//! A total parser of Python literals and of the argument list of a call.
//!
//! Accepted beyond Python's own literal grammar: `inf`, `nan`, `set()`, `frozenset({…})`, `dict(a=1)`,
//! `complex(re, im)`, `float('inf')` and, as an argument of a call, `range(…)` for the list of its numbers. An
//! answer cannot be a range: it equals no list in Python and is no plain value. Refused: everything that would
//! have to be evaluated, f-strings, `\N{…}` escapes and lone surrogates.

use crate::value::{
    MAX_BYTES, MAX_CANONICAL_BYTES, MAX_DEPTH, MAX_DIGITS, MAX_NODES, Spelling, Unhashable, Value,
    ValueError, write_value,
};

mod number;
mod parser;
mod string;

/// Why a text is no literal. Offsets count bytes of the given text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// Something else stands where this was expected.
    #[error("expected {expected} at byte {offset}")]
    Syntax {
        /// Where it was expected.
        offset: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// The text is too long.
    #[error("the text is too long")]
    TooLarge,
    /// Too many values.
    #[error("more than {MAX_NODES} values")]
    TooManyNodes,
    /// Nested too deeply.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An integer is too long.
    #[error("an integer has more than {MAX_DIGITS} digits")]
    TooManyDigits,
    /// A string holds half of a surrogate pair, which no text can.
    #[error("a string holds a lone surrogate")]
    Surrogate,
    /// A list, dict or set is used as an element of a set or a key of a dict.
    #[error(transparent)]
    Unhashable(#[from] Unhashable),
    /// A keyword argument is given twice.
    #[error("keyword argument '{0}' is repeated")]
    RepeatedKeyword(String),
}

/// The arguments of one call.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Positional arguments.
    pub positional: Vec<Value>,
    /// Keyword arguments in call order; names are unique.
    pub keyword: Vec<(String, Value)>,
}

/// The value of a Python literal.
///
/// # Errors
/// When the whole text is not one literal within the bounds of [`crate::value`].
pub fn parse_literal(text: &str) -> Result<Value, LiteralError> {
    parser::Parser::new(text, MAX_BYTES)?.literal()
}

/// The arguments of the text between the parentheses of a call, for example `1, k=[2]`.
///
/// # Errors
/// When the whole text is not one argument list of literals: `0) or (True` is none.
pub fn parse_arguments(text: &str) -> Result<Arguments, LiteralError> {
    parser::Parser::new(text, MAX_BYTES)?.arguments()
}

/// The value of a literal that may be as long as a canonical text.
pub(crate) fn parse_canonical_literal(text: &str) -> Result<Value, LiteralError> {
    parser::Parser::new(text, MAX_CANONICAL_BYTES)?.literal()
}

impl Arguments {
    /// The one text that stands for these arguments and no others.
    pub fn to_canonical(&self) -> String {
        self.write(Spelling::Canonical)
    }

    /// The arguments of a canonical text.
    ///
    /// # Errors
    /// When the text is not what [`Arguments::to_canonical`] writes.
    pub fn from_canonical(text: &str) -> Result<Self, ValueError> {
        let arguments = parser::Parser::new(text, MAX_CANONICAL_BYTES)?.arguments()?;
        if arguments.to_canonical() == text { Ok(arguments) } else { Err(ValueError::NotCanonical) }
    }

    /// The call text as Python would show it, for example `1, k=[2]`.
    pub fn repr(&self) -> String {
        self.write(Spelling::Repr)
    }

    fn write(&self, spelling: Spelling) -> String {
        let mut text = String::new();
        for value in &self.positional {
            text.push_str(if text.is_empty() { "" } else { ", " });
            write_value(&mut text, value, spelling);
        }
        for (name, value) in &self.keyword {
            text.push_str(if text.is_empty() { "" } else { ", " });
            text.push_str(name);
            text.push('=');
            write_value(&mut text, value, spelling);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(text: &str) -> String {
        parse_literal(text).unwrap_or_else(|error| panic!("{text}: {error}")).repr()
    }

    #[test]
    fn python_literals() {
        for (text, expected) in [
            (" 1_000 # a comment", "1000"),
            ("0xFF_ff", "65535"),
            ("-0b101", "-5"),
            ("0o17", "15"),
            ("000", "0"),
            ("+-+1", "-1"),
            ("1.", "1.0"),
            (".5e-1_0", "5e-11"),
            ("1e999", "inf"),
            ("-inf", "-inf"),
            ("float('-inf')", "-inf"),
            ("1_0j", "10j"),
            ("1+2j", "(1+2j)"),
            ("-1.5-2j", "(-1.5-2j)"),
            ("-2j", "(-0-2j)"),
            ("'a' \"b\" '''c\n'''", "'abc\\n'"),
            ("r'\\n' u'\\x41' '\\\n!'", "'\\\\nA!'"),
            ("'\\q\\101\\u4e2d\\U0001F600'", "'\\\\qA中😀'"),
            ("b'\\x00' Rb'\\d' bR'x'", "b'\\x00\\\\dx'"),
            ("(1)", "1"),
            ("(1,)", "(1,)"),
            ("1, 2", "(1, 2)"),
            ("1,", "(1,)"),
            ("()", "()"),
            ("[1, # one\n 2,\n]", "[1, 2]"),
            ("{}", "{}"),
            ("{1: 2, 'a': [3],}", "{1: 2, 'a': [3]}"),
            ("{3, 1, 2, 1}", "{1, 2, 3}"),
            ("set()", "set()"),
            ("set([2, 1])", "{1, 2}"),
            ("frozenset({1})", "frozenset({1})"),
            ("dict(a=1, b=dict())", "{'a': 1, 'b': {}}"),
            ("(\n'a'\n'b')", "'ab'"),
            ("[None, True, False, nan]", "[None, True, False, nan]"),
        ] {
            assert_eq!(repr(text), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "1 2",
            "1\n2",
            "'a'\n'b'",
            "f'a'",
            "rf'a'",
            "__import__('os').system('x')",
            "x",
            "1 + 1",
            "1j+1",
            "[1",
            "1]",
            "(,)",
            "[,]",
            "{1: 2, 3}",
            "{1, 2: 3}",
            "{**{}}",
            "[*[]]",
            "'a",
            "'''a''",
            "'a\nb'",
            "'\\x4'",
            "'\\u12'",
            "'\\ud800'",
            "'\\N{DASH}'",
            "'\\U00110000'",
            "b'é'",
            "b'\\400'",
            "b'a' 'b'",
            "1__0",
            "_1",
            "1_",
            "01",
            "0x",
            "0b2",
            "1e",
            "1.5x",
            "0xg",
            "-'a'",
            "-True",
            "not True",
            "lambda: 1",
            "range(3)",
            "...",
            "set({1: 2})",
            "frozenset(1)",
            "dict(1)",
            "dict([(1, 2)])",
            "float('1')",
            "complex(1, 2, 3)",
            "set",
            "{[]}",
            "type('T',(),{'__eq__':lambda s,o:True})()",
            "1 if True else 2",
            "a=1",
            "1;",
            "\"\\\"",
            "\0",
            "'\0'",
        ] {
            assert!(parse_literal(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse_literal(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse_literal(&nested(MAX_DEPTH + 1)).unwrap_err(), LiteralError::TooDeep);
        for opening in ["[", "(", "{", "{1:", "-", "dict(a=", "frozenset("] {
            assert!(parse_literal(&opening.repeat(20_000)).is_err(), "{opening}");
        }
        assert_eq!(parse_literal(&" ".repeat(MAX_BYTES + 1)).unwrap_err(), LiteralError::TooLarge);
        assert!(parse_literal(&format!("[{}]", "1,".repeat(MAX_NODES - 1))).is_ok());
        assert_eq!(
            parse_literal(&format!("[{}]", "1,".repeat(MAX_NODES))).unwrap_err(),
            LiteralError::TooManyNodes
        );
        assert!(parse_literal(&"9".repeat(MAX_DIGITS)).is_ok());
        assert_eq!(
            parse_literal(&"9".repeat(MAX_DIGITS + 1)).unwrap_err(),
            LiteralError::TooManyDigits
        );
        assert_eq!(
            parse_literal(&("0x".to_owned() + &"f".repeat(4_000))).unwrap_err(),
            LiteralError::TooManyDigits
        );
        assert!(parse_literal(&("-".repeat(20_000) + "1")).is_ok());
    }

    #[test]
    fn canonical_texts_of_long_literals_read_back() {
        for text in [
            format!("'{}'", "\x01".repeat(MAX_BYTES - 2)),
            format!("'{}'", "😀".repeat(MAX_BYTES / 4 - 1)),
            format!("[{}]", "1j,".repeat(MAX_NODES - 1)),
            format!("[{}]", "1e15,".repeat(MAX_NODES - 1)),
        ] {
            let value = parse_literal(&text).unwrap();
            assert!(Value::from_canonical(&value.to_canonical()).is_ok());
        }
    }

    #[test]
    fn arguments_are_data() {
        for (text, expected) in [
            ("", ""),
            ("1, k=[2]", "1, k=[2]"),
            ("\n 1,\n # two\n 'b',\n", "1, 'b'"),
            ("(1, 2)", "(1, 2)"),
            ("a=1, b = 2", "a=1, b=2"),
            ("'x' 'y', set()", "'xy', set()"),
            ("range(3), k=range(5, -4, -3)", "[0, 1, 2], k=[5, 2, -1]"),
            ("range(2, 2), range(0, 9, 4,)", "[], [0, 4, 8]"),
        ] {
            assert_eq!(
                parse_arguments(text).map(|arguments| arguments.repr()).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for text in [
            "0) or (True",
            "3) or (True",
            ",",
            "1,,2",
            "a=1, 2",
            "*[1]",
            "**{}",
            "1)",
            "a==1",
            "f(1)",
            "class=1",
            "range()",
            "range(1, 2, 3, 4)",
            "range(1, 2, 0)",
            "range(1.0)",
            "range(True)",
            "range(20_001)",
            "range(10**9)",
            "range(99999999999999999999)",
            "[range(3)]",
            "range",
        ] {
            assert!(parse_arguments(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_arguments("a=1, a=2").unwrap_err(),
            LiteralError::RepeatedKeyword("a".into())
        );
        assert!(Arguments::from_canonical("1, k=[2]").is_ok());
        assert!(Arguments::from_canonical("1,k=[2]").is_err());
    }
}
