//! The bytes that each token stands for.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a tokenizer's tokens spell bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Each byte is a printable character (GPT-2).
    ByteLevel,
    /// `▁` is a space, `<0xNN>` a byte, anything else itself (sentencepiece).
    Metaspace,
}

impl Spelling {
    /// The spelling that belongs to the `decoder` of a `tokenizer.json`.
    pub(crate) fn of_decoder(decoder: &Value) -> Option<Self> {
        let parts: Vec<&Value> = match decoder.get("decoders").and_then(Value::as_array) {
            Some(parts) => parts.iter().collect(),
            None => vec![decoder],
        };
        let has = |kind: &str| {
            parts.iter().any(|part| part.get("type").and_then(Value::as_str) == Some(kind))
        };
        if has("ByteLevel") {
            Some(Self::ByteLevel)
        } else if has("Metaspace") || has("ByteFallback") {
            Some(Self::Metaspace)
        } else {
            None
        }
    }

    /// The bytes of an ordinary token.
    pub(crate) fn bytes(self, token: &str, table: &BTreeMap<char, u8>) -> Vec<u8> {
        match self {
            // A token with a character that spells no byte was not made by this spelling and stands for itself.
            Self::ByteLevel => token
                .chars()
                .map(|character| table.get(&character).copied())
                .collect::<Option<_>>()
                .unwrap_or_else(|| token.into()),
            Self::Metaspace => match hex_byte(token) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into(),
            },
        }
    }
}

/// The byte that each character of the GPT-2 alphabet spells: printable Latin-1 characters stand for themselves, the
/// other bytes for the characters from U+0100 on, in order (`bytes_to_unicode` of the GPT-2 release).
pub(crate) fn byte_level_table() -> BTreeMap<char, u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=255_u8).filter(|byte| !is_printable(byte));
    let spelled =
        others.zip(0x100_u32..).filter_map(|(byte, code)| Some((char::from_u32(code)?, byte)));
    (0..=255_u8).filter(is_printable).map(|byte| (char::from(byte), byte)).chain(spelled).collect()
}

/// The byte of a token `<0xNN>`.
fn hex_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let table = byte_level_table();
        assert_eq!(table.len(), 256);
        assert_eq!(table.values().collect::<std::collections::BTreeSet<_>>().len(), 256);
        for (character, byte) in
            [('A', b'A'), ('Ġ', b' '), ('Ċ', b'\n'), ('Ā', 0), ('ł', 0xa0), ('Ń', 0xad)]
        {
            assert_eq!(table[&character], byte, "{character}");
        }
    }

    #[test]
    fn tokens_become_bytes() {
        let table = byte_level_table();
        assert_eq!(Spelling::ByteLevel.bytes("ĠaÃ©", &table), " aé".as_bytes());
        assert_eq!(Spelling::ByteLevel.bytes("Ã", &table), [0xc3]);
        assert_eq!(Spelling::ByteLevel.bytes("日", &table), "日".as_bytes());
        assert_eq!(Spelling::Metaspace.bytes("▁a", &table), b" a");
        assert_eq!(Spelling::Metaspace.bytes("<0x0A>", &table), b"\n");
        assert_eq!(Spelling::Metaspace.bytes("<0x+A>", &table), b"<0x+A>");
    }

    #[test]
    fn the_decoder_tells_the_spelling() {
        let of = |decoder| Spelling::of_decoder(&decoder);
        assert_eq!(of(json!({"type": "ByteLevel"})), Some(Spelling::ByteLevel));
        let parts = json!([{"type": "Replace"}, {"type": "ByteFallback"}, {"type": "Fuse"}]);
        assert_eq!(of(json!({"type": "Sequence", "decoders": parts})), Some(Spelling::Metaspace));
        assert_eq!(of(json!({"type": "WordPiece"})), None);
        assert_eq!(of(Value::Null), None);
    }
}
