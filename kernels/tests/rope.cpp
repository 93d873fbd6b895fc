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
