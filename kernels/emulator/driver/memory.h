// Device memory, and pinned memory of the host, as ranges of this process's memory.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "../fibers.h"
#include "api.h"

namespace driver {

// Every allocation is aligned as the driver aligns one, begins as NaN, and has a fence behind it that shows on release
// whether a kernel wrote there. AddressSanitizer sees the fence at once.
class Memory {
   public:
    static size_t total_bytes() { return static_cast<size_t>(emulator::setting("EMULATOR_MEMORY_MIB", 2048)) << 20; }
    size_t used_bytes() const { return n_used_; }
    size_t free_bytes() const { return total_bytes() - std::min(n_used_, total_bytes()); }

    CUresult allocate(CUdeviceptr* pointer, size_t n_bytes) {
        if (occupied(n_bytes) > free_bytes()) return CUDA_ERROR_OUT_OF_MEMORY;
        void* memory = new_range(n_bytes, true);
        if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
        n_used_ += occupied(n_bytes);
        *pointer = reinterpret_cast<CUdeviceptr>(memory);
        return CUDA_SUCCESS;
    }

    CUresult allocate_host(void** pointer, size_t n_bytes) {
        *pointer = new_range(n_bytes, false);
        return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }

    CUresult release(CUdeviceptr pointer, bool is_device = true) {
        const auto found = ranges_.find(pointer);
        if (found == ranges_.end() || found->second.is_device != is_device) return CUDA_ERROR_INVALID_VALUE;
        const Range range = found->second;
        ranges_.erase(found);
        if (is_device) n_used_ -= occupied(range.n_bytes);
        auto* memory = reinterpret_cast<unsigned char*>(pointer);
        const bool is_intact = has_fence(memory, range.n_bytes);
        free(memory);
        if (is_intact) return CUDA_SUCCESS;
        fprintf(stderr, "emulator: a kernel wrote behind an allocation of %zu bytes\n", range.n_bytes);
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }

    // Whether all these bytes are of one allocation; none are of any.
    bool contains(CUdeviceptr pointer, size_t n_bytes) const {
        if (n_bytes == 0) return true;
        auto after = ranges_.upper_bound(pointer);
        if (after == ranges_.begin()) return false;
        const auto& [start, range] = *--after;
        return pointer - start < range.n_bytes && n_bytes <= range.n_bytes - (pointer - start);
    }

    // Whether a kernel may be given the address: null, or of an allocation, or where one ends.
    bool may_be_passed(CUdeviceptr pointer) const {
        return pointer == 0 || contains(pointer, 1) || contains(pointer - 1, 1);
    }

    void clear() {
        while (!ranges_.empty()) release(ranges_.begin()->first, ranges_.begin()->second.is_device);
    }

   private:
    struct Range {
        size_t n_bytes;
        bool is_device;
    };
    static constexpr size_t ALIGNMENT = 256;
    static constexpr unsigned char UNWRITTEN = 0xff, FENCE = 0xa5;

    static size_t occupied(size_t n_bytes) { return (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }
    static size_t fenced(size_t n_bytes) { return occupied(n_bytes) + ALIGNMENT; }

    void* new_range(size_t n_bytes, bool is_device) {
        auto* memory = static_cast<unsigned char*>(aligned_alloc(ALIGNMENT, fenced(n_bytes)));
        if (!memory) return nullptr;
        memset(memory, UNWRITTEN, n_bytes);
        memset(memory + n_bytes, FENCE, fenced(n_bytes) - n_bytes);
#if defined(__SANITIZE_ADDRESS__)
        ASAN_POISON_MEMORY_REGION(memory + n_bytes, fenced(n_bytes) - n_bytes);
#endif
        ranges_[reinterpret_cast<CUdeviceptr>(memory)] = {n_bytes, is_device};
        return memory;
    }

    static bool has_fence(unsigned char* memory, size_t n_bytes) {
#if defined(__SANITIZE_ADDRESS__)
        ASAN_UNPOISON_MEMORY_REGION(memory + n_bytes, fenced(n_bytes) - n_bytes);
#endif
        for (size_t i = n_bytes; i < fenced(n_bytes); i++) {
            if (memory[i] != FENCE) return false;
        }
        return true;
    }

    std::map<CUdeviceptr, Range> ranges_;
    size_t n_used_ = 0;
};

}  // namespace driver
