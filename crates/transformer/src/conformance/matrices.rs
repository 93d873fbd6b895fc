//! Storage, rows, the products of linear layers, and AdamW.

use std::ops::Range;

use super::{
    Case, Checks, On, Outputs, RowCase, download, download_matrix, indices, numbers, split_rows,
    upload, upload_gradient, upload_matrix, upload_rows,
};
use crate::device::{
    AdamStep, AdamTensor, Device, DeviceResult, Moment, StatePrecision, Tensor, TensorMut,
};
use crate::packing::Rounding;

/// Float32 sums of up to a thousand products of numbers around 1: about 30 roundings of 6e-8 in effect.
const PRODUCT: f32 = 4e-6;

/// `(n_out, n_in, rows)`: less than a panel, whole panels, one more and one less, deep and flat, and row counts
/// around the height of every plausible tile.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (3, 2, 5),
    (16, 16, 16),
    (17, 15, 1),
    (31, 33, 2),
    (48, 40, 3),
    (40, 70, 4),
    (65, 9, 6),
    (130, 24, 7),
    (200, 520, 13),
    (36, 1030, 29),
    (33, 64, 70),
    (560, 47, 30),
    (50, 30, 600),
];

struct Linear {
    shape: (usize, usize),
    n_rows: usize,
    with_bias: bool,
}

impl Linear {
    fn run_rows<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<f32>> {
        let (n_out, n_in) = self.shape;
        let x = numbers(1, self.n_rows * n_in);
        let weight = upload_matrix(device, self.shape, &numbers(2, n_out * n_in))?;
        let bias = upload(device, &numbers(3, n_out))?;
        let mut y = upload_rows(device, &numbers(4, rows.len() * n_out + 5))?;
        let x = upload_rows(device, &x[rows.start * n_in..rows.end * n_in])?;
        device.linear(&x, rows.len(), &weight, self.with_bias.then_some(&bias), &mut y)?;
        download(device, &y)
    }
}

impl Case for Linear {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        Ok(vec![("y", self.run_rows(device, 0..self.n_rows)?)])
    }
}

impl RowCase for Linear {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let n_rows = rows.len();
        let y = self.run_rows(device, rows)?;
        Ok(split_rows(&y[..n_rows * self.shape.0], n_rows))
    }
}

struct BackwardInput {
    shape: (usize, usize),
    n_rows: usize,
    accumulate: bool,
}

impl BackwardInput {
    fn run_rows<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<f32>> {
        let (n_out, n_in) = self.shape;
        let dy = numbers(5, self.n_rows * n_out);
        let start = numbers(6, self.n_rows * n_in + 5);
        let weight = upload_matrix(device, self.shape, &numbers(2, n_out * n_in))?;
        let dy = upload_rows(device, &dy[rows.start * n_out..rows.end * n_out])?;
        let mut dx = upload_rows(device, &start[rows.start * n_in..rows.end * n_in + 5])?;
        device.linear_backward_input(&dy, rows.len(), &weight, &mut dx, self.accumulate)?;
        download(device, &dx)
    }
}

impl Case for BackwardInput {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        Ok(vec![("dx", self.run_rows(device, 0..self.n_rows)?)])
    }
}

impl RowCase for BackwardInput {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let n_rows = rows.len();
        let dx = self.run_rows(device, rows)?;
        Ok(split_rows(&dx[..n_rows * self.shape.1], n_rows))
    }
}

struct BackwardWeight {
    shape: (usize, usize),
    n_rows: usize,
}

impl Case for BackwardWeight {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let (n_out, n_in) = self.shape;
        let x = upload_rows(device, &numbers(1, self.n_rows * n_in))?;
        let dy = upload_rows(device, &numbers(5, self.n_rows * n_out))?;
        let mut d_weight = upload_gradient(device, self.shape, &numbers(7, n_out * n_in))?;
        let mut d_bias = upload(device, &numbers(8, n_out))?;
        device.linear_backward_weight(&dy, &x, self.n_rows, &mut d_weight)?;
        device.bias_backward(&dy, self.n_rows, &mut d_bias)?;
        let d_weight = download_matrix(device, &d_weight)?;
        Ok(vec![("d_weight", d_weight), ("d_bias", download(device, &d_bias)?)])
    }
}

