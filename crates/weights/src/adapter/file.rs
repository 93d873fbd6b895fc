//! A directory of adapters, read and written.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{AdapterConfig, json};
use crate::hf_directory::read_text;
use crate::{ModelConfig, SafetensorsFile, TensorSpec, WeightsError, atomic, write_safetensors};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Entry of the header of the values with the [`BaseDigest`]; PEFT writes none.
const BASE_KEY: &str = "base_sha256";

/// SHA-256 of the matrices that adapters belong to: adapters fit every model of the same shape, and make sense with one.
#[derive(Debug, Clone, Default)]
pub struct BaseDigest(Sha256);

impl BaseDigest {
    /// Adds the next matrix, in the order of [`AdapterConfig::adapters`].
    pub fn add(&mut self, values: &[f32]) {
        let mut bytes = [0; 4 * 1024];
        for values in values.chunks(1024) {
            for (bytes, value) in bytes.chunks_exact_mut(4).zip(values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            self.0.update(&bytes[..4 * values.len()]);
        }
    }

    /// The digest in hexadecimal.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An open directory of adapters.
#[derive(Debug)]
pub struct AdapterFile {
    config: AdapterConfig,
    weights: SafetensorsFile,
    path: PathBuf,
}

impl AdapterFile {
    /// Whether `directory` holds adapters.
    pub fn is_at(directory: &Path) -> bool {
        directory.join(CONFIG_FILE).exists()
    }

    /// Opens the adapters of a model of this configuration.
    ///
    /// # Errors
    /// Files that are absent, damaged, of another kind of adapter or of another model.
    pub fn open(directory: &Path, model: &ModelConfig) -> Result<Self, WeightsError> {
        let path = directory.join(CONFIG_FILE);
        let text = read_text(&path, MAX_CONFIG_BYTES)?;
        let config = json::parse(&text).map_err(|flaw| flaw.at(&path))?;
        config.check(model).map_err(|feature| WeightsError::Unsupported { path, feature })?;
        let path = directory.join(WEIGHTS_FILE);
        let weights = SafetensorsFile::open(&path)?;
        let mut unknown: BTreeSet<String> = weights.names().into_iter().collect();
        for spec in config.adapters(model).into_iter().flat_map(|spec| [spec.a, spec.b]) {
            unknown.remove(&spec.name);
            match weights.shape(&spec.name) {
                Some(found) if found == spec.shape => {}
                Some(found) => {
                    let found = found.to_vec();
                    let TensorSpec { name, shape: expected } = spec;
                    return Err(WeightsError::WrongShape { path, name, found, expected });
                }
                None => return Err(WeightsError::MissingTensor { path, name: spec.name }),
            }
        }
        match unknown.pop_first() {
            Some(name) => {
                let feature = format!("tensor `{name}` in adapters of this model");
                Err(WeightsError::Unsupported { path, feature })
            }
            None => Ok(Self { config, weights, path }),
        }
    }

    /// Which matrices are adapted.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// The file of the adapters' values.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The [`BaseDigest`] of the model that they belong to, where the file says it.
    pub fn base_digest(&self) -> Option<String> {
        self.weights.metadata().remove(BASE_KEY)
    }

    /// Fails if the file says that the adapters belong to a model with another digest.
    ///
    /// # Errors
    /// [`WeightsError::OtherBase`].
    pub fn check_base(&self, digest: &str) -> Result<(), WeightsError> {
        match self.base_digest() {
            Some(theirs) if theirs != digest => Err(WeightsError::OtherBase {
                path: self.path.clone(),
                base: self.config.base_model.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The values of `A` or `B` of an adapter, by PEFT's name.
    ///
    /// # Errors
    /// A name that is not in the file; a type that is not a float.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        self.weights.read_f32(name)
    }
}

/// Writes adapters into `directory`, which is created if needed, the values first. `tensors` yields `A` and `B` of
/// every adapter as name, shape and row-major values; `base_digest` is the [`BaseDigest`] of the model they belong to.
///
/// # Errors
/// The file system; what `tensors` yields.
pub fn write_adapter_directory<E>(
    directory: &Path,
    adapter: &AdapterConfig,
    model: &ModelConfig,
    base_digest: &str,
    tensors: &mut dyn Iterator<Item = Result<(String, Vec<usize>, Vec<f32>), E>>,
) -> Result<(), WeightsError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    adapter.check(model).map_err(|reason| WeightsError::InvalidConfig { reason })?;
    atomic::create_directory(directory)?;
    let specs: Vec<TensorSpec> =
        adapter.adapters(model).into_iter().flat_map(|spec| [spec.a, spec.b]).collect();
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        (BASE_KEY.to_owned(), base_digest.to_owned()),
    ]);
    write_safetensors(&directory.join(WEIGHTS_FILE), &metadata, &specs, tensors)?;
    atomic::write_file(&directory.join(CONFIG_FILE), json::print(adapter).as_bytes())
}
