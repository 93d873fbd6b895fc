//! A model: configuration, weights on a device and, once it has learned something, optimizer state.

use std::sync::Arc;

use azr_plugin::OptimizerKind;
use azr_weights::{ModelConfig, TensorSpec};

use crate::copies::Weights;
use crate::device::{AttentionShape, CopyFormat, Device, Moment, StatePrecision, TensorMut};
use crate::error::{Result, TransformerError};
use crate::forward::Keep;
use crate::gradients::Gradients;
use crate::lora::{Lora, LoraOptions, bytes_of_frozen};
use crate::memory::{
    MemoryUse, adapter_bytes, check_free, frozen_bytes, optimizer_bytes, parameter_bytes,
    tensor_bytes,
};
use crate::optimizer::{OptimizerState, has_moment};
use crate::parameters::{Parameters, check_config, n_values, random_values};

/// Says how many bytes are free for a model, where that is known.
pub type MemoryProbe = Option<Arc<dyn Fn() -> Option<u64> + Send + Sync>>;

/// A decoder-only transformer of the Llama or Qwen2 family on a device.
pub struct Model<D: Device> {
    pub(crate) device: Arc<D>,
    pub(crate) config: ModelConfig,
    pub(crate) specs: Vec<TensorSpec>,
    pub(crate) weights: Weights<D>,
    pub(crate) options: TrainingOptions,
    pub(crate) lora: Option<Lora<D>>,
    pub(crate) training: Option<Training<D>>,
    pub(crate) free_memory: MemoryProbe,
}

/// What only a model that learns needs.
pub(crate) struct Training<D: Device> {
    pub(crate) gradients: Gradients<D>,
    pub(crate) optimizer: OptimizerState<D>,
}

/// How a model learns, and with which weights it generates what it learns from. Fixed for the life of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingOptions {
    /// Precision of the optimizer's running means between steps.
    pub optimizer_state: StatePrecision,
    /// Whether an update keeps the inputs of the layers alone and computes the rest again in its backward pass:
    /// the same gradients for much less memory and about a third more time.
    pub gradient_checkpointing: bool,
    /// The adapters to train in place of the parameters, if any.
    pub lora: Option<LoraOptions>,
    /// The format of the copies of its weights with which the model generates, or nothing for the weights themselves.
    /// With adapters, copies are of the matrices that have them in them. Samples of copies are those of a slightly
    /// different policy, whose log-probabilities they come with; scoring and training always use the weights.
    pub rollout_weights: Option<CopyFormat>,
}

impl TrainingOptions {
    /// What a training forward pass keeps.
    pub(crate) const fn keep(&self) -> Keep {
        if self.gradient_checkpointing { Keep::Inputs } else { Keep::All }
    }

    /// Rank of the adapters; 0 without.
    pub(crate) fn rank(&self) -> usize {
        self.lora.as_ref().map_or(0, |lora| lora.adapter.rank)
    }
}

impl<D: Device> std::fmt::Debug for Model<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("device", &self.device.describe())
            .field("config", &self.config)
            .field("n_steps", &self.n_steps())
            .finish_non_exhaustive()
    }
}

impl<D: Device> Model<D> {
    /// Builds a model whose parameters come from `read`, which is called once per Hugging Face name and returns
    /// row-major values. Calls that need more memory than `free_memory` knows to be free are refused.
    ///
    /// # Errors
    /// Whatever `read` returns; a wrong configuration or number of values; the device's memory.
    pub fn load<E: From<TransformerError>>(
        device: Arc<D>,
        config: ModelConfig,
        free_memory: MemoryProbe,
        mut read: impl FnMut(&str) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        check_config(&config)?;
        check_free(&free_memory, MemoryUse::Weights, parameter_bytes(&config))?;
        let specs = config.tensors();
        let of_weights = |error: TransformerError| error.of(MemoryUse::Weights);
        let mut weights =
            Parameters::zeros(&*device, &config).map_err(|error| of_weights(error.into()))?;
        for (spec, mut tensor) in specs.iter().zip(weights.tensors_mut()) {
            tensor.write(&device, spec, &read(&spec.name)?).map_err(of_weights)?;
        }
        let options = TrainingOptions::default();
        Ok(Self {
            device,
            config,
            specs,
            weights: Weights::new(weights),
            options,
            lora: None,
            training: None,
            free_memory,
        })
    }

