// AdamW (arXiv 1711.05101), the norm of all gradients, and the optimizer's state packed and unpacked.
//
// One launch works on many tensors: block b of BLOCK threads on the CHUNK values of chunks[b], each warp on WARP_VALUES
// of them at a time, which is a block of int8 state. Arrays are aligned to 32 bytes, and a block begins where the
// tensor does.
#include "packing.cuh"

constexpr int CHUNK = 8192;

// What one step has in common for all tensors; see `AdamStep` of crates/transformer. Gradients are multiplied by
// `grad_scale` first.
struct AdamStep {
    float learning_rate, beta1, beta2, one_minus_beta1, one_minus_beta2;
    float inv_correction1, inv_correction2, epsilon, grad_scale;
};

// `weights` are float32, or the high halves of split weights whose other halves are in `low`. `m` and `v` are float32,
// bfloat16 or int8, and the latter have a scale for each WARP_VALUES.
struct TensorEntry {
    void* weights;
    unsigned short* low;
    const float* gradients;
    void* m;
    void* v;
    float* m_scales;
    float* v_scales;
    size_t n;
    float weight_decay;
    unsigned rounding_key;
};

// Values CHUNK * index and on of a tensor.
struct Chunk {
    unsigned tensor, index;
};

struct F32Weights {
    static __device__ __forceinline__ LaneValues load(const TensorEntry& tensor, size_t first) {
        return load_part<LANE_VALUES>(static_cast<const float*>(tensor.weights), first, tensor.n);
    }
    static __device__ __forceinline__ void store(const TensorEntry& tensor, size_t first, const LaneValues& values) {
        store_part(static_cast<float*>(tensor.weights), first, tensor.n, values);
    }
};

struct SplitWeights {
    static __device__ __forceinline__ LaneValues load(const TensorEntry& tensor, size_t first) {
        const auto* high = static_cast<const unsigned short*>(tensor.weights);
        const auto highs = load_part<LANE_VALUES>(high, first, tensor.n);
        const auto lows = load_part<LANE_VALUES>(tensor.low, first, tensor.n);
        LaneValues values;
#pragma unroll
        for (int lane = 0; lane < LANE_VALUES; lane++) values.lanes[lane] = join({highs.lanes[lane], lows.lanes[lane]});
        return values;
    }
    static __device__ __forceinline__ void store(const TensorEntry& tensor, size_t first, const LaneValues& values) {
        Vector<unsigned short, LANE_VALUES> highs, lows;
#pragma unroll
        for (int lane = 0; lane < LANE_VALUES; lane++) {
            const Halves halves = split(values.lanes[lane]);
            highs.lanes[lane] = halves.high;
            lows.lanes[lane] = halves.low;
        }
        store_part(static_cast<unsigned short*>(tensor.weights), first, tensor.n, highs);
        store_part(tensor.low, first, tensor.n, lows);
    }
};

// One running mean of a tensor, of which a warp loads and stores a block at a time.
template <bool IS_SIGNED>
struct F32State {
    static __device__ __forceinline__ LaneValues load(const void* state, const float*, size_t first, size_t n) {
        return load_part<LANE_VALUES>(static_cast<const float*>(state), first, n);
    }
    static __device__ __forceinline__ void store(
        void* state, float*, size_t first, size_t n, const LaneValues& values, unsigned) {
        store_part(static_cast<float*>(state), first, n, values);
    }
};

template <bool IS_SIGNED>
struct Bf16State {
    static __device__ __forceinline__ LaneValues load(const void* state, const float*, size_t first, size_t n) {
        const auto halves = load_part<LANE_VALUES>(static_cast<const unsigned short*>(state), first, n);
        LaneValues values;
#pragma unroll
        for (int lane = 0; lane < LANE_VALUES; lane++) values.lanes[lane] = unpack_bf16(halves.lanes[lane]);
        return values;
    }
    static __device__ __forceinline__ void store(
        void* state, float*, size_t first, size_t n, const LaneValues& values, unsigned key) {
        Vector<unsigned short, LANE_VALUES> halves;
#pragma unroll
        for (int lane = 0; lane < LANE_VALUES; lane++) {
            halves.lanes[lane] = stochastic_bf16(values.lanes[lane], key, first + lane);
        }
        store_part(static_cast<unsigned short*>(state), first, n, halves);
    }
};

