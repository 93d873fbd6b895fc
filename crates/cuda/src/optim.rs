//! The optimizer: one launch over all tensors.

use azr_transformer::checks::{ensure, equal};
use azr_transformer::packing::Rounding;
use azr_transformer::{
    AdamStep, AdamTensor, DeviceError, DeviceResult, StatePrecision, Tensor, TensorMut,
};
use bytemuck::NoUninit;

use crate::Cuda;
use crate::arguments::Arguments;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::storage::{Matrix, State, Values};
use crate::transfer::{BLOCK, LANE_VALUES};

/// Values of a block; `CHUNK` in `kernels/optimizer.cu`.
const CHUNK: usize = 8192;
const FILE: &str = "optimizer";

/// `AdamStep` of `kernels/optimizer.cu`.
#[derive(Debug, Clone, Copy, NoUninit)]
#[repr(C)]
struct Step {
    learning_rate: f32,
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    inv_correction1: f32,
    inv_correction2: f32,
    epsilon: f32,
    grad_scale: f32,
}

/// `TensorEntry` of `kernels/optimizer.cu`.
#[derive(Debug, Clone, Copy, Default, NoUninit)]
#[repr(C)]
struct Entry {
    weights: u64,
    low: u64,
    gradients: u64,
    m: u64,
    v: u64,
    m_scales: u64,
    v_scales: u64,
    n: u64,
    weight_decay: f32,
    rounding_key: u32,
}

/// `Chunk` of `kernels/optimizer.cu`.
#[derive(Debug, Clone, Copy, NoUninit)]
#[repr(C)]
struct Chunk {
    tensor: u32,
    index: u32,
}

/// Which instance of the kernel steps a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    is_split: bool,
    precision: StatePrecision,
}

impl Kind {
    const ALL: [Self; 6] = {
        const fn kind(is_split: bool, precision: StatePrecision) -> Kind {
            Kind { is_split, precision }
        }
        [
            kind(false, StatePrecision::F32),
            kind(false, StatePrecision::Bf16),
            kind(false, StatePrecision::Int8),
            kind(true, StatePrecision::F32),
            kind(true, StatePrecision::Bf16),
            kind(true, StatePrecision::Int8),
        ]
    };

    const fn kernel(self) -> &'static str {
        match (self.is_split, self.precision) {
            (false, StatePrecision::F32) => "adamw_f32_f32",
            (false, StatePrecision::Bf16) => "adamw_f32_bf16",
            (false, StatePrecision::Int8) => "adamw_f32_int8",
            (true, StatePrecision::F32) => "adamw_split_f32",
            (true, StatePrecision::Bf16) => "adamw_split_bf16",
            (true, StatePrecision::Int8) => "adamw_split_int8",
        }
    }
}

impl Step {
    fn new(step: AdamStep) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(step.t as f64);
        Self {
            learning_rate: step.learning_rate,
            beta1: step.beta1,
            beta2: step.beta2,
            one_minus_beta1: (1.0 - f64::from(step.beta1)) as f32,
            one_minus_beta2: (1.0 - f64::from(step.beta2)) as f32,
            inv_correction1: (1.0 / correction(step.beta1)) as f32,
            inv_correction2: (1.0 / correction(step.beta2)) as f32,
            epsilon: step.epsilon,
            grad_scale: step.grad_scale,
        }
    }
}

/// A gradient's pointer and length.
fn gradient(tensor: &Tensor<'_, Cuda>) -> DeviceResult<(u64, usize)> {
    match tensor {
        Tensor::Vector(vector) => Ok((vector.values("gradient", vector.len, 1)?, vector.len)),
        Tensor::Matrix(Matrix { values: Values::F32(memory), .. }) => {
            Ok((memory.pointer(), memory.bytes() / 4))
        }
        Tensor::Matrix(_) => Err(DeviceError::Failed("weights are no gradients".to_owned())),
    }
}

/// The parts of tensors that blocks work on.
fn chunks(entries: &[Entry]) -> Vec<Chunk> {
    let of = |(tensor, entry): (usize, &Entry)| {
        let n_chunks = (entry.n as usize).div_ceil(CHUNK);
        (0..n_chunks).map(move |index| Chunk { tensor: tensor as u32, index: index as u32 })
    };
    entries.iter().enumerate().flat_map(of).collect()
}

