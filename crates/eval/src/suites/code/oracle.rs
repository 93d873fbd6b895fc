//! When a returned value is right: the rules of EvalPlus (`evalplus/eval` of v0.3.1), on values instead of objects.
//!
//! The general rule is Python's `==`, or for floats a distance. Some functions have more than one right answer, or one
//! that `==` does not see; their rules go by the function's name.

use std::collections::BTreeSet;

use azr_executor::value::BigInt;
use azr_executor::{Value, equality};

/// Relative tolerance wherever there is an absolute one.
const RELATIVE: f64 = 1e-7;

/// Absolute tolerance where the expected value is made of floats and the data state none.
const FLOATS: f64 = 1e-6;

/// When a value that a function returned is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Oracle {
    pub(super) rule: Rule,
    /// Absolute tolerance of the data, or 0.
    pub(super) tolerance: f64,
}

/// What more than the expected value is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing.
    Equal,
    /// What counts is whether something was found: anything but `None` is `True`, unless it is a `bool` already.
    Found,
    /// Only the set of its elements counts.
    SameSet,
    /// A root of the polynomial whose coefficients are the argument; the expected value does not count.
    Root,
    /// Anything that is returned.
    Anything,
    /// Zero.
    OrZero,
    /// The surface of a square pyramid, its second argument taken for the height.
    OrSurface,
    /// The sum of the distances of digits, the shorter number filled with zeros from the left.
    OrDigitDistance,
}

impl Oracle {
    /// Whether `returned` is right where the reference solution returned `expected`.
    pub(super) fn accepts(&self, arguments: &[Value], returned: &Value, expected: &Value) -> bool {
        let is_special = match self.rule {
            Rule::Equal | Rule::Found => false,
            Rule::SameSet => return same_set(returned, expected),
            Rule::Root => return self.is_root(arguments, returned),
            Rule::Anything => true,
            Rule::OrZero => equality::python(returned, &Value::from(0)),
            Rule::OrSurface => surface(arguments)
                .zip(number(returned))
                .is_some_and(|(surface, returned)| (returned - surface).abs() <= self.tolerance),
            Rule::OrDigitDistance => digit_distance(arguments)
                .is_some_and(|distance| equality::python(returned, &Value::from(distance))),
        };
        is_special || equality::python(returned, expected) || self.is_close(returned, expected)
    }

    /// Both of one type, and each number within the tolerance of the expected one.
    fn is_close(&self, returned: &Value, expected: &Value) -> bool {
        let tolerance = match self.tolerance {
            0.0 if is_floats(expected) => FLOATS,
            0.0 => return false,
            tolerance => tolerance,
        };
        returned.type_name() == expected.type_name() && all_close(returned, expected, tolerance)
    }

    fn is_root(&self, arguments: &[Value], returned: &Value) -> bool {
        let [Value::List(coefficients)] = arguments else { return false };
        let Some(x) = number(returned) else { return false };
        let term = |(power, coefficient): (usize, &Value)| {
            Some(number(coefficient)? * x.powf(power as f64))
        };
        let sum: Option<f64> = coefficients.iter().enumerate().map(term).sum();
        sum.is_some_and(|sum| sum.abs() <= self.tolerance)
    }
}

/// Whether it is a float, or a list or tuple of nothing but floats.
fn is_floats(value: &Value) -> bool {
    let is_float = |value: &Value| matches!(value, Value::Float(_));
    match value {
        Value::List(items) | Value::Tuple(items) => !items.is_empty() && items.iter().all(is_float),
        other => is_float(other),
    }
}

/// NumPy's `allclose` on numbers in lists and tuples.
fn all_close(returned: &Value, expected: &Value, tolerance: f64) -> bool {
    match (returned, expected) {
        (
            Value::List(returned) | Value::Tuple(returned),
            Value::List(expected) | Value::Tuple(expected),
        ) => {
            let mut pairs = returned.iter().zip(expected);
            returned.len() == expected.len()
                && pairs.all(|(returned, expected)| all_close(returned, expected, tolerance))
        }
        _ => match (complex(returned), complex(expected)) {
            (Some(left), Some(right)) => {
                let distance = (left.0 - right.0).hypot(left.1 - right.1);
                let scale = right.0.hypot(right.1);
                left == right || (scale.is_finite() && distance <= tolerance + RELATIVE * scale)
            }
            _ => false,
        },
    }
}

fn complex(value: &Value) -> Option<(f64, f64)> {
    match value {
        Value::Complex(re, im) => Some((*re, *im)),
        other => number(other).map(|real| (real, 0.0)),
    }
}

/// A real number, rounded to a float.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Int(value) => value.to_string().parse().ok(),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

/// `set(left) == set(right)`.
fn same_set(left: &Value, right: &Value) -> bool {
    let set = |value: &Value| match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            Value::set(items.clone()).ok()
        }
        Value::Dict(entries) => {
            Value::set(entries.iter().map(|entry| entry.0.clone()).collect()).ok()
        }
        Value::Str(text) => {
            let letters: BTreeSet<char> = text.chars().collect();
            Value::set(letters.into_iter().map(|letter| Value::Str(letter.into())).collect()).ok()
        }
        _ => None,
    };
    matches!((set(left), set(right)), (Some(left), Some(right)) if equality::python(&left, &right))
}