struct Embedding {
    vocab: usize,
    width: usize,
    n_tokens: usize,
}

impl Case for Embedding {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let shape = (self.vocab, self.width);
        // More tokens than the vocabulary has: some are repeated.
        let tokens = indices(9, self.n_tokens, self.vocab);
        let table = upload_matrix(device, shape, &numbers(10, self.vocab * self.width))?;
        let mut out = upload_rows(device, &numbers(11, self.n_tokens * self.width + 3))?;
        device.embed(&table, &tokens, &mut out)?;
        let mut d_table = upload_gradient(device, shape, &numbers(12, self.vocab * self.width))?;
        device.embed_backward(
            &upload_rows(device, &numbers(13, self.n_tokens * self.width))?,
            &tokens,
            &mut d_table,
        )?;
        Ok(vec![("out", download(device, &out)?), ("d_table", download_matrix(device, &d_table)?)])
    }
}

struct Rows {
    width: usize,
}

impl Case for Rows {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let src = upload_rows(device, &numbers(14, 40 * self.width))?;
        let mut gathered = upload_rows(device, &numbers(15, 33 * self.width))?;
        device.gather_rows(&src, &indices(16, 32, 40), self.width, &mut gathered)?;
        let mut scattered = upload_rows(device, &numbers(17, 40 * self.width))?;
        let rows: Vec<u32> = (0..20).map(|index| (index * 7) % 40).collect();
        device.scatter_rows(&src, &rows, self.width, &mut scattered)?;
        let mut sum = upload_rows(device, &numbers(18, 40 * self.width))?;
        device.add(&src, &mut sum, 39 * self.width)?;
        let mut cleared = upload_rows(device, &numbers(19, 100))?;
        device.clear(&mut cleared)?;
        let mut copied = upload_rows(device, &numbers(19, 100))?;
        device.copy_within(&mut copied, 3, 60, 40)?;
        device.copy_within(&mut copied, 70, 50, 30)?;
        let outputs = [
            ("gathered", gathered),
            ("scattered", scattered),
            ("sum", sum),
            ("cleared", cleared),
            ("copied", copied),
        ];
        outputs.into_iter().map(|(name, buffer)| Ok((name, download(device, &buffer)?))).collect()
    }
}

struct Optimizer {
    shape: (usize, usize),
    weight_decay: f32,
    precision: StatePrecision,
}

