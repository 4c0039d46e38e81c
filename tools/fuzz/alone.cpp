// A harness without a fuzzer, for where there is none: inputs by chance, as many as the first argument says.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int, char** arguments) {
  const unsigned inputs = unsigned(std::atoi(arguments[1]));
  for (unsigned seed = 0; seed < inputs; seed++) {
    std::mt19937 chance(seed);
    std::vector<uint8_t> input(chance() % 64);
    for (uint8_t& byte : input) byte = uint8_t(chance());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%u inputs, no difference\n", inputs);
}
