// How the host describes the work of the gradients of keys and values.
//
// Where spans of keys begin and end cuts the rows of keys into segments, so that all keys of a segment are in the same
// prefixes and own spans; tiles are parts of segments. A sequence whose prefix or own span has the tile is its viewer.
#pragma once

// Consecutive rows of keys, and who sees them: `n_viewers` of the viewers from `viewers_start` on.
struct KeyTile {
    unsigned key_start, n_keys;
    unsigned viewers_start, n_viewers;
};

// The queries of a sequence. Query i sees key k of the tile, both counted from 0, if i >= k + offset. For an own span
// that is the place of the tile's first key in it, less the own keys before those of the queries; a prefix has an
// offset of minus the tile's keys or less, so that every query sees all of it, but not below -2^20.
struct Viewer {
    unsigned query_start, n_queries;
    int offset;
};
