//! The operations of the CPU device on the shapes of SmolLM2-135M, each against the machine's limits.
//!
//! `cargo xtask bench kernels [FILTER]`
#![expect(clippy::unwrap_used, reason = "a bench ends at its first surprise")]

use azr_bench::{Shape, Suite, Work, smollm2_135m};
use azr_cpu::Cpu;
use azr_plugin::LossSpec;
use azr_transformer::{
    AdamStep, AdamTensor, AttentionSequence, AttentionShape, CopyFormat, Device, KeySpan, Moment,
    SampleSpec, StatePrecision, Tensor, TensorMut, TokenTargets,
};

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const VOCAB: usize = 49_152;
/// Weights come from memory in a model: products go through this many of them in turn.
const COLD_VALUES: usize = 40_000_000;

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 2_654_435_761) % 2001) as f32 / 1000.0 - 1.0).collect()
}

fn buffer(cpu: &Cpu, len: usize) -> <Cpu as Device>::Buffer {
    let mut buffer = cpu.zeros(len).unwrap();
    cpu.write(&mut buffer, 0, &values(len)).unwrap();
    buffer
}

fn matrix(cpu: &Cpu, n_out: usize, n_in: usize) -> <Cpu as Device>::Matrix {
    let mut matrix = cpu.matrix_zeros(n_out, n_in).unwrap();
    cpu.matrix_write(&mut matrix, &values(n_out * n_in)).unwrap();
    matrix
}

/// Formats of copies with the bytes of a weight.
const FORMATS: [(CopyFormat, f64); 2] = [(CopyFormat::Bf16, 2.0), (CopyFormat::Int8, 1.0)];

fn copy(
    cpu: &Cpu,
    weight: &<Cpu as Device>::Matrix,
    format: CopyFormat,
) -> <Cpu as Device>::WeightCopy {
    let (n_out, n_in) = cpu.matrix_shape(weight);
    let mut copy = cpu.copy_zeros(n_out, n_in, format).unwrap();
    cpu.copy_write(&mut copy, weight).unwrap();
    copy
}

fn work(flops: f64, bytes: f64) -> Work {
    Work { flops, bytes, makes: None }
}

fn products(suite: &mut Suite, cpu: &Cpu) {
    for (n_out, n_in) in [(INNER, HIDDEN), (HIDDEN, INNER), (192, HIDDEN), (VOCAB, HIDDEN)] {
        let n_matrices = (COLD_VALUES / (n_out * n_in)).clamp(1, 30);
        let weights: Vec<_> = (0..n_matrices).map(|_| matrix(cpu, n_out, n_in)).collect();
        let copies = FORMATS.map(|(format, weight_bytes)| {
            let copies = weights.iter().map(|weight| copy(cpu, weight, format));
            (format, weight_bytes, copies.collect::<Vec<_>>())
        });
        let mut gradient = cpu.matrix_zeros(n_out, n_in).unwrap();
        for rows in [1, 8, 32, 128, 512] {
            if n_out == VOCAB && rows > 128 {
                continue;
            }
            let (mut x, mut y) = (buffer(cpu, rows * n_in), buffer(cpu, rows * n_out));
            let flops = 2.0 * (rows * n_out * n_in) as f64;
            let bytes = 4.0 * (n_out * n_in) as f64;
            let shape = format!("{n_out}x{n_in}, {rows} rows");
            let mut turn = 0;
            suite.bench(&format!("linear {shape}"), work(flops, bytes), || {
                turn += 1;
                cpu.linear(&x, rows, &weights[turn % n_matrices], None, &mut y).unwrap();
            });
            // Arithmetic with integers counts as that with float32, which a machine may exceed.
            for (format, weight_bytes, copies) in &copies {
                let name = format!("copy_linear, {format:?}, {shape}");
                suite.bench(&name, work(flops, weight_bytes / 4.0 * bytes), || {
                    turn += 1;
                    cpu.copy_linear(&x, rows, &copies[turn % n_matrices], None, &mut y).unwrap();
                });
            }
            if rows < 128 {
                continue;
            }
            let name = format!("linear_backward_weight {shape}");
            suite.bench(&name, work(flops, 0.0), || {
                cpu.linear_backward_weight(&y, &x, rows, &mut gradient).unwrap();
            });
            let name = format!("linear_backward_input {shape}");
            suite.bench(&name, work(flops, bytes), || {
                turn += 1;
                let weight = &weights[turn % n_matrices];
                cpu.linear_backward_input(&y, rows, weight, &mut x, false).unwrap();
            });
        }
    }
}

