//! Learning: gradients of the policy loss over a whole update, accumulated in micro-batches, and one optimizer step.

use std::ops::Range;

use azr_plugin::{
    CallContext, LossSpec, OptimizerSpec, Ratio, TrainSequence, UpdateReport, UpdateRequest,
};

use crate::backward::BackwardBuffers;
use crate::device::Device;
use crate::error::{Result, TransformerError};
use crate::forward::Activations;
use crate::loss::{BatchLoss, ReportSums, has_loss};
use crate::memory::{MemoryUse, activation_values, backward_values};
use crate::model::{Model, Training};
use crate::rows::{PromptAndResponse, pack};
use crate::score::{HEAD_ROWS, chunks};

/// Rows computed together in training by default. Matrix products are as fast with 512 rows as with more; more rows
/// let larger groups share their prompt, and cost memory for activations (0.8 MB a row for a 135M model).
pub const DEFAULT_MICRO_BATCH_ROWS: usize = 2048;

impl<D: Device> Model<D> {
    /// Accumulates gradients over all sequences and takes one optimizer step with clipping of the global norm.
    ///
    /// At most `max_rows` rows are computed together (a longer sequence is computed alone); the result does not
    /// depend on it beyond rounding. Gradients and moments are allocated by the first call. Weight decay applies to
    /// matrices only. Sequences without any loss are not computed.
    ///
    /// # Errors
    /// Sequences, loss or optimizer numbers that make no sense; cancellation; the device. The weights are
    /// unchanged, unless the device fails within the optimizer step itself.
    pub fn update(
        &mut self,
        request: &UpdateRequest,
        max_rows: usize,
        context: &dyn CallContext,
    ) -> Result<UpdateReport> {
        self.check_update(request)?;
        self.checked_update(request, max_rows, context)
            .map_err(|error| error.of(MemoryUse::Training))
    }

    fn checked_update(
        &mut self,
        request: &UpdateRequest,
        max_rows: usize,
        context: &dyn CallContext,
    ) -> Result<UpdateReport> {
        let kind = request.optimizer.kind;
        let mut training = match self.training.take_if(|state| state.optimizer.kind == kind) {
            Some(training) => training,
            // State of another kind stays if the new one does not fit.
            None => {
                let training = self.new_training(kind)?;
                self.training = None;
                training
            }
        };
        let report = self.update_with(&mut training, request, max_rows, context);
        self.training = Some(training);
        report
    }

    fn update_with(
        &mut self,
        training: &mut Training<D>,
        request: &UpdateRequest,
        max_rows: usize,
        context: &dyn CallContext,
    ) -> Result<UpdateReport> {
        let device = self.device.clone();
        training.gradients.clear(&device)?;
        let mut report = ReportSums::default();
        self.accumulate(training, request, max_rows, &mut report, context)?;
        let grad_norm = device.sum_squares(&training.gradients.tensors())?.sqrt();
        let report = report.into_report();
        let applied = request.bounds.admits(report.loss, grad_norm);
        if applied {
            training.optimizer.step(
                &device,
                self.trained_tensors_mut(),
                training.gradients.tensors(),
                &request.optimizer,
                grad_norm,
            )?;
            self.apply_adapters()?;
        }
        Ok(UpdateReport { grad_norm, applied, ..report })
    }

    /// Adds the gradients of every sequence with a loss.
    fn accumulate(
        &self,
        training: &mut Training<D>,
        request: &UpdateRequest,
        max_rows: usize,
        report: &mut ReportSums,
        context: &dyn CallContext,
    ) -> Result<()> {
        let trained: Vec<&TrainSequence> =
            request.sequences.iter().filter(|sequence| has_loss(sequence, &request.loss)).collect();
        let sequences: Vec<PromptAndResponse<'_>> = trained
            .iter()
            .map(|s| PromptAndResponse { prompt: &s.prompt, response: &s.response })
            .collect();
        let batches = pack(&sequences, max_rows);
        let Some(n_rows) = batches.iter().map(|batch| batch.rows.len()).max() else {
            return Ok(());
        };
        let total: usize = batches.iter().map(|batch| batch.rows.len()).sum();
        let mut done = 0;
        let keep = self.options.keep();
        let n_values = activation_values(&self.config, keep)
            + backward_values(&self.config, self.options.rank());
        self.check_memory(MemoryUse::Training, self.activation_bytes(n_rows, n_values))?;
        let mut activations = Activations::new(self, n_rows, keep)?;
        let mut buffers = BackwardBuffers::new(self, n_rows)?;
        let head_len = HEAD_ROWS.min(n_rows) * self.config.hidden_size;
        let mut head = HeadBuffers::<D> {
            states: self.device.activations(head_len)?,
            d_states: self.device.activations(head_len)?,
        };
        for batch in &batches {
            let mut loss = BatchLoss::new(batch, &trained, &request.loss);
            self.forward(&batch.rows, &mut activations, None, context)?;
            if loss.needs_logprobs() {
                let logprobs = self.target_logprobs(&loss, &activations, &mut head, context)?;
                loss.resolve(&trained, &logprobs);
            }
            for chunk in chunks(0..batch.rows.n_final_rows, HEAD_ROWS) {
                if context.is_cancelled() {
                    return Err(TransformerError::Cancelled);
                }
                let rows = self.gather_states(&activations, chunk.clone(), &mut head)?;
                let scores = self.device.head_loss(
                    &head.states,
                    self.weights.head(),
                    loss.targets(chunk.clone()),
                    loss.spec(),
                    &mut head.d_states,
                    training.gradients.head_mut(),
                )?;
                let width = self.config.hidden_size;
                self.device.scatter_rows(&head.d_states, &rows, width, &mut buffers.d_norm)?;
                report.add(&loss, chunk, &scores);
            }
            self.backward(
                &batch.rows,
                &mut activations,
                &mut buffers,
                &mut training.gradients,
                context,
            )?;
            done += batch.rows.len();
            context.progress(done as u64, total as u64);
        }
        Ok(())
    }

