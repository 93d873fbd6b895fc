// AdamW (arXiv 1711.05101) and sums of squares in float32; a thread for each number, blocks of BLOCK threads.
#include "common.cuh"

// What one step has in common for all parameters; see `AdamStep`.
struct AdamStep {
    float learning_rate, beta1, beta2, one_minus_beta1, one_minus_beta2;
    float inv_correction1, inv_correction2, epsilon, weight_decay, grad_scale;
};

// p, g, m, v: [n] float32. Reads all and writes p, m and v. Floor: 28 bytes a number.
extern "C" __global__ void __launch_bounds__(BLOCK)
    adamw(float* p, const float* g, float* m, float* v, size_t n, AdamStep step) {
    const size_t i = static_cast<size_t>(blockIdx.x) * BLOCK + threadIdx.x;
    if (i >= n) return;
    const float gradient = g[i] * step.grad_scale;
    const float first = step.beta1 * m[i] + step.one_minus_beta1 * gradient;
    const float second = step.beta2 * v[i] + step.one_minus_beta2 * gradient * gradient;
    const float root = sqrtf(second * step.inv_correction2) + step.epsilon;
    m[i] = first;
    v[i] = second;
    p[i] -= step.learning_rate * (first * step.inv_correction1 / root + step.weight_decay * p[i]);
}

// Numbers of which one block makes a partial sum.
constexpr int SUM_VALUES = 32 * BLOCK;

// partial[b] = the sum of the squares of block b's numbers, in float64. Floor: 4 bytes a number.
extern "C" __global__ void __launch_bounds__(BLOCK) sum_squares(const float* values, double* partial, size_t n) {
    __shared__ double sums[BLOCK];
    const size_t first = static_cast<size_t>(blockIdx.x) * SUM_VALUES;
    const size_t end = min(first + SUM_VALUES, n);
    double sum = 0.0;
    for (size_t i = first + threadIdx.x; i < end; i += BLOCK) sum += static_cast<double>(values[i]) * values[i];
    sums[threadIdx.x] = sum;
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}
