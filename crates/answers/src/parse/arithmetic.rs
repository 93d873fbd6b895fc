//! Sums, products and powers.

use num_traits::Signed;

use super::Parser;
use super::number::number;
use crate::node::{Bracket, Function, Kind, Node, quotient};
use crate::token::Token;

/// The most of `!`, `%`, `^` and `°` after one another.
const MAX_POSTFIX: usize = 8;

impl Parser {
    pub(super) fn sum(&mut self) -> Option<Node> {
        let mut terms = Vec::new();
        loop {
            let (mut signed, mut negative, mut both) = (false, false, None);
            while let Some(sign @ ('+' | '-' | '±' | '∓')) = self.symbol() {
                self.at += 1;
                signed = true;
                match sign {
                    '-' => negative = !negative,
                    '±' => both = Some(Function::PlusMinus),
                    '∓' => both = Some(Function::MinusPlus),
                    _ => {}
                }
            }
            if !signed && !terms.is_empty() {
                break;
            }
            let mut term = self.term()?;
            if negative {
                term = Node::apply(Function::Negate, term);
            }
            if let Some(both) = both {
                term = Node::apply(both, term);
            }
            terms.push(term);
        }
        if terms.len() == 1 { terms.pop() } else { Some(Node::Apply(Function::Sum, terms)) }
    }

    /// Factors; division goes from left to right, `1/2x` is a half of `x`.
    fn term(&mut self) -> Option<Node> {
        let first = self.factor()?;
        let mut factors = vec![self.mixed(first)?];
        loop {
            if self.take('*') {
                factors.push(self.signed()?);
            } else if self.symbol() == Some('/') {
                self.at += 1;
                factors.push(Node::apply(Function::Inverse, self.signed()?));
            } else if self.begins_factor() {
                factors.push(self.factor()?);
            } else {
                break;
            }
        }
        if let [Node::Variable(_), Node::Collection(Kind::Sequence(left, right), _)] = &factors[..]
            && (*left, *right) != (Bracket::Round, Bracket::Round)
        {
            // `x [0, 1)` lacks its ∈: a product with an interval is nothing.
            factors.remove(0);
        }
        if factors.len() == 1 {
            return factors.pop();
        }
        let is_matrix = |node: &Node| matches!(node, Node::Collection(Kind::Matrix { .. }, _));
        if factors.iter().filter(|factor| is_matrix(factor)).count() == 1 {
            let matrix = factors.remove(factors.iter().position(is_matrix)?);
            return Some(matrix.map(|entry| {
                let factors = factors.iter().chain([entry]).cloned().collect();
                Node::Apply(Function::Product, factors)
            }));
        }
        Some(Node::Apply(Function::Product, factors))
    }

    /// A factor with signs, as after `\cdot` or `^`.
    fn signed(&mut self) -> Option<Node> {
        let mut negative = false;
        while let Some(sign @ ('+' | '-')) = self.symbol() {
            self.at += 1;
            negative ^= sign == '-';
        }
        let factor = self.factor()?;
        Some(if negative { Node::apply(Function::Negate, factor) } else { factor })
    }

    /// Whether what comes next multiplies what came before.
    pub(super) fn begins_factor(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let closed = before
            .is_some_and(|before| matches!(before.token, Token::Symbol('}') | Token::Symbol(')')));
        match self.peek() {
            Some(Token::Number(_)) => closed,
            Some(Token::Symbol(symbol)) => {
                "([{⌊⌈π".contains(*symbol) || (*symbol == '|' && self.bars == 0)
            }
            Some(Token::Letter(_) | Token::Begin(_)) => true,
            Some(Token::Command(name)) => super::atom::is_known(name),
            _ => false,
        }
    }

    /// `1\frac{1}{2}` and `1 1/2` are sums.
    fn mixed(&mut self, whole: Node) -> Option<Node> {
        let is_integer =
            |node: &Node| matches!(node, Node::Number(number) if number.precision.is_none());
        let one_token = matches!(
            self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map(|spaced| &spaced.token),
            Some(Token::Number(_))
        );
        if !is_integer(&whole) || !one_token {
            return Some(whole);
        }
        let fraction = match self.peek() {
            Some(Token::Command(name)) if name == "frac" => self.factor()?,
            Some(Token::Number(_)) if self.tokens.get(self.at).is_some_and(|next| next.space) => {
                let above = self.factor()?;
                self.expect('/')?;
                quotient(&above, &self.factor()?)
            }
            _ => return Some(whole),
        };
        let proper = match &fraction {
            Node::Apply(Function::Product, parts) => match &parts[..] {
                [Node::Number(above), Node::Apply(Function::Inverse, below)] => {
                    matches!(&below[..], [Node::Number(below)] if above.value.abs() < below.value)
                }
                _ => false,
            },
            _ => false,
        };
        let function = if proper { Function::Sum } else { Function::Product };
        Some(Node::Apply(function, vec![whole, fraction]))
    }

    /// An atom with its exponents, `!`, `%` and `°`.
    pub(super) fn factor(&mut self) -> Option<Node> {
        self.deeper(|parser| {
            let mut base = parser.atom()?;
            for _ in 0..MAX_POSTFIX {
                let Some(symbol @ ('!' | '%' | '°' | '^')) = parser.symbol() else {
                    return Some(base);
                };
                parser.at += 1;
                base = match symbol {
                    '!' => Node::apply(Function::Factorial, base),
                    '%' => Node::apply(Function::Percent, base),
                    '^' if !parser.degree() => {
                        Node::Apply(Function::Power, vec![base, parser.exponent()?])
                    }
                    _ => Node::apply(Function::Degree, base),
                };
            }
            None
        })
    }

    /// Takes the `\circ` or `{\circ}` after `^`.
    fn degree(&mut self) -> bool {
        let at = |offset: usize| self.tokens.get(self.at + offset).map(|spaced| &spaced.token);
        let circle = Some(&Token::Symbol('°'));
        let length = match (at(0), at(1), at(2)) {
            (first, ..) if first == circle => 1,
            (Some(Token::Symbol('{')), second, Some(Token::Symbol('}'))) if second == circle => 3,
            _ => 0,
        };
        self.at += length;
        length > 0
    }

    pub(super) fn exponent(&mut self) -> Option<Node> {
        if self.symbol() == Some('{') { self.argument() } else { self.signed() }
    }

    /// The argument of a command: a group, one digit or one atom.
    pub(super) fn argument(&mut self) -> Option<Node> {
        if self.take('{') {
            return self.group();
        }
        let spaced = self.tokens.get_mut(self.at)?;
        if let Token::Number(digits) = &mut spaced.token
            && digits.len() > 1
        {
            let rest = digits.split_off(1);
            let first = std::mem::replace(digits, rest);
            return number(&first);
        }
        self.deeper(Self::atom)
    }
}
