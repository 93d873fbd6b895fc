//! LoRA adapters (arXiv 2106.09685) as Hugging Face PEFT stores them: `adapter_config.json` beside
//! `adapter_model.safetensors`. An adapter of rank `r` on a matrix `W` makes it `W + alpha / r * B A`.
//!
//! Like a model's config, an adapter's is untrusted: what would change its arithmetic and is not implemented
//! (rank patterns, DoRA, rsLoRA, saved modules, biases) is refused, never ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Flaw;
use crate::hf_directory::read_text;
use crate::{
    ModelConfig, ModelFile, SafetensorsFile, TensorSpec, WeightsError, atomic, write_hf_directory,
    write_safetensors,
};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_RANK: usize = 1 << 12;
/// What a model directory has beside its weights and a merged model needs as well.
const COMPANIONS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
];

/// A linear map of a layer, by its Hugging Face name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Projection {
    /// Queries.
    #[serde(rename = "q_proj")]
    Q,
    /// Keys.
    #[serde(rename = "k_proj")]
    K,
    /// Values.
    #[serde(rename = "v_proj")]
    V,
    /// Attention's output.
    #[serde(rename = "o_proj")]
    O,
    /// The gate of the feed-forward layer.
    #[serde(rename = "gate_proj")]
    Gate,
    /// What the gate multiplies.
    #[serde(rename = "up_proj")]
    Up,
    /// The feed-forward layer's output.
    #[serde(rename = "down_proj")]
    Down,
}

impl Projection {
    /// All, in the order of [`ModelConfig::tensors`].
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The name, for example `q_proj`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Outputs and inputs.
    pub const fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        match self {
            Self::Q => [q, hidden],
            Self::K | Self::V => [kv, hidden],
            Self::O => [hidden, q],
            Self::Gate | Self::Up => [inner, hidden],
            Self::Down => [hidden, inner],
        }
    }

    fn path(self, layer: usize) -> String {
        let module = match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("model.layers.{layer}.{module}.{}", self.as_str())
    }
}

/// Which matrices have adapters, and of what rank.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Rank `r` of the adapters.
    pub rank: usize,
    /// The product `B A` is multiplied by `alpha / rank`.
    pub alpha: f32,
    /// The adapted maps of every layer.
    pub targets: BTreeSet<Projection>,
    /// Name or path of the model that the adapters belong to, for the reader.
    pub base_model: String,
}

/// The adapter of one matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSpec {
    /// Layer of the matrix.
    pub layer: usize,
    /// Which of the layer's.
    pub projection: Projection,
    /// Hugging Face name of the matrix.
    pub weight: String,
    /// `A`, `[rank, n_in]`, under PEFT's name.
    pub a: TensorSpec,
    /// `B`, `[n_out, rank]`, under PEFT's name.
    pub b: TensorSpec,
}

impl AdapterConfig {
    /// What `B A` is multiplied by.
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }

    /// Every adapter of a model of this configuration, layer by layer.
    pub fn adapters(&self, config: &ModelConfig) -> Vec<AdapterSpec> {
        let layers =
            (0..config.n_layers).flat_map(|layer| self.targets.iter().map(move |&p| (layer, p)));
        let spec = |(layer, projection): (usize, Projection)| {
            let [n_out, n_in] = projection.shape(config);
            let path = projection.path(layer);
            let peft = format!("base_model.model.{path}");
            AdapterSpec {
                layer,
                projection,
                weight: format!("{path}.weight"),
                a: TensorSpec::new(format!("{peft}.lora_A.weight"), [self.rank, n_in]),
                b: TensorSpec::new(format!("{peft}.lora_B.weight"), [n_out, self.rank]),
            }
        };
        layers.map(spec).collect()
    }

    /// Fails unless such adapters fit a model of this configuration.
    ///
    /// # Errors
    /// [`WeightsError::InvalidConfig`] in words.
    pub fn check(&self, config: &ModelConfig) -> Result<(), WeightsError> {
        let invalid = |reason| Err(WeightsError::InvalidConfig { reason });
        if self.targets.is_empty() {
            return invalid("LoRA has no targets: name some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj".to_owned());
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return invalid(format!("LoRA's alpha is {}, must be above 0", self.alpha));
        }
        for &target in &self.targets {
            let [n_out, n_in] = target.shape(config);
            if self.rank == 0 || self.rank > n_out.min(n_in) {
                return invalid(format!(
                    "LoRA's rank is {}, must be 1 to {} for the {n_out} by {n_in} matrix {}",
                    self.rank,
                    n_out.min(n_in),
                    target.as_str()
                ));
            }
        }
        Ok(())
    }

    /// The text of an `adapter_config.json` that PEFT accepts.
    fn print(&self) -> String {
        let value = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base_model,
            "r": self.rank,
            "lora_alpha": f64::from(self.alpha),
            "target_modules": self.targets,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "use_rslora": false,
            "use_dora": false,
            "modules_to_save": null,
            "init_lora_weights": true,
            "inference_mode": true,
        });
        format!("{value:#}\n")
    }
}