impl Engine {
    pub(crate) fn sum_squares(&mut self, tensors: &[Tensor<'_, Cuda>]) -> DeviceResult<f64> {
        let entry = |tensor| {
            let (gradients, n) = gradient(tensor)?;
            Ok(Entry { gradients, n: n as u64, ..Entry::default() })
        };
        let entries: Vec<Entry> = tensors.iter().map(entry).collect::<DeviceResult<_>>()?;
        let chunks = chunks(&entries);
        if chunks.is_empty() {
            return Ok(0.0);
        }
        let (tensors, staged) = (
            self.stage_table("tensors", &entries)?,
            self.stage_table("chunks of tensors", &chunks)?,
        );
        let partials = self.scratch("sums of squares", 8 * (chunks.len() + 2))?;
        let sum = partials + 8 * chunks.len() as u64;
        let arguments = Arguments::new().pointers([tensors, staged, partials]);
        let name = Name { file: FILE, kernel: "sum_squares" };
        self.launch(name, Grid::blocks(chunks.len(), BLOCK), arguments)?;
        // The norm is not limited here: whether the step is taken at all is for the caller to say, who needs to know it.
        let arguments = Arguments::new().pointer(partials).int(chunks.len()).value(0.0_f64);
        let arguments = arguments.pointers([sum, sum + 8]);
        let name = Name { file: FILE, kernel: "clip_scale" };
        self.launch(name, Grid::blocks(1, BLOCK), arguments)?;
        let mut found = [0.0_f64];
        self.download(sum, bytemuck::cast_slice_mut(&mut found))?;
        Ok(found[0])
    }

    pub(crate) fn adamw(
        &mut self,
        tensors: Vec<AdamTensor<'_, Cuda>>,
        step: AdamStep,
    ) -> DeviceResult<()> {
        let mut entries = Vec::with_capacity(tensors.len());
        for tensor in &tensors {
            entries.push(entry(tensor)?);
        }
        let step = Step::new(step);
        for kind in Kind::ALL {
            let of_kind = entries.iter().filter(|(found, _)| *found == kind);
            let entries: Vec<Entry> = of_kind.map(|(_, entry)| *entry).collect();
            let chunks = chunks(&entries);
            let (tensors, staged) = (
                self.stage_table("tensors", &entries)?,
                self.stage_table("chunks of tensors", &chunks)?,
            );
            let arguments = Arguments::new().pointers([tensors, staged, 0]).value(step);
            let name = Name { file: FILE, kernel: kind.kernel() };
            self.launch(name, Grid::blocks(chunks.len(), BLOCK), arguments)?;
        }
        Ok(())
    }

    /// Packs float32 values.
    pub(crate) fn pack_state(
        &mut self,
        state: &mut State,
        values: u64,
        rounding: Rounding,
    ) -> DeviceResult<()> {
        let (n, packed) = (state.len, state.values.pointer());
        let grid = Grid::items(n.div_ceil(LANE_VALUES), BLOCK);
        match (state.precision, rounding) {
            (StatePrecision::F32, _) => self.copy(values, packed, 4 * n),
            (StatePrecision::Bf16, Rounding::Nearest) => {
                self.convert("f32_to_bf16", Arguments::new().pointers([values, packed]), n)
            }
            (StatePrecision::Bf16, Rounding::Stochastic(noise)) => {
                let arguments = Arguments::new().pointers([values, packed]).size(n);
                let name = Name { file: FILE, kernel: "pack_state_bf16" };
                self.launch(name, grid, arguments.value(noise))
            }
            (StatePrecision::Int8, rounding) => {
                let (noise, is_stochastic) = match rounding {
                    Rounding::Nearest => (0, 0),
                    Rounding::Stochastic(noise) => (noise, 1),
                };
                let arguments = Arguments::new().pointers([values, packed, state.scales()]);
                let arguments = arguments.size(n).value(noise).int(is_stochastic);
                let kernel = match state.is_signed {
                    true => "pack_state_signed_int8",
                    false => "pack_state_unsigned_int8",
                };
                self.launch(Name { file: FILE, kernel }, grid, arguments)
            }
        }
    }

    /// Unpacks to float32 values.
    pub(crate) fn unpack_state(&mut self, state: &State, values: u64) -> DeviceResult<()> {
        let (n, packed) = (state.len, state.values.pointer());
        match state.precision {
            StatePrecision::F32 => self.copy(packed, values, 4 * n),
            StatePrecision::Bf16 => {
                self.convert("bf16_to_f32", Arguments::new().pointers([packed, values]), n)
            }
            StatePrecision::Int8 => {
                let kernel = match state.is_signed {
                    true => "unpack_state_signed_int8",
                    false => "unpack_state_unsigned_int8",
                };
                let arguments = Arguments::new().pointers([packed, state.scales(), values]);
                let grid = Grid::items(n.div_ceil(LANE_VALUES), BLOCK);
                self.launch(Name { file: FILE, kernel }, grid, arguments.size(n))
            }
        }
    }
}

/// The kernel's entry for a tensor, and which kernel.
fn entry(tensor: &AdamTensor<'_, Cuda>) -> DeviceResult<(Kind, Entry)> {
    let AdamTensor { p, g, m, v, weight_decay, rounding_key } = tensor;
    let (gradients, n) = gradient(g)?;
    let (weights, low, len) = match p {
        TensorMut::Vector(vector) => (vector.values("parameter", vector.len, 1)?, 0, vector.len),
        TensorMut::Matrix(matrix) => {
            if let Tensor::Matrix(gradient) = g {
                equal("shape of the gradient", gradient.shape(), matrix.shape())?;
            }
            match &matrix.values {
                Values::F32(memory) => (memory.pointer(), 0, matrix.len()),
                Values::Halves { high, low } => (high.pointer(), low.pointer(), matrix.len()),
            }
        }
    };
    equal("lengths of gradient and state", [n, m.len, v.len], [len; 3])?;
    equal("precision of the second moment", v.precision, m.precision)?;
    ensure(m.is_signed && !v.is_signed, || "the moments are in the wrong order".to_owned())?;
    let entry = Entry {
        weights,
        low,
        gradients,
        m: m.values.pointer(),
        v: v.values.pointer(),
        m_scales: m.scales(),
        v_scales: v.scales(),
        n: len as u64,
        weight_decay: *weight_decay,
        rounding_key: *rounding_key,
    };
    Ok((Kind { is_split: low != 0, precision: m.precision }, entry))
}
