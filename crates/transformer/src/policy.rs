//! A model as the [`Policy`] that backend plugins offer: opened from a file, saved, and loaded again.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use azr_plugin::{
    CallContext, Completion, CompletionSink, ErrorCode, GenerateRequest, ModelSpec, OptimizerKind,
    PluginError, Policy, PolicyInfo, ScoreRequest, UpdateReport, UpdateRequest,
};
use azr_weights::{
    AdapterConfig, AdapterFile, ModelConfig, ModelFile, SafetensorsFile, TensorSpec, WeightsError,
    write_adapter_directory, write_hf_directory, write_safetensors,
};

use crate::device::{Device, Moment};
use crate::error::Result;
use crate::generate::{GenerateLimits, Vocabulary};
use crate::model::{MemoryProbe, Model, TrainingOptions};
use crate::optimizer::has_moment;
use crate::update::DEFAULT_MICRO_BATCH_ROWS;

/// Optimizer state beside the weights: float32 tensors `<name>.m` and `<name>.v`, whatever the precision in memory.
/// Packed values are float32 values, so nothing is lost, and a run may go on with another precision.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The same while it is written.
const NEW_OPTIMIZER_FILE: &str = "optimizer.safetensors.new";
/// Its header's entry with the optimizer's name; AdamW's state where there is none.
const KIND_KEY: &str = "optimizer";
/// Its header's entry with the number of optimizer steps taken.
const N_STEPS_KEY: &str = "n_steps";

/// How much a policy computes at once. No result depends on it beyond rounding in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Limits on generation.
    pub generate: GenerateLimits,
    /// Most rows of a forward or backward pass in scoring and training.
    pub micro_batch_rows: usize,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self { generate: GenerateLimits::default(), micro_batch_rows: DEFAULT_MICRO_BATCH_ROWS }
    }
}

/// A model on a device as a [`Policy`].
pub struct DevicePolicy<D: Device> {
    model: Model<D>,
    vocabulary: Vocabulary,
    limits: PolicyLimits,
    free_memory: MemoryProbe,
}

impl<D: Device> std::fmt::Debug for DevicePolicy<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevicePolicy").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<D: Device> DevicePolicy<D> {
    /// Opens the GGUF file or Hugging Face directory that `spec` names, to learn as `training` says. `free_memory` says how many bytes the
    /// device has left, where that is known.
    ///
    /// # Errors
    /// The file; a tokenizer of another model; too little memory.
    pub fn open(
        device: Arc<D>,
        spec: &ModelSpec,
        limits: PolicyLimits,
        training: TrainingOptions,
        free_memory: MemoryProbe,
    ) -> azr_plugin::Result<Self> {
        let mut model = load_model(device, &open_file(&spec.path)?, free_memory.clone())?;
        model.set_training_options(training)?;
        let (n_ids, vocab_size) = (spec.vocabulary.len(), model.config().vocab_size);
        if n_ids > vocab_size {
            return Err(PluginError::new(
                ErrorCode::InvalidInput,
                format!(
                    "the tokenizer has {n_ids} ids, `{}` scores {vocab_size}",
                    spec.path.display()
                ),
            )
            .with_hint("use the tokenizer that belongs to the model"));
        }
        let vocabulary = Vocabulary { bytes: spec.vocabulary.clone(), eos: spec.eos.clone() };
        Ok(Self { model, vocabulary, limits, free_memory })
    }
}

impl<D: Device> Policy for DevicePolicy<D> {
    fn info(&self) -> PolicyInfo {
        let config = self.model.config();
        PolicyInfo {
            family: config.family.as_str().to_owned(),
            device: self.model.device().describe(),
            n_parameters: self.model.n_parameters(),
            vocab_size: config.vocab_size as u32,
            context_length: config.context_length as u32,
        }
    }

