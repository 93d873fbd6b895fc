//! The value of a tree at a point.
//!
//! None where it has none there: a division by zero, the logarithm of zero, `(1/2)!`, a tuple, a value that is too
//! large, or when the budget of work is spent.

use std::collections::BTreeMap;

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::node::{Function, Node, Trigonometric};
use crate::number::{Arithmetic, Complex, Part, exact_root};

/// The largest number whose factorial is computed, and the largest upper number of a binomial coefficient.
const MAX_FACTORIAL: u32 = 1000;

/// The largest index of a root.
const MAX_INDEX: u32 = 1000;

/// Where and how a tree is evaluated.
#[derive(Debug)]
pub(crate) struct Evaluator<'a> {
    pub(crate) arithmetic: Arithmetic<'a>,
    /// The values of variables.
    pub(crate) point: &'a BTreeMap<String, BigRational>,
    /// Whether even roots and logarithms of negative numbers have values.
    pub(crate) complex: bool,
    /// Whether `\log` without a base has base 10 instead of e.
    pub(crate) common_log: bool,
}

impl Evaluator<'_> {
    pub(crate) fn value(&self, node: &Node) -> Option<Complex> {
        self.arithmetic.spend(1)?;
        let arithmetic = &self.arithmetic;
        match node {
            Node::Number(number) => Some(number.value.clone().into()),
            Node::Variable(name) => self.point.get(name).cloned().map(Complex::from),
            Node::Pi => Some(arithmetic.pi()?.into()),
            Node::E => Some(arithmetic.e()?.into()),
            Node::I => Some(Complex::i()),
            Node::Quantity(value, _) => self.value(value),
            Node::Apply(function, nodes) => self.apply(*function, nodes),
            Node::Infinity | Node::Text(_) | Node::Collection(..) | Node::Relation(..) => None,
        }
    }

    fn apply(&self, function: Function, nodes: &[Node]) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        match (function, nodes) {
            (Function::Sum, nodes) => nodes.iter().try_fold(Complex::integer(0), |sum, node| {
                arithmetic.add(&sum, &self.value(node)?)
            }),
            (Function::Product, nodes) => {
                nodes.iter().try_fold(Complex::integer(1), |product, node| {
                    arithmetic.multiply(&product, &self.value(node)?)
                })
            }
            (Function::Power, [Node::E, exponent]) => self.exponential(&self.value(exponent)?),
            (Function::Power, [base, exponent]) => {
                self.power(&self.value(base)?, &self.value(exponent)?)
            }
            (Function::Root, [index, under]) => self.root(&self.value(index)?, &self.value(under)?),
            (Function::Binomial, [above, below]) => {
                let (n, k) = (self.count(above)?, self.count(below)?);
                let k = if k <= n { k.min(n - k) } else { return Some(Complex::integer(0)) };
                let value = (0..k).fold(BigInt::one(), |value, i| value * (n - i) / (i + 1));
                self.integer(value)
            }
            (Function::Log, [base, argument]) => {
                self.logarithm(&self.value(base)?, &self.value(argument)?)
            }
            (Function::Gcd | Function::Lcm, nodes) => {
                let mut values = nodes.iter().map(|node| self.value(node)?.integer_value());
                let first = values.next()??;
                let result = values.try_fold(first, |a, b| {
                    let b = b?;
                    Some(if function == Function::Gcd { a.gcd(&b) } else { a.lcm(&b) })
                });
                self.integer(result?.abs())
            }
            (Function::Minimum | Function::Maximum, [first, rest @ ..]) => {
                let wanted = if function == Function::Minimum { Sign::Minus } else { Sign::Plus };
                rest.iter().try_fold(self.value(first)?, |best, node| {
                    let value = self.value(node)?;
                    let sign = arithmetic.subtract_parts(value.real()?, best.real()?)?.sign()?;
                    Some(if sign == wanted { value } else { best })
                })
            }
            (Function::Trigonometric(name), [angle]) => {
                self.trigonometric(name, self.angle(angle)?.real()?)
            }
            (function, [argument]) => self.unary(function, &self.value(argument)?),
            _ => None,
        }
    }

    fn unary(&self, function: Function, argument: &Complex) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        match function {
            Function::Negate => Some(argument.negate()),
            Function::Inverse => arithmetic.reciprocal(argument),
            Function::Factorial => {
                let n = small(argument, MAX_FACTORIAL)?;
                arithmetic.spend(u64::from(n))?;
                self.integer((1..=n).fold(BigInt::one(), |product, i| product * i))
            }
            Function::Absolute => arithmetic.abs(argument),
            Function::Floor => self.floor(argument),
            Function::Ceiling => Some(self.floor(&argument.negate())?.negate()),
            Function::Percent => {
                let hundredth = BigRational::new(1.into(), 100.into());
                arithmetic.multiply(argument, &hundredth.into())
            }
            Function::Degree => Some(argument.clone()),
            Function::Exponential => self.exponential(argument),
            Function::BareLog if self.common_log => self.logarithm(&Complex::integer(10), argument),
            Function::BareLog | Function::NaturalLog => self.natural_log(argument),
            Function::Inverted(name) => self.inverted(name, argument.real()?),
            Function::Hyperbolic(name) => self.hyperbolic(name, argument),
            _ => None,
        }
    }

    fn integer(&self, value: BigInt) -> Option<Complex> {
        Some(self.arithmetic.exact(BigRational::from_integer(value))?.into())
    }

    /// A natural number that is small enough to count with.
    fn count(&self, node: &Node) -> Option<u32> {
        let n = small(&self.value(node)?, MAX_FACTORIAL)?;
        self.arithmetic.spend(u64::from(n))?;
        Some(n)
    }

    fn floor(&self, argument: &Complex) -> Option<Complex> {
        let floor = match argument.real()? {
            Part::Exact(value) => value.floor().numer().clone(),
            Part::Approximate(value) => value.floor()?,
        };
        self.integer(floor)
    }

    /// An angle in radians: degrees are, where an angle is asked for, what they say.
    fn angle(&self, node: &Node) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        match node {
            Node::Apply(Function::Degree, inner) => {
                let half_turn = Complex::from(arithmetic.pi()?);
                let part = BigRational::new(1.into(), 180.into());
                let unit = arithmetic.multiply(&half_turn, &part.into())?;
                arithmetic.multiply(&self.value(inner.first()?)?, &unit)
            }
            Node::Apply(Function::Negate, inner) => Some(self.angle(inner.first()?)?.negate()),
            Node::Apply(Function::Sum, terms) => {
                terms.iter().try_fold(Complex::integer(0), |sum, term| {
                    arithmetic.add(&sum, &self.angle(term)?)
                })
            }
            node => self.value(node),
        }
    }

    fn power(&self, base: &Complex, exponent: &Complex) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        if let Some(n) = exponent.integer_value() {
            return arithmetic.power_integer(base, &n);
        }
        let Some(part) = base.real().filter(|part| part.sign().is_some()) else {
            return self.principal_power(base, exponent);
        };
        let Some(ratio) = exponent.rational() else {
            return match part.sign()? {
                Sign::NoSign => None,
                _ => self.principal_power(base, exponent),
            };
        };
        let index = ratio.denom().to_u32().filter(|index| *index <= MAX_INDEX);
        match part.sign()? {
            Sign::NoSign => ratio.is_positive().then(|| Complex::integer(0)),
            Sign::Plus => match part.exact().zip(index).and_then(|(value, n)| exact_root(value, n))
            {
                Some(root) => arithmetic.power_integer(&root.into(), ratio.numer()),
                None if index == Some(2) => {
                    arithmetic.power_integer(&arithmetic.sqrt_part(part)?.into(), ratio.numer())
                }
                None => self.principal_power(base, exponent),
            },
            // As in school, a negative number has real odd roots.
            Sign::Minus if ratio.denom().is_odd() => {
                let size = self.power(&base.negate(), exponent)?;
                Some(if ratio.numer().is_odd() { size.negate() } else { size })
            }
            Sign::Minus if self.complex && index == Some(2) => {
                let root =
                    self.power(&base.negate(), &BigRational::new(1.into(), 2.into()).into())?;
                let root = arithmetic.multiply(&Complex::i(), &root)?;
                arithmetic.power_integer(&root, ratio.numer())
            }
            Sign::Minus => self.principal_power(base, exponent),
        }
    }

    /// `e^(exponent ln base)`
    fn principal_power(&self, base: &Complex, exponent: &Complex) -> Option<Complex> {
        let logarithm = self.natural_log(base)?;
        self.exponential(&self.arithmetic.multiply(exponent, &logarithm)?)
    }

    fn root(&self, index: &Complex, under: &Complex) -> Option<Complex> {
        let index = small(index, MAX_INDEX).filter(|index| *index > 0)?;
        self.power(under, &BigRational::new(BigInt::one(), index.into()).into())
    }

    fn exponential(&self, argument: &Complex) -> Option<Complex> {
        self.arithmetic.exp(argument)
    }

    fn natural_log(&self, argument: &Complex) -> Option<Complex> {
        match argument.real().map(Part::sign) {
            Some(Some(Sign::Plus)) => Some(self.arithmetic.ln_part(&argument.re)?.into()),
            Some(Some(Sign::NoSign)) => None,
            _ if self.complex => self.arithmetic.ln(argument),
            _ => None,
        }
    }

    /// The logarithm to a base; exact where the argument is a power of the base.
    fn logarithm(&self, base: &Complex, argument: &Complex) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        let inverse = arithmetic.reciprocal(&self.natural_log(base)?)?;
        let value = arithmetic.multiply(&self.natural_log(argument)?, &inverse)?;
        if let (Some(base), Some(argument), Some(Part::Approximate(part))) =
            (base.rational(), argument.rational(), value.real())
            && let Some(n) = part.round().to_i32().filter(|n| n.abs() <= 4096)
            && base.numer().bits().max(base.denom().bits()) * u64::from(n.unsigned_abs()) <= 8192
            && base.pow(n) == *argument
        {
            return Some(Complex::integer(n.into()));
        }
        Some(value)
    }

    fn trigonometric(&self, name: Trigonometric, angle: &Part) -> Option<Complex> {
        let (sine, cosine) = self.arithmetic.sin_cos(angle)?;
        self.quotient(name, sine.into(), cosine.into())
    }

    fn hyperbolic(&self, name: Trigonometric, argument: &Complex) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        let (up, down) = (self.exponential(argument)?, self.exponential(&argument.negate())?);
        let half = Complex::from(BigRational::new(1.into(), 2.into()));
        let sine = arithmetic.multiply(&arithmetic.subtract(&up, &down)?, &half)?;
        let cosine = arithmetic.multiply(&arithmetic.add(&up, &down)?, &half)?;
        self.quotient(name, sine, cosine)
    }

    fn quotient(&self, name: Trigonometric, sine: Complex, cosine: Complex) -> Option<Complex> {
        let divide =
            |a: &Complex, b: &Complex| self.arithmetic.multiply(a, &self.arithmetic.reciprocal(b)?);
        match name {
            Trigonometric::Sine => Some(sine),
            Trigonometric::Cosine => Some(cosine),
            Trigonometric::Tangent => divide(&sine, &cosine),
            Trigonometric::Cotangent => divide(&cosine, &sine),
            Trigonometric::Secant => self.arithmetic.reciprocal(&cosine),
            Trigonometric::Cosecant => self.arithmetic.reciprocal(&sine),
        }
    }

    fn inverted(&self, name: Trigonometric, argument: &Part) -> Option<Complex> {
        let arithmetic = &self.arithmetic;
        let one = Part::Exact(BigRational::one());
        let other = || {
            let square = arithmetic.multiply_parts(argument, argument)?;
            arithmetic.sqrt_part(&arithmetic.subtract_parts(&one, &square)?)
        };
        let angle = match name {
            Trigonometric::Sine => arithmetic.angle(argument, &other()?)?,
            Trigonometric::Cosine => arithmetic.angle(&other()?, argument)?,
            Trigonometric::Tangent => arithmetic.angle(argument, &one)?,
            _ => return None,
        };
        Some(angle.into())
    }
}

/// An integer between 0 and `most`.
fn small(value: &Complex, most: u32) -> Option<u32> {
    let value = value.integer_value()?;
    if value.is_zero() {
        return Some(0);
    }
    value.to_u32().filter(|value| *value <= most)
}
