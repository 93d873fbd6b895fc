//! Numbers and expressions: percents, angles, tolerance.

use num_bigint::Sign;
use num_rational::BigRational;
use num_traits::{One, Signed};

use crate::Tolerance;
use crate::identity::has_variables;
use crate::judge::Judge;
use crate::node::{Function, Node, quotient};
use crate::number::Part;

/// A number with fewer significant digits is never taken for an approximation.
const MIN_SIGNIFICANT: usize = 3;

impl Judge {
    pub(crate) fn values(&self, gold: &Node, answer: &Node) -> Option<bool> {
        if is_infinite(gold) || is_infinite(answer) {
            return Some(false);
        }
        let (plain_gold, plain_answer) = (without_percent(gold), without_percent(answer));
        if let (Some(gold), Some(answer)) = (angle(gold, answer), angle(answer, gold))
            && self.comparer.same(&gold, &answer) == Some(true)
        {
            return Some(true);
        }
        let plain = self.value(plain_gold, plain_answer);
        // `p%` is `p` and `p / 100`: both are usual.
        if plain != Some(true) && (plain_gold == gold) != (plain_answer == answer) {
            return self.value(gold, answer);
        }
        plain
    }

    /// Whether two expressions have the same value, or one that is near enough.
    pub(crate) fn value(&self, gold: &Node, answer: &Node) -> Option<bool> {
        match self.comparer.same(gold, answer) {
            Some(false) => Some(self.is_close(gold, answer) == Some(true)),
            result => result,
        }
    }

    /// Whether an answer that is not the same is within the tolerance.
    fn is_close(&self, gold: &Node, answer: &Node) -> Option<bool> {
        let allowed = match self.tolerance {
            Tolerance::Exact => return None,
            Tolerance::Rounded => {
                let (last, significant) = precision(gold)?;
                if significant < MIN_SIGNIFICANT {
                    return None;
                }
                last / BigRational::from_integer(2.into())
            }
            Tolerance::Absolute(most) => BigRational::from_float(most)?,
            Tolerance::Relative(most) => {
                let size = self.comparer.constant(gold)?.rational()?.abs();
                size * BigRational::from_float(most)?
            }
        };
        if has_variables(gold) || has_variables(answer) {
            return None;
        }
        self.comparer.agree(gold, answer, &|arithmetic, gold, answer| {
            let difference = arithmetic.subtract_parts(gold.real()?, answer.real()?)?;
            let square = arithmetic.multiply_parts(&difference, &difference)?;
            let rest = arithmetic.subtract_parts(&Part::Exact(&allowed * &allowed), &square)?;
            Some(rest.sign()? != Sign::Minus)
        })
    }
}

fn is_infinite(node: &Node) -> bool {
    match node {
        Node::Infinity => true,
        Node::Apply(Function::Negate, inner) => inner.iter().any(is_infinite),
        _ => false,
    }
}

fn without_percent(node: &Node) -> &Node {
    match node {
        Node::Apply(Function::Percent, inner) => inner.first().unwrap_or(node),
        _ => node,
    }
}

/// An angle in radians, where the other one is a multiple of π: `30^\circ` is also `\frac{\pi}{6}`.
fn angle(node: &Node, other: &Node) -> Option<Node> {
    let has_pi = |node: &Node| node.any(&|node| *node == Node::Pi);
    match (node, other) {
        (Node::Apply(Function::Degree, inner), other) if has_pi(other) => {
            let part = quotient(&Node::Pi, &Node::integer(180));
            Some(Node::Apply(Function::Product, vec![inner.first()?.clone(), part]))
        }
        (node, Node::Apply(Function::Degree, _)) if has_pi(node) => Some(node.clone()),
        _ => None,
    }
}

/// What the last digit of a decimal number counts, and how many digits are significant.
fn precision(node: &Node) -> Option<(BigRational, usize)> {
    match node {
        Node::Number(number) => number.precision.clone(),
        Node::Apply(Function::Negate | Function::Degree, inner) => precision(inner.first()?),
        Node::Apply(Function::Percent, inner) => {
            let (last, significant) = precision(inner.first()?)?;
            Some((last / BigRational::from_integer(100.into()), significant))
        }
        Node::Apply(Function::Product, factors) => match &factors[..] {
            [Node::Number(mantissa), Node::Apply(Function::Power, power)] => {
                let [Node::Number(base), exponent] = &power[..] else { return None };
                let negative = matches!(exponent, Node::Apply(Function::Negate, _));
                let exponent = match exponent {
                    Node::Apply(Function::Negate, inner) => inner.first()?,
                    other => other,
                };
                let Node::Number(exponent) = exponent else { return None };
                let size = u16::try_from(exponent.value.numer()).ok().filter(|n| *n <= 1000)?;
                if base.value != BigRational::from_integer(10.into()) {
                    return None;
                }
                let scale = base.value.pow(if negative { -i32::from(size) } else { size.into() });
                // `3 \times 10^8` has one digit as it stands.
                let (last, significant) =
                    mantissa.precision.clone().unwrap_or((BigRational::one(), 1));
                Some((last * scale, significant))
            }
            _ => None,
        },
        _ => None,
    }
}