    fn generate(
        &mut self,
        requests: &[GenerateRequest],
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> azr_plugin::Result<Vec<Vec<Completion>>> {
        let limits = &self.limits.generate;
        Ok(self.model.generate(requests, &self.vocabulary, limits, sink, context)?)
    }

    fn score(
        &mut self,
        requests: &[ScoreRequest],
        context: &dyn CallContext,
    ) -> azr_plugin::Result<Vec<Vec<f32>>> {
        Ok(self.model.score(requests, self.limits.micro_batch_rows, context)?)
    }

    fn update(
        &mut self,
        request: &UpdateRequest,
        context: &dyn CallContext,
    ) -> azr_plugin::Result<UpdateReport> {
        Ok(self.model.update(request, self.limits.micro_batch_rows, context)?)
    }

    fn save(&self, directory: &Path, with_optimizer: bool) -> azr_plugin::Result<()> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot write to `{}`: {error}", directory.display());
            PluginError::new(ErrorCode::Io, message)
        };
        let model = &self.model;
        let (optimizer, new_optimizer) =
            (directory.join(OPTIMIZER_FILE), directory.join(NEW_OPTIMIZER_FILE));
        // What was saved before stays whole until everything new is on disk, apart from the short time between the
        // replacement of the weights and that of their optimizer state.
        fs::create_dir_all(directory).map_err(failed)?;
        if with_optimizer {
            save_optimizer(model, &new_optimizer)?;
        }
        let written = match &model.training_options().lora {
            Some(lora) => {
                let trained = model.trained().iter();
                let mut tensors = trained.map(|spec| named(spec, model.read_adapter(&spec.name)));
                let (adapter, config) = (&lora.adapter, model.config());
                write_adapter_directory(
                    directory,
                    adapter,
                    config,
                    model.base_digest(),
                    &mut tensors,
                )
            }
            None => {
                let parameters = model.parameters().iter();
                let mut tensors = parameters.map(|spec| named(spec, model.read(&spec.name)));
                write_hf_directory(directory, model.config(), &mut tensors)
            }
        };
        if let Err(error) = written {
            remove(&new_optimizer).map_err(failed)?;
            return Err(weights_error(error));
        }
        // State of older weights must not stand beside newer ones.
        if with_optimizer { fs::rename(&new_optimizer, &optimizer) } else { remove(&optimizer) }
            .map_err(failed)
    }

    fn load(&mut self, directory: &Path) -> azr_plugin::Result<()> {
        if let Some(lora) = &self.model.training_options().lora {
            let adapter = lora.adapter.clone();
            return self.load_adapters(directory, &adapter);
        }
        refuse_adapters(directory)?;
        let file = open_file(directory)?;
        refuse_other_model(self.model.config(), file.config(), directory)?;
        // The old weights stay until the new ones are complete.
        let mut model = load_model(self.model.device().clone(), &file, self.free_memory.clone())?;
        model.set_training_options(self.model.training_options().clone())?;
        load_optimizer(&mut model, &directory.join(OPTIMIZER_FILE))?;
        self.model = model;
        Ok(())
    }
}

impl<D: Device> DevicePolicy<D> {
    /// The part of [`Policy::load`] that is done where adapters are trained: the model itself stays as it is.
    fn load_adapters(&mut self, directory: &Path, ours: &AdapterConfig) -> azr_plugin::Result<()> {
        if !AdapterFile::is_at(directory) {
            let message = format!("`{}` holds a model, not adapters", directory.display());
            return Err(PluginError::new(ErrorCode::InvalidInput, message)
                .with_hint("leave the backend option `lora` out"));
        }
        let file = AdapterFile::open(directory, self.model.config()).map_err(weights_error)?;
        file.check_base(self.model.base_digest()).map_err(weights_error)?;
        let theirs = file.config();
        if (theirs.rank, theirs.alpha, &theirs.targets) != (ours.rank, ours.alpha, &ours.targets) {
            let show = |c: &AdapterConfig| {
                let targets: Vec<&str> = c.targets.iter().map(|target| target.as_str()).collect();
                format!("rank {}, alpha {}, {}", c.rank, c.alpha, targets.join(" "))
            };
            let (ours, theirs) = (show(ours), show(theirs));
            let path = directory.display();
            let message = format!("`{path}` holds other adapters: {ours} here, {theirs} there");
            return Err(PluginError::new(ErrorCode::InvalidInput, message)
                .with_hint("set the backend option `lora` to what the checkpoint has"));
        }
        // All adapters are read before anything changes.
        let specs = self.model.trained().to_vec();
        let mut values = BTreeMap::new();
        for spec in specs {
            values.insert(spec.name.clone(), file.read_f32(&spec.name).map_err(weights_error)?);
        }
        load_optimizer(&mut self.model, &directory.join(OPTIMIZER_FILE))?;
        self.model.load_adapters(|name| Ok(values.remove(name).unwrap_or_default()))
    }
}

/// Adapters are not a model: says so before the files of one are looked for.
fn refuse_adapters(directory: &Path) -> azr_plugin::Result<()> {
    if !AdapterFile::is_at(directory) {
        return Ok(());
    }
    let message = format!("`{}` holds adapters, not a model", directory.display());
    Err(PluginError::new(ErrorCode::InvalidInput, message)
        .with_hint("set the backend option `lora`, or make a model of them with `azr model merge`"))
}

