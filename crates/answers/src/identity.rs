//! Whether two expressions have the same value: at a point if they have no variables, else as functions.
//!
//! Functions are compared at fixed points, drawn once from a seed: rationals with the denominator 2³¹ - 1, in three
//! ranges. Values that stay rational are compared exactly. Two different rational functions whose difference has a
//! numerator of degree d agree at one such point with probability at most d / 2³¹ (Schwartz–Zippel), at the four or
//! more where both have to have a value at most (d / 2³¹)⁴. All other values are compared within an error that is
//! known and at most 2^-200, so that only constants that agree to 60 places would be taken for one.
//! Functions that make sense for integers only (`n!`, `\lfloor n/2 \rfloor`, `(-1)^n`) are compared at 32 small ones.
//!
//! Points where one side has no value are left out: `x` and `x²/x` are the same.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use num_bigint::Sign;
use num_rational::BigRational;
use num_traits::Zero;

use crate::evaluate::Evaluator;
use crate::node::{Function, Node};
use crate::number::{Arithmetic, Complex, Part};
use crate::real::MAX_PLACES;

/// Work for one comparison of two answers, a few microseconds each: less than a second altogether.
pub(crate) const BUDGET: u64 = 100_000;

/// Binary places of the first try and of the second, where the first does not tell.
const PLACES: [u32; 2] = [320, MAX_PLACES];

/// Numbers whose errors are larger are not known well enough to be called equal.
const EQUAL_WITHIN: i64 = -200;

/// Numbers that are smaller are looked at again with more places.
const TINY: i64 = -60;

const POINTS: usize = 12;
const INTEGER_POINTS: usize = 32;

/// The number of points where both functions must have a value.
const MIN_POINTS: usize = 4;

type Point = BTreeMap<String, BigRational>;

/// Compares values within a budget of work.
#[derive(Debug)]
pub(crate) struct Comparer {
    budget: Cell<u64>,
}

/// Two values to be compared, by a rule that is given them and the arithmetic they come from; None if it cannot tell.
type Rule<'r> = &'r dyn Fn(&Arithmetic<'_>, &Complex, &Complex) -> Option<bool>;

impl Comparer {
    pub(crate) fn new() -> Self {
        Self { budget: Cell::new(BUDGET) }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.budget.get() == 0
    }

    /// Whether two expressions have one value. None when that cannot be told.
    pub(crate) fn same(&self, a: &Node, b: &Node) -> Option<bool> {
        self.agree(a, b, &same_value)
    }

    /// Whether `rule` holds wherever both have a value.
    pub(crate) fn agree(&self, a: &Node, b: &Node, rule: Rule<'_>) -> Option<bool> {
        let bare_log = |node: &Node| matches!(node, Node::Apply(Function::BareLog, _));
        if self.agree_with(a, b, rule, false)? {
            return Some(true);
        }
        if a.any(&bare_log) != b.any(&bare_log) {
            return self.agree_with(a, b, rule, true);
        }
        Some(false)
    }

    fn agree_with(&self, a: &Node, b: &Node, rule: Rule<'_>, common_log: bool) -> Option<bool> {
        let mut names = BTreeSet::new();
        variables(a, &mut names);
        variables(b, &mut names);
        if names.is_empty() {
            return self.agree_at(&Point::new(), [a, b], rule, true, common_log);
        }
        let points = points(&names, is_integral(a) || is_integral(b));
        for complex in [false, true] {
            let mut seen = 0;
            for point in &points {
                match self.agree_at(point, [a, b], rule, complex, common_log) {
                    Some(true) => seen += 1,
                    Some(false) => return Some(false),
                    None => {}
                }
                if self.is_spent() {
                    return None;
                }
            }
            if seen >= MIN_POINTS {
                return Some(true);
            }
        }
        None
    }

    fn agree_at(
        &self,
        point: &Point,
        nodes: [&Node; 2],
        rule: Rule<'_>,
        complex: bool,
        common_log: bool,
    ) -> Option<bool> {
        for bits in PLACES {
            let arithmetic = Arithmetic { bits, budget: &self.budget };
            let evaluator = Evaluator { arithmetic, point, complex, common_log };
            let (Some(a), Some(b)) = (evaluator.value(nodes[0]), evaluator.value(nodes[1])) else {
                // A constant may need more places; of many points this one is left out.
                if point.is_empty() {
                    continue;
                }
                return None;
            };
            let result = rule(&evaluator.arithmetic, &a, &b);
            let is_last = PLACES.last() == Some(&bits);
            let is_doubtful = result == Some(true) && (is_doubtful(&a) || is_doubtful(&b));
            if result.is_some() && (is_last || !is_doubtful) {
                return result;
            }
        }
        None
    }

    /// The value of an expression without variables.
    pub(crate) fn constant(&self, node: &Node) -> Option<Complex> {
        let point = Point::new();
        let arithmetic = Arithmetic { bits: PLACES[0], budget: &self.budget };
        Evaluator { arithmetic, point: &point, complex: true, common_log: false }.value(node)
    }

    /// The sign of `a - b`, `NoSign` where they are the same within their errors.
    pub(crate) fn difference_sign(&self, a: &Part, b: &Part) -> Option<Sign> {
        let arithmetic = Arithmetic { bits: PLACES[0], budget: &self.budget };
        match arithmetic.subtract_parts(a, b)? {
            Part::Exact(difference) => Some(difference.numer().sign()),
            Part::Approximate(difference) => match difference.sign() {
                None => difference.is_within(EQUAL_WITHIN).then_some(Sign::NoSign),
                sign => sign,
            },
        }
    }

    /// Whether two equations `a = 0` and `b = 0` are the same up to a factor, of which `allowed` is told the sign.
    pub(crate) fn proportional(
        &self,
        a: &Node,
        b: &Node,
        allowed: impl Fn(Sign) -> bool,
    ) -> Option<bool> {
        let mut names = BTreeSet::new();
        variables(a, &mut names);
        variables(b, &mut names);
        let mut first: Option<(Complex, Complex)> = None;
        let mut seen = 0;
        for point in points(&names, is_integral(a) || is_integral(b)) {
            let arithmetic = Arithmetic { bits: PLACES[0], budget: &self.budget };
            let evaluator =
                Evaluator { arithmetic, point: &point, complex: false, common_log: false };
            let (Some(x), Some(y)) = (evaluator.value(a), evaluator.value(b)) else { continue };
            let arithmetic = &evaluator.arithmetic;
            match &first {
                None => {
                    let product = arithmetic.multiply(&x, &y)?;
                    if !allowed(product.real()?.sign()?) {
                        return Some(false);
                    }
                    first = Some((x, y));
                }
                Some((u, v)) => {
                    let (left, right) = (arithmetic.multiply(u, &y)?, arithmetic.multiply(v, &x)?);
                    if !same_value(arithmetic, &left, &right)? {
                        return Some(false);
                    }
                }
            }
            seen += 1;
        }
        (seen >= MIN_POINTS).then_some(true)
    }
}

/// Whether two values are equal, None if their errors hide it.
pub(crate) fn same_value(arithmetic: &Arithmetic<'_>, a: &Complex, b: &Complex) -> Option<bool> {
    let same = |a: &Part, b: &Part| match (a, b) {
        (Part::Exact(a), Part::Exact(b)) => Some(a == b),
        (a, b) => {
            let difference = arithmetic.subtract_parts(a, b)?;
            let Part::Approximate(difference) = difference else {
                return Some(difference.is_zero());
            };
            match difference.sign() {
                Some(Sign::NoSign) => Some(true),
                Some(_) => Some(false),
                None => difference.is_within(EQUAL_WITHIN).then_some(true),
            }
        }
    };
    match (same(&a.re, &b.re), same(&a.im, &b.im)) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (re, im) => Some(re? && im?),
    }
}

