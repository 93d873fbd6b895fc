//! Plain Python data as the host's own type.
//!
//! The canonical text of a value is a Python literal in one fixed spelling: ASCII only, single quotes
//! unless the text holds one, shortest round-trip floats, set elements sorted, dict entries in insertion
//! order, and three calls that are no Python literals: `set()`, `frozenset({…})` and `complex(re, im)`.
//! Floats keep every bit but the payload and sign of NaN, which no Python operator shows.

use std::collections::BTreeMap;

pub use num_bigint::BigInt;

use crate::literal::{LiteralError, parse_canonical_literal};

mod key;
mod repr;

pub(crate) use key::{Key, exact_integer};
pub(crate) use repr::{Spelling, write_value};

/// Longest text of a literal in bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// Longest canonical text: every value of a text of [`MAX_BYTES`] stays below it, since characters grow at most
/// fourfold (`\x01`) and numbers by fewer than 64 bytes.
pub const MAX_CANONICAL_BYTES: usize = 4 * MAX_BYTES + 64 * MAX_NODES;
/// Most values inside one value, itself included.
pub const MAX_NODES: usize = 20_000;
/// Deepest nesting of containers.
pub const MAX_DEPTH: usize = 100;
/// Most decimal digits of an integer; the limit of Python's own conversion.
pub const MAX_DIGITS: usize = 4_300;

/// A value of an exact built-in Python type.
///
/// There is no `PartialEq`: choose [`strict`](crate::equality::strict) or [`answer`](crate::equality::answer).
/// Sets and dicts that were built by [`Value::set`], [`Value::frozen_set`] and [`Value::dict`] obey Python's
/// rules for equal elements.
#[derive(Debug, Clone)]
pub enum Value {
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `int` of any size up to [`MAX_DIGITS`].
    Int(BigInt),
    /// `float`.
    Float(f64),
    /// `complex`: real and imaginary part.
    Complex(f64, f64),
    /// `str` without lone surrogates.
    Str(String),
    /// `bytes`.
    Bytes(Vec<u8>),
    /// `list`.
    List(Vec<Value>),
    /// `tuple`.
    Tuple(Vec<Value>),
    /// `dict` in insertion order.
    Dict(Vec<(Value, Value)>),
    /// `set`, sorted.
    Set(Vec<Value>),
    /// `frozenset`, sorted.
    FrozenSet(Vec<Value>),
}

