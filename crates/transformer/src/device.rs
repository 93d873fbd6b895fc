//! What the transformer asks of a device.
//!
//! Everything is float32 at this boundary. Activations are *rows*: a [`Device::Buffer`] holding a row-major
//! `[rows, width]` array; weights are [`Device::Matrix`] values of shape `[n_out, n_in]` in a layout of the
//! device's own, converted only by [`Device::matrix_write`] and [`Device::matrix_read`]. A device may keep rows in fewer
//! bits ([`Device::activations`]); parameters, their gradients and what is kept of each row (`inv_rms`, `lse`) are
//! float32 everywhere.
//!
//! Determinism contract, tested by [`crate::conformance`]: the same operation on the same values gives the same bits, on
//! any number of threads, and the result of an operation on a row depends on that row and on the order of the keys or
//! rows it reduces over, never on how many other rows there are. A device whose products come from a library that
//! chooses by the number of rows keeps the first half alone, and says so to its tests. Every gradient output
//! *accumulates* unless its documentation says otherwise.
//!
//! This file is longer than others: it is one trait, whose methods nobody could implement a part of, and its operands.

use azr_plugin::LossSpec;

use crate::packing::Rounding;

/// A failure of a device: almost always that memory ran out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// An allocation failed.
    #[error("out of memory: {requested_bytes} bytes for {purpose}")]
    OutOfMemory {
        /// Bytes that were asked for.
        requested_bytes: u64,
        /// What they were for.
        purpose: &'static str,
    },
    /// The device failed; the text says how.
    #[error("device failure: {0}")]
    Failed(String),
}

/// Result of a device call.
pub type DeviceResult<T> = Result<T, DeviceError>;

/// Head counts and width of an attention layer; `n_heads` is a multiple of `n_kv_heads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
}

/// A run of consecutive rows of the key and value buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeySpan {
    /// First row.
    pub start: usize,
    /// Number of rows; 0 for no span.
    pub len: usize,
}

/// The queries of one sequence and the keys they see: a shared prefix, wholly visible, then the sequence's own
/// keys, causally. Query `i` of `n_queries` sees `own.len - n_queries + i + 1` own keys. Prompt and samples, in
/// generation and in training, are this one shape; sequences of one call may share a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionSequence {
    /// First query row.
    pub query_start: usize,
    /// Number of query rows.
    pub n_queries: usize,
    /// Keys that every query sees; may be empty.
    pub prefix: KeySpan,
    /// Own keys, at least `n_queries` of them.
    pub own: KeySpan,
}

/// How to sample one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleSpec {
    /// Softmax temperature; 0 is greedy (lowest id among equals).
    pub temperature: f32,
    /// Nucleus mass in (0, 1].
    pub top_p: f32,
    /// Uniform number in [0, 1): inverse transform over ids in ascending order.
    pub uniform: f32,
}

/// Targets and loss terms of the rows handed to [`Device::head_loss`]; all of one length.
#[derive(Debug, Clone, Copy)]
pub struct TokenTargets<'a> {
    /// Token id that each row predicts.
    pub targets: &'a [u32],
    /// Log-prob of that token when it was sampled; not a number where nobody knows and no ratio is asked for.
    pub behaviour_logprobs: &'a [f32],
    /// Advantages.
    pub advantages: &'a [f32],
    /// Loss weights.
    pub weights: &'a [f32],
}

/// Per-token results of the head.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenScores {
    /// Log-prob of each target at the loss temperature, nats.
    pub logprobs: Vec<f32>,
    /// Entropy of each row's distribution at the loss temperature, nats.
    pub entropies: Vec<f32>,
}

/// In which precision the optimizer's running means are kept between steps. Steps are computed in float32 whatever it
/// is; see [`crate::packing`] for what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatePrecision {
    /// Four bytes a value.
    #[default]
    F32,
    /// bfloat16, two bytes a value.
    Bf16,
    /// One byte a value and four for each block of [`crate::packing::BLOCK`].
    Int8,
}

