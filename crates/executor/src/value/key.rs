//! The order of hashable values: equal exactly where Python's `==` and `hash` agree.

use num_bigint::BigInt;

use super::{Unhashable, Value};

/// What a value is as a set element or dict key. `1`, `True`, `1.0` and `1+0j` have one key;
/// all NaNs have one key too, which Python grants only to one and the same object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    None,
    Int(BigInt),
    /// A float that is no integer, in IEEE 754 total order.
    Float(i64),
    Complex(i64, i64),
    Str(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Key>),
    FrozenSet(Vec<Key>),
}

impl Key {
    pub(crate) fn of(value: &Value) -> Result<Self, Unhashable> {
        Ok(match value {
            Value::None => Self::None,
            Value::Bool(value) => Self::Int(u8::from(*value).into()),
            Value::Int(value) => Self::Int(value.clone()),
            Value::Float(value) => Self::real(*value),
            Value::Complex(re, im) if *im == 0.0 => Self::real(*re),
            Value::Complex(re, im) => Self::Complex(total_order(*re), total_order(*im)),
            Value::Str(text) => Self::Str(text.clone()),
            Value::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Value::Tuple(items) => {
                Self::Tuple(items.iter().map(Self::of).collect::<Result<_, _>>()?)
            }
            Value::FrozenSet(items) => {
                let mut keys = items.iter().map(Self::of).collect::<Result<Vec<_>, _>>()?;
                keys.sort();
                Self::FrozenSet(keys)
            }
            Value::List(_) | Value::Dict(_) | Value::Set(_) => {
                return Err(Unhashable(value.type_name()));
            }
        })
    }

    fn real(value: f64) -> Self {
        exact_integer(value).map_or_else(|| Self::Float(total_order(value)), Self::Int)
    }
}

/// The integer that a float equals, if it equals one.
pub(crate) fn exact_integer(value: f64) -> Option<BigInt> {
    if !value.is_finite() || value.fract() != 0.0 {
        return None;
    }
    let bits = value.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let mantissa = if exponent == 0 {
        (bits & ((1 << 52) - 1)) << 1
    } else {
        (bits & ((1 << 52) - 1)) | (1 << 52)
    };
    let shift = exponent - 1075;
    let magnitude =
        if shift >= 0 { BigInt::from(mantissa) << shift } else { BigInt::from(mantissa) >> -shift };
    Some(if value < 0.0 { -magnitude } else { magnitude })
}

/// Maps floats to integers that compare as the floats do; the two zeros are one, and so are all NaNs.
fn total_order(value: f64) -> i64 {
    let value = if value == 0.0 { 0.0 } else { value };
    let value = if value.is_nan() { f64::NAN } else { value };
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_become_exact_integers() {
        assert_eq!(exact_integer(-3.0), Some((-3).into()));
        assert_eq!(exact_integer(-0.0), Some(0.into()));
        assert_eq!(exact_integer(1e300).map(|value| value.bits()), Some(997));
        assert_eq!(exact_integer(9_007_199_254_740_993.0), Some(9_007_199_254_740_992_i64.into()));
        assert_eq!(exact_integer(0.5), None);
        assert_eq!(exact_integer(5e-324), None);
        assert_eq!(exact_integer(f64::INFINITY), None);
    }

    #[test]
    fn order_of_floats_is_numeric() {
        let floats = [f64::NEG_INFINITY, -1.5, -5e-324, 0.0, 5e-324, 1.5, f64::INFINITY];
        assert!(floats.windows(2).all(|pair| total_order(pair[0]) < total_order(pair[1])));
        assert_eq!(total_order(-0.0), total_order(0.0));
        assert_eq!(total_order(-f64::NAN), total_order(f64::NAN));
    }
}
