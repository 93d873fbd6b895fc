#include "../column_sums.cu"

#include "harness.h"

using namespace harness;

template <class T, class Kernel>
static void check_sums(Kernel kernel, size_t n_rows, size_t width, bool is_of_gains, const char* name) {
    auto dy = numbers<T>(1, n_rows * width), x = numbers<T>(2, n_rows * width);
    auto inv_rms = numbers<float>(3, n_rows), d = numbers<float>(4, width);
    std::vector<double> wanted = d.values();
    for (size_t row = 0; row < n_rows; row++) {
        for (size_t i = 0; i < width; i++) {
            const double factor = is_of_gains ? value(x[row * width + i]) * inv_rms[row] : 1.0;
            wanted[i] += value(dy[row * width + i]) * factor;
        }
    }
    const unsigned n_chunks = blocks(n_rows, CHUNK);
    Array<float> partial(n_chunks * width);
    launch(kernel, blocks(width, COLUMNS), n_chunks, BLOCK, dy.data(), is_of_gains ? x.data() : nullptr,
           is_of_gains ? inv_rms.data() : nullptr, partial.data(), n_rows, width);
    launch(add_partial_sums, blocks(width, BLOCK), 1, BLOCK, partial.data(), d.data(), n_chunks, width);
    // Products of bfloat16 are summed in float32.
    check_close(d.values(), wanted, 4e-6, text(name, n_rows, width) + (is_of_gains ? ", gains" : ", biases"));
}

TEST(column_sums_agree_with_float64) {
    struct Shape {
        size_t n_rows, width;
    };
    const std::vector<Shape> tiny = {{9, 33}};
    const std::vector<Shape> all = {{1, 1}, {5, 31}, {128, 32}, {129, 70}, {300, 576}};
    for (auto [n_rows, width] : is_tiny ? tiny : all) {
        for (bool is_of_gains : {false, true}) {
            check_sums<float>(column_sums_f32, n_rows, width, is_of_gains, "f32");
            check_sums<bf16>(column_sums_bf16, n_rows, width, is_of_gains, "bf16");
        }
    }
}
