//! Literal numbers.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Num, One, Zero};

use crate::node::{Decimal, Node};

/// The largest exponent of ten in a literal.
const MAX_EXPONENT: u32 = 2000;

/// The value of a number token: `12`, `1.50`, `0.1(6)`, `3e-8`.
pub(super) fn number(text: &str) -> Option<Node> {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (plain, repeated) = mantissa.split_once('(').unwrap_or((mantissa, ""));
    let repeated = repeated.trim_end_matches(')');
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = format!("{whole}{fraction}");
    let places = u32::try_from(fraction.len()).ok()?;
    let last = power_of_ten(exponent - i64::from(places))?;
    let mut value = BigRational::from_integer(integer(&digits)?) * &last;
    if !repeated.is_empty() {
        let nines = BigInt::from(10).pow(u32::try_from(repeated.len()).ok()?) - 1;
        value += BigRational::new(integer(repeated)?, nines) * last;
        return Some(Node::Number(Decimal { value, precision: None }));
    }
    let significant = digits.trim_start_matches('0').len();
    let approximate = mantissa.contains('.') || text.contains('e');
    let precision = approximate.then_some((last, significant));
    Some(Node::Number(Decimal { value, precision }))
}

fn integer(digits: &str) -> Option<BigInt> {
    if digits.is_empty() { Some(BigInt::zero()) } else { digits.parse().ok() }
}

/// `10^exponent`
pub(crate) fn power_of_ten(exponent: i64) -> Option<BigRational> {
    let size = u32::try_from(exponent.unsigned_abs()).ok().filter(|size| *size <= MAX_EXPONENT)?;
    let power = BigInt::from(10).pow(size);
    Some(if exponent < 0 {
        BigRational::new(BigInt::one(), power)
    } else {
        BigRational::from_integer(power)
    })
}

/// The value of digits in a base of 2 to 36: `204_5` is 54.
pub(super) fn in_base(digits: &str, base: &str) -> Option<Node> {
    let base: u32 = base.parse().ok().filter(|base| (2..=36).contains(base))?;
    Some(Node::integer(BigInt::from_str_radix(digits, base).ok()?))
}
