// What tests of attention's gradients share: sequences, how the host plans their work, and the gradients in float64.
#pragma once

#include <algorithm>

#include "../attention.cuh"
#include "../attention_backward.cuh"
#include "harness.h"

namespace backward {

using namespace harness;

// As `AttentionSequence` of the transformer.
struct Sequence {
    unsigned query_start, n_queries, prefix_start, prefix_len, own_start, own_len;
};

struct Heads {
    size_t n_heads, n_kv_heads, head_dim;
    size_t group() const { return n_heads / n_kv_heads; }
    float scale() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim))); }
};

// Queries of a part in tests: most tiles have one part, and shared prefixes some.
constexpr unsigned PART_QUERIES = 10;

template <class T>
inline Array<T> array_of(const std::vector<T>& from) {
    Array<T> array(from.size());
    std::copy(from.begin(), from.end(), array.data());
    return array;
}

// Tiles of at most `n_rows` rows.
inline std::vector<QueryTile> query_tiles(const std::vector<Sequence>& sequences, size_t group, size_t n_rows) {
    std::vector<QueryTile> tiles;
    const unsigned most = static_cast<unsigned>(n_rows / group);
    for (const Sequence& sequence : sequences) {
        for (unsigned first = 0; first < sequence.n_queries; first += most) {
            tiles.push_back(
                {sequence.query_start + first, std::min(most, sequence.n_queries - first), sequence.prefix_start,
                 sequence.prefix_len, sequence.own_start, sequence.own_len - sequence.n_queries + first + 1});
        }
    }
    return tiles;
}

struct KeyPlan {
    std::vector<KeyTile> tiles;
    std::vector<Viewer> viewers;
    std::vector<KeyParts> parts;
    unsigned n_slots;
};

