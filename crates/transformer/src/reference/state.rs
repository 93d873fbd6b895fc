//! The optimizer of the reference device: its state, packed like everybody's, and AdamW.

use super::need;
use crate::device::{AdamStep, DeviceResult, Moment, StatePrecision};
use crate::packing::{BLOCK, Rounding, pack_bf16, pack_block, unpack_bf16, unpack_block};

/// A running mean: float64 values that were rounded as their precision asks.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The values.
    pub values: Vec<f64>,
    precision: StatePrecision,
    moment: Moment,
}

impl State {
    pub(super) fn zeros(len: usize, precision: StatePrecision, moment: Moment) -> Self {
        Self { values: vec![0.0; len], precision, moment }
    }

    pub(super) fn write(&mut self, values: &[f64], rounding: Rounding) -> DeviceResult<()> {
        need(values.len() == self.values.len(), "the state is not as long as the values")?;
        self.values.copy_from_slice(values);
        self.round(rounding);
        Ok(())
    }

    pub(super) fn read(&self, out: &mut [f64]) -> DeviceResult<()> {
        need(out.len() == self.values.len(), "the output is not as long as the state")?;
        out.copy_from_slice(&self.values);
        Ok(())
    }

    fn round(&mut self, rounding: Rounding) {
        match self.precision {
            StatePrecision::F32 => {}
            StatePrecision::Bf16 => {
                for (index, value) in self.values.iter_mut().enumerate() {
                    *value = f64::from(unpack_bf16(pack_bf16(*value as f32, rounding, index)));
                }
            }
            StatePrecision::Int8 => {
                let is_signed = self.moment == Moment::First;
                for (index, block) in self.values.chunks_mut(BLOCK).enumerate() {
                    let mut values: Vec<f32> = block.iter().map(|&value| value as f32).collect();
                    let mut codes = vec![0; block.len()];
                    let scale = pack_block(&values, is_signed, rounding, index * BLOCK, &mut codes);
                    unpack_block(&codes, is_signed, scale, &mut values);
                    for (to, from) in block.iter_mut().zip(values) {
                        *to = f64::from(from);
                    }
                }
            }
        }
    }
}

/// AdamW with decoupled weight decay (arXiv 1711.05101, algorithm 2 with a schedule of 1).
pub(super) fn adamw(
    p: &mut [f64],
    g: &[f64],
    [first, second]: [&mut State; 2],
    weight_decay: f32,
    rounding_key: u32,
    step: AdamStep,
) -> DeviceResult<()> {
    let (m, v) = (&mut first.values, &mut second.values);
    need(
        p.len() == g.len() && p.len() == m.len() && p.len() == v.len(),
        "parameters and state differ in length",
    )?;
    let (beta1, beta2) = (f64::from(step.beta1), f64::from(step.beta2));
    let correction1 = 1.0 - beta1.powf(step.t as f64);
    let correction2 = 1.0 - beta2.powf(step.t as f64);
    for i in 0..p.len() {
        let gradient = g[i] * f64::from(step.grad_scale);
        m[i] = beta1 * m[i] + (1.0 - beta1) * gradient;
        v[i] = beta2 * v[i] + (1.0 - beta2) * gradient * gradient;
        let update = (m[i] / correction1) / ((v[i] / correction2).sqrt() + f64::from(step.epsilon));
        p[i] -= f64::from(step.learning_rate) * (update + f64::from(weight_decay) * p[i]);
    }
    first.round(Rounding::Stochastic(rounding_key));
    second.round(Rounding::Stochastic(!rounding_key));
    Ok(())
}
