#include "../attention.cu"

#include "attention.h"

using namespace harness;

template <class T, class Kernel>
static AttentionResult<T> attend(Kernel kernel, int dim, const std::vector<Sequence>& sequences, AttentionCase<T>& of) {
    const Heads heads = of.heads;
    auto tiles = tiles_of(sequences, ROWS, heads.group());
    AttentionResult<T> result(of.q, heads);
    launch_shared(kernel, tiles.size(), heads.n_kv_heads, ROWS * LANES, 2 * KEYS * dim * sizeof(float), tiles.data(),
                  of.q.data(), of.k.data(), of.v.data(), result.out.data(), result.lse.data(), heads.n_heads,
                  heads.n_kv_heads, heads.head_dim, heads.scale());
    return result;
}

template <class T, class Kernel>
static void check_kernel(Kernel kernel, int dim, Heads heads, const char* name) {
    // A prompt alone; then two samples that share it, and one query that sees more than two tiles of keys.
    std::vector<Sequence> sequences = {
        {0, 9, 0, 0, 0, 9}, {9, 3, 0, 9, 9, 5}, {12, 1, 0, 9, 14, 1}, {13, 1, 0, 15, 15, 60}};
    if (is_tiny) sequences = {{0, 2, 0, 3, 3, 2}};
    AttentionCase<T> of(sequences, heads);
    auto found = attend(kernel, dim, sequences, of);
    check_attention(found, of, tolerance<T>(), text(name, heads.n_heads, heads.head_dim));
}

TEST(attention_agrees_with_float64) {
    if (is_tiny) return check_kernel<float>(attention_f32_64, 64, {2, 1, 10}, "f32");
    for (Heads heads : {Heads{1, 1, 2}, Heads{4, 2, 10}, Heads{9, 3, 64}, Heads{14, 1, 32}}) {
        check_kernel<float>(attention_f32_64, 64, heads, "f32");
        check_kernel<bf16>(attention_bf16_64, 64, heads, "bf16");
    }
    check_kernel<float>(attention_f32_128, 128, {3, 3, 128}, "f32");
    check_kernel<bf16>(attention_bf16_128, 128, {2, 1, 80}, "bf16");
    check_kernel<float>(attention_f32_256, 256, {2, 2, 256}, "f32");
    check_kernel<bf16>(attention_bf16_256, 256, {1, 1, 130}, "bf16");
}

TEST(bits_do_not_depend_on_where_the_prefix_ends_or_on_other_queries) {
    if (is_tiny) return;
    const unsigned n_keys = 75, n_queries = 20;
    const std::vector<Sequence> whole = {{0, n_queries, 0, 0, 0, n_keys}};
    AttentionCase<float> of(whole, {4, 2, 64});
    const auto wanted = attend(attention_f32_64, 64, whole, of);
    for (unsigned prefix_len : {1u, 31u, 32u, 54u}) {
        auto found = attend(attention_f32_64, 64, {{0, n_queries, 0, prefix_len, prefix_len, n_keys - prefix_len}}, of);
        check_same(found, wanted, "a prefix of " + std::to_string(prefix_len));
    }
    std::vector<Sequence> alone;
    for (unsigned query = 0; query < n_queries; query++) {
        alone.push_back({query, 1, 0, 0, 0, n_keys - n_queries + query + 1});
    }
    auto found = attend(attention_f32_64, 64, alone, of);
    check_same(found, wanted, "each query alone");
}
