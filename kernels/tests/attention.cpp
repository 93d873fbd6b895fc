#include "../attention.cu"

#include "harness.h"

using namespace harness;

// As `AttentionSequence` of the transformer.
struct Sequence {
    unsigned query_start, n_queries, prefix_start, prefix_len, own_start, own_len;
};

struct Heads {
    size_t n_heads, n_kv_heads, head_dim;
};

static std::vector<QueryTile> tiles(const std::vector<Sequence>& sequences, size_t group) {
    std::vector<QueryTile> tiles;
    const unsigned most = static_cast<unsigned>(ROWS / group);
    for (const Sequence& sequence : sequences) {
        for (unsigned first = 0; first < sequence.n_queries; first += most) {
            tiles.push_back(
                {sequence.query_start + first, std::min(most, sequence.n_queries - first), sequence.prefix_start,
                 sequence.prefix_len, sequence.own_start, sequence.own_len - sequence.n_queries + first + 1});
        }
    }
    return tiles;
}

template <class T>
struct Result {
    Array<T> out;
    Array<float> lse;
};

template <class T, class Kernel>
static Result<T> attend(
    Kernel kernel, int dim, const std::vector<Sequence>& sequences, Heads heads, Array<T>& q, Array<T>& k, Array<T>& v) {
    const auto of_sequences = tiles(sequences, heads.n_heads / heads.n_kv_heads);
    Array<QueryTile> tiles(of_sequences.size());
    for (size_t i = 0; i < tiles.size(); i++) tiles[i] = of_sequences[i];
    Result<T> result = {Array<T>(q.size()), Array<float>(q.size() / heads.head_dim)};
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(heads.head_dim)));
    launch_shared(kernel, tiles.size(), heads.n_kv_heads, ROWS * LANES, 2 * KEYS * dim * sizeof(float), tiles.data(),
                  q.data(), k.data(), v.data(), result.out.data(), result.lse.data(), heads.n_heads, heads.n_kv_heads,
                  heads.head_dim, scale);
    return result;
}

template <class T, class Kernel>
static void check_attention(Kernel kernel, int dim, Heads heads, const char* name) {
    const auto [n_heads, n_kv_heads, head_dim] = heads;
    // A prompt alone; then two samples that share it, and one query that sees more than two tiles of keys.
    std::vector<Sequence> sequences = {{0, 9, 0, 0, 0, 9}, {9, 3, 0, 9, 9, 5}, {12, 1, 0, 9, 14, 1}, {13, 1, 0, 15, 15, 60}};
    if (is_tiny) sequences = {{0, 2, 0, 3, 3, 2}};
    const size_t n_queries = sequences.back().query_start + sequences.back().n_queries;
    const size_t n_keys = sequences.back().own_start + sequences.back().own_len;
    auto q = numbers<T>(1, n_queries * n_heads * head_dim, 3.0);
    auto k = numbers<T>(2, n_keys * n_kv_heads * head_dim), v = numbers<T>(3, n_keys * n_kv_heads * head_dim);
    std::vector<double> wanted_out(q.size()), wanted_lse(n_queries * n_heads);
    for (const Sequence& sequence : sequences) {
        for (size_t i = 0; i < sequence.n_queries * n_heads; i++) {
            const size_t query = i / n_heads, head = i % n_heads, kv_head = head / (n_heads / n_kv_heads);
            const size_t position = (sequence.query_start + query) * n_heads + head;
            const size_t n_seen = sequence.prefix_len + sequence.own_len - sequence.n_queries + query + 1;
            const auto at = [&](Array<T>& array, size_t key, size_t column) {
                const bool is_prefix = key < sequence.prefix_len;
                const size_t row = is_prefix ? sequence.prefix_start + key : sequence.own_start + key - sequence.prefix_len;
                return value(array[(row * n_kv_heads + kv_head) * head_dim + column]);
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
    }
    const auto found = attend(kernel, dim, sequences, heads, q, k, v);
    const std::string what = text(name, n_heads, head_dim);
    check_close(found.out.values(), wanted_out, tolerance<T>(), what + ", out");
    check_close(found.lse.values(), wanted_lse, 4e-6, what + ", lse");
}

TEST(attention_agrees_with_float64) {
    if (is_tiny) return check_attention<float>(attention_f32_64, 64, {2, 1, 10}, "f32");
    for (Heads heads : {Heads{1, 1, 2}, Heads{4, 2, 10}, Heads{9, 3, 64}, Heads{14, 1, 32}}) {
        check_attention<float>(attention_f32_64, 64, heads, "f32");
        check_attention<bf16>(attention_bf16_64, 64, heads, "bf16");
    }
    check_attention<float>(attention_f32_128, 128, {3, 3, 128}, "f32");
    check_attention<bf16>(attention_bf16_128, 128, {2, 1, 80}, "bf16");
    check_attention<float>(attention_f32_256, 256, {2, 2, 256}, "f32");
    check_attention<bf16>(attention_bf16_256, 256, {1, 1, 130}, "bf16");
}

TEST(bits_do_not_depend_on_where_the_prefix_ends_or_on_other_queries) {
    if (is_tiny) return;
    const Heads heads = {4, 2, 64};
    const unsigned n_keys = 75, n_queries = 20;
    auto q = numbers<float>(1, n_queries * 4 * 64), k = numbers<float>(2, n_keys * 2 * 64), v = numbers<float>(3, n_keys * 2 * 64);
    const auto run = [&](std::vector<Sequence> sequences) {
        return attend(attention_f32_64, 64, sequences, heads, q, k, v);
    };
    const auto wanted = run({{0, n_queries, 0, 0, 0, n_keys}});
    for (unsigned prefix_len : {1u, 31u, 32u, 54u}) {
        const auto found = run({{0, n_queries, 0, prefix_len, prefix_len, n_keys - prefix_len}});
        check_close(found.out.values(), wanted.out.values(), 0.0, "a prefix of " + std::to_string(prefix_len));
        check_close(found.lse.values(), wanted.lse.values(), 0.0, "a prefix of " + std::to_string(prefix_len));
    }
    std::vector<Sequence> alone;
    for (unsigned query = 0; query < n_queries; query++) {
        alone.push_back({query, 1, 0, 0, 0, n_keys - n_queries + query + 1});
    }
    check_close(run(alone).out.values(), wanted.out.values(), 0.0, "each query alone");
}
