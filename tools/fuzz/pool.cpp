// The threads of a Llama's arithmetic: jobs of no part, one part and as many as there can be, one after the other
// and from several callers at once, on more threads than there are processors; pools that end as soon as they have
// begun. Made to be run under ThreadSanitizer.

#include <thread>

#include "../../spm/native/llama/pool.hpp"
#include "input.hpp"

namespace {

using fuzz::expect, fuzz::Input, spm::llama::Pool;

struct Job {
  size_t parts;
  bool slow;  // so that the others sleep
};

std::vector<Job> some_jobs(Input& input) {
  constexpr size_t kParts[] = {0, 1, 2, 3, 5, 7, 16, 33, 200, Pool::kMostParts};
  std::vector<Job> jobs;
  do jobs.push_back({kParts[input.below(std::size(kParts))], input.below(16) == 0});
  while (!input.empty() && jobs.size() < 60);
  return jobs;
}

// Every part once, by a thread of the pool, and all of it over when `run` returns: what the parts write is not
// atomic, and is read right after. A caller's job is where its stack was last time.
void run(Pool& pool, const Job& job) {
  std::vector<uint8_t> runs(job.parts);
  bool known = true;
  pool.run(job.parts, [&](size_t part, size_t thread) {
    runs[part]++;
    if (thread >= pool.threads()) known = false;
    if (job.slow && part == 0) std::this_thread::sleep_for(std::chrono::microseconds(120));
  });
  for (uint8_t times : runs) expect(times == 1, "a part ran " + std::to_string(times) + " times");
  expect(known, "a thread that is none of the pool");
}

void run_from(Pool& pool, const std::vector<Job>& jobs, size_t callers) {
  std::vector<std::thread> threads;
  for (size_t caller = 1; caller < callers; caller++)
    threads.emplace_back([&, caller] {
      for (size_t i = 0; i < jobs.size(); i++) run(pool, jobs[(i + caller) % jobs.size()]);
    });
  for (const Job& job : jobs) run(pool, job);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t threads = 1 + input.below(12), callers = 1 + input.below(4), beginnings = input.below(4);
  const std::vector<Job> jobs = some_jobs(input);
  for (size_t i = 0; i < beginnings; i++) {
    Pool pool(threads);
    if (i & 1) run(pool, jobs[0]);
  }
  Pool pool(threads);
  pool.survive_fork();  // there was none
  run_from(pool, jobs, callers);
  return 0;
}
