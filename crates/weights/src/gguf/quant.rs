//! Element types of GGUF tensors and their conversion to float32.
//!
//! A quantised row is a sequence of blocks. Scales are little-endian float16 (`d`, `m`, `dmin`), `q` are unsigned
//! integers of the type's width, all packed as in ggml's `ggml-common.h`; every formula below gives element `i`:
//!
//! | type | elements | bytes | block | value |
//! |---|---|---|---|---|
//! | Q4_0 | 32 | 18 | `d`, 16 × (low nibble: i, high nibble: i + 16) | `d (q - 8)` |
//! | Q4_1 | 32 | 20 | `d`, `m`, nibbles as Q4_0 | `d q + m` |
//! | Q5_0 | 32 | 22 | `d`, u32 with the fifth bit of each element, nibbles | `d (q - 16)` |
//! | Q5_1 | 32 | 24 | `d`, `m`, u32 of fifth bits, nibbles | `d q + m` |
//! | Q8_0 | 32 | 34 | `d`, 32 × i8 | `d q` |
//! | Q4_K | 256 | 144 | `d`, `dmin`, 12 bytes with 8 × (6-bit scale `s`, 6-bit minimum `n`), 128 bytes of nibbles | `(d s) q - dmin n` |
//! | Q5_K | 256 | 176 | as Q4_K with 32 bytes of fifth bits before the nibbles | `(d s) q - dmin n` |
//! | Q6_K | 256 | 210 | 128 bytes of low nibbles, 64 of high bit pairs, 16 × i8 scale `s`, `d` | `(d s) (q - 32)` |
//!
//! In Q4_K and Q5_K, 64 elements share 32 bytes: the low nibbles are the first 32 of them. Bit `2 j` (`2 j + 1`) of
//! the fifth-bit byte `l` belongs to element `l` of the first (second) half of group `j` of 64.

use half::{bf16, f16};
use serde::Serialize;

/// How the elements of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(non_camel_case_types, reason = "these are the format's own names")]
pub enum TensorType {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    BF16,
    /// 8 bits, one scale per 32.
    Q8_0,
    /// 4 bits, one scale per 32.
    Q4_0,
    /// 4 bits, scale and minimum per 32.
    Q4_1,
    /// 5 bits, one scale per 32.
    Q5_0,
    /// 5 bits, scale and minimum per 32.
    Q5_1,
    /// 4 bits, two-level scales and minima per 256.
    Q4_K,
    /// 5 bits, two-level scales and minima per 256.
    Q5_K,
    /// 6 bits, two-level scales per 256.
    Q6_K,
}

impl TensorType {
    /// The type with this number in a GGUF file, if it is supported.
    pub(super) fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// Elements per block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// The float32 values of whole blocks; a partial block at the end is left out.
    pub(crate) fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Self::F16 => {
                bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
            }
            Self::BF16 => {
                bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
            }
            Self::Q8_0 => blocks::<34, 32>(bytes, q8_0),
            Self::Q4_0 => blocks::<18, 32>(bytes, q4_0),
            Self::Q4_1 => blocks::<20, 32>(bytes, q4_1),
            Self::Q5_0 => blocks::<22, 32>(bytes, q5_0),
            Self::Q5_1 => blocks::<24, 32>(bytes, q5_1),
            Self::Q4_K => blocks::<144, 256>(bytes, q4_k),
            Self::Q5_K => blocks::<176, 256>(bytes, q5_k),
            Self::Q6_K => blocks::<210, 256>(bytes, q6_k),
        }
    }
}

fn blocks<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    decode: fn(&[u8; BYTES], &mut [f32; LEN]),
) -> Vec<f32> {
    let blocks = bytes.as_chunks::<BYTES>().0;
    let mut values = vec![0.0; blocks.len() * LEN];
    for (block, out) in blocks.iter().zip(values.as_chunks_mut::<LEN>().0) {
        decode(block, out);
    }
    values
}

fn scale(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = scale(block, 0);
    for (value, &q) in out.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(q as i8);
    }
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = scale(block, 0);
    for (i, &q) in block[2..].iter().enumerate() {
        out[i] = d * (f32::from(q & 15) - 8.0);
        out[i + 16] = d * (f32::from(q >> 4) - 8.0);
    }
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (scale(block, 0), scale(block, 2));
    for (i, &q) in block[4..].iter().enumerate() {
        out[i] = d * f32::from(q & 15) + m;
        out[i + 16] = d * f32::from(q >> 4) + m;
    }
}

/// The five-bit integers of a block whose fifth bits start at `at`.
fn five_bits(block: &[u8], at: usize) -> [f32; 32] {
    let high = u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let mut values = [0.0; 32];
    for (i, &q) in block[at + 4..at + 20].iter().enumerate() {
        values[i] = (u32::from(q & 15) | (high >> i & 1) << 4) as f32;
        values[i + 16] = (u32::from(q >> 4) | (high >> (i + 16) & 1) << 4) as f32;
    }
    values
}

fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = scale(block, 0);
    *out = five_bits(block, 2).map(|q| d * (q - 16.0));
}

fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (scale(block, 0), scale(block, 2));
    *out = five_bits(block, 4).map(|q| d * q + m);
}