// Tiles of at most `most` keys, cut into parts of at most `most_queries` queries, or one viewer. Each row of keys that
// a sequence sees is in one tile, or in all parts of one, and their viewers are in the order of the sequences, which is
// that of the sums. What has the most work comes first, so that none ends late.
inline KeyPlan plan_keys(const std::vector<Sequence>& sequences, unsigned most, unsigned most_queries) {
    struct Span {
        unsigned start, len;
        Viewer viewer;
        bool is_own;
    };
    std::vector<Span> spans;
    std::vector<unsigned> cuts;
    for (const Sequence& s : sequences) {
        if (s.n_queries == 0) continue;
        const int n_own_before = static_cast<int>(s.own_len - s.n_queries);
        spans.push_back({s.prefix_start, s.prefix_len, {s.query_start, s.n_queries, -static_cast<int>(most)}, false});
        spans.push_back({s.own_start, s.own_len, {s.query_start, s.n_queries, -n_own_before}, true});
    }
    for (const Span& span : spans) {
        if (span.len == 0) continue;
        cuts.push_back(span.start);
        cuts.push_back(span.start + span.len);
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    KeyPlan plan = {};
    for (size_t cut = 0; cut + 1 < cuts.size(); cut++) {
        for (unsigned start = cuts[cut]; start < cuts[cut + 1]; start += most) {
            const unsigned n_keys = std::min(most, cuts[cut + 1] - start);
            std::vector<KeyTile> parts;
            unsigned n_queries = 0;
            for (const Span& span : spans) {
                // No span begins or ends inside of a segment.
                if (start < span.start || start >= span.start + span.len) continue;
                n_queries += span.viewer.n_queries;
                if (parts.empty() || n_queries > most_queries) {
                    parts.push_back({start, n_keys, static_cast<unsigned>(plan.viewers.size()), 0, NO_SLOT});
                    n_queries = span.viewer.n_queries;
                }
                plan.viewers.push_back(span.viewer);
                if (span.is_own) plan.viewers.back().offset += static_cast<int>(start - span.start);
                parts.back().n_viewers++;
            }
            if (parts.size() > 1) {
                plan.parts.push_back({start, n_keys, plan.n_slots, static_cast<unsigned>(parts.size())});
                for (KeyTile& part : parts) part.slot = plan.n_slots++;
            }
            plan.tiles.insert(plan.tiles.end(), parts.begin(), parts.end());
        }
    }
    const auto work = [&](const KeyTile& tile) {
        size_t n_queries = 0;
        for (unsigned i = 0; i < tile.n_viewers; i++) {
            const Viewer& viewer = plan.viewers[tile.viewers_start + i];
            n_queries += viewer.n_queries - std::max(viewer.offset, 0);
        }
        return n_queries * tile.n_keys;
    };
    std::stable_sort(plan.tiles.begin(), plan.tiles.end(), [&](const KeyTile& a, const KeyTile& b) {
        return work(a) > work(b);
    });
    return plan;
}

// The operands of a backward pass and what is wanted of it. Outputs have rows before, between and behind those of the
// sequences, which are to stay as they are.
template <class T>
struct Case {
    std::vector<Sequence> sequences;
    Heads heads;
    Array<T> q, k, v, out, d_out, dq, dk, dv;
    Array<float> lse, delta;
    std::vector<double> wanted_dq, wanted_dk, wanted_dv, wanted_delta;

    Case(const std::vector<Sequence>& sequences, Heads heads, size_t n_query_rows, size_t n_key_rows)
        : sequences(sequences),
          heads(heads),
          q(numbers<T>(1, n_query_rows * heads.n_heads * heads.head_dim, 3.0)),
          k(numbers<T>(2, n_key_rows * heads.n_kv_heads * heads.head_dim)),
          v(numbers<T>(3, k.size())),
          out(numbers<T>(4, q.size())),
          d_out(numbers<T>(5, q.size())),
          dq(numbers<T>(6, q.size())),
          dk(numbers<T>(7, k.size())),
          dv(numbers<T>(8, k.size())),
          lse(numbers<float>(9, n_query_rows * heads.n_heads)),
          delta(lse.size()),
          wanted_dq(dq.values()),
          wanted_dk(dk.values()),
          wanted_dv(dv.values()),
          wanted_delta(lse.size()) {
        for (const Sequence& sequence : sequences) {
            for (unsigned i = 0; i < sequence.n_queries; i++) {
                for (size_t head = 0; head < heads.n_heads; head++) add_query(sequence, i, head);
            }
        }
        for (size_t i = 0; i < q.size(); i++) wanted_delta[i / heads.head_dim] += value(out[i]) * value(d_out[i]);
    }

    void check(double tolerance, const std::string& name) const {
        const std::string what = text(name.c_str(), heads.n_heads, heads.head_dim);
        check_close(dq.values(), wanted_dq, tolerance, what + ", dq");
        check_close(dk.values(), wanted_dk, tolerance, what + ", dk");
        check_close(dv.values(), wanted_dv, tolerance, what + ", dv");
    }

   private:
    // As the reference device has it: forwards for `out` and `lse`, then what this query adds to all gradients.
    void add_query(const Sequence& sequence, unsigned query, size_t head) {
        const size_t dim = heads.head_dim;
        const size_t position = (sequence.query_start + query) * heads.n_heads + head;
        const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
        std::vector<size_t> keys;
        const unsigned n_own = sequence.own_len - sequence.n_queries + query + 1;
        for (unsigned i = 0; i < sequence.prefix_len; i++) keys.push_back(sequence.prefix_start + i);
        for (unsigned i = 0; i < n_own; i++) keys.push_back(sequence.own_start + i);
        for (size_t& key : keys) key = key * heads.n_kv_heads + head / heads.group();
        const auto dot = [&](const Array<T>& a, size_t row_a, const Array<T>& b, size_t row_b) {
            double sum = 0.0;
            for (size_t i = 0; i < dim; i++) sum += value(a[row_a * dim + i]) * value(b[row_b * dim + i]);
            return sum;
        };
        std::vector<double> scores;
        for (size_t key : keys) scores.push_back(scale * dot(q, position, k, key));
        const double largest = *std::max_element(scores.begin(), scores.end());
        double mass = 0.0;
        for (double score : scores) mass += std::exp(score - largest);
        lse[position] = static_cast<float>(largest + std::log(mass));
        for (size_t i = 0; i < dim; i++) {
            double sum = 0.0;
            for (size_t n = 0; n < keys.size(); n++) {
                sum += std::exp(scores[n] - largest) / mass * value(v[keys[n] * dim + i]);
            }
            out[position * dim + i] = rounded<T>(sum);
            wanted_dq[position * dim + i] = 0.0;
        }
        const double mean = dot(out, position, d_out, position);
        for (size_t n = 0; n < keys.size(); n++) {
            const double weight = std::exp(scores[n] - largest) / mass;
            const double d_score = scale * weight * (dot(v, keys[n], d_out, position) - mean);
            for (size_t i = 0; i < dim; i++) {
                wanted_dv[keys[n] * dim + i] += weight * value(d_out[position * dim + i]);
                wanted_dq[position * dim + i] += d_score * value(k[keys[n] * dim + i]);
                wanted_dk[keys[n] * dim + i] += d_score * value(q[position * dim + i]);
            }
        }
    }
};

// A prompt alone; two samples that share it, the second with one query; one query whose prefix has keys of another
// sequence; many queries without a prefix; queries behind own keys of theirs and a prefix that begins in the middle; no
// queries. Three rows of queries and of keys are nobody's, at both ends and in the middle.
inline std::vector<Sequence> sequences() {
    return {
        {1, 9, 1, 0, 1, 9},   {10, 3, 1, 9, 10, 5},    {13, 1, 1, 9, 15, 1},     {14, 1, 1, 15, 16, 20},
        {15, 41, 0, 0, 36, 41}, {57, 35, 4, 20, 78, 70}, {92, 0, 4, 20, 148, 3},
    };
}
constexpr size_t N_QUERY_ROWS = 93;
constexpr size_t N_KEY_ROWS = 149;

template <class T>
inline Case<T> mixed_case(Heads heads) {
    if (is_tiny) return Case<T>({{0, 2, 0, 3, 3, 2}, {2, 1, 0, 3, 5, 1}}, heads, 3, 6);
    return Case<T>(sequences(), heads, N_QUERY_ROWS, N_KEY_ROWS);
}

}  // namespace backward
