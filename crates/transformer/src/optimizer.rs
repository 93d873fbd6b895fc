//! The optimizer: its state for every trained tensor, and one step.

mod muon;
pub mod packing;

use azr_plugin::{OptimizerKind, OptimizerSpec};
use azr_weights::TensorSpec;

use crate::device::{
    AdamStep, AdamTensor, Device, DeviceError, DeviceResult, Moment, StatePrecision, Tensor,
    TensorMut,
};
use crate::error::Result;
use packing::{Rounding, mix};

/// Running means of every trained tensor, in the order of the tensors.
pub(crate) struct OptimizerState<D: Device> {
    /// How gradients become steps; it says which running means there are.
    pub(crate) kind: OptimizerKind,
    /// Steps taken.
    pub(crate) n_steps: u64,
    first: Vec<D::State>,
    /// None for what Muon trains.
    second: Vec<Option<D::State>>,
}

impl<D: Device> OptimizerState<D> {
    /// The state before the first step for `tensors`, whose names are in `specs`.
    pub(crate) fn new(
        device: &D,
        specs: &[TensorSpec],
        tensors: &[Tensor<'_, D>],
        kind: OptimizerKind,
        precision: StatePrecision,
    ) -> DeviceResult<Self> {
        let zeros = |tensor: &Tensor<'_, D>, moment| match tensor {
            Tensor::Vector(vector) => device.state(vector, precision, moment),
            Tensor::Matrix(matrix) => device.matrix_state(matrix, precision, moment),
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (spec, tensor) in specs.iter().zip(tensors) {
            first.push(zeros(tensor, Moment::First)?);
            let has_second = has_moment(kind, spec, Moment::Second);
            second.push(has_second.then(|| zeros(tensor, Moment::Second)).transpose()?);
        }
        Ok(Self { kind, n_steps: 0, first, second })
    }

    /// The values of one running mean of tensor `index`, which is shaped like `like`, row-major; none where the
    /// optimizer has no such mean.
    pub(crate) fn read(
        &self,
        device: &D,
        index: usize,
        moment: Moment,
        like: &Tensor<'_, D>,
    ) -> DeviceResult<Option<Vec<f32>>> {
        let state = match moment {
            Moment::First => Some(&self.first[index]),
            Moment::Second => self.second[index].as_ref(),
        };
        let Some(state) = state else {
            return Ok(None);
        };
        let values = match like {
            Tensor::Vector(vector) => {
                let mut values = device.zeros(device.len(vector))?;
                device.state_read(state, &mut values)?;
                Tensor::<D>::Vector(&values).read(device)
            }
            Tensor::Matrix(matrix) => {
                let (n_out, n_in) = device.matrix_shape(matrix);
                let mut values = device.gradient_zeros(n_out, n_in)?;
                device.matrix_state_read(state, &mut values)?;
                Tensor::<D>::Matrix(&values).read(device)
            }
        };
        values.map(Some)
    }

    /// Replaces one running mean of tensor `index`, whose name and shape are `spec`, by row-major `values`.
    pub(crate) fn write(
        &mut self,
        device: &D,
        index: usize,
        moment: Moment,
        spec: &TensorSpec,
        values: &[f32],
    ) -> Result<()> {
        let state = match moment {
            Moment::First => Some(&mut self.first[index]),
            Moment::Second => self.second[index].as_mut(),
        };
        let Some(state) = state else {
            return Ok(());
        };
        if let [n_out, n_in] = spec.shape[..] {
            let mut matrix = device.gradient_zeros(n_out, n_in)?;
            TensorMut::<D>::Matrix(&mut matrix).write(device, spec, values)?;
            device.matrix_state_write(state, &matrix, Rounding::Nearest)?;
        } else {
            let mut vector = device.zeros(spec.shape.iter().product())?;
            TensorMut::<D>::Vector(&mut vector).write(device, spec, values)?;
            device.state_write(state, &vector)?;
        }
        Ok(())
    }

    /// One step on `weights` by `gradients`, all tensors in the order in which the state was made. Gradients
    /// are scaled down to `optimizer.max_grad_norm` first, `grad_norm` being their norm. Vectors do not decay.
    pub(crate) fn step(
        &mut self,
        device: &D,
        weights: Vec<TensorMut<'_, D>>,
        gradients: Vec<Tensor<'_, D>>,
        optimizer: &OptimizerSpec,
        grad_norm: f64,
    ) -> Result<()> {
        let max_norm = f64::from(optimizer.max_grad_norm);
        let clips = max_norm > 0.0 && grad_norm > max_norm;
        let t = self.n_steps + 1;
        let step = AdamStep {
            learning_rate: optimizer.learning_rate,
            beta1: optimizer.beta1,
            beta2: optimizer.beta2,
            epsilon: optimizer.epsilon,
            grad_scale: if clips { (max_norm / grad_norm) as f32 } else { 1.0 },
            t,
        };
        let means = self.first.iter_mut().zip(&mut self.second);
        let mut adam = Vec::new();
        for (index, ((p, g), (m, v))) in weights.into_iter().zip(gradients).zip(means).enumerate() {
            let rounding_key = mix(mix(t as u32).wrapping_add(index as u32));
            match (p, g, v) {
                (TensorMut::Matrix(p), Tensor::Matrix(g), None) => {
                    let rounding = Rounding::Stochastic(rounding_key);
                    muon::step(device, p, g, m, optimizer, (step.grad_scale, rounding))?;
                }
                (p, g, Some(v)) => {
                    // Vectors are norm gains and biases.
                    let decays = matches!(p, TensorMut::Matrix(_));
                    let weight_decay = if decays { optimizer.weight_decay } else { 0.0 };
                    adam.push(AdamTensor { p, g, m, v, weight_decay, rounding_key });
                }
                _ => {
                    let message = "weights, gradients and state differ in layout".to_owned();
                    return Err(DeviceError::Failed(message).into());
                }
            }
        }
        device.adamw(adam, step)?;
        self.n_steps = t;
        Ok(())
    }
}

/// Whether the optimizer keeps this running mean of a tensor. Muon has one for each hidden matrix, adapters included;
/// embedding, head, gains and biases are AdamW's.
pub(crate) fn has_moment(kind: OptimizerKind, spec: &TensorSpec, moment: Moment) -> bool {
    let is_vocabulary = ["model.embed_tokens.weight", "lm_head.weight"].contains(&&*spec.name);
    let is_hidden = spec.shape.len() == 2 && !is_vocabulary;
    moment == Moment::First || kind == OptimizerKind::Adamw || !is_hidden
}
