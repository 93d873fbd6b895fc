// Streams, events and graphs. What a stream is given runs at once, so that a later call finds it done; a stream that is
// captured keeps it instead, in the order of the calls, which every dependency between streams agrees with.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "api.h"

namespace driver {

// Objects that callers know by their addresses; one that was destroyed, or never was, is not found.
template <class T>
class Handles {
   public:
    T* add(T object) {
        auto kept = std::make_unique<T>(std::move(object));
        T* handle = kept.get();
        objects_[handle] = std::move(kept);
        return handle;
    }
    T* find(T* handle) const { return objects_.count(handle) ? handle : nullptr; }
    CUresult remove(T* handle) { return objects_.erase(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; }
    void clear() { objects_.clear(); }
    template <class F>
    void for_each(F visit) const {
        for (const auto& [handle, object] : objects_) visit(*handle);
    }

   private:
    std::map<T*, std::unique_ptr<T>> objects_;
};

// As CUstreamCaptureMode.
enum class CaptureMode { Global, ThreadLocal, Relaxed };

// A graph in the making.
struct Capture {
    Stream* origin;
    CaptureMode mode;
    std::thread::id thread;
    std::vector<DriverWork> nodes;
    bool is_invalid = false, has_ended = false;
};

struct Stream {
    static constexpr unsigned NON_BLOCKING = 1;
    explicit Stream(unsigned flags) : flags(flags) {}
    unsigned flags;
    std::shared_ptr<Capture> capture;
    // How much it was given, and how much of that another stream of its capture waits for.
    size_t n_submitted = 0, n_joined = 0;
};

struct Event {
    typedef std::chrono::steady_clock Clock;
    static constexpr unsigned DISABLE_TIMING = 2;
    explicit Event(unsigned flags) : flags(flags) {}
    unsigned flags;
    bool is_recorded = false;
    Clock::time_point time;
    // Where it was recorded last, if into a capture.
    std::shared_ptr<Capture> capture;
    Stream* stream = nullptr;
    size_t n_submitted = 0;
};

struct Graph {
    std::vector<DriverWork> nodes;
};
struct GraphExec {
    std::vector<DriverWork> nodes;
};

// Streams and what they keep in order.
class Streams {
   public:
    Handles<Stream> streams;
    Handles<Event> events;
    Handles<Graph> graphs;
    Handles<GraphExec> executables;

    // The stream of a handle; the first three are names of the default stream.
    Stream* find(CUstream handle) {
        constexpr size_t n_default_handles = 3;
        return reinterpret_cast<size_t>(handle) < n_default_handles ? &default_stream_ : streams.find(handle);
    }

    void clear() {
        streams.clear();
        events.clear();
        graphs.clear();
        executables.clear();
        default_stream_ = Stream(0);
    }

    // Refuses what waits for the stream, or needs it to be a real one.
    CUresult require_uncaptured(Stream& stream) {
        if (!stream.capture) return CUDA_SUCCESS;
        stream.capture->is_invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    // Refuses what may wait for any stream, as allocations do, while a capture that is not relaxed forbids it.
    CUresult require_no_strict_capture() {
        return refuse_while([](const Capture& capture) {
            const bool is_here = capture.thread == std::this_thread::get_id();
            return capture.mode == CaptureMode::Global || (capture.mode == CaptureMode::ThreadLocal && is_here);
        });
    }

    // Refuses what waits for all streams.
    CUresult require_no_capture() {
        return refuse_while([](const Capture&) { return true; });
    }

    // Whether work for the stream runs now; if not, `result` says what came of it.
    bool runs_now(Stream& stream, const DriverWork& work, CUresult& result) {
        stream.n_submitted++;
        if (stream.capture) {
            result = stream.capture->is_invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
            if (!stream.capture->is_invalid) stream.capture->nodes.push_back(work);
            return false;
        }
        result = require_no_blocking_capture(stream);
        return result == CUDA_SUCCESS;
    }

    CUresult destroy(Stream* stream) {
        if (!streams.find(stream)) return CUDA_ERROR_INVALID_HANDLE;
        const auto capture = stream->capture;
        if (capture && capture->origin == stream) leave(capture);
        if (capture) capture->is_invalid = true;
        return streams.remove(stream);
    }

    CUresult begin_capture(Stream& stream, CaptureMode mode) {
        if (&stream == &default_stream_) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        if (stream.capture) return CUDA_ERROR_ILLEGAL_STATE;
        stream.capture = std::make_shared<Capture>(Capture{&stream, mode, std::this_thread::get_id(), {}});
        return CUDA_SUCCESS;
    }

    CUresult end_capture(Stream& stream, CUgraph* graph) {
        *graph = nullptr;
        const auto capture = stream.capture;
        if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
        if (capture->origin != &stream) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
        const bool is_here = capture->thread == std::this_thread::get_id();
        if (capture->mode != CaptureMode::Relaxed && !is_here) return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
        const bool is_joined = leave(capture);
        if (capture->is_invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        if (!is_joined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
        *graph = graphs.add({capture->nodes});
        return CUDA_SUCCESS;
    }

    CUresult record(Event& event, Stream& stream) {
        if (stream.capture && stream.capture->is_invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        if (const CUresult refused = require_no_blocking_capture(stream)) return refused;
        event.is_recorded = true;
        event.time = Event::Clock::now();
        event.capture = stream.capture;
        event.stream = &stream;
        event.n_submitted = stream.n_submitted;
        return CUDA_SUCCESS;
    }

    CUresult wait(Stream& stream, Event& event) {
        if (!event.is_recorded) return CUDA_SUCCESS;
        if (!event.capture) {
            if (!stream.capture) return CUDA_SUCCESS;
            stream.capture->is_invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
        }
        if (&stream == &default_stream_) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        if (event.capture->has_ended) return CUDA_ERROR_CAPTURED_EVENT;
        if (event.capture->is_invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        if (stream.capture && stream.capture != event.capture) return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
        if (!stream.capture) {
            stream.capture = event.capture;
            // To wait is something that has to be joined again.
            stream.n_submitted++;
        }
        const bool is_other = event.stream != &stream && streams.find(event.stream);
        if (is_other) event.stream->n_joined = event.n_submitted;
        return CUDA_SUCCESS;
    }

   private:
    // Ends the capture for all its streams; whether the first has waited for all others.
    bool leave(const std::shared_ptr<Capture>& capture) {
        bool is_joined = true;
        streams.for_each([&](Stream& stream) {
            if (stream.capture != capture) return;
            if (&stream != capture->origin && stream.n_joined != stream.n_submitted) is_joined = false;
            stream.capture = nullptr;
        });
        capture->has_ended = true;
        return is_joined;
    }

    template <class F>
    CUresult refuse_while(F forbids) {
        CUresult result = CUDA_SUCCESS;
        streams.for_each([&](Stream& stream) {
            if (!stream.capture || !forbids(*stream.capture)) return;
            stream.capture->is_invalid = true;
            result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        });
        return result;
    }

    // The default stream waits for all streams that are not of the kind that says otherwise.
    CUresult require_no_blocking_capture(const Stream& stream) {
        if (&stream != &default_stream_) return CUDA_SUCCESS;
        CUresult result = CUDA_SUCCESS;
        streams.for_each([&](Stream& other) {
            if (!other.capture || other.flags & Stream::NON_BLOCKING) return;
            other.capture->is_invalid = true;
            result = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        });
        return result;
    }

    Stream default_stream_{0};
};

}  // namespace driver
