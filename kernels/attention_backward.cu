// Gradients of attention (see attention.cu) in float32 arithmetic, from the log-sum-exp it kept (arXiv 2205.14135):
//
//   p = exp(scale * q . k - lse),   d_score = p * (v . d_out - delta),   delta = out . d_out
//   dq = scale * sum over keys of d_score * k,   dk += scale * sum of d_score * q,   dv += sum of p * d_out
//
// Scores are computed twice, once with a block for each tile of queries, which sums dq, and once with a block for each
// tile of keys, which sums dk and dv over all queries that see it: each sum has one owner and one order. Sums run over
// one key or query after the other, so that no result depends on how rows are cut into tiles.
//
// q, out, d_out, dq: [rows, n_heads, head_dim]; k, v, dk, dv: [rows, n_kv_heads, head_dim] activations; lse, delta:
// [rows, n_heads] float32.
#include "attention.cuh"
#include "attention_backward.cuh"

// Rows of a tile at most, a row being a query of one of the heads of the group, or a key; threads of a row; keys, or
// queries of one head, that are taken together.
constexpr int ROWS = 16;
constexpr int LANES = 8;
constexpr int COLUMNS = 32;

// The sum over the threads of a row, in all of them.
__device__ __forceinline__ float sum_over_lanes(float value) {
#pragma unroll
    for (int bits = LANES / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(~0u, value, bits);
    return value;
}

// delta[i] = out[i] . d_out[i] for n heads of all rows; LANES threads for each, blocks of BLOCK. Floor: 2 activations a
// number.
template <class T, int N>
__device__ __forceinline__ void attention_delta(const T* out, const T* d_out, float* delta, int n, int head_dim) {
    const size_t i = (static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x) / LANES;
    const int n_vectors = i < n ? head_dim / N : 0;
    float sum = 0.0f;
    for (int index = threadIdx.x % LANES; index < n_vectors; index += LANES) {
        const auto outputs = load<N>(out, i * n_vectors + index);
        const auto gradients = load<N>(d_out, i * n_vectors + index);
#pragma unroll
        for (int lane = 0; lane < N; lane++) sum += to_float(outputs.lanes[lane]) * to_float(gradients.lanes[lane]);
    }
    sum = sum_over_lanes(sum);
    if (i < n && threadIdx.x % LANES == 0) delta[i] = sum;
}

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* out, const T* d_out, float* delta, int n, int head_dim) {                                  \
        attention_delta<T, N>(out, d_out, delta, n, head_dim);                                                   \
    }
FOR_ACTIVATIONS(DEFINE, attention_delta)
#undef DEFINE

// The COLUMNS rows of a tile in shared memory; `row_of(i)` is where row i is, or negative if it has none and is zeros.
template <class T, int DIM, class F>
__device__ __forceinline__ void load_columns(float* to, const T* from, int head_dim, F row_of) {
#pragma unroll 4
    for (int i = threadIdx.x; i < COLUMNS * DIM; i += ROWS * LANES) {
        const long long row = row_of(i / DIM);
        const int column = i % DIM;
        to[i] = row >= 0 && column < head_dim ? to_float(from[row * head_dim + column]) : 0.0f;
    }
}

// A thread's numbers of a row: every LANES-th.
template <class T, int DIM>
__device__ __forceinline__ void load_row(float* to, const T* from, bool is_row, int head_dim, float scale) {
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) {
        const int column = i * LANES + threadIdx.x % LANES;
        to[i] = is_row && column < head_dim ? to_float(from[column]) * scale : 0.0f;
    }
}

template <int DIM>
__device__ __forceinline__ float dot(const float* row, const float* column) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) sum += row[i] * column[i * LANES + threadIdx.x % LANES];
    return sum_over_lanes(sum);
}

template <int DIM>
__device__ __forceinline__ void add_scaled(float* to, float scale, const float* column) {
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) to[i] += scale * column[i * LANES + threadIdx.x % LANES];
}