impl Case for Optimizer {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let len = self.shape.0 * self.shape.1;
        let start = numbers(20, len);
        let mut p = upload(device, &start)?;
        let mut matrix_p = upload_matrix(device, self.shape, &start)?;
        let state = |moment| device.state(&p, self.precision, moment);
        let (mut m, mut v) = (state(Moment::First)?, state(Moment::Second)?);
        let state = |moment| device.matrix_state(&matrix_p, self.precision, moment);
        let (mut matrix_m, mut matrix_v) = (state(Moment::First)?, state(Moment::Second)?);
        let mut outputs = Vec::new();
        for t in 1..=4 {
            let step = AdamStep {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-8,
                grad_scale: 0.5,
                t,
            };
            let g = numbers(20 + t, len);
            let (vector, matrix) = (upload(device, &g)?, upload_gradient(device, self.shape, &g)?);
            let (weight_decay, rounding_key) = (self.weight_decay, 77 + t as u32);
            let gradients = [Tensor::Vector(&vector), Tensor::Matrix(&matrix)];
            let sums = [&gradients[..1], &gradients[1..], &gradients];
            let sums = sums.map(|tensors| device.sum_squares(tensors).map(|sum| sum as f32));
            outputs.push(("sum_squares", sums.into_iter().collect::<DeviceResult<_>>()?));
            let [vector, matrix] = gradients;
            let tensor = |p, g, m, v| AdamTensor { p, g, m, v, weight_decay, rounding_key };
            let tensors = vec![
                tensor(TensorMut::Vector(&mut p), vector, &mut m, &mut v),
                tensor(TensorMut::Matrix(&mut matrix_p), matrix, &mut matrix_m, &mut matrix_v),
            ];
            device.adamw(tensors, step)?;
        }
        outputs.push(("p", download(device, &p)?));
        for (name, state, moment) in [("m", &m, Moment::First), ("v", &v, Moment::Second)] {
            device.state_read(state, &mut p)?;
            outputs.push((name, download(device, &p)?));
            // What was read is written and read again.
            let mut copy = device.state(&p, self.precision, moment)?;
            device.state_write(&mut copy, &p)?;
            device.state_read(&copy, &mut p)?;
            outputs.push((name, download(device, &p)?));
        }
        outputs.push(("matrix_p", download_matrix(device, &matrix_p)?));
        for (name, state) in [("matrix_m", &matrix_m), ("matrix_v", &matrix_v)] {
            device.matrix_state_read(state, &mut matrix_p)?;
            outputs.push((name, download_matrix(device, &matrix_p)?));
            let moment = if name == "matrix_m" { Moment::First } else { Moment::Second };
            let mut copy = device.matrix_state(&matrix_p, self.precision, moment)?;
            device.matrix_state_write(&mut copy, &matrix_p, Rounding::Nearest)?;
            device.matrix_state_read(&copy, &mut matrix_p)?;
            outputs.push((name, download_matrix(device, &matrix_p)?));
        }
        Ok(outputs)
    }
}

pub(super) fn check<D: Device>(checks: &mut Checks<'_, D>) {
    for (n_out, n_in, n_rows) in SHAPES {
        let shape = (n_out, n_in);
        let on = format!("{n_rows} rows of {n_out} by {n_in}");
        for flag in [false, true] {
            let linear = Linear { shape, n_rows, with_bias: flag };
            checks.agrees(format!("linear, bias {flag}, {on}"), PRODUCT, &linear);
            let input = BackwardInput { shape, n_rows, accumulate: flag };
            checks.agrees(
                format!("linear_backward_input, accumulate {flag}, {on}"),
                PRODUCT,
                &input,
            );
        }
        checks.agrees(
            format!("linear_backward_weight, {on}"),
            PRODUCT,
            &BackwardWeight { shape, n_rows },
        );
    }
    for shape in [(50, 70), (33, 600), (520, 20)] {
        let linear = Linear { shape, n_rows: 70, with_bias: true };
        checks.rows_agree(format!("rows of linear, {shape:?}"), &linear);
        let input = BackwardInput { shape, n_rows: 70, accumulate: true };
        checks.rows_agree(format!("rows of linear_backward_input, {shape:?}"), &input);
    }
    for (vocab, width, n_tokens) in [(7, 5, 20), (40, 16, 3), (33, 70, 100)] {
        let embedding = Embedding { vocab, width, n_tokens };
        checks.agrees(format!("embed, {n_tokens} of {vocab} by {width}"), 1e-6, &embedding);
    }
    for width in [1, 5, 64] {
        checks.agrees(format!("rows of {width}"), 0.0, &Rows { width });
    }
    for (shape, weight_decay) in [((1, 1), 0.0), ((17, 9), 0.1), ((40, 1000), 0.01)] {
        // Packed state is rounded by numbers that depend on the layout, so that devices agree within a few codes.
        for (precision, tolerance) in [
            (StatePrecision::F32, 1e-6),
            (StatePrecision::Bf16, 0.02),
            (StatePrecision::Int8, 0.08),
        ] {
            let case = Optimizer { shape, weight_decay, precision };
            checks.agrees(format!("adamw, {precision:?} state, {shape:?}"), tolerance, &case);
        }
    }
}
