// libcuda.so.1 for machines without a GPU: the CUDA driver API, as far as cudarc and our own code call it, with kernels
// that were compiled for the CPU.
//
// It is strict where a GPU is, and where one would only misbehave: handles, ranges of copies and the pointers that
// kernels are given have to be valid. Settings are read from the environment at each call:
//
//   EMULATOR_MEMORY_MIB=2048      device memory; allocations beyond it fail
//   EMULATOR_THREADS=1            threads of the host that run the blocks of a kernel
//   EMULATOR_MULTIPROCESSORS=4    what the device says of itself, for kernels that fit their grids to it
//   EMULATOR_CAPABILITY=9.0       compute capability
//   EMULATOR_DRIVER_VERSION=13000 what cuDriverGetVersion says
//   EMULATOR_INIT=0               what cuInit returns, as 100 without a device or 803 where driver and kernel differ
//   EMULATOR_LOST_AFTER=n[:code]  after n launches every call returns the code, or 999, until the process ends
#include "state.h"

using namespace driver;

extern "C" {

CUresult cuEmulatorSubmit(CUstream stream, const DriverWork* work) {
    return call(Needs::Context, [&](Driver& driver) { return submit(driver, stream, true, *work); });
}

bool cuEmulatorContains(CUdeviceptr pointer, size_t n_bytes) {
    Driver& driver = state();
    std::lock_guard lock(driver.mutex);
    return driver.memory.contains(pointer, n_bytes);
}

// NVRTC asks for tables that nobody documents; the first word is a table's size in bytes; this one has no more.
CUresult cuGetExportTable(const void** table, const void*) {
    static const size_t empty[1] = {sizeof empty};
    *table = empty;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** text) {
    switch (error) {
#define DEFINE(code, name, description) \
    case name: *text = #name; return CUDA_SUCCESS;
        FOR_RESULTS(DEFINE)
#undef DEFINE
    }
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
    switch (error) {
#define DEFINE(code, name, description) \
    case name: *text = description; return CUDA_SUCCESS;
        FOR_RESULTS(DEFINE)
#undef DEFINE
    }
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDriverGetVersion(int* version) {
    *version = emulator::setting("EMULATOR_DRIVER_VERSION", 13000);
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned) {
    return call(Needs::Nothing, [&](Driver& driver) {
        const auto result = static_cast<CUresult>(emulator::setting("EMULATOR_INIT", CUDA_SUCCESS));
        if (result == CUDA_SUCCESS) driver.is_initialized = true;
        return result;
    });
}

CUresult cuDeviceGetCount(int* n_devices) {
    return call(Needs::Init, [&](Driver&) {
        *n_devices = 1;
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    return on_device(ordinal, [&](Driver&) { *device = 0; });
}

CUresult cuDeviceGetName(char* name, int n_bytes, CUdevice device) {
    return on_device(device, [&](Driver&) { snprintf(name, static_cast<size_t>(n_bytes), "CUDA emulator"); });
}

CUresult cuDeviceGetUuid_v2(unsigned char* uuid, CUdevice device) {
    return on_device(device, [&](Driver&) { memset(uuid, 0, 16); });
}

CUresult cuDeviceTotalMem_v2(size_t* n_bytes, CUdevice device) {
    return on_device(device, [&](Driver&) { *n_bytes = Memory::total_bytes(); });
}

CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    if (attribute <= 0 || attribute >= N_DEVICE_ATTRIBUTES) return CUDA_ERROR_INVALID_VALUE;
    return on_device(device, [&](Driver&) { *value = device_attribute(attribute); });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
    return on_device(device, [&](Driver& driver) { *pool = &driver.pool; });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) { return cuDeviceGetDefaultMemPool(pool, device); }

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    return on_device(device, [&](Driver& driver) {
        driver.n_retained++;
        *context = &driver.context;
    });
}

// The last one to leave takes everything along, as the real driver does.
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    return on_device(device, [](Driver& driver) {
        if (driver.n_retained == 0 || --driver.n_retained > 0) return;
        driver.memory.clear();
        driver.streams.clear();
        driver.modules.clear();
        driver.functions.clear();
    });
}

CUresult cuCtxSetCurrent(CUcontext context) {
    return call(Needs::Init, [&](Driver& driver) {
        if (context && context != &driver.context) return CUDA_ERROR_INVALID_CONTEXT;
        current_context = context;
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxGetCurrent(CUcontext* context) {
    return call(Needs::Init, [&](Driver&) {
        *context = current_context;
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxSynchronize() {
    return call(Needs::Context, [](Driver& driver) { return driver.streams.require_no_capture(); });
}

// How a host thread waits makes no difference here.
CUresult cuCtxSetFlags(unsigned) {
    return call(Needs::Context, [](Driver&) { return CUDA_SUCCESS; });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return call(Needs::Context, [&](Driver&) {
        *least = *greatest = 0;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemGetInfo_v2(size_t* n_free, size_t* n_total) {
    return call(Needs::Context, [&](Driver& driver) {
        *n_free = driver.memory.free_bytes();
        *n_total = Memory::total_bytes();
        return CUDA_SUCCESS;
    });
}

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t n_bytes) {
    return call(Needs::Context, [&](Driver& driver) {
        if (n_bytes == 0) return CUDA_ERROR_INVALID_VALUE;
        const CUresult refused = driver.streams.require_no_strict_capture();
        return refused ? refused : driver.memory.allocate(pointer, n_bytes);
    });
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
    return call(Needs::Context, [&](Driver& driver) {
        if (pointer == 0) return CUDA_SUCCESS;
        const CUresult refused = driver.streams.require_no_strict_capture();
        return refused ? refused : run([&] { return driver.memory.release(pointer); });
    });
}

// A graph with memory of its own is more than the emulator has: a captured stream allocates nothing.
CUresult cuMemAllocAsync(CUdeviceptr* pointer, size_t n_bytes, CUstream handle) {
    return on_stream(handle, [&](Driver& driver, Stream& stream) {
        if (const CUresult refused = driver.streams.require_uncaptured(stream)) return refused;
        *pointer = 0;
        if (n_bytes == 0) return CUDA_SUCCESS;
        const CUresult result = driver.memory.allocate(pointer, n_bytes);
        driver.pool.highest_used = std::max<unsigned long long>(driver.pool.highest_used, driver.memory.used_bytes());
        return result;
    });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* pointer, size_t n_bytes, CUmemoryPool pool, CUstream stream) {
    return pool == &state().pool ? cuMemAllocAsync(pointer, n_bytes, stream) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream handle) {
    return on_stream(handle, [&](Driver& driver, Stream& stream) {
        if (const CUresult refused = driver.streams.require_uncaptured(stream)) return refused;
        return pointer == 0 ? CUDA_SUCCESS : run([&] { return driver.memory.release(pointer); });
    });
}

CUresult cuMemHostAlloc(void** pointer, size_t n_bytes, unsigned) {
    return call(Needs::Context, [&](Driver& driver) {
        if (n_bytes == 0) return CUDA_ERROR_INVALID_VALUE;
        const CUresult refused = driver.streams.require_no_strict_capture();
        return refused ? refused : driver.memory.allocate_host(pointer, n_bytes);
    });
}

CUresult cuMemFreeHost(void* pointer) {
    return call(Needs::Context, [&](Driver& driver) {
        const CUresult refused = driver.streams.require_no_strict_capture();
        if (refused) return refused;
        return run([&] { return driver.memory.release(reinterpret_cast<CUdeviceptr>(pointer), false); });
    });
}

// The pool keeps nothing that was freed, so that its attributes are those of what is in use.
CUresult cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void* value) {
    return call(Needs::Init, [&](Driver& driver) {
        if (pool != &driver.pool) return CUDA_ERROR_INVALID_VALUE;
        unsigned long long found = 0;
        switch (attribute) {
            case RELEASE_THRESHOLD: found = pool->release_threshold; break;
            case RESERVED_MEMORY_CURRENT:
            case USED_MEMORY_CURRENT: found = driver.memory.used_bytes(); break;
            case RESERVED_MEMORY_HIGHEST:
            case USED_MEMORY_HIGHEST: found = pool->highest_used; break;
            default: return CUDA_ERROR_INVALID_VALUE;
        }
        memcpy(value, &found, sizeof found);
        return CUDA_SUCCESS;
    });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void* value) {
    return call(Needs::Init, [&](Driver& driver) {
        unsigned long long number = 0;
        memcpy(&number, value, sizeof number);
        if (pool != &driver.pool) return CUDA_ERROR_INVALID_VALUE;
        if (attribute == RELEASE_THRESHOLD) {
            pool->release_threshold = number;
            return CUDA_SUCCESS;
        }
        // Counting begins again; it cannot be set to anything else.
        const bool is_highest = attribute == RESERVED_MEMORY_HIGHEST || attribute == USED_MEMORY_HIGHEST;
        if (!is_highest || number != 0) return CUDA_ERROR_INVALID_VALUE;
        pool->highest_used = driver.memory.used_bytes();
        return CUDA_SUCCESS;
    });
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t) {
    return call(Needs::Init, [&](Driver& driver) {
        return pool == &driver.pool ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t n_bytes, CUstream stream) {
    return submit_on(stream, {to}, n_bytes, [=] { move(address(to), from, n_bytes); });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t n_bytes, CUstream stream) {
    return submit_on(stream, {from}, n_bytes, [=] { move(to, address(from), n_bytes); });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n_bytes, CUstream stream) {
    return submit_on(stream, {to, from}, n_bytes, [=] { move(address(to), address(from), n_bytes); });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n_bytes, CUstream stream) {
    return submit_on(stream, {to}, n_bytes, [=] { fill(address(to), value, n_bytes); });
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t n_bytes) {
    return run_on({to}, n_bytes, [=] { move(address(to), from, n_bytes); });
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t n_bytes) {
    return run_on({from}, n_bytes, [=] { move(to, address(from), n_bytes); });
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n_bytes) {
    return run_on({to, from}, n_bytes, [=] { move(address(to), address(from), n_bytes); });
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n_bytes) {
    return run_on({to}, n_bytes, [=] { fill(address(to), value, n_bytes); });
}

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
    return call(Needs::Context, [&](Driver& driver) {
        if (flags & ~Stream::NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
        *stream = driver.streams.streams.add(Stream(flags));
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

CUresult cuStreamDestroy_v2(CUstream handle) {
    return on_stream(handle, [](Driver& driver, Stream& stream) { return driver.streams.destroy(&stream); });
}

CUresult cuStreamSynchronize(CUstream handle) {
    return on_stream(handle, [](Driver& driver, Stream& stream) { return driver.streams.require_uncaptured(stream); });
}

CUresult cuStreamQuery(CUstream handle) { return cuStreamSynchronize(handle); }

CUresult cuStreamIsCapturing(CUstream handle, int* status) {
    return on_stream(handle, [&](Driver&, Stream& stream) {
        constexpr int none = 0, active = 1, invalidated = 2;
        *status = !stream.capture ? none : stream.capture->is_invalid ? invalidated : active;
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamBeginCapture_v2(CUstream handle, int mode) {
    if (mode < 0 || mode > static_cast<int>(CaptureMode::Relaxed)) return CUDA_ERROR_INVALID_VALUE;
    return on_stream(handle, [=](Driver& driver, Stream& stream) {
        return driver.streams.begin_capture(stream, static_cast<CaptureMode>(mode));
    });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
    return on_stream(handle, [=](Driver& driver, Stream& stream) { return driver.streams.end_capture(stream, graph); });
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    return on_stream(handle, [=](Driver& driver, Stream& stream) {
        return driver.streams.events.find(event) ? driver.streams.wait(stream, *event) : CUDA_ERROR_INVALID_HANDLE;
    });
}

CUresult cuEventRecord(CUevent event, CUstream handle) {
    return on_stream(handle, [=](Driver& driver, Stream& stream) {
        return driver.streams.events.find(event) ? driver.streams.record(*event, stream) : CUDA_ERROR_INVALID_HANDLE;
    });
}

CUresult cuEventCreate(CUevent* event, unsigned flags) {
    return call(Needs::Context, [&](Driver& driver) {
        *event = driver.streams.events.add(Event(flags));
        return CUDA_SUCCESS;
    });
}

CUresult cuEventDestroy_v2(CUevent event) {
    return call(Needs::Context, [&](Driver& driver) { return driver.streams.events.remove(event); });
}

// Whatever was recorded outside of a capture has happened.
CUresult cuEventSynchronize(CUevent event) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.streams.events.find(event)) return CUDA_ERROR_INVALID_HANDLE;
        return event->capture ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
    });
}

CUresult cuEventQuery(CUevent event) { return cuEventSynchronize(event); }

CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
    return call(Needs::Context, [&](Driver& driver) {
        for (CUevent event : {start, end}) {
            if (!driver.streams.events.find(event)) return CUDA_ERROR_INVALID_HANDLE;
            if (event->capture) return CUDA_ERROR_CAPTURED_EVENT;
            if (!event->is_recorded || event->flags & Event::DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
        }
        *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
        return CUDA_SUCCESS;
    });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.streams.graphs.find(graph)) return CUDA_ERROR_INVALID_HANDLE;
        *executable = driver.streams.executables.add({graph->nodes});
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphUpload(CUgraphExec executable, CUstream stream) {
    return call(Needs::Context, [&](Driver& driver) {
        const bool are_known = driver.streams.executables.find(executable) && driver.streams.find(stream);
        return are_known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    });
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.streams.executables.find(executable)) return CUDA_ERROR_INVALID_HANDLE;
        return submit(driver, stream, true, [nodes = executable->nodes] {
            for (const DriverWork& node : nodes) {
                if (const CUresult result = node()) return result;
            }
            return CUDA_SUCCESS;
        });
    });
}

CUresult cuGraphDestroy(CUgraph graph) {
    return call(Needs::Context, [&](Driver& driver) { return driver.streams.graphs.remove(graph); });
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
    return call(Needs::Context, [&](Driver& driver) { return driver.streams.executables.remove(executable); });
}

// Every module has all kernels, whatever the image is: they were compiled into the driver.
CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!image) return CUDA_ERROR_INVALID_VALUE;
        *module = driver.modules.add({});
        return CUDA_SUCCESS;
    });
}

CUresult cuModuleLoad(CUmodule* module, const char* file) { return cuModuleLoadData(module, file); }

CUresult cuModuleUnload(CUmodule module) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.modules.find(module)) return CUDA_ERROR_INVALID_HANDLE;
        for (const auto& [name, function] : module->functions) driver.functions.remove(function);
        return driver.modules.remove(module);
    });
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.modules.find(module)) return CUDA_ERROR_INVALID_HANDLE;
        const Kernel* kernel = first_kernel;
        while (kernel && strcmp(kernel->name, name) != 0) kernel = kernel->next;
        if (!kernel) return CUDA_ERROR_NOT_FOUND;
        CUfunction& known = module->functions[name];
        if (!known) known = driver.functions.add({kernel, DEFAULT_DYNAMIC_BYTES});
        *function = known;
        return CUDA_SUCCESS;
    });
}

