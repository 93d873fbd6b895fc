//! The named functions: how they are called, how many arguments they take, what they are.

use std::ops::RangeInclusive;

use num_bigint::BigInt;
use num_integer::Integer as _;
use num_traits::{One as _, Signed as _, ToPrimitive as _, Zero as _};

use super::evaluate::{Evaluated, Fault, Meter};
use super::number_theory;
use super::rational::Rational;
use super::value::Value;

/// A named function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Function {
    /// Absolute value.
    Abs,
    /// Least of numbers or of a list's items.
    Min,
    /// Largest of numbers or of a list's items.
    Max,
    /// Greatest common divisor of integers or of a list's items; not negative.
    Gcd,
    /// Least common multiple of integers or of a list's items; not negative.
    Lcm,
    /// Largest integer that is not above a number.
    Floor,
    /// Smallest integer that is not below a number.
    Ceil,
    /// Of the fraction in lowest terms.
    Numerator,
    /// Of the fraction in lowest terms; positive.
    Denominator,
    /// `poly([a, b, c], x)` is `a x^2 + b x + c`.
    Poly,
    /// Of an integer that is not negative.
    Factorial,
    /// `binomial(n, k)` for `n >= 0`; 0 for `k` outside of `0..=n`.
    Binomial,
    /// Largest integer whose square is not above an integer that is not negative.
    Isqrt,
    /// Fibonacci number, from `fib(0) = 0` and `fib(1) = 1`.
    Fib,
    /// Sum of the decimal digits of an integer's absolute value.
    DigitSum,
    /// `powmod(a, b, m)` is `a^b mod m` for `b >= 0` and `m > 0`.
    PowMod,
    /// `modinv(a, m)` is the `x` in `0..m` with `a x mod m = 1 mod m`.
    ModInv,
    /// Whether an integer is a prime number.
    IsPrime,
    /// The smallest prime number above an integer.
    NextPrime,
    /// Euler's totient of a positive integer.
    Phi,
    /// Number of the divisors of a positive integer.
    NumDivisors,
    /// Sum of the divisors of a positive integer.
    SumDivisors,
}

/// Every function with its name and how many arguments it takes.
const TABLE: [(Function, &str, RangeInclusive<usize>); 22] = [
    (Function::Abs, "abs", 1..=1),
    (Function::Min, "min", 1..=usize::MAX),
    (Function::Max, "max", 1..=usize::MAX),
    (Function::Gcd, "gcd", 1..=usize::MAX),
    (Function::Lcm, "lcm", 1..=usize::MAX),
    (Function::Floor, "floor", 1..=1),
    (Function::Ceil, "ceil", 1..=1),
    (Function::Numerator, "numerator", 1..=1),
    (Function::Denominator, "denominator", 1..=1),
    (Function::Poly, "poly", 2..=2),
    (Function::Factorial, "factorial", 1..=1),
    (Function::Binomial, "binomial", 2..=2),
    (Function::Isqrt, "isqrt", 1..=1),
    (Function::Fib, "fib", 1..=1),
    (Function::DigitSum, "digit_sum", 1..=1),
    (Function::PowMod, "powmod", 3..=3),
    (Function::ModInv, "modinv", 2..=2),
    (Function::IsPrime, "is_prime", 1..=1),
    (Function::NextPrime, "next_prime", 1..=1),
    (Function::Phi, "phi", 1..=1),
    (Function::NumDivisors, "num_divisors", 1..=1),
    (Function::SumDivisors, "sum_divisors", 1..=1),
];