    /// Builds a randomly initialised model; the same `seed` gives the same weights.
    ///
    /// # Errors
    /// A wrong configuration; the device's memory.
    pub fn random(device: Arc<D>, config: ModelConfig, seed: u64) -> Result<Self> {
        let mut values = config
            .tensors()
            .into_iter()
            .enumerate()
            .map(|(index, spec)| random_values(&spec, index, seed));
        Self::load(device, config, None, |_| Ok(values.next().unwrap_or_default()))
    }

    /// Sets how a model that has not learned anything yet learns; adapters start fresh.
    ///
    /// # Errors
    /// A model that has adapters or has learned; adapters that do not fit the model; the device's memory.
    pub fn set_training_options(&mut self, options: TrainingOptions) -> Result<()> {
        if self.lora.is_some() || self.training.is_some() {
            return Err(TransformerError::invalid(
                "how a model learns is set once, before it learns: its weights hold its adapters",
            ));
        }
        self.lora = match &options.lora {
            Some(lora) => {
                let adapters = adapter_bytes(&self.config, &lora.adapter);
                let frozen = if self.device.has_own_memory() {
                    0
                } else {
                    let bytes = bytes_of_frozen(&*self.device, &self.weights, &lora.adapter)?;
                    frozen_bytes(&self.config, &lora.adapter, bytes)
                };
                self.check_memory(MemoryUse::Adapters, adapters.saturating_add(frozen))?;
                let made = Lora::new(&*self.device, &self.config, lora, &self.weights);
                Some(made.map_err(|error| error.of(MemoryUse::Adapters))?)
            }
            None => None,
        };
        self.options = options;
        self.weights.forget_copies();
        self.apply_adapters()
    }

