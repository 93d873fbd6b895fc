//! Operands that do not fit are errors.

use super::{Checks, On};
use crate::device::{
    AdamTensor, AttentionSequence, AttentionShape, CopyFormat, Device, DeviceError, DeviceResult,
    KeySpan, Moment, SampleSpec, StatePrecision, Tensor, TensorMut,
};

/// What each call that must fail returned.
fn calls<D: Device>(device: &On<'_, D>) -> DeviceResult<Vec<(&'static str, DeviceResult<()>)>> {
    let ten = device.zeros(10)?;
    let (mut a, mut b, mut c) = (device.zeros(10)?, device.zeros(10)?, device.zeros(10)?);
    let mut matrix = device.matrix_zeros(4, 5)?;
    let other = device.matrix_zeros(5, 4)?;
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 2 };
    let attention = |n_queries: usize, own: usize, a: &mut D::Buffer, b: &mut D::Buffer| {
        let own = KeySpan { start: 0, len: own };
        let sequence =
            AttentionSequence { query_start: 0, n_queries, prefix: KeySpan::default(), own };
        device.attention(shape, &[sequence], &ten, &ten, &ten, a, b)
    };
    let spec = SampleSpec { temperature: 1.0, top_p: 1.0, uniform: 0.5 };
    Ok(vec![
        ("an empty matrix", device.matrix_zeros(0, 3).map(drop)),
        ("a write past the end", device.write(&mut a, 9, &[1.0, 2.0])),
        ("a write far past the end", device.write(&mut a, 11, &[])),
        ("a read past the end", device.read(&ten, 8, &mut [0.0; 3])),
        ("a copy from past the end", device.copy_within(&mut a, 5, 0, 6)),
        ("a copy to past the end", device.copy_within(&mut a, 0, 8, 3)),
        ("a copy past every end", device.copy_within(&mut a, usize::MAX, 0, 2)),
        ("a matrix written from too few values", device.matrix_write(&mut matrix, &[0.0; 19])),
        ("a matrix read to too many values", device.matrix_read(&matrix, &mut [0.0; 21])),
        ("a gathered row past the end", device.gather_rows(&ten, &[2], 5, &mut a)),
        ("a scattered row past the end", device.scatter_rows(&ten, &[0, 5], 2, &mut a)),
        ("an addition past the end", device.add(&ten, &mut a, 11)),
        ("a token out of range", device.embed(&matrix, &[4], &mut a)),
        ("too many tokens", device.embed(&matrix, &[0, 1, 2], &mut a)),
        ("a gradient of a token out of range", device.embed_backward(&ten, &[4], &mut matrix)),
        ("too many rows of x", device.linear(&ten, 3, &matrix, None, &mut a)),
        ("too many rows of y", device.linear(&ten, 2, &other, None, &mut device.zeros(9)?)),
        ("a bias of the wrong width", device.linear(&ten, 1, &matrix, Some(&ten), &mut a)),
        ("too many rows of dy", device.linear_backward_input(&ten, 3, &matrix, &mut a, true)),
        ("too many rows for dW", device.linear_backward_weight(&ten, &ten, 3, &mut matrix)),
        ("too many rows for db", device.bias_backward(&ten, 2, &mut a)),
        ("too many rows of a norm", device.rms_norm(&ten, 2, &ten, 1e-5, &mut a, &mut b)),
        ("an odd head", device.rope(&mut a, 1, 5, &[0, 1], 1e4, false)),
        ("too many positions", device.rope(&mut a, 1, 4, &[0, 1, 2], 1e4, false)),
        ("more queries than own keys", attention(2, 1, &mut a, &mut b)),
        ("too many queries", attention(3, 3, &mut a, &mut b)),
        ("too many keys", attention(2, 6, &mut a, &mut b)),
        ("swiglu past the end", device.swiglu(&ten, &ten, 11, &mut a)),
        ("logits of too many rows", device.head_logits(&ten, 3, &matrix, &mut [0.0; 12])),
        ("a target out of range", device.head_scores(&ten, &matrix, &[4], 1.0).map(drop)),
        ("samples of too many rows", device.head_sample(&ten, &matrix, &[spec; 3]).map(drop)),
        ("moments of the wrong length", {
            let step = crate::AdamStep {
                learning_rate: 0.1,
                beta1: 0.9,
                beta2: 0.9,
                epsilon: 1e-8,
                grad_scale: 1.0,
                t: 1,
            };
            let state = |like: &D::Buffer, moment| device.state(like, StatePrecision::Bf16, moment);
            let mut m = state(&ten, Moment::First)?;
            let mut v = state(&device.zeros(9)?, Moment::Second)?;
            let tensor = AdamTensor {
                p: TensorMut::Vector(&mut a),
                g: Tensor::Vector(&ten),
                m: &mut m,
                v: &mut v,
                weight_decay: 0.0,
                rounding_key: 0,
            };
            device.adamw(vec![tensor], step).and_then(|()| device.clear(&mut c))
        }),
    ])
}

/// The same of copies.
fn copy_calls<D: Device>(
    device: &On<'_, D>,
    format: CopyFormat,
) -> DeviceResult<Vec<(&'static str, DeviceResult<()>)>> {
    let (ten, mut a) = (device.zeros(10)?, device.zeros(10)?);
    let other = device.matrix_zeros(5, 4)?;
    let mut copy = device.copy_zeros(4, 5, format)?;
    let spec = SampleSpec { temperature: 1.0, top_p: 1.0, uniform: 0.5 };
    Ok(vec![
        ("an empty copy", device.copy_zeros(3, 0, format).map(drop)),
        ("a copy of another shape", device.copy_write(&mut copy, &other)),
        ("a copy read to too few values", device.copy_read(&copy, &mut [0.0; 19])),
        ("too many rows of x for a copy", device.copy_linear(&ten, 3, &copy, None, &mut a)),
        ("too many rows of y for a copy", {
            device.copy_linear(&ten, 2, &copy, None, &mut device.zeros(7)?)
        }),
        ("a copy's bias of the wrong width", {
            device.copy_linear(&ten, 1, &copy, Some(&ten), &mut a)
        }),
        ("a copy's samples of too many rows", {
            device.copy_head_sample(&ten, &copy, &[spec; 3]).map(drop)
        }),
    ])
}

pub(super) fn check<D: Device>(checks: &mut Checks<'_, D>) {
    let copies = CopyFormat::ALL.map(|format| copy_calls(&checks.on, format));
    let lists = [calls(&checks.on)].into_iter().chain(copies);
    let results = match lists.collect::<DeviceResult<Vec<_>>>() {
        Ok(results) => results,
        Err(error) => return checks.record("refusals".to_owned(), Err(error.to_string())),
    };
    for (name, result) in results.into_iter().flatten() {
        let failure = match result {
            Err(DeviceError::Failed(_)) => Ok(()),
            other => Err(format!("{other:?} instead of a failure")),
        };
        checks.record(format!("refusal of {name}"), failure);
    }
}
