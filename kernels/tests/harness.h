// Tests of kernels: random operands, launches on the emulator, comparison with float64.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "cuda_bf16.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace harness {

// A test and its name, found by being defined.
struct Test {
    const char* name;
    void (*run)();
    Test* next;
    Test(const char* name, void (*run)());
};

inline Test* first_test = nullptr;
inline Test::Test(const char* name, void (*run)()) : name(name), run(run), next(first_test) { first_test = this; }

#define TEST(name)                                     \
    static void name();                                \
    static harness::Test test_##name(#name, name);     \
    static void name()

inline int n_checks = 0;
inline int n_failures = 0;

// Whether shapes are to be as small as they can be: under ThreadSanitizer a thread of CUDA is one of the system.
inline bool is_tiny = false;

// A number in [-1, 1) (the mixer of SplitMix64).
inline double number(uint64_t seed, uint64_t index) {
    uint64_t z = ((seed << 32) + index) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) / static_cast<double>(1ull << 52) - 1.0;
}

inline double value(float x) { return x; }
inline double value(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
inline T rounded(double x);
template <>
inline float rounded<float>(double x) {
    return static_cast<float>(x);
}
template <>
inline __nv_bfloat16 rounded<__nv_bfloat16>(double x) {
    return __float2bfloat16(static_cast<float>(x));
}

// What a stored result may differ by from the exact one, as a part of the largest.
template <class T>
constexpr double tolerance();
template <>
constexpr double tolerance<float>() {
    return 2e-6;
}
template <>
constexpr double tolerance<__nv_bfloat16>() {
    return 1.0 / 256;
}

// A device's array, aligned as the driver aligns one, and of exactly its size for AddressSanitizer.
template <class T>
class Array {
   public:
    explicit Array(size_t n) : data_(static_cast<T*>(aligned_alloc(ALIGNMENT, rounded_up(n)))), n_(n) {
        // Nothing may be read before it is written.
        memset(static_cast<void*>(data_), 0xff, rounded_up(n));
#if defined(__SANITIZE_ADDRESS__)
        poison_padding();
#endif
    }
    ~Array() { free(data_); }
    Array(Array&& other) : data_(other.data_), n_(other.n_) { other.data_ = nullptr; }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    T* data() { return data_; }
    size_t size() const { return n_; }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }

    std::vector<double> values() const {
        std::vector<double> values(n_);
        for (size_t i = 0; i < n_; i++) values[i] = value(data_[i]);
        return values;
    }

   private:
    static constexpr size_t ALIGNMENT = 256;
    static size_t rounded_up(size_t n) { return (n * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }
#if defined(__SANITIZE_ADDRESS__)
    void poison_padding() {
        ASAN_POISON_MEMORY_REGION(data_ + n_, rounded_up(n_) - n_ * sizeof(T));
    }
#endif
    T* data_;
    size_t n_;
};

// `n` random numbers in [-scale, scale).
template <class T>
inline Array<T> numbers(uint64_t seed, size_t n, double scale = 1.0) {
    Array<T> array(n);
    for (size_t i = 0; i < n; i++) array[i] = rounded<T>(scale * number(seed, i));
    return array;
}

// `n` indices below `bound`.
inline Array<unsigned> indices(uint64_t seed, size_t n, unsigned bound) {
    Array<unsigned> array(n);
    for (size_t i = 0; i < n; i++) array[i] = static_cast<unsigned>((number(seed, i) + 1.0) / 2.0 * bound);
    return array;
}

inline void check(bool holds, const std::string& what) {
    n_checks++;
    if (holds) return;
    n_failures++;
    fprintf(stderr, "FAILED: %s\n", what.c_str());
}

// Every number within `tolerance` of the largest, or of 0.1 where all are smaller.
inline void check_close(
    const std::vector<double>& found, const std::vector<double>& wanted, double tolerance, const std::string& what) {
    double largest = 0.1;
    for (double x : wanted) largest = std::max(largest, std::fabs(x));
    for (size_t i = 0; i < wanted.size(); i++) {
        if (std::fabs(found[i] - wanted[i]) <= tolerance * largest) continue;
        char text[160];
        snprintf(text, sizeof text, "[%zu] is %.9g instead of %.9g", i, found[i], wanted[i]);
        return check(false, what + ": " + text);
    }
    check(true, what);
}

// Launches `kernel` with dynamic shared memory and arguments of the types it has.
template <class... A, class... B>
inline void launch_shared(
    void (*kernel)(A...), unsigned x, unsigned y, unsigned block, size_t n_shared_bytes, B... arguments) {
    emulator::launch({x, y, 1}, {block, 1, 1}, n_shared_bytes, [=] { kernel(static_cast<A>(arguments)...); });
}

// The same without.
template <class... A, class... B>
inline void launch(void (*kernel)(A...), unsigned x, unsigned y, unsigned block, B... arguments) {
    launch_shared(kernel, x, y, block, 0, arguments...);
}

inline unsigned blocks(size_t n, size_t of) { return static_cast<unsigned>((n + of - 1) / of); }

inline std::string text(const char* name, size_t a, size_t b) {
    return std::string(name) + ", " + std::to_string(a) + " by " + std::to_string(b);
}

}  // namespace harness
