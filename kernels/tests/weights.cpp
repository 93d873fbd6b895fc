#include "../weights.cu"

#include "harness.h"

using namespace harness;

// Magnitudes of all exponents, ties between two bfloat16 above and below, both zeros, infinities and NaN.
static Array<float> weights(size_t n) {
    const unsigned special[] = {
        0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7fffffff, 0xff800001, 0x7f7fffff, 0xff7fffff,
        0x3f808000, 0x3f818000, 0xbf808000, 0xbf818000, 0x3f807fff, 0x3f808001, 0x00000001, 0x00008000, 0x3fff8000};
    Array<float> values(n);
    for (size_t i = 0; i < n; i++) {
        const auto random = static_cast<unsigned>((number(1, i) + 1.0) * 2147483648.0);
        values[i] = __uint_as_float(i % 3 == 0 ? special[i / 3 % std::size(special)] : random);
    }
    return values;
}

static unsigned bits(float x) { return __float_as_uint(x); }

// The bfloat16 nearest to a finite value by comparing distances, which float64 holds exactly. Above the largest number
// stands 2^128, whose bits are infinity's.
static unsigned nearest(float value, bool ties_to_even) {
    const auto exact = [](unsigned half) {
        return half == 0x7f80 ? std::ldexp(1.0, 128) : double(__uint_as_float(half << 16));
    };
    const unsigned below = (bits(value) & 0x7fffffff) >> 16;
    const double magnitude = std::fabs(double(value));
    const double up = exact(below + 1) - magnitude, down = magnitude - exact(below);
    const bool goes_up = up == down ? !ties_to_even || below % 2 == 1 : up < down;
    return (below + goes_up) | (bits(value) >> 31) << 15;
}

TEST(weights_are_halves_and_back) {
    for (size_t n : is_tiny ? std::vector<size_t>{20} : std::vector<size_t>{1, 7, 8, 2049, 20000}) {
        auto values = weights(n);
        const unsigned n_blocks = blocks(n, BLOCK * LANE_VALUES);
        Array<unsigned short> high(n), low(n), rounded(n), halves(n);
        Array<float> joined(n), widened(n);
        launch(split_weights, n_blocks, 1, BLOCK, values.data(), high.data(), low.data(), n);
        launch(join_weights, n_blocks, 1, BLOCK, high.data(), low.data(), joined.data(), n);
        launch(round_weights, n_blocks, 1, BLOCK, high.data(), low.data(), rounded.data(), n);
        launch(f32_to_bf16, n_blocks, 1, BLOCK, values.data(), halves.data(), n);
        launch(bf16_to_f32, n_blocks, 1, BLOCK, halves.data(), widened.data(), n);
        bool splits = true, joins = true, rounds = true, converts = true, widens = true;
        for (size_t i = 0; i < n; i++) {
            const auto is_nan = [](unsigned half) { return std::isnan(__uint_as_float(half << 16)); };
            if (std::isnan(values[i])) {
                splits &= is_nan(high[i]);
                joins &= std::isnan(joined[i]);
                rounds &= is_nan(rounded[i]);
                converts &= is_nan(halves[i]);
                widens &= std::isnan(widened[i]);
                continue;
            }
            const bool is_infinite = std::isinf(values[i]);
            const unsigned infinity = bits(values[i]) >> 16;
            splits &= high[i] == (is_infinite ? infinity : nearest(values[i], false));
            joins &= bits(joined[i]) == bits(values[i]);
            const unsigned even = is_infinite ? infinity : nearest(values[i], true);
            rounds &= rounded[i] == even;
            converts &= halves[i] == even;
            widens &= bits(widened[i]) == even << 16;
        }
        const std::string what = std::to_string(n) + " weights ";
        check(splits, what + "split");
        check(joins, what + "joined");
        check(rounds, what + "rounded");
        check(converts, what + "to bfloat16");
        check(widens, what + "from bfloat16");
    }
}
