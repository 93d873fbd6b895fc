//! GGUF files: metadata, and tensors as float32.

mod header;
mod metadata;
mod model;
mod quant;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use header::Header;

use crate::{WeightsError, mapped};

pub(crate) use model::{config, gguf_name, read_hf_tensor};

pub use header::TensorInfo;
pub use metadata::MetadataValue;
pub use quant::TensorType;

/// An open, memory-mapped GGUF file (version 2 or 3). Names and row order are the file's own;
/// [`ModelFile`](crate::ModelFile) translates them.
pub struct Gguf {
    path: PathBuf,
    bytes: Mmap,
    header: Header,
}

impl Gguf {
    /// Opens the file and checks its header: every tensor is a supported type, inside the file, and apart from the
    /// others. Tensor data is only read when asked for.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let bytes = mapped::map(path)?;
        let header = Header::parse(&bytes).map_err(|flaw| flaw.at(path))?;
        Ok(Self { path: path.to_path_buf(), bytes, header })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// All metadata.
    pub fn metadata(&self) -> &BTreeMap<String, MetadataValue> {
        &self.header.metadata
    }

    /// One metadata value.
    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.header.metadata.get(key)
    }

    /// All tensors by their names in the file.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.header.tensors
    }

    /// The float32 values of a tensor, row-major, rows as they stand in the file.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        match self.header.tensors.get(name) {
            Some(tensor) => Ok(tensor.kind.to_f32(&self.bytes[tensor.start..tensor.end])),
            None => Err(WeightsError::MissingTensor { path: self.path.clone(), name: name.into() }),
        }
    }
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gguf")
            .field("path", &self.path)
            .field("version", &self.version())
            .field("n_metadata", &self.metadata().len())
            .field("n_tensors", &self.tensors().len())
            .finish_non_exhaustive()
    }
}
