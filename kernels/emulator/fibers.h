// The threads of a block as fibers: each has a stack of its own and runs until it waits for others.
//
// A block's fibers run in turns on one thread of the host, in an order of the caller's choosing, so that a kernel that
// needs an order CUDA does not promise gives different results in different orders. Sanitizers are told of every
// switch: AddressSanitizer needs to know the stacks, and for ThreadSanitizer each fiber is a thread whose only
// happens-before edges are the kernel's own barriers.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "threads.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks in x86-64 assembly; add the switch of this processor"
#endif

// Saves the stack pointer to `*save` and goes on where `load` was saved.
extern "C" void emulator_switch(void** save, void* load);
asm(R"(
.text
.weak emulator_switch
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

// What a block of the H100 and the H200 may have.
constexpr size_t EMULATOR_SHARED_BYTES = 227 << 10;
// The one array of dynamic shared memory, under the name and with the type that kernels declare.
alignas(1024) inline thread_local unsigned char dynamic_shared[EMULATOR_SHARED_BYTES];

namespace emulator {

constexpr unsigned WARP = 32;
constexpr unsigned MAX_THREADS = 1024;
constexpr size_t STACK_BYTES = 128 << 10;

struct Index {
    unsigned x, y, z;
};

// In which order the ready fibers of a block, and the blocks of a grid, run.
enum class Order { Forward, Reverse, Random };

// A number from the environment.
inline int setting(const char* name, int otherwise) {
    const char* text = getenv(name);
    return text ? atoi(text) : otherwise;
}

inline Order order() {
    static const Order order = static_cast<Order>(setting("EMULATOR_ORDER", 0));
    return order;
}

enum class State : uint8_t { Ready, AtBarrier, InWarpOperation, Done };

// The lanes that take part in the running warp operation.
struct Warp {
    void* operands[WARP];
    unsigned masks[WARP];
    const char* operations[WARP];
    unsigned alive;
};

// A copy to shared memory of 16 bytes, or of zeros from nowhere, that may not have arrived yet.
struct AsyncCopy {
    void* to;
    const void* from;
};

struct Fiber {
    Index thread;
    unsigned number;
    unsigned lane;
    Warp* warp;
    State state;
    bool has_started;
    void* stack_pointer;
    // Where it waits, for the report of a deadlock.
    const char* place;
    void* sanitizer_state;
    // Copies that nobody waited for, by groups, of which the last is not committed.
    std::vector<std::vector<AsyncCopy>> groups_of_copies;
};

// The block that this host thread runs.
struct Block {
    Index index, block_size, grid_size;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<char*> stacks;
    unsigned n_alive, n_at_barrier;
    const std::function<void()>* kernel;
    void* stack_pointer;
    void* sanitizer_state;
    const void* stack_bottom;
    size_t stack_size;
};

inline thread_local Block block;
inline thread_local Fiber* fiber = nullptr;

// The emulator's own bookkeeping is not the kernel's memory: while one of these lives ThreadSanitizer does not see it.
struct Unseen {
#if defined(__SANITIZE_THREAD__)
    Unseen() {
        AnnotateIgnoreReadsBegin("", 0);
        AnnotateIgnoreWritesBegin("", 0);
    }
    ~Unseen() {
        AnnotateIgnoreWritesEnd("", 0);
        AnnotateIgnoreReadsEnd("", 0);
    }
#else
    Unseen() {}
#endif
};

// What a thread did before `release` is seen by those that `acquire` the same address afterwards.
inline void release([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(address);
#endif
}

inline void acquire([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(address);
#endif
}

// Ends the process with what every waiting thread waits for.
[[noreturn]] inline void fail(const char* message) {
    const Index& at = block.index;
    fprintf(stderr, "emulator: %s (block %u, %u, %u)\n", message, at.x, at.y, at.z);
    unsigned n_told = 0;
    for (const Fiber& other : block.fibers) {
        if (other.state != State::Done && n_told++ < 8) {
            const char* place = other.place ? other.place : "the kernel";
            fprintf(stderr, "  thread %u: in %s\n", other.number, place);
        }
    }
    abort();
}

// Leaves the running fiber; returns when it is its turn again.
inline void leave() {
    Fiber& me = *fiber;
#if defined(__SANITIZE_THREAD__)
    // 1: the switch itself orders nothing.
    __tsan_switch_to_fiber(block.sanitizer_state, 1);
#elif defined(__SANITIZE_ADDRESS__)
    void** kept = me.state == State::Done ? nullptr : &me.sanitizer_state;
    __sanitizer_start_switch_fiber(kept, block.stack_bottom, block.stack_size);
#endif
    emulator_switch(&me.stack_pointer, block.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(me.sanitizer_state, &block.stack_bottom, &block.stack_size);
#endif
}

inline void open_barrier() {
    for (Fiber& other : block.fibers) {
        if (other.state == State::AtBarrier) other.state = State::Ready;
    }
    block.n_at_barrier = 0;
}

// __syncthreads: threads that have ended are not waited for.
inline void barrier(const char* place) {
    release(&block);
    {
        Unseen unseen;
        fiber->place = place;
        if (++block.n_at_barrier == block.n_alive) {
            open_barrier();
        } else {
            fiber->state = State::AtBarrier;
            leave();
        }
        fiber->place = nullptr;
    }
    acquire(&block);
}

// Where a fiber begins.
inline void enter() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &block.stack_bottom, &block.stack_size);
#endif
    (*block.kernel)();
    release(&block.kernel);
    {
        Unseen unseen;
        fiber->state = State::Done;
        fiber->warp->alive &= ~(1u << fiber->lane);
        block.n_alive--;
        if (block.n_at_barrier > 0 && block.n_at_barrier == block.n_alive) open_barrier();
    }
    leave();
    abort();
}

// Runs the next part of `next`.
inline void resume(Fiber& next) {
    fiber = &next;
#if defined(__SANITIZE_THREAD__)
    // 0 at first: what was before the launch is seen by every thread.
    __tsan_switch_to_fiber(next.sanitizer_state, next.has_started ? 1 : 0);
#elif defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&block.sanitizer_state, block.stacks[next.number], STACK_BYTES);
#endif
    next.has_started = true;
    emulator_switch(&block.stack_pointer, next.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(block.sanitizer_state, nullptr, nullptr);
#endif
}

inline char* new_stack() {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for a stack");
    return static_cast<char*>(memory);
}

// A stack that looks as if `enter` had just been switched from.
inline void* first_frame(char* stack) {
#if defined(__SANITIZE_ADDRESS__)
    // The frames of the fiber before are gone.
    ASAN_UNPOISON_MEMORY_REGION(stack, STACK_BYTES);
#endif
    void** top = reinterpret_cast<void**>(stack + STACK_BYTES) - 3;
    *top = nullptr;
    *--top = reinterpret_cast<void*>(enter);
    constexpr int n_saved_registers = 6;
    top -= n_saved_registers;
    memset(top, 0, n_saved_registers * sizeof *top);
    return top;
}

// Runs `block.kernel` once for each thread of the block.
inline void run_block(size_t n_shared_bytes, std::minstd_rand& random) {
    const Index size = block.block_size;
    const unsigned n_threads = size.x * size.y * size.z;
    block.fibers.assign(n_threads, Fiber{});
    block.warps.assign((n_threads + WARP - 1) / WARP, Warp{});
    block.n_alive = n_threads;
    block.n_at_barrier = 0;
    // Not a number, or -1: what is read before anybody wrote it stands out.
    memset(dynamic_shared, 0xff, n_shared_bytes);
    while (block.stacks.size() < n_threads) block.stacks.push_back(new_stack());
#if defined(__SANITIZE_THREAD__)
    block.sanitizer_state = __tsan_get_current_fiber();
#endif
    for (unsigned number = 0; number < n_threads; number++) {
        Fiber& next = block.fibers[number];
        next.number = number;
        next.lane = number % WARP;
        next.warp = &block.warps[number / WARP];
        next.warp->alive |= 1u << next.lane;
        next.thread = {number % size.x, number / size.x % size.y, number / (size.x * size.y)};
        next.stack_pointer = first_frame(block.stacks[number]);
#if defined(__SANITIZE_THREAD__)
        next.sanitizer_state = __tsan_create_fiber(0);
#endif
    }
    std::vector<unsigned> turns(n_threads);
    std::iota(turns.begin(), turns.end(), 0u);
    if (order() == Order::Reverse) std::reverse(turns.begin(), turns.end());
    while (block.n_alive > 0) {
        if (order() == Order::Random) std::shuffle(turns.begin(), turns.end(), random);
        bool has_run = false;
        for (unsigned number : turns) {
            if (block.fibers[number].state != State::Ready) continue;
            has_run = true;
            resume(block.fibers[number]);
        }
        if (!has_run) fail("a barrier or a warp operation is not reached by all who should");
    }
#if defined(__SANITIZE_THREAD__)
    // The next block of this host thread uses the same shared memory and stacks.
    acquire(&block.kernel);
    for (Fiber& done : block.fibers) __tsan_destroy_fiber(done.sanitizer_state);
#endif
}

// Runs `kernel` for each thread of each block, the blocks on EMULATOR_THREADS threads of the host.
inline void launch(Index grid, Index size, size_t n_shared_bytes, const std::function<void()>& kernel) {
    if (n_shared_bytes > EMULATOR_SHARED_BYTES || size.x * size.y * size.z > MAX_THREADS) {
        fail("a launch of more threads or shared memory than there are");
    }
    Unseen unseen;
    const auto seed = static_cast<unsigned>(setting("EMULATOR_SEED", 1));
    const auto n_threads = static_cast<unsigned>(setting("EMULATOR_THREADS", 1));
    const size_t n_blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
    in_parallel(n_blocks, n_threads, [&](size_t turn) {
        Unseen unseen;
        const size_t number = order() == Order::Reverse ? n_blocks - 1 - turn : turn;
        // A block's order is its own, whichever thread runs it; the factor keeps those of neighbors apart.
        std::minstd_rand random(seed + static_cast<unsigned>(number) * 0x9e3779b9u);
        block.kernel = &kernel;
        block.block_size = size;
        block.grid_size = grid;
        block.index.x = static_cast<unsigned>(number % grid.x);
        block.index.y = static_cast<unsigned>(number / grid.x % grid.y);
        block.index.z = static_cast<unsigned>(number / grid.x / grid.y);
        run_block(n_shared_bytes, random);
    });
}

}  // namespace emulator