/// How the weights of a copy that generation multiplies with are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// bfloat16, rounded to nearest, ties to even: two bytes a weight. Activations and sums are float32.
    Bf16,
    /// Int8 codes and a float32 scale for each output, by the rule of [`crate::quantise`]: one byte a weight.
    /// Activations are int16 codes, sums are integers. An output with a weight that is not finite has the scale NaN.
    Int8,
}

impl CopyFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Bf16, Self::Int8];
}

/// Which of the optimizer's two running means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Of the gradient, `m`.
    First,
    /// Of its square, `v`, which is never negative.
    Second,
}

impl Moment {
    /// Both, in the order in which they are saved.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// What is appended to a parameter's name: `.m` or `.v`.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::First => ".m",
            Self::Second => ".v",
        }
    }
}

/// In how many bits a device keeps activations. Sums over them are float32 at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ActivationPrecision {
    /// Float32.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
}

impl ActivationPrecision {
    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// The storage of one parameter, or of its gradient.
#[expect(missing_debug_implementations, reason = "a device's storage need not be printable")]
pub enum Tensor<'a, D: Device + ?Sized> {
    /// A gain or a bias.
    Vector(&'a D::Buffer),
    /// The weights of a linear map.
    Matrix(&'a D::Matrix),
}

/// The storage of one parameter, or of its gradient, to be changed.
#[expect(missing_debug_implementations, reason = "a device's storage need not be printable")]
pub enum TensorMut<'a, D: Device + ?Sized> {
    /// A gain or a bias.
    Vector(&'a mut D::Buffer),
    /// The weights of a linear map.
    Matrix(&'a mut D::Matrix),
}

/// The weights of a linear map: a matrix, or the copy of one that generation multiplies with.
#[expect(missing_debug_implementations, reason = "a device's storage need not be printable")]
pub enum Weights<'a, D: Device + ?Sized> {
    /// The matrix.
    Matrix(&'a D::Matrix),
    /// Its copy.
    Copy(&'a D::WeightCopy),
}

/// How attention's queries, keys and values come from rows.
#[expect(missing_debug_implementations, reason = "a device's storage need not be printable")]
pub struct QkvSpec<'a, D: Device + ?Sized> {
    /// Weights and biases for queries, keys and values.
    pub linear: [(Weights<'a, D>, Option<&'a D::Buffer>); 3],
    /// Heads.
    pub shape: AttentionShape,
    /// Position of each row, for the rotary embedding.
    pub positions: &'a [u32],
    /// Rotary base.
    pub theta: f64,
    /// Leading rows that have queries; all rows have keys and values.
    pub n_queries: usize,
}

/// Where keys and values go.
#[expect(missing_debug_implementations, reason = "a device's storage need not be printable")]
pub struct CacheRows<'a, D: Device + ?Sized> {
    /// Keys, `[cache rows, n_kv_heads * head_dim]`.
    pub k: &'a mut D::Buffer,
    /// Values.
    pub v: &'a mut D::Buffer,
    /// The cache row of each row; distinct.
    pub rows: &'a [u32],
}

/// What one step of AdamW does to one parameter.
#[expect(missing_debug_implementations, reason = "a device's storage need not be printable")]
pub struct AdamTensor<'a, D: Device + ?Sized> {
    /// The parameter.
    pub p: TensorMut<'a, D>,
    /// Its gradient, of the same shape.
    pub g: Tensor<'a, D>,
    /// Running mean of the gradient.
    pub m: &'a mut D::State,
    /// Running mean of its square, in the precision of the other.
    pub v: &'a mut D::State,
    /// Decoupled weight decay; 0 for gains and biases.
    pub weight_decay: f32,
    /// Key of the rounding of packed state: a function of the step and the parameter.
    pub rounding_key: u32,
}

/// Hyper-parameters of one AdamW step, with what the caller worked out about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub learning_rate: f32,
    /// First-moment decay.
    pub beta1: f32,
    /// Second-moment decay.
    pub beta2: f32,
    /// Added to the root of the corrected second moment.
    pub epsilon: f32,
    /// Gradients are multiplied by this first (clipping).
    pub grad_scale: f32,
    /// 1-based number of this step, for bias correction.
    pub t: u64,
}

