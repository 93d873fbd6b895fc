//! Real numbers in fixed point with a bound on their error, and the elementary functions on them.
//!
//! A number is `units * 2^-bits`, known to within `error * 2^-bits`. Every operation rounds its bound up, so that two
//! numbers whose ranges do not meet are certainly different.

use std::sync::LazyLock;

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

/// The most bits after the point: with what functions add, this is within what is kept of π and ln 2.
pub(crate) const MAX_PLACES: u32 = 3072;

/// The most bits before the point: `2^16000` is a number, what is beyond is not computed with.
pub(crate) const MAX_WHOLE_BITS: u64 = 16_000;

/// Bits that intermediate results of a function have more than its result.
const GUARD: u32 = 64;

/// A real number between `units - error` and `units + error`, in units of `2^-bits`.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    units: BigInt,
    error: BigInt,
    bits: u32,
}

impl Real {
    pub(crate) fn from_ratio(value: &BigRational, bits: u32) -> Option<Self> {
        let (units, rest) = (value.numer() << bits).div_mod_floor(value.denom());
        Self { units, error: BigInt::from(u8::from(!rest.is_zero())), bits }.bounded()
    }

    fn zero(bits: u32) -> Self {
        Self { units: BigInt::zero(), error: BigInt::zero(), bits }
    }

    /// None when the number is too large to go on with.
    fn bounded(self) -> Option<Self> {
        (self.units.bits() <= MAX_WHOLE_BITS + u64::from(self.bits)).then_some(self)
    }

    /// The sign, `NoSign` for a number that is exactly zero, None when the error hides it.
    pub(crate) fn sign(&self) -> Option<Sign> {
        (*self.units.magnitude() > *self.error.magnitude() || self.error.is_zero())
            .then(|| self.units.sign())
    }

    /// Whether `|self| < 2^exponent` for sure.
    pub(crate) fn is_below(&self, exponent: i64) -> bool {
        let limit = i64::from(self.bits) + exponent;
        let most = self.units.abs() + &self.error;
        i64::try_from(most.bits()).is_ok_and(|bits| bits <= limit)
    }

    /// Whether the error is at most `2^exponent`.
    pub(crate) fn is_within(&self, exponent: i64) -> bool {
        i64::try_from(self.error.bits()).is_ok_and(|bits| bits <= i64::from(self.bits) + exponent)
    }

    /// The greatest integer not above, None when the error hides it. A number within its error of an integer is
    /// taken for it: `\lfloor \sqrt{2} \sqrt{2} \rfloor` is 2.
    pub(crate) fn floor(&self) -> Option<BigInt> {
        let low = (&self.units - &self.error) >> self.bits;
        let high: BigInt = (&self.units + &self.error) >> self.bits;
        (low == high || self.is_within(-100)).then_some(high)
    }

    /// The nearest integer.
    pub(crate) fn round(&self) -> BigInt {
        ((&self.units >> (self.bits - 1)) + 1) >> 1
    }

    pub(crate) fn add(&self, other: &Self) -> Option<Self> {
        let units = &self.units + &other.units;
        Self { units, error: &self.error + &other.error, bits: self.bits }.bounded()
    }

    pub(crate) fn negate(&self) -> Self {
        Self { units: -&self.units, ..self.clone() }
    }

    pub(crate) fn multiply(&self, other: &Self) -> Option<Self> {
        let units = (&self.units * &other.units) >> self.bits;
        let error = self.units.abs() * &other.error
            + other.units.abs() * &self.error
            + &self.error * &other.error;
        Self { units, error: (error >> self.bits) + 2, bits: self.bits }.bounded()
    }

    /// `1 / self`, None where that may be a division by zero.
    pub(crate) fn reciprocal(&self) -> Option<Self> {
        let least = self.units.abs() - &self.error;
        if !least.is_positive() {
            return None;
        }
        let one = BigInt::one() << (2 * self.bits);
        let error = (&self.error * &one).div_floor(&(self.units.abs() * least)) + 2;
        Self { units: one.div_floor(&self.units), error, bits: self.bits }.bounded()
    }

    /// The square root, None for what is negative for sure.
    pub(crate) fn sqrt(&self) -> Option<Self> {
        if (&self.units + &self.error).is_negative() {
            return None;
        }
        let root = (self.units.clone().max(BigInt::zero()) << self.bits).sqrt();
        let shifted: BigInt = &self.error << self.bits;
        // |√x - √a| is at most |x - a| / √a and at most √|x - a|.
        let by_root = shifted.sqrt() + 2;
        let error = if root.is_positive() {
            let by_slope: BigInt = shifted / &root + 2;
            by_slope.min(by_root)
        } else {
            by_root
        };
        Some(Self { units: root, error, bits: self.bits })
    }

