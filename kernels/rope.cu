// Rotary embedding (arXiv 2104.09864) over the pairs (i, i + head_dim / 2) of each head, the layout of Hugging Face: in
// place, a thread for each pair of a row, which turns it in all heads; and with what else is between a product and
// attention.
//
// x: [rows, n_heads * head_dim] activations; positions: [rows]; frequencies: [head_dim / 2] float64,
// theta^(-2 i / head_dim). Angles are float64: a position of thousands leaves float32 no exact fraction of a turn. They
// are taken in half turns, of which whole ones go away without the table and the stack that large radians need.
// Reads and writes x. Floor: 2 activations a number.
#include "common.cuh"

// Cosine and sine of a pair's angle, in half turns, whose reduction needs no stack as that of radians does.
__device__ __forceinline__ float2 turn_of(unsigned position, double frequency) {
    constexpr double INV_PI = 0.31830988618379067154;
    double sine, cosine;
    sincospi(position * frequency * INV_PI, &sine, &cosine);
    return make_float2(static_cast<float>(cosine), static_cast<float>(sine));
}

// `sign` is 1, or -1 to turn back, which is the gradient.
template <class T>
__device__ __forceinline__ void rope(
    T* x, const unsigned* positions, const double* frequencies, int n_rows, int n_heads, int head_dim, float sign) {
    const int n_pairs = head_dim / 2;
    const size_t thread = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    const size_t row = thread / n_pairs;
    if (row >= n_rows) return;
    const int i = thread % n_pairs;
    const float2 turn = turn_of(positions[row], frequencies[i]);
    const float c = turn.x, s = sign * turn.y;
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

// Rows of one block, and the widest head whose angles there is room for.
constexpr int QKV_ROWS = 4;
constexpr int MAX_HEAD_DIM = 512;

// What `qkv_rope` works on: rows of q_stride numbers with queries, and of kv_stride with keys and values, so that the
// three may be parts of one product. v may be null, and then there are no values. Biases are float32, [n_heads *
// head_dim] and twice [n_kv_heads * head_dim], or null. `sign` is 1, or -1 to turn back, which without biases is the
// gradient.
template <class T>
struct Qkv {
    T *q, *k, *v;
    const float *q_bias, *k_bias, *v_bias;
    T *k_cache, *v_cache;
    const unsigned* cache_rows;
    const unsigned* positions;
    const double* frequencies;
    int n_rows, q_stride, kv_stride, n_heads, n_kv_heads, head_dim;
    float sign;
};

template <int N>
__device__ __forceinline__ Vector<float, N> load_bias(const float* bias, int index) {
    return bias == nullptr ? Vector<float, N>{} : load<N>(bias, index / N);
}

// Adds biases, turns queries and keys, and writes queries in place and row r of keys and values to row cache_rows[r] of
// the caches, [rows, n_kv_heads * head_dim], or in place if cache_rows is null. Blocks of BLOCK threads take QKV_ROWS
// rows, a thread N pairs of a head, or 2 N numbers of v, at a time. Floor: 2 activations a number.
template <class T, int N>
__device__ __forceinline__ void qkv_rope(const Qkv<T>& x) {
    __shared__ float2 turns[QKV_ROWS][MAX_HEAD_DIM / 2];
    const int first_row = blockIdx.x * QKV_ROWS;
    const int n_pairs = x.head_dim / 2;
    for (int i = threadIdx.x; i < QKV_ROWS * n_pairs; i += BLOCK) {
        const int row = first_row + i / n_pairs;
        if (row >= x.n_rows) break;
        turns[i / n_pairs][i % n_pairs] = turn_of(x.positions[row], x.frequencies[i % n_pairs]);
    }
    __syncthreads();
    const int n_units = n_pairs / N;
    const int n_row_units = (x.n_heads + (x.v == nullptr ? 1 : 2) * x.n_kv_heads) * n_units;
    for (int i = threadIdx.x; i < QKV_ROWS * n_row_units; i += BLOCK) {
        const int row_of_block = i / n_row_units;
        const size_t row = first_row + row_of_block;
        if (row >= x.n_rows) break;
        const int pair = i % n_units * N;
        int head = i % n_row_units / n_units;
        T* from = x.q + row * x.q_stride;
        T* to = from;
        const float* bias = x.q_bias;
        bool turns_pairs = true;
        if (head >= x.n_heads) {
            head -= x.n_heads;
            turns_pairs = head < x.n_kv_heads;
            if (!turns_pairs) head -= x.n_kv_heads;
            bias = turns_pairs ? x.k_bias : x.v_bias;
            from = (turns_pairs ? x.k : x.v) + row * x.kv_stride;
            to = from;
            if (x.cache_rows != nullptr) {
                const size_t width = static_cast<size_t>(x.n_kv_heads) * x.head_dim;
                to = (turns_pairs ? x.k_cache : x.v_cache) + x.cache_rows[row] * width;
            }
        }
        const int a = head * x.head_dim + pair, b = a + n_pairs;
        auto left = load<N>(from, a / N), right = load<N>(from, b / N);
        const auto left_bias = load_bias<N>(bias, a), right_bias = load_bias<N>(bias, b);
#pragma unroll
        for (int lane = 0; lane < N; lane++) {
            float l = to_float(left.lanes[lane]) + left_bias.lanes[lane];
            float r = to_float(right.lanes[lane]) + right_bias.lanes[lane];
            if (turns_pairs) {
                const float2 turn = turns[row_of_block][pair + lane];
                const float turned = l * turn.x - r * (x.sign * turn.y);
                r = r * turn.x + l * (x.sign * turn.y);
                l = turned;
            }
            from_float(left.lanes[lane], l);
            from_float(right.lanes[lane], r);
        }
        store<N>(to, a / N, left);
        store<N>(to, b / N, right);
    }
}

// Wide where head_dim / 2 and both strides are multiples of 16 bytes.
#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(Qkv<T> x) { qkv_rope<T, N>(x); }
FOR_ACTIVATIONS(DEFINE, qkv_rope)
#undef DEFINE
