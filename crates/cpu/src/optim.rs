//! AdamW and sums of squares: one pass over memory each.

use std::sync::Mutex;

use azr_transformer::AdamStep;
use azr_transformer::packing::{BLOCK, Rounding};

use crate::Cpu;
use crate::simd::{Kernel, LANES, Simd};
use crate::state::{Part, State};
use crate::vectors::{load, store};

/// Values that one task takes, a multiple of [`BLOCK`].
const VALUES: usize = 1 << 15;

/// A step and what it is for one tensor.
#[derive(Clone, Copy)]
pub(crate) struct TensorStep {
    pub(crate) step: AdamStep,
    pub(crate) weight_decay: f32,
    pub(crate) rounding_key: u32,
}

struct AdamW<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    step: TensorStep,
}

impl Kernel for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, g, m, v, step: TensorStep { step, weight_decay, .. } } = self;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(step.t as f64);
        let (beta1, beta2) = (s.splat(step.beta1), s.splat(step.beta2));
        let one_minus_beta1 = s.splat((1.0 - f64::from(step.beta1)) as f32);
        let one_minus_beta2 = s.splat((1.0 - f64::from(step.beta2)) as f32);
        let inv_correction1 = s.splat((1.0 / correction(step.beta1)) as f32);
        let inv_correction2 = s.splat((1.0 / correction(step.beta2)) as f32);
        let (scale, epsilon) = (s.splat(step.grad_scale), s.splat(step.epsilon));
        let (minus_rate, decay) = (s.splat(-step.learning_rate), s.splat(weight_decay));
        for i in (0..p.len()).step_by(LANES) {
            let gradient = s.mul(load(s, g, i), scale);
            let first = s.mul_add(beta1, load(s, m, i), s.mul(one_minus_beta1, gradient));
            let second =
                s.mul_add(beta2, load(s, v, i), s.mul(one_minus_beta2, s.mul(gradient, gradient)));
            let root = s.add(s.sqrt(s.mul(second, inv_correction2)), epsilon);
            let parameter = load(s, p, i);
            let update = s.mul_add(decay, parameter, s.div(s.mul(first, inv_correction1), root));
            store(s, first, m, i);
            store(s, second, v, i);
            store(s, s.mul_add(minus_rate, update, parameter), p, i);
        }
    }
}

/// AdamW on state that is packed: each block is unpacked, stepped and packed again while it is in the cache.
struct PackedAdamW<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: Part<'a>,
    v: Part<'a>,
    /// Index of the first value.
    first: usize,
    step: TensorStep,
}

impl Kernel for PackedAdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, g, mut m, mut v, first, step } = self;
        let (mut m_values, mut v_values) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (block, (p, g)) in p.chunks_mut(BLOCK).zip(g.chunks(BLOCK)).enumerate() {
            let (m_values, v_values) = (&mut m_values[..p.len()], &mut v_values[..p.len()]);
            m.unpack(block, m_values);
            v.unpack(block, v_values);
            AdamW { p, g, m: m_values, v: v_values, step }.run(s);
            let index = first + block * BLOCK;
            m.pack(block, m_values, Rounding::Stochastic(step.rounding_key), index);
            v.pack(block, v_values, Rounding::Stochastic(!step.rounding_key), index);
        }
    }
}

struct SumSquares<'a>(&'a [f32]);

impl Kernel for SumSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let (vectors, rest) = self.0.as_chunks::<LANES>();
        for vector in vectors {
            for (sum, &value) in sums.iter_mut().zip(vector) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(rest) {
            *sum += f64::from(value) * f64::from(value);
        }
        sums.iter().sum()
    }
}

impl Cpu {
    /// One AdamW step (arXiv 1711.05101) on values and state of one length.
    pub(crate) fn adamw_values(
        &self,
        p: &mut [f32],
        g: &[f32],
        m: &mut State,
        v: &mut State,
        step: TensorStep,
    ) {
        let len = p.len();
        if let (Some(m), Some(v)) = (m.as_f32_mut(), v.as_f32_mut()) {
            return self.pool.split_rows(
                len,
                VALUES,
                [(p, 1), (m, 1), (v, 1)],
                |part, [p, m, v]| {
                    self.backend.run(AdamW { p, g: &g[part], m, v, step });
                },
            );
        }
        let parts = p.chunks_mut(VALUES).zip(g.chunks(VALUES));
        let parts = parts.zip(m.parts(VALUES).into_iter().zip(v.parts(VALUES))).enumerate();
        let parts: Vec<_> = parts
            .map(|(index, ((p, g), (m, v)))| {
                let kernel = PackedAdamW { p, g, m, v, first: index * VALUES, step };
                Mutex::new(Some(kernel))
            })
            .collect();
        self.pool.run(parts.len(), &|index, _| {
            if let Ok(mut part) = parts[index].lock()
                && let Some(kernel) = part.take()
            {
                self.backend.run(kernel);
            }
        });
    }

    /// The sum of squares in float64: parts of fixed length, added in their order.
    pub(crate) fn sum_squares_values(&self, values: &[f32]) -> f64 {
        let mut sums = vec![0.0_f64; values.len().div_ceil(VALUES)];
        let shared: Vec<_> = sums.iter_mut().zip(values.chunks(VALUES)).map(Mutex::new).collect();
        self.pool.run(shared.len(), &|index, _| {
            if let Ok(mut part) = shared[index].lock() {
                *part.0 = self.backend.run(SumSquares(part.1));
            }
        });
        drop(shared);
        sums.iter().sum()
    }
}
