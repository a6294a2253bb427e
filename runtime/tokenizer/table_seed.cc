#include "runtime/tokenizer/table_seed.h"

#include <array>
#include <cstring>

#include <sys/auxv.h>

#include "kernels/splitmix64.h"

namespace herd::tokenizer {

// The kernel gives every process 16 bytes of chance with its arguments.
std::uint64_t table_seed() {
  static const std::uint64_t kSeed = [] {
    std::array<std::uint64_t, 2> words{};
    if (const auto* bytes = reinterpret_cast<const void*>(getauxval(AT_RANDOM))) std::memcpy(words.data(), bytes, sizeof words);
    return splitmix64_finish(words[0] + splitmix64_finish(words[1]));
  }();
  return kSeed;
}

}  // namespace herd::tokenizer
