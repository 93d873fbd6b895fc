// Attention of 16 rows in float32 arithmetic: what prefill and decoding share for activations of any kind and width. A
// row is a query in one head; 8 threads have one and go through the keys 32 at a time, with a running maximum
// (arXiv 2205.14135).
#pragma once

#include "attention.cuh"

// Rows of a block; threads of a row; keys that are taken together.
constexpr int ROWS = 16;
constexpr int LANES = 8;
constexpr int KEYS = 32;

template <class T, int DIM>
__device__ __forceinline__ void load_keys(
    float* to, const T* from, const QueryTile& tile, unsigned first, unsigned n_keys, int kv_head, int n_kv_heads,
    int head_dim) {
    for (int i = threadIdx.x; i < KEYS * DIM; i += ROWS * LANES) {
        const unsigned key = first + i / DIM;
        const int column = i % DIM;
        float value = 0.0f;
        if (key < n_keys && column < head_dim) {
            value = to_float(from[(key_row(tile, key) * n_kv_heads + kv_head) * head_dim + column]);
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

// What a thread has of its row: every LANES-th number. DIM is head_dim rounded up.
template <int DIM>
struct SimtRow {
    float queries[DIM / LANES], sums[DIM / LANES];
    float largest, mass;

    static __device__ __forceinline__ int row() { return threadIdx.x / LANES; }
    static __device__ __forceinline__ int lane() { return threadIdx.x % LANES; }

    template <class T>
    __device__ __forceinline__ void begin(const T* query, int head_dim, float scale) {
#pragma unroll
        for (int i = 0; i < DIM / LANES; i++) {
            const int column = i * LANES + lane();
            queries[i] = column < head_dim ? to_float(query[column]) * scale : 0.0f;
            sums[i] = 0.0f;
        }
        largest = -INFINITY;
        mass = 0.0f;
    }

    // Goes through the first `n_keys` keys of a tile, of which the row sees the first `n_seen`, at least one. All
    // threads of the block come here. `room` is for 2 * KEYS * DIM numbers.
    template <class T>
    __device__ __forceinline__ void attend(
        float* room, const T* k, const T* v, const QueryTile& tile, unsigned n_keys, unsigned n_seen, int kv_head,
        int n_kv_heads, int head_dim) {
        __shared__ float weights[ROWS][KEYS];
        float* keys = room;
        float* values = keys + KEYS * DIM;
        const auto larger = [](float a, float b) { return fmaxf(a, b); };
        const auto plus = [](float a, float b) { return a + b; };
        for (unsigned first = 0; first < n_keys; first += KEYS) {
            // The tile before may still be read.
            __syncthreads();
            load_keys<T, DIM>(keys, k, tile, first, n_keys, kv_head, n_kv_heads, head_dim);
            load_keys<T, DIM>(values, v, tile, first, n_keys, kv_head, n_kv_heads, head_dim);
            __syncthreads();
            float scores[KEYS / LANES];
#pragma unroll
            for (int i = 0; i < KEYS / LANES; i++) {
#pragma unroll 2
                for (int j = 0; j < LANES; j++) {
                    const float* key = keys + (i * LANES + j) * DIM;
                    float product = 0.0f;
#pragma unroll
                    for (int part = 0; part < DIM / LANES; part++) {
                        product += queries[part] * key[part * LANES + lane()];
                    }
                    const float score = over_row(product, plus);
                    if (j == lane()) scores[i] = first + i * LANES + j < n_seen ? score : -INFINITY;
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
                weights[row()][i * LANES + lane()] = weight;
                mass_here += weight;
            }
            mass = mass * factor + over_row(mass_here, plus);
            largest = largest_now;
            // The threads of a row are in one warp.
            __syncwarp();
#pragma unroll
            for (int i = 0; i < DIM / LANES; i++) sums[i] *= factor;
            for (int key = 0; key < KEYS; key++) {
                const float weight = weights[row()][key];
#pragma unroll
                for (int i = 0; i < DIM / LANES; i++) sums[i] += weight * values[key * DIM + i * LANES + lane()];
            }
        }
    }

    // Stores the weighted mean of the values.
    template <class T>
    __device__ __forceinline__ void store_mean(T* to, int head_dim) const {
#pragma unroll
        for (int i = 0; i < DIM / LANES; i++) {
            const int column = i * LANES + lane();
            if (column < head_dim) from_float(to[column], sums[i] / mass);
        }
    }

    __device__ __forceinline__ float log_sum_exp() const { return largest + logf(mass); }
};
