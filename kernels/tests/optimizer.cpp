#include "../optimizer.cu"

#include "harness.h"

using namespace harness;

// crates/transformer/src/optimizer/packing.rs, value by value.
namespace packing {

static unsigned noise(unsigned key, unsigned index) {
    const auto hash = [](unsigned x) {
        x = (x ^ x >> 16) * 0x7feb352du;
        x = (x ^ x >> 15) * 0x846ca68bu;
        return x ^ x >> 16;
    };
    return hash(key ^ hash(index)) >> 16;
}

static unsigned short bf16_of(float value, unsigned summand) {
    const unsigned bits = __float_as_uint(value);
    if (std::isfinite(value)) return (bits + summand) >> 16;
    return bits >> 16 | std::isnan(value) << 6;
}

static float fourth_power(float code, float n) {
    const float root = code / n, square = root * root;
    return square * square;
}

static float pack(
    const float* values, size_t n_values, bool is_signed, bool is_stochastic, unsigned key, size_t first,
    unsigned char* codes) {
    float largest = 0.0f;
    for (size_t i = 0; i < n_values; i++) largest = std::fmax(largest, std::fabs(values[i]));
    const bool is_nothing = largest == 0.0f || (is_signed && largest < 1e-28f);
    const float scale = is_nothing ? 0.0f : std::fmax(largest, 1e-28f), n = is_signed ? 127.0f : 255.0f;
    for (size_t i = 0; i < n_values; i++) {
        if (is_nothing) {
            codes[i] = 0;
            continue;
        }
        const float ratio = std::fabs(values[i]) / scale;
        const float root = std::sqrt(std::sqrt(ratio)) * n;
        float magnitude = std::floor(root + 0.5f);
        if (is_stochastic) {
            const float below = std::fmin(std::floor(root), n - 1.0f);
            const float low = fourth_power(below, n), high = fourth_power(below + 1.0f, n);
            const float threshold = static_cast<float>(noise(key, first + i)) / 65536.0f;
            magnitude = ratio - low > threshold * (high - low) ? below + 1.0f : below;
        }
        if (!is_signed && values[i] != 0.0f) magnitude = std::fmax(magnitude, 1.0f);
        if (std::isnan(magnitude)) magnitude = 0.0f;
        if (is_signed) magnitude = std::copysign(magnitude, values[i]);
        codes[i] = static_cast<unsigned char>(static_cast<int>(magnitude));
    }
    return scale;
}

static float unpack(unsigned char code, bool is_signed, float scale) {
    const float number = is_signed ? static_cast<float>(static_cast<signed char>(code)) : static_cast<float>(code);
    return std::copysign(fourth_power(number, is_signed ? 127.0f : 255.0f) * scale, number);
}

}  // namespace packing

static const AdamStep STEP = [] {
    const auto single = [](double x) { return static_cast<float>(x); };
    return AdamStep{
        0.01f, 0.9f, 0.99f, single(1.0 - 0.9f), single(1.0 - 0.99f), single(1.0 / (1.0 - std::pow(0.9f, 3))),
        single(1.0 / (1.0 - std::pow(0.99f, 3))), 1e-8f, 0.5f};
}();

// One tensor as the kernels of all precisions have it.
struct Tensor {
    size_t n;
    float weight_decay;
    unsigned rounding_key;
    Array<float> p, g, m, v, m_scales, v_scales;
    Array<unsigned short> high, low, m_halves, v_halves;
    Array<unsigned char> m_codes, v_codes;

