// Moving and adding rows of activations, and embeddings; a thread for each vector of a row, blocks of BLOCK threads.
//
// Rows are [n_rows, width] activations with `n_vectors` vectors in a row; indices are [n_rows].
#include "common.cuh"

// out[i] = source[rows[i]]. Floor: 2 activations a number.
template <class T, int N>
__device__ __forceinline__ void gather_rows(const T* source, const unsigned* rows, T* out, int n_rows, int n_vectors) {
    const size_t thread = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    const size_t row = thread / n_vectors;
    if (row >= n_rows) return;
    const size_t from = rows[row] * static_cast<size_t>(n_vectors) + thread % n_vectors;
    store<N>(out, thread, load<N>(source, from));
}

// out[rows[i]] = source[i] with distinct rows. Floor: 2 activations a number.
template <class T, int N>
__device__ __forceinline__ void scatter_rows(const T* source, const unsigned* rows, T* out, int n_rows, int n_vectors) {
    const size_t thread = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    const size_t row = thread / n_vectors;
    if (row >= n_rows) return;
    const size_t to = rows[row] * static_cast<size_t>(n_vectors) + thread % n_vectors;
    store<N>(out, to, load<N>(source, thread));
}

// y += x over n_vectors vectors. Floor: 3 activations a number.
template <class T, int N>
__device__ __forceinline__ void add(const T* x, T* y, int n_vectors) {
    const size_t i = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    if (i >= n_vectors) return;
    const auto summands = load<N>(x, i);
    auto sums = load<N>(y, i);
#pragma unroll
    for (int lane = 0; lane < N; lane++) {
        from_float(sums.lanes[lane], to_float(sums.lanes[lane]) + to_float(summands.lanes[lane]));
    }
    store<N>(y, i, sums);
}

// y[i] += bias, a float32 row, for all rows. Floor: 2 activations a number.
template <class T, int N>
__device__ __forceinline__ void add_bias(const float* bias, T* y, int n_rows, int n_vectors) {
    const size_t thread = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    if (thread / n_vectors >= n_rows) return;
    const auto summands = load<N>(bias, thread % n_vectors);
    auto sums = load<N>(y, thread);
#pragma unroll
    for (int lane = 0; lane < N; lane++) {
        from_float(sums.lanes[lane], to_float(sums.lanes[lane]) + summands.lanes[lane]);
    }
    store<N>(y, thread, sums);
}

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* source, const unsigned* rows, T* out, int n_rows, int n_vectors) {                         \
        gather_rows<T, N>(source, rows, out, n_rows, n_vectors);                                                 \
    }
FOR_ACTIVATIONS(DEFINE, gather_rows)
#undef DEFINE

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* source, const unsigned* rows, T* out, int n_rows, int n_vectors) {                         \
        scatter_rows<T, N>(source, rows, out, n_rows, n_vectors);                                                \
    }
FOR_ACTIVATIONS(DEFINE, scatter_rows)
#undef DEFINE

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(const T* x, T* y, int n_vectors) {                  \
        add<T, N>(x, y, n_vectors);                                                                              \
    }
FOR_ACTIVATIONS(DEFINE, add)
#undef DEFINE

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(const float* bias, T* y, int n_rows, int n_vectors) { \
        add_bias<T, N>(bias, y, n_rows, n_vectors);                                                              \
    }
FOR_ACTIVATIONS(DEFINE, add_bias)
#undef DEFINE
