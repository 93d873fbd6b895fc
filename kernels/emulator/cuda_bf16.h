// bfloat16 as <cuda_bf16.h> has it.
#pragma once

#include "cuda.h"

struct __nv_bfloat16 {
    uint16_t bits;
};

// To nearest, ties to even; every NaN becomes 0x7fff, as on the GPU.
inline __nv_bfloat16 __float2bfloat16(float x) {
    const unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
    return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}

inline float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