template <bool IS_SIGNED>
struct Int8State {
    // The lane that writes the scale is the one that reads it, so that nothing but the shuffle is between lanes.
    static __device__ __forceinline__ LaneValues load(const void* state, const float* scales, size_t first, size_t n) {
        const auto codes = load_part<LANE_VALUES>(static_cast<const unsigned char*>(state), first, n);
        const float scale = first % WARP_VALUES == 0 ? scales[first / WARP_VALUES] : 0.0f;
        return unpack_block<IS_SIGNED>(codes, __shfl_sync(~0u, scale, 0));
    }
    static __device__ __forceinline__ void store(
        void* state, float* scales, size_t first, size_t n, const LaneValues& values, unsigned key) {
        LaneCodes codes;
        const float scale = pack_block<IS_SIGNED>(values, true, key, first, codes);
        store_part(static_cast<unsigned char*>(state), first, n, codes);
        if (first % WARP_VALUES == 0) scales[first / WARP_VALUES] = scale;
    }
};

// Reads and writes weights, m and v and reads gradients. `clip` is another factor of the gradients, or null for 1. The
// fused operations are those of crates/cpu. Floor: 12 bytes a weight, and twice its bytes of state.
template <class Weights, template <bool> class State>
__device__ __forceinline__ void adamw(
    const TensorEntry* tensors, const Chunk* chunks, const float* clip, const AdamStep& step) {
    const Chunk chunk = chunks[blockIdx.x];
    const TensorEntry tensor = tensors[chunk.tensor];
    const float grad_scale = clip == nullptr ? step.grad_scale : step.grad_scale * *clip;
    const size_t begin = static_cast<size_t>(chunk.index) * CHUNK;
    const size_t end = min(begin + CHUNK, tensor.n);
    // A warp goes on as a whole: its lanes make the scale of a block together.
    for (size_t block = begin + threadIdx.x / WARP * WARP_VALUES; block < end; block += BLOCK * LANE_VALUES) {
        const size_t first = block + threadIdx.x % WARP * LANE_VALUES;
        auto weights = Weights::load(tensor, first);
        const auto gradients = load_part<LANE_VALUES>(tensor.gradients, first, tensor.n);
        auto m = State<true>::load(tensor.m, tensor.m_scales, first, tensor.n);
        auto v = State<false>::load(tensor.v, tensor.v_scales, first, tensor.n);
#pragma unroll
        for (int lane = 0; lane < LANE_VALUES; lane++) {
            float& weight = weights.lanes[lane];
            const float gradient = __fmul_rn(gradients.lanes[lane], grad_scale);
            const float square = __fmul_rn(gradient, gradient);
            const float mean = __fmaf_rn(step.beta1, m.lanes[lane], __fmul_rn(step.one_minus_beta1, gradient));
            const float variance = __fmaf_rn(step.beta2, v.lanes[lane], __fmul_rn(step.one_minus_beta2, square));
            const float root = __fadd_rn(__fsqrt_rn(__fmul_rn(variance, step.inv_correction2)), step.epsilon);
            const float direction = __fdiv_rn(__fmul_rn(mean, step.inv_correction1), root);
            const float update = __fmaf_rn(tensor.weight_decay, weight, direction);
            weight = __fmaf_rn(-step.learning_rate, update, weight);
            m.lanes[lane] = mean;
            v.lanes[lane] = variance;
        }
        Weights::store(tensor, first, weights);
        State<true>::store(tensor.m, tensor.m_scales, first, tensor.n, m, tensor.rounding_key);
        State<false>::store(tensor.v, tensor.v_scales, first, tensor.n, v, ~tensor.rounding_key);
    }
}

// Two blocks on a multiprocessor have the registers that they need; the compiler's own guess may spill.
#define DEFINE(name, Weights, State)                                                                             \
    extern "C" __global__ void __launch_bounds__(BLOCK, 2)                                                       \
        name(const TensorEntry* tensors, const Chunk* chunks, const float* clip, AdamStep step) {                \
        adamw<Weights, State>(tensors, chunks, clip, step);                                                      \
    }
DEFINE(adamw_f32_f32, F32Weights, F32State)
DEFINE(adamw_f32_bf16, F32Weights, Bf16State)
DEFINE(adamw_f32_int8, F32Weights, Int8State)
DEFINE(adamw_split_f32, SplitWeights, F32State)
DEFINE(adamw_split_bf16, SplitWeights, Bf16State)
DEFINE(adamw_split_int8, SplitWeights, Int8State)
#undef DEFINE

