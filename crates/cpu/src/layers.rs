//! Norms, SwiGLU, sums of rows: operations that are bound by memory.

use crate::Cpu;
use crate::simd::{Kernel, LANES, Simd};
use crate::vectors::{dot, load, store};

/// Fewest rows worth a task.
const MIN_ROWS: usize = 4;
/// Fewest columns worth a task.
const MIN_COLUMNS: usize = 64;
/// Values of an elementwise operation that one task takes.
const VALUES: usize = 1 << 14;

struct RmsNorm<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    epsilon: f32,
    y: &'a mut [f32],
    inv_rms: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.gain.len();
        let rows = self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)).zip(self.inv_rms);
        for ((x, y), inv_rms) in rows {
            let mean_square = dot(s, x, x) / width as f32;
            *inv_rms = 1.0 / (mean_square + self.epsilon).sqrt();
            let factor = s.splat(*inv_rms);
            for i in (0..width).step_by(LANES) {
                store(s, s.mul(s.mul(load(s, x, i), factor), load(s, self.gain, i)), y, i);
            }
        }
    }
}

struct RmsNormBackward<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    inv_rms: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for RmsNormBackward<'_> {
    type Output = ();

    /// With `n = x * inv_rms` and `g = dy * gain`: `dx += inv_rms * (g - n * mean(g n))`.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.gain.len();
        let rows = self.x.chunks_exact(width).zip(self.dy.chunks_exact(width));
        for (((x, dy), dx), inv_rms) in rows.zip(self.dx.chunks_exact_mut(width)).zip(self.inv_rms)
        {
            let inv_rms = s.splat(*inv_rms);
            let mut sum = s.splat(0.0);
            for i in (0..width).step_by(LANES) {
                let g = s.mul(load(s, dy, i), load(s, self.gain, i));
                sum = s.mul_add(g, s.mul(load(s, x, i), inv_rms), sum);
            }
            let minus_mean = s.splat(-s.reduce_add(sum) / width as f32);
            for i in (0..width).step_by(LANES) {
                let g = s.mul(load(s, dy, i), load(s, self.gain, i));
                let n = s.mul(load(s, x, i), inv_rms);
                store(s, s.mul_add(inv_rms, s.mul_add(n, minus_mean, g), load(s, dx, i)), dx, i);
            }
        }
    }
}

/// `sums[c] += sum over rows of a[row][first + c] * (b[row][first + c] * scale[row])`, or of `a` alone.
struct ColumnSums<'a> {
    a: &'a [f32],
    scaled: Option<(&'a [f32], &'a [f32])>,
    width: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = self.first..self.first + self.sums.len();
        for i in (0..columns.len()).step_by(LANES) {
            let mut sum = load(s, self.sums, i);
            for (row, a) in self.a.chunks_exact(self.width).enumerate() {
                let a = load(s, &a[columns.clone()], i);
                sum = match self.scaled {
                    None => s.add(sum, a),
                    Some((b, scale)) => {
                        let b = load(s, &b[row * self.width..][columns.clone()], i);
                        s.mul_add(a, s.mul(b, s.splat(scale[row])), sum)
                    }
                };
            }
            store(s, sum, self.sums, i);
        }
    }
}

struct Swiglu<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

#[inline(always)]
fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, s.exp(s.sub(s.splat(0.0), x))))
}

impl Kernel for Swiglu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in (0..self.out.len()).step_by(LANES) {
            let gate = load(s, self.gate, i);
            let silu = s.mul(gate, sigmoid(s, gate));
            store(s, s.mul(silu, load(s, self.up, i)), self.out, i);
        }
    }
}

struct SwigluBackward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    d_out: &'a [f32],
    d_gate: &'a mut [f32],
    d_up: &'a mut [f32],
}

impl Kernel for SwigluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let one = s.splat(1.0);
        for i in (0..self.d_gate.len()).step_by(LANES) {
            let (gate, up, d_out) =
                (load(s, self.gate, i), load(s, self.up, i), load(s, self.d_out, i));
            let sigmoid = sigmoid(s, gate);
            let slope = s.mul(sigmoid, s.mul_add(gate, s.sub(one, sigmoid), one));
            store(s, s.mul(s.mul(d_out, up), slope), self.d_gate, i);
            store(s, s.mul(d_out, s.mul(gate, sigmoid)), self.d_up, i);
        }
    }
}

struct Add<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in (0..self.y.len()).step_by(LANES) {
            store(s, s.add(load(s, self.y, i), load(s, self.x, i)), self.y, i);
        }
    }
}

/// The lengths of these operands are the caller's duty; a short one ends in a panic.
impl Cpu {
    pub(crate) fn add_values(&self, x: &[f32], y: &mut [f32]) {
        let len = y.len();
        self.pool.split_rows(len, VALUES, [(y, 1)], |part, [y]| {
            self.backend.run(Add { x: &x[part], y })
        });
    }

    pub(crate) fn swiglu_values(&self, gate: &[f32], up: &[f32], out: &mut [f32]) {
        let len = out.len();
        self.pool.split_rows(len, VALUES, [(out, 1)], |part, [out]| {
            self.backend.run(Swiglu { gate: &gate[part.clone()], up: &up[part], out });
        });
    }

    pub(crate) fn swiglu_backward_values(
        &self,
        gate: &[f32],
        up: &[f32],
        d_out: &[f32],
        d_gate: &mut [f32],
        d_up: &mut [f32],
    ) {
        let len = d_gate.len();
        self.pool.split_rows(len, VALUES, [(d_gate, 1), (d_up, 1)], |part, [d_gate, d_up]| {
            let (gate, up, d_out) = (&gate[part.clone()], &up[part.clone()], &d_out[part]);
            self.backend.run(SwigluBackward { gate, up, d_out, d_gate, d_up });
        });
    }

    pub(crate) fn rms_norm_rows(
        &self,
        x: &[f32],
        gain: &[f32],
        epsilon: f32,
        y: &mut [f32],
        inv_rms: &mut [f32],
    ) {
        let (n_rows, width) = (inv_rms.len(), gain.len());
        self.pool.split_rows(n_rows, MIN_ROWS, [(y, width), (inv_rms, 1)], |rows, [y, inv_rms]| {
            let x = &x[rows.start * width..rows.end * width];
            self.backend.run(RmsNorm { x, gain, epsilon, y, inv_rms });
        });
    }

    pub(crate) fn rms_norm_backward_rows(
        &self,
        x: &[f32],
        gain: &[f32],
        inv_rms: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        d_gain: &mut [f32],
    ) {
        let (n_rows, width) = (inv_rms.len(), gain.len());
        self.pool.split_rows(n_rows, MIN_ROWS, [(dx, width)], |rows, [dx]| {
            let values = rows.start * width..rows.end * width;
            let (x, dy, inv_rms) = (&x[values.clone()], &dy[values], &inv_rms[rows]);
            self.backend.run(RmsNormBackward { x, gain, inv_rms, dy, dx });
        });
        self.column_sums(&dy[..n_rows * width], Some((x, inv_rms)), d_gain);
    }

    /// Adds to `sums` the column sums of `a`, in the order of rows; see [`ColumnSums`].
    pub(crate) fn column_sums(
        &self,
        a: &[f32],
        scaled: Option<(&[f32], &[f32])>,
        sums: &mut [f32],
    ) {
        let width = sums.len();
        self.pool.split_rows(width, MIN_COLUMNS, [(sums, 1)], |columns, [sums]| {
            self.backend.run(ColumnSums { a, scaled, width, first: columns.start, sums });
        });
    }
}
