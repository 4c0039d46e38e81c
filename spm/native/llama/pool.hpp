// Threads that wait for small jobs: a token's pass is some two hundred of them, tens of microseconds each.
//
// A job is n parts, and whoever is free takes the next one: a thread that the system has put aside holds
// nothing up but the part it has begun. What is taken from is one word, the ticket:
//
//     job number (32 bits) | parts in all (16) | next part (16)
//
// A thread takes a part by exchanging the ticket for one whose part is one further. That fails if the job is
// another by now, so a thread that comes late can never run an old job's part or an old function: while parts
// of a job are open, its owner waits, and only the owner writes `call_` and `context_`.
//
// A thread without work spins for some fifty microseconds, the time between two jobs of a pass, and then
// sleeps.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace spm::llama {

inline void rest() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Crew {
 public:
  // `threads` with the caller's. Where the system gives fewer, these must do.
  explicit Crew(size_t threads) : threads(threads), process(getpid()) {
    others_.reserve(threads - 1);
    for (size_t thread = 1; thread < threads; thread++) {
      try {
        others_.emplace_back([this, thread] { serve(thread); });
      } catch (const std::system_error&) {
        break;
      }
    }
  }

  ~Crew() {
    ending_.store(true);
    number_.fetch_add(1);
    number_.notify_all();
    for (std::thread& other : others_) other.join();
  }
  Crew(const Crew&) = delete;

  const size_t threads;
  const pid_t process;

  template <class Job>
  void run(size_t parts, const Job& job) {
    std::lock_guard lock(serving_);
    if (parts <= 1 || others_.empty()) {
      for (size_t part = 0; part < parts; part++) job(part, size_t(0));
      return;
    }
    call_.store([](const void* context, size_t part,
                   size_t thread) { (*static_cast<const Job*>(context))(part, thread); },
                std::memory_order_relaxed);
    context_.store(&job, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    const uint32_t number = number_.load(std::memory_order_relaxed) + 1;
    ticket_.store(uint64_t(number) << 32 | uint64_t(parts) << 16, std::memory_order_release);
    number_.store(number);
    number_.notify_all();
    take_parts(number, 0);
    for (size_t spins = 0; done_.load(std::memory_order_acquire) != parts; spins++) {
      if (spins < 4096)
        rest();
      else
        std::this_thread::yield();
    }
  }

 private:
  void serve(size_t thread) {
    uint32_t seen = 0;
    while (true) {
      seen = next_number(seen);
      if (ending_.load()) return;
      take_parts(seen, thread);
    }
  }

  // Waits for a job's number other than `seen`.
  uint32_t next_number(uint32_t seen) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    do {
      for (int i = 0; i < 32; i++) {
        const uint32_t number = number_.load(std::memory_order_acquire);
        if (number != seen) return number;
        rest();
      }
    } while (std::chrono::steady_clock::now() < until);
    number_.wait(seen);
    return number_.load(std::memory_order_acquire);
  }

  void take_parts(uint32_t number, size_t thread) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (uint32_t(ticket >> 32) == number) {
      const size_t parts = ticket >> 16 & 0xffff, part = ticket & 0xffff;
      if (part == parts) return;
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
      call_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed), part, thread);
      done_.fetch_add(1, std::memory_order_release);
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  std::mutex serving_;
  std::vector<std::thread> others_;
  std::atomic<bool> ending_ = false;
  std::atomic<void (*)(const void*, size_t, size_t)> call_ = nullptr;
  std::atomic<const void*> context_ = nullptr;
  alignas(64) std::atomic<uint64_t> ticket_ = 0;
  alignas(64) std::atomic<uint32_t> number_ = 0;
  alignas(64) std::atomic<size_t> done_ = 0;
};

class Pool {
 public:
  static constexpr size_t kMostParts = 0xffff;

  explicit Pool(size_t threads) : crew_(new Crew(threads)) {}
  ~Pool() {
    if (ours(crew_)) delete crew_.load();
  }
  Pool(const Pool&) = delete;

  size_t threads() const { return crew_.load()->threads; }

  // Calls job(part, thread) for each part < parts, at most kMostParts, and returns when all are done. Of
  // threads that call at once, one is served after the other. A job may not throw.
  template <class Job>
  void run(size_t parts, const Job& job) {
    crew_.load()->run(parts, job);
  }

  // A fork leaves the threads behind, perhaps amid a job: the child begins with others. Those of the parent
  // are not touched, not even detached: the child's own threads may have their handles by now.
  void survive_fork() {
    Crew* left = crew_.load();
    if (ours(left)) return;
    auto fresh = std::make_unique<Crew>(left->threads);
    if (crew_.compare_exchange_strong(left, fresh.get())) fresh.release();
  }

 private:
  static bool ours(const Crew* crew) { return crew->process == getpid(); }

  std::atomic<Crew*> crew_;
};

}  // namespace spm::llama
