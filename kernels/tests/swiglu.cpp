#include "../swiglu.cu"

#include "harness.h"

using namespace harness;

template <class T, int N, class Forward, class Backward>
static void check_swiglu(Forward forward, Backward backward, size_t n_vectors, const char* name) {
    const size_t n = n_vectors * N;
    auto gate = numbers<T>(1, n, 8.0), up = numbers<T>(2, n), d_out = numbers<T>(3, n);
    // Far from zero on both sides, where a sigmoid over- or underflows.
    gate[0] = rounded<T>(-200.0);
    gate[n - 1] = rounded<T>(200.0);
    std::vector<double> wanted_out, wanted_d_gate, wanted_d_up;
    for (size_t i = 0; i < n; i++) {
        const double z = value(gate[i]), sigmoid = 1.0 / (1.0 + std::exp(-z));
        wanted_out.push_back(z * sigmoid * value(up[i]));
        wanted_d_gate.push_back(value(d_out[i]) * value(up[i]) * sigmoid * (1.0 + z * (1.0 - sigmoid)));
        wanted_d_up.push_back(value(d_out[i]) * z * sigmoid);
    }
    Array<T> out(n);
    launch(forward, blocks(n_vectors, BLOCK), 1, BLOCK, gate.data(), up.data(), out.data(), n_vectors);
    check_close(out.values(), wanted_out, tolerance<T>(), text(name, n_vectors, N) + ", out");
    // In place, as the backward pass of a layer does it.
    launch(backward, blocks(n_vectors, BLOCK), 1, BLOCK, gate.data(), up.data(), d_out.data(), gate.data(), up.data(),
           n_vectors);
    check_close(gate.values(), wanted_d_gate, tolerance<T>(), text(name, n_vectors, N) + ", d_gate");
    check_close(up.values(), wanted_d_up, tolerance<T>(), text(name, n_vectors, N) + ", d_up");
}

TEST(swiglu_agrees_with_float64) {
    for (size_t n_vectors : is_tiny ? std::vector<size_t>{5} : std::vector<size_t>{1, 31, 256, 257, 1000}) {
        check_swiglu<float, 1>(swiglu_f32_narrow, swiglu_backward_f32_narrow, n_vectors, "f32, narrow");
        check_swiglu<float, 4>(swiglu_f32_wide, swiglu_backward_f32_wide, n_vectors, "f32, wide");
        check_swiglu<bf16, 1>(swiglu_bf16_narrow, swiglu_backward_bf16_narrow, n_vectors, "bf16, narrow");
        check_swiglu<bf16, 8>(swiglu_bf16_wide, swiglu_backward_bf16_wide, n_vectors, "bf16, wide");
    }
}
