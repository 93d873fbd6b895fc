#include "../common.cuh"

#include "harness.h"

using namespace harness;

// out[16, 8] += a[16, 16] * b by one warp, through shared memory, for a b of [8, 16] that is stored by columns or, if
// IS_TRANSPOSED, of [16, 8] by rows. N matrices of b are loaded at once, of which the third and fourth are zeros.
template <bool IS_TRANSPOSED, int N>
static __global__ void multiply(const bf16* a, const bf16* b, float* out) {
    __shared__ __align__(16) bf16 left[16 * 16], right[16 * 16];
    const unsigned lane = threadIdx.x;
    copy_async(left + lane * 8, a + lane * 8, true);
    copy_async_commit();
    copy_async(right + lane * 8, b + lane % 16 * 8, lane < 16);
    copy_async_commit();
    copy_async_wait<0>();
    __syncwarp();
    unsigned a_fragment[4], b_fragment[N];
    load_matrices(a_fragment, left + lane % 16 * 16 + lane / 16 * 8);
    if constexpr (IS_TRANSPOSED) {
        load_transposed(b_fragment, right + lane % (8 * N) * 8);
    } else {
        load_matrices(b_fragment, right + lane / 16 % (N / 2) * 128 + lane % 8 * 16 + lane / 8 % 2 * 8);
    }
    float sums[4];
    const unsigned at = lane / 4 * 8 + lane % 4 * 2;
    for (unsigned i = 0; i < 4; i++) sums[i] = out[at + i % 2 + i / 2 * 64];
    mma(sums, a_fragment, b_fragment[0], b_fragment[1]);
    for (unsigned i = 2; i < N; i++) {
        if (b_fragment[i] != 0) sums[0] = NAN;
    }
    for (unsigned i = 0; i < 4; i++) out[at + i % 2 + i / 2 * 64] = sums[i];
}

template <bool IS_TRANSPOSED, int N>
static void check_multiply(const char* name) {
    auto a = numbers<bf16>(1, 16 * 16), b = numbers<bf16>(2, 16 * 8);
    auto out = numbers<float>(3, 16 * 8);
    auto wanted = out.values();
    for (size_t i = 0; i < 16 * 8; i++) {
        for (size_t k = 0; k < 16; k++) {
            const size_t row = i / 8, column = i % 8;
            wanted[i] += value(a[row * 16 + k]) * value(b[IS_TRANSPOSED ? k * 8 + column : column * 16 + k]);
        }
    }
    launch(multiply<IS_TRANSPOSED, N>, 1, 1, 32, a.data(), b.data(), out.data());
    check_close(out.values(), wanted, 1e-6, name);
}

TEST(fragments_from_shared_memory_multiply) {
    check_multiply<false, 2>("ldmatrix.x2");
    check_multiply<false, 4>("ldmatrix.x4");
    check_multiply<true, 2>("ldmatrix.x2.trans");
    check_multiply<true, 4>("ldmatrix.x4.trans");
}

// out[16, 8] += a[16, 32] * b by one warp, for a b of [8, 32] that is stored by columns.
static __global__ void multiply_codes(const unsigned* a, const unsigned* b, int* out) {
    const unsigned row = threadIdx.x / 4, quad = threadIdx.x % 4, at = row * 8 + quad * 2;
    const unsigned* left = a + row * 8 + quad;
    const unsigned fragment[4] = {left[0], left[64], left[4], left[68]};
    int sums[4];
    for (unsigned i = 0; i < 4; i++) sums[i] = out[at + i % 2 + i / 2 * 64];
    mma(sums, fragment, b[row * 8 + quad], b[row * 8 + quad + 4]);
    for (unsigned i = 0; i < 4; i++) out[at + i % 2 + i / 2 * 64] = sums[i];
}

TEST(fragments_of_codes_multiply) {
    Array<unsigned> a(16 * 8), b(8 * 8);
    for (size_t i = 0; i < a.size(); i++) a[i] = static_cast<unsigned>((number(1, i) + 1.0) * 2147483648.0);
    for (size_t i = 0; i < b.size(); i++) b[i] = static_cast<unsigned>((number(2, i) + 1.0) * 2147483648.0);
    Array<int> out(16 * 8);
    std::vector<int> wanted(16 * 8);
    const auto code = [](Array<unsigned>& words, size_t i) { return static_cast<int8_t>(words[i / 4] >> i % 4 * 8); };
    for (size_t i = 0; i < wanted.size(); i++) {
        out[i] = wanted[i] = static_cast<int>(i) - 50;
        for (size_t k = 0; k < 32; k++) wanted[i] += code(a, i / 8 * 32 + k) * code(b, i % 8 * 32 + k);
    }
    launch(multiply_codes, 1, 1, 32, a.data(), b.data(), out.data());
    for (size_t i = 0; i < wanted.size(); i++) check(out[i] == wanted[i], "sum " + std::to_string(i) + " of codes");
}

// Each lane copies its number of three groups and looks at all of them while the last one may still be on its way.
static __global__ void look(const float4* from, float4* seen) {
    __shared__ float4 room[3];
    for (unsigned i = 0; i < 3; i++) room[i] = {-1.0f, -1.0f, -1.0f, -1.0f};
    for (unsigned i = 0; i < 3; i++) {
        copy_async(&room[i], from + i, i != 1);
        copy_async_commit();
    }
    copy_async_wait<1>();
    for (unsigned i = 0; i < 3; i++) seen[i] = room[i];
    copy_async_wait<0>();
    seen[3] = room[2];
}

TEST(copies_arrive_at_once_or_when_they_are_waited_for) {
    Array<float4> from(3), seen(4);
    for (size_t i = 0; i < 3; i++) from[i] = {1.0f, 2.0f, 3.0f, 4.0f + i};
    launch(look, 1, 1, 1, from.data(), seen.data());
    check(seen[0].w == 4.0f, "the first of three groups has arrived");
    check(seen[1].x == 0.0f && seen[1].w == 0.0f, "a source that does not exist is zeros");
    check(seen[2].x == (emulator::copies_are_eager ? 1.0f : -1.0f), "the last group arrives at once if it is to");
    check(seen[3].w == 6.0f, "all have arrived in the end");
}

TEST(bfloat16_is_the_nearest) {
    check(bfloat16_bits(1.00390625f) == 0x3f80 && bfloat16_bits(1.01171875f) == 0x3f82, "a tie goes to the even one");
    check(bfloat16_bits(-1.00391f) == 0xbf81 && bfloat16_bits(3.4e38f) == 0x7f80, "above a tie, and above all numbers");
    check(bfloat16_bits(NAN) == 0x7fff && bfloat16_bits(-NAN) == 0x7fff, "no number");
}

TEST(bfloat16_pairs_have_the_lower_number_in_the_lower_half) {
    check(pack(1.0f, -2.0f) == 0xc0003f80u, "1 and -2");
    check(exp2_approx(-127.0f) == 0.0f && exp2_approx(-INFINITY) == 0.0f && exp2_approx(3.0f) == 8.0f, "powers of two");
}
