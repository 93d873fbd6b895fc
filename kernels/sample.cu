// Sampling a token from each row of logits, by inverse transform over ids in ascending order; one block of BLOCK threads
// for each row. The uniform number comes with the request, so that no token depends on what else is sampled.
//
// logits: [n_rows, n_vocab] float32, n_vocab at most PART * MAX_PARTS; temperatures (0: the likeliest token, the lowest id
// among equals), top_p, uniforms in [0, 1): [n_rows] float32; tokens, log_probs (of the whole distribution, at temperature
// 1 where the likeliest is taken): [n_rows]. A row with something that is no number gets some token and no finite log-prob.
//
// Floor: 4 bytes a logit. With top_p below 1 a row is read some 35 times, from the second cache, as it has no more than that
// cache holds for one block.
#include "common.cuh"

// Ids whose mass is summed before it is looked through, and how many such parts there can be.
constexpr int PART = 1024;
constexpr int MAX_PARTS = 256;
constexpr int WARPS = BLOCK / WARP;

// The likeliest ids: all with a mass above `threshold`, and the first `n_equal` of those that have just that.
struct Nucleus {
    float threshold;
    int n_equal;
};

// Mass above the threshold and number of ids at it.
struct PartSums {
    double above;
    int n_equal;
};

// Sums of all parts into shared memory: a warp takes every WARPS-th part.
template <class Mass>
__device__ __forceinline__ void sum_parts(Mass mass, float threshold, int n_vocab, PartSums* parts) {
    const int n_parts = (n_vocab + PART - 1) / PART;
    for (int part = threadIdx.x / WARP; part < n_parts; part += WARPS) {
        PartSums sums = {0.0, 0};
        const int end = min((part + 1) * PART, n_vocab);
        for (int i = part * PART + threadIdx.x % WARP; i < end; i += WARP) {
            const float m = mass(i);
            if (m > threshold) sums.above += m;
            if (m == threshold) sums.n_equal++;
        }
        sums = {warp_sum(sums.above), warp_sum(sums.n_equal)};
        if (threadIdx.x % WARP == 0) parts[part] = sums;
    }
    __syncthreads();
}

__device__ __forceinline__ PartSums total(const PartSums* parts, int n_vocab) {
    PartSums sums = {0.0, 0};
    for (int part = 0; part < (n_vocab + PART - 1) / PART; part++) {
        sums.above += parts[part].above;
        sums.n_equal += parts[part].n_equal;
    }
    return sums;
}

// The largest mass such that ids with at least that have `wanted` together. Masses are not negative, so their order is
// that of their bits, one of which is found in each round.
template <class Mass>
__device__ __forceinline__ float threshold_of(Mass mass, double wanted, int n_vocab, PartSums* parts) {
    unsigned bits = 0;
    for (int bit = 30; bit >= 0; bit--) {
        const float threshold = __uint_as_float(bits | 1u << bit);
        __syncthreads();
        sum_parts(mass, threshold, n_vocab, parts);
        const PartSums sums = total(parts, n_vocab);
        if (sums.above + static_cast<double>(threshold) * sums.n_equal >= wanted) bits |= 1u << bit;
    }
    return __uint_as_float(bits);
}

// The id at which the mass of the nucleus reaches `left`, or -1 if rounding keeps it from that. Asked of one warp, all of
// whose lanes get it.
template <class Mass>
__device__ __forceinline__ int walk(Mass mass, Nucleus nucleus, double left, int n_vocab, const PartSums* parts) {
    const int lane = threadIdx.x % WARP;
    int n_equal = nucleus.n_equal;
    for (int part = 0; part * PART < n_vocab; part++) {
        const int n_here = min(parts[part].n_equal, n_equal);
        const double here = parts[part].above + static_cast<double>(nucleus.threshold) * n_here;
        if (left >= here) {
            left -= here;
            n_equal -= n_here;
            continue;
        }
        for (int first = part * PART; first < min((part + 1) * PART, n_vocab); first += WARP) {
            const int i = first + lane;
            const float m = i < n_vocab ? mass(i) : -1.0f;
            const unsigned equals = __ballot_sync(~0u, m == nucleus.threshold);
            const int n_before = __popc(equals & ((1u << lane) - 1));
            const bool is_in = m > nucleus.threshold || (m == nucleus.threshold && n_before < n_equal);
            double sum = is_in ? m : 0.0;
            for (int distance = 1; distance < WARP; distance *= 2) {
                const double below = __shfl_up_sync(~0u, sum, distance);
                if (lane >= distance) sum += below;
            }
            const unsigned reached = __ballot_sync(~0u, is_in && m > 0.0f && left < sum);
            if (reached != 0) return first + __ffs(reached) - 1;
            left -= __shfl_sync(~0u, sum, WARP - 1);
            n_equal -= min(__popc(equals), n_equal);
        }
    }
    return -1;
}

