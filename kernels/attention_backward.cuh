// How the host describes the work of the gradients of keys and values.
//
// Where spans of keys begin and end cuts the rows of keys into segments, so that all keys of a segment are in the same
// prefixes and own spans; tiles are parts of segments. A sequence whose prefix or own span has the tile is its viewer.
//
// A prefix of many sequences would keep one block busy long after all others, so that its viewers come in parts, each a
// tile with the same keys. The sums of a part go to a slot of their own, from which they are added to dk and dv in the
// order of the parts. How viewers are cut into parts may depend on them alone.
#pragma once

#include "common.cuh"

// The slot of a tile that has all viewers of its keys and adds to dk and dv by itself.
constexpr unsigned NO_SLOT = ~0u;

// Consecutive rows of keys, and who sees them: `n_viewers` of the viewers from `viewers_start` on.
struct KeyTile {
    unsigned key_start, n_keys;
    unsigned viewers_start, n_viewers;
    unsigned slot;
};

// Consecutive rows of keys whose sums are in the slots from `slots_start` on.
struct KeyParts {
    unsigned key_start, n_keys;
    unsigned slots_start, n_slots;
};

// Slots are [2 (keys, values), rows, n_kv_heads, head_dim] float32, `rows` being the most keys that a tile has.
__device__ __forceinline__ float* slot_start(float* parts, unsigned slot, int rows, int n_kv_heads, int head_dim) {
    return parts + static_cast<size_t>(slot) * 2 * rows * n_kv_heads * head_dim;
}

// The queries of a sequence. Query i sees key k of the tile, both counted from 0, if i >= k + offset. For an own span
// that is the place of the tile's first key in it, less the own keys before those of the queries; a prefix has an
// offset of minus the tile's keys or less, so that every query sees all of it, but not below -2^20.
struct Viewer {
    unsigned query_start, n_queries;
    int offset;
};
