//! What the device keeps: rows, weights, copies of weights and the optimizer's state.

use azr_transformer::checks::{area, ensure, equal, too_short};
use azr_transformer::packing::BLOCK;
use azr_transformer::{CopyFormat, DeviceResult, Moment, StatePrecision};

use crate::blas::Numbers;
use crate::engine::Engine;
use crate::memory::Memory;

/// Parameters, or what is kept of rows, as float32; or activations.
#[derive(Debug)]
pub struct Buffer {
    pub(crate) memory: Memory,
    pub(crate) len: usize,
    pub(crate) numbers: Numbers,
}

/// Weights or gradients, row-major.
#[derive(Debug)]
pub struct Matrix {
    pub(crate) n_out: usize,
    pub(crate) n_in: usize,
    pub(crate) values: Values,
}

#[derive(Debug)]
pub(crate) enum Values {
    F32(Memory),
    /// Float32 in two halves: `high` is the value rounded to bfloat16, which products read as it is, and the bits of the
    /// value are `(high << 16) + low` with `low` as a signed number. Four bytes a weight in place of six.
    Halves {
        high: Memory,
        low: Memory,
    },
}

/// A copy of weights for generation.
#[derive(Debug)]
pub struct WeightCopy {
    pub(crate) n_out: usize,
    pub(crate) n_in: usize,
    pub(crate) codes: Memory,
    /// One for each output, of int8 copies, whose rows of codes are [`code_stride`] bytes.
    pub(crate) scales: Option<Memory>,
}

/// One running mean of the optimizer.
#[derive(Debug)]
pub struct State {
    pub(crate) len: usize,
    pub(crate) precision: StatePrecision,
    pub(crate) is_signed: bool,
    pub(crate) values: Memory,
    /// One for each block, of int8 state.
    pub(crate) scales: Option<Memory>,
}

impl Numbers {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// As it is called in the names of kernels.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Numbers that are loaded at once.
    pub(crate) const fn lanes(self) -> usize {
        16 / self.bytes()
    }
}

impl Buffer {
    pub(crate) fn zeros(engine: &mut Engine, len: usize, numbers: Numbers) -> DeviceResult<Self> {
        let memory = engine.zeros(area(len, numbers.bytes())?, "a buffer")?;
        Ok(Self { memory, len, numbers })
    }

    pub(crate) fn pointer(&self) -> u64 {
        self.memory.pointer()
    }

    /// Where number `index` is.
    pub(crate) fn at(&self, index: usize) -> u64 {
        self.pointer() + (index * self.numbers.bytes()) as u64
    }

    /// The first `rows` rows of `width` numbers.
    pub(crate) fn rows(&self, name: &str, rows: usize, width: usize) -> DeviceResult<u64> {
        let fits = area(rows, width)? <= self.len;
        if fits { Ok(self.pointer()) } else { Err(too_short(name, self.len, rows, width)) }
    }

    /// As [`Self::rows`], of float32 values.
    pub(crate) fn values(&self, name: &str, rows: usize, width: usize) -> DeviceResult<u64> {
        ensure(self.numbers == Numbers::F32, || format!("`{name}` is not float32"))?;
        self.rows(name, rows, width)
    }
}

/// The one type of numbers of several buffers.
pub(crate) fn common_numbers(buffers: &[&Buffer]) -> DeviceResult<Numbers> {
    let numbers = buffers.first().map_or(Numbers::F32, |buffer| buffer.numbers);
    let is_common = buffers.iter().all(|buffer| buffer.numbers == numbers);
    ensure(is_common, || "rows of float32 and of bfloat16 do not go together".to_owned())?;
    Ok(numbers)
}

impl Matrix {
    pub(crate) fn zeros(
        engine: &mut Engine,
        (n_out, n_in): (usize, usize),
        halves: bool,
    ) -> DeviceResult<Self> {
        ensure(n_out > 0 && n_in > 0, || format!("a matrix cannot be {n_out} by {n_in}"))?;
        let len = area(n_out, n_in)?;
        let mut zeros = |bytes| engine.zeros(area(len, bytes)?, "a matrix");
        let values = if halves {
            Values::Halves { high: zeros(2)?, low: zeros(2)? }
        } else {
            Values::F32(zeros(4)?)
        };
        Ok(Self { n_out, n_in, values })
    }

    pub(crate) fn len(&self) -> usize {
        self.n_out * self.n_in
    }

    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.n_out, self.n_in)
    }
}

impl WeightCopy {
    pub(crate) fn zeros(
        engine: &mut Engine,
        (n_out, n_in): (usize, usize),
        format: CopyFormat,
    ) -> DeviceResult<Self> {
        ensure(n_out > 0 && n_in > 0, || format!("a copy cannot be {n_out} by {n_in}"))?;
        let mut zeros = |len, bytes| engine.zeros(area(len, bytes)?, "a copy of weights");
        let len = area(n_out, n_in)?;
        let (codes, scales) = match format {
            CopyFormat::Bf16 => (zeros(len, 2)?, None),
            CopyFormat::Int8 => (zeros(n_out, code_stride(n_in))?, Some(zeros(n_out, 4)?)),
        };
        Ok(Self { n_out, n_in, codes, scales })
    }

    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.n_out, self.n_in)
    }
}

/// Bytes of a row of int8 codes: a multiple of `STEP` in `kernels/int8_linear.cu`.
pub(crate) const fn code_stride(n_in: usize) -> usize {
    n_in.next_multiple_of(64)
}

impl State {
    pub(crate) fn zeros(
        engine: &mut Engine,
        len: usize,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<Self> {
        let mut zeros = |len, bytes| engine.zeros(area(len, bytes)?, "optimizer state");
        let (values, scales) = match precision {
            StatePrecision::F32 => (zeros(len, 4)?, None),
            StatePrecision::Bf16 => (zeros(len, 2)?, None),
            StatePrecision::Int8 => (zeros(len, 1)?, Some(zeros(len.div_ceil(BLOCK), 4)?)),
        };
        Ok(Self { len, precision, is_signed: moment == Moment::First, values, scales })
    }

    pub(crate) fn scales(&self) -> u64 {
        self.scales.as_ref().map_or(0, Memory::pointer)
    }

    pub(crate) fn check_len(&self, len: usize) -> DeviceResult<()> {
        equal("number of values", len, self.len)
    }
}
