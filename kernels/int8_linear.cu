// Products with int8 copies of weights: y[r, n] = x_scale[r] * scale[n] * sum_k x_code[r, k] * code[n, k] + bias[n]
// with exact sums, so that float32's three roundings are all that there are. Codes and scales are those of
// crates/transformer/src/quantise.rs, to the bit.
//
// Codes of weights are int8, [n_out, stride] with a scale for each row; codes of activations, up to 4095, are two int8,
// code = 64 * high + low, each [n_rows, stride]. Rows of codes have zeros behind n_in numbers: stride is n_in rounded
// up to a multiple of STEP. Arrays are aligned to 16 bytes. n_in is at most 2^18, for which sums of either half are
// int32.
#include "packing.cuh"
#include "ptx.cuh"

// Inputs that a warp multiplies at once, 16 for each lane of four.
constexpr int STEP = 64;
// Outputs of a warp.
constexpr int OUTPUTS = 16;
constexpr int WARPS = BLOCK / WARP;

constexpr float WEIGHT_CODES = 127.0f;
constexpr float ACTIVATION_CODES = 4095.0f;

// The largest bits of a magnitude in the block. They are in the order of the magnitudes, with what is not finite above.
__device__ __forceinline__ unsigned block_max(unsigned value, unsigned* room) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) value = max(value, __shfl_xor_sync(~0u, value, bits));
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = value;
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) value = max(value, room[warp]);
    return value;
}

// The scale of a row of which `load(i)` are N values, by a block of BLOCK threads.
template <int N, class Load>
__device__ __forceinline__ float row_scale(Load load, int n_in, float n_codes) {
    __shared__ unsigned room[WARPS];
    unsigned bits = 0;
    for (int i = threadIdx.x; i < n_in / N; i += BLOCK) {
        const Vector<float, N> values = load(i);
#pragma unroll
        for (int lane = 0; lane < N; lane++) bits = max(bits, __float_as_uint(values.lanes[lane]) & 0x7fffffffu);
    }
    const float largest = __uint_as_float(block_max(bits, room));
    if (!is_finite(__float_as_uint(largest))) return __uint_as_float(0x7fc00000);
    const float scale = __fdiv_rn(largest, n_codes);
    constexpr float SMALLEST_NORMAL = 1.17549435e-38f;
    return scale >= SMALLEST_NORMAL ? scale : 0.0f;
}

// The codes of N values: zeros in a row without a scale, as what is divided by infinity is 0 or not a number.
template <int N>
__device__ __forceinline__ Vector<int, N> codes_of(const Vector<float, N>& values, float scale) {
    const float divisor = scale > 0.0f ? scale : INFINITY;
    Vector<int, N> codes;
#pragma unroll
    for (int lane = 0; lane < N; lane++) codes.lanes[lane] = __float2int_rn(__fdiv_rn(values.lanes[lane], divisor));
    return codes;
}

// x: [n_rows, n_in] activations, one block for each row. Reads x and writes high, low and scales. Floor: an activation
// and 2 bytes a number.
template <class T, int N>
__device__ __forceinline__ void quantise_rows(
    const T* x, signed char* high, signed char* low, float* scales, int n_in, int stride) {
    const size_t row = blockIdx.x;
    x += row * n_in;
    high += row * stride;
    low += row * stride;
    const auto values_at = [=](int i) {
        const auto values = load<N>(x, i);
        Vector<float, N> floats;
#pragma unroll
        for (int lane = 0; lane < N; lane++) floats.lanes[lane] = to_float(values.lanes[lane]);
        return floats;
    };
    const float scale = row_scale<N>(values_at, n_in, ACTIVATION_CODES);
    if (threadIdx.x == 0) scales[row] = scale;
    for (int i = threadIdx.x; i < n_in / N; i += BLOCK) {
        const Vector<int, N> codes = codes_of<N>(values_at(i), scale);
        Vector<signed char, N> highs, lows;
#pragma unroll
        for (int lane = 0; lane < N; lane++) {
            // -64 .. 64, so that what is left is in -32 .. 31.
            const int upper = (codes.lanes[lane] + 32) >> 6;
            highs.lanes[lane] = upper;
            lows.lanes[lane] = codes.lanes[lane] - 64 * upper;
        }
        store<N>(high, i, highs);
        store<N>(low, i, lows);
    }
    for (int i = n_in + threadIdx.x; i < stride; i += BLOCK) high[i] = low[i] = 0;
}

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* x, signed char* high, signed char* low, float* scales, int n_in, int stride) {             \
        quantise_rows<T, N>(x, high, low, scales, n_in, stride);                                                 \
    }
