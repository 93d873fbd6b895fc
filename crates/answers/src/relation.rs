//! Equations and inequalities.

use num_bigint::Sign;

use crate::judge::Judge;
use crate::node::{Comparison, Function, Kind, Node};

/// `head = value`, the parts between left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Equation<'a> {
    pub(crate) head: &'a Node,
    pub(crate) value: &'a Node,
}

/// What a relation of `=` alone says.
pub(crate) fn equation(node: &Node) -> Option<Equation<'_>> {
    let Node::Relation(signs, sides) = node else { return None };
    match (signs.iter().all(|sign| *sign == Comparison::Equal), &sides[..]) {
        (true, [head, .., value]) => Some(Equation { head, value }),
        _ => None,
    }
}

/// The variable and the set of `x ∈ S`.
pub(crate) fn membership(node: &Node) -> Option<(&Node, &Node)> {
    match node {
        Node::Relation(signs, sides) if signs[..] == [Comparison::In] => match &sides[..] {
            [head, set] if is_name(head) => Some((head, set)),
            _ => None,
        },
        _ => None,
    }
}

impl<'a> Equation<'a> {
    /// The value, where the head only names it. `other` is what it will be compared with.
    pub(crate) fn named(self, other: &Node) -> Option<&'a Node> {
        if is_name(self.head) {
            return Some(self.value);
        }
        // `5 = x`
        (is_name(self.value) && other != self.value).then_some(self.head)
    }
}

/// Whether a node names a value: `x`, `AB`, `f(x)`, `(x, y)`, words.
fn is_name(node: &Node) -> bool {
    match node {
        Node::Variable(_) | Node::Text(_) => true,
        Node::Collection(Kind::Sequence(..), items) => items.iter().all(is_name),
        Node::Apply(Function::Product, factors) => {
            is_call(node) || factors.iter().all(|factor| matches!(factor, Node::Variable(_)))
        }
        _ => false,
    }
}

/// `f(x)`, `P(3)`, `g(x, y)`: what a product of a letter and one more thing may also be.
fn is_call(node: &Node) -> bool {
    let Node::Apply(Function::Product, factors) = node else { return false };
    match &factors[..] {
        [Node::Variable(_), argument] => matches!(
            argument,
            Node::Variable(_)
                | Node::Number(_)
                | Node::Collection(Kind::Sequence(..), _)
                | Node::Apply(Function::Sum, _)
        ),
        _ => false,
    }
}

/// Whether `f(x)` may be called by the other name: `g(x)` or `y`.
fn may_be(call: &Node, other: &Node) -> bool {
    is_call(call) && (is_call(other) || *other == Node::Variable("y".to_owned()))
}

/// Whether two relations say the same.
pub(crate) fn same(judge: &Judge, gold: &Node, answer: &Node) -> Option<bool> {
    if let (Some(x), Some(y)) = (equation(gold), equation(answer)) {
        let names = is_name(x.head) && is_name(y.head);
        let alike = x.head == y.head || may_be(x.head, y.head) || may_be(y.head, x.head);
        if names && alike && judge.same(x.value, y.value) == Some(true) {
            return Some(true);
        }
        return judge.comparer.proportional(
            &difference(x.head, x.value),
            &difference(y.head, y.value),
            |sign| sign != Sign::NoSign,
        );
    }
    if let (Some((x, set)), Some((y, other))) = (membership(gold), membership(answer)) {
        return if x == y { judge.same(set, other) } else { Some(false) };
    }
    if equation(gold).is_some() || equation(answer).is_some() {
        return Some(false);
    }
    let (x, y) = (inequality(gold)?, inequality(answer)?);
    if x.1 != y.1 {
        return Some(false);
    }
    judge.comparer.proportional(&x.0, &y.0, |sign| {
        if x.1 == Comparison::NotEqual { sign != Sign::NoSign } else { sign == Sign::Plus }
    })
}

/// `a < b` as `b - a > 0`: the difference, and `Greater`, `GreaterOrEqual` or `NotEqual`.
fn inequality(node: &Node) -> Option<(Node, Comparison)> {
    let Node::Relation(signs, sides) = node else { return None };
    let ([sign], [a, b]) = (&signs[..], &sides[..]) else { return None };
    match sign {
        Comparison::Less => Some((difference(b, a), Comparison::Greater)),
        Comparison::LessOrEqual => Some((difference(b, a), Comparison::GreaterOrEqual)),
        Comparison::Greater | Comparison::GreaterOrEqual | Comparison::NotEqual => {
            Some((difference(a, b), *sign))
        }
        Comparison::Equal | Comparison::In => None,
    }
}

fn difference(a: &Node, b: &Node) -> Node {
    Node::Apply(Function::Sum, vec![a.clone(), Node::apply(Function::Negate, b.clone())])
}
