//! The ways in which values are compared.
//!
//! [`strict`] asks whether two runs did the same: types, bits and dict order count, NaN is itself.
//!
//! [`agree`] asks whether two interpreters did the same: like `strict`, with a tolerance of 1e-9 between
//! floats, because interpreters round sums differently.
//!
//! [`answer`] asks whether an answer is right: Python's `==` on plain data, with a tolerance of 1e-9 between
//! floats. NaN equals nothing there, as in Python: a task whose gold value holds a NaN has no right
//! answer, so domains refuse such tasks instead of paying for a value that a model can name without
//! computing anything.
//!
//! [`python`] is `answer` without the tolerance: for benchmarks whose rules are Python's own.

use std::collections::BTreeMap;

use crate::value::{Key, Value, exact_integer};

/// Relative distance at which two floats still count as one answer.
pub const RELATIVE_TOLERANCE: f64 = 1e-9;

/// Whether two values are the same to the bit. Reflexive and symmetric.
pub fn strict(left: &Value, right: &Value) -> bool {
    alike(left, right, same_bits)
}

/// Whether two values are the same but for the rounding of floats ([`RELATIVE_TOLERANCE`]). Reflexive and
/// symmetric.
pub fn agree(left: &Value, right: &Value) -> bool {
    alike(left, right, |left, right| same_bits(left, right) || close((left, 0.0), (right, 0.0)))
}

fn alike(left: &Value, right: &Value, same_float: fn(f64, f64) -> bool) -> bool {
    use Value::{Bool, Bytes, Complex, Dict, Float, FrozenSet, Int, List, None, Set, Str, Tuple};
    let same = |left: &Value, right: &Value| alike(left, right, same_float);
    match (left, right) {
        (None, None) => true,
        (Bool(left), Bool(right)) => left == right,
        (Int(left), Int(right)) => left == right,
        (Float(left), Float(right)) => same_float(*left, *right),
        (Complex(left_re, left_im), Complex(right_re, right_im)) => {
            same_float(*left_re, *right_re) && same_float(*left_im, *right_im)
        }
        (Str(left), Str(right)) => left == right,
        (Bytes(left), Bytes(right)) => left == right,
        (List(left), List(right))
        | (Tuple(left), Tuple(right))
        | (Set(left), Set(right))
        | (FrozenSet(left), FrozenSet(right)) => same_items(left, right, same),
        (Dict(left), Dict(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(&left.0, &right.0) && same(&left.1, &right.1))
        }
        _ => false,
    }
}

/// Whether `left` is as good an answer as `right`. Symmetric; reflexive for values without NaN.
///
/// `True == 1 == 1.0`, a list is no tuple, the order of sets and dicts does not count, a `set` equals a
/// `frozenset`. Two floats (or complex numbers) are equal within [`RELATIVE_TOLERANCE`]; an integer equals
/// a float only exactly. Elements of sets and keys of dicts are compared without tolerance, because Python
/// finds them by hash.
pub fn answer(left: &Value, right: &Value) -> bool {
    equal(left, right, close)
}

/// Python's `==` on plain data: [`answer`], but floats are equal only exactly.
pub fn python(left: &Value, right: &Value) -> bool {
    equal(left, right, |left, right| left == right)
}

/// A number as real and imaginary part.
type Number = (f64, f64);

fn equal(left: &Value, right: &Value, close: fn(Number, Number) -> bool) -> bool {
    use Value::{Bytes, Complex, Dict, Float, FrozenSet, List, None, Set, Str, Tuple};
    let same = |left: &Value, right: &Value| equal(left, right, close);
    match (left, right) {
        (None, None) => true,
        (Str(left), Str(right)) => left == right,
        (Bytes(left), Bytes(right)) => left == right,
        (List(left), List(right)) | (Tuple(left), Tuple(right)) => same_items(left, right, same),
        (Set(left) | FrozenSet(left), Set(right) | FrozenSet(right)) => same_elements(left, right),
        (Dict(left), Dict(right)) => same_entries(left, right, same),
        (Complex(left_re, left_im), Complex(right_re, right_im)) => {
            close((*left_re, *left_im), (*right_re, *right_im))
        }
        (Complex(re, im), Float(real)) | (Float(real), Complex(re, im)) => {
            close((*re, *im), (*real, 0.0))
        }
        (Float(left), Float(right)) => close((*left, 0.0), (*right, 0.0)),
        _ => matches!((exact(left), exact(right)), (Some(left), Some(right)) if left == right),
    }
}

fn same_bits(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan())
}

fn same_items(left: &[Value], right: &[Value], same: impl Fn(&Value, &Value) -> bool) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
}

fn same_elements(left: &[Value], right: &[Value]) -> bool {
    let keys = |items: &[Value]| -> Option<std::collections::BTreeSet<Key>> {
        items.iter().map(|item| if holds_nan(item) { None } else { Key::of(item).ok() }).collect()
    };
    matches!((keys(left), keys(right)), (Some(left), Some(right)) if left == right)
}

fn same_entries(
    left: &[(Value, Value)],
    right: &[(Value, Value)],
    same: impl Fn(&Value, &Value) -> bool,
) -> bool {
    let mut by_key = BTreeMap::new();
    for (name, value) in right {
        match Key::of(name) {
            Ok(key) if !holds_nan(name) => by_key.insert(key, value),
            _ => return false,
        };
    }
    left.len() == right.len()
        && left.iter().all(|(name, value)| {
            Key::of(name).is_ok_and(|key| by_key.get(&key).is_some_and(|other| same(value, other)))
        })
}