    Tensor(size_t seed, size_t n)
        : n(n), weight_decay(seed % 2 == 0 ? 0.1f : 0.0f), rounding_key(0x9e3779b9u * static_cast<unsigned>(seed)),
          p(numbers<float>(4 * seed, n)), g(numbers<float>(4 * seed + 1, n)), m(numbers<float>(4 * seed + 2, n, 0.1)),
          v(numbers<float>(4 * seed + 3, n, 0.01)), m_scales(blocks(n, 256)), v_scales(blocks(n, 256)), high(n), low(n),
          m_halves(n), v_halves(n), m_codes(n), v_codes(n) {
        for (size_t i = 0; i < n; i++) {
            // Of many magnitudes, and with a block of zeros.
            v[i] = std::fabs(v[i]) * static_cast<float>(std::pow(0.1, i % 7));
            if (i / 256 == 1) m[i] = v[i] = g[i] = 0.0f;
            const Halves halves = split(p[i]);
            high[i] = halves.high;
            low[i] = halves.low;
            m_halves[i] = packing::bf16_of(m[i], 0x8000);
            v_halves[i] = packing::bf16_of(v[i], 0x8000);
        }
        pack(m, true, false, 0, m_codes, m_scales);
        pack(v, false, false, 0, v_codes, v_scales);
    }

    static void pack(
        const Array<float>& values, bool is_signed, bool is_stochastic, unsigned key, Array<unsigned char>& codes,
        Array<float>& scales) {
        const size_t n = values.size();
        for (size_t i = 0; i < n; i += 256) {
            const size_t n_here = std::min<size_t>(256, n - i);
            scales[i / 256] = packing::pack(&values[i], n_here, is_signed, is_stochastic, key, i, codes.data() + i);
        }
    }
};

template <class T>
static Array<T> copied(const Array<T>& from) {
    Array<T> to(from.size());
    for (size_t i = 0; i < from.size(); i++) to[i] = from[i];
    return to;
}

