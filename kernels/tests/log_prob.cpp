#include "../log_prob.cu"

#include "harness.h"

using namespace harness;

static void check_rows(size_t n_rows, size_t n_vocab, double scale, float temperature, bool is_masked) {
    const float inv_temperature = 1.0f / temperature;
    auto logits = numbers<float>(1, n_rows * n_vocab, scale);
    auto targets = indices(2, n_rows, static_cast<unsigned>(n_vocab));
    if (is_masked) {
        // Ids that cannot be sampled, in front of one that can be.
        for (size_t i = 0; i + 1 < n_vocab; i += 2) logits[i] = -INFINITY;
        for (size_t row = 0; row < n_rows; row++) targets[row] |= 1;
    }
    auto d_log_probs = numbers<float>(3, n_rows), d_entropies = numbers<float>(4, n_rows);
    Array<float> log_probs(n_rows), entropies(n_rows), lse(n_rows);
    std::vector<double> wanted_log_probs, wanted_entropies, wanted_gradients;
    for (size_t row = 0; row < n_rows; row++) {
        const auto z = [&](size_t i) { return static_cast<double>(logits[row * n_vocab + i]) * inv_temperature; };
        double largest = -INFINITY, mass = 0.0, entropy = 0.0;
        for (size_t i = 0; i < n_vocab; i++) largest = std::max(largest, z(i));
        for (size_t i = 0; i < n_vocab; i++) mass += std::exp(z(i) - largest);
        const auto log_p = [&](size_t i) { return z(i) - largest - std::log(mass); };
        const auto p = [&](size_t i) { return std::exp(log_p(i)); };
        for (size_t i = 0; i < n_vocab; i++) entropy -= p(i) > 0.0 ? p(i) * log_p(i) : 0.0;
        wanted_log_probs.push_back(log_p(targets[row]));
        wanted_entropies.push_back(entropy);
        for (size_t i = 0; i < n_vocab; i++) {
            double gradient = d_log_probs[row] * ((i == targets[row] ? 1.0 : 0.0) - p(i));
            if (p(i) > 0.0) gradient -= d_entropies[row] * p(i) * (log_p(i) + entropy);
            wanted_gradients.push_back(gradient * inv_temperature);
        }
    }
    launch(log_prob, n_rows, 1, BLOCK, logits.data(), targets.data(), log_probs.data(), entropies.data(), lse.data(),
           n_vocab, inv_temperature);
    const auto backward = [&](auto kernel, auto* gradients) {
        launch(kernel, n_rows, 1, BLOCK, logits.data(), targets.data(), entropies.data(), lse.data(),
               d_log_probs.data(), d_entropies.data(), gradients, n_vocab, inv_temperature);
    };
    Array<bf16> halves(n_rows * n_vocab);
    backward(log_prob_backward_bf16, halves.data());
    // In place.
    backward(log_prob_backward_f32, logits.data());
    const std::string what = text("rows", n_rows, n_vocab) + ", logits to " + std::to_string(scale);
    check_close(log_probs.values(), wanted_log_probs, 4e-6, what + ", log-probs");
    check_close(entropies.values(), wanted_entropies, 1e-5, what + ", entropies");
    check_close(logits.values(), wanted_gradients, 2e-5, what + ", gradients");
    check_close(halves.values(), wanted_gradients, 4e-3, what + ", gradients as bfloat16");
}

TEST(log_probs_agree_with_float64) {
    if (is_tiny) return check_rows(1, 40, 3.0, 1.0f, false);
    for (size_t n_vocab : {1, 2, 33, 256, 1000, 5003}) check_rows(3, n_vocab, 5.0, 1.0f, false);
    check_rows(2, 1000, 5.0, 0.7f, false);
    // One id has all the mass, and the exponentials of most others are 0.
    check_rows(2, 1000, 300.0, 1.0f, false);
    check_rows(2, 1000, 5.0, 1.0f, true);
    // The largest vocabulary that is sampled from.
    check_rows(2, 1 << 18, 5.0, 1.0f, false);
}

TEST(bits_do_not_depend_on_other_rows) {
    const size_t n_rows = 4, n_vocab = is_tiny ? 30 : 700;
    auto logits = numbers<float>(1, n_rows * n_vocab, 4.0);
    auto targets = indices(2, n_rows, static_cast<unsigned>(n_vocab));
    Array<float> together(n_rows), alone(n_rows), entropies(n_rows), lse(n_rows);
    launch(log_prob, n_rows, 1, BLOCK, logits.data(), targets.data(), together.data(), entropies.data(), lse.data(),
           n_vocab, 1.0f);
    for (size_t row = 0; row < n_rows; row++) {
        launch(log_prob, 1, 1, BLOCK, logits.data() + row * n_vocab, targets.data() + row, alone.data() + row,
               entropies.data() + row, lse.data() + row, n_vocab, 1.0f);
    }
    check_close(together.values(), alone.values(), 0.0, "log-probs");
}

TEST(a_row_without_derivatives_has_no_gradient_whatever_its_logits_are) {
    const size_t n_vocab = 5;
    auto logits = numbers<float>(1, n_vocab);
    logits[3] = NAN;
    Array<unsigned> targets(1);
    Array<float> zeros(1), bad(1), gradients(n_vocab);
    targets[0] = 1;
    zeros[0] = 0.0f;
    bad[0] = NAN;
    launch(log_prob_backward_f32, 1, 1, BLOCK, logits.data(), targets.data(), bad.data(), bad.data(), zeros.data(),
           zeros.data(), gradients.data(), n_vocab, 1.0f);
    check_close(gradients.values(), std::vector<double>(n_vocab), 0.0, "gradients");
}
