//! The one matrix kernel: a register tile `C[rows, 16 panels] (+)= A[rows, k] B[k, 16 panels]`.
//!
//! Every element of a product is a single chain of fused multiply-adds in the order of `k`, which starts from the
//! element's initial value and may be cut anywhere: a later tile continues it from memory. Hence the bits of a
//! result depend neither on the number of rows or panels of a tile, nor on how the caller blocks its loops.
#![expect(unsafe_code, reason = "operands are strided views into packed memory")]

use crate::simd::{LANES, Simd};

/// What the chains of a tile start from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Zero,
    /// The values in C.
    Values,
    /// One value per column.
    Bias(*const f32),
}

/// A number of B as memory has it; in the registers all are float32, so that a product has the bits of that with a
/// float32 matrix of the same values.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// Sixteen numbers.
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::V;
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::V {
        s.load(from)
    }
}

/// The bits of a bfloat16.
impl Element for u16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::V {
        s.load_bf16(from)
    }
}

/// Operands of a tile; strides are in numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile<E = f32> {
    /// Length of the chains.
    pub(crate) k: usize,
    /// `A[i, k]` is at `i * a_row + k * a_step`.
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_step: usize,
    /// `B[k, panel * 16 + lane]` is at `panel * b_panel + k * b_step + lane`.
    pub(crate) b: *const E,
    pub(crate) b_panel: usize,
    pub(crate) b_step: usize,
    /// `C[i, panel * 16 + lane]` is at `i * c_row + panel * c_panel + lane`.
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    pub(crate) c_panel: usize,
    /// Memory that will be needed next (or null), asked for `ahead_step` numbers further at each step of the chains.
    pub(crate) ahead: *const E,
    pub(crate) ahead_step: usize,
    /// Columns of C that exist; B has whole panels.
    pub(crate) n_columns: usize,
    pub(crate) start: Start,
}

/// Asks for the cache line at `address`, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless, and every x86-64 machine has the instruction.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Most rows of a tile whose rows are not interleaved (`a_row` is not 1): more would need more address registers
/// than there are.
const MAX_STRIDED_ROWS: usize = 8;

/// Computes a tile of any number of rows and columns. Rows that are not interleaved are taken a few at a time; of
/// rows that are there can be at most [`Simd::TILE_ROWS`].
///
/// # Safety
///
/// Every element of A, of the panels of B, and of C that the strides reach must be valid to read, those of C to
/// write as well, and no other thread may use C meanwhile. A bias must have `n_columns` values.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, E: Element>(s: S, rows: usize, tile: &Tile<E>) {
    if tile.a_row == 1 {
        debug_assert!(rows <= S::TILE_ROWS, "a tile has too many rows");
        // SAFETY: passed on from the caller.
        unsafe { dispatch(s, rows, Tile { a_row: 1, ..*tile }) };
        return;
    }
    let height = S::TILE_ROWS.min(MAX_STRIDED_ROWS);
    for first in (0..rows).step_by(height) {
        let (a, c) =
            (tile.a.wrapping_add(first * tile.a_row), tile.c.wrapping_add(first * tile.c_row));
        // SAFETY: passed on from the caller; the rows are among those of the tile.
        unsafe { dispatch_strided(s, height.min(rows - first), Tile { a, c, ..*tile }) };
    }
}

macro_rules! dispatch {
    ($name:ident: $($n:literal)*) => {
        /// # Safety
        ///
        /// That of [`multiply`].
        #[inline(always)]
        unsafe fn $name<S: Simd, E: Element>(s: S, rows: usize, tile: Tile<E>) {
            match rows {
                $($n if const { $n <= S::TILE_ROWS } => {
                    // SAFETY: passed on from the caller.
                    unsafe { panels::<S, E, $n>(s, tile) }
                },)*
                _ => {}
            }
        }
    };
}

