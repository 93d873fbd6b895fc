#include "../flash_attention_backward.cu"

#include "attention_backward.h"

using namespace backward;

constexpr size_t shared_bytes(size_t dim, size_t n_columns) { return (2 * ROWS + 4 * n_columns) * dim * sizeof(bf16); }

// What `attention_add_parts` does.
static void add_parts(Case<bf16>& of, const std::vector<KeyParts>& tiles, const Array<float>& parts) {
    const size_t width = of.heads.n_kv_heads * of.heads.head_dim;
    for (const KeyParts& tile : tiles) {
        for (size_t i = 0; i < 2 * tile.n_keys * width; i++) {
            const bool is_key = i < tile.n_keys * width;
            const size_t n = is_key ? i : i - tile.n_keys * width;
            float sum = 0.0f;
            for (unsigned slot = tile.slots_start; slot < tile.slots_start + tile.n_slots; slot++) {
                sum += parts[(slot * 2 + !is_key) * ROWS * width + n];
            }
            bf16& to = (is_key ? of.dk : of.dv)[tile.key_start * width + n];
            to = __float2bfloat16(__bfloat162float(to) + sum);
        }
    }
}

// With tiles of at most `n_rows` rows and `n_keys` keys.
static void run_backward(Case<bf16>& of, unsigned n_rows, unsigned n_keys) {
    const Heads heads = of.heads;
    const bool is_narrow = heads.head_dim == 64;
    const size_t n_shared_bytes = is_narrow ? shared_bytes(64, COLUMNS<64>) : shared_bytes(128, COLUMNS<128>);
    for (size_t i = 0; i < of.delta.size(); i++) of.delta[i] = static_cast<float>(of.wanted_delta[i]);
    auto query_tiles = array_of(backward::query_tiles(of.sequences, heads.group(), n_rows));
    launch_shared(is_narrow ? flash_attention_backward_q_64 : flash_attention_backward_q_128, query_tiles.size(),
                  heads.n_kv_heads, THREADS, n_shared_bytes, query_tiles.data(), of.q.data(), of.k.data(), of.v.data(),
                  of.lse.data(), of.delta.data(), of.d_out.data(), of.dq.data(), heads.n_heads, heads.n_kv_heads,
                  heads.scale());
    const KeyPlan plan = plan_keys(of.sequences, n_keys, PART_QUERIES);
    auto key_tiles = array_of(plan.tiles);
    auto viewers = array_of(plan.viewers);
    const size_t width = heads.n_kv_heads * heads.head_dim;
    Array<float> parts(plan.n_slots * 2 * ROWS * width);
    launch_shared(is_narrow ? flash_attention_backward_kv_64 : flash_attention_backward_kv_128, key_tiles.size(),
                  heads.n_kv_heads, THREADS, n_shared_bytes, key_tiles.data(), viewers.data(), of.q.data(),
                  of.k.data(), of.v.data(), of.lse.data(), of.delta.data(), of.d_out.data(), of.dk.data(),
                  of.dv.data(), parts.data(), heads.n_heads, heads.n_kv_heads, heads.scale());
    add_parts(of, plan.parts, parts);
}

static void check_bits(const Case<bf16>& found, const Case<bf16>& wanted, const std::string& what) {
    check_close(found.dq.values(), wanted.dq.values(), 0.0, what + ", dq");
    check_close(found.dk.values(), wanted.dk.values(), 0.0, what + ", dk");
    check_close(found.dv.values(), wanted.dv.values(), 0.0, what + ", dv");
}

TEST(flash_attention_backward_agrees_with_float64) {
    std::vector<Heads> shapes = {{1, 1, 64}, {4, 2, 64}, {9, 3, 64}, {14, 2, 64}, {8, 1, 128}, {2, 2, 128}};
    if (is_tiny) shapes = {{2, 1, 64}};
    for (Heads heads : shapes) {
        Case<bf16> of = mixed_case<bf16>(heads);
        run_backward(of, ROWS, ROWS);
        // Beside a result, what it is a sum of was rounded.
        of.check(1.5 * tolerance<bf16>(), "bf16");
    }
}

TEST(bits_of_flash_gradients_do_not_depend_on_tiles) {
    if (is_tiny) return;
    for (Heads heads : {Heads{6, 2, 64}, Heads{2, 1, 128}}) {
        Case<bf16> wanted = mixed_case<bf16>(heads), found = mixed_case<bf16>(heads);
        run_backward(wanted, ROWS, ROWS);
        run_backward(found, 10, 7);
        check_bits(found, wanted, "smaller tiles");
    }
}

TEST(bits_of_flash_gradients_do_not_depend_on_where_the_prefix_ends_or_on_others) {
    if (is_tiny) return;
    const unsigned n_keys = 150, n_queries = 40;
    const auto run = [&](std::vector<Sequence> sequences) {
        Case<bf16> of(sequences, {4, 2, 64}, n_queries + 70, n_keys + 70);
        run_backward(of, ROWS, ROWS);
        return of;
    };
    const auto wanted = run({{0, n_queries, 0, 0, 0, n_keys}});
    for (unsigned prefix_len : {1u, 63u, 64u, n_keys - n_queries}) {
        const auto found = run({{0, n_queries, 0, prefix_len, prefix_len, n_keys - prefix_len}});
        check_bits(found, wanted, "a prefix of " + std::to_string(prefix_len));
    }
    const auto found = run({{n_queries, 70, 0, 0, n_keys, 70}, {0, n_queries, 0, 0, 0, n_keys}});
    const auto same = [](const Array<bf16>& found, const Array<bf16>& wanted, size_t n) {
        return memcmp(&found[0], &wanted[0], n * sizeof(bf16)) == 0;
    };
    check(same(found.dq, wanted.dq, n_queries * 4 * 64), "dq beside another sequence");
    check(same(found.dk, wanted.dk, n_keys * 2 * 64), "dk beside another sequence");
    check(same(found.dv, wanted.dv, n_keys * 2 * 64), "dv beside another sequence");
}
