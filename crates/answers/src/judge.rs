//! Whether two trees are the same mathematical object: by what they are first, by their values in the end.

use num_bigint::Sign;
use num_rational::BigRational;
use num_traits::{One, Signed};

use crate::Tolerance;
use crate::identity::{Comparer, has_variables};
use crate::node::{Bracket, Comparison, Function, Kind, Node};
use crate::number::Part;
use crate::real_set;
use crate::relation::{self, equation};
use crate::words;

/// The most items that are matched in any order.
const MAX_ITEMS: usize = 64;

/// The most `±` in one expression.
const MAX_SIGNS: usize = 4;

/// A number with fewer significant digits is never taken for an approximation.
const MIN_SIGNIFICANT: usize = 3;

/// Judges answers against a gold answer.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) comparer: Comparer,
    pub(crate) tolerance: Tolerance,
}

impl Judge {
    /// Whether the answer is the gold one, None where that cannot be told.
    pub(crate) fn same(&self, gold: &Node, answer: &Node) -> Option<bool> {
        if gold == answer {
            return Some(true);
        }
        if let (Some(gold), Some(answer)) = (named_values(gold), sequence(answer)) {
            return self.in_order(&gold, answer);
        }
        if let (Some(gold), Some(answer)) = (sequence(gold), named_values(answer)) {
            return self.in_order(gold, &answer);
        }
        if (is_set(gold) || is_set(answer))
            && let Some(same) = real_set::same(&self.comparer, gold, answer)
        {
            return Some(same);
        }
        if is_plural(gold) || is_plural(answer) {
            return self.in_any_order(gold, answer);
        }
        match (gold, answer) {
            (Node::Relation(..), Node::Relation(..)) => relation::same(self, gold, answer),
            (Node::Relation(..), _) => {
                let value = equation(gold).and_then(|equation| equation.value(answer));
                value.map_or(Some(false), |value| self.same(value, answer))
            }
            (_, Node::Relation(..)) => {
                let value = equation(answer).and_then(|equation| equation.value(gold));
                value.map_or(Some(false), |value| self.same(gold, value))
            }
            (Node::Quantity(x, unit), Node::Quantity(y, other)) => {
                let known = words::unit(unit).is_some() && words::unit(other).is_some();
                if known && unit != other { Some(false) } else { self.same(x, y) }
            }
            (Node::Quantity(x, unit), other) => {
                self.same(x, without_unit(other, unit).as_ref().unwrap_or(other))
            }
            (other, Node::Quantity(x, unit)) => {
                self.same(without_unit(other, unit).as_ref().unwrap_or(other), x)
            }
            (Node::Text(x), Node::Text(y)) => Some(key(x) == key(y)),
            (Node::Text(text), Node::Variable(name)) | (Node::Variable(name), Node::Text(text)) => {
                Some(text.trim_matches(|c: char| !c.is_alphanumeric()) == name)
            }
            (Node::Collection(..), Node::Collection(..)) => self.collections(gold, answer),
            (Node::Collection(Kind::Ratio, parts), value)
            | (value, Node::Collection(Kind::Ratio, parts)) => match &parts[..] {
                [a, b] => self.comparer.same(&quotient(a, b), value),
                _ => Some(false),
            },
            (Node::Text(_) | Node::Infinity | Node::Collection(..), _)
            | (_, Node::Text(_) | Node::Infinity | Node::Collection(..)) => Some(false),
            _ => self.values(gold, answer),
        }
    }

    fn values(&self, gold: &Node, answer: &Node) -> Option<bool> {
        if is_infinite(gold) || is_infinite(answer) {
            return Some(false);
        }
        let (plain_gold, plain_answer) = (without_percent(gold), without_percent(answer));
        let plain = self.value(plain_gold, plain_answer);
        // `p%` is `p` and `p / 100`: both are usual.
        if plain != Some(true) && (plain_gold == gold) != (plain_answer == answer) {
            return self.value(gold, answer);
        }
        plain
    }

    fn value(&self, gold: &Node, answer: &Node) -> Option<bool> {
        match self.comparer.same(gold, answer) {
            Some(false) => Some(self.is_close(gold, answer) == Some(true)),
            result => result,
        }
    }

