// GGUF blocks to float32 or to split weights, to the bits of crates/weights/src/gguf/quant.rs, where the formats are
// described; a thread for each value, blocks of BLOCK threads.
//
// bytes: whole blocks as they are in the file, aligned to 2; values, or high and low: [n]. Floor: the block's bytes,
// and 4 for each value.
#include "packing.cuh"

typedef unsigned char u8;

// A float16 as float32, which holds all of them.
__device__ __forceinline__ float half_to_float(unsigned half) {
    const unsigned sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
    if (exponent == 0) return copysignf(fraction * (1.0f / (1 << 24)), __uint_as_float(sign));
    // What is no number is made a quiet one.
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000 | fraction << 13 | (fraction > 0 ? 0x400000 : 0));
    return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

__device__ __forceinline__ unsigned two_bytes(const u8* at) { return *reinterpret_cast<const unsigned short*>(at); }

__device__ __forceinline__ float scale(const u8* at) { return half_to_float(two_bytes(at)); }

// d * q + m, which nvcc would fuse.
__device__ __forceinline__ float affine(float d, float q, float m) { return __fadd_rn(__fmul_rn(d, q), m); }

// The low nibbles of 16 bytes are elements 0 to 15, the high ones 16 to 31.
__device__ __forceinline__ unsigned nibble(const u8* bytes, int i) { return bytes[i % 16] >> i / 16 * 4 & 15; }

// The same with the fifth bits of all elements in the four bytes before.
__device__ __forceinline__ unsigned five_bits(const u8* bytes, int i) {
    return nibble(bytes + 4, i) | (bytes[i / 8] >> i % 8 & 1) << 4;
}

// Element i of a block of Q4_K or Q5_K with the integer q: `block` begins with d, dmin and 12 bytes in which the first
// four pairs of scale and minimum have their six bits in bytes 0 to 3 and 4 to 7; the last four have their low nibbles
// in bytes 8 to 11 and their top bits above the first four.
__device__ __forceinline__ float k_value(const u8* block, int i, unsigned q) {
    const u8* packed = block + 4;
    const int pair = i / 32;
    unsigned s, n;
    if (pair < 4) {
        s = packed[pair] & 63;
        n = packed[pair + 4] & 63;
    } else {
        s = (packed[pair + 4] & 15) | packed[pair - 4] >> 6 << 4;
        n = packed[pair + 4] >> 4 | packed[pair] >> 6 << 4;
    }
    const float minimum = __fmul_rn(scale(block + 2), static_cast<float>(n));
    return affine(__fmul_rn(scale(block), static_cast<float>(s)), static_cast<float>(q), -minimum);
}

// 64 elements share 32 bytes, the first 32 of them the low nibbles.
__device__ __forceinline__ unsigned k_nibble(const u8* bytes, int i) {
    return bytes[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
}

struct F16 {
    static constexpr int LEN = 1, BYTES = 2;
    static __device__ __forceinline__ float value(const u8* block, int) { return scale(block); }
};

struct Bf16 {
    static constexpr int LEN = 1, BYTES = 2;
    static __device__ __forceinline__ float value(const u8* block, int) {
        const unsigned half = two_bytes(block);
        // What is no number is made a quiet one.
        return unpack_bf16(half | ((half & 0x7fff) > 0x7f80 ? 0x40 : 0));
    }
};

struct Q8_0 {
    static constexpr int LEN = 32, BYTES = 34;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        return scale(block) * static_cast<signed char>(block[2 + i]);
    }
};

struct Q4_0 {
    static constexpr int LEN = 32, BYTES = 18;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        return scale(block) * (nibble(block + 2, i) - 8.0f);
    }
};

struct Q4_1 {
    static constexpr int LEN = 32, BYTES = 20;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        return affine(scale(block), nibble(block + 4, i), scale(block + 2));
    }
};

struct Q5_0 {
    static constexpr int LEN = 32, BYTES = 22;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        return scale(block) * (five_bits(block + 2, i) - 16.0f);
    }
};

struct Q5_1 {
    static constexpr int LEN = 32, BYTES = 24;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        return affine(scale(block), five_bits(block + 4, i), scale(block + 2));
    }
};

struct Q4_K {
    static constexpr int LEN = 256, BYTES = 144;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        return k_value(block, i, k_nibble(block + 16, i));
    }
};

struct Q5_K {
    static constexpr int LEN = 256, BYTES = 176;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        const unsigned fifth = block[16 + i % 32] >> i / 32 & 1;
        return k_value(block, i, k_nibble(block + 48, i) | fifth << 4);
    }
};

// Two groups of 128 elements; in each, quarter k of 32 takes nibbles of byte l or l + 32 and bit pair k of byte l.
struct Q6_K {
    static constexpr int LEN = 256, BYTES = 210;
    static __device__ __forceinline__ float value(const u8* block, int i) {
        const int group = i / 128, k = i % 128 / 32, l = i % 32;
        const unsigned low = block[group * 64 + k % 2 * 32 + l] >> k / 2 * 4 & 15;
        const unsigned high = block[128 + group * 32 + l] >> 2 * k & 3;
        const float s = static_cast<signed char>(block[192 + i / 16]);
        return __fmul_rn(__fmul_rn(scale(block + 208), s), (low | high << 4) - 32.0f);
    }
};

template <class Format>
__device__ __forceinline__ float value_at(const u8* bytes, size_t i) {
    return Format::value(bytes + i / Format::LEN * Format::BYTES, i % Format::LEN);
}

#define DEFINE(name, Format)                                                                                     \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        dequantise_##name(const unsigned char* bytes, float* values, size_t n) {                                 \
        const size_t i = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;                                  \
        if (i < n) values[i] = value_at<Format>(bytes, i);                                                       \
    }                                                                                                            \
    extern "C" __global__ void __launch_bounds__(BLOCK) dequantise_##name##_split(                               \
        const unsigned char* bytes, unsigned short* high, unsigned short* low, size_t n) {                       \
        const size_t i = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;                                  \
        if (i >= n) return;                                                                                      \
        const Halves halves = split(value_at<Format>(bytes, i));                                                 \
        high[i] = halves.high;                                                                                   \
        low[i] = halves.low;                                                                                     \
    }
DEFINE(f16, F16)
DEFINE(bf16, Bf16)
DEFINE(q8_0, Q8_0)
DEFINE(q4_0, Q4_0)
DEFINE(q4_1, Q4_1)
DEFINE(q5_0, Q5_0)
DEFINE(q5_1, Q5_1)
DEFINE(q4_k, Q4_K)
DEFINE(q5_k, Q5_K)
DEFINE(q6_k, Q6_K)
#undef DEFINE