// Overwrites dq. DIM is head_dim rounded up. Grid: (tiles, n_kv_heads, n_heads / n_kv_heads / ROWS rounded up), blocks of
// ROWS * LANES threads; a tile has at most ROWS queries in all heads of its group, or one of more heads. Dynamic shared
// memory: 2 * COLUMNS * DIM floats for keys and values. Floor: keys and values once for each tile, or 6 * keys seen * n_heads * head_dim floating-point operations.
template <class T, int DIM>
__device__ __forceinline__ void attention_backward_q(
    const QueryTile* tiles, const T* q, const T* k, const T* v, const float* lse, const float* delta, const T* d_out,
    T* dq, int n_heads, int n_kv_heads, int head_dim, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    float* keys = reinterpret_cast<float*>(dynamic_shared);
    float* values = keys + COLUMNS * DIM;
    const QueryTile tile = tiles[blockIdx.x];
    // A group of more heads than a tile has rows is shared by the blocks of z.
    const int first_head = blockIdx.z * ROWS;
    const int group = min(n_heads / n_kv_heads - first_head, ROWS);
    const int row = threadIdx.x / LANES;
    const bool is_row = row < tile.n_queries * group;
    const int query = is_row ? row / group : 0;
    const size_t head = blockIdx.y * (n_heads / n_kv_heads) + first_head + (is_row ? row % group : 0);
    const size_t position = static_cast<size_t>(tile.query_start + query) * n_heads + head;
    const unsigned n_seen = tile.prefix_len + tile.n_own_seen + query;
    const unsigned n_keys = tile.prefix_len + tile.n_own_seen + tile.n_queries - 1;

    float queries[DIM / LANES], gradients[DIM / LANES], sums[DIM / LANES] = {};
    load_row<T, DIM>(queries, q + position * head_dim, is_row, head_dim, scale);
    load_row<T, DIM>(gradients, d_out + position * head_dim, is_row, head_dim, 1.0f);
    const float log_sum = lse[position], mean = delta[position];
    for (unsigned first = 0; first < n_keys; first += COLUMNS) {
        const auto row_of = [=](int i) {
            const long long key = key_row(tile, first + i);
            return first + i < n_keys ? key * n_kv_heads + blockIdx.y : -1;
        };
        // The tile before may still be read.
        __syncthreads();
        load_columns<T, DIM>(keys, k, head_dim, row_of);
        load_columns<T, DIM>(values, v, head_dim, row_of);
        __syncthreads();
        for (int i = 0; i < COLUMNS && first + i < n_keys; i++) {
            const float score = dot<DIM>(queries, keys + i * DIM);
            const float weight = first + i < n_seen ? expf(score - log_sum) : 0.0f;
            const float d_weight = dot<DIM>(gradients, values + i * DIM);
            add_scaled<DIM>(sums, weight * (d_weight - mean), keys + i * DIM);
        }
    }
    if (!is_row) return;
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) {
        const int column = i * LANES + threadIdx.x % LANES;
        if (column < head_dim) from_float(dq[position * head_dim + column], sums[i] * scale);
    }
}

// Adds to dk and dv, or fills a tile's slot of `parts`, in the order of the tile's viewers, of the heads of the group,
// of queries. DIM is head_dim rounded up. Grid: (tiles, n_kv_heads), blocks of ROWS * LANES threads; a tile has at most
// ROWS keys. Dynamic shared memory: 2 * COLUMNS * DIM floats for queries and gradients. Floor: queries and gradients
// once for each tile that they see, or 8 * keys seen * n_heads * head_dim floating-point operations.
template <class T, int DIM>
__device__ __forceinline__ void attention_backward_kv(
    const KeyTile* tiles, const Viewer* viewers, const T* q, const T* k, const T* v, const float* lse,
    const float* delta, const T* d_out, T* dk, T* dv, float* parts, int n_heads, int n_kv_heads, int head_dim,
    float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    __shared__ float log_sums[COLUMNS], means[COLUMNS];
    float* queries = reinterpret_cast<float*>(dynamic_shared);
    float* gradients = queries + COLUMNS * DIM;
    const KeyTile tile = tiles[blockIdx.x];
    const int group = n_heads / n_kv_heads;
    const int row = threadIdx.x / LANES;
    const bool is_row = row < tile.n_keys;
    const size_t key_start = (static_cast<size_t>(tile.key_start + row) * n_kv_heads + blockIdx.y) * head_dim;

    float key[DIM / LANES], value[DIM / LANES], key_sums[DIM / LANES] = {}, value_sums[DIM / LANES] = {};
    load_row<T, DIM>(key, k + key_start, is_row, head_dim, scale);
    load_row<T, DIM>(value, v + key_start, is_row, head_dim, 1.0f);
    for (unsigned index = 0; index < tile.n_viewers * group; index++) {
        const Viewer viewer = viewers[tile.viewers_start + index / group];
        const size_t head = blockIdx.y * group + index % group;
        const int n_queries = viewer.n_queries;
        // Queries before see no key of the tile.
        for (int first = max(viewer.offset, 0); first < n_queries; first += COLUMNS) {
            const auto row_of = [=](int i) {
                const long long position = (viewer.query_start + first + i) * static_cast<size_t>(n_heads) + head;
                return first + i < n_queries ? position : -1;
            };
            // The tile before may still be read.
            __syncthreads();
            load_columns<T, DIM>(queries, q, head_dim, row_of);
            load_columns<T, DIM>(gradients, d_out, head_dim, row_of);
            if (threadIdx.x < COLUMNS && first + static_cast<int>(threadIdx.x) < n_queries) {
                log_sums[threadIdx.x] = lse[row_of(threadIdx.x)];
                means[threadIdx.x] = delta[row_of(threadIdx.x)];
            }
            __syncthreads();
            for (int i = 0; i < COLUMNS && first + i < n_queries; i++) {
                const float score = dot<DIM>(key, queries + i * DIM);
                const bool is_seen = first + i >= row + viewer.offset;
                const float weight = is_seen ? expf(score - log_sums[i]) : 0.0f;
                const float d_weight = dot<DIM>(value, gradients + i * DIM);
                add_scaled<DIM>(key_sums, weight * (d_weight - means[i]), queries + i * DIM);
                add_scaled<DIM>(value_sums, weight, gradients + i * DIM);
            }
        }
    }
    if (!is_row) return;
#pragma unroll
    for (int i = 0; i < DIM / LANES; i++) {
        const int column = i * LANES + threadIdx.x % LANES;
        if (column >= head_dim) continue;
        if (tile.slot == NO_SLOT) {
            T& key_gradient = dk[key_start + column];
            T& value_gradient = dv[key_start + column];
            from_float(key_gradient, to_float(key_gradient) + key_sums[i] * scale);
            from_float(value_gradient, to_float(value_gradient) + value_sums[i]);
        } else {
            float* part = slot_start(parts, tile.slot, ROWS, n_kv_heads, head_dim) +
                          (row * n_kv_heads + blockIdx.y) * head_dim + column;
            part[0] = key_sums[i] * scale;
            part[ROWS * n_kv_heads * head_dim] = value_sums[i];
        }
    }
}

