//! Whether two trees are the same mathematical object: by what they are first, by their values in the end.

use crate::Tolerance;
use crate::identity::{Comparer, has_variables};
use crate::node::{Bracket, Comparison, Function, Kind, Node, quotient};
use crate::plural::{is_list, is_plural, items};
use crate::real_set;
use crate::relation::{self, equation, membership};
use crate::words;

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
        match (membership(gold), membership(answer)) {
            (Some((_, set)), None) if !is_relation(answer) => return self.same(set, answer),
            (None, Some((_, set))) if !is_relation(gold) => return self.same(gold, set),
            _ => {}
        }
        if is_plural(gold) || is_plural(answer) {
            return self.in_any_order(gold, answer);
        }
        match (gold, answer) {
            (Node::Relation(..), Node::Relation(..)) => relation::same(self, gold, answer),
            (Node::Relation(..), _) => {
                self.stands_for(gold, answer).map_or(Some(false), |value| self.same(value, answer))
            }
            (_, Node::Relation(..)) => {
                self.stands_for(answer, gold).map_or(Some(false), |value| self.same(gold, value))
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
            (Node::Text(x), Node::Text(y)) => Some(key(x) == key(y) && !key(x).is_empty()),
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

    /// What an equation stands for beside something that is none.
    fn stands_for<'n>(&self, relation: &'n Node, other: &Node) -> Option<&'n Node> {
        let equation = equation(relation)?;
        // `\sqrt{2} \approx 1.414`: a calculation that is right stands for its first side.
        equation.named(other).or_else(|| {
            let constant = !has_variables(equation.head);
            (constant && self.value(equation.value, equation.head) == Some(true))
                .then_some(equation.head)
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

/// `5m` without its last factor, where that is the other answer's unit of one letter.
fn without_unit(node: &Node, unit: &str) -> Option<Node> {
    let Node::Apply(Function::Product, factors) = node else { return None };
    let (last, rest) = factors.split_last()?;
    (*last == Node::Variable(unit.to_owned()) && !rest.is_empty())
        .then(|| Node::Apply(Function::Product, rest.to_vec()))
}

fn is_relation(node: &Node) -> bool {
    matches!(node, Node::Relation(..))
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