    /// `e^self`: reduced by multiples of ln 2 and eight halvings, then the series.
    pub(crate) fn exp(&self) -> Option<Self> {
        if !self.is_below(14) || !self.is_within(-2) {
            return None;
        }
        let work = self.bits + GUARD;
        let (doublings, rest) = (&self.units << GUARD).div_mod_floor(&ln_2(work));
        let doublings = doublings.to_i64()?;
        let rest = rest >> 8;
        let mut term = BigInt::one() << work;
        let mut sum = term.clone();
        for n in 1_u32.. {
            term = ((term * &rest) >> work) / n;
            if term.is_zero() {
                break;
            }
            sum += &term;
        }
        for _ in 0..8 {
            sum = (&sum * &sum) >> work;
        }
        let shift = i64::from(GUARD) - doublings;
        let units: BigInt = if shift >= 0 { sum >> shift } else { sum << -shift };
        let error =
            ((&units * &self.error) >> self.bits) * 2 + (&units >> (self.bits + GUARD / 2)) + 4;
        Self { units, error, bits: self.bits }.bounded()
    }

    /// The natural logarithm of a number that is positive for sure.
    pub(crate) fn ln(&self) -> Option<Self> {
        if self.sign()? != Sign::Plus {
            return None;
        }
        let work = self.bits + GUARD;
        let length = self.units.bits();
        let mut mantissa = (&self.units << work) >> length;
        let mut doublings = i64::try_from(length).ok()? - i64::from(self.bits);
        let one = BigInt::one() << work;
        if &mantissa * 10 < &one * 7 {
            mantissa *= 2;
            doublings -= 1;
        }
        // ln m = 2 artanh((m - 1) / (m + 1)), |ratio| < 0.18.
        let ratio = ((&mantissa - &one) << work) / (&mantissa + &one);
        let mantissa = odd_series(&ratio, work, false) * 2;
        let units = (mantissa + ln_2(work) * doublings) >> GUARD;
        let error = (&self.error << self.bits) / (&self.units - &self.error) + 4;
        Some(Self { units, error, bits: self.bits })
    }

    /// Sine and cosine of an angle in radians.
    pub(crate) fn sin_cos(&self) -> Option<(Self, Self)> {
        if !self.is_below(256) || !self.is_within(0) {
            return None;
        }
        let whole = u32::try_from(self.units.bits()).ok()?.saturating_sub(self.bits);
        let guard = GUARD + whole;
        let work = self.bits + guard;
        let quarter: BigInt = pi_units(work) >> 1;
        let angle = &self.units << guard;
        let doubled: BigInt = &angle * 2 + &quarter;
        let turns = doubled.div_floor(&(&quarter * 2));
        let rest = angle - &turns * &quarter;
        let square = (&rest * &rest) >> work;
        let series = |mut term: BigInt, first: u32| {
            let mut sum = term.clone();
            for n in (first..).step_by(2) {
                term = -((term * &square) >> work) / (n * (n + 1));
                if term.is_zero() || term == BigInt::from(-1) {
                    break;
                }
                sum += &term;
            }
            let units = sum >> guard;
            Self { units, error: &self.error + 4, bits: self.bits }
        };
        let (sine, cosine) = (series(rest.clone(), 2), series(BigInt::one() << work, 1));
        Some(match turns.mod_floor(&BigInt::from(4)).to_u8()? {
            0 => (sine, cosine),
            1 => (cosine, sine.negate()),
            2 => (sine.negate(), cosine.negate()),
            _ => (cosine.negate(), sine),
        })
    }

    /// The arc tangent, between -π/2 and π/2.
    pub(crate) fn atan(&self) -> Self {
        let work = self.bits + GUARD;
        let one = BigInt::one() << work;
        let size = self.units.abs() << GUARD;
        let large = size > one;
        let mut ratio = if large { (&one << work) / &size } else { size };
        // Two halvings: tan(a / 2) = t / (1 + √(1 + t²)).
        for _ in 0..2 {
            let root = ((&one * &one) + &ratio * &ratio).sqrt();
            ratio = (ratio << work) / (&one + root);
        }
        let mut angle: BigInt = odd_series(&ratio, work, true) * 4;
        if large {
            angle = (pi_units(work) >> 1) - angle;
        }
        if self.units.is_negative() {
            angle = -angle;
        }
        Self { units: angle >> GUARD, error: &self.error + 4, bits: self.bits }
    }

    pub(crate) fn pi(bits: u32) -> Self {
        Self { units: pi_units(bits + GUARD) >> GUARD, error: BigInt::from(2), bits }
    }

    pub(crate) fn e(bits: u32) -> Option<Self> {
        Self { units: BigInt::one() << bits, ..Self::zero(bits) }.exp()
    }
}

