// What the kernels share: activations in float32 or bfloat16, wide loads, sums over a block.
//
// Sums run in an order that the width of a row alone decides, so that no result depends on how many rows there are.
#pragma once

#ifdef __CUDACC__
// Not that of <cuda_bf16.h>: NVRTC brings no such header, and compiles these files where there is no toolkit.
struct bf16 {
    unsigned short bits;
};
#else
// The emulator's.
#include <cuda_bf16.h>
typedef __nv_bfloat16 bf16;
#endif

#include "ptx.cuh"

#ifndef INFINITY
// NVRTC has no <math.h>.
#define INFINITY __int_as_float(0x7f800000)
#endif

// Threads of the blocks that work on rows.
constexpr int BLOCK = 256;
constexpr int WARP = 32;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

__device__ __forceinline__ void from_float(float& to, float x) { to = x; }
__device__ __forceinline__ void from_float(bf16& to, float x) { to.bits = bfloat16_bits(x); }

// N numbers that are loaded and stored at once; 16 bytes are the most that an instruction moves.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
    T lanes[N];
};

template <int N, class T>
__device__ __forceinline__ Vector<T, N> load(const T* from, size_t index) {
    return reinterpret_cast<const Vector<T, N>*>(from)[index];
}

template <int N, class T>
__device__ __forceinline__ void store(T* to, size_t index, const Vector<T, N>& values) {
    reinterpret_cast<Vector<T, N>*>(to)[index] = values;
}

// Defines a kernel for both kinds of activations, each with wide accesses for widths that are a multiple of 16 bytes and
// with narrow ones for all others.
#define FOR_ACTIVATIONS(DEFINE, name)  \
    DEFINE(name##_f32_wide, float, 4)  \
    DEFINE(name##_f32_narrow, float, 1) \
    DEFINE(name##_bf16_wide, bf16, 8)  \
    DEFINE(name##_bf16_narrow, bf16, 1)

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(~0u, value, bits);
    return value;
}

// The sum over a block of BLOCK threads, for all of them. `room` is shared memory for BLOCK / WARP numbers that nobody
// uses since the last barrier.
__device__ __forceinline__ float block_sum(float value, float* room) {
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = value;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int warp = 0; warp < BLOCK / WARP; warp++) sum += room[warp];
    return sum;
}
