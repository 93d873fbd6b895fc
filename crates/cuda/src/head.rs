//! The head: logits a chunk of rows at a time, and what is made of them before the next chunk takes their place.
//!
//! The loss of a token is worked out on the host, from the log-probs of a chunk, by the code that every device shares; its
//! derivatives go back to the GPU, which makes gradients of the logits.

use azr_plugin::LossSpec;
use azr_rl::token_loss;
use azr_transformer::checks::{ensure, equal, indices};
use azr_transformer::{DeviceResult, SampleSpec, TokenScores, TokenTargets};

use crate::arguments::Arguments;
use crate::blas::{Numbers, Operand, Product};
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::linear::rows_of;
use crate::storage::{Buffer, Matrix, WeightCopy, common_numbers};
use crate::transfer::BLOCK;

/// Logits that exist at a time: 512 rows of 152 k tokens, 300 MB as float32. Products are as fast as they get with that
/// many rows, and the chunk before is still in the second cache where vocabularies are small.
const CHUNK_VALUES: usize = 512 * 152_064;
/// Most tokens of a vocabulary that the sampling kernel looks through: `PART * MAX_PARTS` in `kernels/sample.cu`.
const MAX_VOCAB: usize = 1024 * 256;

/// Weights that make logits of rows.
#[derive(Clone, Copy)]
pub(crate) enum HeadWeights<'a> {
    Matrix(&'a Matrix),
    Copy(&'a WeightCopy),
}

/// Operands of the policy loss.
pub(crate) struct LossOperands<'a> {
    pub(crate) x: &'a Buffer,
    pub(crate) weight: &'a Matrix,
    pub(crate) tokens: TokenTargets<'a>,
    pub(crate) loss: &'a LossSpec,
}

/// A chunk of rows and their logits, float32.
#[derive(Clone, Copy)]
struct Chunk {
    first: usize,
    n_rows: usize,
    logits: u64,
}

/// What the log-prob kernel finds of each row of a chunk, on the GPU.
#[derive(Clone, Copy)]
struct RowScores {
    targets: u64,
    log_probs: u64,
    entropies: u64,
    lse: u64,
}

impl HeadWeights<'_> {
    const fn shape(self) -> (usize, usize) {
        match self {
            Self::Matrix(matrix) => (matrix.n_out, matrix.n_in),
            Self::Copy(copy) => (copy.n_out, copy.n_in),
        }
    }
}

/// Rows of a chunk of logits.
pub(crate) const fn chunk_rows(n_rows: usize, n_vocab: usize) -> usize {
    let most = CHUNK_VALUES / n_vocab;
    let most = if most == 0 { 1 } else { most };
    if n_rows < most { n_rows } else { most }
}

impl Engine {
    /// The logits of chunk after chunk of the first `n_rows` rows of `x`.
    fn for_chunks(
        &mut self,
        x: &Buffer,
        n_rows: usize,
        weights: HeadWeights<'_>,
        mut work: impl FnMut(&mut Self, Chunk) -> DeviceResult<()>,
    ) -> DeviceResult<()> {
        let (n_vocab, n_in) = weights.shape();
        x.rows("x", n_rows, n_in)?;
        let most = chunk_rows(n_rows, n_vocab).max(1);
        let logits = self.scratch("logits", 4 * most * n_vocab)?;
        for first in (0..n_rows).step_by(most) {
            let chunk = Chunk { first, n_rows: most.min(n_rows - first), logits };
            self.make_logits(x, chunk, weights)?;
            work(self, chunk)?;
        }
        Ok(())
    }

    fn make_logits(
        &mut self,
        x: &Buffer,
        chunk: Chunk,
        weights: HeadWeights<'_>,
    ) -> DeviceResult<()> {
        let (n_vocab, n_in) = weights.shape();
        let rows = rows_of(x.at(chunk.first * n_in), x.numbers);
        let logits = rows_of(chunk.logits, Numbers::F32);
        match weights {
            HeadWeights::Matrix(matrix) => {
                let weights = self.operand(matrix, x.numbers)?;
                self.product(Product {
                    rows: chunk.n_rows,
                    columns: n_vocab,
                    depth: n_in,
                    a: rows,
                    b: weights.transposed(),
                    c: logits,
                    accumulate: false,
                })
            }
            HeadWeights::Copy(copy) => self.copy_product(rows, chunk.n_rows, copy, logits),
        }
    }

