//! The optimizer's running means, in float32 or packed, in the order of the values they belong to.

use azr_transformer::packing::{BLOCK, Rounding, pack_bf16, pack_block, unpack_bf16, unpack_block};
use azr_transformer::{DeviceError, DeviceResult, Moment, StatePrecision};

use crate::storage::Storage;

/// One running mean of the optimizer.
#[derive(Debug)]
pub struct State {
    is_signed: bool,
    values: Packed,
}

#[derive(Debug)]
enum Packed {
    F32(Storage),
    Bf16(Vec<u16>),
    Int8 { codes: Vec<u8>, scales: Vec<f32> },
}

/// Consecutive values of a state; all but the last of [`State::parts`] are whole blocks.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    is_signed: bool,
    values: PackedPart<'a>,
}

#[derive(Debug)]
enum PackedPart<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [u16]),
    Int8 { codes: &'a mut [u8], scales: &'a mut [f32] },
}

impl State {
    pub(crate) fn zeros(
        len: usize,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<Self> {
        let values = match precision {
            StatePrecision::F32 => Packed::F32(Storage::zeros(len, "optimizer state")?),
            StatePrecision::Bf16 => Packed::Bf16(zeros(len)?),
            StatePrecision::Int8 => {
                Packed::Int8 { codes: zeros(len)?, scales: zeros(len.div_ceil(BLOCK))? }
            }
        };
        Ok(Self { is_signed: moment == Moment::First, values })
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Packed::F32(values) => values.len(),
            Packed::Bf16(values) => values.len(),
            Packed::Int8 { codes, .. } => codes.len(),
        }
    }

    /// The float32 values, if that is what they are.
    pub(crate) fn as_f32_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.values {
            Packed::F32(values) => Some(values),
            Packed::Bf16(_) | Packed::Int8 { .. } => None,
        }
    }

    /// The state in parts of `len` values, a multiple of [`BLOCK`].
    pub(crate) fn parts(&mut self, len: usize) -> Vec<Part<'_>> {
        let is_signed = self.is_signed;
        let part = |values| Part { is_signed, values };
        match &mut self.values {
            Packed::F32(values) => values.chunks_mut(len).map(PackedPart::F32).map(part).collect(),
            Packed::Bf16(values) => {
                values.chunks_mut(len).map(PackedPart::Bf16).map(part).collect()
            }
            Packed::Int8 { codes, scales } => codes
                .chunks_mut(len)
                .zip(scales.chunks_mut(len / BLOCK))
                .map(|(codes, scales)| part(PackedPart::Int8 { codes, scales }))
                .collect(),
        }
    }

    /// Unpacks all values to `out`, which is as long.
    pub(crate) fn read(&self, out: &mut [f32]) {
        match &self.values {
            Packed::F32(values) => out.copy_from_slice(values),
            Packed::Bf16(values) => {
                for (to, &from) in out.iter_mut().zip(values) {
                    *to = unpack_bf16(from);
                }
            }
            Packed::Int8 { codes, scales } => {
                let blocks = codes.chunks(BLOCK).zip(scales).zip(out.chunks_mut(BLOCK));
                for ((codes, &scale), out) in blocks {
                    unpack_block(codes, self.is_signed, scale, out);
                }
            }
        }
    }

    /// Packs `values`, as many as there are.
    pub(crate) fn write(&mut self, values: &[f32], rounding: Rounding) {
        for (block, (part, values)) in
            self.parts(BLOCK).iter_mut().zip(values.chunks(BLOCK)).enumerate()
        {
            part.pack(0, values, rounding, block * BLOCK);
        }
    }
}

impl Part<'_> {
    /// Unpacks the values of block `block` of the part.
    #[inline(always)]
    pub(crate) fn unpack(&self, block: usize, out: &mut [f32]) {
        let range = block * BLOCK..block * BLOCK + out.len();
        match &self.values {
            PackedPart::F32(values) => out.copy_from_slice(&values[range]),
            PackedPart::Bf16(values) => {
                for (to, &from) in out.iter_mut().zip(&values[range]) {
                    *to = unpack_bf16(from);
                }
            }
            PackedPart::Int8 { codes, scales } => {
                unpack_block(&codes[range], self.is_signed, scales[block], out);
            }
        }
    }

    /// Packs the values of block `block` of the part; `first` is the index of its first value in the state.
    #[inline(always)]
    pub(crate) fn pack(&mut self, block: usize, values: &[f32], rounding: Rounding, first: usize) {
        let range = block * BLOCK..block * BLOCK + values.len();
        match &mut self.values {
            PackedPart::F32(to) => to[range].copy_from_slice(values),
            PackedPart::Bf16(to) => {
                for (index, (to, &from)) in to[range].iter_mut().zip(values).enumerate() {
                    *to = pack_bf16(from, rounding, first + index);
                }
            }
            PackedPart::Int8 { codes, scales } => {
                scales[block] =
                    pack_block(values, self.is_signed, rounding, first, &mut codes[range]);
            }
        }
    }
}

/// Zeros, or an error where there is no memory for them.
fn zeros<T: Copy + Default>(len: usize) -> DeviceResult<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| DeviceError::OutOfMemory {
        requested_bytes: (len as u64).saturating_mul(size_of::<T>() as u64),
        purpose: "optimizer state",
    })?;
    values.resize(len, T::default());
    Ok(values)
}
