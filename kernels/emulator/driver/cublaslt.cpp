// libcublasLt.so.13 for machines without a GPU: D = alpha * op(A) op(B) + beta * C (+ bias), in the order of a stream.
//
// A and B are both float32 or both bfloat16, C and D alike float32 or, of bfloat16 operands, bfloat16. Products are
// exact in float64 and summed in it in the order of k, so that a result depends on its row and column alone, and not on
// the processor or the number of threads. What the real library refuses, or this one does not have, is refused.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "../cuda_bf16.h"
#include "../threads.h"
#include "api.h"

enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_NOT_SUPPORTED = 15,
};

namespace cublaslt {

// As cudaDataType and the other enumerations of <cublasLt.h> number them.
enum Type { FLOAT32 = 0, BFLOAT16 = 14 };
enum Order { COLUMNS = 0, ROWS = 1 };
enum Transpose { NOT_TRANSPOSED = 0, TRANSPOSED = 1 };
enum Epilogue { NO_EPILOGUE = 1, BIAS = 4 };
enum ComputeType { COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69 };
enum LayoutAttribute { TYPE, ORDER, N_ROWS, N_COLUMNS, LEADING_DIMENSION, BATCH_COUNT, BATCH_OFFSET };
enum MatmulAttribute {
    COMPUTE_TYPE = 0,
    SCALE_TYPE = 1,
    POINTER_MODE = 2,
    TRANSPOSE_A = 3,
    TRANSPOSE_B = 4,
    TRANSPOSE_C = 5,
    EPILOGUE = 7,
    BIAS_POINTER = 8,
    BIAS_BATCH_STRIDE = 10,
    BIAS_TYPE = 26,
};

struct Layout {
    int type = FLOAT32, order = COLUMNS;
    uint64_t n_rows = 0, n_columns = 0;
    int64_t leading = 0;
    int n_batches = 1;
    int64_t batch_offset = 0;

    size_t element_bytes() const { return type == FLOAT32 ? sizeof(float) : sizeof(__nv_bfloat16); }
    // Numbers from one batch's first to behind its last.
    size_t extent() const {
        const size_t n_lines = order == COLUMNS ? n_columns : n_rows;
        const size_t n_in_line = order == COLUMNS ? n_rows : n_columns;
        return n_lines == 0 || n_in_line == 0 ? 0 : (n_lines - 1) * static_cast<size_t>(leading) + n_in_line;
    }
    size_t row_stride() const { return order == COLUMNS ? 1 : static_cast<size_t>(leading); }
    size_t column_stride() const { return order == COLUMNS ? static_cast<size_t>(leading) : 1; }
    size_t index(size_t row, size_t column) const { return row * row_stride() + column * column_stride(); }
    bool is_valid() const {
        const auto least = static_cast<int64_t>(order == COLUMNS ? n_rows : n_columns);
        return n_batches > 0 && leading >= least && (n_batches == 1 || batch_offset >= 0);
    }
    bool is_supported() const { return (type == FLOAT32 || type == BFLOAT16) && (order == COLUMNS || order == ROWS); }
    // Whether it lies at `start` inside of one allocation, on an address that its numbers may have.
    bool is_inside(CUdeviceptr start) const {
        const size_t n_before = static_cast<size_t>(n_batches - 1) * static_cast<size_t>(batch_offset);
        return start % element_bytes() == 0 && cuEmulatorContains(start, (n_before + extent()) * element_bytes());
    }
};

struct Matmul {
    int compute_type = COMPUTE_32F, scale_type = FLOAT32, pointer_mode = 0;
    int transposes[3] = {};
    int epilogue = NO_EPILOGUE;
    CUdeviceptr bias = 0;
    int64_t bias_offset = 0;
    // -1: that of D.
    int bias_type = -1;
};

// Wishes about algorithms, of which there is one.
struct Preference {};

// Everything about a product, so that a graph can keep it.
struct Product {
    Matmul matmul;
    Layout a, b, c, d;
    CUdeviceptr at_a, at_b, at_c, at_d;
    float alpha, beta;
};

static float value(float x) { return x; }
static float value(__nv_bfloat16 x) { return __bfloat162float(x); }

static float number(CUdeviceptr start, int type, size_t index) {
    if (type == FLOAT32) return value(reinterpret_cast<const float*>(start)[index]);
    return value(reinterpret_cast<const __nv_bfloat16*>(start)[index]);
}

static void set_number(CUdeviceptr start, int type, size_t index, float value) {
    if (type == FLOAT32) {
        reinterpret_cast<float*>(start)[index] = value;
    } else {
        reinterpret_cast<__nv_bfloat16*>(start)[index] = __float2bfloat16(value);
    }
}

// What is computed at once: a tile of D, of which a line across is VECTORS vectors of LANES numbers.
constexpr size_t TILE_ROWS = 4, LANES = 4, VECTORS = 2, TILE_COLUMNS = LANES * VECTORS;
typedef double Lanes __attribute__((vector_size(LANES * sizeof(double))));

// A matrix in strips of WIDTH columns, as float64: number k of column j is at (j / WIDTH, k, j % WIDTH). In memory it
// is at k * k_stride + j * column_stride.
template <size_t WIDTH>
class Strips {
   public:
    Strips(size_t depth, size_t n_columns, size_t k_stride, size_t column_stride)
        : depth_(depth), n_columns_(n_columns), k_stride_(k_stride), column_stride_(column_stride),
          lines_((n_columns + WIDTH - 1) / WIDTH * depth) {}