template <class T>
static bool same_bytes(Array<T>& a, Array<T>& b) {
    return memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

static std::vector<size_t> sizes() {
    if (is_tiny) return {300};
    return {1, 255, 256, 257, 1003, CHUNK, 2 * CHUNK + 515};
}

static Array<Chunk> chunks_of(const std::vector<size_t>& sizes) {
    std::vector<Chunk> all;
    for (unsigned tensor = 0; tensor < sizes.size(); tensor++) {
        for (unsigned index = 0; index * CHUNK < sizes[tensor]; index++) all.push_back({tensor, index});
    }
    Array<Chunk> chunks(all.size());
    for (size_t i = 0; i < all.size(); i++) chunks[i] = all[i];
    return chunks;
}

enum class Precision { F32, Bf16, Int8 };

template <class Kernel>
static void step_all(std::vector<Tensor>& tensors, Kernel kernel, bool is_split, Precision precision) {
    auto chunks = chunks_of(sizes());
    Array<TensorEntry> entries(tensors.size());
    for (size_t i = 0; i < tensors.size(); i++) {
        Tensor& t = tensors[i];
        TensorEntry entry = {t.p.data(), nullptr, t.g.data(), t.m.data(), t.v.data(), nullptr, nullptr, t.n,
                             t.weight_decay, t.rounding_key};
        if (is_split) {
            entry.weights = t.high.data();
            entry.low = t.low.data();
        }
        if (precision == Precision::Bf16) {
            entry.m = t.m_halves.data();
            entry.v = t.v_halves.data();
        } else if (precision == Precision::Int8) {
            entry.m = t.m_codes.data();
            entry.v = t.v_codes.data();
            entry.m_scales = t.m_scales.data();
            entry.v_scales = t.v_scales.data();
        }
        entries[i] = entry;
    }
    Array<float> clip(1);
    clip[0] = 0.25f;
    launch(kernel, chunks.size(), 1, BLOCK, entries.data(), chunks.data(), clip.data(), STEP);
}

static std::vector<Tensor> all_tensors() {
    std::vector<Tensor> tensors;
    for (size_t n : sizes()) tensors.emplace_back(tensors.size(), n);
    return tensors;
}

// Holds what a step made of float32 weights and state against float64.
TEST(adamw_agrees_with_float64) {
    auto tensors = all_tensors(), before = all_tensors();
    step_all(tensors, adamw_f32_f32, false, Precision::F32);
    for (size_t t = 0; t < tensors.size(); t++) {
        std::vector<double> wanted_p, wanted_m, wanted_v;
        const double correction1 = 1.0 - std::pow(0.9f, 3), correction2 = 1.0 - std::pow(0.99f, 3);
        for (size_t i = 0; i < tensors[t].n; i++) {
            const double gradient = before[t].g[i] * 0.125, p = before[t].p[i];
            const double m = 0.9f * double(before[t].m[i]) + (1.0 - 0.9f) * gradient;
            const double v = 0.99f * double(before[t].v[i]) + (1.0 - 0.99f) * gradient * gradient;
            const double update = m / correction1 / (std::sqrt(v / correction2) + 1e-8);
            wanted_p.push_back(p - 0.01 * (update + before[t].weight_decay * p));
            wanted_m.push_back(m);
            wanted_v.push_back(v);
        }
        const std::string what = std::to_string(tensors[t].n) + " weights, ";
        check_close(tensors[t].p.values(), wanted_p, 2e-6, what + "p");
        check_close(tensors[t].m.values(), wanted_m, 2e-6, what + "m");
        check_close(tensors[t].v.values(), wanted_v, 2e-6, what + "v");
    }
}

// Whatever weights and state are kept as, the step is that of float32 on what they stand for, packed again.
template <class Kernel>
static void check_packed(Kernel kernel, bool is_split, Precision precision, const char* name) {
    auto tensors = all_tensors(), plain = all_tensors();
    for (Tensor& t : plain) {
        for (size_t i = 0; i < t.n; i++) {
            if (precision == Precision::Bf16) {
                t.m[i] = __uint_as_float(t.m_halves[i] << 16);
                t.v[i] = __uint_as_float(t.v_halves[i] << 16);
            } else if (precision == Precision::Int8) {
                t.m[i] = packing::unpack(t.m_codes[i], true, t.m_scales[i / 256]);
                t.v[i] = packing::unpack(t.v_codes[i], false, t.v_scales[i / 256]);
            }
        }
    }
    step_all(plain, adamw_f32_f32, false, Precision::F32);
    step_all(tensors, kernel, is_split, precision);
    for (size_t t = 0; t < tensors.size(); t++) {
        Tensor &found = tensors[t], &wanted = plain[t];
        for (size_t i = 0; i < found.n; i++) {
            const unsigned key = found.rounding_key;
            const Halves halves = split(wanted.p[i]);
            wanted.high[i] = halves.high;
            wanted.low[i] = halves.low;
            wanted.m_halves[i] = packing::bf16_of(wanted.m[i], packing::noise(key, i));
            wanted.v_halves[i] = packing::bf16_of(wanted.v[i], packing::noise(~key, i));
        }
        Tensor::pack(wanted.m, true, true, found.rounding_key, wanted.m_codes, wanted.m_scales);
        Tensor::pack(wanted.v, false, true, ~found.rounding_key, wanted.v_codes, wanted.v_scales);
        bool agrees = is_split ? same_bytes(found.high, wanted.high) && same_bytes(found.low, wanted.low)
                               : same_bytes(found.p, wanted.p);
        check(agrees, text(name, found.n, 1) + ", weights");
        if (precision == Precision::F32) {
            agrees = same_bytes(found.m, wanted.m) && same_bytes(found.v, wanted.v);
        } else if (precision == Precision::Bf16) {
            agrees = same_bytes(found.m_halves, wanted.m_halves) && same_bytes(found.v_halves, wanted.v_halves);
        } else {
            agrees = same_bytes(found.m_codes, wanted.m_codes) && same_bytes(found.m_scales, wanted.m_scales) &&
                     same_bytes(found.v_codes, wanted.v_codes) && same_bytes(found.v_scales, wanted.v_scales);
        }
        check(agrees, text(name, found.n, 1) + ", state");
    }
}

TEST(packed_steps_are_those_of_float32) {
    check_packed(adamw_f32_bf16, false, Precision::Bf16, "f32, bf16");
    check_packed(adamw_f32_int8, false, Precision::Int8, "f32, int8");
    check_packed(adamw_split_f32, true, Precision::F32, "split, f32");
    check_packed(adamw_split_bf16, true, Precision::Bf16, "split, bf16");
    check_packed(adamw_split_int8, true, Precision::Int8, "split, int8");
}

TEST(without_a_clip_there_is_one_factor) {
    Tensor with(3, 300), without(3, 300);
    Array<TensorEntry> entries(2);
    for (Tensor* t : {&with, &without}) {
        TensorEntry& entry = entries[t == &without];
        entry = {t->p.data(), nullptr, t->g.data(), t->m.data(), t->v.data(), nullptr, nullptr, 300, 0.1f, 0};
    }
    Array<Chunk> chunks(1);
    Array<float> clip(1);
    clip[0] = 1.0f;
    chunks[0] = {0, 0};
    launch(adamw_f32_f32, 1, 1, BLOCK, entries.data(), chunks.data(), clip.data(), STEP);
    chunks[0] = {1, 0};
    launch(adamw_f32_f32, 1, 1, BLOCK, entries.data(), chunks.data(), nullptr, STEP);
    check(same_bytes(with.p, without.p), "a factor of 1");
}

TEST(squares_are_summed_in_float64_and_clip) {
    std::vector<Tensor> tensors = all_tensors();
    auto chunks = chunks_of(sizes());
    Array<TensorEntry> entries(tensors.size());
    double wanted = 0.0;
    for (size_t t = 0; t < tensors.size(); t++) {
        entries[t] = {nullptr, nullptr, tensors[t].g.data(), nullptr, nullptr, nullptr, nullptr, tensors[t].n, 0.0f, 0};
        for (double g : tensors[t].g.values()) wanted += g * g;
    }
    Array<double> partials(chunks.size());
    launch(sum_squares, chunks.size(), 1, BLOCK, entries.data(), chunks.data(), partials.data());
    const auto clipped = [](Array<double>& partials, double max_norm) {
        Array<double> sum(1);
        Array<float> clip(1);
        launch(clip_scale, 1, 1, BLOCK, partials.data(), partials.size(), max_norm, sum.data(), clip.data());
        return std::pair(sum[0], clip[0]);
    };
    const double norm = std::sqrt(wanted);
    for (double max_norm : {0.0, 0.5, norm * 2.0}) {
        const auto [sum, clip] = clipped(partials, max_norm);
        check(std::fabs(sum - wanted) <= 1e-12 * wanted, "sum of squares");
        const double factor = max_norm > 0.0 && norm > max_norm ? max_norm / norm : 1.0;
        check(std::fabs(clip - factor) <= 1e-7 * factor, "clip to " + std::to_string(max_norm));
    }
    for (size_t n : {1, 255, 256, 1000}) {
        Array<double> many(n);
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) sum += many[i] = number(7, i) + 1.0;
        check(std::fabs(clipped(many, 0.0).first - sum) <= 1e-12 * sum, std::to_string(n) + " partial sums");
    }
}

