//! Attention and its gradients.

use super::{Case, Checks, On, Outputs, Rows, download, numbers, same_bits, upload, upload_rows};
use crate::device::{AttentionSequence, AttentionShape, Device, DeviceResult, KeySpan};

/// A softmax over scores that are sums of products: the error of the scores, times their number at worst.
const TOLERANCE: f32 = 1e-5;

struct Attention {
    shape: AttentionShape,
    sequences: Vec<AttentionSequence>,
    n_queries: usize,
    n_keys: usize,
}

/// Operands and outputs of a forward pass.
struct Forward<B> {
    out: B,
    lse: B,
    q: B,
    k: B,
    v: B,
}

/// A sequence from `(query_start, n_queries, prefix, own)`.
fn sequence(
    query_start: usize,
    n_queries: usize,
    prefix: (usize, usize),
    own: (usize, usize),
) -> AttentionSequence {
    AttentionSequence {
        query_start,
        n_queries,
        prefix: KeySpan { start: prefix.0, len: prefix.1 },
        own: KeySpan { start: own.0, len: own.1 },
    }
}

impl Attention {
    fn forward<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Forward<D::Buffer>> {
        let AttentionShape { n_heads, n_kv_heads, head_dim } = self.shape;
        let q = upload_rows(device, &numbers(70, self.n_queries * n_heads * head_dim))?;
        let k = upload_rows(device, &numbers(71, self.n_keys * n_kv_heads * head_dim))?;
        let v = upload_rows(device, &numbers(72, self.n_keys * n_kv_heads * head_dim))?;
        let mut out = upload_rows(device, &numbers(73, self.n_queries * n_heads * head_dim + 3))?;
        let mut lse = upload(device, &numbers(74, self.n_queries * n_heads + 3))?;
        device.attention(self.shape, &self.sequences, &q, &k, &v, &mut out, &mut lse)?;
        Ok(Forward { out, lse, q, k, v })
    }
}

impl Case for Attention {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let Forward { out, lse, q, k, v } = self.forward(device)?;
        let d_out = upload_rows(device, &numbers(75, device.len(&q)))?;
        let mut dq = upload_rows(device, &numbers(76, device.len(&q)))?;
        let mut dk = upload_rows(device, &numbers(77, device.len(&k)))?;
        let mut dv = upload_rows(device, &numbers(78, device.len(&k)))?;
        device.attention_backward(
            self.shape,
            &self.sequences,
            &q,
            &k,
            &v,
            &out,
            &lse,
            &d_out,
            &mut dq,
            &mut dk,
            &mut dv,
        )?;
        let outputs = [("out", out), ("lse", lse), ("dq", dq), ("dk", dk), ("dv", dv)];
        outputs.into_iter().map(|(name, buffer)| Ok((name, download(device, &buffer)?))).collect()
    }
}

/// Every way to lay out the same queries and keys gives the same bits: `layouts` of 40 keys, of which the last
/// queries are asked for.
fn same_in_every_layout<D: Device>(
    device: &On<'_, D>,
    shape: AttentionShape,
) -> Result<(), String> {
    let n = 40;
    let all = vec![sequence(0, n, (0, 0), (0, n))];
    let one_by_one = (0..n).map(|i| sequence(i, 1, (0, 0), (0, i + 1))).collect();
    let after_a_prefix =
        (0..n).map(|i| sequence(i, 1, (0, i.min(23)), (i.min(23), i + 1 - i.min(23)))).collect();
    let in_two_parts =
        vec![sequence(0, 17, (0, 0), (0, 17)), sequence(17, n - 17, (0, 17), (17, n - 17))];
    let extended = vec![sequence(0, 3, (0, 0), (0, 3)), sequence(3, n - 3, (0, 0), (0, n))];
    let layouts: [(&str, Vec<AttentionSequence>); 4] = [
        ("one by one", one_by_one),
        ("after a prefix", after_a_prefix),
        ("in two parts", in_two_parts),
        ("extended", extended),
    ];
    let run = |sequences: Vec<AttentionSequence>| -> DeviceResult<Vec<f32>> {
        let attention = Attention { shape, sequences, n_queries: n, n_keys: n };
        let Forward { out, lse, .. } = attention.forward(device)?;
        Ok([download(device, &out)?, download(device, &lse)?].concat())
    };
    let wanted = run(all).map_err(|error| error.to_string())?;
    for (name, layout) in layouts {
        let found = run(layout).map_err(|error| error.to_string())?;
        same_bits(&found, &wanted).map_err(|difference| format!("{name}: {difference}"))?;
    }
    Ok(())
}

