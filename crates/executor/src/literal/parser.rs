//! Recursive descent over the text; recursion is bounded by the nesting limit of values.

use super::number::Number;
use super::{Arguments, LiteralError};
use crate::value::{BigInt, MAX_DEPTH, MAX_NODES, Value};

type Result<T> = std::result::Result<T, LiteralError>;

/// Words that Python does not take as a keyword argument's name.
const RESERVED: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
    nodes: usize,
    depth: usize,
    /// Whether line ends are spaces, as inside brackets.
    lines_join: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, max_bytes: usize) -> Result<Self> {
        if text.len() > max_bytes {
            return Err(LiteralError::TooLarge);
        }
        Ok(Self { text, offset: 0, nodes: 0, depth: 0, lines_join: false })
    }

    pub(super) fn literal(mut self) -> Result<Value> {
        self.lines_join = true;
        self.skip_space();
        self.lines_join = false;
        let first = self.expression()?;
        let value = if self.peek() == Some(b',') {
            let mut items = vec![first];
            while self.take(b',') && !matches!(self.peek(), None | Some(b'\n' | b'\r')) {
                items.push(self.expression()?);
            }
            self.count()?;
            Value::Tuple(items)
        } else {
            first
        };
        self.lines_join = true;
        self.end()?;
        Ok(value)
    }

    pub(super) fn arguments(mut self) -> Result<Arguments> {
        self.lines_join = true;
        let mut arguments = Arguments::default();
        while self.peek().is_some() {
            if let Some(name) = self.keyword_name() {
                let value = self.argument()?;
                if arguments.keyword.iter().any(|(other, _)| other == name) {
                    return Err(LiteralError::RepeatedKeyword(name.to_owned()));
                }
                arguments.keyword.push((name.to_owned(), value));
            } else if arguments.keyword.is_empty() {
                arguments.positional.push(self.argument()?);
            } else {
                return Err(self.expected("a keyword argument"));
            }
            if !self.take(b',') {
                break;
            }
        }
        self.end()?;
        Ok(arguments)
    }

    /// A literal, or a range in place of the list of its numbers.
    fn argument(&mut self) -> Result<Value> {
        let start = self.position();
        if self.identifier() == "range" && self.peek() == Some(b'(') {
            return self.nested(Self::range);
        }
        self.offset = start;
        self.expression()
    }

    fn range(&mut self) -> Result<Value> {
        let offset = self.position();
        let ends = self.items(b')')?;
        let numbers: Option<Vec<i64>> = ends
            .iter()
            .map(|end| if let Value::Int(end) = end { i64::try_from(end).ok() } else { None })
            .collect();
        let (mut next, end, step) = match numbers.as_deref() {
            Some([end]) => (0, *end, 1),
            Some([start, end]) => (*start, *end, 1),
            Some([start, end, step]) if *step != 0 => (*start, *end, *step),
            _ => return Err(LiteralError::Syntax { offset, expected: "one to three integers" }),
        };
        let mut items = Vec::new();
        while if step > 0 { next < end } else { next > end } {
            self.count()?;
            items.push(Value::from(next));
            match next.checked_add(step) {
                Some(following) => next = following,
                None => break,
            }
        }
        Ok(Value::List(items))
    }

    /// A signed number, a sum of a real and an imaginary number, or anything without operators.
    fn expression(&mut self) -> Result<Value> {
        let start = self.position();
        let value = self.signed()?;
        let real = match &value {
            Value::Int(value) => value.to_string().parse::<f64>().unwrap_or(f64::INFINITY),
            Value::Float(value) => *value,
            _ => return Ok(value),
        };
        let sign = match self.peek() {
            Some(b'+') => 1.0,
            Some(b'-') => -1.0,
            _ => return Ok(value),
        };
        self.offset += 1;
        let overflows = matches!(value, Value::Int(_)) && real.is_infinite();
        match self.primary()? {
            // The sums are Python's: they decide about the signs of zeros.
            Value::Complex(re, im) if !overflows => {
                Ok(Value::Complex(real + sign * re, 0.0 + sign * im))
            }
            _ => Err(LiteralError::Syntax {
                offset: start,
                expected: "a real and an imaginary number",
            }),
        }
    }

    fn signed(&mut self) -> Result<Value> {
        let (mut signs, mut negative) = (false, false);
        while let Some(sign @ (b'+' | b'-')) = self.peek() {
            self.offset += 1;
            signs = true;
            negative ^= sign == b'-';
        }
        if !signs {
            return self.primary();
        }
        let offset = self.position();
        match self.primary()? {
            Value::Int(value) => Ok(Value::Int(if negative { -value } else { value })),
            Value::Float(value) => Ok(Value::Float(if negative { -value } else { value })),
            Value::Complex(re, im) => {
                Ok(if negative { Value::Complex(-re, -im) } else { Value::Complex(re, im) })
            }
            _ => Err(LiteralError::Syntax { offset, expected: "a number after a sign" }),
        }
    }

    fn primary(&mut self) -> Result<Value> {
        self.count()?;
        match self.peek() {
            Some(b'0'..=b'9' | b'.') => Ok(match self.number()? {
                Number::Int(value) => Value::Int(value),
                Number::Float(value) => Value::Float(value),
                Number::Imaginary(value) => Value::Complex(0.0, value),
            }),
            Some(b'\'' | b'"') => self.strings(),
            Some(b'(') => self.nested(Self::parenthesised),
            Some(b'[') => self.nested(|parser| Ok(Value::List(parser.items(b']')?))),
            Some(b'{') => self.nested(Self::braces),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                if self.at_string_prefix() {
                    self.strings()
                } else {
                    self.named()
                }
            }
            _ => Err(self.expected("a literal")),
        }
    }

    fn named(&mut self) -> Result<Value> {
        let offset = self.position();
        let name = self.identifier();
        match name {
            "None" => return Ok(Value::None),
            "True" => return Ok(Value::Bool(true)),
            "False" => return Ok(Value::Bool(false)),
            "inf" => return Ok(Value::Float(f64::INFINITY)),
            "nan" => return Ok(Value::Float(f64::NAN)),
            _ => {}
        }
        let call: fn(&mut Self) -> Result<Value> = match name {
            "set" => |parser| Ok(Value::set(parser.elements()?)?),
            "frozenset" => |parser| Ok(Value::frozen_set(parser.elements()?)?),
            "dict" => Self::dict_keywords,
            "complex" => Self::complex_parts,
            "float" => Self::float_text,
            _ => return Err(LiteralError::Syntax { offset, expected: "a literal" }),
        };
        if self.peek() != Some(b'(') {
            return Err(self.expected("'('"));
        }
        self.nested(call)
    }

    /// Runs `inner` behind an opening bracket, one level deeper. `inner` takes the closing one.
    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Value>) -> Result<Value> {
        if self.depth == MAX_DEPTH {
            return Err(LiteralError::TooDeep);
        }
        self.offset += 1;
        self.depth += 1;
        let outer = std::mem::replace(&mut self.lines_join, true);
        let value = inner(self)?;
        self.lines_join = outer;
        self.depth -= 1;
        Ok(value)
    }

    fn parenthesised(&mut self) -> Result<Value> {
        if self.take(b')') {
            return Ok(Value::Tuple(Vec::new()));
        }
        let first = self.expression()?;
        if self.take(b')') {
            return Ok(first);
        }
        self.require(b',', "',' or ')'")?;
        let mut items = vec![first];
        items.extend(self.items(b')')?);
        Ok(Value::Tuple(items))
    }

    /// Comma-separated expressions up to and including the closing bracket.
    fn items(&mut self, close: u8) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.expression()?);
            if !self.take(b',') {
                self.require(close, "',' or a closing bracket")?;
                break;
            }
        }
        Ok(items)
    }

    fn braces(&mut self) -> Result<Value> {
        if self.take(b'}') {
            return Ok(Value::Dict(Vec::new()));
        }
        let first = self.expression()?;
        if !self.take(b':') {
            let mut elements = vec![first];
            if self.take(b',') {
                elements.extend(self.items(b'}')?);
            } else {
                self.require(b'}', "',', ':' or '}'")?;
            }
            return Ok(Value::set(elements)?);
        }
        let mut entries = vec![(first, self.expression()?)];
        while self.take(b',') && self.peek() != Some(b'}') {
            let name = self.expression()?;
            self.require(b':', "':'")?;
            entries.push((name, self.expression()?));
        }
        self.require(b'}', "',' or '}'")?;
        Ok(Value::dict(entries)?)
    }

    /// The argument of `set(…)` and `frozenset(…)`: nothing, or one container of elements.
    fn elements(&mut self) -> Result<Vec<Value>> {
        if self.take(b')') {
            return Ok(Vec::new());
        }
        let offset = self.position();
        let elements = match self.expression()? {
            Value::List(items)
            | Value::Tuple(items)
            | Value::Set(items)
            | Value::FrozenSet(items) => items,
            _ => return Err(LiteralError::Syntax { offset, expected: "a container of elements" }),
        };
        self.require(b')', "')'")?;
        Ok(elements)
    }

    fn dict_keywords(&mut self) -> Result<Value> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while !self.take(b')') {
            self.count()?;
            let Some(name) = self.keyword_name() else {
                return Err(self.expected("a keyword argument"));
            };
            if !names.insert(name) {
                return Err(LiteralError::RepeatedKeyword(name.to_owned()));
            }
            entries.push((name.into(), self.expression()?));
            if !self.take(b',') {
                self.require(b')', "',' or ')'")?;
                break;
            }
        }
        Ok(Value::Dict(entries))
    }

    fn complex_parts(&mut self) -> Result<Value> {
        let offset = self.position();
        // The parts are no values of their own: a literal and its canonical text have equally many.
        let nodes = self.nodes;
        self.nodes = nodes.saturating_sub(2);
        let parts = self.items(b')')?;
        self.nodes = nodes;
        match parts.as_slice() {
            [Value::Float(re), Value::Float(im)] => Ok(Value::Complex(*re, *im)),
            _ => Err(LiteralError::Syntax { offset, expected: "two floats" }),
        }
    }

    fn float_text(&mut self) -> Result<Value> {
        let offset = self.position();
        let value = match self.items(b')')?.as_slice() {
            [Value::Str(text)] => match text.to_ascii_lowercase().as_str() {
                "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
                "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
                "nan" | "+nan" | "-nan" => Some(f64::NAN),
                _ => None,
            },
            _ => None,
        };
        value
            .map(Value::Float)
            .ok_or(LiteralError::Syntax { offset, expected: "'inf', '-inf' or 'nan'" })
    }

    /// Takes `name =` if it stands here.
    fn keyword_name(&mut self) -> Option<&'a str> {
        let start = self.position();
        let name = self.identifier();
        let is_name = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
        if is_name && !RESERVED.contains(&name) && self.take(b'=') {
            return Some(name);
        }
        self.offset = start;
        None
    }

    fn identifier(&mut self) -> &'a str {
        let start = self.position();
        let rest = self.text.get(start..).unwrap_or_default();
        let length =
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        self.offset = start + length;
        rest.get(..length).unwrap_or_default()
    }

    /// The offset of the next byte that is no space.
    pub(super) fn position(&mut self) -> usize {
        self.skip_space();
        self.offset
    }

    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.byte(0)
    }

    /// The byte `ahead` of the offset, spaces not skipped.
    pub(super) fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.offset + ahead).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    fn require(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end of the text")) }
    }

    pub(super) fn expected(&mut self, expected: &'static str) -> LiteralError {
        LiteralError::Syntax { offset: self.position(), expected }
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(LiteralError::TooManyNodes) } else { Ok(()) }
    }

    fn skip_space(&mut self) {
        loop {
            match self.byte(0) {
                Some(b' ' | b'\t' | b'\x0c') => self.offset += 1,
                Some(b'\n' | b'\r') if self.lines_join => self.offset += 1,
                Some(b'\\') if matches!(self.byte(1), Some(b'\n')) => self.offset += 2,
                Some(b'#') => {
                    let rest = self.text.as_bytes().get(self.offset..).unwrap_or_default();
                    self.offset +=
                        rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
                }
                _ => return,
            }
        }
    }
}

/// The integer of digits in a radix; `None` when it has more decimal digits than Python converts.
pub(super) fn integer(digits: &str, radix: u32) -> Option<BigInt> {
    use crate::value::MAX_DIGITS;
    let value = BigInt::parse_bytes(digits.as_bytes(), radix)?;
    // A number of MAX_DIGITS digits has at least this many bits, so that most numbers need no conversion.
    let may_be_long = value.bits() > (MAX_DIGITS as u64 - 1) * 33 / 10;
    (!may_be_long || value.to_string().len() <= MAX_DIGITS).then_some(value)
}