// float32 of all exponents but those that are not finite, with zeros and a block of the smallest.
static Array<float> state_values(size_t n, bool is_signed) {
    Array<float> values(n);
    for (size_t i = 0; i < n; i++) {
        const unsigned random = mix(static_cast<unsigned>(i) + 1);
        const unsigned exponent = i / 256 % 4 == 3 ? random >> 24 & 31 : 70 + (random >> 24) % 60;
        const unsigned bits = (is_signed ? random << 31 : 0) | exponent << 23 | (random & 0x7fffff);
        values[i] = i % 11 == 0 ? 0.0f : __uint_as_float(bits);
    }
    return values;
}

static uint64_t fnv1a(uint64_t hash, const void* bytes, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3;
    return hash;
}

template <class Pack, class Unpack>
static uint64_t check_state(Pack pack, Unpack unpack, bool is_signed, uint64_t hash) {
    for (size_t n : is_tiny ? std::vector<size_t>{270} : std::vector<size_t>{1, 256, 1000, 5003}) {
        const unsigned n_blocks = blocks(n, BLOCK * LANE_VALUES);
        for (unsigned is_stochastic : {0, 1}) {
            auto values = state_values(n, is_signed);
            Array<unsigned char> codes(n), wanted(n);
            Array<float> scales(blocks(n, 256)), wanted_scales(blocks(n, 256)), unpacked(n);
            launch(pack, n_blocks, 1, BLOCK, values.data(), codes.data(), scales.data(), n, 77, is_stochastic);
            Tensor::pack(values, is_signed, is_stochastic, 77, wanted, wanted_scales);
            const std::string what = text(is_signed ? "signed" : "unsigned", n, is_stochastic);
            check(same_bytes(codes, wanted) && same_bytes(scales, wanted_scales), what + ", packed");
            launch(unpack, n_blocks, 1, BLOCK, codes.data(), scales.data(), unpacked.data(), n);
            bool agrees = true;
            for (size_t i = 0; i < n; i++) {
                agrees &= __float_as_uint(unpacked[i]) ==
                          __float_as_uint(packing::unpack(codes[i], is_signed, scales[i / 256]));
            }
            check(agrees, what + ", unpacked");
            hash = fnv1a(hash, codes.data(), n);
            hash = fnv1a(hash, scales.data(), scales.size() * sizeof(float));
            hash = fnv1a(hash, unpacked.data(), n * sizeof(float));
        }
    }
    return hash;
}

