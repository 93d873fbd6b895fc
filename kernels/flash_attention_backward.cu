// Gradients of attention on tensor cores: what attention_backward.cu computes, for bfloat16 activations and heads of 64
// or 128 numbers, in tiles (FlashAttention-2, arXiv 2307.08691). `attention_delta` is there.
//
// Both kernels are one computation. A block has rows, 16 to a warp, and walks over columns: queries over the keys that
// they see for dq, keys over the queries that see them for dk and dv. With R and G the operands of the rows and C and D
// those of the columns (q and d_out, k and v for dq) it computes weights p from R C^T and d_score = p * (G D^T - delta)
// and sums d_score C, and for keys p D. A column of queries is one query in one of the heads of the group, heads first.
//
// Scores and sums are float32; p and d_score are rounded to bfloat16 where they are factors. Columns are taken 16 at a
// time, counted from the first that a sequence has, and those not seen add zeros: no result depends on how rows are cut
// into tiles, on where a prefix ends, or on other rows.
//
// A warp holds its sums, and the scores of COLUMNS columns, in registers; its rows stay in shared memory, as there is
// no room for both, and columns are there twice, one tile being copied while the other is multiplied. Reading shared
// memory is the limit: for 16 rows a warp reads 1.5 (dq) or 2 times (dk, dv) the columns' two operands.
//
// q, d_out, dq: [rows, n_heads, DIM]; k, v, dk, dv: [rows, n_kv_heads, DIM] bfloat16, all aligned to 16 bytes; lse,
// delta: [rows, n_heads] float32; rows * n_heads is below 2^31. Grid: (tiles, n_kv_heads), blocks of THREADS threads.
// Dynamic shared memory: (2 * ROWS + 4 * COLUMNS) * DIM bfloat16, which is 48 KiB for a DIM of 64 and 64 KiB for 128.
#include "attention.cuh"
#include "attention_backward.cuh"
#include "ptx.cuh"

// Rows of a tile at most: a query of one of the heads of the group, or a key.
constexpr int ROWS = 64;
constexpr int WARP_ROWS = 16;
constexpr int THREADS = ROWS / WARP_ROWS * WARP;

// Columns that are taken together; more would take more registers and shared memory than two blocks can have.
template <int DIM>
constexpr int COLUMNS = DIM == 64 ? 64 : 32;

constexpr float LOG2_E = 1.44269504f;

// Numbers of a 16-byte chunk, which is what is copied at once and what a row of a matrix for tensor cores has.
constexpr int CHUNK = 8;

// Where a chunk of a row is in shared memory: such that the same chunk of eight rows is in different banks, and that
// place(row, a ^ b) is place(row, a) ^ (b * CHUNK), which takes few instructions where b is known.
template <int DIM>
__device__ __forceinline__ int place(int row, int chunk) {
    return (row * DIM + row % 8 * CHUNK) ^ (chunk * CHUNK);
}

// Begins to copy N rows of DIM numbers; `row_of(i)` is where row i is, or negative if it has none and is zeros.
template <int DIM, int N, class F>
__device__ __forceinline__ void copy_rows(bf16* to, const bf16* from, F row_of) {
    constexpr int CHUNKS = DIM / CHUNK;
#pragma unroll
    for (int start = 0; start < N * CHUNKS; start += THREADS) {
        const int i = (start + threadIdx.x) / CHUNKS, chunk = (start + threadIdx.x) % CHUNKS;
        const int row = row_of(i);
        copy_async(
            to + place<DIM>(i, chunk), from + static_cast<size_t>(max(row, 0)) * DIM + chunk * CHUNK, row >= 0);
    }
}

// products[row, column] = rows . columns for the 16 rows of a warp and N columns.
template <int DIM, int N>
__device__ __forceinline__ void multiply(float (&products)[N / 8][4], const bf16* rows, const bf16* columns) {
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < N / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) products[i][j] = 0.0f;
    }
#pragma unroll
    for (int chunk = 0; chunk < DIM / CHUNK; chunk += 2) {
        unsigned a[4];
        load_matrices(a, rows + place<DIM>(lane % 16, chunk ^ lane / 16));
#pragma unroll
        for (int column = 0; column < N; column += 16) {
            unsigned b[4];
            load_matrices(b, columns + column * DIM + place<DIM>(lane / 16 * 8 + lane % 8, chunk ^ lane / 8 % 2));
            mma(products[column / 8], a, b[0], b[1]);
            mma(products[column / 8 + 1], a, b[2], b[3]);
        }
    }
}

