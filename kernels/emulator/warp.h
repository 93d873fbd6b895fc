// Operations of a warp. Each lane leaves its operand; the last one to arrive computes for all.
#pragma once

#include "fibers.h"

namespace emulator {

// `compute(operands, mask)` once all lanes of `mask` have brought theirs. `orders_memory` is what __syncwarp does and
// shuffles do not.
template <class T, class F>
inline void warp_operation(unsigned mask, T& operand, const char* name, bool orders_memory, F compute) {
    Fiber& me = *fiber;
    Warp& warp = *me.warp;
    if (orders_memory) release(&warp);
    {
        Unseen unseen;
        me.place = name;
        if (!(mask >> me.lane & 1)) fail("a lane that is not in the mask");
        warp.operands[me.lane] = &operand;
        warp.masks[me.lane] = mask;
        warp.operations[me.lane] = name;
        bool is_complete = true;
        for (unsigned lane = 0; lane < WARP; lane++) {
            if (!(mask >> lane & 1)) continue;
            if (!(warp.alive >> lane & 1)) fail("a warp operation waits for a lane that has ended");
            if (warp.masks[lane] != mask) {
                is_complete = false;
            } else if (warp.operations[lane] != name) {
                fail("the lanes of a warp are in different operations");
            }
        }
        if (is_complete) {
            T* operands[WARP];
            for (unsigned lane = 0; lane < WARP; lane++) operands[lane] = static_cast<T*>(warp.operands[lane]);
            compute(operands, mask);
            Fiber* first = &me - me.lane;
            for (unsigned lane = 0; lane < WARP; lane++) {
                if (!(mask >> lane & 1)) continue;
                warp.masks[lane] = 0;
                first[lane].state = State::Ready;
            }
        } else {
            me.state = State::InWarpOperation;
            leave();
        }
        me.place = nullptr;
    }
    if (orders_memory) acquire(&warp);
}

// Each lane gets the value of the lane that `source(lane)` names, or its own if that is none of the warp.
template <class T, class F>
inline T shuffle(unsigned mask, T value, const char* name, F source) {
    struct Operand {
        T in, out;
    } operand{value, value};
    warp_operation(mask, operand, name, false, [&](Operand** operands, unsigned mask) {
        for (unsigned lane = 0; lane < WARP; lane++) {
            if (!(mask >> lane & 1)) continue;
            const unsigned from = source(lane);
            if (from >= WARP) continue;
            // What a lane outside of the mask holds is not defined.
            operands[lane]->out = mask >> from & 1 ? operands[from]->in : T{};
        }
    });
    return operand.out;
}

}  // namespace emulator

inline void __syncwarp(unsigned mask = ~0u) {
    int nothing = 0;
    emulator::warp_operation(mask, nothing, "__syncwarp", true, [](int**, unsigned) {});
}

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane) {
    return emulator::shuffle(mask, value, "__shfl_sync", [=](unsigned) { return lane % emulator::WARP; });
}

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits) {
    return emulator::shuffle(mask, value, "__shfl_xor_sync", [=](unsigned lane) { return lane ^ bits; });
}

template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned distance) {
    return emulator::shuffle(mask, value, "__shfl_down_sync", [=](unsigned lane) { return lane + distance; });
}

template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
    // Below lane 0 it wraps around to no lane.
    return emulator::shuffle(mask, value, "__shfl_up_sync", [=](unsigned lane) { return lane - distance; });
}

inline unsigned __ballot_sync(unsigned mask, int holds) {
    struct Operand {
        int holds;
        unsigned lanes;
    } operand{holds, 0};
    using emulator::WARP;
    emulator::warp_operation(mask, operand, "__ballot_sync", false, [](Operand** operands, unsigned mask) {
        unsigned lanes = 0;
        for (unsigned lane = 0; lane < WARP; lane++) {
            if (mask >> lane & 1 && operands[lane]->holds) lanes |= 1u << lane;
        }
        for (unsigned lane = 0; lane < WARP; lane++) {
            if (mask >> lane & 1) operands[lane]->lanes = lanes;
        }
    });
    return operand.lanes;
}

inline int __any_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) != 0; }
inline int __all_sync(unsigned mask, int holds) { return __ballot_sync(mask, !holds) == 0; }
