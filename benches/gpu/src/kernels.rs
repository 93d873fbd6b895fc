//! Operations of the device on the shapes of a model, each against the floor of its kernel.
//!
//! Times are the GPU's own, of series of calls, but for those of operations that read results, which are the host's and
//! include the wait. Floors are those in the headers of `kernels/*.cu`: bytes that must move, at two bytes an activation,
//! or products. What an operation works on comes from memory, not from the second cache.

use anyhow::Result;
use azr_bench::Shape;
use azr_plugin::LossSpec;
use azr_transformer::packing::Rounding;
use azr_transformer::{
    ActivationPrecision, AdamStep, AdamTensor, AttentionSequence, AttentionShape, CopyFormat,
    DeviceResult, KeySpan, Moment, SampleSpec, StatePrecision, Tensor, TensorMut, TokenTargets,
};
use azr_weights::ModelConfig;

use crate::gpu::{Gpu, Scale, series_s, wall_s};
use crate::random::{activations, matrix, numbers, values};
use crate::report::{Limits, Line, Report, Work};

/// Most rows of an operation that goes through them once.
const MAX_ROWS: usize = 1 << 17;
/// Rows of products: steps of decoding, and a micro-batch.
const DECODE_ROWS: [usize; 3] = [1, 32, 256];
const TRAIN_ROWS: usize = 8192;
/// Most matrices that products of decoding take in turn.
const MAX_MATRICES: usize = 32;

/// What is measured, and on what.
pub(crate) struct Kernels<'a, D: Gpu> {
    pub(crate) device: &'a D,
    pub(crate) limits: Limits,
    pub(crate) scale: Scale,
    pub(crate) report: &'a mut Report,
    /// The part of a name that operations must have to be measured.
    pub(crate) filter: &'a str,
}

