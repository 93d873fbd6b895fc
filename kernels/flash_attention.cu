// Causal softmax attention with grouped queries by tensor cores: what attention.cu computes, for bfloat16 activations
// of head_dim 64 and 128.
//
// A query sees a prefix, which sequences may share, and then its sequence's own keys up to its own. Keys are numbered
// through both and taken MMA_KEYS at a time, so that no result depends on where the prefix ends or on other queries.
//
// q, out: [rows, n_heads, head_dim]; k, v: [rows, n_kv_heads, head_dim] bfloat16, aligned to 16 bytes; lse:
// [rows, n_heads] float32, the log-sum-exp of the scaled scores; scale is positive.
//
// Grid: (tiles, n_kv_heads), blocks of MMA_THREADS threads; tiles of at most MMA_ROWS rows, a row being a query of one
// of the heads of the group. Dynamic shared memory: 512 * head_dim bytes. Floor: 4 * keys seen * n_heads * head_dim
// floating-point operations, of which a full tile does 64 for each byte of keys and values that it reads.
#include "attention_mma.cuh"

constexpr int MMA_ROWS = 64;
constexpr int MMA_KEYS = 64;
constexpr int MMA_THREADS = MMA_ROWS / WARP_ROWS * WARP;

template <int DIM>
__device__ __forceinline__ void flash_attention(
    const QueryTile* tiles, const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, int n_heads,
    int n_kv_heads, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    const QueryTile tile = tiles[blockIdx.x];
    const int group = n_heads / n_kv_heads;
    const KeyStream<DIM, MMA_KEYS, MMA_THREADS> stream = {
        k, v, n_kv_heads, static_cast<int>(blockIdx.y), tile, reinterpret_cast<bf16*>(dynamic_shared)};
    stream.copy(0);

    const int part = threadIdx.x / WARP;
    const auto position = [&](int row, unsigned query) {
        return static_cast<size_t>(tile.query_start + query) * n_heads + blockIdx.y * group + row - query * group;
    };
    WarpRows<DIM, MMA_KEYS> rows;
    rows.begin();
#pragma unroll
    for (int half = 0; half < 2; half++) {
        // What has no row does as the first one and is not stored.
        const int row = rows.row(part) + 8 * half, some = row < tile.n_queries * group ? row : 0;
        rows.n_more[half] = some / group;
        rows.load_query(half, q + position(some, rows.n_more[half]) * DIM);
    }
    const bool has_rows = part * WARP_ROWS < tile.n_queries * group;
    attend(rows, has_rows, stream, scale);
    if (!has_rows) return;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float mass = rows.whole_mass(half);
        const int row = rows.row(part) + 8 * half;
        if (row >= tile.n_queries * group) continue;
        const size_t at = position(row, rows.n_more[half]);
        const float inverse = 1.0f / mass;
        unsigned* pairs = reinterpret_cast<unsigned*>(out + at * DIM + rows.pair());
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
            pairs[i * 4] = pack(rows.sums[i][2 * half] * inverse, rows.sums[i][2 * half + 1] * inverse);
        }
        if (rows.pair() == 0) lse[at] = rows.largest[half] * scale + logf(mass);
    }
}

// As many blocks on a multiprocessor as there are registers for without spills.
#define DEFINE(name, DIM, N_BLOCKS)                                                                 \
    extern "C" __global__ void __launch_bounds__(MMA_THREADS, N_BLOCKS) name(                       \
        const QueryTile* tiles, const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, \
        int n_heads, int n_kv_heads, float scale) {                                                 \
        flash_attention<DIM>(tiles, q, k, v, out, lse, n_heads, n_kv_heads, scale);                 \
    }
DEFINE(flash_attention_64, 64, 3)
DEFINE(flash_attention_128, 128, 2)
#undef DEFINE
