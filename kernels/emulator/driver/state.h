// What every call of the driver begins with, and what is behind its handles.
#pragma once

#include <mutex>
#include <new>
#include <string>

#include "api.h"
#include "device.h"
#include "memory.h"
#include "registry.h"
#include "streams.h"

namespace driver {

// The one context of the one device.
struct Context {};

struct MemoryPool {
    unsigned long long release_threshold = 0, highest_used = 0;
};

// A kernel of a module, with what was set for it.
struct Function {
    const Kernel* kernel;
    int max_dynamic_bytes;
};

struct Module {
    std::map<std::string, CUfunction> functions;
};

// As CUmemPool_attribute numbers them.
enum PoolAttribute {
    RELEASE_THRESHOLD = 4,
    RESERVED_MEMORY_CURRENT = 5,
    RESERVED_MEMORY_HIGHEST = 6,
    USED_MEMORY_CURRENT = 7,
    USED_MEMORY_HIGHEST = 8,
};

// The state of the driver. One call at a time has it, and with it what that call calls.
struct Driver {
    std::recursive_mutex mutex;
    bool is_initialized = false;
    Context context;
    unsigned n_retained = 0;
    Memory memory;
    MemoryPool pool;
    Streams streams;
    Handles<Module> modules;
    Handles<Function> functions;
    long long n_launches = 0;
    // What every call returns since the context was lost.
    CUresult lost = CUDA_SUCCESS;
};

inline Driver& state() {
    // Never destroyed: other libraries may still free what they have while the process ends.
    static Driver* driver = new Driver;
    return *driver;
}

inline thread_local CUcontext current_context = nullptr;

enum class Needs { Nothing, Init, Context };

inline CUresult loss() {
    Driver& driver = state();
    const char* setting = getenv("EMULATOR_LOST_AFTER");
    if (setting && driver.lost == CUDA_SUCCESS) {
        char* rest;
        const long long n_launches = strtoll(setting, &rest, 10);
        const int code = *rest == ':' ? atoi(rest + 1) : CUDA_ERROR_UNKNOWN;
        if (driver.n_launches >= n_launches) driver.lost = static_cast<CUresult>(code);
    }
    return driver.lost;
}

// The body of every call: alone, and refused while the driver is not in a state for it.
template <class F>
inline CUresult call(Needs needs, F body) {
    Driver& driver = state();
    std::lock_guard lock(driver.mutex);
    if (const CUresult lost = loss()) return lost;
    if (needs != Needs::Nothing && !driver.is_initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (needs == Needs::Context && (!current_context || driver.n_retained == 0)) return CUDA_ERROR_INVALID_CONTEXT;
    try {
        return body(driver);
    } catch (const std::bad_alloc&) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
}

// What `body` does with the only device, 0.
template <class F>
inline CUresult on_device(CUdevice device, F body) {
    return call(Needs::Init, [&](Driver& driver) {
        if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
        body(driver);
        return CUDA_SUCCESS;
    });
}

// What `body` makes of a stream.
template <class F>
inline CUresult on_stream(CUstream handle, F body) {
    return call(Needs::Context, [&](Driver& driver) -> CUresult {
        Stream* stream = driver.streams.find(handle);
        return stream ? body(driver, *stream) : CUDA_ERROR_INVALID_HANDLE;
    });
}

// What a kernel, or a copy in a graph, does wrong is the end of a context.
inline CUresult run(const DriverWork& work) {
    const CUresult result = work();
    if (result == CUDA_ERROR_ILLEGAL_ADDRESS) state().lost = result;
    return result;
}

inline CUresult submit(Driver& driver, CUstream handle, bool is_launch, const DriverWork& work) {
    Stream* stream = driver.streams.find(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    CUresult result;
    if (!driver.streams.runs_now(*stream, work, result)) return result;
    driver.n_launches += is_launch;
    return run(work);
}

// A copy or memset of `pointers`, which all have to be inside of an allocation now and when it runs.
inline CUresult submit_on(
    CUstream stream, std::vector<CUdeviceptr> pointers, size_t n_bytes, std::function<void()> work) {
    return call(Needs::Context, [&](Driver& driver) {
        const auto are_valid = [&driver, pointers, n_bytes] {
            for (CUdeviceptr pointer : pointers) {
                if (!driver.memory.contains(pointer, n_bytes)) return false;
            }
            return true;
        };
        if (!are_valid()) return CUDA_ERROR_INVALID_VALUE;
        return submit(driver, stream, false, [are_valid, work] {
            if (!are_valid()) return CUDA_ERROR_ILLEGAL_ADDRESS;
            work();
            return CUDA_SUCCESS;
        });
    });
}

// The same as a call that returns when it is done, and so is none for a graph.
inline CUresult run_on(std::vector<CUdeviceptr> pointers, size_t n_bytes, std::function<void()> work) {
    return call(Needs::Context, [&](Driver& driver) {
        const CUresult refused = driver.streams.require_no_strict_capture();
        return refused ? refused : submit_on(nullptr, pointers, n_bytes, work);
    });
}

inline void* address(CUdeviceptr pointer) { return reinterpret_cast<void*>(pointer); }

// memmove, to which nothing may be null even where there is nothing to move.
inline void move(void* to, const void* from, size_t n_bytes) {
    if (n_bytes > 0) memmove(to, from, n_bytes);
}

inline void fill(void* to, unsigned char value, size_t n_bytes) {
    if (n_bytes > 0) memset(to, value, n_bytes);
}

// A copy of the arguments of a launch, which the caller's may not outlive.
class Arguments {
   public:
    Arguments(const Kernel& kernel, void** arguments) {
        for (size_t i = 0; i < kernel.parameters.size(); i++) {
            const auto* bytes = static_cast<const unsigned char*>(arguments[i]);
            copies_.emplace_back((kernel.parameters[i].n_bytes + sizeof(Word) - 1) / sizeof(Word));
            memcpy(copies_.back().data(), bytes, kernel.parameters[i].n_bytes);
        }
    }

    CUresult launch(
        const Driver& driver, const Kernel& kernel, emulator::Index grid, emulator::Index block, size_t shared) {
        std::vector<void*> arguments;
        for (size_t i = 0; i < copies_.size(); i++) {
            arguments.push_back(copies_[i].data());
            CUdeviceptr pointer = 0;
            if (kernel.parameters[i].is_pointer) memcpy(&pointer, copies_[i].data(), sizeof pointer);
            if (driver.memory.may_be_passed(pointer)) continue;
            fprintf(stderr, "emulator: argument %zu of %s is no address of the device\n", i, kernel.name);
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }
        kernel.launch(grid, block, shared, arguments.data());
        return CUDA_SUCCESS;
    }

   private:
    // As large an alignment as an argument can have.
    struct alignas(64) Word {
        unsigned char bytes[64];
    };
    std::vector<std::vector<Word>> copies_;
};

}  // namespace driver
