#include "kernels/progress.h"

#include <array>
#include <cstddef>

namespace herd {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(Operation::kCount)> kNames = {
    "idle",       "loading",  "preparing", "embedding",  "norm",        "matmul",   "adding",    "rope",
    "KV writing", "attention", "activation", "gathering rows", "sampling", "host work", "collective", "device step"};

}  // namespace

const char* operation_name(Operation operation) {
  const auto index = static_cast<std::size_t>(operation);
  return index < kNames.size() ? kNames[index] : "unknown operation";
}

}  // namespace herd
