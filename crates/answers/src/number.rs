//! Complex numbers that are exact for as long as they are rational, and arithmetic on them with a bound on its work.
//!
//! A part is a big rational, or a [`Real`] once a root, a transcendental function or too many digits come in.
//! An operation is None where it has no value, where the value is too large, and when the budget is spent.

use std::cell::Cell;

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::real::Real;

/// Rationals with more bits than this in numerator and denominator go on as approximations.
const MAX_EXACT_BITS: u64 = 8192;

/// The real or imaginary part of a number.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Exact(BigRational),
    Approximate(Real),
}

/// A complex number.
#[derive(Debug, Clone)]
pub(crate) struct Complex {
    pub(crate) re: Part,
    pub(crate) im: Part,
}

impl Part {
    pub(crate) fn zero() -> Self {
        Self::Exact(BigRational::zero())
    }

    pub(crate) fn is_zero(&self) -> bool {
        matches!(self, Self::Exact(value) if value.is_zero())
    }

    pub(crate) fn exact(&self) -> Option<&BigRational> {
        match self {
            Self::Exact(value) => Some(value),
            Self::Approximate(_) => None,
        }
    }

    /// The sign, None when it cannot be told.
    pub(crate) fn sign(&self) -> Option<Sign> {
        match self {
            Self::Exact(value) => Some(value.numer().sign()),
            Self::Approximate(value) => value.sign(),
        }
    }

    fn negate(&self) -> Self {
        match self {
            Self::Exact(value) => Self::Exact(-value),
            Self::Approximate(value) => Self::Approximate(value.negate()),
        }
    }
}

impl From<BigRational> for Complex {
    fn from(value: BigRational) -> Self {
        Self { re: Part::Exact(value), im: Part::zero() }
    }
}

impl From<Part> for Complex {
    fn from(re: Part) -> Self {
        Self { re, im: Part::zero() }
    }
}

impl Complex {
    pub(crate) fn integer(value: i64) -> Self {
        BigRational::from_integer(value.into()).into()
    }

    pub(crate) fn i() -> Self {
        Self { re: Part::zero(), im: Part::Exact(BigRational::one()) }
    }

    /// The real part of a number without an imaginary one.
    pub(crate) fn real(&self) -> Option<&Part> {
        self.im.is_zero().then_some(&self.re)
    }

    /// The value of a real rational.
    pub(crate) fn rational(&self) -> Option<&BigRational> {
        self.real()?.exact()
    }

    pub(crate) fn integer_value(&self) -> Option<BigInt> {
        self.rational().filter(|value| value.is_integer()).map(|value| value.numer().clone())
    }

    pub(crate) fn negate(&self) -> Self {
        Self { re: self.re.negate(), im: self.im.negate() }
    }
}

/// Arithmetic with `bits` binary places after the point and a budget of work.
#[derive(Debug)]
pub(crate) struct Arithmetic<'a> {
    pub(crate) bits: u32,
    /// Work that is left, a few microseconds each.
    pub(crate) budget: &'a Cell<u64>,
}