/// `x + x³/3 + x⁵/5 + …`, with alternating signs if asked for; `|x|` must be well below 1.
fn odd_series(x: &BigInt, work: u32, alternating: bool) -> BigInt {
    let square = (x * x) >> work;
    let mut power = x.abs();
    let mut sum = BigInt::zero();
    for n in (1_u32..).step_by(2) {
        if power.is_zero() {
            break;
        }
        let term = &power / n;
        if alternating && n % 4 == 3 {
            sum -= term
        } else {
            sum += term
        }
        power = (power * &square) >> work;
    }
    if x.is_negative() { -sum } else { sum }
}

/// Bits of the constants that are kept.
const KEPT_BITS: u32 = 4096;

fn ln_2(work: u32) -> BigInt {
    static LN_2: LazyLock<BigInt> = LazyLock::new(|| {
        let third = (BigInt::one() << KEPT_BITS) / 3;
        odd_series(&third, KEPT_BITS, false) * 2
    });
    &*LN_2 >> KEPT_BITS.saturating_sub(work)
}

/// π by Machin's formula, 16 arctan(1/5) - 4 arctan(1/239).
fn pi_units(work: u32) -> BigInt {
    static PI: LazyLock<BigInt> = LazyLock::new(|| {
        let part = |n: u32| odd_series(&((BigInt::one() << KEPT_BITS) / n), KEPT_BITS, true);
        part(5) * 16 - part(239) * 4
    });
    &*PI >> KEPT_BITS.saturating_sub(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(numerator: i64, denominator: i64) -> Real {
        let ratio = BigRational::new(numerator.into(), denominator.into());
        Real::from_ratio(&ratio, 320).unwrap()
    }

    /// Within 2^-240, and the errors tell it.
    fn assert_same(left: &Real, right: &Real) {
        let difference = left.add(&right.negate()).unwrap();
        assert!(difference.sign().is_none_or(|sign| sign == Sign::NoSign), "{left:?} {right:?}");
        assert!(difference.is_within(-240), "{difference:?}");
    }

    #[test]
    fn constants_have_their_known_digits() {
        let digits = "3141592653589793238462643383279502884197169399375105820974944592307816406286";
        let known = BigRational::new(
            digits.parse().unwrap(),
            BigInt::from(10).pow(digits.len() as u32 - 1),
        );
        let pi = Real::pi(240);
        let difference = pi.add(&Real::from_ratio(&known, 240).unwrap().negate()).unwrap();
        assert!(difference.is_below(-235));
        let digits = "2718281828459045235360287471352662497757247093699959574966967627724076630353";
        let known = BigRational::new(
            digits.parse().unwrap(),
            BigInt::from(10).pow(digits.len() as u32 - 1),
        );
        let e = Real::e(240).unwrap();
        assert!(e.add(&Real::from_ratio(&known, 240).unwrap().negate()).unwrap().is_below(-235));
    }

    #[test]
    fn functions_satisfy_their_identities() {
        for (numerator, denominator) in [(1, 3), (7, 2), (-5, 4), (100, 7), (-40, 1), (1, 1000)] {
            let x = real(numerator, denominator);
            let exp = x.exp().unwrap();
            assert_same(&exp.ln().unwrap(), &x);
            assert_same(&exp.multiply(&x.negate().exp().unwrap()).unwrap(), &real(1, 1));
            let (sine, cosine) = x.sin_cos().unwrap();
            let squares = sine.multiply(&sine).unwrap().add(&cosine.multiply(&cosine).unwrap());
            assert_same(&squares.unwrap(), &real(1, 1));
            let tangent = x.atan().sin_cos().unwrap();
            assert_same(&tangent.0.multiply(&tangent.1.reciprocal().unwrap()).unwrap(), &x);
        }
        assert_same(&real(1, 1).atan().multiply(&real(4, 1)).unwrap(), &Real::pi(320));
        let root = real(2, 1).sqrt().unwrap();
        assert_same(&root.multiply(&root).unwrap(), &real(2, 1));
        let (sine, cosine) = Real::pi(320).multiply(&real(13, 6)).unwrap().sin_cos().unwrap();
        assert_same(&sine, &real(1, 2));
        assert_same(&cosine, &real(3, 4).sqrt().unwrap());
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        assert!(real(20_000, 1).exp().is_none());
        assert!(real(0, 1).ln().is_none());
        assert!(real(-1, 1).sqrt().is_none());
        let zero = Real::pi(320).sin_cos().unwrap().0;
        assert!(zero.sign().is_none());
        assert!(zero.reciprocal().is_none());
        assert!(zero.ln().is_none());
    }

    #[test]
    fn floors_and_nearest_integers() {
        for (ratio, floor, nearest) in [((7, 2), 3, 4), ((-7, 3), -3, -2), ((5, 1), 5, 5)] {
            let x = real(ratio.0, ratio.1);
            assert_eq!(x.floor(), Some(BigInt::from(floor)));
            assert_eq!(x.round(), BigInt::from(nearest));
        }
        let root = real(3, 1).sqrt().unwrap();
        assert_eq!(root.multiply(&root).unwrap().floor(), Some(BigInt::from(3)));
    }
}
