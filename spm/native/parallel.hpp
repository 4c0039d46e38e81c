// The same job on several threads.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace spm {

// Calls job(i) for each i < n, on up to `threads` threads of which the caller's is one; throws what
// the first of them that failed threw. Threads live as long as the call: nothing is left behind that a
// fork could break, and to start one takes some 20 us.
template <class Job>
void in_parallel(size_t n, size_t threads, Job job) {
  std::atomic<size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failing;
  auto work = [&] {
    try {
      for (size_t i; (i = next++) < n;) job(i);
    } catch (...) {
      next = n;
      std::lock_guard lock(failing);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(threads, n); i++) {
    try {
      others.emplace_back(work);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: these must do
    }
  }
  work();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace spm
