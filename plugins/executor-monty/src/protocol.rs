//! What the host and a worker say to each other. Both sides read totally: any bytes are a message or none.
//!
//! Each message is the body of one frame (see [`azr_executor::worker`]); numbers are little endian.
//!
//! | from | body | meaning |
//! |---|---|---|
//! | worker | `azr-monty`, version (2 bytes), flags (1 byte) | it is ready |
//! | host | `P`, four limits (8 bytes each), guarded (1 byte), source | the program of the calls that follow |
//! | host | `C`, canonical text of the arguments | one call, answered by one frame |
//! | worker | `V` text, `N` type, `E` class, `U` feature, `L` and a letter | the outcome of the oldest open call |

use azr_executor::literal::{LiteralError, parse_literal};
use azr_executor::value::MAX_CANONICAL_BYTES;
use azr_plugin::{LimitKind, Limits, Outcome};

/// First bytes of the worker's first frame.
const MAGIC: &[u8] = b"azr-monty";

/// Version of this protocol; host and worker must have the same.
const VERSION: u16 = 1;

/// Longest body in either direction: the longest value and some words around it.
pub(crate) const LONGEST_FRAME: usize = MAX_CANONICAL_BYTES + 4_096;

/// Longest name or feature that is passed on.
const MAX_NAME_BYTES: usize = 64;

/// The frame that a worker leaves when its memory runs out: length and body.
pub(crate) const OUT_OF_MEMORY_FRAME: [u8; 6] = [2, 0, 0, 0, b'L', b'M'];

/// A worker's first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Whether its memory is counted and limited.
    pub(crate) has_allocator: bool,
    /// Whether it is under the strict system-call filter.
    pub(crate) has_filter: bool,
}

impl Hello {
    pub(crate) fn encode(self) -> Vec<u8> {
        let flags = u8::from(self.has_allocator) | u8::from(self.has_filter) << 1;
        [MAGIC, &VERSION.to_le_bytes(), &[flags]].concat()
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let (version, rest) = body.strip_prefix(MAGIC)?.split_first_chunk::<2>()?;
        match rest {
            [flags @ 0..4] if u16::from_le_bytes(*version) == VERSION => {
                Some(Self { has_allocator: flags & 1 != 0, has_filter: flags & 2 != 0 })
            }
            _ => None,
        }
    }
}

/// What the host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// The program of the calls that follow.
    Program {
        /// Limits on each call.
        limits: Limits,
        /// Whether the source collects reasons to distrust its own result.
        is_guarded: bool,
        /// Source text.
        source: &'a str,
    },
    /// Canonical text of the arguments of a call.
    Call(&'a str),
}

impl<'a> Request<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Program { limits, is_guarded, source } => {
                let mut body = vec![b'P'];
                for limit in
                    [limits.wall_ms, limits.cpu_ms, limits.memory_bytes, limits.output_bytes]
                {
                    body.extend(limit.to_le_bytes());
                }
                body.push(u8::from(*is_guarded));
                body.extend(source.as_bytes());
                body
            }
            Self::Call(arguments) => [b"C", arguments.as_bytes()].concat(),
        }
    }

    pub(crate) fn decode(body: &'a [u8]) -> Option<Self> {
        match body {
            [b'C', text @ ..] => Some(Self::Call(str::from_utf8(text).ok()?)),
            [b'P', rest @ ..] => {
                let (wall_ms, rest) = rest.split_first_chunk()?;
                let (cpu_ms, rest) = rest.split_first_chunk()?;
                let (memory_bytes, rest) = rest.split_first_chunk()?;
                let (output_bytes, rest) = rest.split_first_chunk()?;
                let limits = Limits {
                    wall_ms: u64::from_le_bytes(*wall_ms),
                    cpu_ms: u64::from_le_bytes(*cpu_ms),
                    memory_bytes: u64::from_le_bytes(*memory_bytes),
                    output_bytes: u64::from_le_bytes(*output_bytes),
                };
                let [is_guarded @ 0..2, source @ ..] = rest else { return None };
                let source = str::from_utf8(source).ok()?;
                Some(Self::Program { limits, is_guarded: *is_guarded == 1, source })
            }
            _ => None,
        }
    }
}

/// The body that tells an outcome. Workers know no [`Outcome::Refused`], [`Outcome::Nondeterministic`] or
/// [`Outcome::Crashed`].
pub(crate) fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    let (tag, text) = match outcome {
        Outcome::Value(text) => (b'V', text.as_str()),
        Outcome::NonValue(name) => (b'N', name.as_str()),
        Outcome::Exception(name) => (b'E', name.as_str()),
        Outcome::Unsupported(feature) => (b'U', feature.as_str()),
        Outcome::Limit(kind) => (b'L', letter(*kind)),
        Outcome::Nondeterministic | Outcome::Refused(_) | Outcome::Crashed(_) => (b'?', ""),
    };
    let mut body = Vec::with_capacity(1 + text.len());
    body.push(tag);
    body.extend(text.as_bytes());
    body
}

