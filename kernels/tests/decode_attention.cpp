#include "../decode_attention.cu"

#include <map>

#include "attention.h"

using namespace harness;

// The work that a host makes of single queries: the model of what it has to do before each token.
struct Plan {
    std::vector<DecodeItem> items;
    std::vector<DecodeTarget> targets;
    std::vector<DecodeQuery> queries;
    unsigned n_slots = 0;
};

// Cuts each run of keys every `n_chunk` keys from its start. Sequences with the same prefix share its items, as many as
// `n_rows` rows have room for. A query's slots are those of its prefix and then its own, in the order of the keys.
static Plan plan_of(const std::vector<Sequence>& sequences, unsigned n_chunk, size_t n_rows, size_t group) {
    Plan plan;
    std::map<std::pair<unsigned, unsigned>, std::vector<DecodeTarget>> of_prefixes;
    const auto add = [&](const std::vector<DecodeTarget>& viewers, unsigned key_start, unsigned n_keys) {
        const size_t most = n_rows / group;
        for (unsigned first_key = 0; first_key < n_keys; first_key += n_chunk) {
            for (size_t first = 0; first < viewers.size(); first += most) {
                const size_t n_queries = std::min(most, viewers.size() - first);
                plan.items.push_back(
                    {static_cast<unsigned>(plan.targets.size()), static_cast<unsigned>(n_queries),
                     key_start + first_key, std::min(n_chunk, n_keys - first_key)});
                for (size_t i = first; i < first + n_queries; i++) {
                    plan.targets.push_back({viewers[i].query, viewers[i].slot + first_key / n_chunk});
                }
            }
        }
    };
    for (const Sequence& sequence : sequences) {
        const unsigned n_of_prefix = blocks(sequence.prefix_len, n_chunk), n_own = blocks(sequence.own_len, n_chunk);
        const unsigned query = sequence.query_start;
        of_prefixes[{sequence.prefix_start, sequence.prefix_len}].push_back({query, plan.n_slots});
        add({{query, plan.n_slots + n_of_prefix}}, sequence.own_start, sequence.own_len);
        plan.queries.push_back({query, plan.n_slots, n_of_prefix + n_own});
        plan.n_slots += n_of_prefix + n_own;
    }
    for (const auto& [prefix, viewers] : of_prefixes) add(viewers, prefix.first, prefix.second);
    return plan;
}

// `launch_items(n_blocks, n_items, items, targets, partial_out, partial_lse)` is one of the kernels.
template <class T, class F>
static AttentionResult<T> decode(const Plan& plan, AttentionCase<T>& of, F launch_items) {
    const Heads heads = of.heads;
    auto items = array_of(plan.items);
    auto targets = array_of(plan.targets);
    auto queries = array_of(plan.queries);
    Array<unsigned> n_items(1), n_queries(1);
    n_items[0] = static_cast<unsigned>(items.size());
    n_queries[0] = static_cast<unsigned>(queries.size());
    // A slot more than there is to be.
    const size_t n_places = plan.n_slots * heads.n_heads;
    Array<float> partial_out((n_places + heads.n_heads) * heads.head_dim), partial_lse(n_places + heads.n_heads);
    // As many blocks as more items would need.
    const unsigned n_blocks = static_cast<unsigned>((items.size() + 3) * heads.n_kv_heads);
    launch_items(n_blocks, n_items.data(), items.data(), targets.data(), partial_out.data(), partial_lse.data());
    bool is_untouched = true;
    for (size_t i = n_places; i < partial_lse.size(); i++) is_untouched &= std::isnan(partial_lse[i]);
    for (size_t i = n_places * heads.head_dim; i < partial_out.size(); i++) {
        is_untouched &= std::isnan(partial_out[i]);
    }
    check(is_untouched, "what is behind the slots");
    AttentionResult<T> result(of.q, heads);
    const unsigned n_warps = BLOCK / WARP, n_more = blocks((queries.size() + 2) * heads.n_heads, n_warps);
    if constexpr (std::is_same_v<T, float>) {
        launch(decode_combine_f32, n_more, 1, BLOCK, n_queries.data(), queries.data(), partial_out.data(),
               partial_lse.data(), result.out.data(), result.lse.data(), heads.n_heads, heads.head_dim);
    } else {
        launch(decode_combine_bf16, n_more, 1, BLOCK, n_queries.data(), queries.data(), partial_out.data(),
               partial_lse.data(), result.out.data(), result.lse.data(), heads.n_heads, heads.head_dim);
    }
    return result;
}

// By tensor cores, in items of 16 or 64 rows.
static AttentionResult<bf16> decode_mma(
    const std::vector<Sequence>& sequences, unsigned n_chunk, unsigned n_rows, AttentionCase<bf16>& of) {
    const Heads heads = of.heads;
    const auto small = heads.head_dim == 64 ? decode_attention_mma16_64 : decode_attention_mma16_128;
    const auto large = heads.head_dim == 64 ? decode_attention_mma64_64 : decode_attention_mma64_128;
    const auto launch_items = [&](unsigned n_blocks, auto... arrays) {
        const auto [n_items, items, targets, partial_out, partial_lse] = std::make_tuple(arrays...);
        launch_shared(n_rows == 16 ? small : large, n_blocks, 1, n_rows / 16 * WARP, 256 * heads.head_dim, n_items,
                      items, targets, of.q.data(), of.k.data(), of.v.data(), partial_out, partial_lse, heads.n_heads,
                      heads.n_kv_heads, heads.scale());
    };
    return decode(plan_of(sequences, n_chunk, n_rows, heads.group()), of, launch_items);
}

