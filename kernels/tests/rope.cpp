#include "../rope.cu"

#include "harness.h"

using namespace harness;

template <class T, class Kernel>
static void check_rope(Kernel kernel, size_t n_rows, size_t n_heads, size_t head_dim, const char* name) {
    const size_t width = n_heads * head_dim, n_pairs = head_dim / 2;
    auto x = numbers<T>(1, n_rows * width);
    const std::vector<double> before = x.values();
    auto positions = indices(2, n_rows, 30000);
    Array<double> frequencies(n_pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        frequencies[i] = std::pow(1e5, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    }
    std::vector<double> wanted = before;
    for (size_t row = 0; row < n_rows; row++) {
        for (size_t head = 0; head < n_heads; head++) {
            for (size_t i = 0; i < n_pairs; i++) {
                const size_t a = row * width + head * head_dim + i, b = a + n_pairs;
                const double angle = positions[row] * frequencies[i];
                wanted[a] = before[a] * std::cos(angle) - before[b] * std::sin(angle);
                wanted[b] = before[b] * std::cos(angle) + before[a] * std::sin(angle);
            }
        }
    }
    const unsigned n_blocks = blocks(n_rows * n_pairs, BLOCK);
    const auto turn = [&](float sign) {
        launch(kernel, n_blocks, 1, BLOCK, x.data(), positions.data(), frequencies.data(), n_rows, n_heads, head_dim, sign);
    };
    turn(1.0f);
    check_close(x.values(), wanted, tolerance<T>(), text(name, n_rows, width));
    turn(-1.0f);
    check_close(x.values(), before, 2 * tolerance<T>(), text(name, n_rows, width) + ", and back");
}

TEST(rope_agrees_with_float64) {
    struct Shape {
        size_t n_rows, n_heads, head_dim;
    };
    const std::vector<Shape> tiny = {{2, 2, 6}};
    const std::vector<Shape> all = {{1, 1, 2}, {3, 2, 10}, {7, 9, 64}, {2, 3, 128}, {40, 1, 32}};
    for (auto [n_rows, n_heads, head_dim] : is_tiny ? tiny : all) {
        check_rope<float>(rope_f32, n_rows, n_heads, head_dim, "f32");
        check_rope<bf16>(rope_bf16, n_rows, n_heads, head_dim, "bf16");
    }
}

struct QkvShape {
    size_t n_rows, n_heads, n_kv_heads, head_dim;
};

// Queries, keys and values as parts of one product with a gap behind them, and caches with more rows than are written.
template <class T, class Kernel>
static void check_qkv(Kernel kernel, QkvShape shape, bool has_cache, bool has_bias, const char* name) {
    const auto [n_rows, n_heads, n_kv_heads, head_dim] = shape;
    const size_t q_width = n_heads * head_dim, kv_width = n_kv_heads * head_dim, n_pairs = head_dim / 2;
    const size_t stride = q_width + 2 * kv_width + 8, n_cache_rows = n_rows + 3;
    auto x = numbers<T>(1, n_rows * stride);
    auto q_bias = numbers<float>(2, q_width);
    auto k_bias = numbers<float>(3, kv_width), v_bias = numbers<float>(4, kv_width);
    auto k_cache = numbers<T>(5, n_cache_rows * kv_width), v_cache = numbers<T>(6, n_cache_rows * kv_width);
    auto positions = indices(7, n_rows, 30000);
    Array<unsigned> cache_rows(n_rows);
    for (size_t row = 0; row < n_rows; row++) cache_rows[row] = static_cast<unsigned>(n_cache_rows - 2 - row);
    Array<double> frequencies(n_pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        frequencies[i] = std::pow(1e6, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    }
    std::vector<double> wanted = x.values(), wanted_k = k_cache.values(), wanted_v = v_cache.values();
    const auto turn = [&](size_t row, size_t start, size_t width, Array<float>& bias, bool turns, double* to) {
        for (size_t i = 0; i < width; i++) {
            const size_t pair = i % n_pairs, head = i / head_dim * head_dim;
            const auto at = [&](size_t j) {
                return value(x[row * stride + start + j]) + (has_bias ? double(bias[j]) : 0.0);
            };
            const double angle = turns ? positions[row] * frequencies[pair] : 0.0;
            const double a = at(head + pair), b = at(head + n_pairs + pair);
            const bool is_left = i - head < n_pairs;
            to[i] = is_left ? a * std::cos(angle) - b * std::sin(angle) : b * std::cos(angle) + a * std::sin(angle);
        }
    };
    for (size_t row = 0; row < n_rows; row++) {
        double* in_place = &wanted[row * stride];
        turn(row, 0, q_width, q_bias, true, in_place);
        const size_t cached = cache_rows[row] * kv_width;
        turn(row, q_width, kv_width, k_bias, true, has_cache ? &wanted_k[cached] : in_place + q_width);
        double* values = has_cache ? &wanted_v[cached] : in_place + q_width + kv_width;
        turn(row, q_width + kv_width, kv_width, v_bias, false, values);
    }
    const auto or_null = [&](Array<float>& bias) { return has_bias ? bias.data() : nullptr; };
    const auto size = [](size_t n) { return static_cast<int>(n); };
    const Qkv<T> all = {
        x.data(), x.data() + q_width, x.data() + q_width + kv_width, or_null(q_bias), or_null(k_bias), or_null(v_bias),
        k_cache.data(), v_cache.data(), has_cache ? cache_rows.data() : nullptr, positions.data(), frequencies.data(),
        size(n_rows), size(stride), size(stride), size(n_heads), size(n_kv_heads), size(head_dim), 1.0f};
    const std::vector<double> before = x.values();
    launch(kernel, blocks(n_rows, QKV_ROWS), 1, BLOCK, all);
    const std::string what = text(name, n_rows, stride) + (has_cache ? ", cached" : "") + (has_bias ? ", biased" : "");
    check_close(x.values(), wanted, tolerance<T>(), what);
    check_close(k_cache.values(), wanted_k, tolerance<T>(), what + ", keys");
    check_close(v_cache.values(), wanted_v, tolerance<T>(), what + ", values");
    if (has_cache || has_bias) return;
    Qkv<T> back = all;
    back.v = nullptr;
    back.sign = -1.0f;
    launch(kernel, blocks(n_rows, QKV_ROWS), 1, BLOCK, back);
    check_close(x.values(), before, 2 * tolerance<T>(), what + ", and back");
}

TEST(qkv_rope_agrees_with_float64) {
    const std::vector<QkvShape> tiny = {{2, 2, 1, 16}};
    const std::vector<QkvShape> all = {{1, 1, 1, 2},  {3, 6, 2, 10},  {5, 4, 2, 16},
                                       {9, 9, 3, 64}, {2, 3, 1, 128}, {1, 1, 1, 512}};
    for (QkvShape shape : is_tiny ? tiny : all) {
        for (int options = 0; options < 4; options++) {
            const bool has_cache = options & 1, has_bias = options & 2;
            check_qkv<float>(qkv_rope_f32_narrow, shape, has_cache, has_bias, "f32, narrow");
            check_qkv<bf16>(qkv_rope_bf16_narrow, shape, has_cache, has_bias, "bf16, narrow");
            if (shape.head_dim % 16 > 0) continue;
            check_qkv<float>(qkv_rope_f32_wide, shape, has_cache, has_bias, "f32, wide");
            check_qkv<bf16>(qkv_rope_bf16_wide, shape, has_cache, has_bias, "bf16, wide");
        }
    }
}
