//! Products of linear layers.

use azr_transformer::DeviceResult;
use azr_transformer::checks::equal;

use crate::arguments::Arguments;
use crate::blas::{Numbers, Operand, Product};
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::rows::Access;
use crate::storage::{Buffer, Matrix, Values, common_numbers};
use crate::transfer::BLOCK;

/// Rows of a chunk of `kernels/column_sums.cu`, and columns of its blocks.
const CHUNK_ROWS: usize = 128;
const COLUMNS: usize = 32;

pub(crate) const fn rows_of(pointer: u64, numbers: Numbers) -> Operand {
    Operand { pointer, numbers, is_transposed: false }
}

impl Operand {
    pub(crate) const fn transposed(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }
}

impl Engine {
    /// Weights as products with activations of type `numbers` take them, `[n_out, n_in]`.
    pub(crate) fn operand(&mut self, weight: &Matrix, numbers: Numbers) -> DeviceResult<Operand> {
        let pointer = match (numbers, &weight.values) {
            (Numbers::Bf16, Values::Halves { high, .. }) => high.pointer(),
            (Numbers::F32, _) => self.joined(weight, "joined weights")?,
            (Numbers::Bf16, Values::F32(memory)) => {
                let halves = self.scratch("rounded weights", 2 * weight.len())?;
                let operands = Arguments::new().pointers([memory.pointer(), halves]);
                self.convert("f32_to_bf16", operands, weight.len())?;
                halves
            }
        };
        Ok(rows_of(pointer, numbers))
    }

    pub(crate) fn linear(
        &mut self,
        x: &Buffer,
        rows: usize,
        weight: &Matrix,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        let numbers = common_numbers(&[x, y])?;
        x.rows("x", rows, weight.n_in)?;
        y.rows("y", rows, weight.n_out)?;
        let weights = self.operand(weight, numbers)?;
        self.multiply(x, rows, (weights, weight.shape()), bias, y)
    }

    /// `y = x Wᵀ + bias` with weights of the type of the rows, whose lengths were checked.
    pub(crate) fn multiply(
        &mut self,
        x: &Buffer,
        rows: usize,
        (weights, (n_out, n_in)): (Operand, (usize, usize)),
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        self.product(Product {
            rows,
            columns: n_out,
            depth: n_in,
            a: rows_of(x.pointer(), x.numbers),
            b: weights.transposed(),
            c: rows_of(y.pointer(), y.numbers),
            accumulate: false,
        })?;
        match bias {
            Some(bias) => self.add_bias(bias, rows, n_out, y),
            None => Ok(()),
        }
    }

    pub(crate) fn add_bias(
        &mut self,
        bias: &Buffer,
        rows: usize,
        width: usize,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        equal("length of the bias", bias.len, width)?;
        let bias = bias.values("bias", 1, width)?;
        let access = Access::of(y.numbers, width, &[y.pointer(), bias]);
        let grid = Grid::items(rows * access.vectors(width), BLOCK);
        let arguments = Arguments::new().pointers([bias, y.pointer()]);
        let arguments = arguments.int(rows).int(access.vectors(width));
        self.launch(Name { file: "rows", kernel: &access.kernel("add_bias") }, grid, arguments)
    }

    pub(crate) fn linear_backward_input(
        &mut self,
        dy: &Buffer,
        rows: usize,
        weight: &Matrix,
        dx: &mut Buffer,
        accumulate: bool,
    ) -> DeviceResult<()> {
        let numbers = common_numbers(&[dy, dx])?;
        let (dy, dx) = (dy.rows("dy", rows, weight.n_out)?, dx.rows("dx", rows, weight.n_in)?);
        let weights = self.operand(weight, numbers)?;
        self.product(Product {
            rows,
            columns: weight.n_in,
            depth: weight.n_out,
            a: rows_of(dy, numbers),
            b: weights,
            c: rows_of(dx, numbers),
            accumulate,
        })
    }

    pub(crate) fn linear_backward_weight(
        &mut self,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        d_weight: &mut Matrix,
    ) -> DeviceResult<()> {
        let numbers = common_numbers(&[dy, x])?;
        dy.rows("dy", rows, d_weight.n_out)?;
        x.rows("x", rows, d_weight.n_in)?;
        self.add_outer(
            rows_of(dy.pointer(), numbers),
            rows_of(x.pointer(), numbers),
            rows,
            d_weight,
        )
    }

    /// `dW += dyᵀ x` over `rows` rows, whose lengths were checked.
    pub(crate) fn add_outer(
        &mut self,
        dy: Operand,
        x: Operand,
        rows: usize,
        d_weight: &mut Matrix,
    ) -> DeviceResult<()> {
        if rows == 0 {
            return Ok(());
        }
        let sums = self.joined(d_weight, "joined sums")?;
        self.product(Product {
            rows: d_weight.n_out,
            columns: d_weight.n_in,
            depth: rows,
            a: dy.transposed(),
            b: x,
            c: rows_of(sums, Numbers::F32),
            accumulate: true,
        })?;
        self.part(sums, d_weight)
    }

    pub(crate) fn bias_backward(
        &mut self,
        dy: &Buffer,
        rows: usize,
        d_bias: &mut Buffer,
    ) -> DeviceResult<()> {
        let width = d_bias.len;
        let d_bias = d_bias.values("d_bias", 1, width)?;
        let dy_rows = dy.rows("dy", rows, width)?;
        self.column_sums(dy.numbers, dy_rows, None, (rows, width), d_bias)
    }

    /// `sums += sum over rows of dy (* x * inv_rms)`, with `factors` being `x` and `inv_rms`.
    pub(crate) fn column_sums(
        &mut self,
        numbers: Numbers,
        dy: u64,
        factors: Option<[u64; 2]>,
        (rows, width): (usize, usize),
        sums: u64,
    ) -> DeviceResult<()> {
        let n_chunks = rows.div_ceil(CHUNK_ROWS);
        let partial = self.scratch("partial sums", 4 * n_chunks * width)?;
        let grid = Grid {
            blocks: [width.div_ceil(COLUMNS), n_chunks, 1],
            threads: BLOCK,
            shared_bytes: 0,
        };
        let [x, inv_rms] = factors.unwrap_or_default();
        let arguments = Arguments::new().pointers([dy, x, inv_rms, partial]);
        let kernel = match numbers {
            Numbers::F32 => "column_sums_f32",
            Numbers::Bf16 => "column_sums_bf16",
        };
        let file = "column_sums";
        self.launch(Name { file, kernel }, grid, arguments.int(rows).int(width))?;
        let arguments = Arguments::new().pointers([partial, sums]).int(n_chunks).int(width);
        let kernel = "add_partial_sums";
        self.launch(Name { file, kernel }, Grid::items(width, BLOCK), arguments)
    }
}