dispatch!(dispatch: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
dispatch!(dispatch_strided: 1 2 3 4 5 6 7 8);

/// Goes through the panels, as many at once as fit into the registers.
///
/// # Safety
///
/// That of [`multiply`].
#[inline(always)]
unsafe fn panels<S: Simd, E: Element, const ROWS: usize>(s: S, tile: Tile<E>) {
    let mut panel = 0;
    let n_panels = tile.n_columns.div_ceil(LANES);
    macro_rules! while_fits {
        ($($n:literal)*) => {
            $(if S::fits(ROWS, $n) {
                while n_panels - panel >= $n {
                    // SAFETY: passed on from the caller; the panels are within the columns.
                    unsafe { registers::<S, E, ROWS, $n>(s, from_panel(tile, panel)) };
                    panel += $n;
                }
            })*
        };
    }
    while_fits!(4 2);
    while panel < n_panels {
        // SAFETY: as above.
        unsafe { registers::<S, E, ROWS, 1>(s, from_panel(tile, panel)) };
        panel += 1;
    }
}

/// The part of `tile` from `panel` on.
#[inline(always)]
fn from_panel<E: Element>(tile: Tile<E>, panel: usize) -> Tile<E> {
    Tile {
        b: tile.b.wrapping_add(panel * tile.b_panel),
        c: tile.c.wrapping_add(panel * tile.c_panel),
        n_columns: tile.n_columns - panel * LANES,
        start: match tile.start {
            Start::Bias(bias) => Start::Bias(bias.wrapping_add(panel * LANES)),
            other => other,
        },
        ..tile
    }
}

/// The first `n` values at `from`, zeros behind them.
///
/// # Safety
///
/// `n` values at `from` must be valid to read.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, from: *const f32, n: usize) -> S::V {
    if n == LANES {
        // SAFETY: sixteen values are valid to read.
        s.load(unsafe { &*from.cast() })
    } else {
        // SAFETY: `n` values are valid to read.
        s.load_partial(unsafe { std::slice::from_raw_parts(from, n) }, 0.0)
    }
}

/// Writes the first `n` lanes of `value`.
///
/// # Safety
///
/// `n` values at `to` must be valid to write, and no other thread may use them meanwhile.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, value: S::V, to: *mut f32, n: usize) {
    if n == LANES {
        // SAFETY: sixteen values are valid to write.
        s.store(value, unsafe { &mut *to.cast() });
    } else {
        // SAFETY: `n` values are valid to write.
        s.store_partial(value, unsafe { std::slice::from_raw_parts_mut(to, n) });
    }
}

/// A tile whose accumulators stay in registers.
///
/// # Safety
///
/// That of [`multiply`].
#[inline(always)]
unsafe fn registers<S: Simd, E: Element, const ROWS: usize, const PANELS: usize>(
    s: S,
    tile: Tile<E>,
) {
    let Tile { a_row, a_step, b_panel, b_step, c, c_row, c_panel, .. } = tile;
    let width = |panel: usize| (tile.n_columns - panel * LANES).min(LANES);
    // Filled and emptied by loops that the compiler need not unroll, which keeps an array in memory: were `sums` one
    // of these arrays, large tiles would write every accumulator at every step.
    let mut initial = [[s.splat(0.0); PANELS]; ROWS];
    for (row, sums) in initial.iter_mut().enumerate() {
        for (panel, sum) in sums.iter_mut().enumerate() {
            // SAFETY: by the contract of `multiply`.
            *sum = unsafe {
                match tile.start {
                    Start::Zero => s.splat(0.0),
                    Start::Values => load(s, c.add(row * c_row + panel * c_panel), width(panel)),
                    Start::Bias(bias) => load(s, bias.add(panel * LANES), width(panel)),
                }
            };
        }
    }
    let mut sums = initial;
    let (mut a, mut b, mut ahead) = (tile.a, tile.b, tile.ahead);
    for _ in 0..tile.k {
        prefetch(ahead);
        ahead = ahead.wrapping_add(tile.ahead_step);
        // SAFETY: by the contract of `multiply`.
        unsafe {
            let mut vectors = [s.splat(0.0); PANELS];
            for (panel, vector) in vectors.iter_mut().enumerate() {
                *vector = E::load(s, &*b.add(panel * b_panel).cast());
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = s.splat(*a.add(row * a_row));
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = s.mul_add(factor, vector, *sum);
                }
            }
        }
        a = a.wrapping_add(a_step);
        b = b.wrapping_add(b_step);
    }
    let results = sums;
    for (row, sums) in results.iter().enumerate() {
        for (panel, &sum) in sums.iter().enumerate() {
            // SAFETY: by the contract of `multiply`.
            unsafe { store(s, sum, c.add(row * c_row + panel * c_panel), width(panel)) };
        }
    }
}