    /// How the model learns.
    pub fn training_options(&self) -> &TrainingOptions {
        &self.options
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device.
    pub fn device(&self) -> &Arc<D> {
        &self.device
    }

    /// Names and shapes of all parameters, tied matrices once.
    pub fn parameters(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// Number of parameters, tied matrices counted once.
    pub fn n_parameters(&self) -> u64 {
        self.specs.iter().map(|spec| n_values(spec) as u64).sum()
    }

    /// Names and shapes of what an update trains: all parameters, or the adapters.
    pub fn trained(&self) -> &[TensorSpec] {
        self.lora.as_ref().map_or(&self.specs, |lora| &lora.specs)
    }

    /// The values of a parameter, row-major; those of an adapted matrix with its adapter in them.
    ///
    /// # Errors
    /// An unknown name; the device.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.weights.tensors()[index_of(&self.specs, name)?].read(&self.device)?)
    }

    /// Replaces the values of a parameter of a model without adapters.
    ///
    /// # Errors
    /// An unknown name or a wrong number of values; adapters; the device.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        if self.lora.is_some() {
            return Err(TransformerError::invalid(
                "the parameters of a model with adapters are frozen",
            ));
        }
        let index = index_of(&self.specs, name)?;
        self.weights.tensors_mut()[index].write(&self.device, &self.specs[index], values)
    }

    /// The values of an adapter's `A` or `B`, by PEFT's name, row-major.
    ///
    /// # Errors
    /// An unknown name; the device.
    pub fn read_adapter(&self, name: &str) -> Result<Vec<f32>> {
        let index = index_of(self.adapter_specs(), name)?;
        let tensors = self.lora.as_ref().map_or_else(Vec::new, Lora::tensors);
        Ok(tensors[index].read(&self.device)?)
    }

    /// Replaces `A` and `B` of every adapter by what `read` returns for their names.
    ///
    /// # Errors
    /// Whatever `read` returns; a wrong number of values; the device.
    pub fn load_adapters<E: From<TransformerError>>(
        &mut self,
        mut read: impl FnMut(&str) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<(), E> {
        if let Some(lora) = &mut self.lora {
            let specs = lora.specs.clone();
            for (spec, mut tensor) in specs.iter().zip(lora.tensors_mut()) {
                tensor.write(&self.device, spec, &read(&spec.name)?)?;
            }
        }
        Ok(self.apply_adapters()?)
    }

    /// Makes the weights what the adapters say.
    pub(crate) fn apply_adapters(&mut self) -> Result<()> {
        if let Some(lora) = &mut self.lora {
            lora.apply(&*self.device, &mut self.weights)?;
        }
        Ok(())
    }

    /// Digest of the matrices that the adapters belong to; empty without adapters.
    pub(crate) fn base_digest(&self) -> &str {
        self.lora.as_ref().map_or("", |lora| &lora.base_digest)
    }

    /// What the optimizer changes.
    pub(crate) fn trained_tensors_mut(&mut self) -> Vec<TensorMut<'_, D>> {
        match &mut self.lora {
            Some(lora) => lora.tensors_mut(),
            None => self.weights.tensors_mut(),
        }
    }

    /// Which optimizer's state there is; AdamW's before the first update.
    pub fn optimizer_kind(&self) -> OptimizerKind {
        self.training.as_ref().map_or(OptimizerKind::Adamw, |training| training.optimizer.kind)
    }

    /// Optimizer steps taken; 0 for a model that has not learned anything.
    pub fn n_steps(&self) -> u64 {
        self.training.as_ref().map_or(0, |training| training.optimizer.n_steps)
    }

    /// A moment of a parameter, row-major; none before the first update.
    ///
    /// # Errors
    /// An unknown name; the device.
    pub fn read_moment(&self, name: &str, moment: Moment) -> Result<Option<Vec<f32>>> {
        let Some(training) = &self.training else {
            return Ok(None);
        };
        let index = index_of(self.trained(), name)?;
        let like = &training.gradients.tensors()[index];
        Ok(training.optimizer.read(&self.device, index, moment, like)?)
    }

    /// The gradient that the last update accumulated, before clipping; none before the first update.
    ///
    /// # Errors
    /// An unknown name; the device.
    pub fn read_gradient(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(training) = &self.training else {
            return Ok(None);
        };
        let index = index_of(self.trained(), name)?;
        Ok(Some(training.gradients.tensors()[index].read(&self.device)?))
    }

    /// Sets the optimizer state: `read` is called with `<name>.m` and `<name>.v` for each trained tensor, without the
    /// latter for those that Muon trains.
    /// With `n_steps` 0 nothing is read and the state is a fresh one. The old state stays if this fails.
    ///
    /// # Errors
    /// Whatever `read` returns; a wrong number of values; the device's memory.
    pub fn load_optimizer<E: From<TransformerError>>(
        &mut self,
        kind: OptimizerKind,
        n_steps: u64,
        mut read: impl FnMut(&str) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<(), E> {
        if n_steps == 0 {
            self.training = None;
            return Ok(());
        }
        let mut training =
            self.new_training(kind).map_err(|error| error.of(MemoryUse::Training))?;
        training.optimizer.n_steps = n_steps;
        for moment in Moment::ALL {
            let specs = self.trained().iter().enumerate();
            for (index, spec) in specs.filter(|(_, spec)| has_moment(kind, spec, moment)) {
                let values = read(&format!("{}{}", spec.name, moment.suffix()))?;
                training.optimizer.write(&self.device, index, moment, spec, &values)?;
            }
        }
        self.training = Some(training);
        Ok(())
    }

    /// Gradients and running means of zeros, unless they are known not to fit.
    pub(crate) fn new_training(&self, kind: OptimizerKind) -> Result<Training<D>> {
        let trained = self.trained();
        let state = optimizer_bytes(trained, kind, self.options.optimizer_state);
        self.check_memory(MemoryUse::Training, tensor_bytes(trained).saturating_add(state))?;
        let gradients = match &self.lora {
            Some(lora) => Gradients::Adapters(lora.gradients(&*self.device, &self.config)?),
            None => Gradients::All(Parameters::gradients(&*self.device, &self.config)?),
        };
        let precision = self.options.optimizer_state;
        let tensors = gradients.tensors();
        let optimizer = OptimizerState::new(&*self.device, trained, &tensors, kind, precision)?;
        drop(tensors);
        Ok(Training { gradients, optimizer })
    }

    pub(crate) fn attention_shape(&self) -> AttentionShape {
        AttentionShape {
            n_heads: self.config.n_heads,
            n_kv_heads: self.config.n_kv_heads,
            head_dim: self.config.head_dim,
        }
    }

    /// Fails unless every token is one of the vocabulary.
    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().find(|&&token| token as usize >= self.config.vocab_size) {
            Some(token) => Err(TransformerError::invalid(format!(
                "token {token} is outside the model's vocabulary of {}: tokenizer and model do not belong together",
                self.config.vocab_size
            ))),
            None => Ok(()),
        }
    }

    fn adapter_specs(&self) -> &[TensorSpec] {
        self.lora.as_ref().map_or(&[], |lora| &lora.specs)
    }
}

fn index_of(specs: &[TensorSpec], name: &str) -> Result<usize> {
    specs
        .iter()
        .position(|spec| spec.name == name)
        .ok_or_else(|| TransformerError::UnknownParameter(name.to_owned()))
}
