//! Copies of weights that generation multiplies with.

use azr_transformer::DeviceResult;
use azr_transformer::checks::equal;

use crate::arguments::Arguments;
use crate::blas::{Numbers, Operand, Product};
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::linear::rows_of;
use crate::memory::Memory;
use crate::storage::{Buffer, Matrix, Values, WeightCopy, common_numbers};
use crate::transfer::BLOCK;

const FILE: &str = "int8_linear";

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
            (Some(scales), _) => {
                let scales = scales.pointer();
                let values = self.joined(matrix, "joined weights")?;
                let (n_out, n_in) = matrix.shape();
                let arguments = Arguments::new().pointers([values, codes, scales]).int(n_in);
                let name = Name { file: FILE, kernel: "quantise_weights" };
                self.launch(name, Grid::blocks(n_out, BLOCK), arguments)
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
                let arguments = Arguments::new().pointers([codes, scales, values]).int(n_in);
                let name = Name { file: FILE, kernel: "widen_weights" };
                self.launch(name, Grid::blocks(n_out, BLOCK), arguments)?;
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
        let codes = self.scratch("codes of rows", 2 * rows * n_in)?;
        let row_scales = self.scratch("scales of rows", 4 * rows)?;
        let kernel = format!("quantise_rows_{}", x.numbers.name());
        let arguments = Arguments::new().pointers([x.pointer, codes, row_scales]).int(n_in);
        let name = Name { file: FILE, kernel: &kernel };
        self.launch(name, Grid::blocks(rows, BLOCK), arguments)?;
        let kernel = format!("int8_linear_{}", y.numbers.name());
        let arguments = Arguments::new().pointers([
            codes,
            row_scales,
            weight.codes.pointer(),
            scales,
            y.pointer,
        ]);
        let arguments = arguments.int(rows).int(n_out).int(n_in);
        let name = Name { file: FILE, kernel: &kernel };
        self.launch(name, Grid::blocks(n_out, BLOCK), arguments)
    }
}
