#include "../attention_backward.cu"

#include "attention_backward.h"

using namespace backward;

template <class T>
static void run_delta(Case<T>& of) {
    const bool is_wide = of.heads.head_dim * sizeof(T) % 16 == 0;
    const auto run = [&](auto kernel) {
        launch(kernel, blocks(of.lse.size() * LANES, BLOCK), 1, BLOCK, of.out.data(), of.d_out.data(), of.delta.data(),
               of.lse.size(), of.heads.head_dim);
    };
    if constexpr (sizeof(T) == sizeof(float)) {
        is_wide ? run(attention_delta_f32_wide) : run(attention_delta_f32_narrow);
    } else {
        is_wide ? run(attention_delta_bf16_wide) : run(attention_delta_bf16_narrow);
    }
}

template <class T, class KernelQ, class KernelKv>
static void run_backward(
    KernelQ kernel_q, KernelKv kernel_kv, int dim, Case<T>& of, unsigned n_rows, unsigned n_keys) {
    const Heads heads = of.heads;
    run_delta(of);
    const size_t n_shared_bytes = 2 * COLUMNS * dim * sizeof(float);
    auto query_tiles = array_of(backward::query_tiles(of.sequences, heads.group(), n_rows));
    launch_shared(kernel_q, query_tiles.size(), heads.n_kv_heads, ROWS * LANES, n_shared_bytes, query_tiles.data(),
                  of.q.data(), of.k.data(), of.v.data(), of.lse.data(), of.delta.data(), of.d_out.data(), of.dq.data(),
                  heads.n_heads, heads.n_kv_heads, heads.head_dim, heads.scale());
    const KeyPlan plan = plan_keys(of.sequences, n_keys, PART_QUERIES);
    auto key_tiles = array_of(plan.tiles);
    auto viewers = array_of(plan.viewers);
    Array<float> parts(plan.n_slots * 2 * ROWS * heads.n_kv_heads * heads.head_dim);
    launch_shared(kernel_kv, key_tiles.size(), heads.n_kv_heads, ROWS * LANES, n_shared_bytes, key_tiles.data(),
                  viewers.data(), of.q.data(), of.k.data(), of.v.data(), of.lse.data(), of.delta.data(),
                  of.d_out.data(), of.dk.data(), of.dv.data(), parts.data(), heads.n_heads, heads.n_kv_heads,
                  heads.head_dim, heads.scale());
    const size_t width = heads.n_kv_heads * heads.head_dim;
    auto key_parts = array_of(plan.parts);
    const auto add_parts = [&](auto kernel) {
        launch(kernel, key_parts.size(), blocks(ROWS * width, BLOCK), BLOCK, key_parts.data(), parts.data(),
               of.dk.data(), of.dv.data(), ROWS, heads.n_kv_heads, heads.head_dim);
    };
    if constexpr (sizeof(T) == sizeof(float)) {
        add_parts(attention_add_parts_f32);
    } else {
        add_parts(attention_add_parts_bf16);
    }
}

template <class T, class KernelQ, class KernelKv>
static void check_backward(KernelQ kernel_q, KernelKv kernel_kv, int dim, Heads heads, const char* name) {
    Case<T> of = mixed_case<T>(heads);
    run_backward(kernel_q, kernel_kv, dim, of, ROWS, ROWS);
    of.check(tolerance<T>(), name);
    check_close(of.delta.values(), of.wanted_delta, 2e-6, std::string(name) + ", delta");
}