/// The config in the text of an `adapter_config.json`.
fn parse(text: &str) -> Result<AdapterConfig, Flaw> {
    let value: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| Flaw::Malformed(error.to_string()))?;
    match value.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        Some(other) => return Err(Flaw::Unsupported(format!("adapters of type `{other}`"))),
        None => return Err(Flaw::Malformed("it has no `peft_type`".into())),
    }
    // Absent, null, false and empty are all PEFT's ways to say that something is not used.
    let is_off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text == "none",
        _ => false,
    };
    for key in [
        "bias",
        "lora_bias",
        "fan_in_fan_out",
        "use_rslora",
        "use_dora",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "layers_pattern",
        "layer_replication",
        "exclude_modules",
        "target_parameters",
        "trainable_token_indices",
    ] {
        if value.get(key).is_some_and(|value| !is_off(value)) {
            return Err(Flaw::Unsupported(format!("an adapter with `{key}`")));
        }
    }
    let rank = value.get("r").and_then(Value::as_u64).and_then(|rank| usize::try_from(rank).ok());
    let rank = rank
        .filter(|rank| (1..=MAX_RANK).contains(rank))
        .ok_or_else(|| Flaw::Malformed(format!("`r` must be a number from 1 to {MAX_RANK}")))?;
    let alpha = value.get("lora_alpha").and_then(Value::as_f64).map(|alpha| alpha as f32);
    let alpha = alpha
        .filter(|alpha| alpha.is_finite() && *alpha > 0.0)
        .ok_or_else(|| Flaw::Malformed("`lora_alpha` must be a number above 0".into()))?;
    let Some(Value::Array(names)) = value.get("target_modules") else {
        return Err(Flaw::Unsupported("`target_modules` that is not a list of names".into()));
    };
    let targets = names
        .iter()
        .map(|name| {
            Projection::ALL
                .into_iter()
                .find(|projection| name == projection.as_str())
                .ok_or_else(|| Flaw::Unsupported(format!("an adapter on {name}")))
        })
        .collect::<Result<BTreeSet<_>, _>>()?;
    if targets.is_empty() {
        return Err(Flaw::Malformed("`target_modules` is empty".into()));
    }
    let base_model = value.get("base_model_name_or_path").and_then(Value::as_str);
    Ok(AdapterConfig {
        rank,
        alpha,
        targets,
        base_model: base_model.unwrap_or_default().to_owned(),
    })
}

/// An open directory of adapters.
#[derive(Debug)]
pub struct AdapterFile {
    config: AdapterConfig,
    weights: SafetensorsFile,
    path: std::path::PathBuf,
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
        let config = parse(&read_text(&path, MAX_CONFIG_BYTES)?).map_err(|flaw| flaw.at(&path))?;
        config.check(model)?;
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

    /// The values of `A` or `B` of an adapter, by PEFT's name.
    ///
    /// # Errors
    /// A name that is not in the file; a type that is not a float.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        self.weights.read_f32(name)
    }
}

/// Writes adapters into `directory`, which is created if needed, the values first. `tensors` yields `A` and `B` of
/// every adapter as name, shape and row-major values.
///
/// # Errors
/// The file system; what `tensors` yields.
pub fn write_adapter_directory<E>(
    directory: &Path,
    adapter: &AdapterConfig,
    model: &ModelConfig,
    tensors: &mut dyn Iterator<Item = Result<(String, Vec<usize>, Vec<f32>), E>>,
) -> Result<(), WeightsError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    adapter.check(model)?;
    atomic::create_directory(directory)?;
    let specs: Vec<TensorSpec> =
        adapter.adapters(model).into_iter().flat_map(|spec| [spec.a, spec.b]).collect();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(&directory.join(WEIGHTS_FILE), &metadata, &specs, tensors)?;
    atomic::write_file(&directory.join(CONFIG_FILE), adapter.print().as_bytes())
}

/// Writes the model at `base` with the adapters in `adapters` merged into it as an ordinary Hugging Face directory,
/// the files of its tokenizer beside it. Products are summed in float64.
///
/// # Errors
/// Files that are absent or damaged, adapters of another model, an `out` that holds something, the file system.
pub fn merge_adapters(base: &Path, adapters: &Path, out: &Path) -> Result<(), WeightsError> {
    // Above all `out` must not be the base: its files would be read and replaced at once.
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        let reason = "the folder is not empty; name one that does not exist yet";
        let error = io::Error::new(io::ErrorKind::AlreadyExists, reason);
        return Err(WeightsError::io("write the merged model to", out)(error));
    }
    let model = ModelFile::open(base)?;
    let config = model.config();
    let file = AdapterFile::open(adapters, config)?;
    let specs: BTreeMap<String, AdapterSpec> =
        file.config.adapters(config).into_iter().map(|spec| (spec.weight.clone(), spec)).collect();
    let mut tensors = config.tensors().into_iter().map(|spec| -> Result<_, WeightsError> {
        let mut values = model.read_f32(&spec.name)?;
        if let Some(adapter) = specs.get(&spec.name) {
            let (a, b) = (file.read_f32(&adapter.a.name)?, file.read_f32(&adapter.b.name)?);
            add_product(&mut values, &a, &b, file.config.rank, file.config.scale());
        }
        Ok((spec.name, spec.shape, values))
    });
    write_hf_directory(out, config, &mut tensors)?;
    for name in COMPANIONS {
        let from = base.join(name);
        if from.is_file() {
            fs::copy(&from, out.join(name)).map_err(WeightsError::io("copy", &from))?;
        }
    }
    Ok(())
}

/// `values += scale * B A`.
fn add_product(values: &mut [f32], a: &[f32], b: &[f32], rank: usize, scale: f32) {
    let n_in = a.len() / rank;
    let mut sums = vec![0.0_f64; n_in];
    for (row, b) in values.chunks_exact_mut(n_in).zip(b.chunks_exact(rank)) {
        sums.fill(0.0);
        for (&b, a) in b.iter().zip(a.chunks_exact(n_in)) {
            for (sum, &a) in sums.iter_mut().zip(a) {
                *sum += f64::from(b) * f64::from(a);
            }
        }
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value = (f64::from(*value) + f64::from(scale) * sum) as f32;
        }
    }
}

#[cfg(test)]
mod tests;