    /// Whether an answer that is not the same is within the tolerance.
    fn is_close(&self, gold: &Node, answer: &Node) -> Option<bool> {
        let allowed = match self.tolerance {
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

    fn collections(&self, gold: &Node, answer: &Node) -> Option<bool> {
        if let (Some(x), Some(y)) = (vector(gold), vector(answer))
            && !matches!(
                (gold, answer),
                (
                    Node::Collection(Kind::Matrix { .. }, _),
                    Node::Collection(Kind::Matrix { .. }, _)
                )
            )
        {
            return self.in_order(x, y);
        }
        let (Node::Collection(kind, x), Node::Collection(other, y)) = (gold, answer) else {
            return Some(false);
        };
        match (kind, other) {
            (Kind::Ratio, Kind::Ratio) if x.len() == y.len() => {
                let (first, second) = (x.first()?, y.first()?);
                all(x
                    .iter()
                    .zip(y)
                    .skip(1)
                    .map(|(a, b)| self.comparer.same(&quotient(a, first), &quotient(b, second))))
            }
            (kind, other) if kind == other => self.in_order(x, y),
            _ => Some(false),
        }
    }

    fn in_order(&self, gold: &[Node], answer: &[Node]) -> Option<bool> {
        if gold.len() != answer.len() {
            return Some(false);
        }
        all(gold.iter().zip(answer).map(|(gold, answer)| self.same(gold, answer)))
    }

    /// Lists, sets and what `±` stands for: as often as they occur in lists, once in sets.
    fn in_any_order(&self, gold: &Node, answer: &Node) -> Option<bool> {
        let (mut golds, mut answers) = (items(gold)?, items(answer)?);
        if !is_list(gold) || !is_list(answer) {
            golds = self.distinct(golds);
            answers = self.distinct(answers);
        }
        if golds.len() != answers.len() {
            return Some(false);
        }
        if golds.len() == 1 {
            return self.same(golds.first()?, answers.first()?);
        }
        let mut unknown = false;
        for gold in &golds {
            let found = answers.iter().position(|answer| match self.same(gold, answer) {
                Some(same) => same,
                None => {
                    unknown = true;
                    false
                }
            });
            match found {
                Some(found) => drop(answers.swap_remove(found)),
                None => return if unknown { None } else { Some(false) },
            }
        }
        Some(true)
    }

    fn distinct(&self, nodes: Vec<Node>) -> Vec<Node> {
        let mut kept: Vec<Node> = Vec::new();
        for node in nodes {
            if !kept.iter().any(|other| self.same(other, &node) == Some(true)) {
                kept.push(node);
            }
        }
        kept
    }
}

/// False if one is false, else None if one is not known.
fn all(results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut whole = Some(true);
    for result in results {
        match result {
            Some(true) => {}
            Some(false) => return Some(false),
            None => whole = None,
        }
    }
    whole
}

/// Words as they are compared: letters and digits in lower case.
pub(crate) fn key(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

pub(crate) fn quotient(above: &Node, below: &Node) -> Node {
    let inverse = Node::apply(Function::Inverse, below.clone());
    Node::Apply(Function::Product, vec![above.clone(), inverse])
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

/// `5m` without its last factor, where that is the other answer's unit of one letter.
fn without_unit(node: &Node, unit: &str) -> Option<Node> {
    let Node::Apply(Function::Product, factors) = node else { return None };
    let (last, rest) = factors.split_last()?;
    (*last == Node::Variable(unit.to_owned()) && !rest.is_empty())
        .then(|| Node::Apply(Function::Product, rest.to_vec()))
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

fn sequence(node: &Node) -> Option<&[Node]> {
    match node {
        Node::Collection(Kind::Sequence(Bracket::Round, Bracket::Round), items) => Some(items),
        _ => None,
    }
}

/// The entries of a tuple, a row or a column. Two things in brackets may be an interval: its brackets count.
fn vector(node: &Node) -> Option<&[Node]> {
    match node {
        Node::Collection(Kind::Sequence(left, right), items)
            if left == right && (*left != Bracket::Square || items.len() != 2) =>
        {
            Some(items)
        }
        Node::Collection(Kind::Matrix { columns }, items)
            if *columns == 1 || *columns == items.len() =>
        {
            Some(items)
        }
        _ => None,
    }
}

/// The values of `x = 1, y = 2` in the order of the names.
fn named_values(node: &Node) -> Option<Vec<Node>> {
    let Node::Collection(Kind::List(_), items) = node else { return None };
    let mut named = Vec::new();
    for item in items {
        match item {
            Node::Relation(signs, sides) if signs[..] == [Comparison::Equal] => match &sides[..] {
                [Node::Variable(name), value] => named.push((name, value)),
                _ => return None,
            },
            _ => return None,
        }
    }
    named.sort_by_key(|(name, _)| *name);
    let distinct =
        named.windows(2).all(|pair| pair.first().map(|p| p.0) != pair.last().map(|p| p.0));
    distinct.then(|| named.into_iter().map(|(_, value)| value.clone()).collect())
}

/// Whether a node can only be understood as a set of real numbers.
fn is_set(node: &Node) -> bool {
    match node {
        Node::Relation(signs, _) => signs.iter().any(|sign| *sign != Comparison::Equal),
        Node::Collection(Kind::Union | Kind::Intersection | Kind::Difference, _) => true,
        Node::Collection(Kind::List(_), items) => items.iter().all(is_set),
        _ => false,
    }
}

fn is_list(node: &Node) -> bool {
    matches!(node, Node::Collection(Kind::List(_), _))
}

/// Whether a node stands for several things.
fn is_plural(node: &Node) -> bool {
    is_list(node)
        || matches!(node, Node::Collection(Kind::Set, _))
        || node.any(&|node| matches!(node, Node::Apply(Function::PlusMinus, _)))
}

/// What a node stands for, `±` resolved.
fn items(node: &Node) -> Option<Vec<Node>> {
    let nodes = match node {
        Node::Collection(Kind::List(_) | Kind::Set, nodes) => nodes.as_slice(),
        node => std::slice::from_ref(node),
    };
    let mut all = Vec::new();
    for node in nodes {
        let signs = count_signs(node);
        if signs > MAX_SIGNS {
            return None;
        }
        for choice in 0..1_u32 << signs {
            all.push(with_signs(node, choice, &mut 0));
        }
        if all.len() > MAX_ITEMS {
            return None;
        }
    }
    Some(all)
}

fn count_signs(node: &Node) -> usize {
    let own = usize::from(matches!(node, Node::Apply(Function::PlusMinus, _)));
    own + node.children().iter().map(count_signs).sum::<usize>()
}

/// The node with the signs of a choice: a bit for each `±` in reading order; `∓` goes against the first.
fn with_signs(node: &Node, choice: u32, next: &mut u32) -> Node {
    let minus = match node {
        Node::Apply(Function::PlusMinus, _) => {
            *next += 1;
            choice >> (*next - 1) & 1 == 1
        }
        Node::Apply(Function::MinusPlus, _) => choice & 1 == 0,
        _ => return node.map(|child| with_signs(child, choice, next)),
    };
    let function = if minus { Function::Negate } else { Function::Sum };
    Node::Apply(
        function,
        node.children().iter().map(|child| with_signs(child, choice, next)).collect(),
    )
}
