//! The reference's gradients against differences of its forward passes.

use azr_plugin::{LossSpec, Ratio};

use super::{Dense, Reference, Values, policy_loss};
use crate::device::{AttentionSequence, AttentionShape, Device, KeySpan, TokenTargets};

/// Step of the differences: their error is of the order of its square, their rounding of 1e-16 over it.
const STEP: f64 = 1e-5;

/// Numbers in [-1, 1).
fn values(seed: u64, len: usize) -> Values {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    Values((0..len).map(|_| next()).collect())
}

fn matrix(seed: u64, n_out: usize, n_in: usize) -> Dense {
    Dense { n_out, n_in, values: values(seed, n_out * n_in).0 }
}

fn dot(a: &Values, b: &Values) -> f64 {
    a.0.iter().zip(&b.0).map(|(a, b)| a * b).sum()
}

/// `gradient` is the gradient of `function` at `at`.
fn is_gradient(name: &str, at: &[f64], gradient: &[f64], mut function: impl FnMut(&[f64]) -> f64) {
    assert_eq!(at.len(), gradient.len());
    for index in 0..at.len() {
        let mut moved = |step: f64| {
            let mut at = at.to_vec();
            at[index] += step;
            function(&at)
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        let error = (difference - gradient[index]).abs();
        assert!(error < 1e-7, "{name}[{index}]: {} by differences {difference}", gradient[index]);
    }
}

#[test]
fn linear() {
    let (rows, n_out, n_in) = (3, 4, 5);
    let (x, weight, bias) = (values(1, rows * n_in), matrix(2, n_out, n_in), values(3, n_out));
    let dy = values(4, rows * n_out);
    let loss = |x: &Values, weight: &Dense, bias: &Values| {
        let mut y = Values(vec![0.0; rows * n_out]);
        Reference.linear(x, rows, weight, Some(bias), &mut y).unwrap();
        dot(&y, &dy)
    };
    let (mut dx, mut d_weight, mut d_bias) = (
        values(5, rows * n_in),
        Reference.matrix_zeros(n_out, n_in).unwrap(),
        Values(vec![0.0; n_out]),
    );
    Reference.linear_backward_input(&dy, rows, &weight, &mut dx, false).unwrap();
    Reference.linear_backward_weight(&dy, &x, rows, &mut d_weight).unwrap();
    Reference.bias_backward(&dy, rows, &mut d_bias).unwrap();
    is_gradient("dx", &x.0, &dx.0, |x| loss(&Values(x.to_vec()), &weight, &bias));
    is_gradient("d_weight", &weight.values, &d_weight.values, |values| {
        loss(&x, &Dense { values: values.to_vec(), ..weight.clone() }, &bias)
    });
    is_gradient("d_bias", &bias.0, &d_bias.0, |bias| loss(&x, &weight, &Values(bias.to_vec())));
}

#[test]
fn embedding() {
    let (table, tokens, d_out) = (matrix(6, 5, 3), [4, 0, 4, 2], values(7, 12));
    let mut d_table = Reference.matrix_zeros(5, 3).unwrap();
    Reference.embed_backward(&d_out, &tokens, &mut d_table).unwrap();
    is_gradient("d_table", &table.values, &d_table.values, |values| {
        let mut out = Values(vec![0.0; 12]);
        Reference
            .embed(&Dense { values: values.to_vec(), ..table.clone() }, &tokens, &mut out)
            .unwrap();
        dot(&out, &d_out)
    });
}

#[test]
fn rms_norm() {
    let (rows, width) = (3, 6);
    let (x, gain, dy) = (values(8, rows * width), values(9, width), values(10, rows * width));
    let forward = |x: &Values, gain: &Values| {
        let (mut y, mut inv_rms) = (Values(vec![0.0; rows * width]), Values(vec![0.0; rows]));
        Reference.rms_norm(x, rows, gain, 1e-5, &mut y, &mut inv_rms).unwrap();
        (dot(&y, &dy), inv_rms)
    };
    let (mut dx, mut d_gain) = (Values(vec![0.0; rows * width]), Values(vec![0.0; width]));
    Reference
        .rms_norm_backward(&x, rows, &gain, &forward(&x, &gain).1, &dy, &mut dx, &mut d_gain)
        .unwrap();
    is_gradient("dx", &x.0, &dx.0, |x| forward(&Values(x.to_vec()), &gain).0);
    is_gradient("d_gain", &gain.0, &d_gain.0, |gain| forward(&x, &Values(gain.to_vec())).0);
}

#[test]
fn rope() {
    let (x, d_out, positions) = (values(11, 24), values(12, 24), [0, 7, 100]);
    let mut dx = d_out.clone();
    Reference.rope(&mut dx, 2, 4, &positions, 1e4, true).unwrap();
    is_gradient("dx", &x.0, &dx.0, |x| {
        let mut x = Values(x.to_vec());
        Reference.rope(&mut x, 2, 4, &positions, 1e4, false).unwrap();
        dot(&x, &d_out)
    });
}

#[test]
fn rope_rotates_pairs_of_halves() {
    let mut x = Values(vec![1.0, 0.0, 0.0, 2.0]);
    Reference.rope(&mut x, 1, 4, &[3], 100.0, false).unwrap();
    // The second pair turns by 3 * 100^(-2/4).
    let wanted = [3.0_f64.cos(), -2.0 * 0.3_f64.sin(), 3.0_f64.sin(), 2.0 * 0.3_f64.cos()];
    assert!(x.0.iter().zip(wanted).all(|(x, wanted)| (x - wanted).abs() < 1e-12), "{x:?}");
}

#[test]
fn swiglu() {
    let (gate, up, d_out) = (values(13, 9), values(14, 9), values(15, 9));
    let loss = |gate: &[f64], up: &[f64]| {
        let mut out = Values(vec![0.0; 9]);
        Reference.swiglu(&Values(gate.to_vec()), &Values(up.to_vec()), 9, &mut out).unwrap();
        dot(&out, &d_out)
    };
    let (mut d_gate, mut d_up) = (values(16, 9), values(17, 9));
    Reference.swiglu_backward(&gate, &up, &d_out, 9, &mut d_gate, &mut d_up).unwrap();
    is_gradient("d_gate", &gate.0, &d_gate.0, |gate| loss(gate, &up.0));
    is_gradient("d_up", &up.0, &d_up.0, |up| loss(&gate.0, up));
}

#[test]
fn attention() {
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: 2 };
    let sequence =
        |query_start, n_queries, prefix: (usize, usize), own: (usize, usize)| AttentionSequence {
            query_start,
            n_queries,
            prefix: KeySpan { start: prefix.0, len: prefix.1 },
            own: KeySpan { start: own.0, len: own.1 },
        };
    let sequences = [
        sequence(0, 3, (0, 0), (0, 3)),
        sequence(3, 2, (0, 3), (3, 3)),
        sequence(5, 1, (0, 3), (6, 1)),
    ];
    let (n_queries, n_keys) = (6, 7);
    let (q, k, v) = (values(18, n_queries * 8), values(19, n_keys * 4), values(20, n_keys * 4));
    let d_out = values(21, n_queries * 8);
    let forward = |q: &Values, k: &Values, v: &Values| {
        let (mut out, mut lse) =
            (Values(vec![0.0; n_queries * 8]), Values(vec![0.0; n_queries * 4]));
        Reference.attention(shape, &sequences, q, k, v, &mut out, &mut lse).unwrap();
        (out, lse)
    };
    let (out, lse) = forward(&q, &k, &v);
    let mut dq = values(22, n_queries * 8);
    let (mut dk, mut dv) = (Values(vec![0.0; n_keys * 4]), Values(vec![0.0; n_keys * 4]));
    Reference
        .attention_backward(
            shape, &sequences, &q, &k, &v, &out, &lse, &d_out, &mut dq, &mut dk, &mut dv,
        )
        .unwrap();
    is_gradient("dq", &q.0, &dq.0, |q| dot(&forward(&Values(q.to_vec()), &k, &v).0, &d_out));
    is_gradient("dk", &k.0, &dk.0, |k| dot(&forward(&q, &Values(k.to_vec()), &v).0, &d_out));
    is_gradient("dv", &v.0, &dv.0, |v| dot(&forward(&q, &k, &Values(v.to_vec())).0, &d_out));
}

