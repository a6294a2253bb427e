#include "kernels/collective.h"

#include <iterator>

namespace herd {
namespace {

constexpr const char* kNames[] = {"embedding", "attention",        "mlp", "logits", "sampling",
                                  "candidates", "prompt logprobs", "test"};
static_assert(sizeof kNames / sizeof *kNames == static_cast<std::size_t>(CollectiveName::kCount));
constexpr const char* kKinds[] = {"all_gather", "exchange", "send", "receive"};

}  // namespace

const char* collective_name(CollectiveName name) {
  return name < CollectiveName::kCount ? kNames[static_cast<std::size_t>(name)] : "?";
}

std::string describe(const CollectiveOperation& operation) {
  const auto kind = static_cast<std::size_t>(operation.kind);
  return std::string(kind < std::size(kKinds) ? kKinds[kind] : "?") + " " + std::to_string(operation.number) + " (" +
         collective_name(operation.name) + ", " + std::to_string(operation.bytes) + " bytes)";
}

void Collective::exchange(CollectiveName, const void*, void*, std::size_t) { abort("this group cannot exchange slices"); }
void Collective::send(CollectiveName, int, const void*, std::size_t) { abort("this group cannot send to one rank"); }
void Collective::receive(CollectiveName, int, void*, std::size_t) { abort("this group cannot receive from one rank"); }

}  // namespace herd