pub(super) fn check<D: Device>(checks: &mut Checks<'_, D>) {
    let tolerance = checks.twice_rounded(TOLERANCE);
    // A step of decoding: samples of one prompt, of another one, and of none.
    let mut step: Vec<_> =
        (0..20).map(|i| sequence(i, 1, (0, 270), (270 + 3 * i, 1 + i % 3))).collect();
    step.extend([sequence(20, 1, (340, 33), (373, 1)), sequence(21, 1, (0, 0), (374, 26))]);
    let layouts = [
        ("a step of decoding", step, 22, 400),
        ("one key", vec![sequence(0, 1, (0, 0), (0, 1))], 1, 1),
        ("one sequence", vec![sequence(0, 37, (0, 0), (2, 37))], 37, 40),
        ("one query of many keys", vec![sequence(1, 1, (0, 0), (0, 150))], 2, 150),
        ("no queries", vec![sequence(0, 0, (0, 0), (0, 4)), sequence(0, 2, (0, 0), (4, 4))], 2, 8),
        (
            "a shared prefix",
            vec![
                sequence(0, 20, (0, 0), (0, 20)),
                sequence(20, 5, (0, 20), (20, 5)),
                sequence(25, 1, (0, 20), (25, 9)),
                sequence(26, 40, (0, 20), (34, 41)),
            ],
            66,
            75,
        ),
        (
            "two groups in disorder",
            vec![
                sequence(12, 3, (30, 10), (0, 3)),
                sequence(0, 2, (30, 10), (3, 4)),
                sequence(5, 4, (40, 17), (7, 6)),
                sequence(9, 1, (30, 10), (13, 1)),
                sequence(2, 3, (0, 0), (14, 3)),
            ],
            15,
            57,
        ),
    ];
    for (n_heads, n_kv_heads, head_dim) in
        [(1, 1, 2), (3, 3, 6), (6, 2, 16), (4, 1, 64), (17, 1, 20)]
    {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim };
        let on = format!("{n_heads} heads, {n_kv_heads} key-value heads of {head_dim}");
        for (name, sequences, n_queries, n_keys) in layouts.clone() {
            let attention = Attention { shape, sequences, n_queries, n_keys };
            checks.agrees(format!("attention, {name}, {on}"), tolerance, &attention);
        }
        if checks.rows == Rows::Independent {
            let result = same_in_every_layout(&checks.on, shape);
            checks.record(format!("layouts of attention, {on}"), result);
        }
    }
    // Long enough for any blocking over keys and queries.
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 8 };
    let sequences =
        vec![sequence(0, 150, (0, 0), (0, 150)), sequence(150, 130, (0, 150), (150, 330))];
    let attention = Attention { shape, sequences, n_queries: 280, n_keys: 480 };
    checks.agrees("attention, long".to_owned(), tolerance, &attention);
    // Enough queries of one prefix for any division of its gradients.
    let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, head_dim: 2 };
    let sequences = (0..5).map(|i| sequence(450 * i, 450, (0, 3), (3 + 450 * i, 450))).collect();
    let attention = Attention { shape, sequences, n_queries: 2250, n_keys: 2253 };
    checks.agrees("attention, many samples".to_owned(), tolerance, &attention);
}
