// The kernels that were compiled into the driver, by their names.
#pragma once

#include <vector>

#include "../cuda.h"

namespace driver {

struct Parameter {
    size_t n_bytes;
    bool is_pointer;
};

struct Kernel {
    const char* name;
    void (*launch)(emulator::Index grid, emulator::Index block, size_t n_shared_bytes, void** arguments);
    std::vector<Parameter> parameters;
    const Kernel* next;
};

inline const Kernel* first_kernel = nullptr;

// A kernel's own signature says how its arguments are read and how large they are.
template <auto K>
struct Registration;
template <class... A, void (*K)(A...)>
struct Registration<K> {
    Kernel kernel;
    explicit Registration(const char* name)
        : kernel{name, launch, {{sizeof(A), std::is_pointer_v<A>}...}, first_kernel} {
        first_kernel = &kernel;
    }
    static void launch(emulator::Index grid, emulator::Index block, size_t n_shared_bytes, void** arguments) {
        emulator::launch_with(K, grid, block, n_shared_bytes, arguments);
    }
};

}  // namespace driver

#define REGISTER_KERNEL(name) static const driver::Registration<&name> registration_of_##name(#name);
