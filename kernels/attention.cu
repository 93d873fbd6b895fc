// Causal softmax attention with grouped queries, in one pass over the keys with a running maximum (arXiv 2205.14135), in
// float32 arithmetic: what other kernels for attention are held against, and what float32 activations run on.
//
// A query sees a prefix, which sequences may share, and then its sequence's own keys up to its own. Keys are numbered
// through both and taken KEYS at a time, so that no result depends on where the prefix ends.
//
// q, out: [rows, n_heads, head_dim]; k, v: [rows, n_kv_heads, head_dim] activations; lse: [rows, n_heads] float32, the
// log-sum-exp of the scaled scores.
//
// Grid: (tiles, n_kv_heads, n_heads / n_kv_heads / ROWS rounded up), blocks of ROWS * LANES threads. Floor: keys and values once for each tile, or
// 4 * keys seen * n_heads * head_dim floating-point operations.
#include "attention.cuh"

// Rows of a tile at most, a row being a query of one of the heads of the group; threads of a row; keys that are taken
// together.
constexpr int ROWS = 16;
constexpr int LANES = 8;
constexpr int KEYS = 32;

template <class T, int DIM>
__device__ __forceinline__ void load_keys(
    float* to, const T* from, const QueryTile& tile, unsigned first, unsigned n_keys, int n_kv_heads, int head_dim) {
    for (int i = threadIdx.x; i < KEYS * DIM; i += ROWS * LANES) {
        const unsigned key = first + i / DIM;
        const int column = i % DIM;
        float value = 0.0f;
        if (key < n_keys && column < head_dim) {
            value = to_float(from[(key_row(tile, key) * n_kv_heads + blockIdx.y) * head_dim + column]);
        }
        to[i] = value;
    }
}

// `reduce` over the threads of a row.
template <class F>
__device__ __forceinline__ float over_row(float value, F reduce) {
#pragma unroll
    for (int bits = LANES / 2; bits > 0; bits /= 2) value = reduce(value, __shfl_xor_sync(~0u, value, bits));
    return value;
}

// DIM is head_dim rounded up. Dynamic shared memory: 2 * KEYS * DIM numbers for keys and values.
template <class T, int DIM>
__device__ __forceinline__ void attention(
    const QueryTile* tiles, const T* q, const T* k, const T* v, T* out, float* lse, int n_heads, int n_kv_heads,
    int head_dim, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    __shared__ float weights[ROWS][KEYS];
    float* keys = reinterpret_cast<float*>(dynamic_shared);
    float* values = keys + KEYS * DIM;
    const QueryTile tile = tiles[blockIdx.x];
    // A group of more heads than a tile has rows is shared by the blocks of z.
    const int first_head = blockIdx.z * ROWS;
    const int group = min(n_heads / n_kv_heads - first_head, ROWS);
    const int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    const bool is_row = row < tile.n_queries * group;
    const int query = is_row ? row / group : 0;
    const size_t head = blockIdx.y * (n_heads / n_kv_heads) + first_head + (is_row ? row % group : 0);
    const size_t position = static_cast<size_t>(tile.query_start + query) * n_heads + head;
    const unsigned n_seen = tile.prefix_len + tile.n_own_seen + query;
    const unsigned n_keys = tile.prefix_len + tile.n_own_seen + tile.n_queries - 1;

    // A thread has every LANES-th number of its row.
    float queries[DIM / LANES], sums[DIM / LANES];
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) {
        const int column = i * LANES + lane;
        queries[i] = column < head_dim ? to_float(q[position * head_dim + column]) * scale : 0.0f;
        sums[i] = 0.0f;
    }
    float largest = -INFINITY, mass = 0.0f;
    const auto larger = [](float a, float b) { return fmaxf(a, b); };
    const auto plus = [](float a, float b) { return a + b; };
    for (unsigned first = 0; first < n_keys; first += KEYS) {
        // The tile before may still be read.
        __syncthreads();
        load_keys<T, DIM>(keys, k, tile, first, n_keys, n_kv_heads, head_dim);
        load_keys<T, DIM>(values, v, tile, first, n_keys, n_kv_heads, head_dim);
        __syncthreads();
        float scores[KEYS / LANES];
        // Unrolled, so that the scores are in registers.
#pragma unroll
        for (int own = 0; own < KEYS / LANES; own++) {
            scores[own] = -INFINITY;
            for (int of = 0; of < LANES; of++) {
                const int key = own * LANES + of;
                float product = 0.0f;
#pragma unroll
                for (int i = 0; i < DIM / LANES; i++) product += queries[i] * keys[key * DIM + i * LANES + lane];
                const float score = over_row(product, plus);
                if (of == lane && first + key < n_seen) scores[own] = score;
            }
        }
        float largest_here = scores[0];
#pragma unroll
        for (int i = 1; i < KEYS / LANES; i++) largest_here = fmaxf(largest_here, scores[i]);
        const float largest_now = fmaxf(largest, over_row(largest_here, larger));
        // The first key is seen by every query, so that this is a number from the first tile on.
        const float factor = expf(largest - largest_now);
        float mass_here = 0.0f;
#pragma unroll
        for (int i = 0; i < KEYS / LANES; i++) {
            const float weight = expf(scores[i] - largest_now);
            weights[row][i * LANES + lane] = weight;
            mass_here += weight;
        }
        mass = mass * factor + over_row(mass_here, plus);
        largest = largest_now;
        // The threads of a row are in one warp.
        __syncwarp();
#pragma unroll
        for (int i = 0; i < DIM / LANES; i++) sums[i] *= factor;
        for (int key = 0; key < KEYS; key++) {
            const float weight = weights[row][key];
#pragma unroll
            for (int i = 0; i < DIM / LANES; i++) sums[i] += weight * values[key * DIM + i * LANES + lane];
        }
    }
    if (!is_row) return;
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) {
        const int column = i * LANES + lane;
        if (column < head_dim) from_float(out[position * head_dim + column], sums[i] / mass);
    }
    if (lane == 0) lse[position] = largest + logf(mass);
}

// Four blocks of a multiprocessor at least, or ptxas spills registers to have more of them.
#define DEFINE(name, T, DIM)                                                                                     \
    extern "C" __global__ void __launch_bounds__(ROWS* LANES, 4) name(                                           \
        const QueryTile* tiles, const T* q, const T* k, const T* v, T* out, float* lse, int n_heads,             \
        int n_kv_heads, int head_dim, float scale) {                                                             \
        attention<T, DIM>(tiles, q, k, v, out, lse, n_heads, n_kv_heads, head_dim, scale);                       \
    }
DEFINE(attention_f32_64, float, 64)
DEFINE(attention_f32_128, float, 128)
DEFINE(attention_f32_256, float, 256)
DEFINE(attention_bf16_64, bf16, 64)
DEFINE(attention_bf16_128, bf16, 128)
DEFINE(attention_bf16_256, bf16, 256)
#undef DEFINE