/// Whether a value is an approximation of something so small that few of its digits are known.
fn is_doubtful(value: &Complex) -> bool {
    let small = |part: &Part| match part {
        Part::Exact(value) => value.is_zero(),
        Part::Approximate(value) => value.is_below(TINY),
    };
    let exact = value.re.exact().is_some() && value.im.exact().is_some();
    !exact && small(&value.re) && small(&value.im)
}

fn variables(node: &Node, names: &mut BTreeSet<String>) {
    if let Node::Variable(name) = node {
        names.insert(name.clone());
    }
    for child in node.children() {
        variables(child, names);
    }
}

pub(crate) fn has_variables(node: &Node) -> bool {
    node.any(&|node| matches!(node, Node::Variable(_)))
}

/// Whether an expression is meant for integers only.
fn is_integral(node: &Node) -> bool {
    node.any(&|node| match node {
        Node::Apply(
            Function::Factorial | Function::Binomial | Function::Gcd | Function::Lcm,
            nodes,
        ) => nodes.iter().any(has_variables),
        Node::Apply(Function::Floor | Function::Ceiling, nodes) => nodes.iter().any(has_count),
        Node::Apply(Function::Power, nodes) => match &nodes[..] {
            [Node::Apply(Function::Negate, base), exponent] => {
                !base.iter().any(has_variables) && has_variables(exponent)
            }
            _ => false,
        },
        _ => false,
    })
}

/// Whether there is a variable that counts, as the argument of a floor: by custom all but `t`, `x`, `y` and `z`.
fn has_count(node: &Node) -> bool {
    node.any(&|node| match node {
        Node::Variable(name) => !["t", "x", "y", "z"].contains(&name.as_str()),
        _ => false,
    })
}

/// The points where functions of these variables are compared.
fn points(names: &BTreeSet<String>, integral: bool) -> Vec<Point> {
    let mut state = 0x5eed_u64;
    let mut draw = move || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let denominator = (1_i64 << 31) - 1;
    let mut coordinate = |index: usize| {
        // The high bits are taken to [0, 1), [0, 8) and [-4, 4).
        let random = i64::try_from(draw() >> 33).unwrap_or(0);
        match (integral, index % 3) {
            (true, _) => BigRational::from_integer((random % (3 + index as i64) + 1).into()),
            (false, 0) => BigRational::new(random.into(), denominator.into()),
            (false, 1) => BigRational::new((random * 8).into(), denominator.into()),
            (false, _) => {
                BigRational::new((random * 8).into(), denominator.into())
                    - BigRational::from_integer(4.into())
            }
        }
    };
    (0..if integral { INTEGER_POINTS } else { POINTS })
        .map(|index| names.iter().map(|name| (name.clone(), coordinate(index))).collect())
        .collect()
}