impl Arithmetic<'_> {
    /// Takes `cost` from the budget.
    pub(crate) fn spend(&self, cost: u64) -> Option<()> {
        let left = self.budget.get().checked_sub(cost);
        self.budget.set(left.unwrap_or(0));
        left.map(drop)
    }

    fn spend_function(&self) -> Option<()> {
        self.spend(4 + u64::from(self.bits).pow(2) / 8192)
    }

    pub(crate) fn approximate(&self, part: &Part) -> Option<Real> {
        match part {
            Part::Exact(value) => Real::from_ratio(value, self.bits),
            Part::Approximate(value) => Some(value.clone()),
        }
    }

    /// A rational, approximated when it has become too long.
    pub(crate) fn exact(&self, value: BigRational) -> Option<Part> {
        let bits = value.numer().bits().max(value.denom().bits());
        // The greatest common divisor has taken time that grows with the square of the length.
        self.spend(1 + bits * bits / 32_768)?;
        if bits <= MAX_EXACT_BITS {
            Some(Part::Exact(value))
        } else {
            Some(Part::Approximate(Real::from_ratio(&value, self.bits)?))
        }
    }

    pub(crate) fn add_parts(&self, a: &Part, b: &Part) -> Option<Part> {
        match (a, b) {
            (Part::Exact(a), Part::Exact(b)) => self.exact(a + b),
            (a, b) if a.is_zero() => Some(b.clone()),
            (a, b) if b.is_zero() => Some(a.clone()),
            (a, b) => {
                self.spend(1)?;
                Some(Part::Approximate(self.approximate(a)?.add(&self.approximate(b)?)?))
            }
        }
    }

    pub(crate) fn subtract_parts(&self, a: &Part, b: &Part) -> Option<Part> {
        self.add_parts(a, &b.negate())
    }

    pub(crate) fn multiply_parts(&self, a: &Part, b: &Part) -> Option<Part> {
        match (a, b) {
            (Part::Exact(a), Part::Exact(b)) => self.exact(a * b),
            (a, b) if a.is_zero() || b.is_zero() => Some(Part::zero()),
            (a, b) => {
                self.spend(1 + u64::from(self.bits) / 256)?;
                Some(Part::Approximate(self.approximate(a)?.multiply(&self.approximate(b)?)?))
            }
        }
    }

    /// Applies a function of approximations.
    fn apply(&self, part: &Part, function: impl FnOnce(&Real) -> Option<Real>) -> Option<Part> {
        self.spend_function()?;
        Some(Part::Approximate(function(&self.approximate(part)?)?))
    }

    pub(crate) fn add(&self, a: &Complex, b: &Complex) -> Option<Complex> {
        Some(Complex { re: self.add_parts(&a.re, &b.re)?, im: self.add_parts(&a.im, &b.im)? })
    }

    pub(crate) fn subtract(&self, a: &Complex, b: &Complex) -> Option<Complex> {
        self.add(a, &b.negate())
    }

    pub(crate) fn multiply(&self, a: &Complex, b: &Complex) -> Option<Complex> {
        let product = |x: &Part, y: &Part| self.multiply_parts(x, y);
        Some(Complex {
            re: self.subtract_parts(&product(&a.re, &b.re)?, &product(&a.im, &b.im)?)?,
            im: self.add_parts(&product(&a.re, &b.im)?, &product(&a.im, &b.re)?)?,
        })
    }

    /// `1 / a`, None where `a` may be zero.
    pub(crate) fn reciprocal(&self, a: &Complex) -> Option<Complex> {
        let norm = self.norm(a)?;
        let inverse = match &norm {
            Part::Exact(value) if value.is_zero() => return None,
            Part::Exact(value) => Part::Exact(value.recip()),
            Part::Approximate(value) => {
                self.spend_function()?;
                Part::Approximate(value.reciprocal()?)
            }
        };
        Some(Complex {
            re: self.multiply_parts(&a.re, &inverse)?,
            im: self.multiply_parts(&a.im.negate(), &inverse)?,
        })
    }

    /// `re² + im²`
    pub(crate) fn norm(&self, a: &Complex) -> Option<Part> {
        self.add_parts(&self.multiply_parts(&a.re, &a.re)?, &self.multiply_parts(&a.im, &a.im)?)
    }

    pub(crate) fn abs(&self, a: &Complex) -> Option<Complex> {
        match a.real() {
            Some(Part::Exact(value)) => Some(value.abs().into()),
            _ => self.sqrt_part(&self.norm(a)?).map(Complex::from),
        }
    }

    /// The root of a part that is not negative; exact for squares of rationals.
    pub(crate) fn sqrt_part(&self, part: &Part) -> Option<Part> {
        match part.exact().and_then(|value| exact_root(value, 2)) {
            Some(root) => Some(Part::Exact(root)),
            None => self.apply(part, Real::sqrt),
        }
    }

    pub(crate) fn ln_part(&self, part: &Part) -> Option<Part> {
        if part.exact().is_some_and(One::is_one) {
            return Some(Part::zero());
        }
        self.apply(part, Real::ln)
    }

    /// `e^a`
    pub(crate) fn exp(&self, a: &Complex) -> Option<Complex> {
        if a.re.is_zero() && a.im.is_zero() {
            return Some(Complex::integer(1));
        }
        let size = self.apply(&a.re, Real::exp)?;
        if a.im.is_zero() {
            return Some(size.into());
        }
        let (sine, cosine) = self.sin_cos(&a.im)?;
        Some(Complex {
            re: self.multiply_parts(&size, &cosine)?,
            im: self.multiply_parts(&size, &sine)?,
        })
    }

    pub(crate) fn sin_cos(&self, angle: &Part) -> Option<(Part, Part)> {
        self.spend_function()?;
        let (sine, cosine) = self.approximate(angle)?.sin_cos()?;
        Some((Part::Approximate(sine), Part::Approximate(cosine)))
    }

    pub(crate) fn pi(&self) -> Option<Part> {
        self.spend_function()?;
        Some(Part::Approximate(Real::pi(self.bits)))
    }

    pub(crate) fn e(&self) -> Option<Part> {
        self.spend_function()?;
        Some(Part::Approximate(Real::e(self.bits)?))
    }

    /// The principal logarithm of a number that is not zero.
    pub(crate) fn ln(&self, a: &Complex) -> Option<Complex> {
        let two = BigRational::from_integer(2.into());
        let re = match a.real() {
            Some(part) if part.sign()? == Sign::Plus => self.ln_part(part)?,
            _ => {
                let half = Part::Exact(two.recip());
                self.multiply_parts(&self.ln_part(&self.norm(a)?)?, &half)?
            }
        };
        Some(Complex { re, im: self.angle(&a.im, &a.re)? })
    }

    /// `atan2(y, x)`, in (-π, π].
    pub(crate) fn angle(&self, y: &Part, x: &Part) -> Option<Part> {
        let half_turn = self.pi()?;
        let quarter = |sign: i64| {
            let half = BigRational::new(sign.into(), 2.into());
            self.multiply_parts(&half_turn, &Part::Exact(half))
        };
        match (x.sign()?, y.sign()) {
            (Sign::NoSign, Some(Sign::NoSign)) => None,
            (Sign::NoSign, sign) => quarter(if sign? == Sign::Minus { -1 } else { 1 }),
            (Sign::Plus, Some(Sign::NoSign)) => Some(Part::zero()),
            (Sign::Minus, Some(Sign::NoSign)) => Some(half_turn),
            (sign, y_sign) => {
                let inverse = self.reciprocal(&x.clone().into())?;
                let ratio = self.multiply_parts(y, &inverse.re)?;
                let angle = self.apply(&ratio, |ratio| Some(ratio.atan()))?;
                match (sign, y_sign) {
                    (Sign::Plus, _) => Some(angle),
                    (_, y_sign) if y_sign? == Sign::Minus => {
                        self.subtract_parts(&angle, &half_turn)
                    }
                    _ => self.add_parts(&angle, &half_turn),
                }
            }
        }
    }

    /// `a^n` by repeated squaring, for `|n| ≤ 2^20`.
    pub(crate) fn power_integer(&self, a: &Complex, n: &BigInt) -> Option<Complex> {
        let mut left = n.abs().to_u32().filter(|n| *n <= 1 << 20)?;
        let mut base = if n.is_negative() { self.reciprocal(a)? } else { a.clone() };
        if let Some(value) = base.rational() {
            // A power of a fraction in lowest terms is one as well.
            let bits = value.numer().bits().max(value.denom().bits());
            if bits * u64::from(left) <= MAX_EXACT_BITS {
                self.spend(1 + bits * u64::from(left) / 64)?;
                let power = |value: &BigInt| value.pow(left);
                return Some(
                    BigRational::new_raw(power(value.numer()), power(value.denom())).into(),
                );
            }
            if bits > 1 {
                base = Part::Approximate(Real::from_ratio(value, self.bits)?).into();
            }
        }
        let mut result = Complex::integer(1);
        loop {
            if left & 1 == 1 {
                result = self.multiply(&result, &base)?;
            }
            left >>= 1;
            if left == 0 {
                return Some(result);
            }
            base = self.multiply(&base, &base)?;
        }
    }
}

/// The rational whose `n`th power this is, if there is one; `n` is odd or the value not negative.
pub(crate) fn exact_root(value: &BigRational, n: u32) -> Option<BigRational> {
    if value.is_negative() && n.is_multiple_of(2) {
        return None;
    }
    let root = |value: &BigInt| Some(value.nth_root(n)).filter(|root| root.pow(n) == *value);
    Some(BigRational::new_raw(root(value.numer())?, root(value.denom())?))
}