CUresult cuFuncGetAttribute(int* value, int attribute, CUfunction function) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.functions.find(function)) return CUDA_ERROR_INVALID_HANDLE;
        if (attribute < 0 || attribute >= N_FUNCTION_ATTRIBUTES) return CUDA_ERROR_INVALID_VALUE;
        *value = function_attribute(function->max_dynamic_bytes, attribute);
        return CUDA_SUCCESS;
    });
}

// Of the attributes that can be set, only the one that a launch depends on is kept.
CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.functions.find(function)) return CUDA_ERROR_INVALID_HANDLE;
        const bool can_be_set = attribute >= MAX_DYNAMIC_SHARED_SIZE_BYTES && attribute < N_FUNCTION_ATTRIBUTES;
        if (!can_be_set) return CUDA_ERROR_INVALID_VALUE;
        if (attribute != MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_SUCCESS;
        if (value < 0 || value > MAX_DYNAMIC_BYTES) return CUDA_ERROR_INVALID_VALUE;
        function->max_dynamic_bytes = value;
        return CUDA_SUCCESS;
    });
}

CUresult cuFuncSetCacheConfig(CUfunction function, int) {
    return call(Needs::Context, [&](Driver& driver) {
        return driver.functions.find(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* n_blocks, CUfunction function, int n_threads, size_t n_shared_bytes, unsigned) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.functions.find(function)) return CUDA_ERROR_INVALID_HANDLE;
        if (n_threads <= 0) return CUDA_ERROR_INVALID_VALUE;
        const bool fits = n_threads <= static_cast<int>(emulator::MAX_THREADS) &&
                          n_shared_bytes <= static_cast<size_t>(function->max_dynamic_bytes);
        *n_blocks = fits ? active_blocks(n_threads, n_shared_bytes) : 0;
        return CUDA_SUCCESS;
    });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(
    int* n_blocks, CUfunction function, int n_threads, size_t n_shared_bytes) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(n_blocks, function, n_threads, n_shared_bytes, 0);
}

