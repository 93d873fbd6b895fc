#include "../adamw.cu"

#include "harness.h"

using namespace harness;

TEST(adamw_agrees_with_float64) {
    for (size_t n : is_tiny ? std::vector<size_t>{7} : std::vector<size_t>{1, 255, 256, 1000}) {
        auto p = numbers<float>(1, n), g = numbers<float>(2, n), m = numbers<float>(3, n), v = numbers<float>(4, n);
        for (size_t i = 0; i < n; i++) v[i] = std::fabs(v[i]);
        const double rate = 0.01, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8, decay = 0.1, scale = 0.5;
        const double correction1 = 1.0 - std::pow(beta1, 3), correction2 = 1.0 - std::pow(beta2, 3);
        std::vector<double> wanted_p, wanted_m, wanted_v;
        for (size_t i = 0; i < n; i++) {
            const double gradient = g[i] * scale;
            wanted_m.push_back(beta1 * m[i] + (1.0 - beta1) * gradient);
            wanted_v.push_back(beta2 * v[i] + (1.0 - beta2) * gradient * gradient);
            const double root = std::sqrt(wanted_v[i] / correction2) + epsilon;
            wanted_p.push_back(p[i] - rate * (wanted_m[i] / correction1 / root + decay * p[i]));
        }
        const auto single = [](double x) { return static_cast<float>(x); };
        const AdamStep step = {
            single(rate), single(beta1), single(beta2), single(1.0 - beta1), single(1.0 - beta2),
            single(1.0 / correction1), single(1.0 / correction2), single(epsilon), single(decay), single(scale)};
        launch(adamw, blocks(n, BLOCK), 1, BLOCK, p.data(), g.data(), m.data(), v.data(), n, step);
        const std::string what = std::to_string(n) + " numbers";
        check_close(p.values(), wanted_p, 2e-6, what + ", p");
        check_close(m.values(), wanted_m, 2e-6, what + ", m");
        check_close(v.values(), wanted_v, 2e-6, what + ", v");
    }
}

TEST(squares_are_summed_in_float64) {
    const size_t most = 2 * SUM_VALUES + 5;
    for (size_t n : is_tiny ? std::vector<size_t>{300} : std::vector<size_t>{1, 255, SUM_VALUES, most}) {
        auto values = numbers<float>(1, n);
        double wanted = 0.0, found = 0.0;
        for (size_t i = 0; i < n; i++) wanted += static_cast<double>(values[i]) * values[i];
        const unsigned n_blocks = blocks(n, SUM_VALUES);
        Array<double> partial(n_blocks);
        launch(sum_squares, n_blocks, 1, BLOCK, values.data(), partial.data(), n);
        for (unsigned block = 0; block < n_blocks; block++) found += partial[block];
        check(std::fabs(found - wanted) <= 1e-12 * wanted, std::to_string(n) + " numbers");
    }
}
