//! Values in and out: float32 on the host, whatever the device keeps.

use azr_transformer::DeviceResult;
use azr_transformer::checks::ensure;

use crate::arguments::Arguments;
use crate::blas::Numbers;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::storage::{Buffer, Matrix, Values};

/// Threads of a block of the kernels that work on values and rows; `BLOCK` in `kernels/common.cuh`.
pub(crate) const BLOCK: u32 = 256;
/// Values of a thread of the kernels in `weights.cu`; `LANE_VALUES` in `kernels/packing.cuh`.
pub(crate) const LANE_VALUES: usize = 8;
/// Values that are converted at a time.
const PART: usize = 1 << 24;

/// A kernel of `kernels/weights.cu`.
const fn weights(kernel: &'static str) -> Name<'static> {
    Name { file: "weights", kernel }
}

impl Engine {
    /// Launches a kernel of `weights.cu` over `n` values.
    pub(crate) fn convert(
        &mut self,
        kernel: &'static str,
        operands: Arguments,
        n: usize,
    ) -> DeviceResult<()> {
        let grid = Grid::items(n.div_ceil(LANE_VALUES), BLOCK);
        self.launch(weights(kernel), grid, operands.size(n))
    }

    pub(crate) fn write(
        &mut self,
        buffer: &mut Buffer,
        offset: usize,
        values: &[f32],
    ) -> DeviceResult<()> {
        let fits = offset.checked_add(values.len()).is_some_and(|end| end <= buffer.len);
        ensure(fits, || {
            format!("{} numbers do not fit at {offset} of {}", values.len(), buffer.len)
        })?;
        match buffer.numbers {
            Numbers::F32 => self.upload(buffer.at(offset), bytemuck::cast_slice(values)),
            Numbers::Bf16 => {
                let halves: Vec<u16> = values.iter().map(|&value| to_bf16(value)).collect();
                self.upload(buffer.at(offset), bytemuck::cast_slice(&halves))
            }
        }
    }

    pub(crate) fn read(
        &mut self,
        buffer: &Buffer,
        offset: usize,
        out: &mut [f32],
    ) -> DeviceResult<()> {
        let fits = offset.checked_add(out.len()).is_some_and(|end| end <= buffer.len);
        ensure(fits, || {
            format!("there are no {} numbers at {offset} of {}", out.len(), buffer.len)
        })?;
        match buffer.numbers {
            Numbers::F32 => self.download(buffer.at(offset), bytemuck::cast_slice_mut(out)),
            Numbers::Bf16 => {
                let mut halves = vec![0_u16; out.len()];
                self.download(buffer.at(offset), bytemuck::cast_slice_mut(&mut halves))?;
                for (out, half) in out.iter_mut().zip(halves) {
                    *out = f32::from_bits(u32::from(half) << 16);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn copy_within(
        &mut self,
        buffer: &mut Buffer,
        from: usize,
        to: usize,
        len: usize,
    ) -> DeviceResult<()> {
        ensure(from.max(to).saturating_add(len) <= buffer.len, || {
            format!("{len} numbers from {from} to {to} are not all within {}", buffer.len)
        })?;
        let bytes = len * buffer.numbers.bytes();
        if from.abs_diff(to) >= len {
            return self.copy(buffer.at(from), buffer.at(to), bytes);
        }
        let between = self.scratch("a copy", bytes)?;
        self.copy(buffer.at(from), between, bytes)?;
        self.copy(between, buffer.at(to), bytes)
    }

    pub(crate) fn write_matrix(&mut self, matrix: &mut Matrix, values: &[f32]) -> DeviceResult<()> {
        match &matrix.values {
            Values::F32(memory) => self.upload(memory.pointer(), bytemuck::cast_slice(values)),
            Values::Halves { high, low } => {
                let (high, low) = (high.pointer(), low.pointer());
                let part_bytes = 4 * PART.min(values.len());
                let joined = self.scratch("weights on their way", part_bytes)?;
                for (index, values) in values.chunks(PART).enumerate() {
                    self.upload(joined, bytemuck::cast_slice(values))?;
                    let offset = (2 * index * PART) as u64;
                    let operands = Arguments::new().pointers([joined, high + offset, low + offset]);
                    self.convert("split_weights", operands, values.len())?;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn read_matrix(&mut self, matrix: &Matrix, out: &mut [f32]) -> DeviceResult<()> {
        match &matrix.values {
            Values::F32(memory) => self.download(memory.pointer(), bytemuck::cast_slice_mut(out)),
            Values::Halves { high, low } => {
                let (high, low) = (high.pointer(), low.pointer());
                let joined = self.scratch("weights on their way", 4 * PART.min(out.len()))?;
                for (index, out) in out.chunks_mut(PART).enumerate() {
                    let offset = (2 * index * PART) as u64;
                    let operands = Arguments::new().pointers([high + offset, low + offset, joined]);
                    self.convert("join_weights", operands, out.len())?;
                    self.download(joined, bytemuck::cast_slice_mut(out))?;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn clear_matrix(&mut self, matrix: &mut Matrix) -> DeviceResult<()> {
        let memories = match &matrix.values {
            Values::F32(memory) => vec![memory],
            Values::Halves { high, low } => vec![high, low],
        };
        memories.into_iter().try_for_each(|memory| self.fill_zero(memory.pointer(), memory.bytes()))
    }

    /// The values of a matrix as float32: where they are, or joined in working memory for `purpose`.
    pub(crate) fn joined(&mut self, matrix: &Matrix, purpose: &'static str) -> DeviceResult<u64> {
        match &matrix.values {
            Values::F32(memory) => Ok(memory.pointer()),
            Values::Halves { high, low } => {
                let joined = self.scratch(purpose, 4 * matrix.len())?;
                let operands = Arguments::new().pointers([high.pointer(), low.pointer(), joined]);
                self.convert("join_weights", operands, matrix.len())?;
                Ok(joined)
            }
        }
    }

    /// Where [`Self::joined`] would be, with anything there.
    pub(crate) fn room_for(&mut self, matrix: &Matrix) -> DeviceResult<u64> {
        match &matrix.values {
            Values::F32(memory) => Ok(memory.pointer()),
            Values::Halves { .. } => self.scratch("joined weights", 4 * matrix.len()),
        }
    }

    /// Makes a matrix what [`Self::joined`] has become.
    pub(crate) fn part(&mut self, joined: u64, matrix: &mut Matrix) -> DeviceResult<()> {
        match &matrix.values {
            Values::F32(_) => Ok(()),
            Values::Halves { high, low } => {
                let operands = Arguments::new().pointers([joined, high.pointer(), low.pointer()]);
                self.convert("split_weights", operands, matrix.len())
            }
        }
    }
}

/// Rounds to nearest, ties to even.
fn to_bf16(value: f32) -> u16 {
    use azr_transformer::packing::{Rounding, pack_bf16};
    pack_bf16(value, Rounding::Nearest, 0)
}