    void read(CUdeviceptr start, int type, unsigned n_threads) {
        emulator::in_parallel((n_columns_ + WIDTH - 1) / WIDTH, n_threads, [&](size_t strip) {
            if (type == FLOAT32) {
                read_strip(reinterpret_cast<const float*>(start), strip);
            } else {
                read_strip(reinterpret_cast<const __nv_bfloat16*>(start), strip);
            }
        });
    }
    const double* strip(size_t index) const { return lines_[index * depth_].numbers; }

   private:
    struct Line {
        alignas(sizeof(double) * WIDTH) double numbers[WIDTH] = {};
    };

    template <class T>
    void read_strip(const T* from, size_t strip) {
        const size_t n_here = std::min(WIDTH, n_columns_ - strip * WIDTH);
        Line* lines = lines_.data() + strip * depth_;
        for (size_t j = 0; j < n_here; j++) {
            const T* column = from + (strip * WIDTH + j) * column_stride_;
            for (size_t k = 0; k < depth_; k++) lines[k].numbers[j] = value(column[k * k_stride_]);
        }
    }

    size_t depth_, n_columns_, k_stride_, column_stride_;
    std::vector<Line> lines_;
};

typedef double Sums[TILE_ROWS][TILE_COLUMNS];

// sums[i][j] = sum_k a[k, i] * b[k, j]. Float64 has room for the product of two float32, so that a fused multiplication
// and addition of one processor gives the same as two operations of another.
__attribute__((always_inline)) static inline void sum_tile(const double* a, const double* b, size_t depth, Sums& sums) {
    Lanes tile[TILE_ROWS][VECTORS] = {};
    for (size_t k = 0; k < depth; k++) {
        const auto* line = reinterpret_cast<const Lanes*>(b + k * TILE_COLUMNS);
        for (size_t i = 0; i < TILE_ROWS; i++) {
            for (size_t vector = 0; vector < VECTORS; vector++) tile[i][vector] += a[k * TILE_ROWS + i] * line[vector];
        }
    }
    memcpy(sums, tile, sizeof sums);
}

__attribute__((target("avx2,fma"))) static void sum_tile_avx2(
    const double* a, const double* b, size_t depth, Sums& sums) {
    sum_tile(a, b, depth, sums);
}

static void multiply_tile(const double* a, const double* b, size_t depth, Sums& sums) {
    static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2) return sum_tile_avx2(a, b, depth, sums);
    sum_tile(a, b, depth, sums);
}

