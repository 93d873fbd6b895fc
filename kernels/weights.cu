// Weights as two halves and as float32, and plain bfloat16 arrays; a thread for LANE_VALUES values, blocks of BLOCK
// threads.
//
// All operands are [n], aligned to 32 bytes. See `Halves` for what the halves are.
#include "packing.cuh"

__device__ __forceinline__ size_t first_value() {
    return (static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x) * LANE_VALUES;
}

// Reads values and writes high and low. Floor: 8 bytes a value.
extern "C" __global__ void __launch_bounds__(BLOCK)
    split_weights(const float* values, unsigned short* high, unsigned short* low, size_t n) {
    const size_t first = first_value();
    if (first >= n) return;
    const auto all = load_part<LANE_VALUES>(values, first, n);
    Vector<unsigned short, LANE_VALUES> highs, lows;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) {
        const Halves halves = split(all.lanes[lane]);
        highs.lanes[lane] = halves.high;
        lows.lanes[lane] = halves.low;
    }
    store_part(high, first, n, highs);
    store_part(low, first, n, lows);
}

// Reads high and low and writes values. Floor: 8 bytes a value.
extern "C" __global__ void __launch_bounds__(BLOCK)
    join_weights(const unsigned short* high, const unsigned short* low, float* values, size_t n) {
    const size_t first = first_value();
    if (first >= n) return;
    const auto highs = load_part<LANE_VALUES>(high, first, n);
    const auto lows = load_part<LANE_VALUES>(low, first, n);
    Vector<float, LANE_VALUES> all;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) all.lanes[lane] = join({highs.lanes[lane], lows.lanes[lane]});
    store_part(values, first, n, all);
}

// nearest[i] = the bfloat16 that copies of weights have on every device, ties to even. Floor: 6 bytes a value.
extern "C" __global__ void __launch_bounds__(BLOCK)
    round_weights(const unsigned short* high, const unsigned short* low, unsigned short* nearest, size_t n) {
    const size_t first = first_value();
    if (first >= n) return;
    const auto highs = load_part<LANE_VALUES>(high, first, n);
    const auto lows = load_part<LANE_VALUES>(low, first, n);
    Vector<unsigned short, LANE_VALUES> all;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) {
        all.lanes[lane] = nearest_bf16(join({highs.lanes[lane], lows.lanes[lane]}));
    }
    store_part(nearest, first, n, all);
}

// halves[i] = values[i] as bfloat16, to nearest, ties to even. Floor: 6 bytes a value.
extern "C" __global__ void __launch_bounds__(BLOCK) f32_to_bf16(const float* values, unsigned short* halves, size_t n) {
    const size_t first = first_value();
    if (first >= n) return;
    const auto all = load_part<LANE_VALUES>(values, first, n);
    Vector<unsigned short, LANE_VALUES> rounded;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) rounded.lanes[lane] = nearest_bf16(all.lanes[lane]);
    store_part(halves, first, n, rounded);
}

// values[i] = the bfloat16 halves[i]. Floor: 6 bytes a value.
extern "C" __global__ void __launch_bounds__(BLOCK) bf16_to_f32(const unsigned short* halves, float* values, size_t n) {
    const size_t first = first_value();
    if (first >= n) return;
    const auto all = load_part<LANE_VALUES>(halves, first, n);
    Vector<float, LANE_VALUES> widened;
#pragma unroll
    for (int lane = 0; lane < LANE_VALUES; lane++) widened.lanes[lane] = unpack_bf16(all.lanes[lane]);
    store_part(values, first, n, widened);
}
