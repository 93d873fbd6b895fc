#include "../rows.cu"

#include <numeric>

#include "harness.h"

using namespace harness;

template <class T, int N, class Gather, class Scatter, class Add>
static void check_rows(Gather gather, Scatter scatter, Add add, size_t n_rows, size_t n_vectors, const char* name) {
    const size_t width = n_vectors * N, n = n_rows * width, n_source_rows = n_rows + 3;
    const std::string what = text(name, n_rows, width);
    auto source = numbers<T>(1, n_source_rows * width);
    // Distinct, as scattering needs them, and in no order.
    Array<unsigned> rows(n_rows);
    for (size_t row = 0; row < n_rows; row++) rows[row] = static_cast<unsigned>((row * 7 + 2) % n_source_rows);
    if (n_source_rows % 7 == 0) std::iota(rows.data(), rows.data() + n_rows, 3u);
    Array<T> out(n);
    const unsigned n_blocks = blocks(n_rows * n_vectors, BLOCK);
    launch(gather, n_blocks, 1, BLOCK, source.data(), rows.data(), out.data(), n_rows, n_vectors);
    std::vector<double> wanted;
    for (size_t i = 0; i < n; i++) wanted.push_back(value(source[rows[i / width] * width + i % width]));
    check_close(out.values(), wanted, 0.0, what + ", gathered");

    auto target = numbers<T>(2, n_source_rows * width);
    wanted = target.values();
    for (size_t i = 0; i < n; i++) wanted[rows[i / width] * width + i % width] = value(out[i]);
    launch(scatter, n_blocks, 1, BLOCK, out.data(), rows.data(), target.data(), n_rows, n_vectors);
    check_close(target.values(), wanted, 0.0, what + ", scattered");

    auto summands = numbers<T>(3, n);
    wanted.clear();
    for (size_t i = 0; i < n; i++) wanted.push_back(value(out[i]) + value(summands[i]));
    launch(add, n_blocks, 1, BLOCK, summands.data(), out.data(), n_rows * n_vectors);
    check_close(out.values(), wanted, tolerance<T>(), what + ", added");
}

TEST(rows_are_moved_and_added) {
    struct Shape {
        size_t n_rows, n_vectors;
    };
    const std::vector<Shape> tiny = {{2, 3}};
    const std::vector<Shape> all = {{1, 1}, {4, 5}, {11, 72}, {3, 300}};
    for (auto [n_rows, n_vectors] : is_tiny ? tiny : all) {
        check_rows<float, 1>(
            gather_rows_f32_narrow, scatter_rows_f32_narrow, add_f32_narrow, n_rows, n_vectors, "f32, narrow");
        check_rows<float, 4>(gather_rows_f32_wide, scatter_rows_f32_wide, add_f32_wide, n_rows, n_vectors, "f32, wide");
        check_rows<bf16, 1>(
            gather_rows_bf16_narrow, scatter_rows_bf16_narrow, add_bf16_narrow, n_rows, n_vectors, "bf16, narrow");
        check_rows<bf16, 8>(
            gather_rows_bf16_wide, scatter_rows_bf16_wide, add_bf16_wide, n_rows, n_vectors, "bf16, wide");
    }
}

template <class T, int N, class Kernel>
static void check_bias(Kernel kernel, size_t n_rows, size_t n_vectors, const char* name) {
    const size_t width = n_vectors * N;
    auto bias = numbers<float>(4, width);
    auto y = numbers<T>(5, n_rows * width);
    std::vector<double> wanted = y.values();
    for (size_t i = 0; i < wanted.size(); i++) wanted[i] += bias[i % width];
    launch(kernel, blocks(n_rows * n_vectors, BLOCK), 1, BLOCK, bias.data(), y.data(), n_rows, n_vectors);
    check_close(y.values(), wanted, tolerance<T>(), text(name, n_rows, width) + ", biased");
}

TEST(biases_are_added) {
    for (size_t n_rows : {1, 7}) {
        for (size_t n_vectors : is_tiny ? std::vector<size_t>{3} : std::vector<size_t>{1, 5, 300}) {
            check_bias<float, 1>(add_bias_f32_narrow, n_rows, n_vectors, "f32, narrow");
            check_bias<float, 4>(add_bias_f32_wide, n_rows, n_vectors, "f32, wide");
            check_bias<bf16, 1>(add_bias_bf16_narrow, n_rows, n_vectors, "bf16, narrow");
            check_bias<bf16, 8>(add_bias_bf16_wide, n_rows, n_vectors, "bf16, wide");
        }
    }
}
