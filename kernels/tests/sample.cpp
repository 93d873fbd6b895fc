#include "../sample.cu"

#include <algorithm>
#include <numeric>

#include "harness.h"

using namespace harness;

struct Spec {
    float temperature, top_p, uniform;
};

// The token and its log-prob in float64; `margin` is how far the drawn mass is from a boundary, as a part of all.
struct Wanted {
    size_t token;
    double log_prob, margin;
};

static Wanted sampled(const float* logits, size_t n_vocab, Spec spec) {
    const double inv_temperature = spec.temperature == 0.0f ? 1.0 : 1.0 / static_cast<double>(spec.temperature);
    const float largest = *std::max_element(logits, logits + n_vocab);
    std::vector<double> masses;
    for (size_t i = 0; i < n_vocab; i++) {
        masses.push_back(std::exp((static_cast<double>(logits[i]) - largest) * inv_temperature));
    }
    const double sum = std::accumulate(masses.begin(), masses.end(), 0.0);
    const auto log_prob = [&](size_t i) {
        return (static_cast<double>(logits[i]) - largest) * inv_temperature - std::log(sum);
    };
    if (spec.temperature == 0.0f) {
        const size_t token = static_cast<size_t>(std::max_element(logits, logits + n_vocab) - logits);
        return {token, log_prob(token), 1.0};
    }
    std::vector<size_t> ids(n_vocab);
    std::iota(ids.begin(), ids.end(), size_t{0});
    std::stable_sort(ids.begin(), ids.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    double mass = 0.0, margin = 1.0;
    size_t n_ids = 0;
    while (n_ids < n_vocab && (mass < spec.top_p * sum || n_ids == 0)) mass += masses[ids[n_ids++]];
    if (spec.top_p < 1.0f) margin = (mass - spec.top_p * sum) / sum;
    ids.resize(spec.top_p < 1.0f ? n_ids : n_vocab);
    std::sort(ids.begin(), ids.end());
    if (spec.top_p >= 1.0f) mass = sum;
    double left = spec.uniform * mass;
    for (size_t i : ids) {
        margin = std::min(margin, std::fabs(left) / sum);
        if (left < masses[i]) return {i, log_prob(i), std::min(margin, (masses[i] - left) / sum)};
        left -= masses[i];
    }
    return {ids.back(), log_prob(ids.back()), 0.0};
}

static void check_sampled(Array<float>& logits, size_t n_vocab, const std::vector<Spec>& specs) {
    const size_t n_rows = specs.size();
    Array<float> temperatures(n_rows), top_p(n_rows), uniforms(n_rows), log_probs(n_rows);
    Array<unsigned> tokens(n_rows);
    for (size_t row = 0; row < n_rows; row++) {
        temperatures[row] = specs[row].temperature;
        top_p[row] = specs[row].top_p;
        uniforms[row] = specs[row].uniform;
    }
    launch(sample, n_rows, 1, BLOCK, logits.data(), temperatures.data(), top_p.data(), uniforms.data(), tokens.data(),
           log_probs.data(), n_vocab);
    for (size_t row = 0; row < n_rows; row++) {
        const Wanted wanted = sampled(logits.data() + row * n_vocab, n_vocab, specs[row]);
        char what[160];
        snprintf(what, sizeof what, "%zu ids, temperature %g, top_p %g, uniform %g: %u instead of %zu", n_vocab,
                 specs[row].temperature, specs[row].top_p, specs[row].uniform, tokens[row], wanted.token);
        // Within rounding of a boundary both neighbours are right.
        if (wanted.margin < 1e-5) continue;
        check(tokens[row] == wanted.token, what);
        check(std::fabs(log_probs[row] - wanted.log_prob) < 1e-5 * (1.0 + std::fabs(wanted.log_prob)), what);
    }
}

TEST(tokens_are_those_of_inverse_transform) {
    const std::vector<size_t> tiny = {40}, all = {1, 2, 31, 1000, 1024, 1025, 5000};
    for (size_t n_vocab : is_tiny ? tiny : all) {
        std::vector<Spec> specs = {{0.0f, 1.0f, 0.3f}};
        for (float uniform : {0.0f, 0.37f, 0.999999f}) {
            for (float temperature : {0.5f, 1.0f, 2.0f}) {
                for (float top_p : {0.1f, 0.7f, 1.0f}) {
                    specs.push_back({temperature, top_p, uniform});
                    if (is_tiny && specs.size() > 2) break;
                }
            }
        }
        auto logits = numbers<float>(n_vocab, specs.size() * n_vocab, 4.0);
        check_sampled(logits, n_vocab, specs);
    }
}

TEST(the_largest_vocabulary_has_room) {
    if (is_tiny) return;
    const size_t n_vocab = 1 << 18;
    auto logits = numbers<float>(5, 2 * n_vocab, 4.0);
    // The last id has nearly all mass of one row, and eight ids that of the other.
    logits[n_vocab - 1] = 20.0f;
    for (size_t i = 0; i < 8; i++) {
        logits[n_vocab + (i + 1) * n_vocab / 8 - 1 - i] = 16.0f + 0.5f * static_cast<float>(i);
    }
    check_sampled(logits, n_vocab, {{1.0f, 1.0f, 0.999f}, {0.7f, 0.8f, 0.1f}});
}

TEST(of_equal_ids_the_lower_ones_are_in_the_nucleus) {
    const size_t n_vocab = is_tiny ? 20 : 3000;
    std::vector<Spec> specs;
    for (float uniform : {0.01f, 0.5f, 0.99f}) {
        specs.push_back({0.0f, 1.0f, uniform});
        specs.push_back({1.0f, 0.4f, uniform});
        if (is_tiny) break;
    }
    Array<float> logits(specs.size() * n_vocab);
    // A few values many times, so that the end of the nucleus is among equals.
    for (size_t i = 0; i < logits.size(); i++) logits[i] = std::floor(2.0f * static_cast<float>(number(1, i)));
    check_sampled(logits, n_vocab, specs);
}

TEST(rows_that_are_no_numbers_give_some_token) {
    const size_t n_vocab = is_tiny ? 20 : 1100;
    for (float logit : {NAN, -INFINITY, INFINITY}) {
        Array<float> logits(n_vocab), temperature(1), top_p(1), uniform(1), log_prob(1);
        Array<unsigned> token(1);
        for (size_t i = 0; i < n_vocab; i++) logits[i] = logit;
        for (float p : {0.5f, 1.0f}) {
            temperature[0] = 1.0f;
            top_p[0] = p;
            uniform[0] = 0.5f;
            launch(sample, 1, 1, BLOCK, logits.data(), temperature.data(), top_p.data(), uniform.data(), token.data(),
                   log_prob.data(), n_vocab);
            check(token[0] < n_vocab && !std::isfinite(log_prob[0]), "a row of " + std::to_string(logit));
        }
    }
}