fn surface(arguments: &[Value]) -> Option<f64> {
    let [base, height] = arguments else { return None };
    let (base, height) = (number(base)?, number(height)?);
    let slant = ((base / 2.0).powi(2) + height.powi(2)).sqrt();
    Some((base.powi(2) + 4.0 * (base * slant) / 2.0).round_ties_even())
}

fn digit_distance(arguments: &[Value]) -> Option<i64> {
    let [Value::Int(left), Value::Int(right)] = arguments else { return None };
    // Python counts the sign among the digits and fails.
    let digits = |number: &BigInt| -> Option<Vec<i64>> {
        let digit = |digit: char| digit.to_digit(10).map(i64::from);
        number.to_string().chars().rev().map(digit).collect()
    };
    let (left, right) = (digits(left)?, digits(right)?);
    let at = |digits: &[i64], place: usize| digits.get(place).copied().unwrap_or(0);
    let places = 0..left.len().max(right.len());
    Some(places.map(|place| (at(&left, place) - at(&right, place)).abs()).sum())
}

#[cfg(test)]
mod tests {
    use azr_executor::{parse_arguments, parse_literal};

    use super::*;

    fn accepts(
        rule: Rule,
        tolerance: f64,
        arguments: &str,
        returned: &str,
        expected: &str,
    ) -> bool {
        let arguments = parse_arguments(arguments).unwrap().positional;
        let value = |text| parse_literal(text).unwrap();
        Oracle { rule, tolerance }.accepts(&arguments, &value(returned), &value(expected))
    }

    #[test]
    fn floats_have_a_tolerance_of_their_own_and_nothing_else_has() {
        for (returned, expected, is_right) in [
            ("1", "1.0", true),
            ("0.3", "0.30000000000000004", true),
            ("0.3000009", "0.3", true),
            ("0.30001", "0.3", false),
            ("[0.3, 0.1]", "[0.30000000000000004, 0.1]", true),
            ("[0.3, 'a']", "[0.30000000000000004, 'a']", false),
            ("[0.3]", "[0.30000000000000004, 0.1]", false),
            ("[[0.3]]", "[[0.30000000000000004]]", false),
            ("(0.3,)", "[0.3]", false),
            ("(0.3000001,)", "[0.3]", false),
            ("{'a': 0.3}", "{'a': 0.30000000000000004}", false),
            ("10000000", "10000001", false),
            ("10000000", "10000000.5", false),
            ("10000000.0", "10000000.5", true),
            ("inf", "inf", true),
            ("1e300", "inf", false),
            ("nan", "nan", false),
            ("True", "1", true),
            ("None", "0", false),
        ] {
            assert_eq!(
                accepts(Rule::Equal, 0.0, "", returned, expected),
                is_right,
                "{returned} {expected}"
            );
        }
    }

    #[test]
    fn a_stated_tolerance_holds_for_all_numbers_within() {
        for (returned, expected, is_right) in [
            ("1.00009", "1.0", true),
            ("1.0002", "1.0", false),
            ("[[1.00009], 2]", "[[1.0], 2]", true),
            ("[[1.00009], 2]", "[[1.0], '2']", false),
            ("1.00009j", "1j", true),
            ("1", "1.00001", false),
            ("{'a': 1.00009}", "{'a': 1.0}", false),
        ] {
            assert_eq!(
                accepts(Rule::Equal, 1e-4, "", returned, expected),
                is_right,
                "{returned} {expected}"
            );
        }
    }

    #[test]
    fn special_rules() {
        for (rule, arguments, returned, expected, is_right) in [
            (Rule::Root, "[-6, 11, -6, 1]", "2.00000001", "1.0", true),
            (Rule::Root, "[-6, 11, -6, 1]", "1.1", "1.1", false),
            (Rule::Root, "[-6, 11, -6, 1]", "None", "1.0", false),
            (Rule::SameSet, "", "[2, 1, 1]", "(1, 2)", true),
            (Rule::SameSet, "", "[2, 1, 3]", "(1, 2)", false),
            (Rule::SameSet, "", "'ba'", "['a', 'b']", true),
            (Rule::SameSet, "", "[[1]]", "[[1]]", false),
            (Rule::SameSet, "", "1", "1", false),
            (Rule::Anything, "", "None", "1", true),
            (Rule::OrZero, "", "0", "4", true),
            (Rule::OrZero, "", "1", "4", false),
            (Rule::OrSurface, "3, 4", "35", "33", true),
            (Rule::OrSurface, "3, 4", "33", "33", true),
            (Rule::OrSurface, "3, 4", "34", "33", false),
            (Rule::OrDigitDistance, "123, 9", "9", "8", true),
            (Rule::OrDigitDistance, "123, 9", "8", "8", true),
            (Rule::OrDigitDistance, "123, -9", "9", "8", false),
        ] {
            let found = accepts(rule, 1e-4, arguments, returned, expected);
            assert_eq!(found, is_right, "{rule:?} {returned} {expected}");
        }
    }
}