// sums[row, :] += sum over N columns of factors[row, column] * columns[column, :].
template <int DIM, int N>
__device__ __forceinline__ void add_products(
    float (&sums)[DIM / 8][4], const unsigned (&factors)[N / 16][4], const bf16* columns) {
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int column = 0; column < N; column += 16) {
#pragma unroll
        for (int chunk = 0; chunk < DIM / CHUNK; chunk += 2) {
            unsigned b[4];
            load_transposed(b, columns + column * DIM + place<DIM>(lane % 16, chunk ^ lane / 16));
            mma(sums[chunk], factors[column / 16], b[0], b[1]);
            mma(sums[chunk + 1], factors[column / 16], b[2], b[3]);
        }
    }
}

// What `mma` left, as a factor of the next one.
template <int N>
__device__ __forceinline__ void pack_factors(unsigned (&factors)[N / 16][4], const float (&values)[N / 8][4]) {
#pragma unroll
    for (int i = 0; i < N / 8; i++) {
        factors[i / 2][i % 2 * 2] = pack(values[i][0], values[i][1]);
        factors[i / 2][i % 2 * 2 + 1] = pack(values[i][2], values[i][3]);
    }
}

// Overwrites dq. A tile has at most ROWS queries in all heads of its group. Floor: keys and values once for each tile,
// or 6 * keys seen * n_heads * DIM floating-point operations.
template <int DIM>
__device__ __forceinline__ void backward_q(
    const QueryTile* tiles, const bf16* q, const bf16* k, const bf16* v, const float* lse, const float* delta,
    const bf16* d_out, bf16* dq, int n_heads, int n_kv_heads, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    constexpr int N = COLUMNS<DIM>;
    bf16* queries = reinterpret_cast<bf16*>(dynamic_shared);
    bf16* gradients = queries + ROWS * DIM;
    bf16* stages = gradients + ROWS * DIM;
    const QueryTile tile = tiles[blockIdx.x];
    const int group = n_heads / n_kv_heads, n_rows = tile.n_queries * group;
    const unsigned n_seen_by_all = tile.prefix_len + tile.n_own_seen;
    const unsigned n_keys = n_seen_by_all + tile.n_queries - 1;
    const int lane = threadIdx.x % WARP, first_row = threadIdx.x / WARP * WARP_ROWS;

    const auto position_of = [=](int row) {
        const int query = tile.query_start + row / group, head = blockIdx.y * group + row % group;
        return row < n_rows ? query * n_heads + head : -1;
    };
    const auto copy_keys = [=](unsigned first, int stage) {
        const auto row_of = [=](int i) {
            const int row = static_cast<int>(key_row(tile, first + i)), head = blockIdx.y;
            return first + i < n_keys ? row * n_kv_heads + head : -1;
        };
        copy_rows<DIM, N>(stages + stage * 2 * N * DIM, k, row_of);
        copy_rows<DIM, N>(stages + (stage * 2 + 1) * N * DIM, v, row_of);
        copy_async_commit();
    };
    copy_rows<DIM, ROWS>(queries, q, position_of);
    copy_rows<DIM, ROWS>(gradients, d_out, position_of);
    copy_keys(0, 0);

    // Of the two rows that a thread has of its warp's.
    int positions[2];
    float log_sums[2], means[2];
    unsigned n_seen[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = first_row + lane / 4 + 8 * i;
        positions[i] = position_of(row);
        log_sums[i] = positions[i] < 0 ? INFINITY : lse[positions[i]] * LOG2_E;
        means[i] = positions[i] < 0 ? 0.0f : delta[positions[i]];
        n_seen[i] = n_seen_by_all + row / group;
    }
    float sums[DIM / 8][4] = {};
    int stage = 0;
    for (unsigned first = 0; first < n_keys; first += N, stage ^= 1) {
        copy_async_wait<0>();
        // The copies of all threads have arrived, and nobody reads the other stage any more.
        __syncthreads();
        if (first + N < n_keys) copy_keys(first + N, stage ^ 1);
        const bf16* keys = stages + stage * 2 * N * DIM;
        const bf16* values = keys + N * DIM;
        float weights[N / 8][4], d_weights[N / 8][4];
        multiply<DIM, N>(weights, queries + first_row * DIM, keys);
        const bool are_all_seen = first + N <= n_seen_by_all;
#pragma unroll
        for (int i = 0; i < N / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const unsigned key = first + i * 8 + lane % 4 * 2 + j % 2;
                const float weight = exp2_approx(weights[i][j] * (scale * LOG2_E) - log_sums[j / 2]);
                weights[i][j] = are_all_seen || key < n_seen[j / 2] ? weight : 0.0f;
            }
        }
        multiply<DIM, N>(d_weights, gradients + first_row * DIM, values);
#pragma unroll
        for (int i = 0; i < N / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) weights[i][j] *= d_weights[i][j] - means[j / 2];
        }
        unsigned d_scores[N / 16][4];
        pack_factors<N>(d_scores, weights);
        add_products<DIM, N>(sums, d_scores, keys);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (positions[i] < 0) continue;
