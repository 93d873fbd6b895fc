//! What a run needs in memory before it is started, from the figures that refuse a call once it runs.

use azr_plugin::OptimizerKind;
use azr_weights::ModelConfig;

use crate::cache::cache_bytes_per_row;
use crate::device::ActivationPrecision;
use crate::forward::Keep;
use crate::memory::{
    activation_bytes, activation_values, adapter_bytes, backward_values, copy_bytes, frozen_bytes,
    optimizer_bytes, parameter_bytes, tensor_bytes,
};
use crate::model::TrainingOptions;
use crate::policy::PolicyLimits;
use crate::score::HEAD_ROWS;

/// The most that a run asks of a model at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Longest prompt in tokens.
    pub prompt_tokens: usize,
    /// Longest response in tokens.
    pub response_tokens: usize,
    /// Samples of the largest wave.
    pub n_samples: usize,
    /// Sequences of an update.
    pub n_sequences: usize,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// Whether a frozen reference model scores what is trained.
    pub has_reference: bool,
    /// In how many bits the device keeps activations.
    pub activations: ActivationPrecision,
    /// Whether the model's file holds the layers as bfloat16, so that frozen matrices can be kept in two bytes.
    pub is_bf16: bool,
}

/// Bytes that a run needs: of the device, but for `frozen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The model's weights, as float32.
    pub weights: u64,
    /// Copies of the weights for generation, if those are what it uses.
    pub rollout_weights: u64,
    /// The weights of the reference model.
    pub reference: u64,
    /// Adapters, as they are and scaled.
    pub adapters: u64,
    /// The frozen matrices that adapters are added to. They are in the memory of the host, whatever the device.
    pub frozen: u64,
    /// Gradients of what is trained.
    pub gradients: u64,
    /// Running means of the optimizer.
    pub optimizer_state: u64,
    /// Activations of one micro-batch, kept and of its backward pass.
    pub training_activations: u64,
    /// Keys and values of a wave.
    pub kv_cache: u64,
    /// Activations of a wave.
    pub generation_activations: u64,
    /// Rows of the training micro-batch.
    pub n_training_rows: usize,
    /// Rows of a decoding step or prefill.
    pub n_generation_rows: usize,
}

impl MemoryPlan {
    /// The plan of a model of this configuration.
    pub fn new(
        config: &ModelConfig,
        training: &TrainingOptions,
        limits: &PolicyLimits,
        workload: &Workload,
    ) -> Self {
        let trained = match &training.lora {
            Some(lora) => {
                let adapters = lora.adapter.adapters(config).into_iter();
                adapters.flat_map(|spec| [spec.a, spec.b]).collect()
            }
            None => config.tensors(),
        };
        let sequence = workload.prompt_tokens.saturating_add(workload.response_tokens);
        let sequence = sequence.min(config.context_length);
        // A sequence that is longer than a micro-batch gets one of its own.
        let n_training_rows = workload
            .n_sequences
            .saturating_mul(sequence)
            .min(limits.micro_batch_rows.max(sequence));
        let n_values =
            activation_values(config, training.keep()) + backward_values(config, training.rank());
        let bytes = |n_rows, n_values| activation_bytes(n_rows, n_values, workload.activations);
        let head = bytes(2 * HEAD_ROWS.min(n_training_rows), config.hidden_size);

        let n_live = workload.n_samples.min(limits.generate.max_live_rows);
        let kv_cache = cache_bytes_per_row(config, workload.activations)
            .saturating_mul(n_live as u64)
            .saturating_mul(sequence as u64)
            .min(limits.generate.kv_cache_bytes);
        let n_prompt_rows = n_live.saturating_mul(workload.prompt_tokens);
        let n_generation_rows = n_live.max(n_prompt_rows.min(limits.generate.prefill_rows));
        let weights = parameter_bytes(config);
        Self {
            weights,
            rollout_weights: training
                .rollout_weights
                .map_or(0, |format| copy_bytes(config, format)),
            reference: if workload.has_reference { weights } else { 0 },
            adapters: training.lora.as_ref().map_or(0, |lora| adapter_bytes(config, &lora.adapter)),
            frozen: training.lora.as_ref().map_or(0, |lora| {
                frozen_bytes(config, &lora.adapter, if workload.is_bf16 { 2 } else { 4 })
            }),
            gradients: tensor_bytes(&trained),
            optimizer_state: optimizer_bytes(
                &trained,
                workload.optimizer,
                training.optimizer_state,
            ),
            training_activations: bytes(n_training_rows, n_values).saturating_add(head),
            kv_cache,
            generation_activations: bytes(
                n_generation_rows,
                activation_values(config, Keep::Nothing),
            ),
            n_training_rows,
            n_generation_rows,
        }
    }

