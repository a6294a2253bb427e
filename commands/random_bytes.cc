#include "commands/random_bytes.h"

#include <sys/random.h>

#include <algorithm>

#include "kernels/check.h"

namespace herd::commands {

void random_bytes(std::span<std::uint8_t> bytes) {
  HERD_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()), "getrandom gives bytes");
}

std::uint64_t random_number() {
  std::uint8_t bytes[8];
  random_bytes(bytes);
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes) number = number << 8 | byte;
  return number;
}

std::uint64_t random_incarnation() { return std::max<std::uint64_t>(1, random_number()); }

}  // namespace herd::commands
