// Instructions that CUDA C++ has no name for: every line of inline PTX of the kernels is here. `emulator/ptx.h` has the
// same functions for a CPU.
//
// Rows and columns of fragments are as the PTX manual lays them out: of a warp's lane, let `row` be lane / 4 and `pair`
// be 2 * (lane % 4). A register of a bfloat16 fragment holds two neighbors, the lower index in the lower half.
#pragma once

#ifdef CUDA_EMULATOR
#include "ptx.h"
#else

// d += a * b for a [16, 16] (row, k), b [16, 8] (k, column), d [16, 8] (row, column).
//   a[0]: (row, pair..), a[1]: (row + 8, pair..), a[2]: (row, pair + 8..), a[3]: (row + 8, pair + 8..)
//   b0: (pair.., row), b1: (pair + 8.., row)
//   d[0], d[1]: (row, pair..), d[2], d[3]: (row + 8, pair..)
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same of int8 with exact sums for a [16, 32] and b [32, 8]: a register holds the four neighbors of `four..`, four being
// 4 * (lane % 4).
//   a[0]: (row, four..), a[1]: (row + 8, four..), a[2]: (row, four + 16..), a[3]: (row + 8, four + 16..)
//   b0: (four.., row), b1: (four + 16.., row)
__device__ __forceinline__ void mma(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Where the shared memory of a generic address is.
__device__ __forceinline__ unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Loads 8 by 8 matrices of bfloat16 from shared memory, one to a register: lanes 8 * i and on name the rows of matrix
// i, 16 aligned bytes each, and register i gets (row, pair..) of it.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void load_matrices(unsigned (&to)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same of the transposed matrices: register i gets (pair.., row).
__device__ __forceinline__ void load_transposed(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void load_transposed(unsigned (&to)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// Begins to copy 16 aligned bytes to shared memory; zeros where the source does not exist, which then is not read. They
// have arrived, for this thread alone, after a wait for their group.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(exists ? 16 : 0)
                 : "memory");
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }

// Waits for all groups of this thread but the last `N`.
template <int N>
__device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}

// 2^x with a relative error of 2^-22; 0 for what is not a normal number.
__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The nearest bfloat16, ties to even; every NaN becomes 0x7fff.
__device__ __forceinline__ unsigned short bfloat16_bits(float x) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Two numbers as bfloat16 in one register.
__device__ __forceinline__ unsigned pack(float low, float high) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

#endif
