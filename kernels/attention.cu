// Causal softmax attention with grouped queries, in one pass over the keys with a running maximum (arXiv 2205.14135), in
// float32 arithmetic: what other kernels for attention are held against, and what float32 activations run on.
//
// A query sees a prefix, which sequences may share, and then its sequence's own keys up to its own. Keys are numbered
// through both and taken KEYS at a time, so that no result depends on where the prefix ends.
//
// q, out: [rows, n_heads, head_dim]; k, v: [rows, n_kv_heads, head_dim] activations; lse: [rows, n_heads] float32, the
// log-sum-exp of the scaled scores.
//
// Grid: (tiles, n_kv_heads, n_heads / n_kv_heads / ROWS rounded up), blocks of ROWS * LANES threads. Floor: keys and
// values once for each tile, or 4 * keys seen * n_heads * head_dim floating-point operations.
#include "attention_simt.cuh"

// DIM is head_dim rounded up. Dynamic shared memory: 2 * KEYS * DIM numbers for keys and values.
template <class T, int DIM>
__device__ __forceinline__ void attention(
    const QueryTile* tiles, const T* q, const T* k, const T* v, T* out, float* lse, int n_heads, int n_kv_heads,
    int head_dim, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    const QueryTile tile = tiles[blockIdx.x];
    // A group of more heads than a tile has rows is shared by the blocks of z.
    const int first_head = blockIdx.z * ROWS;
    const int group = min(n_heads / n_kv_heads - first_head, ROWS);
    SimtRow<DIM> row;
    const bool is_row = row.row() < tile.n_queries * group;
    const int query = is_row ? row.row() / group : 0;
    const size_t head = blockIdx.y * (n_heads / n_kv_heads) + first_head + (is_row ? row.row() % group : 0);
    const size_t position = static_cast<size_t>(tile.query_start + query) * n_heads + head;
    const unsigned n_seen = tile.prefix_len + tile.n_own_seen;

    row.begin(q + position * head_dim, head_dim, scale);
    row.attend(reinterpret_cast<float*>(dynamic_shared), k, v, tile, n_seen + tile.n_queries - 1, n_seen + query,
               blockIdx.y, n_kv_heads, head_dim);
    if (!is_row) return;
    row.store_mean(out + position * head_dim, head_dim);
    if (row.lane() == 0) lse[position] = row.log_sum_exp();
}

// The blocks that a multiprocessor is to have: left to itself, ptxas spills registers to have more of them.
#define DEFINE(name, T, DIM)                                                                                     \
    extern "C" __global__ void __launch_bounds__(ROWS* LANES, DIM > 128 ? 4 : 6) name(                           \
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