// The sum over the block, for thread 0.
__device__ __forceinline__ double block_sum(double value, double* room) {
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = value;
    __syncthreads();
    double sum = 0.0;
    for (int warp = 0; warp < BLOCK / WARP; warp++) sum += room[warp];
    return sum;
}

// partials[b] = the sum of the squares of the gradients of chunks[b], in float64. Floor: 4 bytes a number.
extern "C" __global__ void __launch_bounds__(BLOCK)
    sum_squares(const TensorEntry* tensors, const Chunk* chunks, double* partials) {
    __shared__ double room[BLOCK / WARP];
    const Chunk chunk = chunks[blockIdx.x];
    const TensorEntry& tensor = tensors[chunk.tensor];
    const float* gradients = tensor.gradients;
    const size_t n = tensor.n;
    const size_t begin = static_cast<size_t>(chunk.index) * CHUNK;
    double sum = 0.0;
#pragma unroll
    for (int values = 0; values < CHUNK; values += BLOCK * 4) {
        const auto part = load_part<4>(gradients, begin + values + threadIdx.x * 4, n);
#pragma unroll
        for (int lane = 0; lane < 4; lane++) sum += static_cast<double>(part.lanes[lane]) * part.lanes[lane];
    }
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// sum[0] = the sum of partials, [n_partials] float64, in an order that n_partials decides, and clip[0] = what scales
// gradients to the norm max_norm if theirs, the root of the sum, is larger; 1 otherwise, and always for a max_norm of
// 0. One block.
extern "C" __global__ void __launch_bounds__(BLOCK)
    clip_scale(const double* partials, unsigned n_partials, double max_norm, double* sum, float* clip) {
    __shared__ double room[BLOCK / WARP];
    double total = 0.0;
    for (unsigned i = threadIdx.x; i < n_partials; i += BLOCK) total += partials[i];
    total = block_sum(total, room);
    if (threadIdx.x > 0) return;
    const double norm = sqrt(total);
    sum[0] = total;
    clip[0] = max_norm > 0.0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
}

// State is [n] bfloat16, or [n] codes and [ceil(n / WARP_VALUES)] scales. These take WARP_VALUES values for each warp.
__device__ __forceinline__ size_t first_of_lane() {
    return (static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x) * LANE_VALUES;
}

// Rounds stochastically; `f32_to_bf16` rounds to nearest. Floor: 6 bytes a value.
extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_state_bf16(const float* values, unsigned short* state, size_t n, unsigned key) {
    const size_t first = first_of_lane();
    if (first >= n) return;
    Bf16State<true>::store(state, nullptr, first, n, load_part<LANE_VALUES>(values, first, n), key);
}

template <bool IS_SIGNED>
__device__ __forceinline__ void pack_state(
    const float* values, unsigned char* codes, float* scales, size_t n, unsigned key, int is_stochastic) {
    const size_t first = first_of_lane();
    // All lanes of a warp go on, or none.
    if (first / WARP_VALUES * WARP_VALUES >= n) return;
    LaneCodes packed;
    const auto all = load_part<LANE_VALUES>(values, first, n);
    const float scale = pack_block<IS_SIGNED>(all, is_stochastic, key, first, packed);
    store_part(codes, first, n, packed);
    if (first % WARP_VALUES == 0) scales[first / WARP_VALUES] = scale;
}

template <bool IS_SIGNED>
__device__ __forceinline__ void unpack_state(const unsigned char* codes, const float* scales, float* values, size_t n) {
    const size_t first = first_of_lane();
    if (first / WARP_VALUES * WARP_VALUES >= n) return;
    store_part(values, first, n, Int8State<IS_SIGNED>::load(codes, scales, first, n));
}

// Rounds stochastically by `key` or, where `is_stochastic` is 0, to nearest. First moments are signed, second ones are
// not. Floor: 5 bytes a value, in both directions.
#define DEFINE(name, IS_SIGNED)                                                                                  \
    extern "C" __global__ void __launch_bounds__(BLOCK) pack_state_##name(                                       \
        const float* values, unsigned char* codes, float* scales, size_t n, unsigned key, int is_stochastic) {   \
        pack_state<IS_SIGNED>(values, codes, scales, n, key, is_stochastic);                                     \
    }                                                                                                            \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        unpack_state_##name(const unsigned char* codes, const float* scales, float* values, size_t n) {          \
        unpack_state<IS_SIGNED>(codes, scales, values, n);                                                       \
    }
DEFINE(signed_int8, true)
DEFINE(unsigned_int8, false)
#undef DEFINE