#pragma unroll
        for (int chunk = 0; chunk < DIM / CHUNK; chunk++) {
            Vector<bf16, 2> pair;
            from_float(pair.lanes[0], sums[chunk][2 * i] * scale);
            from_float(pair.lanes[1], sums[chunk][2 * i + 1] * scale);
            store<2>(dq, (static_cast<size_t>(positions[i]) * DIM + chunk * CHUNK) / 2 + lane % 4, pair);
        }
    }
}

// N columns of the queries of a viewer, from `first` on, which is a multiple of N.
struct QueryColumns {
    unsigned viewer;
    int first;
};

// The first columns of a viewer that see a key of a tile.
__device__ __forceinline__ int first_columns(const Viewer& viewer, int group, int n) {
    return max(viewer.offset, 0) * group / n * n;
}

__device__ __forceinline__ void add_pair(bf16* to, const Vector<float, 2>& summands) {
    auto sums = load<2>(to, 0);
#pragma unroll
    for (int i = 0; i < 2; i++) from_float(sums.lanes[i], to_float(sums.lanes[i]) + summands.lanes[i]);
    store<2>(to, 0, sums);
}

// Adds to dk and dv, or fills a tile's slot of `parts`, in the order of the tile's viewers, of queries, of the heads of
// the group. A tile has at most ROWS keys, and a viewer at least one query that sees one of them. Floor: queries and
// gradients once for each tile that they see, or 8 * keys seen * n_heads * DIM floating-point operations.
template <int DIM>
__device__ __forceinline__ void backward_kv(
    const KeyTile* tiles, const Viewer* viewers, const bf16* q, const bf16* k, const bf16* v, const float* lse,
    const float* delta, const bf16* d_out, bf16* dk, bf16* dv, float* parts, int n_heads, int n_kv_heads,
    float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    constexpr int N = COLUMNS<DIM>;
    __shared__ float log_sums[2][N], means[2][N];
    bf16* keys = reinterpret_cast<bf16*>(dynamic_shared);
    bf16* values = keys + ROWS * DIM;
    bf16* stages = values + ROWS * DIM;
    const KeyTile tile = tiles[blockIdx.x];
    viewers += tile.viewers_start;
    const int group = n_heads / n_kv_heads;
    const int lane = threadIdx.x % WARP, first_row = threadIdx.x / WARP * WARP_ROWS;

    const auto row_of = [=](int i) {
        const int key = tile.key_start + i, head = blockIdx.y;
        return i < tile.n_keys ? key * n_kv_heads + head : -1;
    };
    copy_rows<DIM, ROWS>(keys, k, row_of);
    copy_rows<DIM, ROWS>(values, v, row_of);

    // Of the columns that are being copied, one to a thread.
    float log_sum = INFINITY, mean = 0.0f;
    const auto copy_queries = [&](QueryColumns columns, int stage) {
        const Viewer viewer = viewers[columns.viewer];
        const auto position_of = [=](int i) {
            const int column = columns.first + i;
            const int query = viewer.query_start + column / group, head = blockIdx.y * group + column % group;
            return column < static_cast<int>(viewer.n_queries) * group ? query * n_heads + head : -1;
        };
        copy_rows<DIM, N>(stages + stage * 2 * N * DIM, q, position_of);
        copy_rows<DIM, N>(stages + (stage * 2 + 1) * N * DIM, d_out, position_of);
        copy_async_commit();
        if (threadIdx.x >= N) return;
        const int position = position_of(threadIdx.x);
        log_sum = position < 0 ? INFINITY : lse[position] * LOG2_E;
        mean = position < 0 ? 0.0f : delta[position];
    };
    QueryColumns columns = {0, first_columns(viewers[0], group, N)};
    copy_queries(columns, 0);
    float key_sums[DIM / 8][4] = {}, value_sums[DIM / 8][4] = {};
    for (int stage = 0; columns.viewer < tile.n_viewers; stage ^= 1) {
        if (threadIdx.x < N) {
            log_sums[stage][threadIdx.x] = log_sum;
            means[stage][threadIdx.x] = mean;
        }
        copy_async_wait<0>();
        // The copies of all threads have arrived, and nobody reads the other stage any more.
        __syncthreads();
        const Viewer viewer = viewers[columns.viewer];
        QueryColumns next = {columns.viewer, columns.first + N};
        if (next.first >= static_cast<int>(viewer.n_queries) * group && ++next.viewer < tile.n_viewers) {
            next.first = first_columns(viewers[next.viewer], group, N);
        }
        if (next.viewer < tile.n_viewers) copy_queries(next, stage ^ 1);
        const bf16* queries = stages + stage * 2 * N * DIM;
        const bf16* gradients = queries + N * DIM;
        float weights[N / 8][4], d_weights[N / 8][4];
        multiply<DIM, N>(weights, keys + first_row * DIM, queries);
        // Column c is of query c / group, which sees key i if that is at least i + offset.
        const bool are_all_seen = columns.first >= (static_cast<int>(tile.n_keys) - 1 + viewer.offset) * group;
#pragma unroll
        for (int i = 0; i < N / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int column = i * 8 + lane % 4 * 2 + j % 2;
                const int first_to_see = (first_row + lane / 4 + j / 2 * 8 + viewer.offset) * group;
                const float weight = exp2_approx(weights[i][j] * (scale * LOG2_E) - log_sums[stage][column]);
                weights[i][j] = are_all_seen || columns.first + column >= first_to_see ? weight : 0.0f;
            }
        }
        multiply<DIM, N>(d_weights, values + first_row * DIM, gradients);
#pragma unroll
        for (int i = 0; i < N / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                d_weights[i][j] = weights[i][j] * (d_weights[i][j] - means[stage][i * 8 + lane % 4 * 2 + j % 2]);
            }
        }
        unsigned factors[N / 16][4];
        pack_factors<N>(factors, weights);
        add_products<DIM, N>(value_sums, factors, gradients);
        pack_factors<N>(factors, d_weights);
        add_products<DIM, N>(key_sums, factors, queries);
        columns = next;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = first_row + lane / 4 + 8 * i;
        if (row >= tile.n_keys) continue;
        const int n_before = (row * n_kv_heads + blockIdx.y) * DIM + lane % 4 * 2;
        const size_t key_start = static_cast<size_t>(tile.key_start) * n_kv_heads * DIM + n_before;
