//! Measures the operations of the CPU device on the shapes of SmolLM2-135M.
//!
//! `cargo run --release -p azr-cpu --example speed [threads] [instruction set]`; each figure is the best of several
//! runs, which is nearest to what an idle machine gives. With one thread the time is the one the thread had a core, so
//! that other programs do not count.
#![expect(clippy::print_stdout, clippy::unwrap_used, unsafe_code, reason = "a measuring program")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use azr_cpu::{Cpu, InstructionSet};
use azr_plugin::{LossSpec, Ratio};
use azr_transformer::{
    AdamStep, AttentionSequence, AttentionShape, Device, KeySpan, Moment, SampleSpec,
    StatePrecision, TokenTargets,
};

const HIDDEN: usize = 576;
const VOCAB: usize = 49_152;

static ONE_THREAD: AtomicBool = AtomicBool::new(false);

/// Seconds: of the calling thread on a core when it is the only one, else of the wall clock.
fn now() -> f64 {
    let clock = if ONE_THREAD.load(Relaxed) {
        libc::CLOCK_THREAD_CPUTIME_ID
    } else {
        libc::CLOCK_MONOTONIC
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and the time is written to a local.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds of the fastest of several runs.
fn best(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut best, mut n_runs) = (Instant::now(), f64::INFINITY, 0);
    while n_runs < 5 || (start.elapsed() < Duration::from_millis(400) && n_runs < 300) {
        let run = now();
        work();
        best = best.min(now() - run);
        n_runs += 1;
    }
    best
}

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

fn report(name: &str, seconds: f64, flops: f64, bytes: f64) {
    let rates = format!("{:8.1} GFLOP/s {:7.1} GB/s", flops / seconds / 1e9, bytes / seconds / 1e9);
    println!("{name:44} {:9.3} ms {rates}", seconds * 1e3);
}

fn products(cpu: &Cpu) {
    for (n_out, n_in) in [(1536, HIDDEN), (HIDDEN, 1536), (192, HIDDEN), (VOCAB, HIDDEN)] {
        // Several matrices in turn, so that the weights come from memory as they do in a model.
        let n_matrices = (40_000_000 / (n_out * n_in)).clamp(1, 30);
        let weights: Vec<_> = (0..n_matrices).map(|_| matrix(cpu, n_out, n_in)).collect();
        let mut gradient = cpu.matrix_zeros(n_out, n_in).unwrap();
        for rows in [1, 8, 32, 128, 512] {
            if n_out == VOCAB && rows > 128 {
                continue;
            }
            let (mut x, mut y) = (buffer(cpu, rows * n_in), buffer(cpu, rows * n_out));
            let flops = 2.0 * (rows * n_out * n_in) as f64;
            let bytes = 4.0 * (n_out * n_in) as f64;
            let mut turn = 0;
            let seconds = best(|| {
                turn += 1;
                cpu.linear(&x, rows, &weights[turn % n_matrices], None, &mut y).unwrap();
            });
            report(&format!("linear {n_out}x{n_in}, {rows} rows"), seconds, flops, bytes);
            if rows < 128 {
                continue;
            }
            let seconds = best(|| cpu.linear_backward_weight(&y, &x, rows, &mut gradient).unwrap());
            report(
                &format!("linear_backward_weight {n_out}x{n_in}, {rows} rows"),
                seconds,
                flops,
                2.0 * bytes,
            );
            let seconds = best(|| {
                turn += 1;
                cpu.linear_backward_input(&y, rows, &weights[turn % n_matrices], &mut x, false)
                    .unwrap();
            });
            report(
                &format!("linear_backward_input {n_out}x{n_in}, {rows} rows"),
                seconds,
                flops,
                bytes,
            );
        }
    }
}

fn attention(cpu: &Cpu) {
    let shape = AttentionShape { n_heads: 9, n_kv_heads: 3, head_dim: 64 };
    let prefix = KeySpan { start: 0, len: 150 };
    for (name, n_sequences, n_queries, n_own) in [
        ("1 sequence, decoding", 1, 1, 60),
        ("32 sequences, decoding", 32, 1, 60),
        ("8 sequences of 120 queries", 8, 120, 120),
        ("1 prompt of 512 queries", 1, 512, 512),
    ] {
        let sequences: Vec<_> = (0..n_sequences)
            .map(|i| AttentionSequence {
                query_start: i * n_queries,
                n_queries,
                prefix: if n_queries == n_own && n_sequences == 1 {
                    KeySpan::default()
                } else {
                    prefix
                },
                own: KeySpan { start: 150 + i * n_own, len: n_own },
            })
            .collect();
        let n_keys = 150 + n_sequences * n_own;
        let seen: usize = sequences
            .iter()
            .flat_map(|sequence| {
                (0..n_queries).map(|i| sequence.prefix.len + n_own - n_queries + i + 1)
            })
            .sum();
        let (q, k, v) = (
            buffer(cpu, n_sequences * n_queries * 576),
            buffer(cpu, n_keys * 192),
            buffer(cpu, n_keys * 192),
        );
        let (mut out, mut lse) =
            (buffer(cpu, cpu.len(&q)), buffer(cpu, n_sequences * n_queries * 9));
        let seconds =
            best(|| cpu.attention(shape, &sequences, &q, &k, &v, &mut out, &mut lse).unwrap());
        let flops = 4.0 * (seen * 576) as f64;
        report(&format!("attention, {name}"), seconds, flops, 0.0);
        if n_queries > 1 {
            let (mut dq, mut dk, mut dv) =
                (buffer(cpu, cpu.len(&q)), buffer(cpu, cpu.len(&k)), buffer(cpu, cpu.len(&k)));
            let seconds = best(|| {
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
            report(&format!("attention_backward, {name}"), seconds, 2.5 * flops, 0.0);
        }
    }
}

fn small_operations(cpu: &Cpu) {
    let rows = 512;
    let (x, mut y, gain) =
        (buffer(cpu, rows * 1536), buffer(cpu, rows * 1536), buffer(cpu, HIDDEN));
    let (mut z, mut inv_rms) = (buffer(cpu, rows * 1536), buffer(cpu, rows));
    let bytes = |n: usize| 4.0 * (rows * n) as f64;
    let seconds = best(|| cpu.rms_norm(&x, rows, &gain, 1e-5, &mut y, &mut inv_rms).unwrap());
    report("rms_norm, 512 rows of 576", seconds, 0.0, bytes(2 * HIDDEN));
    let mut d_gain = buffer(cpu, HIDDEN);
    let seconds =
        best(|| cpu.rms_norm_backward(&x, rows, &gain, &inv_rms, &y, &mut z, &mut d_gain).unwrap());
    report("rms_norm_backward, 512 rows of 576", seconds, 0.0, bytes(4 * HIDDEN));
    let seconds = best(|| cpu.swiglu(&x, &y, rows * 1536, &mut z).unwrap());
    report("swiglu, 512 rows of 1536", seconds, 0.0, bytes(3 * 1536));
    let mut d_up = buffer(cpu, rows * 1536);
    let mut d_gate = buffer(cpu, rows * 1536);
    let seconds =
        best(|| cpu.swiglu_backward(&x, &y, &z, rows * 1536, &mut d_gate, &mut d_up).unwrap());
    report("swiglu_backward, 512 rows of 1536", seconds, 0.0, bytes(5 * 1536));
    let positions: Vec<u32> = (0..512).collect();
    let seconds = best(|| cpu.rope(&mut y, 9, 64, &positions, 1e5, false).unwrap());
    report("rope, 512 rows of 576", seconds, 0.0, bytes(2 * HIDDEN));
    let (mut p, g) = (matrix(cpu, 4 * 1536, 4 * HIDDEN), matrix(cpu, 4 * 1536, 4 * HIDDEN));
    let step = AdamStep {
        learning_rate: 1e-5,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.1,
        grad_scale: 1.0,
        t: 3,
        rounding_key: 1,
    };
    let n_bytes = 4.0 * (16 * 1536 * HIDDEN) as f64;
    for (precision, state_bytes) in
        [(StatePrecision::F32, 4.0), (StatePrecision::Bf16, 2.0), (StatePrecision::Int8, 1.0)]
    {
        let state = |moment| cpu.matrix_state(&g, precision, moment).unwrap();
        let (mut m, mut v) = (state(Moment::First), state(Moment::Second));
        let seconds = best(|| cpu.matrix_adamw(&mut p, &g, &mut m, &mut v, step).unwrap());
        let name = format!("matrix_adamw, 14 million parameters, {precision:?} state");
        report(&name, seconds, 0.0, (3.0 + state_bytes) * n_bytes);
    }
    let seconds = best(|| assert!(cpu.matrix_sum_squares(&g).unwrap() > 0.0));
    report("matrix_sum_squares, 14 million", seconds, 0.0, n_bytes);
}

fn head(cpu: &Cpu) {
    let weight = matrix(cpu, VOCAB, HIDDEN);
    let mut d_weight = cpu.matrix_zeros(VOCAB, HIDDEN).unwrap();
    for rows in [1, 32] {
        let x = buffer(cpu, rows * HIDDEN);
        let specs = vec![SampleSpec { temperature: 1.0, top_p: 1.0, uniform: 0.5 }; rows];
        let seconds = best(|| drop(cpu.head_sample(&x, &weight, &specs).unwrap()));
        let flops = 2.0 * (rows * VOCAB * HIDDEN) as f64;
        report(&format!("head_sample, {rows} rows"), seconds, flops, 4.0 * (VOCAB * HIDDEN) as f64);
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
    let loss = LossSpec {
        ratio: Ratio::Token,
        clip_low: 0.2,
        clip_high: 0.2,
        dual_clip: None,
        entropy_coef: 0.01,
        kl_coef: 0.0,
        temperature: 1.0,
    };
    let flops = 6.0 * (rows * VOCAB * HIDDEN) as f64;
    let seconds = best(|| {
        drop(cpu.head_loss(&x, &weight, tokens, &loss, &mut dx, Some(&mut d_weight)).unwrap())
    });
    report("head_loss, 256 rows", seconds, flops, 0.0);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().and_then(|threads| threads.parse().ok());
    let wanted = arguments.next();
    let sets = InstructionSet::available();
    let set = sets.iter().copied().find(|set| wanted.as_deref() == Some(set.as_str()));
    let cpu = Cpu::with_instruction_set(threads, set.unwrap_or(sets[sets.len() - 1])).unwrap();
    ONE_THREAD.store(threads == Some(1), Relaxed);
    println!("{}", cpu.describe());
    products(&cpu);
    attention(&cpu);
    small_operations(&cpu);
    head(&cpu);
}
