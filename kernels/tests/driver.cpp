// The emulated driver and its products, through the calls that a program makes.
#include "../emulator/driver/cublaslt.cpp"
#include "../emulator/driver/cuda.cpp"

#include "harness.h"

using harness::Array;

// y[i] = scale * x[n - 1 - i] in one block, through dynamic shared memory.
extern "C" __global__ void test_reverse(const float* x, float* y, int n, float scale) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    float* room = reinterpret_cast<float*>(dynamic_shared);
    for (int i = threadIdx.x; i < n; i += blockDim.x) room[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = scale * room[n - 1 - i];
}

// y[block, thread] += the number of the block and thread.
extern "C" __global__ void test_count(float* y) {
    y[blockIdx.x * blockDim.x + threadIdx.x] += 1000.0f * blockIdx.x + threadIdx.x;
}

// Writes one number behind the `n` that there are.
extern "C" __global__ void test_write_behind(float* y, int n) { y[n] = 1.0f; }

REGISTER_KERNEL(test_reverse)
REGISTER_KERNEL(test_count)
REGISTER_KERNEL(test_write_behind)

static void expect(int found, int wanted, const std::string& what) {
    harness::check(found == wanted, what + ": " + std::to_string(found) + " instead of " + std::to_string(wanted));
}

// A setting for as long as it lives.
struct Setting {
    const char* name;
    Setting(const char* name, const char* value) : name(name) { setenv(name, value, 1); }
    ~Setting() { unsetenv(name); }
};

// A driver as a new process finds it, with a context, a module and a stream.
struct Session {
    CUstream stream = nullptr;
    CUmodule module = nullptr;
    Session() {
        state().lost = CUDA_SUCCESS;
        state().n_launches = 0;
        CUcontext context;
        cuInit(0);
        cuDevicePrimaryCtxRetain(&context, 0);
        cuCtxSetCurrent(context);
        cuModuleLoadData(&module, "any image");
        expect(cuStreamCreate(&stream, Stream::NON_BLOCKING), CUDA_SUCCESS, "a stream");
    }
    ~Session() {
        state().lost = CUDA_SUCCESS;
        cuCtxSetCurrent(nullptr);
        cuDevicePrimaryCtxRelease_v2(0);
    }
    CUfunction function(const char* name) {
        CUfunction function = nullptr;
        expect(cuModuleGetFunction(&function, module, name), CUDA_SUCCESS, name);
        return function;
    }
    CUdeviceptr device(const std::vector<float>& numbers) {
        const size_t n_bytes = numbers.size() * sizeof(float);
        CUdeviceptr pointer = 0;
        expect(cuMemAllocAsync(&pointer, n_bytes, stream), CUDA_SUCCESS, "memory");
        expect(cuMemcpyHtoDAsync_v2(pointer, numbers.data(), n_bytes, stream), CUDA_SUCCESS, "copy");
        return pointer;
    }
    std::vector<float> host(CUdeviceptr pointer, size_t n) {
        std::vector<float> numbers(n);
        expect(cuMemcpyDtoHAsync_v2(numbers.data(), pointer, n * sizeof(float), stream), CUDA_SUCCESS, "copy back");
        return numbers;
    }
    template <class... A>
    CUresult launch(
        CUfunction function, emulator::Index grid, emulator::Index block, unsigned n_shared_bytes, A... values) {
        void* arguments[] = {&values...};
        return cuLaunchKernel(
            function, grid.x, grid.y, grid.z, block.x, block.y, block.z, n_shared_bytes, stream, arguments, nullptr);
    }
};

