//! What stands between operators: numbers, names, brackets, functions and matrices.

use super::number::{in_base, number};
use super::{Parser, reals};
use crate::node::{Function, Kind, Node, Trigonometric, quotient};
use crate::token::Token;

/// The most rows of a matrix.
const MAX_ROWS: usize = 32;

/// Functions of one argument, or of one list of arguments.
const FUNCTIONS: &[(&str, Function)] = &[
    ("sin", Function::Trigonometric(Trigonometric::Sine)),
    ("cos", Function::Trigonometric(Trigonometric::Cosine)),
    ("tan", Function::Trigonometric(Trigonometric::Tangent)),
    ("cot", Function::Trigonometric(Trigonometric::Cotangent)),
    ("sec", Function::Trigonometric(Trigonometric::Secant)),
    ("csc", Function::Trigonometric(Trigonometric::Cosecant)),
    ("arcsin", Function::Inverted(Trigonometric::Sine)),
    ("arccos", Function::Inverted(Trigonometric::Cosine)),
    ("arctan", Function::Inverted(Trigonometric::Tangent)),
    ("asin", Function::Inverted(Trigonometric::Sine)),
    ("acos", Function::Inverted(Trigonometric::Cosine)),
    ("atan", Function::Inverted(Trigonometric::Tangent)),
    ("sinh", Function::Hyperbolic(Trigonometric::Sine)),
    ("cosh", Function::Hyperbolic(Trigonometric::Cosine)),
    ("tanh", Function::Hyperbolic(Trigonometric::Tangent)),
    ("log", Function::BareLog),
    ("lg", Function::Log),
    ("ln", Function::NaturalLog),
    ("exp", Function::Exponential),
    ("abs", Function::Absolute),
    ("floor", Function::Floor),
    ("ceil", Function::Ceiling),
    ("gcd", Function::Gcd),
    ("lcm", Function::Lcm),
    ("min", Function::Minimum),
    ("max", Function::Maximum),
];

/// Marks over letters: part of the name.
const ACCENTS: &[&str] = &[
    "overline",
    "vec",
    "hat",
    "bar",
    "tilde",
    "widehat",
    "widetilde",
    "overrightarrow",
    "dot",
    "underline",
    "overarc",
];

/// Commands that begin an atom.
pub(super) fn is_known(name: &str) -> bool {
    matches!(name, "frac" | "sqrt" | "cbrt" | "binom" | "mathbb" | "reals")
        || ACCENTS.contains(&name)
        || FUNCTIONS.iter().any(|(known, _)| *known == name)
}

impl Parser {
    pub(super) fn atom(&mut self) -> Option<Node> {
        let token = self.peek()?.clone();
        self.at += 1;
        match token {
            Token::Number(digits) => {
                if self.take('_') {
                    return in_base(&digits, &self.subscript()?);
                }
                number(&digits)
            }
            Token::Letter(name) => self.variable(name),
            Token::Command(name) => self.command(&name),
            Token::Begin(name) => self.matrix(&name),
            Token::Symbol(symbol) => self.symbol_atom(symbol),
            Token::Word(_) | Token::Text(_) | Token::And | Token::Or => None,
        }
    }

    fn variable(&mut self, name: String) -> Option<Node> {
        let mut full = name;
        if self.take('_') {
            full = format!("{full}_{}", self.subscript()?);
        }
        while self.take('\'') {
            full.push('\'');
        }
        Some(match full.as_str() {
            "e" => Node::E,
            "i" => Node::I,
            _ => Node::Variable(full),
        })
    }

    /// The text of a subscript or of what an accent stands over.
    fn subscript(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut open = 0_usize;
        loop {
            match &self.tokens.get(self.at)?.token {
                Token::Symbol('{') => open += 1,
                Token::Symbol('}') => open = open.checked_sub(1)?,
                Token::Symbol(symbol) if open > 0 => text.push(*symbol),
                Token::Number(part) | Token::Letter(part) => text += part,
                Token::Word(part) | Token::Text(part) | Token::Command(part) => text += part,
                _ => return None,
            }
            self.at += 1;
            if open == 0 {
                return Some(text);
            }
        }
    }

