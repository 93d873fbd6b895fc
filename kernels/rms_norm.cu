// RMSNorm (arXiv 1910.07467) and its gradients; one block of BLOCK threads for each row.
//
//   y[r, i] = x[r, i] * inv_rms[r] * gain[i],   inv_rms[r] = 1 / sqrt(mean_i x[r, i]^2 + epsilon)
//
// x, y, dy, dx, branch, sum: [rows, width] activations; gain: [width] float32; inv_rms: [rows] float32.
#include "common.cuh"

// y = x * inverse * gain for one row.
template <class T, int N>
__device__ __forceinline__ void scale_row(const T* x, const float* gain, T* y, float inverse, int width) {
    for (int i = threadIdx.x; i < width / N; i += BLOCK) {
        auto values = load<N>(x, i);
        const auto gains = load<N>(gain, i);
#pragma unroll
        for (int lane = 0; lane < N; lane++) {
            from_float(values.lanes[lane], to_float(values.lanes[lane]) * inverse * gains.lanes[lane]);
        }
        store<N>(y, i, values);
    }
}

// Reads x and writes y and inv_rms. Floor: 2 activations a number.
template <class T, int N>
__device__ __forceinline__ void rms_norm(
    const T* x, const float* gain, T* y, float* inv_rms, int width, float epsilon) {
    __shared__ float room[BLOCK / WARP];
    const size_t row = blockIdx.x;
    x += row * width;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width / N; i += BLOCK) {
        const auto values = load<N>(x, i);
#pragma unroll
        for (int lane = 0; lane < N; lane++) squares += to_float(values.lanes[lane]) * to_float(values.lanes[lane]);
    }
    const float inverse = rsqrtf(block_sum(squares, room) / width + epsilon);
    if (threadIdx.x == 0) inv_rms[row] = inverse;
    scale_row<T, N>(x, gain, y + row * width, inverse, width);
}

// The end of a residual branch and the norm at the beginning of the next: sum = x + branch, of which y is the norm as
// it is stored. `sum` may be x. Reads x and branch and writes sum, y and inv_rms. Floor: 4 activations a number.
template <class T, int N>
__device__ __forceinline__ void add_rms_norm(
    const T* x, const T* branch, T* sum, const float* gain, T* y, float* inv_rms, int width, float epsilon) {
    __shared__ float room[BLOCK / WARP];
    const size_t row = blockIdx.x;
    x += row * width;
    branch += row * width;
    sum += row * width;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width / N; i += BLOCK) {
        auto values = load<N>(x, i);
        const auto summands = load<N>(branch, i);
#pragma unroll
        for (int lane = 0; lane < N; lane++) {
            from_float(values.lanes[lane], to_float(values.lanes[lane]) + to_float(summands.lanes[lane]));
            squares += to_float(values.lanes[lane]) * to_float(values.lanes[lane]);
        }
        store<N>(sum, i, values);
    }
    const float inverse = rsqrtf(block_sum(squares, room) / width + epsilon);
    if (threadIdx.x == 0) inv_rms[row] = inverse;
    // Each thread reads the numbers that it wrote itself.
    scale_row<T, N>(sum, gain, y + row * width, inverse, width);
}

// dx[r, i] += inv_rms[r] * (dy[r, i] * gain[i] - xhat[r, i] * mean_j(dy[r, j] * gain[j] * xhat[r, j])) with
// xhat = x * inv_rms. Reads x, dy and dx and writes dx. Floor: 4 activations a number.
template <class T, int N>
__device__ __forceinline__ void rms_norm_backward_input(
    const T* x, const float* gain, const float* inv_rms, const T* dy, T* dx, int width) {
    __shared__ float room[BLOCK / WARP];
    const size_t row = blockIdx.x;
    x += row * width;
    dy += row * width;
    dx += row * width;
    const float inverse = inv_rms[row];
    float products = 0.0f;
    for (int i = threadIdx.x; i < width / N; i += BLOCK) {
        const auto values = load<N>(x, i);
        const auto gradients = load<N>(dy, i);
        const auto gains = load<N>(gain, i);
#pragma unroll
        for (int lane = 0; lane < N; lane++) {
            const float normalised = to_float(values.lanes[lane]) * inverse;
            products += to_float(gradients.lanes[lane]) * gains.lanes[lane] * normalised;
        }
    }
    const float mean = block_sum(products, room) / width;
    for (int i = threadIdx.x; i < width / N; i += BLOCK) {
        const auto values = load<N>(x, i);
        const auto gradients = load<N>(dy, i);
        const auto gains = load<N>(gain, i);
        auto sums = load<N>(dx, i);
#pragma unroll
        for (int lane = 0; lane < N; lane++) {
            const float normalised = to_float(values.lanes[lane]) * inverse;
            const float gradient = to_float(gradients.lanes[lane]) * gains.lanes[lane];
            from_float(sums.lanes[lane], to_float(sums.lanes[lane]) + inverse * (gradient - normalised * mean));
        }
        store<N>(dx, i, sums);
    }
}

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* x, const float* gain, T* y, float* inv_rms, int width, float epsilon) {                    \
        rms_norm<T, N>(x, gain, y, inv_rms, width, epsilon);                                                     \
    }
FOR_ACTIVATIONS(DEFINE, rms_norm)
#undef DEFINE

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(                                                    \
        const T* x, const T* branch, T* sum, const float* gain, T* y, float* inv_rms, int width, float epsilon) { \
        add_rms_norm<T, N>(x, branch, sum, gain, y, inv_rms, width, epsilon);                                    \
    }
FOR_ACTIVATIONS(DEFINE, add_rms_norm)
#undef DEFINE

#define DEFINE(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                          \
        name(const T* x, const float* gain, const float* inv_rms, const T* dy, T* dx, int width) {               \
        rms_norm_backward_input<T, N>(x, gain, inv_rms, dy, dx, width);                                          \
    }
FOR_ACTIVATIONS(DEFINE, rms_norm_backward_input)
#undef DEFINE
