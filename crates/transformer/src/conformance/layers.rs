//! Norms, rotary embedding and SwiGLU.

use std::ops::Range;

use super::{
    Case, Checks, On, Outputs, RowCase, download, indices, numbers, split_rows, upload,
    upload_matrix, upload_rows,
};
use crate::device::{AttentionShape, CacheRows, Device, DeviceResult, QkvSpec, Weights};

/// Some tens of float32 roundings, most of them in a sum over the width.
const TOLERANCE: f32 = 2e-6;

struct RmsNorm {
    width: usize,
    n_rows: usize,
}

impl RmsNorm {
    fn run_rows<D: Device>(&self, device: &On<'_, D>, rows: Range<usize>) -> DeviceResult<Outputs> {
        let values = |seed| {
            numbers(seed, self.n_rows * self.width)[rows.start * self.width..rows.end * self.width]
                .to_vec()
        };
        let x = upload_rows(device, &values(40))?;
        let gain = upload(device, &numbers(41, self.width))?;
        let mut y = upload_rows(device, &numbers(42, rows.len() * self.width + 3))?;
        let mut inv_rms = upload(device, &numbers(43, rows.len() + 1))?;
        device.rms_norm(&x, rows.len(), &gain, 1e-5, &mut y, &mut inv_rms)?;
        let dy = upload_rows(device, &values(44))?;
        let mut dx = upload_rows(device, &values(45))?;
        let mut d_gain = upload(device, &numbers(46, self.width))?;
        device.rms_norm_backward(&x, rows.len(), &gain, &inv_rms, &dy, &mut dx, &mut d_gain)?;
        let outputs = [("y", y), ("inv_rms", inv_rms), ("dx", dx), ("d_gain", d_gain)];
        outputs.into_iter().map(|(name, buffer)| Ok((name, download(device, &buffer)?))).collect()
    }
}

impl Case for RmsNorm {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        self.run_rows(device, 0..self.n_rows)
    }
}

impl RowCase for RmsNorm {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let n_rows = rows.len();
        let outputs = self.run_rows(device, rows)?;
        let per_row =
            |index: usize, width: usize| split_rows(&outputs[index].1[..n_rows * width], n_rows);
        let (y, dx) = (per_row(0, self.width), per_row(2, self.width));
        Ok(y.into_iter()
            .zip(dx)
            .zip(per_row(1, 1))
            .map(|((y, dx), inv_rms)| [y, dx, inv_rms].concat())
            .collect())
    }
}

struct AddRmsNorm {
    width: usize,
    n_rows: usize,
}

impl Case for AddRmsNorm {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let Self { width, n_rows } = *self;
        let x = upload_rows(device, &numbers(30, n_rows * width))?;
        let mut sum = upload_rows(device, &numbers(31, n_rows * width + 3))?;
        let gain = upload(device, &numbers(32, width))?;
        let mut y = upload_rows(device, &numbers(33, n_rows * width + 3))?;
        let mut inv_rms = upload(device, &numbers(34, n_rows + 1))?;
        device.add_rms_norm(&x, &mut sum, n_rows, &gain, 1e-5, &mut y, &mut inv_rms)?;
        let outputs = [("sum", sum), ("y", y), ("inv_rms", inv_rms)];
        outputs.into_iter().map(|(name, buffer)| Ok((name, download(device, &buffer)?))).collect()
    }
}

/// Queries, keys and values of rows, of which only the first may have queries.
struct Qkv {
    shape: AttentionShape,
    width: usize,
    n_rows: usize,
    n_queries: usize,
    with_bias: bool,
    with_cache: bool,
}

impl Case for Qkv {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let Self { shape, width, n_rows, n_queries, .. } = *self;
        let (q_width, kv_width) =
            (shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim);
        let x = upload_rows(device, &numbers(110, n_rows * width))?;
        let weights =
            |seed, n_out| upload_matrix(device, (n_out, width), &numbers(seed, n_out * width));
        let matrices = [weights(111, q_width)?, weights(112, kv_width)?, weights(113, kv_width)?];
        let biases = [(114, q_width), (115, kv_width), (116, kv_width)]
            .map(|(seed, len)| upload(device, &numbers(seed, len)));
        let [q_bias, k_bias, v_bias] = biases;
        let biases = [q_bias?, k_bias?, v_bias?];
        let linear = [0, 1, 2].map(|index| {
            (Weights::Matrix(&matrices[index]), self.with_bias.then_some(&biases[index]))
        });
        let positions = indices(117, n_rows, 3000);
        let spec = QkvSpec { linear, shape, positions: &positions, theta: 1e4, n_queries };
        let rows = |seed, len| upload_rows(device, &numbers(seed, len));
        let (mut q, mut k) = (rows(118, n_rows * q_width + 3)?, rows(119, n_rows * kv_width)?);
        let mut v = rows(120, n_rows * kv_width)?;
        let n_cached = 2 * n_rows + 1;
        let (mut k_cache, mut v_cache) =
            (rows(121, n_cached * kv_width)?, rows(122, n_cached * kv_width)?);
        // Distinct rows in disorder.
        let cache_rows: Vec<u32> =
            (0..n_rows as u32).map(|row| 2 * (n_rows as u32 - row)).collect();
        let cache = self.with_cache.then_some(CacheRows {
            k: &mut k_cache,
            v: &mut v_cache,
            rows: &cache_rows,
        });
        device.qkv(&x, &spec, [&mut q, &mut k, &mut v], cache)?;
        // With a cache, what is in the rows themselves is a device's own business.
        let outputs = match self.with_cache {
            true => [("q", q), ("k cache", k_cache), ("v cache", v_cache)],
            false => [("q", q), ("k", k), ("v", v)],
        };
        outputs.into_iter().map(|(name, buffer)| Ok((name, download(device, &buffer)?))).collect()
    }
}