/// A value of a type that Python cannot hash stood where a set element or a dict key belongs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unhashable type: '{0}'")]
pub struct Unhashable(pub &'static str);

/// Why a text is not the canonical text of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is not even a literal.
    #[error("canonical text: {0}")]
    Literal(#[from] LiteralError),
    /// It is a literal, but another spelling of that value is the canonical one.
    #[error("canonical text: the value is spelled in another way")]
    NotCanonical,
}

impl Value {
    /// A set. Of equal elements the first stays, as in Python.
    ///
    /// # Errors
    /// When an element is a list, dict or set, also inside a tuple.
    pub fn set(elements: Vec<Value>) -> Result<Self, Unhashable> {
        Ok(Self::Set(sorted_elements(elements)?))
    }

    /// A frozenset; see [`Value::set`].
    ///
    /// # Errors
    /// When an element is a list, dict or set, also inside a tuple.
    pub fn frozen_set(elements: Vec<Value>) -> Result<Self, Unhashable> {
        Ok(Self::FrozenSet(sorted_elements(elements)?))
    }

    /// A dict. Of equal keys the first key and the last value stay, as in Python.
    ///
    /// # Errors
    /// When a key is a list, dict or set, also inside a tuple.
    pub fn dict(entries: Vec<(Value, Value)>) -> Result<Self, Unhashable> {
        let mut positions: BTreeMap<Key, usize> = BTreeMap::new();
        let mut unique: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            match positions.entry(Key::of(&name)?) {
                std::collections::btree_map::Entry::Occupied(position) => {
                    if let Some(entry) = unique.get_mut(*position.get()) {
                        entry.1 = value;
                    }
                }
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(unique.len());
                    unique.push((name, value));
                }
            }
        }
        Ok(Self::Dict(unique))
    }

    /// The name of its Python type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Complex(..) => "complex",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Set(_) => "set",
            Self::FrozenSet(_) => "frozenset",
        }
    }

    /// The one text that stands for this value and no other.
    pub fn to_canonical(&self) -> String {
        let mut text = String::new();
        write_value(&mut text, self, Spelling::Canonical);
        text
    }

    /// The value of a canonical text. Total and bounded by [`MAX_CANONICAL_BYTES`], [`MAX_NODES`] and [`MAX_DEPTH`].
    ///
    /// # Errors
    /// When the text is not what [`Value::to_canonical`] writes.
    pub fn from_canonical(text: &str) -> Result<Self, ValueError> {
        let value = parse_canonical_literal(text)?;
        if value.to_canonical() == text { Ok(value) } else { Err(ValueError::NotCanonical) }
    }

    /// What Python's `repr` shows, but that sets are sorted.
    pub fn repr(&self) -> String {
        let mut text = String::new();
        write_value(&mut text, self, Spelling::Repr);
        text
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

fn sorted_elements(elements: Vec<Value>) -> Result<Vec<Value>, Unhashable> {
    let mut sorted: BTreeMap<Key, Value> = BTreeMap::new();
    for element in elements {
        sorted.entry(Key::of(&element)?).or_insert(element);
    }
    Ok(sorted.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_merge_as_in_python() {
        let one = || Value::from(1);
        let set =
            Value::set(vec![Value::Bool(true), one(), Value::Float(1.0), Value::Complex(1.0, 0.0)])
                .unwrap();
        assert_eq!(set.repr(), "{True}");
        let dict = Value::dict(vec![
            (one(), "a".into()),
            (Value::Float(1.5), "b".into()),
            (Value::Bool(true), "c".into()),
        ]);
        assert_eq!(dict.unwrap().repr(), "{1: 'c', 1.5: 'b'}");
        let tuples =
            Value::set(vec![Value::Tuple(vec![one()]), Value::Tuple(vec![Value::Float(1.0)])])
                .unwrap();
        assert_eq!(tuples.repr(), "{(1,)}");
    }

    #[test]
    fn unhashable_elements_are_named() {
        assert_eq!(Value::set(vec![Value::List(vec![])]).unwrap_err(), Unhashable("list"));
        let nested = Value::Tuple(vec![Value::Set(vec![])]);
        assert_eq!(Value::dict(vec![(nested, Value::None)]).unwrap_err(), Unhashable("set"));
    }

    #[test]
    fn canonical_texts_are_fixed() {
        for text in [
            "None",
            "True",
            "-12",
            "1.0",
            "-0.0",
            "1e+16",
            "1e-05",
            "5e-324",
            "inf",
            "-inf",
            "nan",
            "complex(-0.0, inf)",
            "'a\\xe9\\u4e2d\\U0001f600\\n\\\\'",
            "\"it's\"",
            "b'\\x00\\xff'",
            "[1, (2,), ()]",
            "{'b': 1, 'a': {1, 2}}",
            "set()",
            "frozenset()",
            "frozenset({1, 2.5, 'x'})",
        ] {
            assert_eq!(
                Value::from_canonical(text).map(|value| value.to_canonical()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "{2, 1}",
            "{1, 1}",
            "1_0",
            "\"a\"",
            "'é'",
            "(1)",
            "[1,2]",
            "1+2j",
            " 1",
            "{1: 2, 1: 3}",
            "1e16",
            "-nan",
            "0x1",
        ] {
            assert_eq!(
                Value::from_canonical(text).unwrap_err(),
                ValueError::NotCanonical,
                "{text}"
            );
        }
        assert!(matches!(
            Value::from_canonical("{[]}"),
            Err(ValueError::Literal(LiteralError::Unhashable(_)))
        ));
    }
}
