// The instructions of `ptx.cuh` for a CPU, with the lane layouts of the PTX manual.
#pragma once

#include "cuda_bf16.h"

namespace emulator {

// Whether asynchronous copies arrive when they are begun, or else when they are waited for. On a GPU they arrive at any
// time in between, so that a correct kernel gives the same results both ways.
inline bool copies_are_eager = setting("EMULATOR_ASYNC", 0) == 1;

// How many asynchronous copies there were.
inline size_t n_copies = 0;

inline void check_aligned(const void* address) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) fail("an address that is not a multiple of 16 bytes");
}

inline void run(const AsyncCopy& copy) {
    char bytes[16] = {};
    if (copy.from) memcpy(bytes, copy.from, sizeof bytes);
    memcpy(copy.to, bytes, sizeof bytes);
}

// The copies of the running thread that are in all groups but the last `n_left` arrive.
inline void wait_for_copies(size_t n_left) {
    std::vector<AsyncCopy> arrived;
    {
        Unseen unseen;
        auto& groups = fiber->groups_of_copies;
        // The last one is not committed yet.
        while (groups.size() > n_left + 1) {
            arrived.insert(arrived.end(), groups.front().begin(), groups.front().end());
            groups.erase(groups.begin());
        }
    }
    for (const AsyncCopy& copy : arrived) run(copy);
}

inline float half(unsigned pair, unsigned index) {
    return __bfloat162float({static_cast<uint16_t>(pair >> 16 * index)});
}

// N matrices, whose rows the lanes below 8 * N name.
template <bool TRANSPOSED, int N>
inline void load_matrices(unsigned (&to)[N], const void* row, const char* name) {
    struct Operand {
        uint16_t row[8];
        unsigned out[N];
    } operand{};
    if (fiber->lane < 8 * N) {
        check_aligned(row);
        memcpy(operand.row, row, sizeof operand.row);
    }
    warp_operation(~0u, operand, name, false, [](Operand** operands, unsigned) {
        for (unsigned lane = 0; lane < WARP; lane++) {
            const unsigned a = lane / 4, b = lane % 4 * 2;
            for (unsigned matrix = 0; matrix < N; matrix++) {
                Operand** rows = operands + 8 * matrix;
                const unsigned low = TRANSPOSED ? rows[b]->row[a] : rows[a]->row[b];
                const unsigned high = TRANSPOSED ? rows[b + 1]->row[a] : rows[a]->row[b + 1];
                operands[lane]->out[matrix] = low | high << 16;
            }
        }
    });
    memcpy(to, operand.out, sizeof to);
}

}  // namespace emulator

inline void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    struct Operand {
        unsigned a[4], b[2];
        float d[4];
    } operand{{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
    emulator::warp_operation(~0u, operand, "mma", false, [](Operand** operands, unsigned) {
        float left[16][16], right[16][8];
        for (unsigned lane = 0; lane < emulator::WARP; lane++) {
            const unsigned row = lane / 4, pair = lane % 4 * 2;
            for (unsigned i = 0; i < 4; i++) {
                for (unsigned j = 0; j < 2; j++) {
                    left[row + i % 2 * 8][pair + i / 2 * 8 + j] = emulator::half(operands[lane]->a[i], j);
                }
            }
            for (unsigned i = 0; i < 2; i++) {
                for (unsigned j = 0; j < 2; j++) right[pair + i * 8 + j][row] = emulator::half(operands[lane]->b[i], j);
            }
        }
        for (unsigned lane = 0; lane < emulator::WARP; lane++) {
            for (unsigned i = 0; i < 4; i++) {
                const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                float sum = 0.0f;
                for (unsigned k = 0; k < 16; k++) sum += left[row][k] * right[k][column];
                operands[lane]->d[i] += sum;
            }
        }
    });
    memcpy(d, operand.d, sizeof d);
}

inline void mma(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    struct Operand {
        unsigned a[4], b[2];
        int d[4];
    } operand{{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
    emulator::warp_operation(~0u, operand, "mma of int8", false, [](Operand** operands, unsigned) {
        int left[16][32], right[32][8];
        for (unsigned lane = 0; lane < emulator::WARP; lane++) {
            const unsigned row = lane / 4, four = lane % 4 * 4;
            const auto code = [](unsigned word, unsigned index) { return static_cast<int8_t>(word >> 8 * index); };
            for (unsigned j = 0; j < 4; j++) {
                for (unsigned i = 0; i < 4; i++) {
                    left[row + i % 2 * 8][four + i / 2 * 16 + j] = code(operands[lane]->a[i], j);
                }
                for (unsigned i = 0; i < 2; i++) right[four + i * 16 + j][row] = code(operands[lane]->b[i], j);
            }
        }
        for (unsigned lane = 0; lane < emulator::WARP; lane++) {
            for (unsigned i = 0; i < 4; i++) {
                const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                for (unsigned k = 0; k < 32; k++) operands[lane]->d[i] += left[row][k] * right[k][column];
            }
        }
    });
    memcpy(d, operand.d, sizeof d);
}

inline void load_matrices(unsigned (&to)[4], const void* row) {
    emulator::load_matrices<false>(to, row, "ldmatrix.x4");
}
inline void load_matrices(unsigned (&to)[2], const void* row) {
    emulator::load_matrices<false>(to, row, "ldmatrix.x2");
}
inline void load_transposed(unsigned (&to)[4], const void* row) {
    emulator::load_matrices<true>(to, row, "ldmatrix.x4.trans");
}
inline void load_transposed(unsigned (&to)[2], const void* row) {
    emulator::load_matrices<true>(to, row, "ldmatrix.x2.trans");
}

inline void copy_async(void* shared, const void* global, bool exists) {
    emulator::check_aligned(shared);
    emulator::check_aligned(global);
    const emulator::AsyncCopy copy = {shared, exists ? global : nullptr};
    if (emulator::copies_are_eager) emulator::run(copy);
    emulator::Unseen unseen;
    emulator::n_copies++;
    if (emulator::copies_are_eager) return;
    auto& groups = emulator::fiber->groups_of_copies;
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back(copy);
}

inline void copy_async_commit() {
    emulator::Unseen unseen;
    auto& groups = emulator::fiber->groups_of_copies;
    if (groups.empty()) groups.emplace_back();
    groups.emplace_back();
}

template <int N>
inline void copy_async_wait() {
    emulator::wait_for_copies(N);
}

inline float exp2_approx(float x) {
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}

inline unsigned short bfloat16_bits(float x) { return __float2bfloat16(x).bits; }

inline unsigned pack(float low, float high) {
    return __float2bfloat16(low).bits | static_cast<unsigned>(__float2bfloat16(high).bits) << 16;
}