extern "C" __global__ void __launch_bounds__(BLOCK) sample(
    const float* logits, const float* temperatures, const float* top_p, const float* uniforms, unsigned* tokens,
    float* log_probs, int n_vocab) {
    __shared__ PartSums parts[MAX_PARTS];
    __shared__ float largest_of_warps[WARPS];
    __shared__ int ids_of_warps[WARPS];
    const size_t row = blockIdx.x;
    logits += row * n_vocab;
    const bool is_greedy = temperatures[row] == 0.0f;
    const float inv_temperature = is_greedy ? 1.0f : 1.0f / temperatures[row];

    float largest = -INFINITY;
    int id = 0x7fffffff;
    for (int i = threadIdx.x; i < n_vocab; i += BLOCK) {
        if (logits[i] > largest || (logits[i] == largest && i < id)) {
            largest = logits[i];
            id = i;
        }
    }
    for (int bits = WARP / 2; bits > 0; bits /= 2) {
        const float other = __shfl_xor_sync(~0u, largest, bits);
        const int other_id = __shfl_xor_sync(~0u, id, bits);
        if (other > largest || (other == largest && other_id < id)) {
            largest = other;
            id = other_id;
        }
    }
    if (threadIdx.x % WARP == 0) {
        largest_of_warps[threadIdx.x / WARP] = largest;
        ids_of_warps[threadIdx.x / WARP] = id;
    }
    __syncthreads();
    for (int warp = 0; warp < WARPS; warp++) {
        const float other = largest_of_warps[warp];
        if (other > largest || (other == largest && ids_of_warps[warp] < id)) {
            largest = other;
            id = ids_of_warps[warp];
        }
    }

    const auto mass = [=](int i) {
        const float m = expf((logits[i] - largest) * inv_temperature);
        // What is no number has no mass.
        return m >= 0.0f ? m : 0.0f;
    };
    sum_parts(mass, 0.0f, n_vocab, parts);
    const double sum = total(parts, n_vocab).above;
    Nucleus nucleus = {0.0f, 0};
    double drawn = sum;
    if (!is_greedy && top_p[row] < 1.0f) {
        const double wanted = top_p[row] * sum;
        nucleus.threshold = threshold_of(mass, wanted, n_vocab, parts);
        __syncthreads();
        sum_parts(mass, nucleus.threshold, n_vocab, parts);
        const PartSums sums = total(parts, n_vocab);
        if (nucleus.threshold > 0.0f) {
            const double n_wanted = ceil((wanted - sums.above) / nucleus.threshold);
            nucleus.n_equal = min(max(static_cast<int>(n_wanted), 1), sums.n_equal);
        }
        drawn = sums.above + static_cast<double>(nucleus.threshold) * nucleus.n_equal;
    }
    if (threadIdx.x >= WARP) return;
    if (!is_greedy) {
        const int found = walk(mass, nucleus, uniforms[row] * drawn, n_vocab, parts);
        if (found >= 0) id = found;
    }
    if (id >= n_vocab) id = 0;
    if (threadIdx.x == 0) {
        tokens[row] = id;
        log_probs[row] = static_cast<float>((logits[id] - largest) * inv_temperature - log(sum));
    }
}
