// What tests of attention share: sequences, their tiles, and attention in float64.
#pragma once

#include "../attention.cuh"
#include "harness.h"

namespace harness {

// As `AttentionSequence` of the transformer.
struct Sequence {
    unsigned query_start, n_queries, prefix_start, prefix_len, own_start, own_len;
};

struct Heads {
    size_t n_heads, n_kv_heads, head_dim;
    size_t group() const { return n_heads / n_kv_heads; }
    float scale() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim))); }
};

// Of tensor cores' results on values below 1: a weight is rounded to bfloat16, by at most 2^-8 of itself, and with it a
// weighted mean; rounding that to what is stored adds 2^-9.
constexpr double MMA_TOLERANCE = 3.0 / 512;

template <class T>
inline Array<T> array_of(const std::vector<T>& values) {
    Array<T> array(values.size());
    for (size_t i = 0; i < values.size(); i++) array[i] = values[i];
    return array;
}

// Tiles of at most `n_rows` rows, a row being a query in one of the heads of a group.
inline Array<QueryTile> tiles_of(const std::vector<Sequence>& sequences, size_t n_rows, size_t group) {
    std::vector<QueryTile> tiles;
    const unsigned most = static_cast<unsigned>(n_rows / group);
    for (const Sequence& sequence : sequences) {
        for (unsigned first = 0; first < sequence.n_queries; first += most) {
            tiles.push_back(
                {sequence.query_start + first, std::min(most, sequence.n_queries - first), sequence.prefix_start,
                 sequence.prefix_len, sequence.own_start, sequence.own_len - sequence.n_queries + first + 1});
        }
    }
    return array_of(tiles);
}

// Random queries, keys and values, and what attention makes of them.
template <class T>
struct AttentionCase {
    Heads heads;
    std::vector<Sequence> sequences;
    Array<T> q, k, v;
    std::vector<double> wanted_out, wanted_lse;

    // Queries and keys in rows as far as the last sequence has them.
    AttentionCase(const std::vector<Sequence>& sequences, Heads heads)
        : heads(heads),
          sequences(sequences),
          q(numbers<T>(1, n_queries() * heads.n_heads * heads.head_dim, 3.0)),
          k(numbers<T>(2, n_keys() * heads.n_kv_heads * heads.head_dim)),
          v(numbers<T>(3, n_keys() * heads.n_kv_heads * heads.head_dim)),
          wanted_out(q.size()),
          wanted_lse(n_queries() * heads.n_heads) {
        for (const Sequence& sequence : sequences) {
            for (size_t query = 0; query < sequence.n_queries; query++) {
                for (size_t head = 0; head < heads.n_heads; head++) attend(sequence, query, head);
            }
        }
    }

    size_t n_queries() const { return sequences.back().query_start + sequences.back().n_queries; }
    size_t n_keys() const { return sequences.back().own_start + sequences.back().own_len; }

   private:
    void attend(const Sequence& sequence, size_t query, size_t head) {
        const size_t head_dim = heads.head_dim;
        const size_t position = (sequence.query_start + query) * heads.n_heads + head;
        const size_t n_seen = sequence.prefix_len + sequence.own_len - sequence.n_queries + query + 1;
        const auto at = [&](Array<T>& array, size_t key, size_t column) {
            const bool is_prefix = key < sequence.prefix_len;
            const size_t row = is_prefix ? sequence.prefix_start + key : sequence.own_start + key - sequence.prefix_len;
            return value(array[(row * heads.n_kv_heads + head / heads.group()) * head_dim + column]);
        };
        std::vector<double> scores(n_seen);
        double largest = -INFINITY, mass = 0.0;
        for (size_t key = 0; key < n_seen; key++) {
            for (size_t column = 0; column < head_dim; column++) {
                scores[key] += value(q[position * head_dim + column]) * at(k, key, column);
            }
            scores[key] /= std::sqrt(static_cast<double>(head_dim));
            largest = std::max(largest, scores[key]);
        }
        for (double score : scores) mass += std::exp(score - largest);
        wanted_lse[position] = largest + std::log(mass);
        for (size_t column = 0; column < head_dim; column++) {
            for (size_t key = 0; key < n_seen; key++) {
                const double weight = std::exp(scores[key] - largest) / mass;
                wanted_out[position * head_dim + column] += weight * at(v, key, column);
            }
        }
    }
};

template <class T>
struct AttentionResult {
    Array<T> out;
    Array<float> lse;

    // With rows behind those of the queries, which nobody is to touch.
    explicit AttentionResult(const Array<T>& q, Heads heads)
        : out(q.size() + 2 * heads.head_dim), lse(q.size() / heads.head_dim + 2) {}
};

template <class T>
inline void check_attention(
    AttentionResult<T>& found, const AttentionCase<T>& wanted, double tolerance, const std::string& what) {
    const auto out = found.out.values(), lse = found.lse.values();
    check_close(out, wanted.wanted_out, tolerance, what + ", out");
    check_close(lse, wanted.wanted_lse, 4e-6, what + ", lse");
    bool is_untouched = true;
    for (size_t i = wanted.wanted_out.size(); i < out.size(); i++) is_untouched &= std::isnan(out[i]);
    for (size_t i = wanted.wanted_lse.size(); i < lse.size(); i++) is_untouched &= std::isnan(lse[i]);
    check(is_untouched, what + ": what is behind the outputs");
}

template <class T>
inline void check_same(AttentionResult<T>& found, const AttentionResult<T>& wanted, const std::string& what) {
    check(memcmp(found.out.data(), &wanted.out[0], found.out.size() * sizeof(T)) == 0, what + ": out");
    check(memcmp(found.lse.data(), &wanted.lse[0], found.lse.size() * sizeof(float)) == 0, what + ": lse");
}

}  // namespace harness