// The largest block, as nothing here says that a kernel is better off with another.
CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(
    int* n_grid, int* n_threads, CUfunction function, size_t (*shared_of)(int), size_t n_shared_bytes, int limit,
    unsigned) {
    constexpr int most = emulator::MAX_THREADS;
    *n_threads = limit > 0 ? std::min(limit, most) : most;
    if (shared_of) n_shared_bytes = shared_of(*n_threads);
    *n_grid = 0;
    const CUresult result = cuOccupancyMaxActiveBlocksPerMultiprocessor(n_grid, function, *n_threads, n_shared_bytes);
    *n_grid *= device_attribute(MULTIPROCESSOR_COUNT);
    return result;
}

CUresult cuOccupancyMaxPotentialBlockSize(
    int* n_grid, int* n_threads, CUfunction function, size_t (*shared_of)(int), size_t n_shared_bytes, int limit) {
    return cuOccupancyMaxPotentialBlockSizeWithFlags(n_grid, n_threads, function, shared_of, n_shared_bytes, limit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* n_bytes, CUfunction function, int n_blocks, int) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.functions.find(function)) return CUDA_ERROR_INVALID_HANDLE;
        if (n_blocks <= 0) return CUDA_ERROR_INVALID_VALUE;
        const int each = std::max(MULTIPROCESSOR_SHARED_BYTES / n_blocks - RESERVED_SHARED_BYTES, 0);
        *n_bytes = static_cast<size_t>(std::min(each, MAX_DYNAMIC_BYTES));
        return CUDA_SUCCESS;
    });
}

