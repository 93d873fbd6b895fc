// The gradient of embeddings: d_table[t] += sum of d_out[r] over the rows r of token t, in their order.
//
// The rows come sorted by token: `rows[starts[j]..starts[j + 1]]` are those of `tokens[j]`, in ascending order, so that
// each row of the table has one block and no sum depends on which block is first.
//
// d_out: [n_rows, width] activations; d_table: [n_vocab, width] float32; tokens: [n_distinct], starts: [n_distinct + 1].
// Grid: (n_distinct, width / BLOCK rounded up). Floor: 1 activation a number of d_out, 8 bytes a number of the table.
#include "common.cuh"

template <class T>
__device__ __forceinline__ void embed_backward(
    const T* d_out, const unsigned* tokens, const unsigned* starts, const unsigned* rows, float* d_table, int width) {
    const int column = blockIdx.y * BLOCK + threadIdx.x;
    if (column >= width) return;
    float* to = d_table + static_cast<size_t>(tokens[blockIdx.x]) * width + column;
    float sum = *to;
    for (unsigned i = starts[blockIdx.x]; i < starts[blockIdx.x + 1]; i++) {
        sum += to_float(d_out[static_cast<size_t>(rows[i]) * width + column]);
    }
    *to = sum;
}

#define DEFINE(name, T)                                                                                          \
    extern "C" __global__ void __launch_bounds__(BLOCK) name(                                                    \
        const T* d_out, const unsigned* tokens, const unsigned* starts, const unsigned* rows, float* d_table,    \
        int width) {                                                                                             \
        embed_backward<T>(d_out, tokens, starts, rows, d_table, width);                                          \
    }
DEFINE(embed_backward_f32, float)
DEFINE(embed_backward_bf16, bf16)
#undef DEFINE