TEST(driver_begins_as_a_real_one_does) {
    state().is_initialized = false;
    int value = 0;
    expect(cuDeviceGetCount(&value), CUDA_ERROR_NOT_INITIALIZED, "before cuInit");
    {
        const Setting setting("EMULATOR_INIT", "803");
        expect(cuInit(0), CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "cuInit");
        expect(cuDeviceGetCount(&value), CUDA_ERROR_NOT_INITIALIZED, "after a cuInit that failed");
    }
    expect(cuInit(0), CUDA_SUCCESS, "cuInit");
    size_t n_bytes;
    expect(cuMemGetInfo_v2(&n_bytes, &n_bytes), CUDA_ERROR_INVALID_CONTEXT, "without a context");
    expect(cuDeviceGet(&value, 1), CUDA_ERROR_INVALID_DEVICE, "second device");
    const Session session;
    char name[64];
    cuDeviceGetName(name, sizeof name, 0);
    harness::check(std::string(name) == "CUDA emulator", "name");
    cuDeviceGetAttribute(&value, COMPUTE_CAPABILITY_MAJOR, 0);
    expect(value, 9, "capability");
    const Setting old("EMULATOR_CAPABILITY", "7.5"), version("EMULATOR_DRIVER_VERSION", "12040");
    cuDeviceGetAttribute(&value, COMPUTE_CAPABILITY_MINOR, 0);
    expect(value, 5, "capability that was set");
    cuDriverGetVersion(&value);
    expect(value, 12040, "version");
    const char* text;
    cuGetErrorName(CUDA_ERROR_OUT_OF_MEMORY, &text);
    harness::check(std::string(text) == "CUDA_ERROR_OUT_OF_MEMORY", "name of an error");
    expect(cuGetErrorString(static_cast<CUresult>(12345), &text), CUDA_ERROR_INVALID_VALUE, "no error");
    const size_t* table;
    cuGetExportTable(reinterpret_cast<const void**>(&table), nullptr);
    expect(static_cast<int>(*table), sizeof(size_t), "export table");
}

TEST(driver_checks_memory) {
    Session session;
    const Setting setting("EMULATOR_MEMORY_MIB", "1");
    CUdeviceptr pointer, other;
    size_t n_free, n_total;
    expect(cuMemAlloc_v2(&pointer, (1 << 20) + 1), CUDA_ERROR_OUT_OF_MEMORY, "more than there is");
    expect(cuMemAlloc_v2(&pointer, 0), CUDA_ERROR_INVALID_VALUE, "nothing");
    expect(cuMemAlloc_v2(&pointer, 1 << 19), CUDA_SUCCESS, "half");
    expect(cuMemAllocAsync(&other, (1 << 19) + 1, session.stream), CUDA_ERROR_OUT_OF_MEMORY, "more than is left");
    cuMemGetInfo_v2(&n_free, &n_total);
    harness::check(n_free == 1 << 19 && n_total == 1 << 20, "free and total memory");
    std::vector<unsigned char> bytes(1 << 19);
    expect(cuMemcpyDtoH_v2(bytes.data(), pointer, bytes.size()), CUDA_SUCCESS, "copy all");
    harness::check(std::count(bytes.begin(), bytes.end(), 0xff) == 1 << 19, "unwritten memory is NaN");
    expect(cuMemcpyHtoD_v2(pointer + 1, bytes.data(), bytes.size()), CUDA_ERROR_INVALID_VALUE, "copy too far");
    expect(cuMemcpyDtoH_v2(bytes.data(), pointer - 1, 1), CUDA_ERROR_INVALID_VALUE, "copy from before");
    expect(cuMemcpyDtoD_v2(pointer, pointer + (1 << 19), 1), CUDA_ERROR_INVALID_VALUE, "copy from behind");
    expect(cuMemsetD8_v2(pointer + 2, 7, (1 << 19) - 2), CUDA_SUCCESS, "memset to the end");
    expect(cuMemsetD8_v2(pointer + 2, 7, static_cast<size_t>(-1)), CUDA_ERROR_INVALID_VALUE, "memset around");
    cuMemcpyDtoH_v2(bytes.data(), pointer, bytes.size());
    harness::check(bytes[1] == 0xff && bytes[2] == 7 && bytes.back() == 7, "memset");
    expect(cuMemFree_v2(pointer + 1), CUDA_ERROR_INVALID_VALUE, "free inside");
    expect(cuMemFree_v2(pointer), CUDA_SUCCESS, "free");
    expect(cuMemFree_v2(pointer), CUDA_ERROR_INVALID_VALUE, "free again");
    expect(cuMemcpyDtoH_v2(bytes.data(), pointer, 1), CUDA_ERROR_INVALID_VALUE, "copy of what is free");
    cuMemGetInfo_v2(&n_free, &n_total);
    harness::check(n_free == n_total, "all is free again");
    void* pinned;
    expect(cuMemHostAlloc(&pinned, 100, 0), CUDA_SUCCESS, "pinned memory");
    const auto as_device = reinterpret_cast<CUdeviceptr>(pinned);
    expect(cuMemFree_v2(as_device), CUDA_ERROR_INVALID_VALUE, "free pinned as device memory");
    expect(cuMemFreeHost(pinned), CUDA_SUCCESS, "free pinned");
    CUmemoryPool pool;
    unsigned long long number = 1 << 20;
    cuDeviceGetDefaultMemPool(&pool, 0);
    expect(cuMemPoolSetAttribute(pool, RELEASE_THRESHOLD, &number), CUDA_SUCCESS, "threshold");
    cuMemAllocAsync(&pointer, 1000, session.stream);
    expect(cuMemPoolGetAttribute(pool, USED_MEMORY_CURRENT, &number), CUDA_SUCCESS, "used");
    harness::check(number == 1024, "used memory of the pool");
    expect(cuMemPoolSetAttribute(pool, USED_MEMORY_HIGHEST, &number), CUDA_ERROR_INVALID_VALUE, "set the peak");
    number = 0;
    expect(cuMemPoolSetAttribute(pool, USED_MEMORY_HIGHEST, &number), CUDA_SUCCESS, "forget the peak");
    expect(cuMemPoolGetAttribute(pool, USED_MEMORY_HIGHEST, &number), CUDA_SUCCESS, "peak");
    harness::check(number == 1024, "the peak begins at what is used");
    expect(cuMemFreeAsync(pointer, session.stream), CUDA_SUCCESS, "free in order");
}

