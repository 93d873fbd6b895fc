// Attention by tensor cores: what prefill and decoding share. A row is a query in one head; each warp of a block has 16
// rows and goes through the keys KEYS at a time, with a running maximum (arXiv 2307.08691).
//
// Products are of bfloat16 with float32 sums; weights are rounded to bfloat16 before they multiply values, but not for
// their sum. Every row is added up in the order of its keys, by one warp, whatever the other rows are.
//
// Two tiles of keys and values are in shared memory, of which one is on its way while the other is worked on. head_dim
// is DIM, 64 or 128.
#pragma once

#include "attention.cuh"
#include "ptx.cuh"

constexpr int WARP_ROWS = 16;
// Numbers in 16 bytes, which is what copies and fragments are made of.
constexpr int PIECE = 8;

constexpr float LOG2_E = 1.44269504088896340736f;

// A piece of a row of a tile in shared memory. The places of pieces in a row depend on the row, so that the same piece
// of eight rows in sequence is in different banks.
template <int DIM>
__device__ __forceinline__ bf16* piece(bf16* tile, int row, int index) {
    return tile + row * DIM + (index ^ row % 8) * PIECE;
}

// The keys and values that a block goes through, in one of the heads. It takes 8 * KEYS * DIM bytes of `room`. Rows of
// all heads together are fewer than 2^32.
template <int DIM, int KEYS, int THREADS>
struct KeyStream {
    const bf16 *k, *v;
    int n_kv_heads, kv_head;
    QueryTile tile;
    bf16* room;

    // What the first query sees, and what the last one does.
    __device__ __forceinline__ unsigned n_seen() const { return tile.prefix_len + tile.n_own_seen; }
    __device__ __forceinline__ unsigned n_keys() const { return n_seen() + tile.n_queries - 1; }

    __device__ __forceinline__ bf16* keys(unsigned first) const {
        return room + first / KEYS % 2 * (2 * KEYS * DIM);
    }
    __device__ __forceinline__ bf16* values(unsigned first) const { return keys(first) + KEYS * DIM; }

    // Begins to copy the tile of the keys from `first` on, as a group; zeros for keys that do not exist.
    __device__ __forceinline__ void copy(unsigned first) const {
        constexpr int PIECES = DIM / PIECE, AT_ONCE = THREADS / PIECES;
        const int index = threadIdx.x % PIECES;
#pragma unroll
        for (int i = 0; i < KEYS / AT_ONCE; i++) {
            const int key = threadIdx.x / PIECES + i * AT_ONCE;
            const bool exists = first + key < n_keys();
            const unsigned row = exists ? key_row(tile, first + key) : 0;
            const size_t from = static_cast<size_t>(row * n_kv_heads + kv_head) * DIM + index * PIECE;
            copy_async(piece<DIM>(keys(first), key, index), k + from, exists);
            copy_async(piece<DIM>(values(first), key, index), v + from, exists);
        }
        copy_async_commit();
    }
};

// What a thread has of its warp's rows: parts of two rows, which are 8 apart.
template <int DIM, int KEYS>
struct WarpRows {
    unsigned queries[DIM / 16][4];
    // How many keys each row sees more than the first one, in the order of rows.
    unsigned n_more[2];
    // Largest scores so far, not scaled, and relative to them the sums of weights (the thread's part of them) and of
    // weighted values.
    float largest[2], mass[2];
    float sums[DIM / 8][4];