FOR_ACTIVATIONS(DEFINE, quantise_rows)
#undef DEFINE

template <int N, class Load>
__device__ __forceinline__ void quantise_weights(Load load, signed char* codes, float* scales, int n_in, int stride) {
    const size_t row = blockIdx.x;
    codes += row * stride;
    const float scale = row_scale<N>(load, n_in, WEIGHT_CODES);
    if (threadIdx.x == 0) scales[row] = scale;
    for (int i = threadIdx.x; i < n_in / N; i += BLOCK) {
        const Vector<int, N> all = codes_of<N>(load(i), scale);
        Vector<signed char, N> bytes;
#pragma unroll
        for (int lane = 0; lane < N; lane++) bytes.lanes[lane] = all.lanes[lane];
        store<N>(codes, i, bytes);
    }
    for (int i = n_in + threadIdx.x; i < stride; i += BLOCK) codes[i] = 0;
}

// Weights are [n_out, n_in], float32 or split, one block for each row. Reads them and writes codes and scales. Floor: 5
// bytes a weight. Wide for an n_in that is a multiple of 8.
#define DEFINE(name, N)                                                                                          \
    extern "C" __global__ void __launch_bounds__(BLOCK) quantise_weights_f32_##name(                             \
        const float* weights, signed char* codes, float* scales, int n_in, int stride) {                         \
        const float* row = weights + static_cast<size_t>(blockIdx.x) * n_in;                                     \
        quantise_weights<N>([=](int i) { return load<N>(row, i); }, codes, scales, n_in, stride);                \
    }                                                                                                            \
    extern "C" __global__ void __launch_bounds__(BLOCK) quantise_weights_split_##name(                           \
        const unsigned short* high, const unsigned short* low, signed char* codes, float* scales, int n_in,      \
        int stride) {                                                                                            \
        const size_t first = static_cast<size_t>(blockIdx.x) * n_in;                                             \
        const auto weights_at = [=](int i) {                                                                     \
            const auto highs = load<N>(high + first, i), lows = load<N>(low + first, i);                         \
            Vector<float, N> weights;                                                                            \
            for (int lane = 0; lane < N; lane++) weights.lanes[lane] = join({highs.lanes[lane], lows.lanes[lane]}); \
            return weights;                                                                                      \
        };                                                                                                       \
        quantise_weights<N>(weights_at, codes, scales, n_in, stride);                                            \
    }
DEFINE(wide, 8)
DEFINE(narrow, 1)
#undef DEFINE

// values[n, k] = the weight that a code stands for, [n_out, n_in] float32; a thread for each. Floor: 5 bytes a weight.
extern "C" __global__ void __launch_bounds__(BLOCK)
    unpack_int8_weights(const signed char* codes, const float* scales, float* values, int n_out, int n_in, int stride) {
    const size_t i = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    const size_t row = i / n_in;
    if (row < n_out) values[i] = codes[row * stride + i % n_in] * scales[row];
}

// 16 codes of a row, or zeros where there is no such row.
__device__ __forceinline__ uint4 load_codes(const signed char* codes, bool exists) {
    return exists ? *reinterpret_cast<const uint4*>(codes) : uint4{};
}