// One block a multiprocessor is all that is asked for, or ptxas would spill for the sake of more.
#define DEFINE(suffix, T, DIM)                                                                                   \
    extern "C" __global__ void __launch_bounds__(ROWS* LANES, 1) attention_backward_q_##suffix(                  \
        const QueryTile* tiles, const T* q, const T* k, const T* v, const float* lse, const float* delta,        \
        const T* d_out, T* dq, int n_heads, int n_kv_heads, int head_dim, float scale) {                         \
        attention_backward_q<T, DIM>(                                                                            \
            tiles, q, k, v, lse, delta, d_out, dq, n_heads, n_kv_heads, head_dim, scale);                        \
    }                                                                                                            \
    extern "C" __global__ void __launch_bounds__(ROWS* LANES, 1) attention_backward_kv_##suffix(                 \
        const KeyTile* tiles, const Viewer* viewers, const T* q, const T* k, const T* v, const float* lse,       \
        const float* delta, const T* d_out, T* dk, T* dv, float* parts, int n_heads, int n_kv_heads,             \
        int head_dim, float scale) {                                                                             \
        attention_backward_kv<T, DIM>(                                                                           \
            tiles, viewers, q, k, v, lse, delta, d_out, dk, dv, parts, n_heads, n_kv_heads, head_dim, scale);    \
    }
DEFINE(f32_64, float, 64)
DEFINE(f32_128, float, 128)
DEFINE(f32_256, float, 256)
DEFINE(bf16_64, bf16, 64)
DEFINE(bf16_128, bf16, 128)
DEFINE(bf16_256, bf16, 256)
#undef DEFINE

// dk, dv += the sum over the slots of some keys, in their order. Grid: (tiles of keys, rows * n_kv_heads * head_dim /
// BLOCK rounded up), blocks of BLOCK threads, `rows` being that of the slots. Floor: 8 bytes a number of a slot.
template <class T>
__device__ __forceinline__ void attention_add_parts(
    const KeyParts* tiles, float* parts, T* dk, T* dv, int rows, int n_kv_heads, int head_dim) {
    const KeyParts tile = tiles[blockIdx.x];
    const int width = n_kv_heads * head_dim, i = blockIdx.y * BLOCK + threadIdx.x;
    if (i >= tile.n_keys * width) return;
    float key_sum = 0.0f, value_sum = 0.0f;
    for (unsigned slot = tile.slots_start; slot < tile.slots_start + tile.n_slots; slot++) {
        const float* part = slot_start(parts, slot, rows, n_kv_heads, head_dim) + i;
        key_sum += part[0];
        value_sum += part[rows * width];
    }
    const size_t to = static_cast<size_t>(tile.key_start) * width + i;
    from_float(dk[to], to_float(dk[to]) + key_sum);
    from_float(dv[to], to_float(dv[to]) + value_sum);
}

#define DEFINE(name, T)                                                                                          \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(                                                    \
        const KeyParts* tiles, float* parts, T* dk, T* dv, int rows, int n_kv_heads, int head_dim) {             \
        attention_add_parts<T>(tiles, parts, dk, dv, rows, n_kv_heads, head_dim);                                \
    }
DEFINE(attention_add_parts_f32, float)
DEFINE(attention_add_parts_bf16, bf16)
#undef DEFINE