TEST(driver_launches_kernels) {
    Session session;
    CUfunction reverse = session.function("test_reverse"), count = session.function("test_count"), none;
    expect(cuModuleGetFunction(&none, session.module, "test_nothing"), CUDA_ERROR_NOT_FOUND, "unknown kernel");
    std::vector<float> numbers;
    for (size_t i = 0; i < 16000; i++) numbers.push_back(static_cast<float>(i));
    const CUdeviceptr x = session.device(numbers), y = session.device(numbers);
    const unsigned n_shared_bytes = 16000 * sizeof(float), small = 48 << 10;
    const auto run = [&](emulator::Index grid, emulator::Index block, unsigned shared, int n) {
        return session.launch(reverse, grid, block, shared, x, y, n, 2.0f);
    };
    const emulator::Index one = {1, 1, 1}, threads = {32, 1, 1};
    expect(run(one, threads, n_shared_bytes, 16000), CUDA_ERROR_INVALID_VALUE, "much shared memory without asking");
    const auto ask = [&](int n_bytes) { return cuFuncSetAttribute(reverse, MAX_DYNAMIC_SHARED_SIZE_BYTES, n_bytes); };
    expect(ask(MAX_DYNAMIC_BYTES + 1), CUDA_ERROR_INVALID_VALUE, "ask for too much");
    expect(ask(MAX_DYNAMIC_BYTES), CUDA_SUCCESS, "ask");
    expect(run(one, threads, n_shared_bytes, 16000), CUDA_SUCCESS, "much shared memory");
    harness::check(session.host(y, 16000)[1] == 2.0f * 15998.0f, "result");
    expect(run({1, 65536, 1}, threads, small, 1), CUDA_ERROR_INVALID_VALUE, "grid y");
    expect(run({1, 1, 65536}, threads, small, 1), CUDA_ERROR_INVALID_VALUE, "grid z");
    expect(run({0, 1, 1}, threads, small, 1), CUDA_ERROR_INVALID_VALUE, "no blocks");
    expect(run(one, {1025, 1, 1}, small, 1), CUDA_ERROR_INVALID_VALUE, "threads");
    expect(run(one, {32, 33, 1}, small, 1), CUDA_ERROR_INVALID_VALUE, "threads in two dimensions");
    expect(run(one, {1, 1, 65}, small, 1), CUDA_ERROR_INVALID_VALUE, "block z");
    int n_blocks;
    expect(cuOccupancyMaxActiveBlocksPerMultiprocessor(&n_blocks, reverse, 256, 100 << 10), CUDA_SUCCESS, "occupancy");
    expect(n_blocks, 2, "blocks with 100 KiB each");
    std::vector<float> wanted;
    for (const char* n_threads : {"1", "3"}) {
        const Setting setting("EMULATOR_THREADS", n_threads);
        const CUdeviceptr counts = session.device(std::vector<float>(300, 0.5f));
        expect(session.launch(count, {50, 1, 1}, {6, 1, 1}, 0, counts), CUDA_SUCCESS, "many blocks");
        const std::vector<float> found = session.host(counts, 300);
        if (wanted.empty()) wanted = found;
        harness::check(found == wanted && found[299] == 49005.5f, "the same on all numbers of threads");
    }
    expect(cuModuleUnload(session.module), CUDA_SUCCESS, "unload");
    expect(run(one, threads, small, 1), CUDA_ERROR_INVALID_HANDLE, "a function of no module");
}

