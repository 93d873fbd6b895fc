// Attention of single queries for generation, in parts: each item is a set of queries that all see all of a run of
// keys, so that samples of one prompt read its keys once (arXiv 2402.05099) and long runs are shared out;
// `decode_combine` merges what the items found for a query.
//
// The host cuts runs every so many keys from their start and lists a query's slots in the order of its keys. No result
// depends on the batch: not on the other queries of an item, nor on which of the two mma kernels took it.
//
// q, out: [rows, n_heads, head_dim], k, v: [rows, n_kv_heads, head_dim] activations, for mma aligned to 16 bytes and of
// head_dim 64 or 128; partial_out: [slots, n_heads, head_dim] float32, means of values weighted by the softmax over an
// item's keys; partial_lse: [slots, n_heads] and lse: [rows, n_heads] float32, log-sum-exps of scaled scores; scale is
// positive.
//
// How many items and queries there are is in device memory: grids are upper bounds, and blocks beyond return. One graph
// then serves all lengths.
//
// Grid: items * n_kv_heads blocks, the heads of an item side by side, as their keys are in memory. A row is a query in
// one of the heads of the group.
//   decode_attention_mma16_*: at most 16 rows an item, WARP threads, 256 * head_dim bytes of dynamic shared memory
//   decode_attention_mma64_*: at most 64 rows an item, 4 * WARP threads, the same shared memory
//   decode_attention_f32_*, _bf16_*: ROWS * LANES threads, blockIdx.y takes ROWS rows; 2 * KEYS numbers of float32 for
//   each of head_dim rounded up
//
// Floor: 4 * head_dim bytes a key and kv head; 8 * head_dim bytes a slot and head on top, written and read once, which
// is 3 % for 7 heads a group and runs of 512 keys.
//
// Of 4.8 TB/s with a latency of 1 us a multiprocessor of an H200 has to have 36 KB on their way. The kernel for 16 rows
// has 96 KB, one of two tiles of 32 keys in as many blocks as fit: 6 of head_dim 128 (33 KB of shared memory each) and
// 12 of 64 (as registers allow). Its blocks are single warps, as idle ones would take the registers of others; a warp
// needs some 1000 cycles for a tile, as an estimate, so that 6 are through 96 KB in 0.6 us. The kernel for 64 rows has
// 32 KB on their way, but 64 rows make of it what 4 warps can compute.
#include "attention_mma.cuh"
#include "attention_simt.cuh"

struct DecodeItem {
    // Targets: n_queries of them from first_target on.
    unsigned first_target, n_queries;
    // Keys: n_keys rows from key_start on, at least one.
    unsigned key_start, n_keys;
};

// Of an item's query, its row and the slot for what the item finds.
struct DecodeTarget {
    unsigned query, slot;
};

// A query's row and its slots: n_slots from first_slot on, at least one.
struct DecodeQuery {
    unsigned query, first_slot, n_slots;
};

constexpr int DECODE_KEYS = 32;

// A run of keys that every query sees, as a prefix.
__device__ __forceinline__ QueryTile run_of(const DecodeItem& item) {
    return {0, 1, item.key_start, item.n_keys, 0, 0};
}

template <int DIM, int N_WARPS>
__device__ __forceinline__ void decode_attention_mma(
    const unsigned* n_items, const DecodeItem* items, const DecodeTarget* targets, const bf16* q, const bf16* k,
    const bf16* v, float* partial_out, float* partial_lse, int n_heads, int n_kv_heads, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    const unsigned number = blockIdx.x / n_kv_heads;
    const int kv_head = blockIdx.x % n_kv_heads;
    if (number >= *n_items) return;
    const DecodeItem item = items[number];
    const QueryTile run = run_of(item);
    const KeyStream<DIM, DECODE_KEYS, N_WARPS * WARP> stream = {
        k, v, n_kv_heads, kv_head, run, reinterpret_cast<bf16*>(dynamic_shared)};
    stream.copy(0);

    // First warps are on the same part of a multiprocessor; which of them has the first rows, and maybe the only ones,
    // changes from block to block.
    const int part = (threadIdx.x / WARP + blockIdx.x) % N_WARPS;
    const int group = n_heads / n_kv_heads, n_rows = item.n_queries * group;
    WarpRows<DIM, DECODE_KEYS> rows;
    rows.begin();
    // Where the two rows of the thread belong in [slots, n_heads].
    unsigned places[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        // What has no row does as the first one and is not stored.
        const int row = rows.row(part) + 8 * half, some = row < n_rows ? row : 0;
        const DecodeTarget target = targets[item.first_target + some / group];
        const size_t head = kv_head * group + some % group;
        places[half] = target.slot * n_heads + head;
        rows.n_more[half] = 0;
        rows.load_query(half, q + (static_cast<size_t>(target.query) * n_heads + head) * DIM);
    }
    const bool has_rows = part * WARP_ROWS < n_rows;
    attend(rows, has_rows, stream, scale);
    if (!has_rows) return;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float mass = rows.whole_mass(half);
        if (rows.row(part) + 8 * half >= n_rows) continue;
        const float inverse = 1.0f / mass;
        float* to = partial_out + static_cast<size_t>(places[half]) * DIM + rows.pair();
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
            store<2>(to, i * 4, {{rows.sums[i][2 * half] * inverse, rows.sums[i][2 * half + 1] * inverse}});
        }
        if (rows.pair() == 0) partial_lse[places[half]] = rows.largest[half] * scale + logf(mass);
    }
}