/// A device that can run and train the transformer.
pub trait Device: Send + Sync + 'static {
    /// One-dimensional storage: float32 values, or activations.
    type Buffer: Send + Sync;
    /// A `[n_out, n_in]` weight or gradient matrix.
    type Matrix: Send + Sync;
    /// A copy of a `[n_out, n_in]` weight matrix in a [`CopyFormat`].
    type WeightCopy: Send + Sync;
    /// One running mean of the optimizer for the values of a buffer or a matrix, in their layout.
    type State: Send + Sync;

    /// The device in words, for example `cpu (avx2, 2 threads)`.
    fn describe(&self) -> String;

    /// In how many bits [`Device::activations`] are.
    fn activation_precision(&self) -> ActivationPrecision {
        ActivationPrecision::F32
    }

    /// Whether its memory is another one than the host's.
    fn has_own_memory(&self) -> bool {
        false
    }

    /// Runs `work`, a series of operations that is likely to come again with the same buffers and numbers of rows: a step
    /// of decoding. A device may put off what it launches until a result is read, and then launch all at once.
    fn repeatedly<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }

    // ---- storage -------------------------------------------------------------------------------------------

    /// A zeroed buffer of `len` float32 values.
    fn zeros(&self, len: usize) -> DeviceResult<Self::Buffer>;
    /// A zeroed buffer of `len` values of rows, in the device's precision for those.
    fn activations(&self, len: usize) -> DeviceResult<Self::Buffer> {
        self.zeros(len)
    }
    /// Number of values in `buffer`.
    fn len(&self, buffer: &Self::Buffer) -> usize;
    /// Copies `values` to `buffer[offset..]`; activations are rounded to nearest, ties to even.
    fn write(&self, buffer: &mut Self::Buffer, offset: usize, values: &[f32]) -> DeviceResult<()>;
    /// Copies `buffer[offset..]` to `out`.
    fn read(&self, buffer: &Self::Buffer, offset: usize, out: &mut [f32]) -> DeviceResult<()>;
    /// Copies `buffer[from..from + len]` to `buffer[to..to + len]`, which may overlap.
    fn copy_within(
        &self,
        buffer: &mut Self::Buffer,
        from: usize,
        to: usize,
        len: usize,
    ) -> DeviceResult<()>;
    /// Sets every value to 0.
    fn clear(&self, buffer: &mut Self::Buffer) -> DeviceResult<()>;
    /// A zeroed matrix of weights. Any `n_out`, `n_in` of at least 1.
    fn matrix_zeros(&self, n_out: usize, n_in: usize) -> DeviceResult<Self::Matrix>;
    /// A zeroed matrix to sum gradients in.
    fn gradient_zeros(&self, n_out: usize, n_in: usize) -> DeviceResult<Self::Matrix> {
        self.matrix_zeros(n_out, n_in)
    }
    /// `(n_out, n_in)` of `matrix`.
    fn matrix_shape(&self, matrix: &Self::Matrix) -> (usize, usize);
    /// Fills `matrix` from row-major `values`.
    fn matrix_write(&self, matrix: &mut Self::Matrix, values: &[f32]) -> DeviceResult<()>;
    /// Copies `matrix` to row-major `out`.
    fn matrix_read(&self, matrix: &Self::Matrix, out: &mut [f32]) -> DeviceResult<()>;
    /// Sets every value to 0.
    fn matrix_clear(&self, matrix: &mut Self::Matrix) -> DeviceResult<()>;

    // ---- copies of weights ---------------------------------------------------------------------------------
    // The weights that a copy stands for are the same on every device to the bit.

    /// A copy of zeros. Any `n_out`, `n_in` of at least 1.
    fn copy_zeros(
        &self,
        n_out: usize,
        n_in: usize,
        format: CopyFormat,
    ) -> DeviceResult<Self::WeightCopy>;
    /// Makes `copy`, which is of the same shape, that of `matrix`.
    fn copy_write(&self, copy: &mut Self::WeightCopy, matrix: &Self::Matrix) -> DeviceResult<()>;
    /// Copies the float32 weights that `copy` stands for to row-major `out`, `[n_out, n_in]`. For tests and inspection.
    fn copy_read(&self, copy: &Self::WeightCopy, out: &mut [f32]) -> DeviceResult<()>;
    /// As [`Device::linear`] with the weights that the copy stands for, for the first `rows` rows of `x`, `[rows, n_in]`
    /// (overwrites those of `y`, `[rows, n_out]`).
    ///
    /// * bfloat16: the bits of [`Device::linear`] with a matrix of these weights.
    /// * Int8: `y[r, n] = x_scale[r] * scale[n] * sum_k x_code[r, k] * code[n, k] + bias[n]`, with activations that are
    ///   quantised row by row to codes in ±4095. Sums are exact integers over at least 4096 inputs at a time, so that
    ///   devices differ by the rounding of a few float32 operations only. A row of `x` with a number that is not finite
    ///   makes a row of NaN.
    fn copy_linear(
        &self,
        x: &Self::Buffer,
        rows: usize,
        weight: &Self::WeightCopy,
        bias: Option<&Self::Buffer>,
        y: &mut Self::Buffer,
    ) -> DeviceResult<()>;

    // ---- rows ----------------------------------------------------------------------------------------------

    /// `out[i] = src[rows[i]]`, rows of `width`.
    fn gather_rows(
        &self,
        src: &Self::Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// `out[rows[i]] = src[i]` (overwrites; `rows` distinct).
    fn scatter_rows(
        &self,
        src: &Self::Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// `y[..len] += x[..len]`.
    fn add(&self, x: &Self::Buffer, y: &mut Self::Buffer, len: usize) -> DeviceResult<()>;

    // ---- layers --------------------------------------------------------------------------------------------

    /// `out[i] = table[tokens[i]]`, `table` is `[vocab, width]`.
    fn embed(
        &self,
        table: &Self::Matrix,
        tokens: &[u32],
        out: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// `d_table[tokens[i]] += d_out[i]`, in order of `i`.
    fn embed_backward(
        &self,
        d_out: &Self::Buffer,
        tokens: &[u32],
        d_table: &mut Self::Matrix,
    ) -> DeviceResult<()>;

    /// `y = x Wᵀ + bias` for the first `rows` rows (overwrites `y`).
    fn linear(
        &self,
        x: &Self::Buffer,
        rows: usize,
        weight: &Self::Matrix,
        bias: Option<&Self::Buffer>,
        y: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// `dx += dy W` (or `dx = dy W` when not `accumulate`).
    fn linear_backward_input(
        &self,
        dy: &Self::Buffer,
        rows: usize,
        weight: &Self::Matrix,
        dx: &mut Self::Buffer,
        accumulate: bool,
    ) -> DeviceResult<()>;
    /// `dW += dyᵀ x`.
    fn linear_backward_weight(
        &self,
        dy: &Self::Buffer,
        x: &Self::Buffer,
        rows: usize,
        d_weight: &mut Self::Matrix,
    ) -> DeviceResult<()>;
    /// `db += column sums of dy`, width = length of `db`.
    fn bias_backward(
        &self,
        dy: &Self::Buffer,
        rows: usize,
        d_bias: &mut Self::Buffer,
    ) -> DeviceResult<()>;

    /// RMSNorm (arXiv 1910.07467): `y = x * inv_rms * gain`, `inv_rms = 1 / sqrt(mean(x²) + epsilon)` kept per row.
    fn rms_norm(
        &self,
        x: &Self::Buffer,
        rows: usize,
        gain: &Self::Buffer,
        epsilon: f32,
        y: &mut Self::Buffer,
        inv_rms: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// Gradients of [`Device::rms_norm`]; both outputs accumulate.
    #[expect(
        clippy::too_many_arguments,
        reason = "a backward pass takes what its forward pass took and kept"
    )]
    fn rms_norm_backward(
        &self,
        x: &Self::Buffer,
        rows: usize,
        gain: &Self::Buffer,
        inv_rms: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
        d_gain: &mut Self::Buffer,
    ) -> DeviceResult<()>;

    /// The end of a residual branch and the norm that follows: `sum += x`, which is the branch before and the residual
    /// stream after, and then [`Device::rms_norm`] of it.
    #[expect(clippy::too_many_arguments, reason = "a sum and a norm have these operands")]
    fn add_rms_norm(
        &self,
        x: &Self::Buffer,
        sum: &mut Self::Buffer,
        rows: usize,
        gain: &Self::Buffer,
        epsilon: f32,
        y: &mut Self::Buffer,
        inv_rms: &mut Self::Buffer,
    ) -> DeviceResult<()> {
        self.add(x, sum, rows * self.len(gain))?;
        self.rms_norm(sum, rows, gain, epsilon, y, inv_rms)
    }

    /// As [`Device::linear`] or [`Device::copy_linear`].
    fn weights_linear(
        &self,
        x: &Self::Buffer,
        rows: usize,
        weights: &Weights<'_, Self>,
        bias: Option<&Self::Buffer>,
        y: &mut Self::Buffer,
    ) -> DeviceResult<()> {
        match weights {
            Weights::Matrix(matrix) => self.linear(x, rows, matrix, bias, y),
            Weights::Copy(copy) => self.copy_linear(x, rows, copy, bias, y),
        }
    }

    /// What attention works on: three linear maps, of which queries and keys are rotated. Keys and values go to the cache
    /// if there is one, and then `k` and `v` are left with anything in them.
    fn qkv(
        &self,
        x: &Self::Buffer,
        spec: &QkvSpec<'_, Self>,
        [q, k, v]: [&mut Self::Buffer; 3],
        cache: Option<CacheRows<'_, Self>>,
    ) -> DeviceResult<()> {
        let [(q_weights, q_bias), (k_weights, k_bias), (v_weights, v_bias)] = &spec.linear;
        let AttentionShape { n_heads, n_kv_heads, head_dim } = spec.shape;
        let (positions, theta, n_rows) = (spec.positions, spec.theta, spec.positions.len());
        self.weights_linear(x, spec.n_queries, q_weights, *q_bias, q)?;
        self.weights_linear(x, n_rows, k_weights, *k_bias, k)?;
        self.weights_linear(x, n_rows, v_weights, *v_bias, v)?;
        self.rope(q, n_heads, head_dim, &positions[..spec.n_queries], theta, false)?;
        self.rope(k, n_kv_heads, head_dim, positions, theta, false)?;
        if let Some(cache) = cache {
            let width = n_kv_heads * head_dim;
            self.scatter_rows(k, cache.rows, width, cache.k)?;
            self.scatter_rows(v, cache.rows, width, cache.v)?;
        }
        Ok(())
    }

    /// Rotary embedding (arXiv 2104.09864) in place over pairs `(i, i + head_dim / 2)`, the Hugging Face layout:
    /// row `r` is rotated by `positions[r] * theta^(-2i / head_dim)`; backwards when `inverse` (its gradient).
    /// Angles are computed in float64.
    fn rope(
        &self,
        x: &mut Self::Buffer,
        n_heads: usize,
        head_dim: usize,
        positions: &[u32],
        theta: f64,
        inverse: bool,
    ) -> DeviceResult<()>;

    /// Causal softmax attention with grouped queries, scaled by `1 / sqrt(head_dim)`.
    /// `q` and `out` are `[rows, n_heads * head_dim]`, `k` and `v` `[rows, n_kv_heads * head_dim]`;
    /// `lse[row * n_heads + head]` receives the log-sum-exp of the scaled scores.
    #[expect(clippy::too_many_arguments, reason = "these are attention's operands")]
    fn attention(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        out: &mut Self::Buffer,
        lse: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// Gradients of [`Device::attention`]: overwrites the rows of `dq`, accumulates into `dk` and `dv`
    /// in the order of `sequences` (a shared prefix receives the sum over its sequences).
    #[expect(
        clippy::too_many_arguments,
        reason = "a backward pass takes what its forward pass took and kept"
    )]
    fn attention_backward(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        out: &Self::Buffer,
        lse: &Self::Buffer,
        d_out: &Self::Buffer,
        dq: &mut Self::Buffer,
        dk: &mut Self::Buffer,
        dv: &mut Self::Buffer,
    ) -> DeviceResult<()>;

    /// SwiGLU (arXiv 2002.05202): `out = silu(gate) * up` over the first `len` values.
    fn swiglu(
        &self,
        gate: &Self::Buffer,
        up: &Self::Buffer,
        len: usize,
        out: &mut Self::Buffer,
    ) -> DeviceResult<()>;
    /// Gradients of [`Device::swiglu`]; overwrites `d_gate` and `d_up`.
    fn swiglu_backward(
        &self,
        gate: &Self::Buffer,
        up: &Self::Buffer,
        d_out: &Self::Buffer,
        len: usize,
        d_gate: &mut Self::Buffer,
        d_up: &mut Self::Buffer,
    ) -> DeviceResult<()>;

    // ---- head ----------------------------------------------------------------------------------------------
    // Logits never exist for more rows than a chunk of the device's choosing.

    /// Logits of the first `rows` rows, row-major `[rows, vocab]`. For tests and inspection.
    fn head_logits(
        &self,
        x: &Self::Buffer,
        rows: usize,
        weight: &Self::Matrix,
        out: &mut [f32],
    ) -> DeviceResult<()>;
    /// Samples a token for each of `specs.len()` rows; returns ids and their log-probs (see `Completion::logprobs`).
    fn head_sample(
        &self,
        x: &Self::Buffer,
        weight: &Self::Matrix,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)>;
    /// As [`Device::head_sample`], from the logits of [`Device::copy_linear`].
    fn copy_head_sample(
        &self,
        x: &Self::Buffer,
        weight: &Self::WeightCopy,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)>;
    /// Log-prob of each row's target and the row's entropy, at `temperature`.
    fn head_scores(
        &self,
        x: &Self::Buffer,
        weight: &Self::Matrix,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<TokenScores>;
    /// The policy loss of each row and its gradients: overwrites the first rows of `dx`, accumulates into
    /// `d_weight` if it is wanted. `loss.ratio` is `Token` or `None`; a device need not know of sequences.
    fn head_loss(
        &self,
        x: &Self::Buffer,
        weight: &Self::Matrix,
        tokens: TokenTargets<'_>,
        loss: &LossSpec,
        dx: &mut Self::Buffer,
        d_weight: Option<&mut Self::Matrix>,
    ) -> DeviceResult<TokenScores>;

    // ---- optimizer -----------------------------------------------------------------------------------------

    /// Sum of the squares of gradients in float64, in an order that does not depend on the number of threads.
    fn sum_squares(&self, tensors: &[Tensor<'_, Self>]) -> DeviceResult<f64>;
    /// State of zeros for the values of `like`.
    fn state(
        &self,
        like: &Self::Buffer,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<Self::State>;
    /// State of zeros for the values of the matrix `like`.
    fn matrix_state(
        &self,
        like: &Self::Matrix,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<Self::State>;
    /// Packs `values` into `state`, to nearest; what [`Device::state_read`] gave comes back to the bit.
    fn state_write(&self, state: &mut Self::State, values: &Self::Buffer) -> DeviceResult<()>;
    /// Packs the matrix `values` into `state`.
    fn matrix_state_write(
        &self,
        state: &mut Self::State,
        values: &Self::Matrix,
        rounding: Rounding,
    ) -> DeviceResult<()>;
    /// Unpacks `state` into `out`.
    fn state_read(&self, state: &Self::State, out: &mut Self::Buffer) -> DeviceResult<()>;
    /// Unpacks `state` into the matrix `out`.
    fn matrix_state_read(&self, state: &Self::State, out: &mut Self::Matrix) -> DeviceResult<()>;

    /// One AdamW step on parameters.
    fn adamw(&self, tensors: Vec<AdamTensor<'_, Self>>, step: AdamStep) -> DeviceResult<()>;
}
