//! The head: logits, scores, the policy loss and sampling.

use std::ops::Range;

use azr_plugin::{LossSpec, Ratio};

use super::{
    Case, Checks, On, Outputs, RowCase, close, download, download_matrix, indices, numbers,
    same_bits, uniform, upload_gradient, upload_matrix, upload_rows,
};
use crate::device::{CopyFormat, Device, DeviceResult, SampleSpec, TokenTargets};
use crate::reference::Reference;

/// A softmax over logits of the error of [`super::matrices`]'s products.
const TOLERANCE: f32 = 1e-5;

/// A vocabulary, a width and a number of rows.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) vocab: usize,
    pub(super) width: usize,
    pub(super) n_rows: usize,
}

impl Shape {
    /// Activations of some rows, and the weights.
    fn operands<D: Device>(
        self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<(D::Buffer, D::Matrix)> {
        let x = numbers(80, self.n_rows * self.width);
        let x = upload_rows(device, &x[rows.start * self.width..rows.end * self.width])?;
        let weight =
            upload_matrix(device, (self.vocab, self.width), &numbers(81, self.vocab * self.width))?;
        Ok((x, weight))
    }
}

struct Scores {
    shape: Shape,
    temperature: f32,
}

impl Scores {
    fn run_rows<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<[Vec<f32>; 3]> {
        let (x, weight) = self.shape.operands(device, rows.clone())?;
        let targets = indices(82, self.shape.n_rows, self.shape.vocab);
        let scores = device.head_scores(&x, &weight, &targets[rows.clone()], self.temperature)?;
        let mut logits = vec![0.0; rows.len() * self.shape.vocab];
        device.head_logits(&x, rows.len(), &weight, &mut logits)?;
        Ok([scores.logprobs, scores.entropies, logits])
    }
}

impl Case for Scores {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let [logprobs, entropies, logits] = self.run_rows(device, 0..self.shape.n_rows)?;
        Ok(vec![("logprobs", logprobs), ("entropies", entropies), ("logits", logits)])
    }
}

impl RowCase for Scores {
    fn n_rows(&self) -> usize {
        self.shape.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let [logprobs, entropies, logits] = self.run_rows(device, rows.clone())?;
        let logits = logits.chunks_exact(self.shape.vocab);
        Ok(logits
            .zip(logprobs)
            .zip(entropies)
            .map(|((row, a), b)| [row, &[a, b]].concat())
            .collect())
    }
}

struct Loss {
    shape: Shape,
    loss: LossSpec,
}

impl Case for Loss {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let Shape { vocab, width, n_rows } = self.shape;
        let (x, weight) = self.shape.operands(device, 0..n_rows)?;
        let targets = indices(82, n_rows, vocab);
        // The behaviour policy is near enough that ratios fall on both sides of the clip range, and far enough from
        // its edges that a rounding does not move a token across.
        let reference = On { device: &Reference, precision: device.precision };
        let scores = reference.head_scores(
            &upload_rows(&reference, &numbers(80, n_rows * width))?,
            &upload_matrix(&reference, (vocab, width), &numbers(81, vocab * width))?,
            &targets,
            self.loss.temperature,
        )?;
        let gaps = [0.0, 0.1, -0.1, 0.4, -0.4, 1.5, -1.5];
        let behaviour: Vec<f32> =
            scores.logprobs.iter().enumerate().map(|(i, l)| l + gaps[i % gaps.len()]).collect();
        let mut weights = numbers(83, n_rows);
        weights[n_rows / 2] = 0.0;
        let tokens = TokenTargets {
            targets: &targets,
            behaviour_logprobs: &behaviour,
            advantages: &numbers(84, n_rows),
            weights: &weights,
        };
        let mut dx = upload_rows(device, &numbers(85, n_rows * width + 3))?;
        let mut d_weight = upload_gradient(device, (vocab, width), &numbers(86, vocab * width))?;
        let scores =
            device.head_loss(&x, &weight, tokens, &self.loss, &mut dx, Some(&mut d_weight))?;
        Ok(vec![
            ("logprobs", scores.logprobs),
            ("entropies", scores.entropies),
            ("dx", download(device, &dx)?),
            ("d_weight", download_matrix(device, &d_weight)?),
        ])
    }
}

/// Temperatures, nuclei and numbers to sample each row with.
fn specs(n_rows: usize) -> Vec<SampleSpec> {
    let temperature = [0.0, 1.0, 0.7, 2.0];
    let top_p = [1.0, 1.0, 0.9, 0.5, 0.01];
    (0..n_rows)
        .map(|row| SampleSpec {
            temperature: temperature[row % temperature.len()],
            top_p: top_p[row % top_p.len()],
            uniform: if row % 11 == 0 { 0.0 } else { uniform(87, row as u64) as f32 },
        })
        .collect()
}

