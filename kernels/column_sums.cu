// Sums of columns: the gradients of biases and of RMSNorm's gains. In two launches, so that many rows keep many blocks
// busy and the order of the sum is still a function of the rows alone.
//
//   partial[c, i] = sum of dy[r, i] (* x[r, i] * inv_rms[r]) over rows r of chunk c,   d[i] += sum_c partial[c, i]
//
// dy, x: [n_rows, width] activations; inv_rms: [n_rows]; partial: [chunks, width]; d: [width], all float32.
#include "common.cuh"

// Rows of a chunk, and the shape of the blocks: COLUMNS columns by LINES lines of rows.
constexpr int CHUNK = 128;
constexpr int COLUMNS = 32;
constexpr int LINES = BLOCK / COLUMNS;

// Grid: (columns / COLUMNS, chunks). Reads dy, and x where there is one. Floor: 1 activation a number, or 2.
template <class T>
__device__ __forceinline__ void column_sums(
    const T* dy, const T* x, const float* inv_rms, float* partial, int n_rows, int width) {
    __shared__ float sums[LINES][COLUMNS];
    const int column = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS;
    const int line = threadIdx.x / COLUMNS;
    const int end = min(static_cast<int>(blockIdx.y + 1) * CHUNK, n_rows);
    float sum = 0.0f;
    if (column < width) {
        for (int row = blockIdx.y * CHUNK + line; row < end; row += LINES) {
            const size_t i = static_cast<size_t>(row) * width + column;
            const float gradient = to_float(dy[i]);
            sum += x == nullptr ? gradient : gradient * to_float(x[i]) * inv_rms[row];
        }
    }
    sums[line][threadIdx.x % COLUMNS] = sum;
    __syncthreads();
    if (line > 0 || column >= width) return;
    for (int other = 1; other < LINES; other++) sum += sums[other][threadIdx.x];
    partial[static_cast<size_t>(blockIdx.y) * width + column] = sum;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    column_sums_f32(const float* dy, const float* x, const float* inv_rms, float* partial, int n_rows, int width) {
    column_sums(dy, x, inv_rms, partial, n_rows, width);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    column_sums_bf16(const bf16* dy, const bf16* x, const float* inv_rms, float* partial, int n_rows, int width) {
    column_sums(dy, x, inv_rms, partial, n_rows, width);
}

// A thread for each column.
extern "C" __global__ void __launch_bounds__(BLOCK)
    add_partial_sums(const float* partial, float* d, int n_chunks, int width) {
    const int column = blockIdx.x * BLOCK + threadIdx.x;
    if (column >= width) return;
    float sum = 0.0f;
    for (int chunk = 0; chunk < n_chunks; chunk++) sum += partial[static_cast<size_t>(chunk) * width + column];
    d[column] += sum;
}