    pub(crate) fn head_logits(
        &mut self,
        x: &Buffer,
        rows: usize,
        weight: &Matrix,
        out: &mut [f32],
    ) -> DeviceResult<()> {
        equal("number of logits", out.len(), rows * weight.n_out)?;
        self.for_chunks(x, rows, HeadWeights::Matrix(weight), |engine, chunk| {
            let out = &mut out[chunk.first * weight.n_out..][..chunk.n_rows * weight.n_out];
            engine.download(chunk.logits, bytemuck::cast_slice_mut(out))
        })
    }

    pub(crate) fn head_sample(
        &mut self,
        x: &Buffer,
        weights: HeadWeights<'_>,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        let (n_vocab, _) = weights.shape();
        ensure(n_vocab <= MAX_VOCAB, || {
            format!("sampling from {n_vocab} tokens; at most {MAX_VOCAB} are possible")
        })?;
        let (mut tokens, mut logprobs) = (vec![0; specs.len()], vec![0.0; specs.len()]);
        self.for_chunks(x, specs.len(), weights, |engine, chunk| {
            let Chunk { first, n_rows, logits } = chunk;
            let specs = &specs[first..first + n_rows];
            let mut numbers = Vec::with_capacity(3 * n_rows);
            numbers.extend(specs.iter().map(|spec| spec.temperature));
            numbers.extend(specs.iter().map(|spec| spec.top_p));
            numbers.extend(specs.iter().map(|spec| spec.uniform));
            let numbers = engine.stage(&numbers)?;
            let part = |index: usize| (4 * index * n_rows) as u64;
            // Tokens and log-probs side by side, so that one copy brings both.
            let sampled = engine.scratch("samples", 8 * n_rows)?;
            let arguments = Arguments::new()
                .pointers([logits, numbers, numbers + part(1), numbers + part(2)])
                .pointers([sampled, sampled + part(1)])
                .int(n_vocab);
            let name = Name { file: "sample", kernel: "sample" };
            engine.launch(name, Grid::blocks(n_rows, BLOCK), arguments)?;
            let mut found = vec![0_u32; 2 * n_rows];
            engine.download(sampled, bytemuck::cast_slice_mut(&mut found))?;
            let (ids, bits) = found.split_at(n_rows);
            tokens[first..first + n_rows].copy_from_slice(ids);
            for (logprob, &bits) in logprobs[first..].iter_mut().zip(bits) {
                *logprob = f32::from_bits(bits);
            }
            Ok(())
        })?;
        Ok((tokens, logprobs))
    }