/// A batch of sequences behind one shared prompt.
struct Batch {
    name: &'static str,
    n_sequences: usize,
    n_queries: usize,
    n_own: usize,
    n_prefix: usize,
}

fn attention(suite: &mut Suite, cpu: &Cpu) {
    let shape = AttentionShape { n_heads: 9, n_kv_heads: 3, head_dim: 64 };
    let batch = |name, n_sequences, n_queries, n_own, n_prefix| Batch {
        name,
        n_sequences,
        n_queries,
        n_own,
        n_prefix,
    };
    for Batch { name, n_sequences, n_queries, n_own, n_prefix } in [
        batch("1 sequence, decoding", 1, 1, 60, 150),
        batch("32 sequences, decoding", 32, 1, 60, 150),
        batch("8 sequences of 120 queries", 8, 120, 120, 150),
        batch("1 prompt of 512 queries", 1, 512, 512, 0),
    ] {
        let prefix = KeySpan { start: 0, len: n_prefix };
        let own = |i: usize| KeySpan { start: n_prefix + i * n_own, len: n_own };
        let sequence =
            |i| AttentionSequence { query_start: i * n_queries, n_queries, prefix, own: own(i) };
        let sequences: Vec<_> = (0..n_sequences).map(sequence).collect();
        let n_keys = n_prefix + n_sequences * n_own;
        let n_seen: usize = n_sequences
            * (0..n_queries).map(|i| n_prefix + n_own - n_queries + i + 1).sum::<usize>();
        let rows = n_sequences * n_queries;
        let (q, k) = (buffer(cpu, rows * HIDDEN), buffer(cpu, n_keys * 192));
        let v = buffer(cpu, n_keys * 192);
        let (mut out, mut lse) = (buffer(cpu, rows * HIDDEN), buffer(cpu, rows * 9));
        let flops = 4.0 * (n_seen * HIDDEN) as f64;
        let bytes = if n_queries == 1 { 8.0 * 192.0 * n_keys as f64 } else { 0.0 };
        suite.bench(&format!("attention, {name}"), work(flops, bytes), || {
            cpu.attention(shape, &sequences, &q, &k, &v, &mut out, &mut lse).unwrap();
        });
        if n_queries == 1 {
            continue;
        }
        let mut dq = buffer(cpu, rows * HIDDEN);
        let (mut dk, mut dv) = (buffer(cpu, n_keys * 192), buffer(cpu, n_keys * 192));
        suite.bench(&format!("attention_backward, {name}"), work(2.5 * flops, 0.0), || {
            let gradients = (&mut dq, &mut dk, &mut dv);
            cpu.attention_backward(
                shape,
                &sequences,
                &q,
                &k,
                &v,
                &out,
                &lse,
                &q,
                gradients.0,
                gradients.1,
                gradients.2,
            )
            .unwrap();
        });
    }
}

/// What goes through every value of 512 rows once.
fn rows(suite: &mut Suite, cpu: &Cpu) {
    let rows = 512;
    let (x, gain) = (buffer(cpu, rows * INNER), buffer(cpu, HIDDEN));
    let (mut y, mut z) = (buffer(cpu, rows * INNER), buffer(cpu, rows * INNER));
    let (mut u, mut inv_rms) = (buffer(cpu, rows * INNER), buffer(cpu, rows));
    let mut d_gain = buffer(cpu, HIDDEN);
    let bytes = |n: usize| work(0.0, 4.0 * (rows * n) as f64);
    suite.bench("rms_norm, 512 rows of 576", bytes(2 * HIDDEN), || {
        cpu.rms_norm(&x, rows, &gain, 1e-5, &mut y, &mut inv_rms).unwrap();
    });
    suite.bench("rms_norm_backward, 512 rows of 576", bytes(4 * HIDDEN), || {
        cpu.rms_norm_backward(&x, rows, &gain, &inv_rms, &y, &mut z, &mut d_gain).unwrap();
    });
    suite.bench("swiglu, 512 rows of 1536", bytes(3 * INNER), || {
        cpu.swiglu(&x, &y, rows * INNER, &mut z).unwrap();
    });
    let mut d_gate = buffer(cpu, rows * INNER);
    suite.bench("swiglu_backward, 512 rows of 1536", bytes(5 * INNER), || {
        cpu.swiglu_backward(&x, &y, &z, rows * INNER, &mut d_gate, &mut u).unwrap();
    });
    let positions: Vec<u32> = (0..rows as u32).collect();
    suite.bench("rope, 512 rows of 576", bytes(2 * HIDDEN), || {
        cpu.rope(&mut y, 9, 64, &positions, 1e5, false).unwrap();
    });
}