TEST(driver_finds_what_kernels_do_wrong) {
    {
        Session session;
        const CUdeviceptr x = session.device({1.0f});
        const CUfunction count = session.function("test_count");
        expect(session.launch(count, {1, 1, 1}, {1, 1, 1}, 0, x + 1024), CUDA_ERROR_ILLEGAL_ADDRESS, "no address");
        expect(cuStreamSynchronize(session.stream), CUDA_ERROR_ILLEGAL_ADDRESS, "the context is lost");
    }
#if !defined(__SANITIZE_ADDRESS__)
    Session session;
    const CUdeviceptr x = session.device({1.0f});
    expect(session.launch(session.function("test_write_behind"), {1, 1, 1}, {1, 1, 1}, 0, x, 1), CUDA_SUCCESS, "write");
    expect(cuMemFreeAsync(x, session.stream), CUDA_ERROR_ILLEGAL_ADDRESS, "free of what was written behind");
#endif
}

TEST(driver_is_lost_when_told_to) {
    const auto lose = [](const char* setting, CUresult wanted) {
        Session session;
        const CUdeviceptr x = session.device({1.0f, 1.0f});
        const CUfunction count = session.function("test_count");
        const auto launch = [&] { return session.launch(count, {1, 1, 1}, {2, 1, 1}, 0, x); };
        expect(launch(), CUDA_SUCCESS, "launch before");
        {
            const Setting lost("EMULATOR_LOST_AFTER", setting);
            expect(launch(), CUDA_SUCCESS, "last launch");
            expect(cuStreamSynchronize(session.stream), wanted, "synchronize");
        }
        expect(launch(), wanted, "still lost");
        expect(cuMemFree_v2(x), wanted, "free");
    };
    lose("2", CUDA_ERROR_UNKNOWN);
    lose("2:719", CUDA_ERROR_LAUNCH_FAILED);
}

TEST(driver_keeps_time) {
    Session session;
    CUevent start, end, untimed;
    cuEventCreate(&start, 0);
    cuEventCreate(&end, 0);
    cuEventCreate(&untimed, Event::DISABLE_TIMING);
    float milliseconds = -1.0f;
    cuEventRecord(start, session.stream);
    expect(cuEventElapsedTime_v2(&milliseconds, start, end), CUDA_ERROR_INVALID_HANDLE, "not recorded");
    cuEventRecord(end, session.stream);
    cuEventRecord(untimed, session.stream);
    expect(cuEventElapsedTime_v2(&milliseconds, start, end), CUDA_SUCCESS, "time");
    harness::check(milliseconds >= 0.0f, "time goes on");
    expect(cuEventElapsedTime(&milliseconds, start, untimed), CUDA_ERROR_INVALID_HANDLE, "untimed");
    expect(cuEventQuery(end), CUDA_SUCCESS, "query");
    expect(cuEventDestroy_v2(end), CUDA_SUCCESS, "destroy");
    expect(cuEventDestroy_v2(end), CUDA_ERROR_INVALID_HANDLE, "destroy again");
}

