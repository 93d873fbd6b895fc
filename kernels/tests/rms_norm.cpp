#include "../rms_norm.cu"

#include "harness.h"

using namespace harness;

struct Shape {
    size_t n_rows, width;
};

static std::vector<Shape> shapes() {
    if (is_tiny) return {{2, 40}};
    return {{1, 1}, {3, 7}, {2, 576}, {5, 896}, {1, 1000}, {2, 2049}, {1, 8192}};
}

template <class T, class Forward, class Backward>
static void check_norm(Forward forward, Backward backward, Shape shape, const char* name) {
    const auto [n_rows, width] = shape;
    const float epsilon = 1e-5f;
    auto x = numbers<T>(1, n_rows * width, 3.0), dy = numbers<T>(2, n_rows * width), dx = numbers<T>(3, n_rows * width);
    auto gain = numbers<float>(4, width);
    Array<T> y(n_rows * width);
    Array<float> inv_rms(n_rows);
    std::vector<double> wanted_y, wanted_inverse, wanted_dx;
    for (size_t row = 0; row < n_rows; row++) {
        const size_t start = row * width;
        double squares = 0.0, products = 0.0;
        for (size_t i = start; i < start + width; i++) squares += value(x[i]) * value(x[i]);
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(width) + epsilon);
        for (size_t i = 0; i < width; i++) products += value(dy[start + i]) * gain[i] * value(x[start + i]) * inverse;
        const double mean = products / static_cast<double>(width);
        wanted_inverse.push_back(inverse);
        for (size_t i = 0; i < width; i++) {
            const double normalised = value(x[start + i]) * inverse;
            wanted_y.push_back(normalised * gain[i]);
            const double gradient = value(dy[start + i]) * gain[i] - normalised * mean;
            wanted_dx.push_back(value(dx[start + i]) + inverse * gradient);
        }
    }
    launch(forward, n_rows, 1, BLOCK, x.data(), gain.data(), y.data(), inv_rms.data(), width, epsilon);
    launch(backward, n_rows, 1, BLOCK, x.data(), gain.data(), inv_rms.data(), dy.data(), dx.data(), width);
    check_close(y.values(), wanted_y, tolerance<T>(), text(name, n_rows, width) + ", y");
    check_close(inv_rms.values(), wanted_inverse, 2e-6, text(name, n_rows, width) + ", inv_rms");
    check_close(dx.values(), wanted_dx, tolerance<T>(), text(name, n_rows, width) + ", dx");
}

TEST(rms_norm_agrees_with_float64) {
    for (Shape shape : shapes()) {
        check_norm<float>(rms_norm_f32_narrow, rms_norm_backward_input_f32_narrow, shape, "f32, narrow");
        check_norm<bf16>(rms_norm_bf16_narrow, rms_norm_backward_input_bf16_narrow, shape, "bf16, narrow");
        if (shape.width % 8 > 0) continue;
        check_norm<float>(rms_norm_f32_wide, rms_norm_backward_input_f32_wide, shape, "f32, wide");
        check_norm<bf16>(rms_norm_bf16_wide, rms_norm_backward_input_bf16_wide, shape, "bf16, wide");
    }
}

// Sums are what the next norm reads: rounded to activations first. `in_place` adds to x itself.
template <class T, class Kernel>
static void check_sum(Kernel kernel, Shape shape, bool in_place, const char* name) {
    const auto [n_rows, width] = shape;
    const float epsilon = 1e-5f;
    auto x = numbers<T>(1, n_rows * width, 3.0), branch = numbers<T>(2, n_rows * width, 2.0);
    auto gain = numbers<float>(4, width);
    Array<T> y(n_rows * width), apart(n_rows * width);
    Array<T>& sum = in_place ? x : apart;
    Array<float> inv_rms(n_rows);
    std::vector<double> wanted_sum, wanted_y, wanted_inverse;
    for (size_t row = 0; row < n_rows; row++) {
        double squares = 0.0;
        for (size_t i = row * width; i < (row + 1) * width; i++) {
            wanted_sum.push_back(value(rounded<T>(value(x[i]) + value(branch[i]))));
            squares += wanted_sum[i] * wanted_sum[i];
        }
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(width) + epsilon);
        wanted_inverse.push_back(inverse);
        for (size_t i = 0; i < width; i++) wanted_y.push_back(wanted_sum[row * width + i] * inverse * gain[i]);
    }
    launch(
        kernel, n_rows, 1, BLOCK, x.data(), branch.data(), sum.data(), gain.data(), y.data(), inv_rms.data(), width,
        epsilon);
    check_close(sum.values(), wanted_sum, 0.0, text(name, n_rows, width) + ", sum");
    check_close(y.values(), wanted_y, tolerance<T>(), text(name, n_rows, width) + ", y of a sum");
    check_close(inv_rms.values(), wanted_inverse, 2e-6, text(name, n_rows, width) + ", inv_rms of a sum");
}

TEST(add_rms_norm_agrees_with_float64) {
    for (Shape shape : shapes()) {
        for (bool in_place : {false, true}) {
            check_sum<float>(add_rms_norm_f32_narrow, shape, in_place, "f32, narrow");
            check_sum<bf16>(add_rms_norm_bf16_narrow, shape, in_place, "bf16, narrow");
            if (shape.width % 8 > 0) continue;
            check_sum<float>(add_rms_norm_f32_wide, shape, in_place, "f32, wide");
            check_sum<bf16>(add_rms_norm_bf16_wide, shape, in_place, "bf16, wide");
        }
    }
}