impl Function {
    /// All functions.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(function, ..)| *function)
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|(_, known, _)| *known == name).map(|(function, ..)| *function)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        TABLE[self as usize].1
    }

    pub(crate) fn arity(self) -> RangeInclusive<usize> {
        TABLE[self as usize].2.clone()
    }

    /// Its value, for as many arguments as [`Function::arity`] says.
    pub(super) fn call(self, arguments: &[Value], meter: &mut Meter) -> Evaluated<Value> {
        if let (Self::Poly, [Value::List(coefficients), x]) = (self, arguments) {
            return poly(coefficients, number(x)?, meter);
        }
        let numbers = numbers(self, arguments)?;
        let value = match (self, numbers.as_slice()) {
            (Self::Abs, [x]) => x.abs(),
            (Self::Floor, [x]) => x.floor().into(),
            (Self::Ceil, [x]) => x.ceil().into(),
            (Self::Numerator, [x]) => x.numerator().clone().into(),
            (Self::Denominator, [x]) => x.denominator().clone().into(),
            (Self::Min, numbers) => {
                numbers.iter().min().ok_or(Fault::Undefined)?.to_owned().clone()
            }
            (Self::Max, numbers) => {
                numbers.iter().max().ok_or(Fault::Undefined)?.to_owned().clone()
            }
            (_, numbers) => {
                let integers =
                    numbers.iter().map(|number| number.integer().ok_or(Fault::Undefined));
                return self.of_integers(&integers.collect::<Evaluated<Vec<_>>>()?, meter);
            }
        };
        Ok(Value::Number(value))
    }

    fn of_integers(self, integers: &[&BigInt], meter: &mut Meter) -> Evaluated<Value> {
        let value = match (self, integers) {
            (Self::Gcd, integers) => common(integers, meter, |a, b| a.gcd(b))?,
            (Self::Lcm, integers) => common(integers, meter, |a, b| a.lcm(b))?,
            (Self::Factorial, [n]) => factorial(n, meter)?,
            (Self::Binomial, [n, k]) => binomial(n, k, meter)?,
            (Self::Isqrt, [n]) => {
                meter.reduction(n.bits())?;
                if n.is_negative() { Err(Fault::Undefined) } else { Ok(n.sqrt()) }?
            }
            (Self::Fib, [n]) => fib(n, meter)?,
            (Self::DigitSum, [n]) => {
                meter.reduction(n.bits())?;
                let digits = n.magnitude().to_radix_le(10);
                digits.into_iter().map(u64::from).sum::<u64>().into()
            }
            (Self::PowMod, [a, b, m]) => {
                if b.is_negative() || !m.is_positive() {
                    return Err(Fault::Undefined);
                }
                let bits = a.bits().max(m.bits());
                meter.reduction(bits)?;
                meter.products(b.bits().saturating_mul(2), bits)?;
                a.modpow(b, m)
            }
            (Self::ModInv, [a, m]) => {
                if !m.is_positive() {
                    return Err(Fault::Undefined);
                }
                meter.reduction(a.bits().max(m.bits()))?;
                if m.is_one() { BigInt::zero() } else { a.modinv(m).ok_or(Fault::Undefined)? }
            }
            (Self::IsPrime, [n]) => {
                return number_theory::is_prime(n, meter).map(Value::Boolean);
            }
            (Self::NextPrime, [n]) => number_theory::next_prime(n, meter)?,
            (Self::Phi, [n]) => number_theory::phi(n, meter)?,
            (Self::NumDivisors, [n]) => number_theory::num_divisors(n, meter)?,
            (Self::SumDivisors, [n]) => number_theory::sum_divisors(n, meter)?,
            _ => return Err(Fault::Type),
        };
        Ok(Value::Number(value.into()))
    }
}

/// The arguments, or the items of the list that is the only one, for functions of any number of arguments.
fn numbers(function: Function, arguments: &[Value]) -> Evaluated<Vec<&Rational>> {
    match arguments {
        [Value::List(items)] if *function.arity().end() == usize::MAX => {
            items.iter().map(number).collect()
        }
        _ => arguments.iter().map(number).collect(),
    }
}

pub(super) fn number(value: &Value) -> Evaluated<&Rational> {
    match value {
        Value::Number(number) => Ok(number),
        Value::Boolean(_) | Value::List(_) => Err(Fault::Type),
    }
}

/// By Horner's rule.
fn poly(coefficients: &[Value], x: &Rational, meter: &mut Meter) -> Evaluated<Value> {
    let mut value = Rational::from(BigInt::zero());
    for coefficient in coefficients {
        meter.arithmetic(&[&value, x])?;
        value = value.multiply(x).add(number(coefficient)?);
        meter.hold(value.bits())?;
    }
    Ok(Value::Number(value))
}

fn common(
    integers: &[&BigInt],
    meter: &mut Meter,
    of_two: impl Fn(&BigInt, &BigInt) -> BigInt,
) -> Evaluated<BigInt> {
    let (first, rest) = integers.split_first().ok_or(Fault::Undefined)?;
    let mut found = first.abs();
    for integer in rest {
        meter.reduction(found.bits().max(integer.bits()))?;
        found = of_two(&found, integer);
        meter.hold(found.bits())?;
    }
    Ok(found)
}

fn factorial(n: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    // The product has more bits than factors, so a number that is too large ends by itself.
    let n = natural(n)?;
    let mut product = BigInt::one();
    for factor in 2..=n {
        meter.products(1, product.bits())?;
        product *= factor;
        meter.hold(product.bits())?;
    }
    Ok(product)
}

fn binomial(n: &BigInt, k: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    if n.is_negative() {
        return Err(Fault::Undefined);
    }
    if k.is_negative() || k > n {
        return Ok(BigInt::zero());
    }
    let k = natural(&k.min(&(n - k)).clone())?;
    let mut value = BigInt::one();
    for taken in 0..k {
        meter.products(2, value.bits().max(n.bits()))?;
        value = value * (n - taken) / (taken + 1);
        meter.hold(value.bits())?;
    }
    Ok(value)
}

fn fib(n: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    let (mut value, mut next) = (BigInt::zero(), BigInt::one());
    for _ in 0..natural(n)? {
        meter.products(1, next.bits())?;
        let sum = &value + &next;
        value = std::mem::replace(&mut next, sum);
        meter.hold(value.bits())?;
    }
    Ok(value)
}

/// An integer that counts something; none that is too large for 64 bits could be counted to.
fn natural(n: &BigInt) -> Evaluated<u64> {
    if n.is_negative() {
        return Err(Fault::Undefined);
    }
    n.to_u64().ok_or(Fault::Limit)
}
