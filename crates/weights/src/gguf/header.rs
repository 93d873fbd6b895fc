//! The header of a GGUF file: metadata and the table of tensors. Total on hostile bytes.
//!
//! Layout, little-endian (versions 2 and 3):
//! ```text
//! "GGUF"  u32 version  u64 n_tensors  u64 n_metadata
//! n_metadata × { string key, u32 type, value }        string = u64 length + bytes; array = u32 type + u64 n + values
//! n_tensors  × { string name, u32 n_dims, n_dims × u64 (innermost first), u32 type, u64 offset }
//! padding to `general.alignment` (32), then the tensors' data; offsets count from here
//! ```

use std::collections::BTreeMap;

use super::metadata::MetadataValue;
use super::quant::TensorType;
use crate::error::Flaw;

/// Metadata and tensor table together; the largest published vocabularies take about 10 MB. Everything that the
/// parser allocates is at most eight times the bytes it has read, so this also bounds its memory.
const MAX_HEADER_BYTES: usize = 64 << 20;
/// Published files have about 50 keys.
const MAX_METADATA: u64 = 1 << 16;
/// The largest published models have a few thousand tensors.
const MAX_TENSORS: u64 = 1 << 16;
/// The largest vocabularies have about 2^18 tokens and as many merges.
const MAX_ARRAY: u64 = 1 << 24;
/// Keys and tensor names; the format's own limits are 65,535 and 64.
const MAX_NAME_BYTES: usize = 1 << 10;
/// The format's limit.
const MAX_DIMS: u32 = 4;
/// Above any page size in use; a larger one could only hide data.
const MAX_ALIGNMENT: u64 = 1 << 20;
const DEFAULT_ALIGNMENT: u64 = 32;

const CUT_SHORT: &str = "its header is cut short, or longer than 64 MiB";

/// One tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Shape, outermost dimension first (the file has it the other way round).
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub kind: TensorType,
    /// First byte in the file.
    pub(super) start: usize,
    /// First byte behind it.
    pub(super) end: usize,
}

/// All that stands before the data.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: BTreeMap<String, MetadataValue>,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    /// Parses the header of the whole file `bytes`; every tensor lies inside the file and overlaps no other.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut cursor = Cursor { bytes: &bytes[..bytes.len().min(MAX_HEADER_BYTES)], position: 0 };
        if cursor.take(4)? != b"GGUF" {
            return Err(malformed("it does not start with `GGUF`"));
        }
        let version = cursor.u32()?;
        match version {
            2 | 3 => {}
            _ if matches!(version.swap_bytes(), 1..=9) => {
                return Err(Flaw::Unsupported("big-endian GGUF".into()));
            }
            _ => return Err(Flaw::Unsupported(format!("GGUF version {version} (2 and 3 are)"))),
        }
        let n_tensors = cursor.count(MAX_TENSORS, 24, "tensors")?;
        let n_metadata = cursor.count(MAX_METADATA, 13, "metadata entries")?;

        let mut metadata = BTreeMap::new();
        for _ in 0..n_metadata {
            let key = cursor.name()?;
            let kind = cursor.u32()?;
            let value = cursor.value(kind).map_err(|flaw| in_context(flaw, &key))?;
            if metadata.contains_key(&key) {
                return Err(malformed(format!("metadata key `{key}` appears twice")));
            }
            metadata.insert(key, value);
        }
        let mut entries = Vec::with_capacity(n_tensors);
        for _ in 0..n_tensors {
            let name = cursor.name()?;
            let entry = cursor.tensor().map_err(|flaw| in_context(flaw, &name))?;
            entries.push((name, entry));
        }
        let alignment = alignment(&metadata)?;
        let data_start = (cursor.position as u64).next_multiple_of(alignment);
        let tensors = place(entries, data_start, alignment, bytes.len() as u64)?;
        Ok(Self { version, metadata, tensors })
    }
}

/// A tensor as the table has it: shape, type, number of bytes, offset from the start of the data.
struct Entry {
    shape: Vec<usize>,
    kind: TensorType,
    n_bytes: u64,
    offset: u64,
}

fn alignment(metadata: &BTreeMap<String, MetadataValue>) -> Result<u64, Flaw> {
    let Some(value) = metadata.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    match value.as_u64() {
        Some(alignment) if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT => {
            Ok(alignment)
        }
        _ => Err(malformed("`general.alignment` is no power of two up to 1 MiB")),
    }
}

/// Checks that each tensor lies inside the file and apart from the others.
fn place(
    entries: Vec<(String, Entry)>,
    data_start: u64,
    alignment: u64,
    file_size: u64,
) -> Result<BTreeMap<String, TensorInfo>, Flaw> {
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        if !entry.offset.is_multiple_of(alignment) {
            return Err(malformed(format!(
                "tensor `{name}` starts at an offset that is not aligned to {alignment}"
            )));
        }
        let start = data_start.checked_add(entry.offset);
        let end = start
            .and_then(|start| start.checked_add(entry.n_bytes))
            .filter(|&end| end <= file_size);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(malformed(format!(
                "tensor `{name}` lies beyond the end of the file ({file_size} bytes): the file is cut short"
            )));
        };
        ranges.push((start, end));
        // Both are at most the length of a slice, so they fit.
        let info = TensorInfo {
            shape: entry.shape,
            kind: entry.kind,
            start: start as usize,
            end: end as usize,
        };
        if tensors.insert(name.clone(), info).is_some() {
            return Err(malformed(format!("tensor `{name}` appears twice")));
        }
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(malformed("tensors overlap"));
    }
    Ok(tensors)
}