/// The outcome that a worker tells; nothing it says is believed beyond its form.
/// None where the frame makes no sense.
pub(crate) fn decode_outcome(body: &[u8], output_bytes: u64) -> Option<Outcome> {
    let (tag, text) = body.split_first()?;
    let text = str::from_utf8(text).ok()?;
    match tag {
        b'V' => value(text, output_bytes),
        b'N' => Some(Outcome::NonValue(plain(text))),
        b'E' => Some(Outcome::Exception(plain(text))),
        b'U' => Some(Outcome::Unsupported(plain(text))),
        b'L' => LIMITS.iter().find(|kind| letter(**kind) == text).map(|kind| Outcome::Limit(*kind)),
        _ => None,
    }
}

const LIMITS: [LimitKind; 5] =
    [LimitKind::Wall, LimitKind::Cpu, LimitKind::Memory, LimitKind::Output, LimitKind::Depth];

const fn letter(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Wall => "W",
        LimitKind::Cpu => "C",
        LimitKind::Memory => "M",
        LimitKind::Output => "O",
        LimitKind::Depth => "D",
    }
}

fn value(text: &str, output_bytes: u64) -> Option<Outcome> {
    match parse_literal(text) {
        Ok(value) => {
            let canonical = value.to_canonical();
            let is_long = u64::try_from(canonical.len()).is_ok_and(|length| length > output_bytes);
            Some(if is_long {
                Outcome::Limit(LimitKind::Output)
            } else {
                Outcome::Value(canonical)
            })
        }
        Err(LiteralError::TooLarge | LiteralError::TooManyNodes | LiteralError::TooManyDigits) => {
            Some(Outcome::Limit(LimitKind::Output))
        }
        Err(LiteralError::TooDeep) => Some(Outcome::Limit(LimitKind::Depth)),
        Err(
            LiteralError::Surrogate
            | LiteralError::Syntax { .. }
            | LiteralError::Unhashable(_)
            | LiteralError::RepeatedKeyword(_),
        ) => None,
    }
}

/// A name, harmless to print.
fn plain(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_. -".contains(&byte);
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(is_plain) {
        return "?".to_owned();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits { wall_ms: 1, cpu_ms: 2, memory_bytes: 3, output_bytes: u64::MAX }
    }

    #[test]
    fn requests_survive_the_way() {
        for request in [
            Request::Call(""),
            Request::Call("1, k='é'"),
            Request::Program { limits: limits(), is_guarded: true, source: "def f(x): pass\n" },
            Request::Program { limits: limits(), is_guarded: false, source: "" },
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        assert_eq!(Request::decode(b"P123"), None);
        assert_eq!(Request::decode(b"C\xff"), None);
        assert_eq!(Request::decode(b""), None);
    }

    #[test]
    fn greetings_of_others_are_none() {
        let hello = Hello { has_allocator: true, has_filter: false };
        assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        let mut newer = hello.encode();
        newer[MAGIC.len()] += 1;
        assert_eq!(Hello::decode(&newer), None);
        assert_eq!(Hello::decode(b"usage: azr"), None);
        assert_eq!(Hello::decode(&[hello.encode(), vec![0]].concat()), None);
    }

    #[test]
    fn outcomes_are_read_strictly() {
        let limit = |kind| Some(Outcome::Limit(kind));
        for (body, expected) in [
            (b"V{2, 1}".as_slice(), Some(Outcome::Value("{1, 2}".into()))),
            (b"V12345678901", limit(LimitKind::Output)),
            (b"V1 2", None),
            (b"V\xff", None),
            (b"V__import__('os')", None),
            (b"Ngenerator", Some(Outcome::NonValue("generator".into()))),
            (b"EValueError", Some(Outcome::Exception("ValueError".into()))),
            (b"E\x1b[31m", Some(Outcome::Exception("?".into()))),
            (b"Umath.prod", Some(Outcome::Unsupported("math.prod".into()))),
            (b"LO", limit(LimitKind::Output)),
            (b"LX", None),
            (b"", None),
            (b"?", None),
            (b"garbage", None),
        ] {
            assert_eq!(decode_outcome(body, 10), expected, "{body:?}");
        }
        assert_eq!(
            decode_outcome(&OUT_OF_MEMORY_FRAME[4..], 10),
            Some(Outcome::Limit(LimitKind::Memory))
        );
        for kind in LIMITS {
            let body = encode_outcome(&Outcome::Limit(kind));
            assert_eq!(decode_outcome(&body, 10), Some(Outcome::Limit(kind)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(
            tag in prop::sample::select(b"PCVNEULaz".to_vec()),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let body = [&[tag], bytes.as_slice()].concat();
            if let Some(request) = Request::decode(&body) {
                prop_assert_eq!(request.encode(), body.clone());
            }
            if let Some(hello) = Hello::decode(&body) {
                prop_assert_eq!(hello.encode(), body.clone());
            }
            if let Some(outcome) = decode_outcome(&body, u64::MAX) {
                let again = decode_outcome(&encode_outcome(&outcome), u64::MAX);
                prop_assert_eq!(again, Some(outcome));
            }
        }

        #[test]
        fn programs_survive_the_way(source: String, numbers: [u64; 4], is_guarded: bool) {
            let [wall_ms, cpu_ms, memory_bytes, output_bytes] = numbers;
            let limits = Limits { wall_ms, cpu_ms, memory_bytes, output_bytes };
            let request = Request::Program { limits, is_guarded, source: &source };
            let body = request.encode();
            prop_assert_eq!(Request::decode(&body), Some(request));
        }
    }
}