    /// What stays on the device from the first update on.
    pub fn resident(&self) -> u64 {
        self.weights
            .saturating_add(self.rollout_weights)
            .saturating_add(self.reference)
            .saturating_add(self.adapters)
            .saturating_add(self.gradients)
            .saturating_add(self.optimizer_state)
    }

    /// The most on the device at any time: generation and training take turns.
    pub fn peak(&self) -> u64 {
        let generation = self.kv_cache.saturating_add(self.generation_activations);
        self.resident().saturating_add(self.training_activations.max(generation))
    }
}

#[cfg(test)]
mod tests {
    use azr_weights::{AdapterConfig, Family, Projection};

    use super::*;
    use crate::tests::tiny_config;
    use crate::{CopyFormat, LoraOptions, StatePrecision};

    #[test]
    fn each_option_saves_what_it_is_for() {
        let config = tiny_config(Family::Llama, true);
        let workload = Workload {
            prompt_tokens: 20,
            response_tokens: 10,
            n_samples: 8,
            n_sequences: 4,
            optimizer: OptimizerKind::Adamw,
            has_reference: false,
            activations: ActivationPrecision::F32,
            is_bf16: false,
        };
        let limits = PolicyLimits::default();
        let plan = |options: TrainingOptions, workload: Workload| {
            MemoryPlan::new(&config, &options, &limits, &workload)
        };
        let full = plan(TrainingOptions::default(), workload);
        let n = config.n_parameters();
        assert_eq!((full.weights, full.gradients, full.optimizer_state), (4 * n, 4 * n, 8 * n));
        assert_eq!((full.adapters, full.n_training_rows, full.n_generation_rows), (0, 120, 160));
        assert_eq!(full.peak() - full.resident(), full.training_activations);

        let reference = plan(Default::default(), Workload { has_reference: true, ..workload });
        assert_eq!(reference.peak(), full.peak() + 4 * n);
        let short = PolicyLimits { micro_batch_rows: 16, ..limits };
        let alone = MemoryPlan::new(&config, &TrainingOptions::default(), &short, &workload);
        assert_eq!(alone.n_training_rows, 30, "a sequence is computed whole");

        let bf16 = TrainingOptions { optimizer_state: StatePrecision::Bf16, ..Default::default() };
        assert_eq!(plan(bf16, workload).optimizer_state, 4 * n);
        let muon =
            plan(Default::default(), Workload { optimizer: OptimizerKind::Muon, ..workload });
        assert!(muon.optimizer_state < full.optimizer_state);
        assert_eq!(full.rollout_weights, 0);
        let copies = |format| {
            let rollout_weights = Some(format);
            plan(TrainingOptions { rollout_weights, ..Default::default() }, workload)
        };
        let (bf16, int8) = (copies(CopyFormat::Bf16), copies(CopyFormat::Int8));
        // Embeddings are tied, so that the copied matrices are all parameters but the gains of the norms.
        let n_copied = n - (2 * config.n_layers as u64 + 1) * config.hidden_size as u64;
        assert_eq!(bf16.rollout_weights, 2 * n_copied);
        assert!((n..n + n / 2).contains(&int8.rollout_weights), "a byte a parameter and scales");
        for copied in [bf16, int8] {
            assert_eq!(copied.weights, 4 * n);
            assert_eq!(copied.peak(), full.peak() + copied.rollout_weights);
        }
        let inputs = TrainingOptions { gradient_checkpointing: true, ..Default::default() };
        assert!(plan(inputs, workload).training_activations < full.training_activations);

        let adapter = AdapterConfig {
            rank: 1,
            alpha: 1.0,
            targets: [Projection::Q].into(),
            base_model: String::new(),
        };
        let lora = Some(LoraOptions { adapter, seed: 0 });
        let lora = plan(TrainingOptions { lora, ..Default::default() }, workload);
        assert_eq!(lora.gradients, 4 * 2 * (12 + 16));
        assert_eq!(lora.adapters, 2 * 2 * 4 * (12 + 16));
        assert_eq!(lora.frozen, 2 * 4 * 12 * 16);
        assert!(lora.peak() < full.peak());
    }
}