fn malformed(reason: impl Into<String>) -> Flaw {
    Flaw::Malformed(reason.into())
}

fn in_context(flaw: Flaw, name: &str) -> Flaw {
    match flaw {
        Flaw::Malformed(reason) => Flaw::Malformed(format!("`{name}`: {reason}")),
        Flaw::Unsupported(feature) => Flaw::Unsupported(format!("`{name}`: {feature}")),
    }
}

/// Reads little-endian values from the front of the header.
struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Flaw> {
        if n > self.remaining() {
            return Err(malformed(CUT_SHORT));
        }
        let taken = &self.bytes[self.position..self.position + n];
        self.position += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, Flaw> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Flaw> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of items of at least `item_bytes` each: never more than the rest of the header can hold.
    fn count(&mut self, max: u64, item_bytes: usize, what: &str) -> Result<usize, Flaw> {
        let n = self.u64()?;
        if n > max {
            return Err(malformed(format!("{n} {what}, at most {max} are accepted")));
        }
        if n > (self.remaining() / item_bytes.max(1)) as u64 {
            return Err(malformed(format!("{n} {what} cannot fit: the header is cut short")));
        }
        Ok(n as usize)
    }

    fn string(&mut self) -> Result<String, Flaw> {
        let n = self.u64()?;
        let n = usize::try_from(n).map_err(|_| malformed(CUT_SHORT))?;
        match std::str::from_utf8(self.take(n)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(malformed("a text is not UTF-8")),
        }
    }

    fn name(&mut self) -> Result<String, Flaw> {
        let name = self.string()?;
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(malformed(format!(
                "a name has {} bytes, must be 1 to {MAX_NAME_BYTES}",
                name.len()
            )));
        }
        Ok(name)
    }

    fn bool(&mut self) -> Result<bool, Flaw> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(malformed("a truth value is neither 0 nor 1")),
        }
    }

    fn int(&mut self, kind: u32) -> Result<i64, Flaw> {
        Ok(match kind {
            0 => i64::from(u8::from_le_bytes(self.array()?)),
            1 => i64::from(i8::from_le_bytes(self.array()?)),
            2 => i64::from(u16::from_le_bytes(self.array()?)),
            3 => i64::from(i16::from_le_bytes(self.array()?)),
            4 => i64::from(u32::from_le_bytes(self.array()?)),
            5 => i64::from(i32::from_le_bytes(self.array()?)),
            10 => i64::try_from(self.u64()?)
                .map_err(|_| malformed("an array holds an integer above 2^63"))?,
            _ => i64::from_le_bytes(self.array()?),
        })
    }

    fn float(&mut self, kind: u32) -> Result<f64, Flaw> {
        Ok(if kind == 6 {
            f64::from(f32::from_le_bytes(self.array()?))
        } else {
            f64::from_le_bytes(self.array()?)
        })
    }

    fn value(&mut self, kind: u32) -> Result<MetadataValue, Flaw> {
        Ok(match kind {
            10 => {
                let value = self.u64()?;
                i64::try_from(value).map_or(MetadataValue::Uint(value), MetadataValue::Int)
            }
            0..=5 | 11 => MetadataValue::Int(self.int(kind)?),
            6 | 12 => MetadataValue::Float(self.float(kind)?),
            7 => MetadataValue::Bool(self.bool()?),
            8 => MetadataValue::String(self.string()?),
            9 => self.values()?,
            _ => return Err(malformed(format!("{kind} is no metadata type"))),
        })
    }

    fn values(&mut self) -> Result<MetadataValue, Flaw> {
        let kind = self.u32()?;
        let item_bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(Flaw::Unsupported("arrays of arrays in the metadata".into())),
            _ => return Err(malformed(format!("{kind} is no metadata type"))),
        };
        let n = self.count(MAX_ARRAY, item_bytes, "array elements")?;
        Ok(match kind {
            6 | 12 => {
                MetadataValue::Floats((0..n).map(|_| self.float(kind)).collect::<Result<_, _>>()?)
            }
            7 => MetadataValue::Bools((0..n).map(|_| self.bool()).collect::<Result<_, _>>()?),
            8 => MetadataValue::Strings((0..n).map(|_| self.string()).collect::<Result<_, _>>()?),
            _ => MetadataValue::Ints((0..n).map(|_| self.int(kind)).collect::<Result<_, _>>()?),
        })
    }

    fn tensor(&mut self) -> Result<Entry, Flaw> {
        let n_dims = self.u32()?;
        if n_dims == 0 || n_dims > MAX_DIMS {
            return Err(malformed(format!("{n_dims} dimensions, must be 1 to {MAX_DIMS}")));
        }
        let mut shape = Vec::with_capacity(n_dims as usize);
        let mut n_elements = 1_u64;
        for _ in 0..n_dims {
            let size = self.u64()?;
            n_elements = n_elements
                .checked_mul(size)
                .filter(|&n| size > 0 && n <= isize::MAX as u64 / 8)
                .ok_or_else(|| malformed("its shape is empty or absurdly large"))?;
            shape.push(size as usize);
        }
        let id = self.u32()?;
        let kind = TensorType::from_id(id)
            .ok_or_else(|| Flaw::Unsupported(format!("tensor type {id}")))?;
        if !shape[0].is_multiple_of(kind.block_len()) {
            return Err(malformed(format!(
                "rows of {} elements are not whole blocks of {kind:?}",
                shape[0]
            )));
        }
        let n_bytes = n_elements / kind.block_len() as u64 * kind.block_bytes() as u64;
        shape.reverse();
        Ok(Entry { shape, kind, n_bytes, offset: self.u64()? })
    }
}

#[cfg(test)]
mod tests;
