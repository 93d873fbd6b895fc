//! Number literals.

use super::LiteralError;
use super::parser::{Parser, integer};
use crate::value::{BigInt, MAX_DIGITS};

/// What a number literal stands for.
pub(super) enum Number {
    Int(BigInt),
    Float(f64),
    Imaginary(f64),
}

impl Parser<'_> {
    /// A number without sign. Digits may be grouped by single underscores.
    pub(super) fn number(&mut self) -> Result<Number, LiteralError> {
        let radix = match (self.byte(0), self.byte(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => Some(16),
            (Some(b'0'), Some(b'o' | b'O')) => Some(8),
            (Some(b'0'), Some(b'b' | b'B')) => Some(2),
            _ => None,
        };
        let number =
            if let Some(radix) = radix { self.radix_integer(radix)? } else { self.decimal()? };
        // `1if` and `1.5x` are no numbers.
        match self.byte(0) {
            Some(byte)
                if byte.is_ascii_alphanumeric()
                    || byte == b'_'
                    || byte == b'.'
                    || !byte.is_ascii() =>
            {
                Err(self.expected("the end of the number"))
            }
            _ => Ok(number),
        }
    }

    fn radix_integer(&mut self, radix: u32) -> Result<Number, LiteralError> {
        self.offset += 2;
        if self.byte(0) == Some(b'_') {
            self.offset += 1;
        }
        let digits = self.digits(radix)?;
        // Radix 2 writes the most digits for one number: no number within the limit is longer.
        if digits.len() > MAX_DIGITS * 4 {
            return Err(LiteralError::TooManyDigits);
        }
        integer(&digits, radix).map(Number::Int).ok_or(LiteralError::TooManyDigits)
    }

    fn decimal(&mut self) -> Result<Number, LiteralError> {
        let mut text = String::new();
        let mut is_float = false;
        if self.byte(0) != Some(b'.') {
            text.push_str(&self.digits(10)?);
        }
        if self.byte(0) == Some(b'.') {
            is_float = true;
            self.offset += 1;
            let fraction = matches!(self.byte(0), Some(b'0'..=b'9'));
            if text.is_empty() && !fraction {
                return Err(self.expected("a digit"));
            }
            text.push('.');
            if fraction {
                text.push_str(&self.digits(10)?);
            }
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            is_float = true;
            self.offset += 1;
            text.push('e');
            if let Some(sign @ (b'+' | b'-')) = self.byte(0) {
                self.offset += 1;
                text.push(char::from(sign));
            }
            text.push_str(&self.digits(10)?);
        }
        let float = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
        if matches!(self.byte(0), Some(b'j' | b'J')) {
            self.offset += 1;
            return Ok(Number::Imaginary(float(&text)));
        }
        if is_float {
            return Ok(Number::Float(float(&text)));
        }
        if text.len() > MAX_DIGITS {
            return Err(LiteralError::TooManyDigits);
        }
        if text.starts_with('0') && text.bytes().any(|digit| digit != b'0') {
            return Err(self.expected("an integer without leading zeros"));
        }
        integer(&text, 10).map(Number::Int).ok_or(LiteralError::TooManyDigits)
    }

    /// One or more digits; underscores are left out.
    fn digits(&mut self, radix: u32) -> Result<String, LiteralError> {
        let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| char::from(byte).is_digit(radix));
        let mut digits = String::new();
        loop {
            match self.byte(0) {
                Some(byte) if is_digit(Some(byte)) => digits.push(char::from(byte)),
                Some(b'_') if !digits.is_empty() && is_digit(self.byte(1)) => {}
                _ if digits.is_empty() => return Err(self.expected("a digit")),
                _ => return Ok(digits),
            }
            self.offset += 1;
        }
    }
}
