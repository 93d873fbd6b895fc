#include "../dequantise.cu"

#include "harness.h"

using namespace harness;

// Random blocks, with scales that are numbers, every other one subnormal.
static Array<u8> random_blocks(unsigned seed, size_t n_blocks, size_t n_bytes, const std::vector<size_t>& scales) {
    Array<u8> bytes(n_blocks * n_bytes);
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = mix(seed * 0x10000 + static_cast<unsigned>(i)) >> 24;
    for (size_t block = 0; block < n_blocks; block++) {
        for (size_t scale : scales) {
            u8& top = bytes[block * n_bytes + scale + 1];
            top = (top & 0x83) | (block % 2 == 0 ? 0x30 : 0);
        }
    }
    return bytes;
}

static uint64_t fnv1a(const void* bytes, size_t n) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++) hash = (hash ^ static_cast<const u8*>(bytes)[i]) * 0x100000001b3;
    return hash;
}

// `wanted` is the hash of the values of the same blocks in `values_are_those_of_the_kernels` of quant.rs.
template <class Format, class Dequantise, class Split>
static void check_format(
    Dequantise dequantise, Split split_kernel, unsigned seed, const std::vector<size_t>& scales, uint64_t wanted,
    const char* name) {
    const size_t n_blocks = is_tiny ? 1 : Format::LEN == 1 ? 65536 : 37;
    const size_t n = n_blocks * Format::LEN;
    auto bytes = random_blocks(seed, n_blocks, Format::BYTES, scales);
    // All there are instead of random ones.
    for (size_t i = 0; Format::LEN == 1 && i < n; i++) {
        bytes[2 * i] = static_cast<u8>(i);
        bytes[2 * i + 1] = i >> 8;
    }
    Array<float> values(n);
    Array<unsigned short> high(n), low(n);
    launch(dequantise, blocks(n, BLOCK), 1, BLOCK, bytes.data(), values.data(), n);
    launch(split_kernel, blocks(n, BLOCK), 1, BLOCK, bytes.data(), high.data(), low.data(), n);
    bool agrees = true;
    for (size_t i = 0; i < n; i++) {
        const Halves halves = split(values[i]);
        agrees &= high[i] == halves.high && low[i] == halves.low;
    }
    check(agrees, std::string(name) + ", split");
    if (is_tiny) return;
    const uint64_t found = fnv1a(values.data(), n * sizeof(float));
    check(found == wanted, std::string(name) + ", the hash is " + std::to_string(found));
}

TEST(values_are_those_of_quant_rs) {
    check_format<F16>(dequantise_f16, dequantise_f16_split, 1, {}, 6735680458189898565u, "f16");
    check_format<Bf16>(dequantise_bf16, dequantise_bf16_split, 30, {}, 4931044701321112869u, "bf16");
    check_format<Q4_0>(dequantise_q4_0, dequantise_q4_0_split, 2, {0}, 12169620621566135676u, "q4_0");
    check_format<Q4_1>(dequantise_q4_1, dequantise_q4_1_split, 3, {0, 2}, 5983052927954197895u, "q4_1");
    check_format<Q5_0>(dequantise_q5_0, dequantise_q5_0_split, 6, {0}, 14453397851635190150u, "q5_0");
    check_format<Q5_1>(dequantise_q5_1, dequantise_q5_1_split, 7, {0, 2}, 8271025786493209555u, "q5_1");
    check_format<Q8_0>(dequantise_q8_0, dequantise_q8_0_split, 8, {0}, 2813105164148123914u, "q8_0");
    check_format<Q4_K>(dequantise_q4_k, dequantise_q4_k_split, 12, {0, 2}, 2645673072430836740u, "q4_k");
    check_format<Q5_K>(dequantise_q5_k, dequantise_q5_k_split, 13, {0, 2}, 6059699444072102441u, "q5_k");
    check_format<Q6_K>(dequantise_q6_k, dequantise_q6_k_split, 14, {208}, 4787045304907984476u, "q6_k");
}