    fn command(&mut self, name: &str) -> Option<Node> {
        match name {
            "frac" => {
                let above = self.argument()?;
                Some(quotient(&above, &self.argument()?))
            }
            "binom" => {
                let (above, below) = (self.argument()?, self.argument()?);
                Some(Node::Apply(Function::Binomial, vec![above, below]))
            }
            "sqrt" | "cbrt" => self.root(name),
            "emptyset" => Some(Node::Collection(Kind::Set, Vec::new())),
            "reals" => Some(reals()),
            "mathbb" => match self.subscript()?.as_str() {
                "R" => Some(reals()),
                other => Some(Node::Text(format!("mathbb {other}"))),
            },
            _ if ACCENTS.contains(&name) => {
                let under = self.subscript()?;
                self.variable(format!("{name} {under}"))
            }
            _ => {
                let (_, function) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
                self.call(*function)
            }
        }
    }

    fn root(&mut self, name: &str) -> Option<Node> {
        let mut index = Node::integer(if name == "cbrt" { 3 } else { 2 });
        if self.take('[') {
            index = self.list()?;
            self.expect(']')?;
        }
        // A number without braces is wholly under the root: nobody means `\sqrt12` as 2 times √1.
        let under = if let Some(Token::Number(digits)) = self.peek() {
            let under = number(digits)?;
            self.at += 1;
            under
        } else {
            self.argument()?
        };
        Some(Node::Apply(Function::Root, vec![index, under]))
    }

    /// A function with its exponent, base and argument.
    fn call(&mut self, function: Function) -> Option<Node> {
        let mut function = function;
        let mut exponent = None;
        let mut base = None;
        loop {
            if exponent.is_none() && self.take('^') {
                exponent = Some(self.exponent()?);
            } else if base.is_none() && function == Function::BareLog && self.take('_') {
                base = Some(self.argument_of_base()?);
            } else {
                break;
            }
        }
        let minus_one = Node::apply(Function::Negate, Node::integer(1));
        if let (Function::Trigonometric(name), Some(power)) = (function, &exponent)
            && *power == minus_one
        {
            function = Function::Inverted(name);
            exponent = None;
        }
        if function == Function::Log {
            base = Some(Node::integer(10));
        }
        let argument = self.function_argument()?;
        let node = match (base, argument) {
            (Some(base), argument) => Node::Apply(Function::Log, vec![base, argument]),
            (None, Node::Collection(Kind::Sequence(..), items)) => Node::Apply(function, items),
            (None, argument) => Node::apply(function, argument),
        };
        Some(match exponent {
            Some(exponent) => Node::Apply(Function::Power, vec![node, exponent]),
            None => node,
        })
    }

    /// The base of a logarithm: plain digits belong together, `\log_10 x`.
    fn argument_of_base(&mut self) -> Option<Node> {
        if let Some(Token::Number(digits)) = self.peek() {
            let base = number(digits);
            self.at += 1;
            return base;
        }
        self.argument()
    }

    /// A bracket, or factors up to the next sign or function: `\sin 2x \cos x` has two functions.
    fn function_argument(&mut self) -> Option<Node> {
        if let Some('(' | '{' | '[') = self.symbol() {
            return self.deeper(Self::atom);
        }
        let mut factors = vec![self.factor()?];
        while self.begins_factor() {
            if let Some(Token::Command(name)) = self.peek()
                && FUNCTIONS.iter().any(|(known, _)| known == name)
            {
                break;
            }
            factors.push(self.factor()?);
        }
        if factors.len() == 1 {
            factors.pop()
        } else {
            Some(Node::Apply(Function::Product, factors))
        }
    }

    fn matrix(&mut self, name: &str) -> Option<Node> {
        let name = name.trim_end_matches('*');
        if !matches!(name, "pmatrix" | "bmatrix" | "matrix" | "smallmatrix" | "array" | "Bmatrix") {
            return None;
        }
        let mut cells = Vec::new();
        let (mut columns, mut rows) = (0, 0);
        while !self.take('∎') {
            let before = cells.len();
            cells.push(self.outside_bars(Self::list)?);
            while self.take('&') {
                cells.push(self.outside_bars(Self::list)?);
            }
            rows += 1;
            let width = cells.len() - before;
            if rows > MAX_ROWS || (rows > 1 && width != columns) {
                return None;
            }
            columns = width;
            if !self.take('⏎') && self.symbol() != Some('∎') {
                return None;
            }
        }
        (rows > 0).then_some(Node::Collection(Kind::Matrix { columns }, cells))
    }
}