    pub(crate) fn head_scores(
        &mut self,
        x: &Buffer,
        weight: &Matrix,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<TokenScores> {
        indices("targets", targets, weight.n_out)?;
        let mut scores = TokenScores::default();
        self.for_chunks(x, targets.len(), HeadWeights::Matrix(weight), |engine, chunk| {
            let rows = engine.score(chunk, weight.n_out, targets, temperature)?;
            engine.read_scores(rows, chunk.n_rows, &mut scores)
        })?;
        Ok(scores)
    }

    /// Log-probs and entropies of a chunk.
    fn score(
        &mut self,
        chunk: Chunk,
        n_vocab: usize,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<RowScores> {
        let Chunk { first, n_rows, logits } = chunk;
        let targets = self.stage(&targets[first..first + n_rows])?;
        let found = self.scratch("scores of rows", 12 * n_rows)?;
        let part = |index: usize| found + (4 * index * n_rows) as u64;
        let rows = RowScores { targets, log_probs: part(0), entropies: part(1), lse: part(2) };
        let arguments = Arguments::new()
            .pointers([logits, targets, rows.log_probs, rows.entropies, rows.lse])
            .int(n_vocab)
            .float(1.0 / temperature);
        let name = Name { file: "log_prob", kernel: "log_prob" };
        self.launch(name, Grid::blocks(n_rows, BLOCK), arguments)?;
        Ok(rows)
    }

    /// Appends what [`Self::score`] found.
    fn read_scores(
        &mut self,
        rows: RowScores,
        n_rows: usize,
        scores: &mut TokenScores,
    ) -> DeviceResult<()> {
        let mut found = vec![0.0_f32; 2 * n_rows];
        self.download(rows.log_probs, bytemuck::cast_slice_mut(&mut found))?;
        let (logprobs, entropies) = found.split_at(n_rows);
        scores.logprobs.extend_from_slice(logprobs);
        scores.entropies.extend_from_slice(entropies);
        Ok(())
    }

    pub(crate) fn head_loss(
        &mut self,
        operands: LossOperands<'_>,
        dx: &mut Buffer,
        mut d_weight: Option<&mut Matrix>,
    ) -> DeviceResult<TokenScores> {
        let LossOperands { x, weight, tokens, loss } = operands;
        let numbers = common_numbers(&[x, dx])?;
        let (n_vocab, n_in) = weight.shape();
        let n_rows = tokens.targets.len();
        indices("targets", tokens.targets, n_vocab)?;
        let lengths = [tokens.behaviour_logprobs, tokens.advantages, tokens.weights];
        equal("lengths of the loss terms", lengths.map(<[f32]>::len), [n_rows; 3])?;
        dx.rows("dx", n_rows, n_in)?;
        if let Some(d_weight) = &d_weight {
            equal("shape of the gradient", d_weight.shape(), weight.shape())?;
        }
        let mut scores = TokenScores::default();
        self.for_chunks(x, n_rows, HeadWeights::Matrix(weight), |engine, chunk| {
            let rows = engine.score(chunk, n_vocab, tokens.targets, loss.temperature)?;
            engine.read_scores(rows, chunk.n_rows, &mut scores)?;
            let derivatives = derivatives(&scores, tokens, loss, chunk);
            let d_logits =
                engine.logit_gradients(chunk, rows, n_vocab, &derivatives, loss, numbers)?;
            let d_logits = rows_of(d_logits, numbers);
            let weights = engine.operand(weight, numbers)?;
            engine.product(Product {
                rows: chunk.n_rows,
                columns: n_in,
                depth: n_vocab,
                a: d_logits,
                b: weights,
                c: rows_of(dx.at(chunk.first * n_in), numbers),
                accumulate: false,
            })?;
            match &mut d_weight {
                Some(gradient) => {
                    let states: Operand = rows_of(x.at(chunk.first * n_in), numbers);
                    engine.add_outer(d_logits, states, chunk.n_rows, gradient)
                }
                None => Ok(()),
            }
        })?;
        Ok(scores)
    }

    /// Gradients of the logits of a chunk, in the type of the rows: in place of the logits, or beside them.
    fn logit_gradients(
        &mut self,
        chunk: Chunk,
        rows: RowScores,
        n_vocab: usize,
        derivatives: &[f32],
        loss: &LossSpec,
        numbers: Numbers,
    ) -> DeviceResult<u64> {
        let Chunk { n_rows, logits, .. } = chunk;
        let (kernel, gradients) = match numbers {
            Numbers::F32 => ("log_prob_backward_f32", logits),
            Numbers::Bf16 => {
                let gradients = self.scratch("gradients of logits", 2 * n_rows * n_vocab)?;
                ("log_prob_backward_bf16", gradients)
            }
        };
        let derivatives = self.stage(derivatives)?;
        let arguments = Arguments::new()
            .pointers([logits, rows.targets, rows.entropies, rows.lse])
            .pointers([derivatives, derivatives + (4 * n_rows) as u64, gradients])
            .int(n_vocab)
            .float(1.0 / loss.temperature);
        self.launch(Name { file: "log_prob", kernel }, Grid::blocks(n_rows, BLOCK), arguments)?;
        Ok(gradients)
    }
}

/// Derivatives of the loss by the log-probs of a chunk, and then by its entropies.
fn derivatives(
    scores: &TokenScores,
    tokens: TokenTargets<'_>,
    loss: &LossSpec,
    chunk: Chunk,
) -> Vec<f32> {
    let rows = chunk.first..chunk.first + chunk.n_rows;
    let by_logprob = rows.clone().map(|row| {
        // A token without weight has no gradient, even where its loss is not finite.
        if tokens.weights[row] == 0.0 {
            return 0.0;
        }
        let (logprob, behaviour) = (scores.logprobs[row], tokens.behaviour_logprobs[row]);
        let loss = token_loss(logprob, behaviour, tokens.advantages[row], loss);
        tokens.weights[row] * loss.d_logprob as f32
    });
    let by_entropy = rows.map(|row| -tokens.weights[row] * loss.entropy_coef);
    by_logprob.chain(by_entropy).collect()
}
