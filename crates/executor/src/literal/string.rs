//! String and bytes literals: prefixes, escapes, adjacent concatenation.

use super::LiteralError;
use super::parser::Parser;
use crate::value::Value;

type Result<T> = std::result::Result<T, LiteralError>;

/// What the prefix of a literal says.
#[derive(Clone, Copy)]
struct Prefix {
    length: usize,
    raw: bool,
    bytes: bool,
}

/// Where the characters of a literal go.
enum Content {
    Str(String),
    Bytes(Vec<u8>),
}

impl Parser<'_> {
    pub(super) fn at_string_prefix(&self) -> bool {
        self.prefix().is_some()
    }

    /// One or more adjacent literals of one kind.
    pub(super) fn strings(&mut self) -> Result<Value> {
        let mut content: Option<Content> = None;
        loop {
            let offset = self.position();
            let Some(prefix) = self.prefix() else { break };
            let target = content.get_or_insert_with(|| {
                if prefix.bytes { Content::Bytes(Vec::new()) } else { Content::Str(String::new()) }
            });
            if matches!(target, Content::Bytes(_)) != prefix.bytes {
                return Err(LiteralError::Syntax { offset, expected: "literals of one kind" });
            }
            self.offset += prefix.length;
            self.quoted(prefix, target)?;
        }
        match content {
            Some(Content::Str(text)) => Ok(Value::Str(text)),
            Some(Content::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
            None => Err(self.expected("a string")),
        }
    }

    /// The prefix of the string that starts here, if one starts here.
    fn prefix(&self) -> Option<Prefix> {
        let mut prefix = Prefix { length: 0, raw: false, bytes: false };
        loop {
            match self.byte(prefix.length)? {
                b'\'' | b'"' => return Some(prefix),
                b'r' | b'R' if !prefix.raw => prefix.raw = true,
                b'b' | b'B' if !prefix.bytes => prefix.bytes = true,
                b'u' | b'U' if prefix.length == 0 && matches!(self.byte(1), Some(b'\'' | b'"')) => {
                }
                _ => return None,
            }
            prefix.length += 1;
        }
    }

    fn quoted(&mut self, prefix: Prefix, target: &mut Content) -> Result<()> {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let triple = rest.starts_with("'''") || rest.starts_with("\"\"\"");
        let close = rest.get(..if triple { 3 } else { 1 }).unwrap_or_default();
        self.offset += close.len();
        loop {
            let rest = self.text.get(self.offset..).unwrap_or_default();
            if rest.starts_with(close) {
                self.offset += close.len();
                return Ok(());
            }
            let Some(character) = rest.chars().next() else { return Err(self.unterminated()) };
            self.offset += character.len_utf8();
            match character {
                '\n' | '\r' if !triple => return Err(self.unterminated()),
                '\0' => return Err(self.unterminated()),
                '\r' => {
                    // Python reads every line end as a line feed.
                    if self.byte(0) == Some(b'\n') {
                        self.offset += 1;
                    }
                    self.push('\n', target)?;
                }
                '\\' if prefix.raw => {
                    self.push('\\', target)?;
                    // A raw string keeps the backslash, yet the quote behind it does not end the string.
                    if let Some(next @ (b'\\' | b'\'' | b'"')) = self.byte(0) {
                        self.offset += 1;
                        self.push(char::from(next), target)?;
                    }
                }
                '\\' => self.escape(target)?,
                _ => self.push(character, target)?,
            }
        }
    }

    fn escape(&mut self, target: &mut Content) -> Result<()> {
        let Some(byte) = self.byte(0) else { return Err(self.unterminated()) };
        let simple = match byte {
            b'\\' | b'\'' | b'"' => char::from(byte),
            b'a' => '\x07',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'v' => '\x0b',
            b'\n' => {
                self.offset += 1;
                return Ok(());
            }
            b'0'..=b'7' => {
                let length = (1..3)
                    .take_while(|ahead| matches!(self.byte(*ahead), Some(b'0'..=b'7')))
                    .count()
                    + 1;
                return self.code(0, length, 8, target);
            }
            b'x' => return self.code(1, 2, 16, target),
            b'u' if matches!(target, Content::Str(_)) => return self.code(1, 4, 16, target),
            b'U' if matches!(target, Content::Str(_)) => return self.code(1, 8, 16, target),
            b'N' if matches!(target, Content::Str(_)) => {
                return Err(self.expected("no named character"));
            }
            // Python keeps the backslash of an unknown escape.
            _ => return self.push('\\', target),
        };
        self.offset += 1;
        match target {
            Content::Str(text) => text.push(simple),
            Content::Bytes(bytes) => bytes.push(byte_of(simple)),
        }
        Ok(())
    }

    /// A numeric escape of exactly `length` digits behind `skip` bytes.
    fn code(&mut self, skip: usize, length: usize, radix: u32, target: &mut Content) -> Result<()> {
        let start = self.offset + skip;
        let digits = self.text.get(start..start + length).unwrap_or_default();
        let is_number = digits.len() == length && digits.chars().all(|digit| digit.is_digit(radix));
        let code = if is_number { u32::from_str_radix(digits, radix).ok() } else { None };
        let Some(code) = code else { return Err(self.expected("a numeric escape")) };
        match target {
            Content::Str(_) if (0xd800..0xe000).contains(&code) => {
                return Err(LiteralError::Surrogate);
            }
            Content::Str(text) => match char::from_u32(code) {
                Some(character) => text.push(character),
                None => return Err(self.expected("a Unicode character")),
            },
            Content::Bytes(bytes) => match u8::try_from(code) {
                Ok(byte) => bytes.push(byte),
                Err(_) => return Err(self.expected("a byte")),
            },
        }
        self.offset = start + length;
        Ok(())
    }

    fn push(&mut self, character: char, target: &mut Content) -> Result<()> {
        match target {
            Content::Str(text) => text.push(character),
            Content::Bytes(bytes) if character.is_ascii() => bytes.push(byte_of(character)),
            Content::Bytes(_) => return Err(self.expected("ASCII in bytes")),
        }
        Ok(())
    }

    fn unterminated(&mut self) -> LiteralError {
        LiteralError::Syntax { offset: self.offset, expected: "the closing quote" }
    }
}

fn byte_of(character: char) -> u8 {
    u8::try_from(character).unwrap_or(b'?')
}
