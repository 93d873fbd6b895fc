// What the emulated device says of itself and of its kernels: an H200, but for its name and its few multiprocessors.
#pragma once

#include <algorithm>
#include <cstdio>

#include "../fibers.h"

namespace driver {

// As CUdevice_attribute and CUfunction_attribute number them.
enum DeviceAttribute {
    MAX_THREADS_PER_BLOCK = 1,
    MAX_BLOCK_DIM_X = 2,
    MAX_BLOCK_DIM_Y = 3,
    MAX_BLOCK_DIM_Z = 4,
    MAX_GRID_DIM_X = 5,
    MAX_GRID_DIM_Y = 6,
    MAX_GRID_DIM_Z = 7,
    MAX_SHARED_MEMORY_PER_BLOCK = 8,
    TOTAL_CONSTANT_MEMORY = 9,
    WARP_SIZE = 10,
    MAX_REGISTERS_PER_BLOCK = 12,
    CLOCK_RATE = 13,
    MULTIPROCESSOR_COUNT = 16,
    CONCURRENT_KERNELS = 31,
    MEMORY_CLOCK_RATE = 36,
    GLOBAL_MEMORY_BUS_WIDTH = 37,
    L2_CACHE_SIZE = 38,
    MAX_THREADS_PER_MULTIPROCESSOR = 39,
    UNIFIED_ADDRESSING = 41,
    COMPUTE_CAPABILITY_MAJOR = 75,
    COMPUTE_CAPABILITY_MINOR = 76,
    MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
    MAX_REGISTERS_PER_MULTIPROCESSOR = 82,
    MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    MAX_BLOCKS_PER_MULTIPROCESSOR = 106,
    RESERVED_SHARED_MEMORY_PER_BLOCK = 111,
    MEMORY_POOLS_SUPPORTED = 115,
    N_DEVICE_ATTRIBUTES = 160,
};
enum FunctionAttribute {
    FUNCTION_MAX_THREADS_PER_BLOCK = 0,
    NUM_REGS = 4,
    PTX_VERSION = 5,
    BINARY_VERSION = 6,
    MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
    N_FUNCTION_ATTRIBUTES = 16,
};
// What a kernel may ask for without saying so first, and what a multiprocessor has for its blocks.
constexpr int DEFAULT_DYNAMIC_BYTES = 48 << 10;
constexpr int MAX_DYNAMIC_BYTES = static_cast<int>(EMULATOR_SHARED_BYTES);
constexpr int MULTIPROCESSOR_SHARED_BYTES = 228 << 10, RESERVED_SHARED_BYTES = 1 << 10;
constexpr int MULTIPROCESSOR_THREADS = 2048, MULTIPROCESSOR_BLOCKS = 32;
constexpr unsigned MAX_GRID_X = 0x7fffffff, MAX_GRID_YZ = 65535;
constexpr unsigned MAX_BLOCK_XY = 1024, MAX_BLOCK_Z = 64;

inline int capability(int part) {
    int parts[2] = {9, 0};
    if (const char* setting = getenv("EMULATOR_CAPABILITY")) sscanf(setting, "%d.%d", &parts[0], &parts[1]);
    return parts[part];
}

inline int device_attribute(int attribute) {
    switch (attribute) {
        case MAX_THREADS_PER_BLOCK: return emulator::MAX_THREADS;
        case MAX_BLOCK_DIM_X:
        case MAX_BLOCK_DIM_Y: return MAX_BLOCK_XY;
        case MAX_BLOCK_DIM_Z: return MAX_BLOCK_Z;
        case MAX_GRID_DIM_X: return MAX_GRID_X;
        case MAX_GRID_DIM_Y:
        case MAX_GRID_DIM_Z: return MAX_GRID_YZ;
        case MAX_SHARED_MEMORY_PER_BLOCK: return DEFAULT_DYNAMIC_BYTES;
        case TOTAL_CONSTANT_MEMORY: return 64 << 10;
        case WARP_SIZE: return emulator::WARP;
        case MAX_REGISTERS_PER_BLOCK:
        case MAX_REGISTERS_PER_MULTIPROCESSOR: return 64 << 10;
        case CLOCK_RATE: return 1980000;
        case MULTIPROCESSOR_COUNT: return emulator::setting("EMULATOR_MULTIPROCESSORS", 4);
        case CONCURRENT_KERNELS:
        case UNIFIED_ADDRESSING:
        case MEMORY_POOLS_SUPPORTED: return 1;
        case MEMORY_CLOCK_RATE: return 3201000;
        case GLOBAL_MEMORY_BUS_WIDTH: return 6144;
        case L2_CACHE_SIZE: return 60 << 20;
        case MAX_THREADS_PER_MULTIPROCESSOR: return MULTIPROCESSOR_THREADS;
        case COMPUTE_CAPABILITY_MAJOR: return capability(0);
        case COMPUTE_CAPABILITY_MINOR: return capability(1);
        case MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return MULTIPROCESSOR_SHARED_BYTES;
        case MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return MAX_DYNAMIC_BYTES;
        case MAX_BLOCKS_PER_MULTIPROCESSOR: return MULTIPROCESSOR_BLOCKS;
        case RESERVED_SHARED_MEMORY_PER_BLOCK: return RESERVED_SHARED_BYTES;
        // What the device cannot do.
        default: return 0;
    }
}

inline int function_attribute(int max_dynamic_bytes, int attribute) {
    switch (attribute) {
        case FUNCTION_MAX_THREADS_PER_BLOCK: return emulator::MAX_THREADS;
        case NUM_REGS: return 32;
        case PTX_VERSION:
        case BINARY_VERSION: return 10 * capability(0) + capability(1);
        case MAX_DYNAMIC_SHARED_SIZE_BYTES: return max_dynamic_bytes;
        // Static shared, constant and local memory, and what clusters may be.
        default: return 0;
    }
}

// How many blocks run on a multiprocessor at once.
inline int active_blocks(int n_threads, size_t n_shared_bytes) {
    const int n_warp_threads = (n_threads + emulator::WARP - 1) / emulator::WARP * emulator::WARP;
    const int by_threads = MULTIPROCESSOR_THREADS / n_warp_threads;
    const auto by_memory = static_cast<int>(MULTIPROCESSOR_SHARED_BYTES / (n_shared_bytes + RESERVED_SHARED_BYTES));
    return std::min({by_threads, by_memory, MULTIPROCESSOR_BLOCKS});
}

}  // namespace driver
