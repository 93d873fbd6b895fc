#include "../flash_attention.cu"

#include "attention.h"

using namespace harness;

static AttentionResult<bf16> attend(const std::vector<Sequence>& sequences, AttentionCase<bf16>& of) {
    const Heads heads = of.heads;
    const auto kernel = heads.head_dim == 64 ? flash_attention_64 : flash_attention_128;
    auto tiles = tiles_of(sequences, MMA_ROWS, heads.group());
    AttentionResult<bf16> result(of.q, heads);
    launch_shared(kernel, tiles.size(), heads.n_kv_heads, MMA_THREADS, 512 * heads.head_dim, tiles.data(), of.q.data(),
                  of.k.data(), of.v.data(), result.out.data(), result.lse.data(), heads.n_heads, heads.n_kv_heads,
                  heads.scale());
    return result;
}

TEST(flash_attention_agrees_with_float64) {
    const auto check_kernel = [](const std::vector<Sequence>& sequences, Heads heads) {
        AttentionCase<bf16> of(sequences, heads);
        auto found = attend(sequences, of);
        check_attention(found, of, MMA_TOLERANCE, text("heads, dim", heads.n_heads, heads.head_dim));
    };
    // Three tiles of keys: the third one comes to where the first was.
    if (is_tiny) return check_kernel({{0, 2, 0, 127, 127, 3}}, {1, 1, 64});
    // A prompt alone; samples that share it, with ends on, before and behind those of tiles; one query that sees one
    // key, and one that sees many.
    const std::vector<Sequence> sequences = {
        {0, 70, 0, 0, 0, 70},     {70, 3, 0, 70, 70, 5},      {73, 1, 0, 70, 75, 1},
        {74, 58, 0, 70, 76, 58},  {132, 1, 134, 0, 134, 1},   {133, 1, 10, 100, 135, 93},
        {134, 59, 5, 5, 228, 59}, {193, 12, 60, 52, 287, 12}, {205, 12, 60, 53, 299, 12}};
    const Heads all[] = {{2, 2, 64}, {4, 2, 128}, {9, 3, 64}, {14, 2, 64}, {7, 1, 128}, {8, 1, 64}};
    for (Heads heads : all) check_kernel(sequences, heads);
}

TEST(bits_of_flash_attention_do_not_depend_on_where_the_prefix_ends_or_on_other_queries) {
    if (is_tiny) return;
    const unsigned n_keys = 150, n_queries = 40;
    const std::vector<Sequence> whole = {{0, n_queries, 0, 0, 0, n_keys}};
    AttentionCase<bf16> of(whole, {6, 2, 64});
    const auto wanted = attend(whole, of);
    for (unsigned prefix_len : {1u, 63u, 64u, 110u}) {
        auto found = attend({{0, n_queries, 0, prefix_len, prefix_len, n_keys - prefix_len}}, of);
        check_same(found, wanted, "a prefix of " + std::to_string(prefix_len));
    }
    std::vector<Sequence> alone;
    for (unsigned query = 0; query < n_queries; query++) {
        alone.push_back({query, 1, 0, 0, 0, n_keys - n_queries + query + 1});
    }
    auto found = attend(alone, of);
    check_same(found, wanted, "each query alone");
}
