//! Values as text: Python's `repr` and the canonical spelling.

use std::fmt::Write as _;

use unicode_general_category::{GeneralCategory, get_general_category};

use super::Value;

/// Which text of a value is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Python's `repr`: printable characters stand for themselves, complex numbers are sums.
    Repr,
    /// ASCII only, so that it does not depend on a Unicode version; complex numbers are calls, because
    /// `repr` of a complex number with a negative zero reads back as another number.
    Canonical,
}

pub(crate) fn write_value(out: &mut String, value: &Value, spelling: Spelling) {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => write_float(out, *value, true),
        Value::Complex(re, im) => write_complex(out, *re, *im, spelling),
        Value::Str(text) => write_str(out, text, spelling),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::List(items) => write_items(out, "[", items, "]", spelling),
        Value::Tuple(items) if items.len() == 1 => write_items(out, "(", items, ",)", spelling),
        Value::Tuple(items) => write_items(out, "(", items, ")", spelling),
        Value::Set(items) if items.is_empty() => out.push_str("set()"),
        Value::Set(items) => write_items(out, "{", items, "}", spelling),
        Value::FrozenSet(items) if items.is_empty() => out.push_str("frozenset()"),
        Value::FrozenSet(items) => write_items(out, "frozenset({", items, "})", spelling),
        Value::Dict(entries) => {
            out.push('{');
            for (index, (name, value)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_value(out, name, spelling);
                out.push_str(": ");
                write_value(out, value, spelling);
            }
            out.push('}');
        }
    }
}

fn write_items(out: &mut String, open: &str, items: &[Value], close: &str, spelling: Spelling) {
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        write_value(out, item, spelling);
    }
    out.push_str(close);
}

/// Shortest digits that read back to the same float, laid out as CPython does: an exponent below -4
/// or from 16 on, and a final `.0` where `point` is wanted and nothing else tells a float from an integer.
fn write_float(out: &mut String, value: f64, point: bool) {
    if value.is_nan() {
        return out.push_str("nan");
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    if value.is_infinite() {
        return out.push_str("inf");
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let digits = format!("{}", value.abs());
        out.push_str(&digits);
        if point && !digits.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    }
}

fn write_complex(out: &mut String, re: f64, im: f64, spelling: Spelling) {
    if spelling == Spelling::Canonical {
        out.push_str("complex(");
        write_float(out, re, true);
        out.push_str(", ");
        write_float(out, im, true);
        return out.push(')');
    }
    if re == 0.0 && re.is_sign_positive() {
        write_float(out, im, false);
        return out.push('j');
    }
    out.push('(');
    write_float(out, re, false);
    if im.is_nan() || im.is_sign_positive() {
        out.push('+');
    }
    write_float(out, im, false);
    out.push_str("j)");
}

fn write_str(out: &mut String, text: &str, spelling: Spelling) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        let code = u32::from(character);
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            ' '..='~' => out.push(character),
            _ if spelling == Spelling::Repr && is_printable(character) => out.push(character),
            _ => {
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    out.push('b');
    out.push(char::from(quote));
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if *byte == quote => out.extend(['\\', char::from(quote)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(char::from(quote));
}

/// `str.isprintable` for characters beyond ASCII.
fn is_printable(character: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate,
        Unassigned,
    };
    !matches!(
        get_general_category(character),
        Control
            | Format
            | LineSeparator
            | ParagraphSeparator
            | PrivateUse
            | SpaceSeparator
            | Surrogate
            | Unassigned
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a value and what CPython 3.11 prints for it.
    #[test]
    fn repr_is_pythons() {
        let float = |value: f64, expected: &str| assert_eq!(Value::Float(value).repr(), expected);
        float(1e15, "1000000000000000.0");
        float(1e16, "1e+16");
        float(123_456_789_012_345_680.0, "1.2345678901234568e+17");
        float(0.0001, "0.0001");
        float(0.00001, "1e-05");
        float(1e300, "1e+300");
        float(0.1 + 0.2, "0.30000000000000004");
        float(-0.0, "-0.0");
        let complex = |re, im, expected: &str| assert_eq!(Value::Complex(re, im).repr(), expected);
        complex(0.0, 1.0, "1j");
        complex(-0.0, 1.0, "(-0+1j)");
        complex(1.0, -2.5, "(1-2.5j)");
        complex(f64::NAN, f64::NAN, "(nan+nanj)");
        complex(0.0, f64::NEG_INFINITY, "-infj");
        let text = |value: &str, expected: &str| assert_eq!(Value::from(value).repr(), expected);
        text("é中😀", "'é中😀'");
        text("\u{a0}\u{200b}\u{7f}\u{2028}\u{e000}", "'\\xa0\\u200b\\x7f\\u2028\\ue000'");
        text("a'b", "\"a'b\"");
        text("a'\"b", "'a\\'\"b'");
        assert_eq!(Value::Bytes(b"a'\x80\n".to_vec()).repr(), "b\"a'\\x80\\n\"");
    }
}