impl<D: Gpu> Kernels<'_, D> {
    /// Everything on the shapes of a model.
    pub(crate) fn run(&mut self, model: &str, config: &ModelConfig) -> Result<()> {
        let result = self.rows(model, config);
        self.note(model, "rows", result)?;
        let result = self.indexed_rows(model, config);
        self.note(model, "rows with indices", result)?;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let q = config.n_heads * config.head_dim;
        for (n_out, n_in) in [(q, hidden), (inner, hidden), (hidden, inner)] {
            let result = self.products(model, n_out, n_in);
            self.note(model, "products", result)?;
            let result = self.copies(model, n_out, n_in);
            self.note(model, "products with copies", result)?;
        }
        let result = self.attention(model, config);
        self.note(model, "attention", result)?;
        let result = self.head(model, config);
        self.note(model, "head", result)
    }

    /// Makes a result of what failed between cases, so that other cases are still measured.
    fn note(&mut self, model: &str, case: &str, result: Result<()>) -> Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => {
                let problem = Some(format!("{error:#}"));
                self.report.add(Line { problem, ..Line::ours("kernels", model, case) })
            }
        }
    }

    /// Measures a case, unless it is filtered out.
    fn case(
        &mut self,
        model: &str,
        case: String,
        work: Work,
        seconds: impl FnOnce(&D, Scale) -> DeviceResult<f64>,
    ) -> Result<()> {
        if !case.contains(self.filter) {
            return Ok(());
        }
        let (device, scale, limits) = (self.device, self.scale, self.limits);
        let line = Line::ours("kernels", model, case).floor(work, limits);
        self.report
            .measure(line, |line| Ok(Line { seconds: Some(seconds(device, scale)?), ..line }))
    }

    /// A case of one operation that reads no results.
    fn series(
        &mut self,
        model: &str,
        case: String,
        work: Work,
        op: impl FnMut(usize) -> DeviceResult<()>,
    ) -> Result<()> {
        self.case(model, case, work, |device, scale| series_s(device, scale, scale.n_calls, op))
    }

    /// Bytes of an activation.
    fn act(&self) -> f64 {
        self.device.activation_precision().bytes() as f64
    }

    /// As many rows of `width` as are too many for the second cache.
    fn n_rows(&self, width: usize) -> usize {
        (self.scale.n_cold_values / width).clamp(1, MAX_ROWS)
    }

    /// What goes through rows once.
    fn rows(&mut self, model: &str, config: &ModelConfig) -> Result<()> {
        let (device, act) = (self.device, self.act());
        let moves = |n: usize, n_values: f64| Work { flops: 0.0, bytes: act * n_values * n as f64 };
        let width = config.hidden_size;
        let (rows, epsilon) = (self.n_rows(width), config.rms_norm_eps);
        let n = rows * width;
        let (x, gain) = (activations(device, n)?, values(device, width)?);
        let (mut y, mut z) = (activations(device, n)?, activations(device, n)?);
        let (mut inv_rms, mut d_gain) = (device.zeros(rows)?, device.zeros(width)?);
        self.series(model, format!("rms_norm {rows} x {width}"), moves(n, 2.0), |_| {
            device.rms_norm(&x, rows, &gain, epsilon, &mut y, &mut inv_rms)
        })?;
        // Two kernels: the gradient of the input reads three arrays and writes one, that of the gain reads two.
        self.series(model, format!("rms_norm_backward {rows} x {width}"), moves(n, 6.0), |_| {
            device.rms_norm_backward(&x, rows, &gain, &inv_rms, &y, &mut z, &mut d_gain)
        })?;
        self.series(model, format!("add {rows} x {width}"), moves(n, 3.0), |_| {
            device.add(&x, &mut y, n)
        })?;
        self.series(model, format!("bias_backward {rows} x {width}"), moves(n, 1.0), |_| {
            device.bias_backward(&x, rows, &mut d_gain)
        })?;
        drop((x, y, z));

        let width = config.intermediate_size;
        let rows = self.n_rows(width);
        let n = rows * width;
        let (gate, up) = (activations(device, n)?, activations(device, n)?);
        let (mut d_gate, mut d_up) = (activations(device, n)?, activations(device, n)?);
        let mut out = activations(device, n)?;
        self.series(model, format!("swiglu {rows} x {width}"), moves(n, 3.0), |_| {
            device.swiglu(&gate, &up, n, &mut out)
        })?;
        self.series(model, format!("swiglu_backward {rows} x {width}"), moves(n, 5.0), |_| {
            device.swiglu_backward(&gate, &up, &out, n, &mut d_gate, &mut d_up)
        })
    }

    /// What goes through rows that indices name, or that have positions.
    fn indexed_rows(&mut self, model: &str, config: &ModelConfig) -> Result<()> {
        let (device, act) = (self.device, self.act());
        let width = config.hidden_size;
        let rows = self.n_rows(width).min(self.scale.n_indexed_rows);
        let n = (rows * width) as f64;
        let moves = |bytes: f64| Work { flops: 0.0, bytes };
        let (mut x, mut y) =
            (activations(device, rows * width)?, activations(device, rows * width)?);
        // An odd factor makes a permutation of a power of two; other numbers of rows leave some out, which is as well.
        let order: Vec<u32> = (0..rows).map(|row| (row * 12_347 % rows) as u32).collect();
        self.series(model, format!("gather_rows {rows} x {width}"), moves(2.0 * act * n), |_| {
            device.gather_rows(&x, &order, width, &mut y)
        })?;
        let reversed: Vec<u32> = (0..rows as u32).rev().collect();
        self.series(model, format!("scatter_rows {rows} x {width}"), moves(2.0 * act * n), |_| {
            device.scatter_rows(&x, &reversed, width, &mut y)
        })?;
        let positions: Vec<u32> = (0..rows as u32).map(|row| row % 4096).collect();
        let (n_heads, head_dim) = (config.n_heads, config.head_dim);
        let mut q = activations(device, rows * n_heads * head_dim)?;
        let bytes = 2.0 * act * (rows * n_heads * head_dim) as f64;
        let case = format!("rope {rows} x {n_heads} x {head_dim}");
        self.series(model, case, moves(bytes), |_| {
            device.rope(&mut q, n_heads, head_dim, &positions, config.rope_theta, false)
        })?;

        let vocab = config.vocab_size;
        let tokens: Vec<u32> = (0..rows).map(|row| (row * 7919 % vocab) as u32).collect();
        let n_distinct = tokens.iter().collect::<std::collections::BTreeSet<_>>().len();
        let distinct = (n_distinct * width) as f64;
        let table = matrix(device, vocab, width)?;
        let weight_bytes = self.weight_bytes();
        let floor = moves(weight_bytes * distinct + act * n);
        self.series(model, format!("embed {rows} x {width}"), floor, |_| {
            device.embed(&table, &tokens, &mut x)
        })?;
        drop(table);
        let mut d_table = device.gradient_zeros(vocab, width)?;
        let floor = moves(act * n + 8.0 * distinct);
        self.series(model, format!("embed_backward {rows} x {width}"), floor, |_| {
            device.embed_backward(&x, &tokens, &mut d_table)
        })
    }

    /// Bytes of a weight as products read it.
    fn weight_bytes(&self) -> f64 {
        match self.device.activation_precision() {
            ActivationPrecision::F32 => 4.0,
            ActivationPrecision::Bf16 => 2.0,
        }
    }

    /// Floor of a product of some rows with weights of so many bytes.
    fn product_work(&self, rows: usize, n_out: usize, n_in: usize, weight_bytes: f64) -> Work {
        let n = (n_out * n_in) as f64;
        Work {
            flops: 2.0 * rows as f64 * n,
            bytes: weight_bytes * n + self.act() * (rows * (n_in + n_out)) as f64,
        }
    }

    /// Matrices that are together too many for the second cache: products of decoding take them in turn, as layers do.
    fn n_matrices(&self, n_out: usize, n_in: usize) -> usize {
        (2 * self.scale.n_cold_values / (n_out * n_in)).clamp(2, MAX_MATRICES)
    }

    fn products(&mut self, model: &str, n_out: usize, n_in: usize) -> Result<()> {
        let (device, weight_bytes) = (self.device, self.weight_bytes());
        let n_matrices = self.n_matrices(n_out, n_in);
        let weights = (0..n_matrices)
            .map(|_| matrix(device, n_out, n_in))
            .collect::<DeviceResult<Vec<_>>>()?;
        let train_rows = TRAIN_ROWS.min(self.scale.n_cold_values / 64);
        let (mut x, mut y) =
            (activations(device, train_rows * n_in)?, activations(device, train_rows * n_out)?);
        let turns = self.scale.n_calls.max(n_matrices);
        for rows in DECODE_ROWS.map(|rows| rows.min(train_rows)) {
            let case = format!("linear {n_out} x {n_in}, {rows} rows");
            self.case(
                model,
                case,
                self.product_work(rows, n_out, n_in, weight_bytes),
                |device, scale| {
                    series_s(device, scale, turns, |turn| {
                        device.linear(&x, rows, &weights[turn % n_matrices], None, &mut y)
                    })
                },
            )?;
        }
        let case = format!("linear {n_out} x {n_in}, {train_rows} rows");
        self.series(
            model,
            case,
            self.product_work(train_rows, n_out, n_in, weight_bytes),
            |turn| device.linear(&x, train_rows, &weights[turn % n_matrices], None, &mut y),
        )?;
        let case = format!("linear_backward_input {n_out} x {n_in}, {train_rows} rows");
        self.series(
            model,
            case,
            self.product_work(train_rows, n_out, n_in, weight_bytes),
            |turn| {
                let weight = &weights[turn % n_matrices];
                device.linear_backward_input(&y, train_rows, weight, &mut x, false)
            },
        )?;
        let mut gradient = device.gradient_zeros(n_out, n_in)?;
        let case = format!("linear_backward_weight {n_out} x {n_in}, {train_rows} rows");
        self.series(model, case, self.product_work(train_rows, n_out, n_in, 8.0), |_| {
            device.linear_backward_weight(&y, &x, train_rows, &mut gradient)
        })?;
        Ok(())
    }

    /// Products with int8 copies, and making these.
    fn copies(&mut self, model: &str, n_out: usize, n_in: usize) -> Result<()> {
        let device = self.device;
        let weight = matrix(device, n_out, n_in)?;
        let n_matrices = self.n_matrices(n_out, n_in);
        let copies = (0..n_matrices).map(|_| {
            let mut copy = device.copy_zeros(n_out, n_in, CopyFormat::Int8)?;
            device.copy_write(&mut copy, &weight)?;
            Ok(copy)
        });
        let mut copies = copies.collect::<DeviceResult<Vec<_>>>()?;
        let turns = self.scale.n_calls.max(n_matrices);
        for rows in DECODE_ROWS {
            let x = activations(device, rows * n_in)?;
            let mut y = device.activations(rows * n_out)?;
            let case = format!("copy_linear, int8, {n_out} x {n_in}, {rows} rows");
            self.case(model, case, self.product_work(rows, n_out, n_in, 1.0), |device, scale| {
                series_s(device, scale, turns, |turn| {
                    device.copy_linear(&x, rows, &copies[turn % n_matrices], None, &mut y)
                })
            })?;
        }
        let floor = Work { flops: 0.0, bytes: 5.0 * (n_out * n_in) as f64 };
        self.case(model, format!("copy_write, int8, {n_out} x {n_in}"), floor, |device, scale| {
            series_s(device, scale, turns, |turn| {
                device.copy_write(&mut copies[turn % n_matrices], &weight)
            })
        })
    }

    fn attention(&mut self, model: &str, config: &ModelConfig) -> Result<()> {
        let (device, act) = (self.device, self.act());
        let (n_heads, n_kv_heads, head_dim) = (config.n_heads, config.n_kv_heads, config.head_dim);
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim };
        let (q_width, kv_width) = (n_heads * head_dim, n_kv_heads * head_dim);
        let is_tiny = self.scale.n_cold_values < Scale::FULL.n_cold_values;
        // A micro-batch of whole sequences.
        let (n_sequences, n) = if is_tiny { (2, 33) } else { (8, 1024) };
        let sequences: Vec<_> = (0..n_sequences)
            .map(|index| AttentionSequence {
                query_start: index * n,
                n_queries: n,
                prefix: KeySpan::default(),
                own: KeySpan { start: index * n, len: n },
            })
            .collect();
        let rows = n_sequences * n;
        let (q, k) = (activations(device, rows * q_width)?, activations(device, rows * kv_width)?);
        let v = activations(device, rows * kv_width)?;
        let (mut out, mut lse) =
            (activations(device, rows * q_width)?, device.zeros(rows * n_heads)?);
        let flops = 4.0 * (n_sequences * n * (n + 1) / 2 * q_width) as f64;
        let bytes = act * (2 * rows * (q_width + kv_width)) as f64;
        let case = format!("attention, {n_sequences} x {n} queries");
        self.series(model, case, Work { flops, bytes }, |_| {
            device.attention(shape, &sequences, &q, &k, &v, &mut out, &mut lse)
        })?;
        let d_out = activations(device, rows * q_width)?;
        let mut dq = activations(device, rows * q_width)?;
        let (mut dk, mut dv) =
            (activations(device, rows * kv_width)?, activations(device, rows * kv_width)?);
        let case = format!("attention_backward, {n_sequences} x {n} queries");
        let work = Work { flops: 2.5 * flops, bytes: 2.0 * bytes };
        self.series(model, case, work, |_| {
            device.attention_backward(
                shape, &sequences, &q, &k, &v, &out, &lse, &d_out, &mut dq, &mut dk, &mut dv,
            )
        })?;
        drop((q, k, v, out, lse, d_out, dq, dk, dv));

        let n_keys = if is_tiny { 70 } else { 640 };
        for n_sequences in if is_tiny { [2, 5] } else { [32, 256] } {
            let kv_len = n_sequences * n_keys * kv_width;
            // Keys of which a step has few are read from several places in turn, as those of a model's layers are.
            let n_sets = (self.scale.n_cold_values / kv_len).clamp(1, self.scale.n_calls);
            let (k, v) =
                (activations(device, n_sets * kv_len)?, activations(device, n_sets * kv_len)?);
            let q = activations(device, n_sequences * q_width)?;
            let (mut out, mut lse) =
                (activations(device, n_sequences * q_width)?, device.zeros(n_sequences * n_heads)?);
            let sequence = |set: usize, index: usize| AttentionSequence {
                query_start: index,
                n_queries: 1,
                prefix: KeySpan::default(),
                own: KeySpan { start: (set * n_sequences + index) * n_keys, len: n_keys },
            };
            let sets: Vec<Vec<_>> = (0..n_sets)
                .map(|set| (0..n_sequences).map(|index| sequence(set, index)).collect())
                .collect();
            let work = Work {
                flops: 4.0 * (n_sequences * n_keys * q_width) as f64,
                bytes: 2.0 * act * kv_len as f64,
            };
            let case = format!("attention, {n_sequences} queries of {n_keys} keys");
            self.series(model, case, work, |turn| {
                let sequences = &sets[turn % n_sets];
                device.attention(shape, sequences, &q, &k, &v, &mut out, &mut lse)
            })?;
        }
        Ok(())
    }

    /// Products with the head and what is made of their logits; times of these are the host's.
    fn head(&mut self, model: &str, config: &ModelConfig) -> Result<()> {
        let (device, weight_bytes) = (self.device, self.weight_bytes());
        let (vocab, width) = (config.vocab_size, config.hidden_size);
        let n_head = Shape(config).head();
        let weight = matrix(device, vocab, width)?;
        let n_rows = 2048.min(self.scale.n_cold_values / 64);
        let x = activations(device, n_rows * width)?;
        for (rows, top_p) in [(32, 1.0), (256, 1.0), (256, 0.95)] {
            let rows = n_rows.min(rows);
            let specs = vec![SampleSpec { temperature: 1.0, top_p, uniform: 0.5 }; rows];
            // Logits are written and read once, as float32.
            let work = Work {
                flops: 2.0 * rows as f64 * n_head,
                bytes: weight_bytes * n_head + 8.0 * (rows * vocab) as f64,
            };
            let case = format!("head_sample, {rows} rows of {vocab}, top_p {top_p}");
            self.case(model, case, work, |device, scale| {
                wall_s(scale, || device.head_sample(&x, &weight, &specs).map(drop))
            })?;
        }
        let targets: Vec<u32> = (0..n_rows).map(|row| (row * 7919 % vocab) as u32).collect();
        let work = Work { flops: 2.0 * n_rows as f64 * n_head, bytes: 0.0 };
        let case = format!("head_scores, {n_rows} rows of {vocab}");
        self.case(model, case, work, |device, scale| {
            wall_s(scale, || device.head_scores(&x, &weight, &targets, 1.0).map(drop))
        })?;
        let (mut dx, mut d_weight) =
            (device.activations(n_rows * width)?, device.gradient_zeros(vocab, width)?);
        let (ones, logprobs) = (vec![1.0; n_rows], vec![-5.0; n_rows]);
        let tokens = TokenTargets {
            targets: &targets,
            behaviour_logprobs: &logprobs,
            advantages: &ones,
            weights: &ones,
        };
        let loss = LossSpec::default();
        let work = Work { flops: 6.0 * n_rows as f64 * n_head, bytes: 0.0 };
        let case = format!("head_loss, {n_rows} rows of {vocab}");
        self.case(model, case, work, |device, scale| {
            wall_s(scale, || {
                let d_weight = Some(&mut d_weight);
                device.head_loss(&x, &weight, tokens, &loss, &mut dx, d_weight).map(drop)
            })
        })
    }

    /// What the optimizer does to a matrix; no model's in particular.
    pub(crate) fn optimizer(&mut self) -> Result<()> {
        let result = self.optimizer_cases();
        self.note("", "optimizer", result)
    }

    fn optimizer_cases(&mut self) -> Result<()> {
        let device = self.device;
        let side = self.scale.n_cold_values.isqrt();
        let n = (side * side) as f64;
        let mut p = matrix(device, side, side)?;
        let mut g = device.gradient_zeros(side, side)?;
        device.matrix_write(&mut g, &numbers(2, side * side, 1.0))?;
        let step = AdamStep {
            learning_rate: 1e-6,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            grad_scale: 1.0,
            t: 3,
        };
        let moves = |bytes: f64| Work { flops: 0.0, bytes: bytes * n };
        for (precision, state_bytes) in
            [(StatePrecision::F32, 4.0), (StatePrecision::Bf16, 2.0), (StatePrecision::Int8, 1.0)]
        {
            let mut m = device.matrix_state(&g, precision, Moment::First)?;
            let mut v = device.matrix_state(&g, precision, Moment::Second)?;
            // Parameters and both means are read and written, gradients read.
            let work = moves(12.0 + 4.0 * state_bytes);
            self.series("", format!("adamw {side} x {side}, {precision:?} state"), work, |_| {
                let tensor = AdamTensor {
                    p: TensorMut::Matrix(&mut p),
                    g: Tensor::Matrix(&g),
                    m: &mut m,
                    v: &mut v,
                    weight_decay: 0.1,
                    rounding_key: 1,
                };
                device.adamw(vec![tensor], step)
            })?;
            if precision == StatePrecision::F32 {
                continue;
            }
            let work = moves(4.0 + state_bytes);
            self.series("", format!("state_read {side} x {side}, {precision:?}"), work, |_| {
                device.matrix_state_read(&m, &mut g)
            })?;
            self.series("", format!("state_write {side} x {side}, {precision:?}"), work, |_| {
                device.matrix_state_write(&mut m, &g, Rounding::Nearest)
            })?;
        }
        // Eight times the same, so that the wait for the result does not count.
        let work = moves(8.0 * 4.0);
        self.case("", format!("sum_squares 8 x {side} x {side}"), work, |device, scale| {
            let all = || (0..8).map(|_| Tensor::Matrix(&g)).collect::<Vec<_>>();
            wall_s(scale, || device.sum_squares(&all()).map(drop))
        })
    }
}

#[cfg(test)]
mod tests {
    use azr_transformer::reference::Reference;

    use super::*;

    #[test]
    fn every_operation_runs_and_has_a_floor() {
        let (device, scale) = (Reference, Scale { n_cold_values: 1 << 11, ..Scale::TINY });
        let limits = Limits { copy_bytes_per_s: 1e9, gemm_flops_per_s: 1e9 };
        let mut report = Report::new(None, None).unwrap();
        let mut kernels =
            Kernels { device: &device, limits, scale, report: &mut report, filter: "" };
        kernels.run("tiny", &crate::models::tiny()).unwrap();
        kernels.optimizer().unwrap();
        assert!(report.lines().len() > 40, "{}", report.lines().len());
        assert!(!report.has_problems(), "{:#?}", report.lines());
        let names: std::collections::BTreeSet<_> =
            report.lines().iter().map(|line| (&line.model, &line.case)).collect();
        // Tiny shapes give some decoding cases as many rows.
        assert!(names.len() + 8 > report.lines().len(), "{}", names.len());
        assert!(report.lines().iter().all(|line| line.floor_s > Some(0.0)));
    }
}
