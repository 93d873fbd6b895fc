//! Attention of the reference device: one query, one head, one key at a time.

use super::{Values, need, need_lengths};
use crate::device::{AttentionSequence, AttentionShape, DeviceResult};

/// What the backward pass takes from the forward pass, and the gradient of its output.
pub(super) struct Forward<'a> {
    pub(super) q: &'a Values,
    pub(super) k: &'a Values,
    pub(super) v: &'a Values,
    pub(super) out: &'a Values,
    pub(super) lse: &'a Values,
    pub(super) d_out: &'a Values,
}

/// Key rows that query `index` of `sequence` sees, in order.
fn visible(sequence: &AttentionSequence, index: usize) -> Vec<usize> {
    let n_own = sequence.own.len - sequence.n_queries + index + 1;
    let prefix = sequence.prefix.start..sequence.prefix.start + sequence.prefix.len;
    prefix.chain(sequence.own.start..sequence.own.start + n_own).collect()
}

fn check(
    shape: AttentionShape,
    sequences: &[AttentionSequence],
    queries: &[(&Values, usize)],
    keys: &[&Values],
) -> DeviceResult<()> {
    need(
        shape.head_dim > 0
            && shape.n_kv_heads > 0
            && shape.n_heads.is_multiple_of(shape.n_kv_heads),
        "the heads are not grouped",
    )?;
    for sequence in sequences {
        need(sequence.own.len >= sequence.n_queries, "a sequence has more queries than own keys")?;
        let n_query_rows = sequence.query_start + sequence.n_queries;
        let n_key_rows = (sequence.own.start + sequence.own.len)
            .max(sequence.prefix.start + sequence.prefix.len);
        for &(buffer, width) in queries {
            need_lengths(&[(buffer, n_query_rows * width)])?;
        }
        for &buffer in keys {
            need_lengths(&[(buffer, n_key_rows * shape.n_kv_heads * shape.head_dim)])?;
        }
    }
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn head(values: &Values, index: usize, head_dim: usize) -> &[f64] {
    &values.0[index * head_dim..][..head_dim]
}

fn add_scaled(to: &mut Values, index: usize, scale: f64, from: &[f64]) {
    for (to, from) in to.0[index * from.len()..].iter_mut().zip(from) {
        *to += scale * from;
    }
}

pub(super) fn forward(
    shape: AttentionShape,
    sequences: &[AttentionSequence],
    q: &Values,
    k: &Values,
    v: &Values,
    out: &mut Values,
    lse: &mut Values,
) -> DeviceResult<()> {
    let AttentionShape { n_heads, n_kv_heads, head_dim } = shape;
    check(
        shape,
        sequences,
        &[(q, n_heads * head_dim), (out, n_heads * head_dim), (lse, n_heads)],
        &[k, v],
    )?;
    for sequence in sequences {
        for index in 0..sequence.n_queries {
            let keys = visible(sequence, index);
            for n in 0..n_heads {
                let query_head = (sequence.query_start + index) * n_heads + n;
                let kv_head = |key: usize| key * n_kv_heads + n / (n_heads / n_kv_heads);
                let query = head(q, query_head, head_dim);
                let scale = 1.0 / (head_dim as f64).sqrt();
                let scores: Vec<f64> = keys
                    .iter()
                    .map(|&key| scale * dot(query, head(k, kv_head(key), head_dim)))
                    .collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log_sum =
                    max + scores.iter().map(|score| (score - max).exp()).sum::<f64>().ln();
                lse.0[query_head] = log_sum;
                out.0[query_head * head_dim..][..head_dim].fill(0.0);
                for (&key, score) in keys.iter().zip(&scores) {
                    add_scaled(
                        out,
                        query_head,
                        (score - log_sum).exp(),
                        head(v, kv_head(key), head_dim),
                    );
                }
            }
        }
    }
    Ok(())
}

/// With `p` the attention weights and `D = out . d_out`: `d_score = p (v . d_out - D)` (arXiv 2205.14135, appendix B).
pub(super) fn backward(
    shape: AttentionShape,
    sequences: &[AttentionSequence],
    forward: &Forward<'_>,
    dq: &mut Values,
    dk: &mut Values,
    dv: &mut Values,
) -> DeviceResult<()> {
    let AttentionShape { n_heads, n_kv_heads, head_dim } = shape;
    let &Forward { q, k, v, out, lse, d_out } = forward;
    let width = n_heads * head_dim;
    let queries = [(q, width), (out, width), (d_out, width), (&*dq, width), (lse, n_heads)];
    check(shape, sequences, &queries, &[k, v, dk, dv])?;
    let scale = 1.0 / (head_dim as f64).sqrt();
    for sequence in sequences {
        for index in 0..sequence.n_queries {
            for n in 0..n_heads {
                let query_head = (sequence.query_start + index) * n_heads + n;
                let query = head(q, query_head, head_dim);
                let d_out = head(d_out, query_head, head_dim);
                let mean = dot(head(out, query_head, head_dim), d_out);
                dq.0[query_head * head_dim..][..head_dim].fill(0.0);
                for key in visible(sequence, index) {
                    let kv_head = key * n_kv_heads + n / (n_heads / n_kv_heads);
                    let key = head(k, kv_head, head_dim);
                    let p = (scale * dot(query, key) - lse.0[query_head]).exp();
                    let d_score = p * (dot(head(v, kv_head, head_dim), d_out) - mean);
                    add_scaled(dv, kv_head, p, d_out);
                    add_scaled(dq, query_head, scale * d_score, key);
                    add_scaled(dk, kv_head, scale * d_score, query);
                }
            }
        }
    }
    Ok(())
}