/// Scale and minimum number `i` of the 12 packed bytes of a Q4_K or Q5_K block: the first four have their six bits
/// in bytes 0–3 and 4–7; the last four have the low nibbles in bytes 8–11 and their top bits above the first four.
fn scale_and_min(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (
            (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4,
            (packed[i + 4] >> 4) | (packed[i] >> 6) << 4,
        )
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    k_groups(block, out, 16, |_, _| 0);
}

fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    k_groups(block, out, 48, |l, half| (block[16 + l] >> half & 1) << 4);
}

/// The common part of Q4_K and Q5_K: nibbles start at `at`; `high(l, half)` gives the bits above the nibble of
/// element `l` of half-group `half`.
fn k_groups(block: &[u8], out: &mut [f32; 256], at: usize, high: impl Fn(usize, usize) -> u8) {
    let (d, dmin) = (scale(block, 0), scale(block, 2));
    for (half, values) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&block[4..16], half);
        let (scale, min) = (d * scale, dmin * min);
        let nibbles = &block[at + half / 2 * 32..][..32];
        for (l, (value, &byte)) in values.iter_mut().zip(nibbles).enumerate() {
            let nibble = if half % 2 == 0 { byte & 15 } else { byte >> 4 };
            *value = scale * f32::from(nibble | high(l, half)) - min;
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = scale(block, 208);
    for (i, value) in out.iter_mut().enumerate() {
        // Two groups of 128; in each, quarter k of 32 elements takes nibbles of byte l or l + 32 and bit pair k.
        let (group, k, l) = (i / 128, i % 128 / 32, i % 32);
        let byte = block[group * 64 + k % 2 * 32 + l];
        let nibble = if k < 2 { byte & 15 } else { byte >> 4 };
        let pair = block[128 + group * 32 + l] >> (2 * k) & 3;
        let scale = d * f32::from(block[192 + i / 16] as i8);
        *value = scale * (f32::from(nibble | pair << 4) - 32.0);
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// Two random blocks of one type and their values.
    #[derive(Deserialize)]
    struct Golden {
        kind: u32,
        bytes: Vec<u8>,
        values: Vec<f32>,
    }

    #[test]
    fn every_type_gives_the_values_of_the_reference_implementation() {
        // Written by tests/data/make_quants.py with the `gguf` package (numpy).
        let golden: Vec<Golden> =
            serde_json::from_str(include_str!("../../tests/data/quants.json")).unwrap();
        assert_eq!(golden.len(), 11);
        for case in golden {
            let kind = TensorType::from_id(case.kind).unwrap();
            assert_eq!(case.values.len() % kind.block_len(), 0);
            let found = kind.to_f32(&case.bytes);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&case.values), "{kind:?}");
        }
    }

    #[test]
    fn values_are_those_of_the_kernels() {
        // `values_are_those_of_quant_rs` in kernels/tests/dequantise.cpp has the same blocks and hashes.
        let mix = |mut x: u32| {
            x = (x ^ x >> 16).wrapping_mul(0x7feb_352d);
            x = (x ^ x >> 15).wrapping_mul(0x846c_a68b);
            (x ^ x >> 16) >> 24
        };
        let cases: [(u32, &[usize], u64); 10] = [
            (1, &[], 6_735_680_458_189_898_565),
            (30, &[], 4_931_044_701_321_112_869),
            (2, &[0], 12_169_620_621_566_135_676),
            (3, &[0, 2], 5_983_052_927_954_197_895),
            (6, &[0], 14_453_397_851_635_190_150),
            (7, &[0, 2], 8_271_025_786_493_209_555),
            (8, &[0], 2_813_105_164_148_123_914),
            (12, &[0, 2], 2_645_673_072_430_836_740),
            (13, &[0, 2], 6_059_699_444_072_102_441),
            (14, &[208], 4_787_045_304_907_984_476),
        ];
        for (id, scales, wanted) in cases {
            let kind = TensorType::from_id(id).unwrap();
            let mut bytes: Vec<u8> =
                (0..37 * kind.block_bytes() as u32).map(|i| mix(id * 0x1_0000 + i) as u8).collect();
            for (index, block) in bytes.chunks_exact_mut(kind.block_bytes()).enumerate() {
                for &scale in scales {
                    let exponent = if index % 2 == 0 { 0x30 } else { 0 };
                    block[scale + 1] = block[scale + 1] & 0x83 | exponent;
                }
            }
            if kind.block_len() == 1 {
                bytes = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            }
            let mut hash = 0xcbf2_9ce4_8422_2325_u64;
            for byte in kind.to_f32(&bytes).into_iter().flat_map(f32::to_le_bytes) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
            assert_eq!(hash, wanted, "{kind:?}");
        }
    }

    #[test]
    fn hand_made_blocks() {
        // d = 2, nibbles all 9 (low) and 7 (high).
        let mut block = vec![0x00, 0x40];
        block.extend([0x79; 16]);
        let values = TensorType::Q4_0.to_f32(&block);
        assert_eq!((values[0], values[15], values[16], values[31]), (2.0, 2.0, -2.0, -2.0));
        // d = 0.5, q = -128 … -97.
        let mut block = vec![0x00, 0x38];
        block.extend(128..=159_u8);
        let values = TensorType::Q8_0.to_f32(&block);
        assert_eq!((values[0], values[31]), (-64.0, -48.5));
    }

    #[test]
    fn a_partial_block_is_left_out() {
        assert_eq!(TensorType::Q6_K.to_f32(&[1; 209]), Vec::<f32>::new());
        assert_eq!(TensorType::F32.to_f32(&[0; 7]).len(), 1);
    }
}