/// Whether a hashable value holds a NaN.
fn holds_nan(value: &Value) -> bool {
    match value {
        Value::Float(value) => value.is_nan(),
        Value::Complex(re, im) => re.is_nan() || im.is_nan(),
        Value::Tuple(items) | Value::FrozenSet(items) => items.iter().any(holds_nan),
        _ => false,
    }
}

/// The integer that a number equals.
fn exact(value: &Value) -> Option<num_bigint::BigInt> {
    match value {
        Value::Bool(value) => Some(u8::from(*value).into()),
        Value::Int(value) => Some(value.clone()),
        Value::Float(value) => exact_integer(*value),
        Value::Complex(re, im) if *im == 0.0 => exact_integer(*re),
        _ => None,
    }
}

fn close(left: Number, right: Number) -> bool {
    if left == right {
        return true;
    }
    let distance = (left.0 - right.0).hypot(left.1 - right.1);
    let scale = left.0.hypot(left.1).max(right.0.hypot(right.1));
    // An infinite scale would make every finite number close to infinity.
    scale.is_finite() && distance <= RELATIVE_TOLERANCE * scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::literal::parse_literal;

    fn answers(left: &str, right: &str) -> bool {
        let (left, right) = (parse_literal(left).unwrap(), parse_literal(right).unwrap());
        assert_eq!(answer(&left, &right), answer(&right, &left));
        answer(&left, &right)
    }

    #[test]
    fn table_of_equal_answers() {
        for (left, right) in [
            ("1", "1.0"),
            ("True", "1"),
            ("1+0j", "True"),
            ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
            ("'a'", "\"a\""),
            ("-0.0", "0.0"),
            ("0.1", "0.10000000000000002"),
            ("0.30000000000000004", "0.3"),
            ("{1, 2}", "{2.0, True}"),
            ("{1}", "frozenset({1})"),
            ("inf", "inf"),
            ("9007199254740992", "9007199254740992.0"),
            ("[1, (2,)]", "[1.0, (2.0,)]"),
            ("1e-300+1j", "1j"),
        ] {
            assert!(answers(left, right), "{left} {right}");
        }
    }

    #[test]
    fn table_of_unequal_answers() {
        for (left, right) in [
            ("[1, 2]", "(1, 2)"),
            ("nan", "nan"),
            ("[nan]", "[nan]"),
            ("{nan}", "{nan}"),
            ("{nan: 1}", "{nan: 1}"),
            ("complex(0.0, nan)", "complex(0.0, nan)"),
            ("1", "'1'"),
            ("None", "False"),
            ("'a'", "b'a'"),
            ("inf", "1e308"),
            ("inf", "-inf"),
            ("9007199254740993", "9007199254740992.0"),
            ("3", "3.0000000000000004"),
            ("3", "3.0000000000000004+0j"),
            ("{1: 2}", "{1: 2, 3: 4}"),
            ("{'a'}", "['a']"),
            ("0.0", "1e-300"),
            ("1.0", "1.00000001"),
        ] {
            assert!(!answers(left, right), "{left} {right}");
        }
    }

    #[test]
    fn python_forgives_nothing() {
        let same = |left: &str, right: &str| {
            python(&parse_literal(left).unwrap(), &parse_literal(right).unwrap())
        };
        for (left, right) in [
            ("1", "1.0"),
            ("[True, 2+0j]", "[1, 2.0]"),
            ("{'a': 0.5, 'b': {1}}", "{'b': {1.0}, 'a': 0.5}"),
        ] {
            assert!(same(left, right) && same(right, left), "{left} {right}");
        }
        for (left, right) in [
            ("0.1", "0.10000000000000002"),
            ("[{'a': 0.3}]", "[{'a': 0.30000000000000004}]"),
            ("1+2j", "1.0000000000000002+2j"),
            ("nan", "nan"),
            ("[1]", "(1,)"),
        ] {
            assert!(!same(left, right) && !same(right, left), "{left} {right}");
        }
    }

    #[test]
    fn agreement_forgives_rounding_only() {
        let same = |left: &str, right: &str| {
            agree(&parse_literal(left).unwrap(), &parse_literal(right).unwrap())
        };
        for (left, right) in [
            ("0.30000000000000004", "0.3"),
            ("[nan, inf]", "[nan, inf]"),
            ("{'a': (0.1, {2, 1})}", "{'a': (0.10000000000000002, {1, 2})}"),
        ] {
            assert!(same(left, right) && same(right, left), "{left} {right}");
        }
        for (left, right) in [
            ("1", "1.0"),
            ("1", "True"),
            ("nan", "1.0"),
            ("inf", "1e308"),
            ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
            ("{1}", "frozenset({1})"),
            ("1.0", "1.00000001"),
        ] {
            assert!(!same(left, right) && !same(right, left), "{left} {right}");
        }
    }

    #[test]
    fn strict_sees_types_bits_and_dict_order() {
        let same = |left: &str, right: &str| {
            strict(&parse_literal(left).unwrap(), &parse_literal(right).unwrap())
        };
        assert!(same("[nan, -0.0, {2, 1}]", "[-nan, -0.0, {1, 2}]"));
        for (left, right) in [
            ("1", "True"),
            ("1", "1.0"),
            ("0.0", "-0.0"),
            ("{1: 1, 2: 2}", "{2: 2, 1: 1}"),
            ("{1}", "frozenset({1})"),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
    }
}
