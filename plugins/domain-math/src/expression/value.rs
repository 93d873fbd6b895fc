//! Values and lists of arguments, their canonical text, and the parser back, which takes literals and nothing else.

use std::fmt;

use num_bigint::BigInt;
use winnow::ascii::{digit1, multispace0};
use winnow::combinator::{alt, delimited, opt, preceded, separated, terminated};
use winnow::error::EmptyError;
use winnow::token::take_while;
use winnow::{Parser as _, Result};

use super::grammar::{MAX_BYTES, MAX_DEPTH, NAME_START, is_name_part};
use super::rational::Rational;

/// What an expression evaluates to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Boolean(bool),
    Number(Rational),
    List(Vec<Value>),
}

impl Value {
    /// Reads a literal: `7`, `-3/4`, `0.25`, `true` or a list of literals. Fractions need not be in lowest terms.
    /// `None` for everything else, and for what is too long or nested too deeply.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        padded(|input: &mut &str| literal(input, 0)).parse(text).ok()
    }

    /// Bits of the longest number in it.
    pub(crate) fn bits(&self) -> u64 {
        match self {
            Self::Boolean(_) => 1,
            Self::Number(number) => number.bits(),
            Self::List(items) => items.iter().map(Self::bits).max().unwrap_or(0),
        }
    }

    /// How many numbers and booleans it holds.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Boolean(_) | Self::Number(_) => 1,
            Self::List(items) => items.iter().map(Self::len).sum::<u64>() + 1,
        }
    }
}

/// Canonical text, which [`Value::parse`] reads back.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(items) => write!(f, "[{}]", list(items)),
        }
    }
}

/// Canonical text of a list of arguments, without parentheses.
pub(crate) fn list(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}

/// Reads the arguments of a call, one for each of `parameters`: literals in their order, or all of them named as in
/// `x = 3, y = 5`.
pub(crate) fn parse_arguments(text: &str, parameters: &[String]) -> Option<Vec<Value>> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let found: Vec<_> = separated(1.., argument, ',').parse(text).ok()?;
    if found.len() != parameters.len() {
        return None;
    }
    if found.iter().all(|(name, _)| name.is_none()) {
        return Some(found.into_iter().map(|(_, value)| value).collect());
    }
    let named = |parameter: &String| {
        let mut values = found.iter().filter(|(name, _)| *name == Some(parameter.as_str()));
        values.next().map(|(_, value)| value.clone())
    };
    parameters.iter().map(named).collect()
}

fn argument<'i>(input: &mut &'i str) -> Result<(Option<&'i str>, Value), EmptyError> {
    let value = |input: &mut &'i str| literal(input, 0);
    (opt(terminated(padded(name), '=')), padded(value)).parse_next(input)
}

fn literal(input: &mut &str, depth: usize) -> Result<Value, EmptyError> {
    if depth == MAX_DEPTH {
        return Err(EmptyError);
    }
    let items = |input: &mut &str| {
        separated(0.., padded(|input: &mut &str| literal(input, depth + 1)), ',').parse_next(input)
    };
    // Items take the white space around them; an empty list has none.
    let list = delimited('[', items, (multispace0, ']'));
    alt((number.map(Value::Number), word.verify_map(boolean), list.map(Value::List)))
        .parse_next(input)
}

fn number(input: &mut &str) -> Result<Rational, EmptyError> {
    let sign = opt(terminated('-', multispace0)).parse_next(input)?;
    let magnitude = unsigned(input)?;
    let number = match opt(preceded(padded('/'), digit1)).parse_next(input)? {
        Some(denominator) => {
            let denominator = integer(denominator).ok_or(EmptyError)?;
            magnitude.divide(&denominator.into()).ok_or(EmptyError)?
        }
        None => magnitude,
    };
    Ok(if sign.is_some() { number.negate() } else { number })
}

fn unsigned(input: &mut &str) -> Result<Rational, EmptyError> {
    (digit1, opt(preceded('.', digit1)))
        .verify_map(|(whole, part)| decimal(whole, part))
        .parse_next(input)
}

/// `whole.part`, exactly.
pub(super) fn decimal(whole: &str, part: Option<&str>) -> Option<Rational> {
    let part = part.unwrap_or_default();
    let scale = BigInt::from(10).pow(u32::try_from(part.len()).ok()?);
    Rational::new(integer(&format!("{whole}{part}"))?, scale)
}

fn integer(digits: &str) -> Option<BigInt> {
    digits.parse().ok()
}

fn name<'i>(input: &mut &'i str) -> Result<&'i str, EmptyError> {
    word.verify(|word: &str| word.starts_with(NAME_START)).parse_next(input)
}

fn word<'i>(input: &mut &'i str) -> Result<&'i str, EmptyError> {
    take_while(1.., is_name_part).parse_next(input)
}

fn boolean(word: &str) -> Option<Value> {
    // As in this language or in Python.
    match word {
        "true" | "True" => Some(Value::Boolean(true)),
        "false" | "False" => Some(Value::Boolean(false)),
        _ => None,
    }
}

fn padded<'i, T>(
    inner: impl winnow::Parser<&'i str, T, EmptyError>,
) -> impl winnow::Parser<&'i str, T, EmptyError> {
    delimited(multispace0, inner, multispace0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Value::parse(text).map(|value| value.to_string())
    }

    #[test]
    fn literals_are_read_exactly_and_written_canonically() {
        for (text, canonical) in [
            ("7", "7"),
            (" -3/4 ", "-3/4"),
            ("- 6 / 8", "-3/4"),
            ("0.25", "1/4"),
            ("-1.50", "-3/2"),
            ("0/5", "0"),
            ("-0", "0"),
            ("007", "7"),
            ("true", "true"),
            ("False", "false"),
            ("[]", "[]"),
            ("[ ]", "[]"),
            ("[1, 2/4,[true ,-1]]", "[1, 1/2, [true, -1]]"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(read(text).as_deref(), Some(canonical), "{text}");
        }
    }

    #[test]
    fn what_computes_is_no_literal() {
        for text in [
            "",
            " ",
            "x",
            "1 + 1",
            "2^3",
            "1/0",
            "1/-2",
            "--1",
            "1/2/3",
            "(1)",
            "1.",
            ".5",
            "1e3",
            "[1",
            "[1,]",
            "1, 2",
            "f(3)",
            "1_000",
            "+1",
            "٣",
            "½",
            "−1",
            "true false",
            "TRUE",
            "1 2",
            "3\0",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn arguments_stand_in_order_or_have_names() {
        let parameters = ["x", "y"].map(str::to_owned);
        let read = |text: &str| parse_arguments(text, &parameters).map(|values| list(&values));
        assert_eq!(read("3, -1/2").as_deref(), Some("3, -1/2"));
        assert_eq!(read(" y = 5 , x=[1] ").as_deref(), Some("[1], 5"));
        for text in [
            "",
            "3",
            "3, 4, 5",
            "x = 3",
            "x = 3, 4",
            "x = 3, x = 4",
            "x = 3, z = 4",
            "3, 4) or (5",
            "x, y",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
