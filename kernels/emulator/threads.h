// Work on several threads of the host.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace emulator {

// Threads that wait for work, so that a launch does not pay for making them and their stacks.
class Pool {
   public:
    static Pool& get() {
        // Never destroyed: its threads wait for work until the process ends.
        static Pool* pool = new Pool;
        return *pool;
    }

    void run(size_t n_items, unsigned n_threads, const std::function<void(size_t)>& work) {
        std::lock_guard one_caller(caller_);
        std::unique_lock lock(mutex_);
        for (; n_made_ + 1 < n_threads; n_made_++) std::thread([this] { serve(); }).detach();
        work_ = &work;
        n_items_ = n_items;
        next_ = 0;
        n_invited_ = n_busy_ = n_threads - 1;
        invited_.notify_all();
        take(lock);
        done_.wait(lock, [this] { return n_busy_ == 0; });
    }

   private:
    [[noreturn]] void serve() {
        std::unique_lock lock(mutex_);
        while (true) {
            invited_.wait(lock, [this] { return n_invited_ > 0; });
            n_invited_--;
            take(lock);
            if (--n_busy_ == 0) done_.notify_one();
        }
    }

    void take(std::unique_lock<std::mutex>& lock) {
        while (next_ < n_items_) {
            const size_t item = next_++;
            lock.unlock();
            (*work_)(item);
            lock.lock();
        }
    }

    std::mutex caller_, mutex_;
    std::condition_variable invited_, done_;
    const std::function<void(size_t)>* work_ = nullptr;
    size_t n_items_ = 0, next_ = 0;
    unsigned n_made_ = 0, n_invited_ = 0, n_busy_ = 0;
};

// work(0) to work(n_items - 1), each once, on `n_threads` threads.
inline void in_parallel(size_t n_items, unsigned n_threads, const std::function<void(size_t)>& work) {
    if (n_threads > 1 && n_items > 1) return Pool::get().run(n_items, n_threads, work);
    for (size_t item = 0; item < n_items; item++) work(item);
}

}  // namespace emulator
