//! Brackets of all kinds: tuples, intervals, sets, groups, absolute values, floors.

use super::Parser;
use crate::node::{Bracket, Function, Kind, Node, quotient};
use crate::token::Token;

impl Parser {
    pub(super) fn symbol_atom(&mut self, symbol: char) -> Option<Node> {
        match symbol {
            'π' => Some(Node::Pi),
            '∞' => Some(Node::Infinity),
            '(' => self.bracket(Bracket::Round),
            '[' => self.bracket(Bracket::Square),
            '⟨' => self.bracket(Bracket::Angle),
            '{' => Some(match self.group()? {
                Node::Collection(Kind::List(_), items) => Node::Collection(Kind::Set, items),
                inner => inner,
            }),
            '⦃' => {
                if self.take('⦄') {
                    return Some(Node::Collection(Kind::Set, Vec::new()));
                }
                let described = self.begins_description();
                let inner = self.outside_bars(Self::list)?;
                self.expect('⦄')?;
                if described {
                    return Some(inner);
                }
                let items = match inner {
                    Node::Collection(Kind::List(_), items) => items,
                    inner => vec![inner],
                };
                Some(Node::Collection(Kind::Set, items))
            }
            '|' => {
                self.bars += 1;
                let inner = self.list()?;
                self.expect('|')?;
                self.bars -= 1;
                Some(Node::apply(Function::Absolute, inner))
            }
            '⌊' | '⌈' => {
                let inner = self.outside_bars(Self::list)?;
                self.expect(if symbol == '⌊' { '⌋' } else { '⌉' })?;
                let function = if symbol == '⌊' { Function::Floor } else { Function::Ceiling };
                Some(Node::apply(function, inner))
            }
            _ => None,
        }
    }

    /// Takes the `x |` or `x \in \mathbb{R} :` of a set that is described by a condition.
    fn begins_description(&mut self) -> bool {
        let tokens = self.tokens.get(self.at..).unwrap_or(&[]);
        let tokens: Vec<&Token> = tokens.iter().take(8).map(|spaced| &spaced.token).collect();
        let bar = |token: &&Token| matches!(token, Token::Symbol('|' | ':'));
        let length = match &tokens[..] {
            [Token::Letter(_), next, ..] if bar(next) => 2,
            [Token::Letter(_), Token::Symbol('∈'), Token::Command(_), rest @ ..] => {
                match rest.iter().position(bar) {
                    Some(at) if rest.iter().take(at).all(is_real_line) => at + 4,
                    _ => 0,
                }
            }
            _ => 0,
        };
        self.at += length;
        length > 0
    }

    /// What stands before a `}`; `a \over b` is a fraction.
    pub(super) fn group(&mut self) -> Option<Node> {
        let above = self.outside_bars(Self::list)?;
        let node = match self.peek() {
            Some(Token::Command(name)) if name == "over" => {
                self.at += 1;
                quotient(&above, &self.outside_bars(Self::list)?)
            }
            _ => above,
        };
        self.expect('}')?;
        Some(node)
    }

    /// Within brackets a `|` opens again.
    pub(super) fn outside_bars<T>(
        &mut self,
        rule: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let bars = std::mem::take(&mut self.bars);
        let result = rule(self);
        self.bars = bars;
        result
    }

    /// `(a)`, `(a, b)`, `[a, b)`: what is not closed by the bracket's own kind is an interval.
    fn bracket(&mut self, left: Bracket) -> Option<Node> {
        let inner = self.outside_bars(Self::list)?;
        let right = match self.symbol()? {
            ')' => Bracket::Round,
            ']' => Bracket::Square,
            '⟩' => Bracket::Angle,
            _ => return None,
        };
        self.at += 1;
        match inner {
            Node::Collection(Kind::List(_), items) => {
                Some(Node::Collection(Kind::Sequence(left, right), items))
            }
            inner => (left == right).then_some(inner),
        }
    }
}

/// What may stand between `x \in \mathbb` and the bar.
fn is_real_line(token: &&Token) -> bool {
    match token {
        Token::Symbol('{' | '}') => true,
        Token::Letter(name) => name == "R",
        _ => false,
    }
}
