//! A model on disk, whatever its format: config and float32 tensors under Hugging Face names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::gguf::{self, Gguf};
use crate::{ModelConfig, SafetensorsFile, TensorSpec, WeightsError, hf_directory};

/// An open model: a GGUF file, or a Hugging Face directory with safetensors.
///
/// Opening checks that every tensor which the config implies is there in the right shape, and that none is there
/// which would change the result; values are read only when asked for.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    source: Source,
    config: ModelConfig,
    tensors: BTreeMap<String, TensorSpec>,
}

#[derive(Debug)]
enum Source {
    Gguf(Box<Gguf>),
    Safetensors { files: Vec<SafetensorsFile>, places: BTreeMap<String, usize> },
}

/// What is known of a model without reading its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Its sizes.
    pub config: ModelConfig,
    /// Whether every matrix of its layers is stored as bfloat16.
    pub has_bf16_layers: bool,
}

impl Outline {
    /// The outline of the GGUF file or Hugging Face directory at `path`. A directory with nothing but a `config.json` is
    /// enough; its weights count as float32.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        if path.is_dir() && !hf_directory::has_weights(path) {
            let config = hf_directory::read_config(path)?;
            return Ok(Self { config, has_bf16_layers: false });
        }
        let file = ModelFile::open(path)?;
        Ok(Self { config: file.config().clone(), has_bf16_layers: file.has_bf16_layers() })
    }
}

impl ModelFile {
    /// Opens the GGUF file or Hugging Face directory at `path`.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let (source, config) = if path.is_dir() {
            let config = hf_directory::read_config(path)?;
            let (files, places) = hf_directory::open_files(path)?;
            refuse_unknown_tensors(path, &places, &config)?;
            (Source::Safetensors { files, places }, config)
        } else {
            let gguf = Gguf::open(path)?;
            let config = gguf::config(&gguf)?;
            (Source::Gguf(Box::new(gguf)), config)
        };
        let tensors =
            config.tensors().into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let model = Self { path: path.to_path_buf(), source, config, tensors };
        model.check_shapes()?;
        Ok(model)
    }

    /// Where the model is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Hugging Face names of all tensors, in the order of [`ModelConfig::tensors`].
    pub fn names(&self) -> Vec<String> {
        self.config.tensors().into_iter().map(|tensor| tensor.name).collect()
    }

    /// Shape of a tensor, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// The float32 values of a tensor, row-major. GGUF types are de-quantised; Q and K rows of llama-architecture
    /// GGUF files are put into Hugging Face order.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        if !self.tensors.contains_key(name) {
            return Err(self.missing(name));
        }
        match &self.source {
            Source::Gguf(gguf) => gguf::read_hf_tensor(gguf, &self.config, name),
            Source::Safetensors { files, places } => match places.get(name) {
                Some(&file) => files[file].read_f32(name),
                None => Err(self.missing(name)),
            },
        }
    }

    /// The GGUF file, if the model is one: its tokenizer is in the metadata.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.source {
            Source::Gguf(gguf) => Some(gguf),
            Source::Safetensors { .. } => None,
        }
    }

    /// Whether every matrix of the layers is stored as bfloat16.
    pub fn has_bf16_layers(&self) -> bool {
        let layers = self.config.tensors().into_iter();
        let mut matrices = layers.filter(|t| t.shape.len() == 2 && t.name.contains(".layers."));
        matrices.all(|tensor| self.stored_type(&tensor.name).as_deref() == Some("BF16"))
    }

    /// How the elements of a tensor are stored, for example `Q4_K` or `BF16`.
    pub(crate) fn stored_type(&self, name: &str) -> Option<String> {
        match &self.source {
            Source::Gguf(gguf) => {
                let tensor = gguf.tensors().get(&gguf::gguf_name(name)?)?;
                Some(format!("{:?}", tensor.kind))
            }
            Source::Safetensors { files, places } => files[*places.get(name)?].dtype(name),
        }
    }

    fn stored_shape(&self, name: &str) -> Option<&[usize]> {
        match &self.source {
            Source::Gguf(gguf) => Some(&gguf.tensors().get(&gguf::gguf_name(name)?)?.shape),
            Source::Safetensors { files, places } => files[*places.get(name)?].shape(name),
        }
    }

    fn check_shapes(&self) -> Result<(), WeightsError> {
        for (name, expected) in &self.tensors {
            let found = self.stored_shape(name).ok_or_else(|| self.missing(name))?;
            if found != expected.shape {
                return Err(WeightsError::WrongShape {
                    path: self.path.clone(),
                    name: name.clone(),
                    found: found.to_vec(),
                    expected: expected.shape.clone(),
                });
            }
        }
        Ok(())
    }

    fn missing(&self, name: &str) -> WeightsError {
        WeightsError::MissingTensor { path: self.path.clone(), name: name.into() }
    }
}

/// A tensor of a block that is not understood (another norm, an adapter, a bias) would make every result silently
/// wrong. Tensors that follow from the config (rotary tables, a tied output matrix) are left out.
fn refuse_unknown_tensors(
    path: &Path,
    places: &BTreeMap<String, usize>,
    config: &ModelConfig,
) -> Result<(), WeightsError> {
    let known: std::collections::BTreeSet<String> =
        config.tensors().into_iter().map(|tensor| tensor.name).collect();
    let redundant = |name: &str| name == "lm_head.weight" || name.ends_with(".rotary_emb.inv_freq");
    match places.keys().find(|name| !known.contains(*name) && !redundant(name)) {
        Some(name) => Err(WeightsError::Unsupported {
            path: path.to_path_buf(),
            feature: format!("tensor `{name}` in a {} model", config.family.as_str()),
        }),
        None => Ok(()),
    }
}
