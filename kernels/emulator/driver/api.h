// What the emulated libraries share: the types and results of the CUDA driver API, as far as they are needed.
//
// Handles are addresses of the driver's own objects, and the types stand for those of <cuda.h>, whose name here is the
// emulator's.
#pragma once

#include <cstddef>
#include <functional>

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;

namespace driver {
struct Context;
struct Event;
struct Function;
struct Graph;
struct GraphExec;
struct MemoryPool;
struct Module;
struct Stream;
}  // namespace driver

typedef driver::Context* CUcontext;
typedef driver::Event* CUevent;
typedef driver::Function* CUfunction;
typedef driver::Graph* CUgraph;
typedef driver::GraphExec* CUgraphExec;
typedef driver::MemoryPool* CUmemoryPool;
typedef driver::Module* CUmodule;
typedef driver::Stream* CUstream;

#define FOR_RESULTS(DEFINE)                                                                                      \
    DEFINE(0, CUDA_SUCCESS, "no error")                                                                          \
    DEFINE(1, CUDA_ERROR_INVALID_VALUE, "invalid argument")                                                      \
    DEFINE(2, CUDA_ERROR_OUT_OF_MEMORY, "out of memory")                                                         \
    DEFINE(3, CUDA_ERROR_NOT_INITIALIZED, "initialization error")                                                \
    DEFINE(34, CUDA_ERROR_STUB_LIBRARY, "CUDA driver is a stub library")                                         \
    DEFINE(46, CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable")               \
    DEFINE(100, CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")                                      \
    DEFINE(101, CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal")                                             \
    DEFINE(201, CUDA_ERROR_INVALID_CONTEXT, "invalid device context")                                            \
    DEFINE(400, CUDA_ERROR_INVALID_HANDLE, "invalid resource handle")                                            \
    DEFINE(401, CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state")              \
    DEFINE(500, CUDA_ERROR_NOT_FOUND, "named symbol not found")                                                  \
    DEFINE(700, CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered")                          \
    DEFINE(719, CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure")                                          \
    DEFINE(801, CUDA_ERROR_NOT_SUPPORTED, "operation not supported")                                             \
    DEFINE(803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "the driver is none for this system")                         \
    DEFINE(900, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing")       \
    DEFINE(901, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "a call before has invalidated the capture")              \
    DEFINE(903, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not initiated in this stream")                 \
    DEFINE(904, CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work")                        \
    DEFINE(905, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream")  \
    DEFINE(906, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the default stream would wait for a capture")               \
    DEFINE(907, CUDA_ERROR_CAPTURED_EVENT, "the event was last recorded in a capture")                           \
    DEFINE(908, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture belongs to another thread")                 \
    DEFINE(999, CUDA_ERROR_UNKNOWN, "unknown error")

enum CUresult {
#define DEFINE(code, name, text) name = code,
    FOR_RESULTS(DEFINE)
#undef DEFINE
};

typedef std::function<CUresult()> DriverWork;

extern "C" {
// For libcublasLt, where a real one has entries that nobody documents: runs `work`, a launch, in the order of the
// stream, or makes it a node of the graph that the stream is captured into.
CUresult cuEmulatorSubmit(CUstream stream, const DriverWork* work);
// Whether all these bytes are of one allocation.
bool cuEmulatorContains(CUdeviceptr pointer, size_t n_bytes);
}
