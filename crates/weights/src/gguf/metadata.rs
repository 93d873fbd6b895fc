//! Key-value metadata of a GGUF file.

/// A metadata value. Integers of all widths become `i64` (or `u64` where they do not fit), floats `f64`.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// A signed or small unsigned integer.
    Int(i64),
    /// An unsigned integer above `i64::MAX`.
    Uint(u64),
    /// A float of 32 or 64 bits.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    String(String),
    /// Several integers.
    Ints(Vec<i64>),
    /// Several floats.
    Floats(Vec<f64>),
    /// Several truth values.
    Bools(Vec<bool>),
    /// Several texts, for example the tokens of a tokenizer.
    Strings(Vec<String>),
}

impl MetadataValue {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Uint(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Uint(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The texts, if they are texts.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::Strings(texts) => Some(texts),
            _ => None,
        }
    }

    /// The integers, if they are integers.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match self {
            Self::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// The floats, if they are floats.
    pub fn as_floats(&self) -> Option<&[f64]> {
        match self {
            Self::Floats(values) => Some(values),
            _ => None,
        }
    }
}