static void multiply_batch(const Product& product, size_t batch, unsigned n_threads) {
    const Layout &a = product.a, &b = product.b, &c = product.c, &d = product.d;
    const Matmul& matmul = product.matmul;
    const auto start_of = [batch](CUdeviceptr start, const Layout& layout) {
        return start + batch * static_cast<size_t>(layout.batch_offset) * layout.element_bytes();
    };
    const CUdeviceptr at_a = start_of(product.at_a, a), at_b = start_of(product.at_b, b);
    const CUdeviceptr at_c = start_of(product.at_c, c), at_d = start_of(product.at_d, d);
    const bool is_a_transposed = matmul.transposes[0], is_b_transposed = matmul.transposes[1];
    const size_t depth = is_a_transposed ? a.n_rows : a.n_columns;
    const size_t a_strides[] = {a.row_stride(), a.column_stride()}, b_strides[] = {b.row_stride(), b.column_stride()};
    Strips<TILE_ROWS> left(depth, d.n_rows, a_strides[!is_a_transposed], a_strides[is_a_transposed]);
    Strips<TILE_COLUMNS> right(depth, d.n_columns, b_strides[is_b_transposed], b_strides[!is_b_transposed]);
    left.read(at_a, a.type, n_threads);
    right.read(at_b, b.type, n_threads);
    const int bias_type = matmul.bias_type < 0 ? d.type : matmul.bias_type;
    const size_t bias_start = batch * static_cast<size_t>(matmul.bias_offset);
    const size_t n_strips = (d.n_columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    emulator::in_parallel(n_strips, n_threads, [&](size_t strip) {
        for (size_t row = 0; row < d.n_rows; row += TILE_ROWS) {
            Sums sums = {};
            if (depth > 0) multiply_tile(left.strip(row / TILE_ROWS), right.strip(strip), depth, sums);
            for (size_t i = row; i < std::min<size_t>(row + TILE_ROWS, d.n_rows); i++) {
                const float bias = matmul.epilogue == BIAS ? number(matmul.bias, bias_type, bias_start + i) : 0.0f;
                const size_t first = strip * TILE_COLUMNS;
                for (size_t j = first; j < std::min<size_t>(first + TILE_COLUMNS, d.n_columns); j++) {
                    double sum = product.alpha * sums[i - row][j - first];
                    // C is not read where it counts for nothing: it may be NaN.
                    const double beta = product.beta;
                    if (beta != 0.0) sum += beta * number(at_c, c.type, c.index(i, j));
                    set_number(at_d, d.type, d.index(i, j), static_cast<float>(sum + bias));
                }
            }
        }
    });
}

static bool is_inside(const Product& product) {
    const Matmul& matmul = product.matmul;
    if (matmul.epilogue == BIAS) {
        Layout bias;
        bias.type = matmul.bias_type < 0 ? product.d.type : matmul.bias_type;
        bias.n_rows = product.d.n_rows;
        bias.leading = static_cast<int64_t>(bias.n_rows);
        bias.n_columns = 1;
        bias.n_batches = product.d.n_batches;
        bias.batch_offset = matmul.bias_offset;
        if (!bias.is_inside(matmul.bias)) return false;
    }
    const bool has_c = product.beta == 0.0f || product.c.is_inside(product.at_c);
    return has_c && product.a.is_inside(product.at_a) && product.b.is_inside(product.at_b) &&
           product.d.is_inside(product.at_d);
}

static CUresult multiply(const Product& product) {
    if (!is_inside(product)) {
        fprintf(stderr, "emulator: a matrix of a product is not inside of one allocation\n");
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    const auto n_threads = static_cast<unsigned>(emulator::setting("EMULATOR_THREADS", 1));
    for (int batch = 0; batch < product.d.n_batches; batch++) {
        multiply_batch(product, static_cast<size_t>(batch), n_threads);
    }
    return CUDA_SUCCESS;
}

// Whether there is a product of these shapes and types.
static cublasStatus_t check(const Matmul& matmul, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    for (const Layout* layout : {&a, &b, &c, &d}) {
        if (!layout->is_supported()) return CUBLAS_STATUS_NOT_SUPPORTED;
        if (!layout->is_valid() || layout->n_batches != d.n_batches) return CUBLAS_STATUS_INVALID_VALUE;
    }
    const bool is_a_transposed = matmul.transposes[0], is_b_transposed = matmul.transposes[1];
    const bool are_rows = (is_a_transposed ? a.n_columns : a.n_rows) == d.n_rows && c.n_rows == d.n_rows;
    const bool are_columns = (is_b_transposed ? b.n_rows : b.n_columns) == d.n_columns && c.n_columns == d.n_columns;
    const bool is_depth = (is_a_transposed ? a.n_rows : a.n_columns) == (is_b_transposed ? b.n_columns : b.n_rows);
    if (!are_rows || !are_columns || !is_depth) return CUBLAS_STATUS_INVALID_VALUE;
    const bool are_types = a.type == b.type && c.type == d.type && (a.type == BFLOAT16 || d.type == FLOAT32);
    const bool is_plain = matmul.pointer_mode == 0 && matmul.transposes[2] == NOT_TRANSPOSED;
    const bool is_computed = matmul.compute_type == COMPUTE_32F || matmul.compute_type == COMPUTE_32F_PEDANTIC;
    const bool is_epilogue = matmul.epilogue == NO_EPILOGUE || matmul.epilogue == BIAS;
    const bool is_supported = are_types && is_plain && is_computed && is_epilogue && matmul.scale_type == FLOAT32;
    return is_supported ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

template <class T>
static cublasStatus_t set(T& field, const void* value, size_t n_bytes) {
    if (!value || n_bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&field, value, sizeof field);
    return CUBLAS_STATUS_SUCCESS;
}

// As cublasLtMatmulHeuristicResult_t. All of it is filled: callers read `state` as one of their enumeration.
struct Heuristic {
    uint64_t algorithm[8];
    size_t n_workspace_bytes;
    int state;
    float n_waves;
    int reserved[4];
};

}  // namespace cublaslt

using namespace cublaslt;

extern "C" {

size_t cublasLtGetVersion() { return 130000; }

cublasStatus_t cublasLtCreate(void** handle) {
    *handle = new char;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(void* handle) {
    delete static_cast<char*>(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(
    Layout** layout, int type, uint64_t n_rows, uint64_t n_columns, int64_t leading) {
    *layout = new Layout{type, COLUMNS, n_rows, n_columns, leading};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(Layout* layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t n_bytes) {
    switch (attribute) {
        case TYPE: return set(layout->type, value, n_bytes);
        case ORDER: return set(layout->order, value, n_bytes);
        case N_ROWS: return set(layout->n_rows, value, n_bytes);
        case N_COLUMNS: return set(layout->n_columns, value, n_bytes);
        case LEADING_DIMENSION: return set(layout->leading, value, n_bytes);
        case BATCH_COUNT: return set(layout->n_batches, value, n_bytes);
        case BATCH_OFFSET: return set(layout->batch_offset, value, n_bytes);
        default: return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatmulDescCreate(Matmul** matmul, int compute_type, int scale_type) {
    *matmul = new Matmul{compute_type, scale_type};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(Matmul* matmul) {
    delete matmul;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(Matmul* matmul, int attribute, const void* value, size_t n_bytes) {
    switch (attribute) {
        case COMPUTE_TYPE: return set(matmul->compute_type, value, n_bytes);
        case SCALE_TYPE: return set(matmul->scale_type, value, n_bytes);
        case POINTER_MODE: return set(matmul->pointer_mode, value, n_bytes);
        case TRANSPOSE_A:
        case TRANSPOSE_B:
        case TRANSPOSE_C: return set(matmul->transposes[attribute - TRANSPOSE_A], value, n_bytes);
        case EPILOGUE: return set(matmul->epilogue, value, n_bytes);
        case BIAS_POINTER: return set(matmul->bias, value, n_bytes);
        case BIAS_BATCH_STRIDE: return set(matmul->bias_offset, value, n_bytes);
        case BIAS_TYPE: return set(matmul->bias_type, value, n_bytes);
        default: return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(Preference** preference) {
    *preference = new Preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(Preference* preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

// There is one algorithm: no preference makes a difference.
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(Preference*, int, const void*, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    void*, Matmul* matmul, Layout* a, Layout* b, Layout* c, Layout* d, Preference*, int n_wanted, Heuristic* results,
    int* n_found) {
    *n_found = 0;
    if (n_wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (const cublasStatus_t status = check(*matmul, *a, *b, *c, *d)) return status;
    *results = Heuristic{};
    *n_found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(
    void*, Matmul* matmul, const float* alpha, CUdeviceptr at_a, Layout* a, CUdeviceptr at_b, Layout* b,
    const float* beta, CUdeviceptr at_c, Layout* c, CUdeviceptr at_d, Layout* d, const void*, CUdeviceptr workspace,
    size_t n_workspace_bytes, CUstream stream) {
    if (const cublasStatus_t status = check(*matmul, *a, *b, *c, *d)) return status;
    if (!cuEmulatorContains(workspace, n_workspace_bytes)) return CUBLAS_STATUS_INVALID_VALUE;
    const Product product = {*matmul, *a, *b, *c, *d, at_a, at_b, at_c, at_d, *alpha, *beta};
    const DriverWork work = [product] { return multiply(product); };
    return cuEmulatorSubmit(stream, &work) == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}
