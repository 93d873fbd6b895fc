// CUDA C++ for a CPU: included before a kernel file, it makes the file ordinary C++.
//
// What it cannot show: speed, the rounding of tensor cores and of fast intrinsics, and a compiler's mistakes.
#pragma once

#include <cmath>
#include <type_traits>
#include <utility>

#include "fibers.h"
#include "warp.h"

#define CUDA_EMULATOR 1

#ifndef __global__
// Who looks for kernels in preprocessed text defines it as a mark.
#define __global__
#endif
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// In a block, `thread_local` implies `static`: one for each host thread, and so for each running block.
#define __shared__ thread_local
#define __constant__ static

#define threadIdx (emulator::fiber->thread)
#define blockIdx (emulator::block.index)
#define blockDim (emulator::block.block_size)
#define gridDim (emulator::block.grid_size)

#define EMULATOR_TEXT_OF(x) #x
#define EMULATOR_TEXT(x) EMULATOR_TEXT_OF(x)
#define __syncthreads() emulator::barrier("__syncthreads at " __FILE__ ":" EMULATOR_TEXT(__LINE__))

#define EMULATOR_VECTOR(element, name, alignment, ...) \
    struct alignas(alignment) name {                   \
        element __VA_ARGS__;                           \
    };
EMULATOR_VECTOR(float, float2, 8, x, y)
EMULATOR_VECTOR(float, float4, 16, x, y, z, w)
EMULATOR_VECTOR(unsigned, uint2, 8, x, y)
EMULATOR_VECTOR(unsigned, uint4, 16, x, y, z, w)
#undef EMULATOR_VECTOR

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
// The sine and cosine of x half turns; whole turns go away without an error.
inline void sincospi(double x, double* sine, double* cosine) {
    const double turned = M_PI * std::remainder(x, 2.0);
    *sine = std::sin(turned);
    *cosine = std::cos(turned);
}
// The compiler fuses nothing for a plain x86-64, so that these are what they say.
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
// Towards 0; what does not fit becomes the nearest integer that there is, and a NaN 0.
inline int __float2int_rz(float x) {
    if (x != x) return 0;
    return x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : static_cast<int>(x);
}
// To nearest, ties to even, of what fits; a NaN becomes 0.
inline int __float2int_rn(float x) { return x != x ? 0 : static_cast<int>(nearbyintf(x)); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<uint64_t>(x) * y >> 32; }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }
inline int __clz(unsigned x) { return x == 0 ? 32 : __builtin_clz(x); }

template <class To, class From>
inline To emulator_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return emulator_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulator_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulator_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulator_bits<float>(x); }

template <class T>
inline T min(T x, std::type_identity_t<T> y) {
    return y < x ? y : x;
}
template <class T>
inline T max(T x, std::type_identity_t<T> y) {
    return x < y ? y : x;
}

namespace emulator {

template <class... A, size_t... I>
inline void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}

// Launches a kernel as cuLaunchKernel is given it: `arguments[i]` points to argument i.
template <class... A>
inline void launch_with(void (*kernel)(A...), Index grid, Index size, size_t n_shared_bytes, void** arguments) {
    launch(grid, size, n_shared_bytes, [=] { call(kernel, arguments, std::index_sequence_for<A...>{}); });
}

}  // namespace emulator