// A block makes OUTPUTS * GROUPS outputs of 8 * TILES rows: grid (ceil(n_rows / rows), ceil(n_out / outputs)), BLOCK
// threads. Warps of a group take its inputs in turns. The tensor cores sum over inputs in any order, so that a lane's
// 16 consecutive codes may be where the instruction has others, if weights and activations agree. bias is [n_out]
// float32 or null; y is [n_rows, n_out] activations. Floor: a byte a weight, as blocks that share weights run together
// and read them from the second cache; for many rows 4 operations a weight and row, two products of 8 bits for one of
// 16.
template <class T, int TILES, int GROUPS>
__device__ __forceinline__ void int8_linear(
    const signed char* high, const signed char* low, const float* x_scales, const signed char* codes,
    const float* scales, const float* bias, T* y, int n_rows, int n_out, int stride) {
    constexpr int ROWS = 8 * TILES, BLOCK_OUTPUTS = OUTPUTS * GROUPS, TURNS = WARPS / GROUPS;
    __shared__ long long sums[TURNS][ROWS][BLOCK_OUTPUTS];
    const int first_row = blockIdx.x * ROWS, first_output = blockIdx.y * BLOCK_OUTPUTS;
    const int turn = threadIdx.x / WARP / GROUPS, output_of_warp = threadIdx.x / WARP % GROUPS * OUTPUTS;
    const int row_of_lane = threadIdx.x % WARP / 4, quad = threadIdx.x % 4;
    const int output = first_output + output_of_warp + row_of_lane;
    const signed char* weights = codes + static_cast<size_t>(output) * stride + quad * 16;
    const size_t x_offset = static_cast<size_t>(first_row + row_of_lane) * stride + quad * 16;
    int high_sums[TILES][4] = {}, low_sums[TILES][4] = {};
#pragma unroll 2
    for (int k = turn * STEP; k < stride; k += TURNS * STEP) {
        const uint4 upper = load_codes(weights + k, output < n_out);
        const uint4 lower = load_codes(weights + 8 * static_cast<size_t>(stride) + k, output + 8 < n_out);
        const unsigned first[4] = {upper.x, lower.x, upper.y, lower.y};
        const unsigned second[4] = {upper.z, lower.z, upper.w, lower.w};
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            const size_t at = x_offset + static_cast<size_t>(8 * tile) * stride + k;
            const bool exists = first_row + 8 * tile + row_of_lane < n_rows;
            const uint4 h = load_codes(high + at, exists), l = load_codes(low + at, exists);
            mma(high_sums[tile], first, h.x, h.y);
            mma(low_sums[tile], first, l.x, l.y);
            mma(high_sums[tile], second, h.z, h.w);
            mma(low_sums[tile], second, l.z, l.w);
        }
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const long long sum = 64ll * high_sums[tile][i] + low_sums[tile][i];
            sums[turn][8 * tile + 2 * quad + i % 2][output_of_warp + row_of_lane + i / 2 * 8] = sum;
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < ROWS * BLOCK_OUTPUTS; i += BLOCK) {
        const size_t row = first_row + i / BLOCK_OUTPUTS;
        const int n = first_output + i % BLOCK_OUTPUTS;
        if (row >= n_rows || n >= n_out) continue;
        long long sum = 0;
#pragma unroll
        for (int from = 0; from < TURNS; from++) sum += sums[from][i / BLOCK_OUTPUTS][i % BLOCK_OUTPUTS];
        float product = __fmul_rn(__fmul_rn(static_cast<float>(sum), x_scales[row]), scales[n]);
        if (bias != nullptr) product = __fadd_rn(product, bias[n]);
        from_float(y[row * n_out + n], product);
    }
}

// Rows by outputs of a block: the first for few rows, the last, whose warps share rows in the first cache, where there
// are enough blocks of it.
#define DEFINE(name, T, TILES, GROUPS)                                                                           \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(                                                    \
        const signed char* high, const signed char* low, const float* x_scales, const signed char* codes,        \
        const float* scales, const float* bias, T* y, int n_rows, int n_out, int stride) {                       \
        int8_linear<T, TILES, GROUPS>(high, low, x_scales, codes, scales, bias, y, n_rows, n_out, stride);       \
    }
DEFINE(int8_linear_f32_8x16, float, 1, 1)
DEFINE(int8_linear_f32_32x16, float, 4, 1)
DEFINE(int8_linear_f32_32x64, float, 4, 4)
DEFINE(int8_linear_bf16_8x16, bf16, 1, 1)
DEFINE(int8_linear_bf16_32x16, bf16, 4, 1)
DEFINE(int8_linear_bf16_32x64, bf16, 4, 4)
#undef DEFINE
