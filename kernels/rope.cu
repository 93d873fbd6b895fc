// Rotary embedding (arXiv 2104.09864) in place, over the pairs (i, i + head_dim / 2) of each head, the layout of
// Hugging Face; a thread for each pair of a row, which turns it in all heads.
//
// x: [rows, n_heads * head_dim] activations; positions: [rows]; frequencies: [head_dim / 2] float64,
// theta^(-2 i / head_dim). Angles are float64: a position of thousands leaves float32 no exact fraction of a turn.
// Reads and writes x. Floor: 2 activations a number.
#include "common.cuh"

// `sign` is 1, or -1 to turn back, which is the gradient.
template <class T>
__device__ __forceinline__ void rope(
    T* x, const unsigned* positions, const double* frequencies, int n_rows, int n_heads, int head_dim, float sign) {
    const int n_pairs = head_dim / 2;
    const size_t thread = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    const size_t row = thread / n_pairs;
    if (row >= n_rows) return;
    const int i = thread % n_pairs;
    double sine, cosine;
    sincos(positions[row] * frequencies[i], &sine, &cosine);
    const float s = sign * static_cast<float>(sine);
    const float c = static_cast<float>(cosine);
    T* head = x + row * n_heads * head_dim + i;
    for (int index = 0; index < n_heads; index++, head += head_dim) {
        const float a = to_float(head[0]);
        const float b = to_float(head[n_pairs]);
        from_float(head[0], a * c - b * s);
        from_float(head[n_pairs], b * c + a * s);
    }
}

#define DEFINE(name, T)                                                                                          \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(                                                    \
        T* x, const unsigned* positions, const double* frequencies, int n_rows, int n_heads, int head_dim,       \
        float sign) {                                                                                            \
        rope<T>(x, positions, frequencies, n_rows, n_heads, head_dim, sign);                                     \
    }
DEFINE(rope_f32, float)
DEFINE(rope_bf16, bf16)
#undef DEFINE
