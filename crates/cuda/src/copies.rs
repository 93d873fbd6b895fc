//! Copies of weights that generation multiplies with.

use azr_transformer::DeviceResult;
use azr_transformer::checks::equal;

use crate::arguments::Arguments;
use crate::blas::{Numbers, Operand, Product};
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::linear::rows_of;
use crate::memory::Memory;
use crate::rows::Access;
use crate::storage::{Buffer, Matrix, Values, WeightCopy, code_stride, common_numbers};
use crate::transfer::BLOCK;

const FILE: &str = "int8_linear";
/// Weights that a thread quantises at once where rows allow it.
const CODES_AT_ONCE: usize = 8;
/// Blocks that keep every multiprocessor of a large GPU busy.
const ENOUGH_BLOCKS: usize = 264;

impl Engine {
    pub(crate) fn copy_write(
        &mut self,
        copy: &mut WeightCopy,
        matrix: &Matrix,
    ) -> DeviceResult<()> {
        equal("shape of the copy", copy.shape(), matrix.shape())?;
        let codes = copy.codes.pointer();
        match (&copy.scales, &matrix.values) {
            (None, Values::F32(memory)) => {
                let operands = Arguments::new().pointers([memory.pointer(), codes]);
                self.convert("f32_to_bf16", operands, matrix.len())
            }
            (None, Values::Halves { high, low }) => {
                let operands = Arguments::new().pointers([high.pointer(), low.pointer(), codes]);
                self.convert("round_weights", operands, matrix.len())
            }
            (Some(scales), values) => {
                let (n_out, n_in) = matrix.shape();
                let (from, kind) = match values {
                    Values::F32(memory) => (Arguments::new().pointer(memory.pointer()), "f32"),
                    Values::Halves { high, low } => {
                        (Arguments::new().pointers([high.pointer(), low.pointer()]), "split")
                    }
                };
                let width = if n_in.is_multiple_of(CODES_AT_ONCE) { "wide" } else { "narrow" };
                let arguments = from.pointers([codes, scales.pointer()]).int(n_in);
                let kernel = format!("quantise_weights_{kind}_{width}");
                let name = Name { file: FILE, kernel: &kernel };
                let grid = Grid::blocks(n_out, BLOCK);
                self.launch(name, grid, arguments.int(code_stride(n_in)))
            }
        }
    }

    pub(crate) fn copy_read(&mut self, copy: &WeightCopy, out: &mut [f32]) -> DeviceResult<()> {
        let (n_out, n_in) = copy.shape();
        equal("number of values", out.len(), n_out * n_in)?;
        let values = self.widened(copy)?;
        self.download(values, bytemuck::cast_slice_mut(out))
    }

    /// The float32 weights that a copy stands for, in working memory.
    fn widened(&mut self, copy: &WeightCopy) -> DeviceResult<u64> {
        let (n_out, n_in) = copy.shape();
        let values = self.scratch("widened copies", 4 * n_out * n_in)?;
        let codes = copy.codes.pointer();
        match copy.scales.as_ref().map(Memory::pointer) {
            None => {
                let operands = Arguments::new().pointers([codes, values]);
                self.convert("bf16_to_f32", operands, n_out * n_in)?;
            }
            Some(scales) => {
                let arguments = Arguments::new().pointers([codes, scales, values]);
                let arguments = arguments.int(n_out).int(n_in).int(code_stride(n_in));
                let name = Name { file: FILE, kernel: "unpack_int8_weights" };
                self.launch(name, Grid::items(n_out * n_in, BLOCK), arguments)?;
            }
        }
        Ok(values)
    }

    pub(crate) fn copy_linear(
        &mut self,
        x: &Buffer,
        rows: usize,
        weight: &WeightCopy,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        let numbers = common_numbers(&[x, y])?;
        let from = rows_of(x.rows("x", rows, weight.n_in)?, numbers);
        let to = rows_of(y.rows("y", rows, weight.n_out)?, numbers);
        self.copy_product(from, rows, weight, to)?;
        match bias {
            Some(bias) => self.add_bias(bias, rows, weight.n_out, y),
            None => Ok(()),
        }
    }

    /// `y = x Wᵀ` with the weights that the copy stands for. `y` is of the type of `x`, or float32.
    pub(crate) fn copy_product(
        &mut self,
        x: Operand,
        rows: usize,
        weight: &WeightCopy,
        y: Operand,
    ) -> DeviceResult<()> {
        let (n_out, n_in) = weight.shape();
        if let Some(scales) = weight.scales.as_ref().map(Memory::pointer) {
            return self.int8_product(x, rows, (weight, scales), y);
        }
        let pointer = match x.numbers {
            Numbers::F32 => self.widened(weight)?,
            Numbers::Bf16 => weight.codes.pointer(),
        };
        let weights = rows_of(pointer, x.numbers);
        self.product(Product {
            rows,
            columns: n_out,
            depth: n_in,
            a: x,
            b: weights.transposed(),
            c: y,
            accumulate: false,
        })
    }

    fn int8_product(
        &mut self,
        x: Operand,
        rows: usize,
        (weight, scales): (&WeightCopy, u64),
        y: Operand,
    ) -> DeviceResult<()> {
        let (n_out, n_in) = weight.shape();
        let stride = code_stride(n_in);
        // Codes of 13 bits in two parts of 8.
        let high = self.scratch("codes of rows", 2 * rows * stride)?;
        let low = high + (rows * stride) as u64;
        let row_scales = self.scratch("scales of rows", 4 * rows)?;
        let access = Access::of(x.numbers, n_in, &[x.pointer]);
        let arguments = Arguments::new().pointers([x.pointer, high, low, row_scales]);
        let name = Name { file: FILE, kernel: &access.kernel("quantise_rows") };
        self.launch(name, Grid::blocks(rows, BLOCK), arguments.int(n_in).int(stride))?;

        let tile = Tile::of(rows, n_out);
        let kernel = format!("int8_linear_{}_{}x{}", y.numbers.name(), tile.rows, tile.outputs);
        let no_bias = 0;
        let arguments = Arguments::new()
            .pointers([high, low, row_scales, weight.codes.pointer(), scales, no_bias, y.pointer])
            .int(rows)
            .int(n_out)
            .int(stride);
        let blocks = [rows.div_ceil(tile.rows), n_out.div_ceil(tile.outputs), 1];
        let grid = Grid { blocks, threads: BLOCK, shared_bytes: 0 };
        self.launch(Name { file: FILE, kernel: &kernel }, grid, arguments)
    }
}

/// What a block of the product makes. Sums are exact, so that the choice changes no bit.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    outputs: usize,
}

impl Tile {
    fn of(n_rows: usize, n_out: usize) -> Self {
        let many = Self { rows: 32, outputs: 64 };
        let n_blocks = n_rows.div_ceil(many.rows) * n_out.div_ceil(many.outputs);
        match n_rows {
            0..=8 => Self { rows: 8, outputs: 16 },
            _ if n_blocks >= ENOUGH_BLOCKS => many,
            _ => Self { rows: 32, outputs: 16 },
        }
    }
}