TEST(driver_captures_graphs) {
    Session session;
    CUstream stream = session.stream;
    std::vector<float> numbers = {1.0f, 2.0f, 3.0f};
    const CUdeviceptr x = session.device({0.0f, 0.0f, 0.0f}), y = session.device({0.0f, 0.0f, 0.0f});
    CUgraph graph;
    CUgraphExec executable;
    expect(cuStreamEndCapture(stream, &graph), CUDA_ERROR_ILLEGAL_STATE, "end of nothing");
    expect(cuStreamBeginCapture_v2(nullptr, 0), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "default stream");
    expect(cuStreamBeginCapture_v2(stream, 0), CUDA_SUCCESS, "begin");
    expect(cuStreamBeginCapture_v2(stream, 0), CUDA_ERROR_ILLEGAL_STATE, "begin again");
    cuMemcpyHtoDAsync_v2(x, numbers.data(), 12, stream);
    cuMemsetD8Async(y, 0, 12, stream);
    const CUfunction reverse = session.function("test_reverse");
    expect(session.launch(reverse, {1, 1, 1}, {32, 1, 1}, 12, x, y, 3, 10.0f), CUDA_SUCCESS, "launch into the graph");
    int status;
    cuStreamIsCapturing(stream, &status);
    expect(status, 1, "is capturing");
    expect(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS, "end");
    expect(cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS, "instantiate");
    expect(cuGraphDestroy(graph), CUDA_SUCCESS, "destroy the graph");
    harness::check(session.host(y, 3) == std::vector<float>(3, 0.0f), "nothing has run");
    // A node has the address of the host's numbers, not the numbers.
    numbers = {4.0f, 5.0f, 6.0f};
    expect(cuGraphLaunch(executable, stream), CUDA_SUCCESS, "launch");
    harness::check(session.host(y, 3) == std::vector<float>{60.0f, 50.0f, 40.0f}, "the graph has run");
    cuMemFreeAsync(x, stream);
    expect(cuGraphLaunch(executable, stream), CUDA_ERROR_ILLEGAL_ADDRESS, "launch on memory that is free");
    state().lost = CUDA_SUCCESS;
    expect(cuGraphExecDestroy(executable), CUDA_SUCCESS, "destroy");
    expect(cuGraphLaunch(executable, stream), CUDA_ERROR_INVALID_HANDLE, "launch of nothing");
}

