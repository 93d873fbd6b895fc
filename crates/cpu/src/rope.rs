//! Rotary embedding, with a table of angles that grows with the positions seen.

use std::sync::{Arc, Mutex, PoisonError};

use azr_transformer::{DeviceError, DeviceResult};

use crate::Cpu;
use crate::simd::{Kernel, LANES, Simd};
use crate::vectors::{load, store};

/// Fewest rows worth a task.
const MIN_ROWS: usize = 8;
/// Positions are refused from here on: the table of one head width would exceed memory.
const MAX_POSITIONS: usize = 1 << 24;

/// Cosines and sines of the angles of each position: `[position][cos or sin][head_dim / 2]`.
#[derive(Debug)]
struct Angles {
    head_dim: usize,
    theta: f64,
    n_positions: usize,
    values: Vec<f32>,
}

impl Angles {
    fn new(head_dim: usize, theta: f64, n_positions: usize) -> DeviceResult<Self> {
        let len = n_positions * head_dim;
        let mut values = Vec::new();
        values.try_reserve_exact(len).map_err(|_| DeviceError::OutOfMemory {
            requested_bytes: (len * size_of::<f32>()) as u64,
            purpose: "angles of the rotary embedding",
        })?;
        let frequencies: Vec<f64> =
            (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64)).collect();
        for position in 0..n_positions {
            let angles = frequencies.iter().map(|frequency| position as f64 * frequency);
            values.extend(angles.clone().map(|angle| angle.cos() as f32));
            values.extend(angles.map(|angle| angle.sin() as f32));
        }
        Ok(Self { head_dim, theta, n_positions, values })
    }

    fn of(&self, position: u32) -> (&[f32], &[f32]) {
        self.values[position as usize * self.head_dim..][..self.head_dim]
            .split_at(self.head_dim / 2)
    }
}

/// The table last used.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    angles: Mutex<Option<Arc<Angles>>>,
}

impl Rope {
    fn angles(&self, head_dim: usize, theta: f64, n_positions: usize) -> DeviceResult<Arc<Angles>> {
        let mut kept = self.angles.lock().unwrap_or_else(PoisonError::into_inner);
        let same = kept.as_ref().filter(|angles| {
            angles.head_dim == head_dim && angles.theta.to_bits() == theta.to_bits()
        });
        if let Some(angles) = same.filter(|angles| angles.n_positions >= n_positions) {
            return Ok(Arc::clone(angles));
        }
        if n_positions > MAX_POSITIONS {
            return Err(DeviceError::Failed(format!(
                "position {} is out of range",
                n_positions - 1
            )));
        }
        let angles = Arc::new(Angles::new(head_dim, theta, n_positions.next_power_of_two())?);
        *kept = Some(Arc::clone(&angles));
        Ok(angles)
    }
}

struct Rotate<'a> {
    /// Heads of one row.
    x: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    inverse: bool,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = self.cos.len();
        let sign = s.splat(if self.inverse { -1.0 } else { 1.0 });
        for head in self.x.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for i in (0..half).step_by(LANES) {
                let (cos, sin) = (load(s, self.cos, i), s.mul(sign, load(s, self.sin, i)));
                let (x, y) = (load(s, a, i), load(s, b, i));
                store(s, s.sub(s.mul(x, cos), s.mul(y, sin)), a, i);
                store(s, s.add(s.mul(y, cos), s.mul(x, sin)), b, i);
            }
        }
    }
}

impl Cpu {
    /// Rotates `x`, as many rows as there are positions, of `width` numbers.
    pub(crate) fn rotate_rows(
        &self,
        x: &mut [f32],
        width: usize,
        head_dim: usize,
        positions: &[u32],
        theta: f64,
        inverse: bool,
    ) -> DeviceResult<()> {
        let n_positions = positions.iter().max().map_or(0, |&position| position as usize + 1);
        let angles = self.rope.angles(head_dim, theta, n_positions)?;
        self.pool.split_rows(positions.len(), MIN_ROWS, [(x, width)], |rows, [x]| {
            for (x, &position) in x.chunks_exact_mut(width).zip(&positions[rows]) {
                let (cos, sin) = angles.of(position);
                self.backend.run(Rotate { x, cos, sin, inverse });
            }
        });
        Ok(())
    }
}