#[test]
fn head_loss() {
    let (rows, n_out, n_in) = (6, 7, 3);
    let (x, weight) = (values(23, rows * n_in), matrix(24, n_out, n_in));
    let targets = [0, 3, 6, 2, 2, 5];
    let loss = LossSpec {
        clip_high: 0.3,
        dual_clip: Some(1.5),
        entropy_coef: 0.2,
        temperature: 0.7,
        ..LossSpec::default()
    };
    let scores = Reference.head_scores(&x, &weight, &targets, loss.temperature).unwrap();
    // On both sides of every bound, and not near one.
    let gaps = [0.0, 0.1, 0.5, -0.5, 0.9, -0.1];
    let behaviour: Vec<f32> =
        scores.logprobs.iter().zip(gaps).map(|(logprob, gap)| logprob - gap).collect();
    let tokens = TokenTargets {
        targets: &targets,
        behaviour_logprobs: &behaviour,
        advantages: &[1.0, -0.5, 0.8, -1.0, -1.0, 0.3],
        weights: &[0.5, 1.0, 0.25, 2.0, 1.0, 0.0],
    };
    let mut dx = values(25, rows * n_in);
    let mut d_weight = Reference.matrix_zeros(n_out, n_in).unwrap();
    Reference.head_loss(&x, &weight, tokens, &loss, &mut dx, Some(&mut d_weight)).unwrap();
    is_gradient("dx", &x.0, &dx.0, |x| policy_loss(&Values(x.to_vec()), &weight, tokens, &loss));
    is_gradient("d_weight", &weight.values, &d_weight.values, |values| {
        policy_loss(&x, &Dense { values: values.to_vec(), ..weight.clone() }, tokens, &loss)
    });
}

#[test]
fn token_losses_are_those_of_azr_rl() {
    let numbers = values(26, 600).0;
    for (index, number) in numbers.chunks_exact(3).enumerate() {
        let loss = LossSpec {
            ratio: if index % 5 == 0 { Ratio::None } else { Ratio::Token },
            clip_high: 0.3,
            dual_clip: (index % 2 == 0).then_some(1.5),
            ..LossSpec::default()
        };
        let (logprob, behaviour, advantage) =
            (number[0] as f32 - 1.0, number[1] as f32 - 1.0, number[2] as f32);
        let token = azr_rl::token_loss(logprob, behaviour, advantage, &loss);
        let (value, slope) = super::head::token_loss(
            f64::from(logprob),
            f64::from(behaviour),
            f64::from(advantage),
            &loss,
        );
        assert!((token.loss - value).abs() < 1e-12, "{number:?}: {token:?}, {value}");
        assert!((token.d_logprob - slope).abs() < 1e-12, "{number:?}: {token:?}, {slope}");
    }
}
