//! One safetensors file, memory-mapped: names, shapes and float32 values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensors};

use crate::{WeightsError, mapped};

/// An open safetensors file. The format's parser checks that every tensor lies inside the file and overlaps no other.
pub struct SafetensorsFile {
    path: PathBuf,
    bytes: Mmap,
    header: Metadata,
    data_start: usize,
}

impl SafetensorsFile {
    /// Opens the file and checks its header.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let bytes = mapped::map(path)?;
        let malformed =
            |reason: String| WeightsError::Malformed { path: path.to_path_buf(), reason };
        let (header_size, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| malformed(error.to_string()))?;
        // The header is preceded by its length in 8 bytes.
        let data_start = header_size + 8;
        if bytes.len().saturating_sub(data_start) < header.data_len() {
            return Err(malformed("it is cut short".into()));
        }
        Ok(Self { path: path.to_path_buf(), bytes, header, data_start })
    }

    /// Names of all tensors, in the order of their data.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.header.info(name)?.shape)
    }

    /// Element type of a tensor as the format names it, for example `BF16`.
    pub fn dtype(&self, name: &str) -> Option<String> {
        Some(self.header.info(name)?.dtype.to_string())
    }

    /// The free-form texts in the header.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header
            .metadata()
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The values of an F32, F16 or BF16 tensor, row-major. F32 values come back exact to the bit.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let info = self.header.info(name).ok_or_else(|| WeightsError::MissingTensor {
            path: self.path.clone(),
            name: name.into(),
        })?;
        let (start, end) = info.data_offsets;
        let bytes = &self.bytes[self.data_start + start..self.data_start + end];
        Ok(match info.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F16 => {
                bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
            }
            Dtype::BF16 => {
                bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
            }
            other => {
                return Err(WeightsError::Unsupported {
                    path: self.path.clone(),
                    feature: format!("tensor `{name}` of type {other}"),
                });
            }
        })
    }
}

impl fmt::Debug for SafetensorsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SafetensorsFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(bytes: &[u8]) -> Result<SafetensorsFile, WeightsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        std::fs::write(&path, bytes).unwrap();
        SafetensorsFile::open(&path)
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn half_precision_becomes_float32() {
        let header = r#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1,1],"data_offsets":[2,4]}}"#;
        let file = open(&with_header(header, &[0x00, 0x3e, 0xc0, 0x3f])).unwrap();
        assert_eq!(file.read_f32("a").unwrap(), [1.5]);
        assert_eq!(file.read_f32("b").unwrap(), [1.5]);
        assert_eq!(file.shape("b"), Some(&[1, 1][..]));
        assert_eq!(file.dtype("b").as_deref(), Some("BF16"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let cases = [
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4_usize),
            (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
            ),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, 8),
        ];
        for (header, n) in cases {
            let error = open(&with_header(header, &vec![0; n])).unwrap_err();
            assert!(matches!(error, WeightsError::Malformed { .. }), "{header}: {error}");
        }
        assert!(open(b"").is_err());
        assert!(open(&u64::MAX.to_le_bytes()).is_err());
    }

    #[test]
    fn other_types_are_refused_by_name() {
        let file = open(&with_header(
            r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#,
            &[0; 8],
        ))
        .unwrap();
        let error = file.read_f32("a").unwrap_err();
        assert!(error.to_string().contains("`a` of type I64"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(header in ".{0,80}", tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(file) = open(&with_header(&header, &tail)) {
                for name in file.names() {
                    let _ = file.read_f32(&name);
                }
            }
        }
    }
}
