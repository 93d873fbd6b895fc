#include "../int8_linear.cu"

#include "harness.h"

using namespace harness;

// crates/transformer/src/quantise.rs, value by value.
static float quantise(const std::vector<float>& values, float n_codes, std::vector<int>& codes) {
    float largest = 0.0f;
    for (float x : values) largest = std::isfinite(x) ? std::fmax(largest, std::fabs(x)) : INFINITY;
    for (float x : values) largest = std::isfinite(x) ? largest : NAN;
    float scale = largest / n_codes;
    if (!std::isnormal(scale)) scale = std::isfinite(largest) ? 0.0f : NAN;
    for (float x : values) codes.push_back(scale > 0.0f ? static_cast<int>(std::nearbyint(x / scale)) : 0);
    return scale;
}

static bool same_number(float a, float b) {
    return (std::isnan(a) && std::isnan(b)) || __float_as_uint(a) == __float_as_uint(b);
}

static size_t padded(size_t n_in) { return (n_in + STEP - 1) / STEP * STEP; }

// Rows of several magnitudes, with ties, zeros, values below what has a scale, and something that is not finite.
template <class T>
static Array<T> rows_of(uint64_t seed, size_t n_rows, size_t n_in, bool all_finite = false) {
    auto values = numbers<T>(seed, n_rows * n_in);
    for (size_t row = 0; row < n_rows; row++) {
        const double scales[] = {1.0, 1e-30, 1e30, 0.0, 1e-41};
        for (size_t i = row * n_in; i < (row + 1) * n_in; i++) {
            values[i] = rounded<T>(value(values[i]) * scales[row % 5]);
            if (row % 5 == 2 && i % 3 == 0) values[i] = rounded<T>(1e30 * (0.5 + static_cast<double>(i % 127)));
        }
        const double bad[] = {INFINITY, NAN, -INFINITY};
        if (row % 7 == 5 && !all_finite) values[row * n_in + n_in / 2] = rounded<T>(bad[row / 7 % 3]);
    }
    return values;
}

template <class T>
static std::vector<float> row_of(Array<T>& values, size_t row, size_t n_in) {
    std::vector<float> out;
    for (size_t i = 0; i < n_in; i++) out.push_back(static_cast<float>(value(values[row * n_in + i])));
    return out;
}

template <class T, class Kernel>
static void check_rows(Kernel kernel, size_t n_rows, size_t n_in, const char* name) {
    const size_t stride = padded(n_in);
    auto x = rows_of<T>(1, n_rows, n_in);
    Array<signed char> high(n_rows * stride), low(n_rows * stride);
    Array<float> scales(n_rows);
    launch(kernel, n_rows, 1, BLOCK, x.data(), high.data(), low.data(), scales.data(), n_in, stride);
    bool agrees = true;
    for (size_t row = 0; row < n_rows; row++) {
        std::vector<int> codes;
        const float scale = quantise(row_of(x, row, n_in), 4095.0f, codes);
        agrees &= same_number(scales[row], scale);
        codes.resize(stride);
        for (size_t i = 0; i < stride; i++) {
            const int l = low[row * stride + i];
            agrees &= 64 * high[row * stride + i] + l == codes[i] && l >= -32 && l < 32;
        }
    }
    check(agrees, text(name, n_rows, n_in) + ", codes of rows");
}

template <class Plain, class Split>
static void check_weights(Plain plain, Split split_kernel, size_t n_out, size_t n_in, const char* name) {
    const size_t stride = padded(n_in);
    auto weights = rows_of<float>(2, n_out, n_in);
    Array<unsigned short> high(n_out * n_in), low(n_out * n_in);
    for (size_t i = 0; i < n_out * n_in; i++) {
        const Halves halves = split(weights[i]);
        high[i] = halves.high;
        low[i] = halves.low;
    }
    Array<signed char> codes(n_out * stride), split_codes(n_out * stride);
    Array<float> scales(n_out), split_scales(n_out), unpacked(n_out * n_in);
    launch(plain, n_out, 1, BLOCK, weights.data(), codes.data(), scales.data(), n_in, stride);
    launch(
        split_kernel, n_out, 1, BLOCK, high.data(), low.data(), split_codes.data(), split_scales.data(), n_in, stride);
    launch(
        unpack_int8_weights, blocks(n_out * n_in, BLOCK), 1, BLOCK, codes.data(), scales.data(), unpacked.data(), n_out,
        n_in, stride);
    bool agrees = true, split_agrees = true, unpacks = true;
    for (size_t row = 0; row < n_out; row++) {
        std::vector<int> wanted;
        const float scale = quantise(row_of(weights, row, n_in), 127.0f, wanted);
        agrees &= same_number(scales[row], scale);
        split_agrees &= same_number(split_scales[row], scale);
        wanted.resize(stride);
        for (size_t i = 0; i < stride; i++) {
            agrees &= codes[row * stride + i] == wanted[i];
            split_agrees &= split_codes[row * stride + i] == wanted[i];
            if (i < n_in) unpacks &= same_number(unpacked[row * n_in + i], static_cast<float>(wanted[i]) * scale);
        }
    }
    check(agrees, text(name, n_out, n_in) + ", codes of weights");
    check(split_agrees, text(name, n_out, n_in) + ", codes of split weights");
    check(unpacks, text(name, n_out, n_in) + ", unpacked");
}