TEST(attention_backward_agrees_with_float64) {
    if (is_tiny) {
        return check_backward<float>(attention_backward_q_f32_64, attention_backward_kv_f32_64, 64, {2, 1, 10}, "f32");
    }
    for (Heads heads : {Heads{1, 1, 2}, Heads{4, 2, 10}, Heads{9, 3, 64}, Heads{14, 2, 32}}) {
        check_backward<float>(attention_backward_q_f32_64, attention_backward_kv_f32_64, 64, heads, "f32");
        check_backward<bf16>(attention_backward_q_bf16_64, attention_backward_kv_bf16_64, 64, heads, "bf16");
    }
    check_backward<float>(attention_backward_q_f32_128, attention_backward_kv_f32_128, 128, {3, 3, 128}, "f32");
    check_backward<bf16>(attention_backward_q_bf16_128, attention_backward_kv_bf16_128, 128, {2, 1, 80}, "bf16");
    check_backward<float>(attention_backward_q_f32_256, attention_backward_kv_f32_256, 256, {2, 2, 256}, "f32");
    check_backward<bf16>(attention_backward_q_bf16_256, attention_backward_kv_bf16_256, 256, {1, 1, 130}, "bf16");
}

TEST(bits_of_gradients_do_not_depend_on_tiles) {
    if (is_tiny) return;
    const Heads heads = {4, 2, 24};
    Case<float> wanted = mixed_case<float>(heads), found = mixed_case<float>(heads);
    run_backward(attention_backward_q_f32_64, attention_backward_kv_f32_64, 64, wanted, ROWS, ROWS);
    run_backward(attention_backward_q_f32_64, attention_backward_kv_f32_64, 64, found, 6, 5);
    check_close(found.dq.values(), wanted.dq.values(), 0.0, "dq of smaller tiles");
    check_close(found.dk.values(), wanted.dk.values(), 0.0, "dk of smaller tiles");
    check_close(found.dv.values(), wanted.dv.values(), 0.0, "dv of smaller tiles");
}

TEST(keys_are_planned_once_with_all_who_see_them) {
    const auto of = sequences();
    for (unsigned most : {1u, 5u, 16u, 64u}) {
        const KeyPlan plan = plan_keys(of, most, PART_QUERIES);
        // How often each query row sees each row of keys.
        const auto seen = [](std::vector<int>& of, size_t query, size_t key) { of[query * N_KEY_ROWS + key]++; };
        std::vector<int> wanted(N_QUERY_ROWS * N_KEY_ROWS), found(wanted.size());
        for (const Sequence& s : of) {
            for (unsigned i = 0; i < s.n_queries; i++) {
                for (unsigned key = 0; key < s.prefix_len; key++) seen(wanted, s.query_start + i, s.prefix_start + key);
                for (unsigned key = 0; key < s.own_len - s.n_queries + i + 1; key++) {
                    seen(wanted, s.query_start + i, s.own_start + key);
                }
            }
        }
        bool are_small = true;
        // Who writes the gradients of a row of keys.
        std::vector<int> n_writers(N_KEY_ROWS), n_fillers(plan.n_slots);
        for (const KeyParts& parts : plan.parts) {
            for (unsigned key = 0; key < parts.n_keys; key++) n_writers[parts.key_start + key]++;
        }
        for (const KeyTile& tile : plan.tiles) {
            are_small = are_small && tile.n_keys <= most;
            if (tile.slot != NO_SLOT) n_fillers[tile.slot]++;
            for (unsigned key = 0; key < tile.n_keys; key++) {
                if (tile.slot == NO_SLOT) n_writers[tile.key_start + key]++;
                for (unsigned n = 0; n < tile.n_viewers; n++) {
                    const Viewer& viewer = plan.viewers[tile.viewers_start + n];
                    for (unsigned i = 0; i < viewer.n_queries; i++) {
                        const bool is_seen = static_cast<int>(i) >= static_cast<int>(key) + viewer.offset;
                        if (is_seen) seen(found, viewer.query_start + i, tile.key_start + key);
                    }
                }
            }
        }
        check(are_small, "tiles have no more keys than they may");
        check(found == wanted, "every query sees its keys");
        check(plan.n_slots > 0 && n_fillers == std::vector<int>(plan.n_slots, 1), "every slot is filled once");
        check(*std::max_element(n_writers.begin(), n_writers.end()) == 1, "no gradient is written twice");
    }
}