TEST(driver_refuses_what_a_capture_cannot_have) {
    Session session;
    CUstream stream = session.stream, other, blocking;
    cuStreamCreate(&other, Stream::NON_BLOCKING);
    cuStreamCreate(&blocking, 0);
    CUevent event, fork, join;
    for (CUevent* made : {&event, &fork, &join}) cuEventCreate(made, Event::DISABLE_TIMING);
    const CUdeviceptr x = session.device({1.0f});
    CUdeviceptr pointer;
    CUgraph graph;
    const auto refuses = [&](int mode, const char* what, CUresult wanted, auto call) {
        cuStreamBeginCapture_v2(stream, mode);
        expect(call(), wanted, what);
        constexpr auto invalidated = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        expect(cuMemsetD8Async(x, 0, 4, stream), invalidated, std::string(what) + ", then work");
        expect(cuStreamEndCapture(stream, &graph), invalidated, std::string(what) + ", then end");
        harness::check(graph == nullptr, "no graph");
        expect(cuStreamSynchronize(stream), CUDA_SUCCESS, "a stream again");
    };
    const auto unsupported = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    refuses(1, "synchronize", unsupported, [&] { return cuStreamSynchronize(stream); });
    refuses(1, "synchronize all", unsupported, [] { return cuCtxSynchronize(); });
    refuses(0, "allocate", unsupported, [&] { return cuMemAlloc_v2(&pointer, 4); });
    refuses(1, "allocate, one thread", unsupported, [&] { return cuMemAlloc_v2(&pointer, 4); });
    refuses(1, "allocate in order", unsupported, [&] { return cuMemAllocAsync(&pointer, 4, stream); });
    refuses(1, "free", unsupported, [&] { return cuMemFree_v2(x); });
    refuses(1, "copy at once", unsupported, [&] { return cuMemsetD8_v2(x, 0, 4); });
    cuEventRecord(event, other);
    const auto isolation = CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    refuses(1, "wait for others", isolation, [&] { return cuStreamWaitEvent(stream, event, 0); });

    cuStreamBeginCapture_v2(stream, 2);
    expect(cuMemAlloc_v2(&pointer, 4), CUDA_SUCCESS, "allocate in a relaxed capture");
    cuEventRecord(event, stream);
    expect(cuEventSynchronize(event), CUDA_ERROR_CAPTURED_EVENT, "wait for a captured event");
    CUresult elsewhere = CUDA_SUCCESS;
    expect(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS, "end");
    cuStreamBeginCapture_v2(stream, 1);
    std::thread([&] {
        cuCtxSetCurrent(&state().context);
        elsewhere = cuStreamEndCapture(stream, &graph);
    }).join();
    expect(elsewhere, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "end on another thread");
    cuStreamEndCapture(stream, &graph);

    cuStreamBeginCapture_v2(blocking, 1);
    expect(cuMemsetD8Async(x, 0, 4, nullptr), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "work for the default stream");
    cuStreamEndCapture(blocking, &graph);

    // A second stream joins a capture by an event, and has to be waited for.
    for (bool is_joined : {false, true}) {
        cuStreamBeginCapture_v2(stream, 1);
        cuEventRecord(fork, stream);
        expect(cuStreamWaitEvent(other, fork, 0), CUDA_SUCCESS, "fork");
        expect(cuMemsetD8Async(x, is_joined, 4, other), CUDA_SUCCESS, "work on the fork");
        expect(cuStreamEndCapture(other, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "end on the fork");
        if (is_joined) {
            cuEventRecord(join, other);
            expect(cuStreamWaitEvent(stream, join, 0), CUDA_SUCCESS, "join");
        }
        const CUresult wanted = is_joined ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
        expect(cuStreamEndCapture(stream, &graph), wanted, "end of a fork");
        expect(cuStreamSynchronize(other), CUDA_SUCCESS, "the fork is a stream again");
    }
    expect(cuStreamDestroy_v2(other), CUDA_SUCCESS, "destroy");
    expect(cuStreamSynchronize(other), CUDA_ERROR_INVALID_HANDLE, "a stream that was destroyed");
}

// One kind of product: types of operands and results, which matrices are transposed or in rows, and what is added.
struct Case {
    int operands, results;
    bool is_a_transposed, is_b_transposed, is_a_in_rows, is_d_in_rows;
    float alpha, beta;
    bool has_bias;
};

static void check_product(const Case& product, size_t m, size_t n, size_t k, const char* n_threads) {
    const Setting setting("EMULATOR_THREADS", n_threads);
    Session session;
    const auto [operands, results, is_a_transposed, is_b_transposed, is_a_in_rows, is_d_in_rows, alpha, beta, has_bias]
        = product;
    const int n_batches = 2;
    // Lines are longer than they need to be, and so are batches apart.
    const auto layout = [&](int type, bool is_in_rows, size_t rows, size_t columns) {
        Layout made;
        made.type = type;
        made.order = is_in_rows ? ROWS : COLUMNS;
        made.n_rows = rows;
        made.n_columns = columns;
        made.leading = static_cast<int64_t>((is_in_rows ? columns : rows) + 3);
        made.n_batches = n_batches;
        made.batch_offset = static_cast<int64_t>(made.extent()) + 5;
        return made;
    };
    Layout a = layout(operands, is_a_in_rows, is_a_transposed ? k : m, is_a_transposed ? m : k);
    Layout b = layout(operands, false, is_b_transposed ? n : k, is_b_transposed ? k : n);
    Layout d = layout(results, is_d_in_rows, m, n);
    const auto device = [&](uint64_t seed, const Layout& layout, bool is_written = true) {
        const size_t n_numbers = layout.extent() + static_cast<size_t>(layout.batch_offset);
        CUdeviceptr pointer = 0;
        cuMemAllocAsync(&pointer, n_numbers * layout.element_bytes(), session.stream);
        for (int batch = 0; is_written && batch < n_batches; batch++) {
            for (size_t row = 0; row < layout.n_rows; row++) {
                for (size_t column = 0; column < layout.n_columns; column++) {
                    const size_t index = static_cast<size_t>(batch * layout.batch_offset) + layout.index(row, column);
                    set_number(pointer, layout.type, index, static_cast<float>(harness::number(seed, index)));
                }
            }
        }
        return pointer;
    };
    // What counts for nothing stays NaN.
    const CUdeviceptr at_a = device(1, a), at_b = device(2, b), at_d = device(3, d, beta != 0.0f);
    std::vector<float> biases;
    for (size_t i = 0; i < m; i++) biases.push_back(static_cast<float>(harness::number(4, i)));
    const CUdeviceptr bias = session.device(biases);
    std::vector<double> wanted, found;
    std::vector<size_t> indices;
    for (size_t batch = 0; batch < n_batches; batch++) {
        const auto at = [&](const Layout& layout, CUdeviceptr start, size_t row, size_t column) -> double {
            const size_t first = batch * static_cast<size_t>(layout.batch_offset);
            return number(start, layout.type, first + layout.index(row, column));
        };
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < n; j++) {
                double sum = 0.0;
                for (size_t q = 0; q < k; q++) {
                    const double left = is_a_transposed ? at(a, at_a, q, i) : at(a, at_a, i, q);
                    sum += left * (is_b_transposed ? at(b, at_b, j, q) : at(b, at_b, q, j));
                }
                sum *= alpha;
                if (beta != 0.0f) sum += beta * at(d, at_d, i, j);
                wanted.push_back(sum + (has_bias ? biases[i] : 0.0f));
                indices.push_back(batch * static_cast<size_t>(d.batch_offset) + d.index(i, j));
            }
        }
    }
    Matmul matmul;
    matmul.transposes[0] = is_a_transposed;
    matmul.transposes[1] = is_b_transposed;
    if (has_bias) {
        matmul.epilogue = BIAS;
        matmul.bias = bias;
        matmul.bias_type = FLOAT32;
    }
    Heuristic heuristic;
    int n_found = 0;
    cublasLtMatmulAlgoGetHeuristic(nullptr, &matmul, &a, &b, &d, &d, nullptr, 1, &heuristic, &n_found);
    expect(n_found, 1, "algorithms");
    const cublasStatus_t status = cublasLtMatmul(
        nullptr, &matmul, &alpha, at_a, &a, at_b, &b, &beta, at_d, &d, at_d, &d, heuristic.algorithm, 0, 0,
        session.stream);
    expect(status, CUBLAS_STATUS_SUCCESS, "product");
    for (size_t index : indices) found.push_back(number(at_d, d.type, index));
    const double tolerance = results == FLOAT32 ? harness::tolerance<float>() : harness::tolerance<__nv_bfloat16>();
    const std::string what = harness::text(n_threads, m, n) + " by " + std::to_string(k);
    harness::check_close(found, wanted, tolerance, "product on " + what);
    std::sort(indices.begin(), indices.end());
    const size_t n_numbers = d.extent() + static_cast<size_t>(d.batch_offset);
    bool is_untouched = true;
    for (size_t i = 0; i < n_numbers; i++) {
        const bool is_result = std::binary_search(indices.begin(), indices.end(), i);
        is_untouched = is_untouched && (is_result || std::isnan(number(at_d, d.type, i)));
    }
    harness::check(is_untouched, "what lies between results is untouched, " + what);
}