type NamedTensor = (String, Vec<usize>, Vec<f32>);

fn named(spec: &TensorSpec, values: Result<Vec<f32>>) -> Result<NamedTensor> {
    Ok((spec.name.clone(), spec.shape.clone(), values?))
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_file(path: &Path) -> azr_plugin::Result<ModelFile> {
    ModelFile::open(path).map_err(weights_error)
}

fn load_model<D: Device>(
    device: Arc<D>,
    file: &ModelFile,
    free_memory: MemoryProbe,
) -> azr_plugin::Result<Model<D>> {
    Model::load(device, file.config().clone(), free_memory, |name| {
        file.read_f32(name).map_err(weights_error)
    })
}

fn save_optimizer<D: Device>(model: &Model<D>, path: &Path) -> azr_plugin::Result<()> {
    let n_steps = model.n_steps();
    let kind = model.optimizer_kind();
    let metadata = BTreeMap::from([
        (N_STEPS_KEY.to_owned(), n_steps.to_string()),
        (KIND_KEY.to_owned(), kind.as_str().to_owned()),
    ]);
    let states: Vec<(&TensorSpec, Moment)> = match n_steps {
        0 => Vec::new(),
        _ => Moment::ALL
            .into_iter()
            .flat_map(|moment| model.trained().iter().map(move |spec| (spec, moment)))
            .filter(|(spec, moment)| has_moment(kind, spec, *moment))
            .collect(),
    };
    let state_spec = |(spec, moment): &(&TensorSpec, Moment)| {
        TensorSpec::new(format!("{}{}", spec.name, moment.suffix()), spec.shape.clone())
    };
    let specs: Vec<TensorSpec> = states.iter().map(state_spec).collect();
    let mut tensors = states.iter().map(|state| {
        named(
            &state_spec(state),
            model.read_moment(&state.0.name, state.1).map(Option::unwrap_or_default),
        )
    });
    write_safetensors(path, &metadata, &specs, &mut tensors).map_err(weights_error)
}

/// Reads optimizer state, or starts afresh where there is none.
fn load_optimizer<D: Device>(model: &mut Model<D>, path: &Path) -> azr_plugin::Result<()> {
    if !path.exists() {
        return model.load_optimizer(OptimizerKind::Adamw, 0, |_| Ok(Vec::new()));
    }
    let file = SafetensorsFile::open(path).map_err(weights_error)?;
    let n_steps =
        file.metadata().get(N_STEPS_KEY).and_then(|text| text.parse().ok()).ok_or_else(|| {
            PluginError::new(
                ErrorCode::InvalidInput,
                format!("`{}` does not say how many steps it is from", path.display()),
            )
            .with_hint("delete the file to go on with fresh optimizer state")
        })?;
    let kind = match file.metadata().get(KIND_KEY).map(String::as_str) {
        None | Some("adamw") => OptimizerKind::Adamw,
        Some("muon") => OptimizerKind::Muon,
        Some(other) => {
            let message = format!("`{}` holds the state of `{other}`", path.display());
            return Err(PluginError::new(ErrorCode::InvalidInput, message)
                .with_hint("known optimizers are `adamw` and `muon`"));
        }
    };
    model.load_optimizer(kind, n_steps, |name| file.read_f32(name).map_err(weights_error))
}

fn refuse_other_model(
    ours: &ModelConfig,
    theirs: &ModelConfig,
    path: &Path,
) -> azr_plugin::Result<()> {
    if ours == theirs {
        return Ok(());
    }
    let (ours, theirs) = (format!("{ours:#?}"), format!("{theirs:#?}"));
    let differences: Vec<String> = ours
        .lines()
        .zip(theirs.lines())
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| {
            let tidy = |line: &str| line.trim().trim_end_matches(',').to_owned();
            format!("{} here, {} there", tidy(ours), tidy(theirs))
        })
        .collect();
    Err(PluginError::new(
        ErrorCode::InvalidInput,
        format!("`{}` holds another model: {}", path.display(), differences.join("; ")),
    )
    .with_hint("load a checkpoint of the model that is open"))
}

fn weights_error(error: WeightsError) -> PluginError {
    let code = match &error {
        WeightsError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            ErrorCode::NotFound
        }
        WeightsError::ModelNotFound { .. } => ErrorCode::NotFound,
        WeightsError::Io { .. } | WeightsError::Source { .. } => ErrorCode::Io,
        _ => ErrorCode::InvalidInput,
    };
    let plugin_error = PluginError::new(code, error.to_string());
    match error.hint() {
        Some(hint) => plugin_error.with_hint(hint),
        None => plugin_error,
    }
}
