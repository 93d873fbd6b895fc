// From logits to log-probabilities, entropies and gradients; one block of BLOCK threads for each row.
//
//   z = logit / temperature,  log p(i) = z_i - lse,  lse = log sum_j exp(z_j),  entropy = lse - sum_j p(j) z_j
//
// logits: [n_rows, n_vocab] float32, a chunk of all rows: they are made by a product, read here, and give way to their
// gradients, from which two more products make those of the states and of the head.
#include "common.cuh"

// The sum of exp(z - max) and that of exp(z - max) * (z - max), with z - max of what has no mass left out.
struct Sums {
    float max, mass, product;
};

// Sums relative to a new, larger maximum.
__device__ __forceinline__ Sums shifted(const Sums& sums, float max) {
    if (sums.mass == 0.0f) return {max, 0.0f, 0.0f};
    const float shift = sums.max - max;
    const float factor = expf(shift);
    return {max, sums.mass * factor, (sums.product + shift * sums.mass) * factor};
}

__device__ __forceinline__ Sums joined(const Sums& a, const Sums& b) {
    const float max = fmaxf(a.max, b.max);
    const Sums left = shifted(a, max), right = shifted(b, max);
    return {max, left.mass + right.mass, left.product + right.product};
}

__device__ __forceinline__ Sums block_sums(Sums sums, Sums* room) {
#pragma unroll
    for (int bits = WARP / 2; bits > 0; bits /= 2) {
        const Sums other = {
            __shfl_xor_sync(~0u, sums.max, bits), __shfl_xor_sync(~0u, sums.mass, bits),
            __shfl_xor_sync(~0u, sums.product, bits)};
        // The lower lane's sums first, so that both lanes get the same bits.
        sums = threadIdx.x & bits ? joined(other, sums) : joined(sums, other);
    }
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = sums;
    __syncthreads();
    Sums all = room[0];
    for (int warp = 1; warp < BLOCK / WARP; warp++) all = joined(all, room[warp]);
    return all;
}

// The sums of the calling block's row, in one pass. Floor: 4 bytes a logit.
__device__ __forceinline__ Sums row_sums(const float* logits, int n_vocab, float inv_temperature, Sums* room) {
    Sums sums = {-INFINITY, 0.0f, 0.0f};
    for (int i = threadIdx.x; i < n_vocab; i += BLOCK) {
        const float z = logits[i] * inv_temperature;
        // It has no mass, and is not to be subtracted from itself.
        if (z == -INFINITY) continue;
        if (z > sums.max) sums = shifted(sums, z);
        const float mass = expf(z - sums.max);
        sums.mass += mass;
        sums.product += mass * (z - sums.max);
    }
    return block_sums(sums, room);
}

// log_probs[r] of targets[r] and entropies[r]; lse[r] for `log_prob_backward`.
extern "C" __global__ void __launch_bounds__(BLOCK) log_prob(
    const float* logits, const unsigned* targets, float* log_probs, float* entropies, float* lse, int n_vocab,
    float inv_temperature) {
    __shared__ Sums room[BLOCK / WARP];
    const size_t row = blockIdx.x;
    logits += row * n_vocab;
    const Sums sums = row_sums(logits, n_vocab, inv_temperature, room);
    if (threadIdx.x > 0) return;
    const float log_mass = logf(sums.mass);
    lse[row] = sums.max + log_mass;
    log_probs[row] = logits[targets[row]] * inv_temperature - sums.max - log_mass;
    entropies[row] = log_mass - sums.product / sums.mass;
}

// gradients = the gradient of a loss whose derivative by log p(target) is d_log_probs[r] and by the entropy
// d_entropies[r]: with p the probabilities,
//   d logit_i = (d_log_prob * ([i = target] - p_i) - d_entropy * p_i * (log p_i + entropy)) / temperature.
// A row with neither derivative has no gradient, whatever its logits are. gradients: [n_rows, n_vocab] float32, which may
// be logits, or bfloat16 for products with weights of that type. Floor: 8 bytes a logit, or 6.
template <class T>
__device__ __forceinline__ void log_prob_backward(
    const float* logits, const unsigned* targets, const float* entropies, const float* lse, const float* d_log_probs,
    const float* d_entropies, T* gradients, int n_vocab, float inv_temperature) {
    const size_t row = blockIdx.x;
    logits += row * n_vocab;
    gradients += row * n_vocab;
    const int target = targets[row];
    const float entropy = entropies[row], log_sum = lse[row];
    const float d_log_prob = d_log_probs[row] * inv_temperature;
    const float d_entropy = d_entropies[row] * inv_temperature;
    const bool has_gradient = d_log_prob != 0.0f || d_entropy != 0.0f;
    for (int i = threadIdx.x; i < n_vocab; i += BLOCK) {
        float gradient = 0.0f;
        if (has_gradient) {
            const float log_p = logits[i] * inv_temperature - log_sum;
            const float p = expf(log_p);
            gradient = d_log_prob * ((i == target ? 1.0f : 0.0f) - p);
            if (p > 0.0f) gradient -= d_entropy * p * (log_p + entropy);
        }
        from_float(gradients[i], gradient);
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK) log_prob_backward_f32(
    const float* logits, const unsigned* targets, const float* entropies, const float* lse, const float* d_log_probs,
    const float* d_entropies, float* gradients, int n_vocab, float inv_temperature) {
    log_prob_backward(
        logits, targets, entropies, lse, d_log_probs, d_entropies, gradients, n_vocab, inv_temperature);
}

extern "C" __global__ void __launch_bounds__(BLOCK) log_prob_backward_bf16(
    const float* logits, const unsigned* targets, const float* entropies, const float* lse, const float* d_log_probs,
    const float* d_entropies, bf16* gradients, int n_vocab, float inv_temperature) {
    log_prob_backward(
        logits, targets, entropies, lse, d_log_probs, d_entropies, gradients, n_vocab, inv_temperature);
}