#define DEFINE(name, DIM, N_WARPS, N_BLOCKS)                                                                          \
    extern "C" __global__ void __launch_bounds__(N_WARPS* WARP, N_BLOCKS) name(                                       \
        const unsigned* n_items, const DecodeItem* items, const DecodeTarget* targets, const bf16* q, const bf16* k,  \
        const bf16* v, float* partial_out, float* partial_lse, int n_heads, int n_kv_heads, float scale) {            \
        decode_attention_mma<DIM, N_WARPS>(                                                                           \
            n_items, items, targets, q, k, v, partial_out, partial_lse, n_heads, n_kv_heads, scale);                  \
    }
DEFINE(decode_attention_mma16_64, 64, 1, 12)
DEFINE(decode_attention_mma16_128, 128, 1, 6)
DEFINE(decode_attention_mma64_64, 64, 4, 4)
DEFINE(decode_attention_mma64_128, 128, 4, 2)
#undef DEFINE

// DIM is head_dim rounded up.
template <class T, int DIM>
__device__ __forceinline__ void decode_attention_simt(
    const unsigned* n_items, const DecodeItem* items, const DecodeTarget* targets, const T* q, const T* k, const T* v,
    float* partial_out, float* partial_lse, int n_heads, int n_kv_heads, int head_dim, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    const unsigned number = blockIdx.x / n_kv_heads;
    const int kv_head = blockIdx.x % n_kv_heads;
    if (number >= *n_items) return;
    const DecodeItem item = items[number];
    const int group = n_heads / n_kv_heads, first_row = blockIdx.y * ROWS, n_rows = item.n_queries * group;
    if (first_row >= n_rows) return;
    SimtRow<DIM> row;
    const bool is_row = first_row + row.row() < n_rows;
    const int some = is_row ? first_row + row.row() : 0;
    const DecodeTarget target = targets[item.first_target + some / group];
    const size_t head = kv_head * group + some % group;
    row.begin(q + (static_cast<size_t>(target.query) * n_heads + head) * head_dim, head_dim, scale);
    row.attend(reinterpret_cast<float*>(dynamic_shared), k, v, run_of(item), item.n_keys, item.n_keys, kv_head,
               n_kv_heads, head_dim);
    if (!is_row) return;
    const size_t place = static_cast<size_t>(target.slot) * n_heads + head;
    row.store_mean(partial_out + place * head_dim, head_dim);
    if (row.lane() == 0) partial_lse[place] = row.log_sum_exp();
}

#define DEFINE(name, T, DIM)                                                                                     \
    extern "C" __global__ void __launch_bounds__(ROWS* LANES, 4) name(                                           \
        const unsigned* n_items, const DecodeItem* items, const DecodeTarget* targets, const T* q, const T* k,   \
        const T* v, float* partial_out, float* partial_lse, int n_heads, int n_kv_heads, int head_dim,           \
        float scale) {                                                                                           \
        decode_attention_simt<T, DIM>(                                                                           \
            n_items, items, targets, q, k, v, partial_out, partial_lse, n_heads, n_kv_heads, head_dim, scale);   \
    }
DEFINE(decode_attention_f32_64, float, 64)
DEFINE(decode_attention_f32_128, float, 128)
DEFINE(decode_attention_f32_256, float, 256)
DEFINE(decode_attention_bf16_64, bf16, 64)
DEFINE(decode_attention_bf16_128, bf16, 128)
DEFINE(decode_attention_bf16_256, bf16, 256)
#undef DEFINE

// Merges a query's slots in their order. Grid: queries * n_heads / (BLOCK / WARP) blocks of BLOCK threads, of which a
// warp has a query in one head; head_dim <= COMBINED. Floor: 4 * head_dim bytes a slot and head.
constexpr int COMBINED = 256;

template <class T>
__device__ __forceinline__ void decode_combine(
    const unsigned* n_queries, const DecodeQuery* queries, const float* partial_out, const float* partial_lse, T* out,
    float* lse, int n_heads, int head_dim) {
    const size_t number = static_cast<size_t>(blockIdx.x) * (BLOCK / WARP) + threadIdx.x / WARP;
    if (number >= static_cast<size_t>(*n_queries) * n_heads) return;
    const DecodeQuery query = queries[number / n_heads];
    const size_t head = number % n_heads, first = static_cast<size_t>(query.first_slot) * n_heads + head;
    const int lane = threadIdx.x % WARP;
    float largest = -INFINITY;
    for (unsigned slot = lane; slot < query.n_slots; slot += WARP) {
        largest = fmaxf(largest, partial_lse[first + static_cast<size_t>(slot) * n_heads]);
    }
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, bits));
    float mass = 0.0f, sums[COMBINED / WARP] = {};
    for (unsigned slot = 0; slot < query.n_slots; slot++) {
        const size_t place = first + static_cast<size_t>(slot) * n_heads;
        const float weight = expf(partial_lse[place] - largest);
        mass += weight;
#pragma unroll
        for (int i = 0; i < COMBINED / WARP; i++) {
            const int column = i * WARP + lane;
            if (column < head_dim) sums[i] += weight * partial_out[place * head_dim + column];
        }
    }
    const size_t position = static_cast<size_t>(query.query) * n_heads + head;
#pragma unroll
    for (int i = 0; i < COMBINED / WARP; i++) {
        const int column = i * WARP + lane;
        if (column < head_dim) from_float(out[position * head_dim + column], sums[i] / mass);
    }
    if (lane == 0) lse[position] = largest + logf(mass);
}

#define DEFINE(name, T)                                                                                           \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(                                                     \
        const unsigned* n_queries, const DecodeQuery* queries, const float* partial_out, const float* partial_lse, \
        T* out, float* lse, int n_heads, int head_dim) {                                                          \
        decode_combine<T>(n_queries, queries, partial_out, partial_lse, out, lse, n_heads, head_dim);             \
    }
DEFINE(decode_combine_f32, float)
DEFINE(decode_combine_bf16, bf16)
#undef DEFINE
