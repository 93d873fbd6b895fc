// SwiGLU (arXiv 2002.05202) and its gradients; a thread for each vector of values, blocks of BLOCK threads.
//
//   out = silu(gate) * up,   silu(z) = z / (1 + exp(-z))
//
// All operands are [n_vectors * N] activations.
#include "common.cuh"

// Reads gate and up and writes out. Floor: 3 activations a number.
template <class T, int N>
__device__ __forceinline__ void swiglu(const T* gate, const T* up, T* out, int n_vectors) {
    const int i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= n_vectors) return;
    auto gates = load<N>(gate, i);
    const auto ups = load<N>(up, i);
#pragma unroll
    for (int lane = 0; lane < N; lane++) {
        const float z = to_float(gates.lanes[lane]);
        from_float(gates.lanes[lane], z / (1.0f + expf(-z)) * to_float(ups.lanes[lane]));
    }
    store<N>(out, i, gates);
}

// d_up = d_out * silu(gate), d_gate = d_out * up * s * (1 + gate * (1 - s)) with s = 1 / (1 + exp(-gate)).
// Reads gate, up and d_out and writes d_gate and d_up, which may be gate and up. Floor: 5 activations a number.
template <class T, int N>
__device__ __forceinline__ void swiglu_backward(
    const T* gate, const T* up, const T* d_out, T* d_gate, T* d_up, int n_vectors) {
    const int i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= n_vectors) return;
    auto gates = load<N>(gate, i);
    auto ups = load<N>(up, i);
    const auto gradients = load<N>(d_out, i);
#pragma unroll
    for (int lane = 0; lane < N; lane++) {
        const float z = to_float(gates.lanes[lane]);
        const float gradient = to_float(gradients.lanes[lane]);
        const float sigmoid = 1.0f / (1.0f + expf(-z));
        const float slope = sigmoid * (1.0f + z * (1.0f - sigmoid));
        from_float(gates.lanes[lane], gradient * to_float(ups.lanes[lane]) * slope);
        from_float(ups.lanes[lane], gradient * z * sigmoid);
    }
    store<N>(d_gate, i, gates);
    store<N>(d_up, i, ups);
}

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* gate, const T* up, T* out, int n_vectors) {                                                \
        swiglu<T, N>(gate, up, out, n_vectors);                                                                  \
    }
FOR_ACTIVATIONS(DEFINE, swiglu)
#undef DEFINE

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* gate, const T* up, const T* d_out, T* d_gate, T* d_up, int n_vectors) {                    \
        swiglu_backward<T, N>(gate, up, d_out, d_gate, d_up, n_vectors);                                         \
    }
FOR_ACTIVATIONS(DEFINE, swiglu_backward)
#undef DEFINE
