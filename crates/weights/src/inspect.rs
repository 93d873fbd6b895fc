//! What a model is, without reading its weights: for `azr model inspect`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Gguf, ModelConfig, ModelFile, WeightsError};

/// Facts about a model on disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Where it is.
    pub path: PathBuf,
    /// `GGUF v3` or `safetensors`.
    pub format: String,
    /// Its sizes.
    pub config: ModelConfig,
    /// Number of parameters; tied matrices count once.
    pub n_parameters: u64,
    /// Number of tensors by the type in which they are stored.
    pub tensor_types: BTreeMap<String, usize>,
    /// Size of the file, or of all files of the directory, in bytes.
    pub n_bytes: u64,
    /// The tokenizer's kind, for example `gpt2/qwen2` (GGUF) or `BPE` (tokenizer.json), if there is one.
    pub tokenizer: Option<String>,
    /// Whether a chat template is there.
    pub has_chat_template: bool,
}

/// Inspects the GGUF file or Hugging Face directory at `path`.
pub fn inspect(path: &Path) -> Result<Inspection, WeightsError> {
    let model = ModelFile::open(path)?;
    let mut tensor_types = BTreeMap::new();
    for name in model.names() {
        *tensor_types.entry(model.stored_type(&name).unwrap_or_default()).or_insert(0) += 1;
    }
    let (format, tokenizer, has_chat_template) = match model.gguf() {
        Some(gguf) => (
            format!("GGUF v{}", gguf.version()),
            gguf_tokenizer(gguf),
            gguf.get("tokenizer.chat_template").is_some(),
        ),
        None => ("safetensors".into(), json_tokenizer(path), has_chat_template(path)),
    };
    Ok(Inspection {
        path: path.to_path_buf(),
        format,
        n_parameters: model.config().n_parameters(),
        config: model.config().clone(),
        tensor_types,
        n_bytes: size_of(path).map_err(WeightsError::io("read", path))?,
        tokenizer,
        has_chat_template,
    })
}

fn gguf_tokenizer(gguf: &Gguf) -> Option<String> {
    let text = |key| gguf.get(key).and_then(|value| value.as_str());
    let model = text("tokenizer.ggml.model")?;
    Some(match text("tokenizer.ggml.pre") {
        Some(pre) => format!("{model}/{pre}"),
        None => model.into(),
    })
}

fn json_tokenizer(directory: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        r#type: Option<String>,
    }
    let file = fs::File::open(directory.join("tokenizer.json")).ok()?;
    let file: File = serde_json::from_reader(std::io::BufReader::new(file)).ok()?;
    Some(file.model.r#type.unwrap_or_else(|| "unnamed".into()))
}

fn has_chat_template(directory: &Path) -> bool {
    #[derive(Deserialize)]
    struct Config {
        chat_template: Option<serde_json::Value>,
    }
    let config = fs::read_to_string(directory.join("tokenizer_config.json")).unwrap_or_default();
    directory.join("chat_template.jinja").exists()
        || serde_json::from_str::<Config>(&config)
            .is_ok_and(|config| config.chat_template.is_some())
}

fn size_of(path: &Path) -> std::io::Result<u64> {
    if !path.is_dir() {
        return Ok(fs::metadata(path)?.len());
    }
    let mut n_bytes = 0;
    for entry in fs::read_dir(path)? {
        let metadata = fs::metadata(entry?.path())?;
        n_bytes += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(n_bytes)
}
