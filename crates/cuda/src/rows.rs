//! Moving and adding rows, and embeddings.

use azr_transformer::DeviceResult;
use azr_transformer::checks::{ensure, indices};

use crate::arguments::Arguments;
use crate::blas::Numbers;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::storage::{Buffer, Matrix, Values, common_numbers};
use crate::transfer::BLOCK;

/// How a kernel reads rows: 16 bytes at once, or number by number where widths or pointers do not allow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    numbers: Numbers,
    lanes: usize,
}

impl Access {
    /// For rows of `width` numbers beginning at `pointers`.
    pub(crate) fn of(numbers: Numbers, width: usize, pointers: &[u64]) -> Self {
        let is_wide = width.is_multiple_of(numbers.lanes())
            && pointers.iter().all(|pointer| pointer.is_multiple_of(16));
        Self { numbers, lanes: if is_wide { numbers.lanes() } else { 1 } }
    }

    /// What is loaded at once, of `n` numbers.
    pub(crate) const fn vectors(self, n: usize) -> usize {
        n / self.lanes
    }

    /// The name of the instance of a kernel that was defined `FOR_ACTIVATIONS`.
    pub(crate) fn kernel(self, name: &str) -> String {
        let width = if self.lanes > 1 { "wide" } else { "narrow" };
        format!("{name}_{}_{width}", self.numbers.name())
    }
}

impl Engine {
    pub(crate) fn gather_rows(
        &mut self,
        src: &Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        ensure(width > 0, || "rows have no width".to_owned())?;
        indices("rows", rows, src.len / width)?;
        let numbers = common_numbers(&[src, out])?;
        let out = out.rows("out", rows.len(), width)?;
        self.gather(numbers, src.pointer(), rows, width, out)
    }

    fn gather(
        &mut self,
        numbers: Numbers,
        src: u64,
        rows: &[u32],
        width: usize,
        out: u64,
    ) -> DeviceResult<()> {
        self.move_rows("gather_rows", numbers, [src, out], rows, width)
    }

    pub(crate) fn scatter_rows(
        &mut self,
        src: &Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        ensure(width > 0, || "rows have no width".to_owned())?;
        indices("rows", rows, out.len / width)?;
        let numbers = common_numbers(&[src, out])?;
        let src = src.rows("src", rows.len(), width)?;
        self.move_rows("scatter_rows", numbers, [src, out.pointer()], rows, width)
    }

    fn move_rows(
        &mut self,
        kernel: &str,
        numbers: Numbers,
        [from, to]: [u64; 2],
        rows: &[u32],
        width: usize,
    ) -> DeviceResult<()> {
        let access = Access::of(numbers, width, &[from, to]);
        let n_vectors = access.vectors(width);
        let staged = self.stage(rows)?;
        let arguments = Arguments::new().pointers([from, staged, to]);
        let arguments = arguments.int(rows.len()).int(n_vectors);
        let name = Name { file: "rows", kernel: &access.kernel(kernel) };
        self.launch(name, Grid::items(rows.len() * n_vectors, BLOCK), arguments)
    }

    pub(crate) fn add(&mut self, x: &Buffer, y: &mut Buffer, len: usize) -> DeviceResult<()> {
        let numbers = common_numbers(&[x, y])?;
        let (x, y) = (x.rows("x", len, 1)?, y.rows("y", len, 1)?);
        let access = Access::of(numbers, len, &[x, y]);
        let n_vectors = access.vectors(len);
        let name = Name { file: "rows", kernel: &access.kernel("add") };
        let arguments = Arguments::new().pointers([x, y]).int(n_vectors);
        self.launch(name, Grid::items(n_vectors, BLOCK), arguments)
    }

    pub(crate) fn embed(
        &mut self,
        table: &Matrix,
        tokens: &[u32],
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        indices("tokens", tokens, table.n_out)?;
        let to = out.rows("out", tokens.len(), table.n_in)?;
        match (&table.values, out.numbers) {
            (Values::F32(from), Numbers::F32) => {
                self.gather(Numbers::F32, from.pointer(), tokens, table.n_in, to)
            }
            (Values::Halves { high, .. }, Numbers::Bf16) => {
                self.gather(Numbers::Bf16, high.pointer(), tokens, table.n_in, to)
            }
            (_, numbers) => {
                let from = self.operand(table, numbers)?.pointer;
                self.gather(numbers, from, tokens, table.n_in, to)
            }
        }
    }

    pub(crate) fn embed_backward(
        &mut self,
        d_out: &Buffer,
        tokens: &[u32],
        d_table: &mut Matrix,
    ) -> DeviceResult<()> {
        indices("tokens", tokens, d_table.n_out)?;
        let width = d_table.n_in;
        let rows = d_out.rows("d_out", tokens.len(), width)?;
        let ByToken { tokens, starts, rows: order } = ByToken::new(tokens);
        let (staged, starts) = (self.stage(&tokens)?, self.stage(&starts)?);
        let order = self.stage(&order)?;
        let sums = self.joined(d_table, "joined sums")?;
        let kernel = match d_out.numbers {
            Numbers::F32 => "embed_backward_f32",
            Numbers::Bf16 => "embed_backward_bf16",
        };
        let blocks = [tokens.len(), width.div_ceil(BLOCK as usize), 1];
        let grid = Grid { blocks, threads: BLOCK, shared_bytes: 0 };
        let arguments = Arguments::new().pointers([rows, staged, starts, order, sums]).int(width);
        self.launch(Name { file: "embed", kernel }, grid, arguments)?;
        self.part(sums, d_table)
    }
}

/// The rows of each token, in ascending order.
#[derive(Debug, PartialEq, Eq)]
struct ByToken {
    /// Distinct tokens.
    tokens: Vec<u32>,
    /// Where the rows of each begin, and their number.
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl ByToken {
    fn new(tokens: &[u32]) -> Self {
        let mut rows: Vec<u32> = (0..tokens.len() as u32).collect();
        rows.sort_by_key(|&row| tokens[row as usize]);
        let (mut distinct, mut starts) = (Vec::new(), Vec::new());
        for (index, &row) in rows.iter().enumerate() {
            let token = tokens[row as usize];
            if distinct.last() != Some(&token) {
                distinct.push(token);
                starts.push(index as u32);
            }
        }
        starts.push(rows.len() as u32);
        Self { tokens: distinct, starts, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_token_come_in_order() {
        let found = ByToken::new(&[5, 2, 5, 9, 2]);
        let wanted =
            ByToken { tokens: vec![2, 5, 9], starts: vec![0, 2, 4, 5], rows: vec![1, 4, 0, 2, 3] };
        assert_eq!(found, wanted);
        assert_eq!(ByToken::new(&[]).starts, [0]);
    }
}