/// Sampling from the logits of a matrix, or of its copy.
pub(super) struct Samples {
    pub(super) shape: Shape,
    pub(super) copy: Option<CopyFormat>,
}

impl RowCase for Samples {
    fn n_rows(&self) -> usize {
        self.shape.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let (x, weight) = self.shape.operands(device, rows.clone())?;
        let specs = &specs(self.shape.n_rows)[rows];
        let (tokens, logprobs) = match self.copy {
            Some(format) => {
                let mut copy = device.copy_zeros(self.shape.vocab, self.shape.width, format)?;
                device.copy_write(&mut copy, &weight)?;
                device.copy_head_sample(&x, &copy, specs)?
            }
            None => device.head_sample(&x, &weight, specs)?,
        };
        let results = tokens.into_iter().zip(logprobs);
        Ok(results.map(|(token, logprob)| vec![token as f32, logprob]).collect())
    }
}

/// The same tokens as the reference's. A number that falls within rounding of the border between two tokens could
/// differ rightly; none of these few hundred does.
pub(super) fn samples_agree<D: Device>(
    device: &On<'_, D>,
    samples: &Samples,
) -> Result<(), String> {
    let text = |error: crate::DeviceError| error.to_string();
    let shape = samples.shape;
    let found = samples.run(device, 0..shape.n_rows).map_err(text)?;
    let wanted = samples
        .run(&On { device: &Reference, precision: device.precision }, 0..shape.n_rows)
        .map_err(text)?;
    for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        same_bits(&found[..1], &wanted[..1])
            .map_err(|difference| format!("token of row {row}: {difference}"))?;
        close(&found[1..], &wanted[1..], 1e-4)
            .map_err(|difference| format!("log-prob of row {row}: {difference}"))?;
    }
    Ok(())
}

/// Greedy sampling takes the lowest id among equals.
fn first_among_equals<D: Device>(device: &On<'_, D>) -> Result<(), String> {
    let text = |error: crate::DeviceError| error.to_string();
    let mut weights = vec![-1.0; 100];
    for id in [37, 38, 70] {
        weights[id] = 2.0;
    }
    let weight = upload_matrix(device, (100, 1), &weights).map_err(text)?;
    let x = upload_rows(device, &[1.0]).map_err(text)?;
    let spec = SampleSpec { temperature: 0.0, top_p: 1.0, uniform: 0.9 };
    let (tokens, logprobs) = device.head_sample(&x, &weight, &[spec]).map_err(text)?;
    let logprob = -(3.0 + 97.0 * (-3.0_f64).exp()).ln();
    if tokens != [37] {
        return Err(format!("token {tokens:?} instead of 37"));
    }
    close(&logprobs, &[logprob as f32], 1e-5)
}

pub(super) fn check<D: Device>(checks: &mut Checks<'_, D>) {
    let shapes = [(1, 3, 2), (5, 1, 7), (50, 9, 1), (333, 24, 40), (2100, 8, 19), (70, 5, 530)];
    for (vocab, width, n_rows) in shapes {
        let shape = Shape { vocab, width, n_rows };
        let on = format!("{n_rows} rows of {width}, {vocab} tokens");
        for temperature in [1.0, 0.6] {
            checks.agrees(
                format!("head_scores at {temperature}, {on}"),
                TOLERANCE,
                &Scores { shape, temperature },
            );
        }
        let losses = [
            (Ratio::Token, 0.0, None, 1.0),
            (Ratio::Token, 0.3, Some(2.0), 0.8),
            (Ratio::None, 0.1, None, 1.3),
        ];
        for (ratio, entropy_coef, dual_clip, temperature) in losses {
            let loss = LossSpec {
                ratio,
                clip_high: 0.3,
                dual_clip,
                entropy_coef,
                temperature,
                ..LossSpec::default()
            };
            checks.agrees(
                format!("head_loss, ratio {ratio:?}, entropy {entropy_coef}, {on}"),
                TOLERANCE,
                &Loss { shape, loss },
            );
        }
        let result = samples_agree(&checks.on, &Samples { shape, copy: None });
        checks.record(format!("head_sample, {on}"), result);
    }
    let shape = Shape { vocab: 333, width: 24, n_rows: 40 };
    checks.rows_agree("rows of head_scores".to_owned(), &Scores { shape, temperature: 0.9 });
    checks.rows_agree("rows of head_sample".to_owned(), &Samples { shape, copy: None });
    let result = first_among_equals(&checks.on);
    checks.record("greedy head_sample among equals".to_owned(), result);
}
