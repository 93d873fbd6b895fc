//! JSON as Python's `json` module reads it: integers of any size are exact, `Infinity` and `NaN` are floats.
//!
//! The data of EvalPlus were written by that module and hold both, which the standard has no room for.

use azr_executor::Value;
use azr_executor::value::{BigInt, MAX_DIGITS};

/// Deepest nesting that is followed; arguments of a program are nested less deeply than this.
const MAX_DEPTH: usize = 128;

/// The value of a JSON text. Total, in linear time.
///
/// # Errors
/// What is wrong, and at which byte.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    if parser.at == text.len() { Ok(value) } else { Err(parser.wrong("nothing more")) }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("less nesting"));
        }
        self.space();
        let words = [
            ("null", Value::None),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        match self.peek() {
            Some(b'"') => Ok(Value::Str(self.string()?)),
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(b']', |parser| {
                    items.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Value::List(items))
            }
            Some(b'{') => {
                let mut entries = Vec::new();
                self.items(b'}', |parser| {
                    parser.space();
                    let name = Value::Str(parser.string()?);
                    parser.space();
                    parser.expect(b':', "`:`")?;
                    entries.push((name, parser.value(depth + 1)?));
                    Ok(())
                })?;
                Value::dict(entries).map_err(|error| error.to_string())
            }
            _ => match words.into_iter().find(|(word, _)| self.rest().starts_with(word.as_bytes()))
            {
                Some((word, value)) => {
                    self.at += word.len();
                    Ok(value)
                }
                None => self.number(),
            },
        }
    }

    /// What stands between the bracket here and `close`.
    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            self.space();
            if self.peek() == Some(close) {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',', "`,` or the end of the list or object")?;
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        let word = self.rest().get(..length).unwrap_or_default();
        let word = str::from_utf8(word).unwrap_or_default();
        let value = if word.contains(['.', 'e', 'E']) {
            word.parse().ok().map(Value::Float)
        } else if word.len() <= MAX_DIGITS {
            word.parse::<BigInt>().ok().map(Value::Int)
        } else {
            None
        };
        let value = value.ok_or_else(|| self.wrong("a value"))?;
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect(b'"', "a string")?;
        let mut bytes = Vec::new();
        loop {
            let Some(byte) = self.peek() else { return Err(self.wrong("the end of a string")) };
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let character = self.escape()?;
                    bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.wrong("UTF-8 text before it"))
    }

    fn escape(&mut self) -> Result<char, String> {
        let wrong = self.wrong("an escape");
        let byte = self.peek().ok_or_else(|| wrong.clone())?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit().ok_or_else(|| wrong.clone())?;
                let second = if (0xd800..0xdc00).contains(&unit) && self.rest().starts_with(b"\\u")
                {
                    self.at += 2;
                    self.unit()
                } else {
                    None
                };
                let units = [Some(unit), second].into_iter().flatten();
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => character,
                    _ => return Err(wrong),
                }
            }
            _ => return Err(wrong),
        })
    }

    /// The four hexadecimal digits here.
    fn unit(&mut self) -> Option<u16> {
        let digits = str::from_utf8(self.rest().get(..4)?).ok()?;
        let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += 4;
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)
    }

    fn expect(&mut self, byte: u8, name: &str) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err(self.wrong(name));
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) {
        self.at += self.rest().iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, expected: &str) -> String {
        format!("expected {expected} at byte {}", self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_pythons() {
        for (text, expected) in [
            (r#" {"a": [1, -2.5e3, true, null], "a": {}} "#, "{'a': {}}"),
            (
                "[123456789012345678901234567890, -0, -0.0]",
                "[123456789012345678901234567890, 0, -0.0]",
            ),
            ("[-Infinity, Infinity, NaN]", "[-inf, inf, nan]"),
            (r#""\ud83d\ude00\u00e9é\n\/""#, "'😀éé\\n/'"),
            ("[]", "[]"),
            ("1e400", "inf"),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|value| value.repr()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn broken_texts_are_told_where_they_break() {
        for (text, error) in [
            ("", "expected a value at byte 1"),
            ("[1, ]", "expected a value at byte 5"),
            ("[1 2]", "expected `,` or the end of the list or object at byte 4"),
            ("{\"a\" 1}", "expected `:` at byte 6"),
            ("{1: 2}", "expected a string at byte 2"),
            ("\"a", "expected the end of a string at byte 3"),
            (r#""\ud83d""#, "expected an escape at byte 3"),
            (r#""\ud83dA""#, "expected an escape at byte 3"),
            (r#""\u+123""#, "expected an escape at byte 3"),
            ("1 2", "expected nothing more at byte 3"),
            ("1-2", "expected a value at byte 1"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), error, "{text}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(&[b'"', 0xff, b'"']).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"(\[|\]|\{|\}|"|:|,|-|1|e|\.|\\u|d83d|true|NaN|.){0,32}"#) {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn what_serde_writes_is_read_alike(texts: Vec<String>, numbers: Vec<i64>, floats: Vec<f32>) {
            let written = serde_json::json!([texts, numbers, floats]).to_string();
            let floats = floats.into_iter().map(|float| Value::Float(f64::from(float)));
            let list = Value::List(vec![
                Value::List(texts.into_iter().map(Value::Str).collect()),
                Value::List(numbers.into_iter().map(Value::from).collect()),
                Value::List(floats.collect()),
            ]);
            prop_assert_eq!(parse(written.as_bytes()).unwrap().to_canonical(), list.to_canonical());
        }
    }
}