    /// Log-probability of each final row's target.
    fn target_logprobs(
        &self,
        loss: &BatchLoss<'_>,
        activations: &Activations<D>,
        head: &mut HeadBuffers<D>,
        context: &dyn CallContext,
    ) -> Result<Vec<f32>> {
        let (mut logprobs, temperature) = (Vec::new(), loss.spec().temperature);
        for chunk in chunks(0..loss.n_rows(), HEAD_ROWS) {
            if context.is_cancelled() {
                return Err(TransformerError::Cancelled);
            }
            self.gather_states(activations, chunk.clone(), head)?;
            let (weight, targets) = (self.weights.head(), loss.targets(chunk).targets);
            let scores = self.device.head_scores(&head.states, weight, targets, temperature)?;
            logprobs.extend(scores.logprobs);
        }
        Ok(logprobs)
    }

    /// Copies final states to the head's input; returns their rows.
    fn gather_states(
        &self,
        activations: &Activations<D>,
        chunk: Range<usize>,
        head: &mut HeadBuffers<D>,
    ) -> Result<Vec<u32>> {
        let rows: Vec<u32> = chunk.map(|row| row as u32).collect();
        let width = self.config.hidden_size;
        self.device.gather_rows(&activations.norm, &rows, width, &mut head.states)?;
        Ok(rows)
    }

    fn check_update(&self, request: &UpdateRequest) -> Result<()> {
        for (index, sequence) in request.sequences.iter().enumerate() {
            let TrainSequence {
                prompt,
                response,
                behaviour_logprobs,
                reference_logprobs,
                advantages,
                weights,
            } = sequence;
            self.check_sequence(&PromptAndResponse { prompt, response })?;
            let LossSpec { ratio, kl_coef, .. } = request.loss;
            for (name, values, is_optional) in [
                ("behaviour_logprobs", behaviour_logprobs, ratio == Ratio::None),
                ("reference_logprobs", reference_logprobs, kl_coef == 0.0),
                ("advantages", advantages, false),
                ("weights", weights, false),
            ] {
                if values.len() != response.len() && !(is_optional && values.is_empty()) {
                    return Err(TransformerError::invalid(format!(
                        "sequence {index} has {} {name} for {} response tokens",
                        values.len(),
                        response.len()
                    )));
                }
                if !values.iter().all(|value| value.is_finite()) {
                    return Err(TransformerError::invalid(format!(
                        "sequence {index} has {name} that are not finite"
                    )));
                }
            }
        }
        let LossSpec { clip_low, clip_high, dual_clip, entropy_coef, kl_coef, temperature, .. } =
            request.loss;
        let OptimizerSpec {
            learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm, ..
        } = request.optimizer;
        let at_least_0 = |x: f32| x.is_finite() && x >= 0.0;
        let rules = [
            ("clip_low", clip_low, at_least_0(clip_low)),
            ("clip_high", clip_high, at_least_0(clip_high)),
            (
                "dual_clip",
                dual_clip.unwrap_or(2.0),
                dual_clip.is_none_or(|c| c.is_finite() && c > 1.0),
            ),
            ("entropy_coef", entropy_coef, entropy_coef.is_finite()),
            ("kl_coef", kl_coef, at_least_0(kl_coef)),
            ("temperature", temperature, temperature.is_finite() && temperature > 0.0),
            ("learning_rate", learning_rate, at_least_0(learning_rate)),
            ("beta1", beta1, (0.0..1.0).contains(&beta1)),
            ("beta2", beta2, (0.0..1.0).contains(&beta2)),
            ("epsilon", epsilon, epsilon.is_finite() && epsilon > 0.0),
            ("weight_decay", weight_decay, at_least_0(weight_decay)),
            ("max_grad_norm", max_grad_norm, at_least_0(max_grad_norm)),
        ];
        match rules.iter().find(|(_, _, holds)| !holds) {
            Some((name, value, _)) => {
                Err(TransformerError::invalid(format!("{name} cannot be {value}")))
            }
            None => Ok(()),
        }
    }
}

/// The head's input and its gradient for one chunk of rows.
struct HeadBuffers<D: Device> {
    states: D::Buffer,
    d_states: D::Buffer,
}