CUresult cuLaunchKernel(
    CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, unsigned n_shared_bytes, CUstream stream, void** arguments, void** extra) {
    return call(Needs::Context, [&](Driver& driver) {
        if (!driver.functions.find(function)) return CUDA_ERROR_INVALID_HANDLE;
        const Kernel& kernel = *function->kernel;
        // `extra` is a packed form of arguments, without the sizes that would tell them apart.
        if (extra || (!arguments && !kernel.parameters.empty())) return CUDA_ERROR_INVALID_VALUE;
        const emulator::Index grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
        const bool has_grid = grid_x > 0 && grid_y > 0 && grid_z > 0;
        const bool has_block = block_x > 0 && block_y > 0 && block_z > 0;
        const bool fits_grid = grid_x <= MAX_GRID_X && grid_y <= MAX_GRID_YZ && grid_z <= MAX_GRID_YZ;
        const bool fits_block = block_x <= MAX_BLOCK_XY && block_y <= MAX_BLOCK_XY && block_z <= MAX_BLOCK_Z;
        if (!has_grid || !has_block || !fits_grid || !fits_block) return CUDA_ERROR_INVALID_VALUE;
        if (block_x * block_y * block_z > emulator::MAX_THREADS) return CUDA_ERROR_INVALID_VALUE;
        if (n_shared_bytes > static_cast<unsigned>(function->max_dynamic_bytes)) return CUDA_ERROR_INVALID_VALUE;
        const auto copies = std::make_shared<Arguments>(kernel, arguments);
        return submit(driver, stream, true, [&driver, &kernel, copies, grid, block, n_shared_bytes] {
            return copies->launch(driver, kernel, grid, block, n_shared_bytes);
        });
    });
}
}