struct Rope {
    n_heads: usize,
    head_dim: usize,
    n_rows: usize,
    inverse: bool,
}

impl Rope {
    fn run_rows<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<f32>> {
        let width = self.n_heads * self.head_dim;
        let x = numbers(50, self.n_rows * width + 3);
        let positions = indices(51, self.n_rows, 3000);
        let mut x = upload_rows(device, &x[rows.start * width..rows.end * width + 3])?;
        device.rope(
            &mut x,
            self.n_heads,
            self.head_dim,
            &positions[rows],
            10_000.0,
            self.inverse,
        )?;
        download(device, &x)
    }
}

impl Case for Rope {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        Ok(vec![("x", self.run_rows(device, 0..self.n_rows)?)])
    }
}

impl RowCase for Rope {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let n_rows = rows.len();
        let x = self.run_rows(device, rows)?;
        Ok(split_rows(&x[..n_rows * self.n_heads * self.head_dim], n_rows))
    }
}

struct Swiglu {
    len: usize,
    spread: f32,
}

impl Swiglu {
    fn run_values<D: Device>(
        &self,
        device: &On<'_, D>,
        values: Range<usize>,
    ) -> DeviceResult<Outputs> {
        let part = |seed, spread| -> Vec<f32> {
            numbers(seed, self.len)[values.clone()].iter().map(|value| value * spread).collect()
        };
        let (gate, up) =
            (upload_rows(device, &part(60, self.spread))?, upload_rows(device, &part(61, 1.0))?);
        let d_out = upload_rows(device, &part(62, 1.0))?;
        let rest = numbers(63, values.len() + 3);
        let (mut out, mut d_gate) = (upload_rows(device, &rest)?, upload_rows(device, &rest)?);
        let mut d_up = upload_rows(device, &rest)?;
        device.swiglu(&gate, &up, values.len(), &mut out)?;
        device.swiglu_backward(&gate, &up, &d_out, values.len(), &mut d_gate, &mut d_up)?;
        let outputs = [("out", out), ("d_gate", d_gate), ("d_up", d_up)];
        outputs.into_iter().map(|(name, buffer)| Ok((name, download(device, &buffer)?))).collect()
    }
}

impl Case for Swiglu {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        self.run_values(device, 0..self.len)
    }
}

impl RowCase for Swiglu {
    fn n_rows(&self) -> usize {
        self.len
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let outputs = self.run_values(device, rows.clone())?;
        Ok((0..rows.len())
            .map(|index| outputs.iter().map(|(_, values)| values[index]).collect())
            .collect())
    }
}

pub(super) fn check<D: Device>(checks: &mut Checks<'_, D>) {
    for (width, n_rows) in [(1, 1), (5, 3), (16, 7), (40, 33), (600, 21)] {
        checks.agrees(
            format!("rms_norm, {n_rows} rows of {width}"),
            TOLERANCE,
            &RmsNorm { width, n_rows },
        );
    }
    checks.rows_agree("rows of rms_norm".to_owned(), &RmsNorm { width: 70, n_rows: 40 });
    for (width, n_rows) in [(1, 1), (40, 33), (601, 5)] {
        let case = AddRmsNorm { width, n_rows };
        checks.agrees(format!("add_rms_norm, {n_rows} rows of {width}"), TOLERANCE, &case);
    }
    for (n_heads, n_kv_heads, head_dim, n_rows) in
        [(1, 1, 2, 1_usize), (6, 2, 10, 7), (4, 1, 64, 13)]
    {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim };
        for (with_bias, with_cache) in [(false, false), (true, false), (true, true), (false, true)]
        {
            let n_queries = if with_cache { n_rows } else { n_rows.div_ceil(2) };
            let case = Qkv { shape, width: 24, n_rows, n_queries, with_bias, with_cache };
            let on = format!("{n_rows} rows, {n_heads} and {n_kv_heads} heads of {head_dim}");
            let name = format!("qkv, bias {with_bias}, cache {with_cache}, {on}");
            checks.agrees(name, 2.0 * TOLERANCE, &case);
        }
    }
    for (n_heads, head_dim, n_rows) in [(1, 2, 1), (3, 6, 5), (2, 64, 20), (5, 48, 9)] {
        for inverse in [false, true] {
            let rope = Rope { n_heads, head_dim, n_rows, inverse };
            checks.agrees(
                format!("rope, inverse {inverse}, {n_rows} rows of {n_heads} by {head_dim}"),
                TOLERANCE,
                &rope,
            );
        }
    }
    let rope = Rope { n_heads: 3, head_dim: 20, n_rows: 40, inverse: false };
    checks.rows_agree("rows of rope".to_owned(), &rope);
    for (len, spread) in [(1, 1.0), (15, 4.0), (1000, 10.0), (40_000, 100.0)] {
        checks.agrees(
            format!("swiglu, {len} values within {spread}"),
            TOLERANCE,
            &Swiglu { len, spread },
        );
    }
    checks.rows_agree("values of swiglu".to_owned(), &Swiglu { len: 50, spread: 8.0 });
}