fn optimizer(suite: &mut Suite, cpu: &Cpu) {
    let (mut p, g) = (matrix(cpu, 4 * INNER, 4 * HIDDEN), matrix(cpu, 4 * INNER, 4 * HIDDEN));
    let step = AdamStep {
        learning_rate: 1e-5,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        grad_scale: 1.0,
        t: 3,
    };
    let n_bytes = 4.0 * (16 * INNER * HIDDEN) as f64;
    for (precision, state_bytes) in
        [(StatePrecision::F32, 4.0), (StatePrecision::Bf16, 2.0), (StatePrecision::Int8, 1.0)]
    {
        let state = |moment| cpu.matrix_state(&g, precision, moment).unwrap();
        let (mut m, mut v) = (state(Moment::First), state(Moment::Second));
        let name = format!("adamw, 14 M parameters, {precision:?} state");
        // Parameters and both means are read and written, gradients read.
        suite.bench(&name, work(0.0, (3.0 + state_bytes) * n_bytes), || {
            let tensor = AdamTensor {
                p: TensorMut::Matrix(&mut p),
                g: Tensor::Matrix(&g),
                m: &mut m,
                v: &mut v,
                weight_decay: 0.1,
                rounding_key: 1,
            };
            cpu.adamw(vec![tensor], step).unwrap();
        });
    }
    suite.bench("sum_squares, 14 M", work(0.0, n_bytes), || {
        assert!(cpu.sum_squares(&[Tensor::Matrix(&g)]).unwrap() > 0.0);
    });
}

fn head(suite: &mut Suite, cpu: &Cpu) {
    let config = smollm2_135m();
    let n_head = Shape(&config).head();
    let weight = matrix(cpu, VOCAB, HIDDEN);
    let mut copies = FORMATS.map(|(format, bytes)| (format, bytes, copy(cpu, &weight, format)));
    let mut d_weight = cpu.matrix_zeros(VOCAB, HIDDEN).unwrap();
    for (format, weight_bytes, copy) in &mut copies {
        let name = format!("copy_write, {format:?}, 28 M weights");
        suite.bench(&name, work(0.0, (4.0 + *weight_bytes) * n_head), || {
            cpu.copy_write(copy, &weight).unwrap();
        });
    }
    for rows in [1, 32] {
        let x = buffer(cpu, rows * HIDDEN);
        let specs = vec![SampleSpec { temperature: 1.0, top_p: 1.0, uniform: 0.5 }; rows];
        let floor = work(2.0 * rows as f64 * n_head, 4.0 * n_head);
        suite.bench(&format!("head_sample, {rows} rows"), floor, || {
            drop(cpu.head_sample(&x, &weight, &specs).unwrap());
        });
        for (format, weight_bytes, copy) in &copies {
            let floor = work(2.0 * rows as f64 * n_head, weight_bytes * n_head);
            suite.bench(&format!("copy_head_sample, {format:?}, {rows} rows"), floor, || {
                drop(cpu.copy_head_sample(&x, copy, &specs).unwrap());
            });
        }
    }
    let rows = 256;
    let (x, mut dx) = (buffer(cpu, rows * HIDDEN), buffer(cpu, rows * HIDDEN));
    let (targets, ones) = (vec![7; rows], vec![1.0; rows]);
    let tokens = TokenTargets {
        targets: &targets,
        behaviour_logprobs: &ones,
        advantages: &ones,
        weights: &ones,
    };
    let loss = LossSpec { entropy_coef: 0.01, ..LossSpec::default() };
    suite.bench("head_loss, 256 rows", work(6.0 * rows as f64 * n_head, 0.0), || {
        drop(cpu.head_loss(&x, &weight, tokens, &loss, &mut dx, Some(&mut d_weight)).unwrap());
    });
}

fn main() {
    let mut suite = Suite::from_args("kernels");
    let cpu = Cpu::new(None).unwrap();
    products(&mut suite, &cpu);
    attention(&mut suite, &cpu);
    rows(&mut suite, &cpu);
    optimizer(&mut suite, &cpu);
    head(&mut suite, &cpu);
    suite.finish();
}
