//! Exact rational numbers in lowest terms.
//!
//! Like those of `num-rational`, but a comparison multiplies instead of recursing into continued fractions, so that
//! it needs no stack, and integers, which most numbers are, are never reduced.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::BigInt;
use num_integer::Integer as _;
use num_traits::{One as _, Signed as _, Zero as _};

/// A rational number: the denominator is positive and has no factor in common with the numerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rational {
    numerator: BigInt,
    denominator: BigInt,
}

impl Rational {
    /// `numerator / denominator` in lowest terms; `None` for a denominator of 0.
    pub(crate) fn new(numerator: BigInt, denominator: BigInt) -> Option<Self> {
        if denominator.is_zero() {
            return None;
        }
        if denominator.is_one() {
            return Some(numerator.into());
        }
        let divisor = match denominator.is_negative() {
            true => -numerator.gcd(&denominator),
            false => numerator.gcd(&denominator),
        };
        Some(Self { numerator: numerator / &divisor, denominator: denominator / divisor })
    }

    pub(crate) fn numerator(&self) -> &BigInt {
        &self.numerator
    }

    pub(crate) fn denominator(&self) -> &BigInt {
        &self.denominator
    }

    /// The number, if it is an integer.
    pub(crate) fn integer(&self) -> Option<&BigInt> {
        self.denominator.is_one().then_some(&self.numerator)
    }

    /// Bits of the longer of numerator and denominator.
    pub(crate) fn bits(&self) -> u64 {
        self.numerator.bits().max(self.denominator.bits())
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => (a + b).into(),
            _ => reduced(
                &self.numerator * &other.denominator + &other.numerator * &self.denominator,
                &self.denominator * &other.denominator,
            ),
        }
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        self.add(&other.negate())
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => (a * b).into(),
            _ => {
                reduced(&self.numerator * &other.numerator, &self.denominator * &other.denominator)
            }
        }
    }

    /// `None` for a divisor of 0.
    pub(crate) fn divide(&self, other: &Self) -> Option<Self> {
        Self::new(&self.numerator * &other.denominator, &self.denominator * &other.numerator)
    }

    /// The largest integer that is not above the quotient; `None` for a divisor of 0.
    pub(crate) fn floor_divide(&self, other: &Self) -> Option<BigInt> {
        let (numerator, denominator) =
            (&self.numerator * &other.denominator, &self.denominator * &other.numerator);
        (!denominator.is_zero()).then(|| numerator.div_floor(&denominator))
    }

    /// What is left of a floor division: 0, or of the divisor's sign. `None` for a divisor of 0.
    pub(crate) fn modulo(&self, other: &Self) -> Option<Self> {
        let quotient = self.floor_divide(other)?;
        Some(self.subtract(&other.multiply(&quotient.into())))
    }

    /// `None` for 0 to a negative power. 0 to the power of 0 is 1.
    pub(crate) fn power(&self, exponent: i32) -> Option<Self> {
        let magnitude = exponent.unsigned_abs();
        let (numerator, denominator) =
            (self.numerator.pow(magnitude), self.denominator.pow(magnitude));
        if exponent < 0 {
            Self::new(denominator, numerator)
        } else {
            Some(Self { numerator, denominator })
        }
    }

    pub(crate) fn negate(&self) -> Self {
        Self { numerator: -&self.numerator, denominator: self.denominator.clone() }
    }

    pub(crate) fn abs(&self) -> Self {
        Self { numerator: self.numerator.abs(), denominator: self.denominator.clone() }
    }

    pub(crate) fn floor(&self) -> BigInt {
        self.numerator.div_floor(&self.denominator)
    }

    pub(crate) fn ceil(&self) -> BigInt {
        self.numerator.div_ceil(&self.denominator)
    }
}

/// In lowest terms, of a product of denominators.
fn reduced(numerator: BigInt, denominator: BigInt) -> Rational {
    let divisor = numerator.gcd(&denominator);
    Rational { numerator: numerator / &divisor, denominator: denominator / divisor }
}

impl From<BigInt> for Rational {
    fn from(numerator: BigInt) -> Self {
        Self { numerator, denominator: BigInt::one() }
    }
}

impl Ord for Rational {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => {
                (&self.numerator * &other.denominator).cmp(&(&other.numerator * &self.denominator))
            }
        }
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `7` or `-3/4`.
impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.integer() {
            Some(integer) => write!(f, "{integer}"),
            None => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}
