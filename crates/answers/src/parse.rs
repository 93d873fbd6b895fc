//! From tokens to a tree: lists, relations, sets and units here, arithmetic, brackets and atoms in modules.
//!
//! Every rule is None where the tokens are no such thing. Depth is bounded, no token is read twice by two rules at
//! one depth, so time grows with length times depth.

mod arithmetic;
mod atom;
mod bracket;
mod number;

use num_bigint::BigInt;

use crate::node::{Comparison, Function, Junction, Kind, Node};
use crate::token::{Spaced, Token};
use crate::words;

/// The deepest nesting of brackets, exponents and arguments.
const MAX_DEPTH: usize = 64;

/// The most set operators in a row.
const MAX_SET_OPERATORS: usize = 16;

/// What the tokens say, None when they are no answer that is understood.
pub(crate) fn parse(tokens: Vec<Spaced>) -> Option<Node> {
    let mut parser = Parser { tokens, at: 0, depth: 0, bars: 0 };
    let node = parser.list()?;
    (parser.at == parser.tokens.len()).then_some(node)
}

struct Parser {
    tokens: Vec<Spaced>,
    at: usize,
    depth: usize,
    /// Open `|`.
    bars: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|spaced| &spaced.token)
    }

    /// The next token, if it is a symbol.
    fn symbol(&self) -> Option<char> {
        match self.peek() {
            Some(Token::Symbol(symbol)) => Some(*symbol),
            _ => None,
        }
    }

    fn take(&mut self, symbol: char) -> bool {
        let there = self.symbol() == Some(symbol);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, symbol: char) -> Option<()> {
        self.take(symbol).then_some(())
    }

    /// Runs a rule one level deeper.
    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let result = if self.depth > MAX_DEPTH { None } else { rule(self) };
        self.depth -= 1;
        result
    }

    /// `item, item and item`; a single item is no list.
    fn list(&mut self) -> Option<Node> {
        self.deeper(|parser| {
            let mut items = vec![parser.item()?];
            let mut junction = Junction::Comma;
            while let Some(separator) = parser.separator() {
                if separator != Junction::Comma {
                    junction = separator;
                }
                items.push(parser.item()?);
            }
            // `\frac{\pi}{2} + k\pi, k \in \mathbb{Z}`: the domain of a parameter is no item.
            if items.len() > 1 && !items.iter().all(is_domain) {
                items.retain(|item| !is_domain(item));
            }
            match items.len() {
                1 => items.pop(),
                _ => Some(Node::Collection(Kind::List(junction), items)),
            }
        })
    }

    /// `,`, `;`, `and`, `or` and `, and`.
    fn separator(&mut self) -> Option<Junction> {
        let comma = self.take(',') || self.take(';');
        let junction = match self.peek() {
            Some(Token::And) => Some(Junction::And),
            Some(Token::Or) => Some(Junction::Or),
            _ => None,
        };
        self.at += usize::from(junction.is_some());
        junction.or(comma.then_some(Junction::Comma))
    }

    /// `a < b ≤ c`, or what has no comparison.
    fn item(&mut self) -> Option<Node> {
        let mut nodes = vec![self.ratio()?];
        let mut signs = Vec::new();
        while let Some(sign) = self.comparison() {
            signs.push(sign);
            nodes.push(self.ratio()?);
        }
        if signs.is_empty() { nodes.pop() } else { Some(Node::Relation(signs, nodes)) }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let sign = match self.symbol()? {
            '=' => Comparison::Equal,
            '≠' => Comparison::NotEqual,
            '<' => Comparison::Less,
            '≤' => Comparison::LessOrEqual,
            '>' => Comparison::Greater,
            '≥' => Comparison::GreaterOrEqual,
            '∈' => Comparison::In,
            _ => return None,
        };
        self.at += 1;
        Some(sign)
    }

    fn ratio(&mut self) -> Option<Node> {
        let mut parts = vec![self.set()?];
        while self.take(':') {
            parts.push(self.set()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Node::Collection(Kind::Ratio, parts)) }
    }

    /// Unions, intersections and differences, from left to right.
    fn set(&mut self) -> Option<Node> {
        let mut left = self.quantity()?;
        for _ in 0..MAX_SET_OPERATORS {
            let kind = match self.symbol() {
                Some('∪') => Kind::Union,
                Some('∩') => Kind::Intersection,
                Some('∖') => Kind::Difference,
                _ => return Some(left),
            };
            self.at += 1;
            left = Node::Collection(kind, vec![left, self.quantity()?]);
        }
        None
    }

    /// A value and the words after it.
    fn quantity(&mut self) -> Option<Node> {
        if let Some(words) = self.words() {
            return Some(words_node(&words));
        }
        let mut value = self.sum()?;
        // `3 million dollars`
        while let Some(Token::Word(word) | Token::Text(word)) = self.peek()
            && let Some(power) = words::scale(word)
        {
            self.at += 1;
            let scale = Node::integer(BigInt::from(10).pow(power));
            value = Node::Apply(Function::Product, vec![value, scale]);
        }
        let Some(mut unit) = self.words() else { return Some(value) };
        // What follows a unit only refines it: `m/s^2`, `km per h`.
        loop {
            if self.take('^') {
                if self.take('{') {
                    self.sum()?;
                    self.expect('}')?;
                } else {
                    self.factor()?;
                }
            } else if self.symbol() == Some('/')
                || self.symbol() == Some('*')
                || matches!(self.peek(), Some(Token::Word(_) | Token::Text(_)))
            {
                let joint = self.symbol();
                if let Some(joint) = joint {
                    self.at += 1;
                    unit.push(joint);
                }
                match self.peek()? {
                    Token::Word(word) | Token::Text(word) | Token::Letter(word) => {
                        unit += word;
                        self.at += 1;
                    }
                    _ => return None,
                }
            } else {
                break;
            }
        }
        let unit = unit.trim().trim_start_matches("square ").trim_start_matches("sq ");
        if matches!(unit, "degrees" | "degree") {
            return Some(Node::apply(Function::Degree, value));
        }
        let unit = words::unit(unit).unwrap_or(unit).to_owned();
        Some(Node::Quantity(Box::new(value), unit))
    }

    /// Words in a row.
    fn words(&mut self) -> Option<String> {
        let mut words = Vec::new();
        while let Some(Token::Word(word) | Token::Text(word)) = self.peek() {
            words.push(word.clone());
            self.at += 1;
        }
        (!words.is_empty()).then(|| words.join(" "))
    }
}

fn is_domain(item: &Node) -> bool {
    match item {
        Node::Relation(signs, sides) => {
            signs[..] == [Comparison::In] && matches!(sides[..], [Node::Variable(_), Node::Text(_)])
        }
        _ => false,
    }
}

/// What words say: some name sets.
fn words_node(words: &str) -> Node {
    let plain = words.to_lowercase();
    match plain.trim_end_matches('.') {
        "all real numbers" | "all reals" | "real numbers" => reals(),
        "no solution" | "no solutions" | "no real solution" | "no real solutions" | "empty set"
        | "the empty set" => Node::Collection(Kind::Set, Vec::new()),
        _ => Node::Text(words.to_owned()),
    }
}

/// `(-∞, ∞)`
fn reals() -> Node {
    let ends = vec![Node::apply(Function::Negate, Node::Infinity), Node::Infinity];
    Node::Collection(Kind::Sequence(crate::node::Bracket::Round, crate::node::Bracket::Round), ends)
}