TEST(codes_are_those_of_quantise_rs) {
    for (size_t n_in : is_tiny ? std::vector<size_t>{72} : std::vector<size_t>{1, 5, 64, 72, 1000, 2051}) {
        const size_t n_rows = is_tiny ? 2 : 23;
        check_rows<float>(quantise_rows_f32_narrow, n_rows, n_in, "f32, narrow");
        check_rows<bf16>(quantise_rows_bf16_narrow, n_rows, n_in, "bf16, narrow");
        check_weights(quantise_weights_f32_narrow, quantise_weights_split_narrow, n_rows, n_in, "narrow");
        if (n_in % 8 > 0) continue;
        check_rows<float>(quantise_rows_f32_wide, n_rows, n_in, "f32, wide");
        check_rows<bf16>(quantise_rows_bf16_wide, n_rows, n_in, "bf16, wide");
        check_weights(quantise_weights_f32_wide, quantise_weights_split_wide, n_rows, n_in, "wide");
    }
}

struct Shape {
    size_t n_rows, n_out, n_in;
};

template <class T, class Kernel>
static void check_linear(
    Kernel kernel, size_t rows_of_block, size_t outputs_of_block, Shape shape, bool largest, const char* name) {
    const auto [n_rows, n_out, n_in] = shape;
    const size_t stride = padded(n_in);
    Array<signed char> high(n_rows * stride), low(n_rows * stride), codes(n_out * stride);
    auto x_scales = numbers<float>(3, n_rows), scales = numbers<float>(4, n_out);
    auto bias = numbers<float>(5, n_out, 100.0);
    Array<T> y(n_rows * n_out), unbiased(n_rows * n_out);
    x_scales[n_rows / 2] = NAN;
    std::vector<int> x(n_rows * stride);
    // The codes for which sums are largest, or random ones.
    for (size_t i = 0; i < x.size(); i++) {
        x[i] = i % stride >= n_in ? 0 : largest ? 4095 : static_cast<int>(std::lround(4095.0 * number(1, i)));
        high[i] = static_cast<signed char>((x[i] + 32) >> 6);
        low[i] = static_cast<signed char>(x[i] - 64 * high[i]);
    }
    for (size_t i = 0; i < codes.size(); i++) {
        const int code = largest ? -127 : static_cast<int>(std::lround(127.0 * number(2, i)));
        codes[i] = static_cast<signed char>(i % stride >= n_in ? 0 : code);
    }
    for (float* with : {bias.data(), static_cast<float*>(nullptr)}) {
        launch(
            kernel, blocks(n_rows, rows_of_block), blocks(n_out, outputs_of_block), BLOCK, high.data(), low.data(),
            x_scales.data(), codes.data(), scales.data(), with, with ? y.data() : unbiased.data(), n_rows, n_out,
            stride);
    }
    bool agrees = true;
    for (size_t row = 0; row < n_rows; row++) {
        for (size_t n = 0; n < n_out; n++) {
            int64_t sum = 0;
            for (size_t k = 0; k < n_in; k++) sum += x[row * stride + k] * codes[n * stride + k];
            const float product = static_cast<float>(sum) * x_scales[row] * scales[n];
            const size_t i = row * n_out + n;
            const auto stored = [](float x) { return static_cast<float>(value(rounded<T>(x))); };
            agrees &= same_number(value(y[i]), stored(product + bias[n]));
            agrees &= same_number(value(unbiased[i]), stored(product));
        }
    }
    check(agrees, text(name, n_rows, n_out) + " with " + std::to_string(n_in) + " inputs");
}

TEST(products_of_codes_are_exact) {
    const std::vector<Shape> tiny = {{3, 17, 70}};
    const std::vector<Shape> all = {{1, 1, 1}, {3, 5, 63}, {8, 16, 64}, {9, 33, 1000}, {33, 150, 576}, {70, 20, 130}};
    for (Shape shape : is_tiny ? tiny : all) {
        check_linear<float>(int8_linear_f32_8x16, 8, 16, shape, false, "f32, 8 by 16");
        check_linear<float>(int8_linear_f32_32x16, 32, 16, shape, false, "f32, 32 by 16");
        check_linear<float>(int8_linear_f32_32x64, 32, 64, shape, false, "f32, 32 by 64");
        check_linear<bf16>(int8_linear_bf16_8x16, 8, 16, shape, false, "bf16, 8 by 16");
        check_linear<bf16>(int8_linear_bf16_32x16, 32, 16, shape, false, "bf16, 32 by 16");
        check_linear<bf16>(int8_linear_bf16_32x64, 32, 64, shape, false, "bf16, 32 by 64");
    }
    // Sums of both halves that need all bits of an int32, and of all that need more.
    if (!is_tiny) check_linear<float>(int8_linear_f32_8x16, 8, 16, {2, 3, 1 << 18}, true, "the largest");
}