TEST(products_agree_with_float64) {
    const std::vector<Case> cases = {
        {FLOAT32, FLOAT32, false, false, false, false, 1.0f, 0.0f, false},
        {BFLOAT16, FLOAT32, true, false, false, false, 1.0f, 1.0f, false},
        {BFLOAT16, BFLOAT16, true, true, false, false, 0.5f, 0.0f, true},
        {FLOAT32, FLOAT32, false, true, true, true, -2.0f, 0.25f, true},
        {BFLOAT16, FLOAT32, true, false, true, true, 1.0f, 0.0f, false},
    };
    for (const Case& one : cases) {
        for (const char* n_threads : {"1", "2"}) {
            check_product(one, 3, 5, 2, n_threads);
            if (harness::is_tiny) continue;
            check_product(one, 1, 1, 1, n_threads);
            check_product(one, 8, 16, 40, n_threads);
            check_product(one, 33, 17, 129, n_threads);
        }
    }
}

TEST(products_are_captured_and_refused) {
    Session session;
    Layout *a, *b, *d;
    Matmul* matmul;
    cublasLtMatrixLayoutCreate(&a, FLOAT32, 2, 3, 2);
    cublasLtMatrixLayoutCreate(&b, FLOAT32, 3, 1, 3);
    cublasLtMatrixLayoutCreate(&d, FLOAT32, 2, 1, 2);
    cublasLtMatmulDescCreate(&matmul, COMPUTE_32F, FLOAT32);
    const CUdeviceptr at_a = session.device({1, 2, 3, 4, 5, 6}), at_b = session.device({1, 1, 1});
    const CUdeviceptr at_d = session.device({0, 0});
    float alpha = 1.0f, beta = 1.0f;
    const auto multiply = [&](CUdeviceptr at_a) {
        return cublasLtMatmul(
            nullptr, matmul, &alpha, at_a, a, at_b, b, &beta, at_d, d, at_d, d, nullptr, 0, 0, session.stream);
    };
    CUgraph graph;
    CUgraphExec executable;
    cuStreamBeginCapture_v2(session.stream, 0);
    expect(multiply(at_a), CUBLAS_STATUS_SUCCESS, "capture");
    cuStreamEndCapture(session.stream, &graph);
    cuGraphInstantiateWithFlags(&executable, graph, 0);
    // Of the scalars a node has the values.
    alpha = beta = 100.0f;
    cuGraphLaunch(executable, session.stream);
    cuGraphLaunch(executable, session.stream);
    harness::check(session.host(at_d, 2) == std::vector<float>{18.0f, 24.0f}, "the graph adds twice");

    const auto status_with = [&](auto& field, auto value) {
        const auto kept = field;
        field = value;
        const int status = multiply(at_a);
        field = kept;
        return status;
    };
    expect(status_with(a->n_columns, 2), CUBLAS_STATUS_INVALID_VALUE, "shapes that do not fit");
    expect(status_with(a->leading, 1), CUBLAS_STATUS_INVALID_VALUE, "lines that overlap");
    expect(status_with(a->type, BFLOAT16), CUBLAS_STATUS_NOT_SUPPORTED, "two types of operands");
    expect(status_with(a->type, 3), CUBLAS_STATUS_NOT_SUPPORTED, "another type");
    expect(status_with(matmul->epilogue, 32), CUBLAS_STATUS_NOT_SUPPORTED, "another epilogue");
    expect(status_with(matmul->compute_type, 77), CUBLAS_STATUS_NOT_SUPPORTED, "another arithmetic");
    const int64_t order = ROWS;
    const int of_wrong_size = cublasLtMatrixLayoutSetAttribute(a, ORDER, &order, sizeof order);
    expect(of_wrong_size, CUBLAS_STATUS_INVALID_VALUE, "a wrong size");
    expect(multiply(at_a + 4), CUBLAS_STATUS_EXECUTION_FAILED, "a matrix that ends too late");
    expect(cuStreamSynchronize(session.stream), CUDA_ERROR_ILLEGAL_ADDRESS, "the context is lost");
    for (Layout* layout : {a, b, d}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(matmul);
}
