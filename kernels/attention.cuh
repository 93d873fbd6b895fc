// What kernels for attention share: how the host describes their work. A query sees a prefix, which sequences may
// share, and then its sequence's own keys up to its own; keys are numbered through both.
#pragma once

#include "common.cuh"

// Consecutive queries of one sequence.
struct QueryTile {
    unsigned query_start, n_queries;
    unsigned prefix_start, prefix_len;
    // First own key, and how many of them the tile's first query sees.
    unsigned own_start, n_own_seen;
};

// The row of a tile's key.
__device__ __forceinline__ size_t key_row(const QueryTile& tile, unsigned key) {
    return key < tile.prefix_len ? tile.prefix_start + key : tile.own_start + key - tile.prefix_len;
}
