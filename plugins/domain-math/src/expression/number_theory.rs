//! Prime numbers and divisors of integers below 2^64. Numbers are factored by trial, so the limit on steps decides
//! which ones can be: with the default limits those without two prime factors above some hundred thousand.

use num_bigint::BigInt;
use num_traits::{Signed as _, ToPrimitive as _, Zero as _};

use super::evaluate::{Evaluated, Fault, Meter};

/// Bases for which the test of Miller and Rabin is exact below 2^64 (Sorenson and Webster, 2015).
const WITNESSES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
/// What a test of a number without small factors counts, in steps.
const TEST_STEPS: u64 = 64;

/// Whether `n` is a prime number.
pub(super) fn is_prime(n: &BigInt, meter: &mut Meter) -> Evaluated<bool> {
    if n.is_negative() {
        return Ok(false);
    }
    tested(n.to_u64().ok_or(Fault::Limit)?, meter)
}

/// The smallest prime number above `n`.
pub(super) fn next_prime(n: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    if n.is_negative() {
        return Ok(2.into());
    }
    let mut candidate = n.to_u64().ok_or(Fault::Limit)?;
    loop {
        candidate = candidate.checked_add(1).ok_or(Fault::Limit)?;
        if tested(candidate, meter)? {
            return Ok(candidate.into());
        }
    }
}

/// Euler's totient.
pub(super) fn phi(n: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    let factors = factors(n, meter)?;
    Ok(factors
        .iter()
        .map(|&(prime, power)| BigInt::from(prime).pow(power - 1) * (prime - 1))
        .product())
}

/// Number of divisors.
pub(super) fn num_divisors(n: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    Ok(factors(n, meter)?.iter().map(|&(_, power)| BigInt::from(power + 1)).product())
}

/// Sum of divisors.
pub(super) fn sum_divisors(n: &BigInt, meter: &mut Meter) -> Evaluated<BigInt> {
    let of_power = |&(prime, power): &(u64, u32)| {
        (BigInt::from(prime).pow(power + 1) - 1_u32) / (BigInt::from(prime) - 1_u32)
    };
    Ok(factors(n, meter)?.iter().map(of_power).product())
}

/// The prime factors of a positive integer with their powers.
fn factors(n: &BigInt, meter: &mut Meter) -> Evaluated<Vec<(u64, u32)>> {
    if n.is_negative() || n.is_zero() {
        return Err(Fault::Undefined);
    }
    let mut rest = n.to_u64().ok_or(Fault::Limit)?;
    let mut found = Vec::new();
    let mut divisor = 2;
    while divisor <= rest / divisor {
        meter.spend(1)?;
        let mut power = 0;
        while rest.is_multiple_of(divisor) {
            rest /= divisor;
            power += 1;
        }
        if power > 0 {
            found.push((divisor, power));
        }
        divisor += if divisor == 2 { 1 } else { 2 };
    }
    if rest > 1 {
        found.push((rest, 1));
    }
    Ok(found)
}

fn tested(n: u64, meter: &mut Meter) -> Evaluated<bool> {
    meter.spend(1)?;
    if let Some(small) = WITNESSES.into_iter().find(|&prime| n.is_multiple_of(prime)) {
        return Ok(n == small);
    }
    if n < 2 {
        return Ok(false);
    }
    meter.spend(TEST_STEPS)?;
    let n_halvings = (n - 1).trailing_zeros();
    let odd = (n - 1) >> n_halvings;
    Ok(WITNESSES.into_iter().all(|base| {
        let mut power = power_modulo(base, odd, n);
        let mut passes = power == 1 || power == n - 1;
        for _ in 1..n_halvings {
            power = multiply_modulo(power, power, n);
            passes |= power == n - 1;
        }
        passes
    }))
}

fn power_modulo(base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let (mut result, mut square) = (1, base % modulus);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply_modulo(result, square, modulus);
        }
        square = multiply_modulo(square, square, modulus);
        exponent >>= 1;
    }
    result
}

fn multiply_modulo(a: u64, b: u64, modulus: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64
}
