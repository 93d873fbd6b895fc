//! Linear maps, norms, rotary embedding and SwiGLU of the reference device.

use super::{Dense, Values, need, need_lengths};
use crate::device::DeviceResult;

pub(super) fn linear(
    x: &Values,
    rows: usize,
    weight: &Dense,
    bias: Option<&Values>,
    y: &mut Values,
) -> DeviceResult<()> {
    need_lengths(&[(x, rows * weight.n_in), (y, rows * weight.n_out)])?;
    need(
        bias.is_none_or(|bias| bias.0.len() == weight.n_out),
        "the bias is not as wide as the output",
    )?;
    for row in 0..rows {
        for n in 0..weight.n_out {
            let mut sum = bias.map_or(0.0, |bias| bias.0[n]);
            for k in 0..weight.n_in {
                sum += x.0[row * weight.n_in + k] * weight.row(n)[k];
            }
            y.0[row * weight.n_out + n] = sum;
        }
    }
    Ok(())
}

pub(super) fn linear_backward_input(
    dy: &Values,
    rows: usize,
    weight: &Dense,
    dx: &mut Values,
    accumulate: bool,
) -> DeviceResult<()> {
    need_lengths(&[(dy, rows * weight.n_out), (dx, rows * weight.n_in)])?;
    for row in 0..rows {
        for k in 0..weight.n_in {
            let mut sum = 0.0;
            for n in 0..weight.n_out {
                sum += dy.0[row * weight.n_out + n] * weight.row(n)[k];
            }
            let to = &mut dx.0[row * weight.n_in + k];
            *to = if accumulate { *to + sum } else { sum };
        }
    }
    Ok(())
}

pub(super) fn linear_backward_weight(
    dy: &Values,
    x: &Values,
    rows: usize,
    d_weight: &mut Dense,
) -> DeviceResult<()> {
    let (n_out, n_in) = (d_weight.n_out, d_weight.n_in);
    need_lengths(&[(dy, rows * n_out), (x, rows * n_in)])?;
    for row in 0..rows {
        for n in 0..n_out {
            for k in 0..n_in {
                d_weight.row_mut(n)[k] += dy.0[row * n_out + n] * x.0[row * n_in + k];
            }
        }
    }
    Ok(())
}

pub(super) fn bias_backward(dy: &Values, rows: usize, d_bias: &mut Values) -> DeviceResult<()> {
    let width = d_bias.0.len();
    need_lengths(&[(dy, rows * width)])?;
    for row in 0..rows {
        for n in 0..width {
            d_bias.0[n] += dy.0[row * width + n];
        }
    }
    Ok(())
}

pub(super) fn rms_norm(
    x: &Values,
    rows: usize,
    gain: &Values,
    epsilon: f64,
    y: &mut Values,
    inv_rms: &mut Values,
) -> DeviceResult<()> {
    let width = gain.0.len();
    need_lengths(&[(x, rows * width), (y, rows * width), (inv_rms, rows)])?;
    need(width > 0, "the gain is empty")?;
    for row in 0..rows {
        let x = &x.0[row * width..][..width];
        let mean_square = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let inverse = 1.0 / (mean_square + epsilon).sqrt();
        inv_rms.0[row] = inverse;
        for (i, x) in x.iter().enumerate() {
            y.0[row * width + i] = x * inverse * gain.0[i];
        }
    }
    Ok(())
}

/// With `n = x * inv_rms` and `g = dy * gain`: `dx = inv_rms * (g - n * mean(g n))`, `d_gain = sum over rows of dy n`.
pub(super) fn rms_norm_backward(
    x: &Values,
    rows: usize,
    gain: &Values,
    inv_rms: &Values,
    dy: &Values,
    dx: &mut Values,
    d_gain: &mut Values,
) -> DeviceResult<()> {
    let width = gain.0.len();
    need_lengths(&[(x, rows * width), (dy, rows * width), (dx, rows * width), (inv_rms, rows)])?;
    need(d_gain.0.len() == width, "the gain's gradient is not as wide as the gain")?;
    for row in 0..rows {
        let x = &x.0[row * width..][..width];
        let dy = &dy.0[row * width..][..width];
        let inverse = inv_rms.0[row];
        let mut mean = 0.0;
        for i in 0..width {
            mean += dy[i] * gain.0[i] * x[i] * inverse / width as f64;
        }
        for i in 0..width {
            let normalized = x[i] * inverse;
            dx.0[row * width + i] += inverse * (dy[i] * gain.0[i] - normalized * mean);
            d_gain.0[i] += dy[i] * normalized;
        }
    }
    Ok(())
}

pub(super) fn rope(
    x: &mut Values,
    n_heads: usize,
    head_dim: usize,
    positions: &[u32],
    theta: f64,
    inverse: bool,
) -> DeviceResult<()> {
    need(head_dim.is_multiple_of(2), "the head width is odd")?;
    need_lengths(&[(x, positions.len() * n_heads * head_dim)])?;
    let half = head_dim / 2;
    for (row, &position) in positions.iter().enumerate() {
        for head in 0..n_heads {
            let x = &mut x.0[(row * n_heads + head) * head_dim..][..head_dim];
            for i in 0..half {
                let angle = f64::from(position) * theta.powf(-2.0 * i as f64 / head_dim as f64);
                let (sin, cos) = if inverse { (-angle).sin_cos() } else { angle.sin_cos() };
                let (a, b) = (x[i], x[i + half]);
                x[i] = a * cos - b * sin;
                x[i + half] = b * cos + a * sin;
            }
        }
    }
    Ok(())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn swiglu(gate: &Values, up: &Values, len: usize, out: &mut Values) -> DeviceResult<()> {
    need_lengths(&[(gate, len), (up, len), (out, len)])?;
    for i in 0..len {
        out.0[i] = gate.0[i] * sigmoid(gate.0[i]) * up.0[i];
    }
    Ok(())
}

pub(super) fn swiglu_backward(
    gate: &Values,
    up: &Values,
    d_out: &Values,
    len: usize,
    d_gate: &mut Values,
    d_up: &mut Values,
) -> DeviceResult<()> {
    need_lengths(&[(gate, len), (up, len), (d_out, len), (d_gate, len), (d_up, len)])?;
    for i in 0..len {
        let (gate, up, d_out) = (gate.0[i], up.0[i], d_out.0[i]);
        let sigmoid = sigmoid(gate);
        d_gate.0[i] = d_out * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
        d_up.0[i] = d_out * gate * sigmoid;
    }
    Ok(())
}