TEST(state_has_the_bits_of_packing_rs) {
    uint64_t hash = check_state(pack_state_signed_int8, unpack_state_signed_int8, true, 0xcbf29ce484222325);
    hash = check_state(pack_state_unsigned_int8, unpack_state_unsigned_int8, false, hash);
    for (size_t n : is_tiny ? std::vector<size_t>{270} : std::vector<size_t>{1, 256, 1000, 5003}) {
        auto values = state_values(n, true);
        Array<unsigned short> state(n);
        launch(pack_state_bf16, blocks(n, BLOCK * LANE_VALUES), 1, BLOCK, values.data(), state.data(), n, 77);
        bool agrees = true;
        for (size_t i = 0; i < n; i++) agrees &= state[i] == packing::bf16_of(values[i], packing::noise(77, i));
        check(agrees, std::to_string(n) + " values to bfloat16");
        hash = fnv1a(hash, state.data(), n * sizeof(unsigned short));
    }
    // `state_has_the_bits_of_the_kernels` in packing.rs has the same number.
    if (!is_tiny) check(hash == 16334552861137076700u, "the hash of all is " + std::to_string(hash));
}

TEST(every_code_stands_for_what_division_gives) {
    const auto check_codes = [](auto unpack, bool is_signed) {
        Array<unsigned char> codes(256);
        Array<float> scales(1), values(256);
        for (int i = 0; i < 256; i++) codes[i] = i == 128 && is_signed ? 0 : i;
        scales[0] = 1.0f;
        launch(unpack, 1, 1, BLOCK, codes.data(), scales.data(), values.data(), 256);
        bool agrees = true;
        for (int i = 0; i < 256; i++) agrees &= values[i] == packing::unpack(codes[i], is_signed, 1.0f);
        check(agrees, is_signed ? "signed codes" : "unsigned codes");
    };
    check_codes(unpack_state_signed_int8, true);
    check_codes(unpack_state_unsigned_int8, false);
}

TEST(state_that_is_no_number_stays_so) {
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (float value : bad) {
        Array<float> values(300);
        for (int i = 0; i < 300; i++) values[i] = i == 5 ? value : 1.0f;
        Array<unsigned short> state(300);
        launch(pack_state_bf16, 1, 1, BLOCK, values.data(), state.data(), 300, 3);
        check(state[5] == packing::bf16_of(value, 0), "bfloat16 of something that is not finite");
        for (int is_stochastic : {0, 1}) {
            Array<unsigned char> codes(300), wanted(300);
            Array<float> scales(2), wanted_scales(2);
            launch(
                pack_state_signed_int8, 1, 1, BLOCK, values.data(), codes.data(), scales.data(), 300, 3, is_stochastic);
            Tensor::pack(values, true, is_stochastic, 3, wanted, wanted_scales);
            const bool agrees = same_bytes(codes, wanted) && same_bytes(scales, wanted_scales);
            check(agrees, "int8 of something that is not finite");
        }
    }
}
