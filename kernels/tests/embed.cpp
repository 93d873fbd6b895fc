#include "../embed.cu"

#include <map>

#include "harness.h"

using namespace harness;

template <class T, class Kernel>
static void check_embed(Kernel kernel, size_t n_rows, size_t width, unsigned n_vocab, const char* name) {
    auto d_out = numbers<T>(1, n_rows * width);
    auto d_table = numbers<float>(2, n_vocab * width);
    auto ids = indices(3, n_rows, n_vocab);
    std::vector<double> wanted = d_table.values();
    std::map<unsigned, std::vector<unsigned>> rows_of;
    for (size_t row = 0; row < n_rows; row++) {
        rows_of[ids[row]].push_back(static_cast<unsigned>(row));
        for (size_t i = 0; i < width; i++) wanted[ids[row] * width + i] += value(d_out[row * width + i]);
    }
    Array<unsigned> tokens(rows_of.size()), starts(rows_of.size() + 1), rows(n_rows);
    size_t n_tokens = 0;
    unsigned n_placed = 0;
    for (const auto& [token, of_token] : rows_of) {
        tokens[n_tokens] = token;
        starts[n_tokens++] = n_placed;
        for (unsigned row : of_token) rows[n_placed++] = row;
    }
    starts[n_tokens] = n_placed;
    launch(kernel, n_tokens, blocks(width, BLOCK), BLOCK, d_out.data(), tokens.data(), starts.data(), rows.data(),
           d_table.data(), width);
    check_close(d_table.values(), wanted, 4e-6, text(name, n_rows, width));
}

TEST(gradients_of_embeddings_agree_with_float64) {
    struct Shape {
        size_t n_rows, width;
        unsigned n_vocab;
    };
    const std::vector<Shape> tiny = {{3, 5, 2}};
    const std::vector<Shape> all = {{1, 1, 1}, {40, 33, 7}, {9, 576, 50}, {100, 257, 3}};
    for (auto [n_rows, width, n_vocab] : is_tiny ? tiny : all) {
        check_embed<float>(embed_backward_f32, n_rows, width, n_vocab, "f32");
        check_embed<bf16>(embed_backward_bf16, n_rows, width, n_vocab, "bf16");
    }
}
