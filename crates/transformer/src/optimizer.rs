//! The optimizer: its state for every trained tensor, and one step.

pub mod packing;

use azr_plugin::OptimizerSpec;
use azr_weights::TensorSpec;

use crate::device::{AdamStep, Device, DeviceError, DeviceResult, Moment, StatePrecision};
use crate::error::Result;
use crate::parameters::{Tensor, TensorMut};
use packing::mix;

/// Running means of every trained tensor, in the order of the tensors.
pub(crate) struct OptimizerState<D: Device> {
    /// Steps taken.
    pub(crate) n_steps: u64,
    first: Vec<D::State>,
    second: Vec<D::State>,
}

impl<D: Device> OptimizerState<D> {
    /// The state before the first step for tensors like `tensors`.
    pub(crate) fn new(
        device: &D,
        tensors: &[Tensor<'_, D>],
        precision: StatePrecision,
    ) -> DeviceResult<Self> {
        let zeros = |moment| {
            let states = tensors.iter().map(|tensor| match tensor {
                Tensor::Vector(vector) => device.state(vector, precision, moment),
                Tensor::Matrix(matrix) => device.matrix_state(matrix, precision, moment),
            });
            states.collect::<DeviceResult<Vec<_>>>()
        };
        Ok(Self { n_steps: 0, first: zeros(Moment::First)?, second: zeros(Moment::Second)? })
    }

    /// The values of one running mean of tensor `index`, which is shaped like `like`, row-major.
    pub(crate) fn read(
        &self,
        device: &D,
        index: usize,
        moment: Moment,
        like: &Tensor<'_, D>,
    ) -> DeviceResult<Vec<f32>> {
        let state = &self.of(moment)[index];
        match like {
            Tensor::Vector(vector) => {
                let mut values = device.zeros(device.len(vector))?;
                device.state_read(state, &mut values)?;
                Tensor::<D>::Vector(&values).read(device)
            }
            Tensor::Matrix(matrix) => {
                let (n_out, n_in) = device.matrix_shape(matrix);
                let mut values = device.matrix_zeros(n_out, n_in)?;
                device.matrix_state_read(state, &mut values)?;
                Tensor::<D>::Matrix(&values).read(device)
            }
        }
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
            Moment::First => &mut self.first[index],
            Moment::Second => &mut self.second[index],
        };
        if let [n_out, n_in] = spec.shape[..] {
            let mut matrix = device.matrix_zeros(n_out, n_in)?;
            TensorMut::<D>::Matrix(&mut matrix).write(device, spec, values)?;
            device.matrix_state_write(state, &matrix)?;
        } else {
            let mut vector = device.zeros(spec.shape.iter().product())?;
            TensorMut::<D>::Vector(&mut vector).write(device, spec, values)?;
            device.state_write(state, &vector)?;
        }
        Ok(())
    }

    /// One AdamW step on `weights` by `gradients`, all tensors in the order in which the state was made. Gradients
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
        let means = self.first.iter_mut().zip(&mut self.second);
        for (index, ((weight, gradient), (m, v))) in
            weights.into_iter().zip(gradients).zip(means).enumerate()
        {
            let step = AdamStep {
                learning_rate: optimizer.learning_rate,
                beta1: optimizer.beta1,
                beta2: optimizer.beta2,
                epsilon: optimizer.epsilon,
                weight_decay: optimizer.weight_decay,
                grad_scale: if clips { (max_norm / grad_norm) as f32 } else { 1.0 },
                t,
                rounding_key: mix(mix(t as u32).wrapping_add(index as u32)),
            };
            match (weight, gradient) {
                (TensorMut::Matrix(p), Tensor::Matrix(g)) => {
                    device.matrix_adamw(p, g, m, v, step)?
                }
                // Vectors are norm gains and biases.
                (TensorMut::Vector(p), Tensor::Vector(g)) => {
                    device.adamw(p, g, m, v, AdamStep { weight_decay: 0.0, ..step })?;
                }
                _ => {
                    let message = "weights and gradients differ in layout".to_owned();
                    return Err(DeviceError::Failed(message).into());
                }
            }
        }
        self.n_steps = t;
        Ok(())
    }

    fn of(&self, moment: Moment) -> &[D::State] {
        match moment {
            Moment::First => &self.first,
            Moment::Second => &self.second,
        }
    }
}