template <class T, class Kernel>
static AttentionResult<T> decode_simt(
    Kernel kernel, int dim, const std::vector<Sequence>& sequences, unsigned n_chunk, AttentionCase<T>& of) {
    const Heads heads = of.heads;
    const unsigned n_rows = 64;
    const auto launch_items = [&](unsigned n_blocks, auto... arrays) {
        const auto [n_items, items, targets, partial_out, partial_lse] = std::make_tuple(arrays...);
        launch_shared(kernel, n_blocks, n_rows / ROWS, ROWS * LANES, 2 * KEYS * dim * sizeof(float), n_items, items,
                      targets, of.q.data(), of.k.data(), of.v.data(), partial_out, partial_lse, heads.n_heads,
                      heads.n_kv_heads, heads.head_dim, heads.scale());
    };
    return decode(plan_of(sequences, n_chunk, n_rows, heads.group()), of, launch_items);
}

// Two prompts with samples, and sequences without a prompt or with one key; queries not in the order of their rows.
static std::vector<Sequence> sequences_of(unsigned n_samples) {
    std::vector<Sequence> sequences = {{1, 1, 0, 0, 130, 97}, {0, 1, 7, 0, 227, 1}, {2, 1, 100, 30, 228, 33}};
    unsigned own_start = 261;
    for (unsigned sample = 0; sample < n_samples; sample++) {
        const unsigned own_len = 1 + sample * 29 % 83;
        sequences.push_back({3 + sample, 1, 0, 100, own_start, own_len});
        own_start += own_len;
    }
    return sequences;
}

TEST(decoding_by_tensor_cores_agrees_with_float64) {
    const auto check_kernel = [](const std::vector<Sequence>& sequences, unsigned n_chunk, Heads heads) {
        AttentionCase<bf16> of(sequences, heads);
        for (unsigned n_rows : {16u, 64u}) {
            auto found = decode_mma(sequences, n_chunk, n_rows, of);
            check_attention(found, of, MMA_TOLERANCE, text("heads, dim", heads.n_heads, heads.head_dim));
        }
    };
    // Three tiles of keys, and rows for two warps.
    if (is_tiny) return check_kernel({{0, 1, 0, 3, 3, 66}, {1, 1, 0, 3, 69, 1}}, 66, {9, 1, 64});
    for (unsigned n_chunk : {32u, 64u, 75u}) {
        check_kernel(sequences_of(9), n_chunk, {9, 3, 64});
        check_kernel(sequences_of(11), n_chunk, {4, 2, 128});
    }
    check_kernel(sequences_of(70), 96, {1, 1, 64});
    check_kernel(sequences_of(10), 256, {14, 2, 64});
    check_kernel(sequences_of(10), 64, {7, 1, 128});
    check_kernel(sequences_of(9), 64, {8, 1, 64});
}

TEST(decoding_in_float32_arithmetic_agrees_with_float64) {
    if (is_tiny) {
        AttentionCase<float> of({{0, 1, 0, 3, 3, 1}}, {2, 1, 10});
        auto found = decode_simt(decode_attention_f32_64, 64, of.sequences, 2, of);
        return check_attention(found, of, tolerance<float>(), "f32");
    }
    const auto check_kernels = [](auto f32, auto bf, int dim, Heads heads) {
        AttentionCase<float> of(sequences_of(9), heads);
        auto found = decode_simt(f32, dim, of.sequences, 40, of);
        check_attention(found, of, tolerance<float>(), text("f32", heads.n_heads, heads.head_dim));
        AttentionCase<bf16> of_bf16(sequences_of(9), heads);
        auto found_bf16 = decode_simt(bf, dim, of_bf16.sequences, 40, of_bf16);
        check_attention(found_bf16, of_bf16, tolerance<bf16>(), text("bf16", heads.n_heads, heads.head_dim));
    };
    check_kernels(decode_attention_f32_64, decode_attention_bf16_64, 64, {1, 1, 2});
    check_kernels(decode_attention_f32_64, decode_attention_bf16_64, 64, {9, 3, 64});
    check_kernels(decode_attention_f32_64, decode_attention_bf16_64, 64, {14, 2, 33});
    check_kernels(decode_attention_f32_128, decode_attention_bf16_128, 128, {8, 1, 80});
    check_kernels(decode_attention_f32_256, decode_attention_bf16_256, 256, {2, 1, 256});
}

TEST(bits_of_a_decoded_query_do_not_depend_on_the_batch) {
    if (is_tiny) return;
    const auto sequences = sequences_of(8);
    AttentionCase<bf16> of(sequences, {6, 2, 64});
    const size_t n_heads = of.heads.n_heads, n_numbers = n_heads * of.heads.head_dim;
    const auto wanted = decode_mma(sequences, 64, 64, of);
    auto found = decode_mma(sequences, 64, 16, of);
    check_same(found, wanted, "items of 16 rows");
    for (const Sequence& sequence : sequences) {
        auto alone = decode_mma({sequence}, 64, 16, of);
        const size_t row = sequence.query_start;
        const bool same_out = memcmp(&alone.out[row * n_numbers], &wanted.out[row * n_numbers], 2 * n_numbers) == 0;
        const bool same_lse = memcmp(&alone.lse[row * n_heads], &wanted.lse[row * n_heads], 4 * n_heads) == 0;
        check(same_out && same_lse, "query " + std::to_string(row) + " alone");
    }
}
