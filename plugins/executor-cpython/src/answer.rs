//! Reads what a zygote says about a call. The part that comes from a child is untrusted.

use azr_executor::literal::{LiteralError, parse_literal};
use azr_plugin::{LimitKind, Outcome};

/// Longest name of a type or exception that is passed on.
const MAX_NAME_BYTES: usize = 64;

/// The outcome that a frame stands for. Total: a frame that makes no sense is a crash.
pub(crate) fn outcome(frame: &[u8], output_bytes: usize) -> Outcome {
    match frame {
        [b'R', b'V', text @ ..] => value(text, output_bytes),
        [b'R', b'N', text @ ..] => Outcome::NonValue(name(text)),
        [b'R', b'E', text @ ..] => Outcome::Exception(name(text)),
        [b'R', b'L', b'O'] => Outcome::Limit(LimitKind::Output),
        [b'R', b'L', b'D'] => Outcome::Limit(LimitKind::Depth),
        [b'R', b'L', b'M'] => Outcome::Limit(LimitKind::Memory),
        [b'W'] => Outcome::Limit(LimitKind::Wall),
        [b'C'] => Outcome::Limit(LimitKind::Cpu),
        [b'X', how @ ..] => Outcome::Crashed(String::from_utf8_lossy(how).into_owned()),
        _ => broken(),
    }
}

fn value(text: &[u8], output_bytes: usize) -> Outcome {
    let Ok(text) = str::from_utf8(text) else { return broken() };
    match parse_literal(text) {
        Ok(value) => {
            let canonical = value.to_canonical();
            if canonical.len() > output_bytes {
                Outcome::Limit(LimitKind::Output)
            } else {
                Outcome::Value(canonical)
            }
        }
        Err(LiteralError::Surrogate) => Outcome::NonValue("str".to_owned()),
        Err(LiteralError::TooLarge | LiteralError::TooManyNodes | LiteralError::TooManyDigits) => {
            Outcome::Limit(LimitKind::Output)
        }
        Err(LiteralError::TooDeep) => Outcome::Limit(LimitKind::Depth),
        Err(
            LiteralError::Syntax { .. }
            | LiteralError::Unhashable(_)
            | LiteralError::RepeatedKeyword(_),
        ) => broken(),
    }
}

fn broken() -> Outcome {
    Outcome::Crashed("broken answer".to_owned())
}

/// A class name, harmless to print.
fn name(text: &[u8]) -> String {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.iter().all(is_name) {
        return "?".to_owned();
    }
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_strictly() {
        let limit = |kind| Outcome::Limit(kind);
        for (frame, expected) in [
            (b"RV{2, 1}".as_slice(), Outcome::Value("{1, 2}".into())),
            (b"RV'\\ud800'", Outcome::NonValue("str".into())),
            (b"RV12345678901", limit(LimitKind::Output)),
            (b"RV1 2", broken()),
            (b"RV\xff", broken()),
            (b"RV__import__('os')", broken()),
            (b"RNgenerator", Outcome::NonValue("generator".into())),
            (b"REValueError", Outcome::Exception("ValueError".into())),
            (b"RE\x1b[31m", Outcome::Exception("?".into())),
            (b"RLO", limit(LimitKind::Output)),
            (b"RLD", limit(LimitKind::Depth)),
            (b"RLM", limit(LimitKind::Memory)),
            (b"W", limit(LimitKind::Wall)),
            (b"C", limit(LimitKind::Cpu)),
            (b"Xsignal 11", Outcome::Crashed("signal 11".into())),
            (b"", broken()),
            (b"RLX", broken()),
            (b"garbage", broken()),
        ] {
            assert_eq!(outcome(frame, 10), expected, "{frame:?}");
        }
    }
}