    // The first of its two rows in the block, for a warp with the rows from 16 * part on.
    static __device__ __forceinline__ int row(int part) { return part * WARP_ROWS + threadIdx.x % WARP / 4; }
    static __device__ __forceinline__ int pair() { return threadIdx.x % 4 * 2; }

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            largest[half] = -INFINITY;
            mass[half] = 0.0f;
        }
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) sums[i][j] = 0.0f;
        }
    }

    // Takes the query of one of the two rows.
    __device__ __forceinline__ void load_query(int half, const bf16* query) {
        const unsigned* pairs = reinterpret_cast<const unsigned*>(query + pair());
#pragma unroll
        for (int i = 0; i < DIM / 16; i++) {
            queries[i][half] = pairs[i * 8];
            queries[i][half + 2] = pairs[i * 8 + 4];
        }
    }

    // Adds what the rows see of the tile of the keys from `first` on. `scale` makes of products the logarithms of
    // weights to base 2.
    template <class Stream>
    __device__ __forceinline__ void attend(const Stream& stream, unsigned first, float scale) {
        const int lane = threadIdx.x % WARP;
        bf16 *keys = stream.keys(first), *values = stream.values(first);
        float scores[KEYS / 8][4] = {};
#pragma unroll
        for (int i = 0; i < DIM / 16; i++) {
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++) {
                unsigned k[4];
                load_matrices(k, piece<DIM>(keys, j * 16 + lane / 16 * 8 + lane % 8, i * 2 + lane / 8 % 2));
                mma(scores[2 * j], queries[i], k[0], k[1]);
                mma(scores[2 * j + 1], queries[i], k[2], k[3]);
            }
        }
        const int n_left = static_cast<int>(stream.n_seen() + n_more[0] - first);
        if (n_left < KEYS) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int n_here = n_left + static_cast<int>(n_more[half] - n_more[0]) - pair();
#pragma unroll
                for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        if (i * 8 + j >= n_here) scores[i][2 * half + j] = -INFINITY;
                    }
                }
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) weigh(scores, half, scale);
#pragma unroll
        for (int i = 0; i < KEYS / 16; i++) {
            const float(&low)[4] = scores[2 * i], (&high)[4] = scores[2 * i + 1];
            const unsigned weights[4] = {
                pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]), pack(high[2], high[3])};
#pragma unroll
            for (int j = 0; j < DIM / 16; j++) {
                unsigned v[4];
                load_transposed(v, piece<DIM>(values, i * 16 + lane % 16, j * 2 + lane / 16));
                mma(sums[2 * j], weights, v[0], v[1]);
                mma(sums[2 * j + 1], weights, v[2], v[3]);
            }
        }
    }

    // Makes weights of the scores of one of the two rows, relative to the largest score so far.
    __device__ __forceinline__ void weigh(float (&scores)[KEYS / 8][4], int half, float scale) {
        float now = largest[half];
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++) now = fmaxf(now, fmaxf(scores[i][2 * half], scores[i][2 * half + 1]));
        // The 4 lanes of a row.
        now = fmaxf(now, __shfl_xor_sync(~0u, now, 1));
        now = fmaxf(now, __shfl_xor_sync(~0u, now, 2));
        // The first key is seen by every row, so that `now` is a number from the first tile on.
        const float factor = exp2_approx((largest[half] - now) * scale), offset = now * scale;
        largest[half] = now;
        float mass_here = 0.0f;
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
            for (int j = 2 * half; j < 2 * half + 2; j++) {
                scores[i][j] = exp2_approx(fmaf(scores[i][j], scale, -offset));
                mass_here += scores[i][j];
            }
        }
        mass[half] = mass[half] * factor + mass_here;
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
#pragma unroll
            for (int j = 2 * half; j < 2 * half + 2; j++) sums[i][j] *= factor;
        }
    }

    // The sum of a row's weights, once all keys are through.
    __device__ __forceinline__ float whole_mass(int half) const {
        float whole = mass[half] + __shfl_xor_sync(~0u, mass[half], 1);
        return whole + __shfl_xor_sync(~0u, whole, 2);
    }
};

// Goes through all keys, of which the copy of the first tile has begun. All threads of the block come here; warps
// without rows only copy.
template <int DIM, int KEYS, int THREADS>
__device__ __forceinline__ void attend(
    WarpRows<DIM, KEYS>& rows, bool has_rows, const KeyStream<DIM, KEYS, THREADS>& stream, float scale) {
    for (unsigned first = 0; first < stream.n_keys(); first += KEYS) {
        copy_async_wait<0>();
        // The tile is there for all, and nobody reads the one before any more.
        __syncthreads();
        if (first + KEYS < stream.n_keys()) stream.copy(first + KEYS);
        if (has_rows) rows.attend(stream, first, scale * LOG2_E);
    }
}
