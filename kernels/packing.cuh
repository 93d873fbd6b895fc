// How weights and optimizer state lie in memory: the arithmetic of crates/transformer/src/optimizer/packing.rs to the bit.
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

// A float32 weight as two halves, bits = (high << 16) + sign-extended low. `high` is the nearest bfloat16; of two that are
// equally near it is the one farther from 0, as `low` reaches from -2^15 to 2^15 - 1. A NaN keeps no more than its kind.
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