#pragma unroll
        for (int chunk = 0; chunk < DIM / CHUNK; chunk++) {
            const Vector<float, 2> for_key = {key_sums[chunk][2 * i] * scale, key_sums[chunk][2 * i + 1] * scale};
            const Vector<float, 2> for_value = {value_sums[chunk][2 * i], value_sums[chunk][2 * i + 1]};
            if (tile.slot == NO_SLOT) {
                add_pair(dk + key_start + chunk * CHUNK, for_key);
                add_pair(dv + key_start + chunk * CHUNK, for_value);
            } else {
                float* part = slot_start(parts, tile.slot, ROWS, n_kv_heads, DIM) + n_before + chunk * CHUNK;
                store<2>(part, 0, for_key);
                store<2>(part + ROWS * n_kv_heads * DIM, 0, for_value);
            }
        }
    }
}

// With so many blocks on a multiprocessor ptxas spills nothing.
#define DEFINE(DIM)                                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS, 3) flash_attention_backward_q_##DIM(                   \
        const QueryTile* tiles, const bf16* q, const bf16* k, const bf16* v, const float* lse,                   \
        const float* delta, const bf16* d_out, bf16* dq, int n_heads, int n_kv_heads, float scale) {             \
        backward_q<DIM>(tiles, q, k, v, lse, delta, d_out, dq, n_heads, n_kv_heads, scale);                      \
    }                                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) flash_attention_backward_kv_##DIM(                  \
        const KeyTile* tiles, const Viewer* viewers, const bf16* q, const bf16* k, const bf16* v,                \
        const float* lse, const float* delta, const bf16* d_out, bf16* dk, bf16* dv, float* parts, int n_heads,  \
        int n_kv_heads, float scale) {                                                                           \
        backward_kv<DIM>(tiles, viewers, q, k, v, lse, delta, d_out, dk, dv, parts, n_heads, n_kv_heads, scale); \
    }
DEFINE(64)
DEFINE(128)
#undef DEFINE
