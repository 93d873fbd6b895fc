// How weights and optimizer state lie in memory: the arithmetic of crates/transformer/src/optimizer/packing.rs to the
// bit.
//
// Products, sums, quotients and roots are named operations where bits matter, because nvcc fuses what is not.
#pragma once

#include "common.cuh"

// Values that a thread takes of an array: with 256 of them a warp has a block of int8 state.
constexpr int LANE_VALUES = 8;
constexpr int WARP_VALUES = WARP * LANE_VALUES;

// Values `first` to `first + N` of `n`, with 0 for those that there are not; `first` is a multiple of N.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_part(const T* from, size_t first, size_t n) {
    if (first + N <= n) return load<N>(from, first / N);
    Vector<T, N> values;
#pragma unroll
    for (int lane = 0; lane < N; lane++) values.lanes[lane] = first + lane < n ? from[first + lane] : T(0);
    return values;
}

template <int N, class T>
__device__ __forceinline__ void store_part(T* to, size_t first, size_t n, const Vector<T, N>& values) {
    if (first + N <= n) return store<N>(to, first / N, values);
#pragma unroll
    for (int lane = 0; lane < N; lane++) {
        if (first + lane < n) to[first + lane] = values.lanes[lane];
    }
}

__device__ __forceinline__ bool is_finite(unsigned bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

// The upper half of something that is not finite; a NaN stays one.
__device__ __forceinline__ unsigned short upper_half(unsigned bits) {
    return bits >> 16 | ((bits & 0x7fffffffu) > 0x7f800000u ? 0x40 : 0);
}

__device__ __forceinline__ float unpack_bf16(unsigned short half) {
    return __uint_as_float(static_cast<unsigned>(half) << 16);
}

// To nearest, ties to even.
__device__ __forceinline__ unsigned short nearest_bf16(float value) {
    const unsigned bits = __float_as_uint(value);
    return is_finite(bits) ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : upper_half(bits);
}

// A float32 weight as two halves, bits = (high << 16) + sign-extended low. `high` is the nearest bfloat16; of two that
// are equally near it is the one farther from 0, as `low` reaches from -2^15 to 2^15 - 1. A NaN keeps no more than its
// kind.
struct Halves {
    unsigned short high, low;
};

__device__ __forceinline__ Halves split(float value) {
    const unsigned bits = __float_as_uint(value);
    if (!is_finite(bits)) return {upper_half(bits), 0};
    return {static_cast<unsigned short>((bits + 0x8000) >> 16), static_cast<unsigned short>(bits)};
}

__device__ __forceinline__ float join(Halves halves) {
    const int low = static_cast<short>(halves.low);
    return __uint_as_float((static_cast<unsigned>(halves.high) << 16) + static_cast<unsigned>(low));
}

// A hash whose every output bit depends on every input bit ("lowbias32" of C. Wellons' hash prospector).
__device__ __forceinline__ unsigned mix(unsigned x) {
    x ^= x >> 16;
    x *= 0x7feb352d;
    x ^= x >> 15;
    x *= 0x846ca68b;
    return x ^ x >> 16;
}

// 16 uniform bits for an element.
__device__ __forceinline__ unsigned noise(unsigned key, size_t index) {
    return mix(key ^ mix(static_cast<unsigned>(index))) >> 16;
}

// To one of the two bfloat16 around the value, without bias.
__device__ __forceinline__ unsigned short stochastic_bf16(float value, unsigned key, size_t index) {
    const unsigned bits = __float_as_uint(value);
    return is_finite(bits) ? (bits + noise(key, index)) >> 16 : upper_half(bits);
}

// Least scale of a block of int8 state.
constexpr float MIN_SCALE = 1e-28f;

// Codes of first moments are in -127 .. 127, those of second moments in 0 .. 255.
template <bool IS_SIGNED>
constexpr float N_CODES = IS_SIGNED ? 127.0f : 255.0f;

// (code / n)^4 for code in 0 .. n. The quotient is the one that float32's division has: for every such code, what the
// product with the reciprocal leaves corrects it to that.
template <bool IS_SIGNED>
__device__ __forceinline__ float fourth_power(float code) {
    constexpr float n = N_CODES<IS_SIGNED>, inverse = 1.0f / n;
    const float quotient = __fmul_rn(code, inverse);
    const float root = __fmaf_rn(__fmaf_rn(-quotient, n, code), inverse, quotient);
    const float square = __fmul_rn(root, root);
    return __fmul_rn(square, square);
}

typedef Vector<float, LANE_VALUES> LaneValues;
typedef Vector<unsigned char, LANE_VALUES> LaneCodes;

// Packs the block of 256 values that the lanes of a warp hold, all of which call it; returns the scale. `first` is the
// index of the lane's first value.
template <bool IS_SIGNED>
__device__ __forceinline__ float pack_block(
    const LaneValues& values, bool is_stochastic, unsigned key, size_t first, LaneCodes& codes) {
    constexpr float n = N_CODES<IS_SIGNED>;
    float largest = 0.0f;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) largest = fmaxf(largest, fabsf(values.lanes[lane]));
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, bits));
    if (largest == 0.0f || (IS_SIGNED && largest < MIN_SCALE)) {
        codes = {};
        return 0.0f;
    }
    const float scale = fmaxf(largest, MIN_SCALE);
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) {
        const float value = values.lanes[lane];
        const float ratio = __fdiv_rn(fabsf(value), scale);
        const float root = __fmul_rn(__fsqrt_rn(__fsqrt_rn(ratio)), n);
        float magnitude;
        if (is_stochastic) {
            const float below = fminf(floorf(root), n - 1.0f);
            const float low = fourth_power<IS_SIGNED>(below), high = fourth_power<IS_SIGNED>(below + 1.0f);
            const float threshold = noise(key, first + lane) / 65536.0f;
            const bool is_above = __fsub_rn(ratio, low) > __fmul_rn(threshold, __fsub_rn(high, low));
            magnitude = is_above ? below + 1.0f : below;
        } else {
            magnitude = floorf(__fadd_rn(root, 0.5f));
        }
        // A second moment of 0 beside a first moment that is not would make a step without bounds.
        if (!IS_SIGNED && value != 0.0f) magnitude = fmaxf(magnitude, 1.0f);
        const int code = __float2int_rz(IS_SIGNED ? copysignf(magnitude, value) : magnitude);
        codes.lanes[lane] = static_cast<unsigned char>(code);
    }
    return scale;
}

template <bool IS_SIGNED>
__device__ __forceinline__ LaneValues unpack_block(const LaneCodes& codes, float scale) {
    LaneValues values;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) {
        const unsigned char code = codes.lanes[lane];
        const float number = IS_SIGNED ? static_cast<signed char>(code) : code;
        const float magnitude = __fmul_rn(fourth_power<IS_SIGNED>(fabsf(number)), scale);
        values.lanes[lane] = copysignf(magnitude, number);
    }
    return values;
}
