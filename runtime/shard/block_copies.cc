#include "runtime/shard/block_copies.h"

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "kernels/crc32c.h"

namespace herd::shard {
namespace {

std::string name_of(const step::BlockCopy& copy) {
  return "block " + std::to_string(copy.index) + " of transfer " + std::to_string(copy.transfer.value);
}

}  // namespace

Status BlockCopies::check(const step::StepPlan& plan) const {
  for (const auto* copies : {&plan.reads, &plan.writes}) {
    for (const step::BlockCopy& copy : *copies) {
      if (copy.block.value < kv_.blocks()) continue;
      return {StatusCode::kInternal,
              "step plan: " + name_of(copy) + ": block " + std::to_string(copy.block.value) + " outside the pool"};
    }
  }
  return {};
}

Status BlockCopies::run(const step::StepPlan& plan, step::StepResult& result, std::vector<step::BlockBytes>& read_blocks) {
  if (Status status = check(plan); !status.ok()) return status;
  for (const step::BlockCopy& copy : plan.reads) read_blocks.push_back(read(copy));
  // What came from a device with memory of its own is only good when no error surfaces.
  if (!plan.reads.empty()) {
    if (Status status = device_.wait(); !status.ok()) return status;
    for (step::BlockBytes& block : read_blocks) block.crc32c = crc32c(block.bytes);
  }
  for (const step::BlockCopy& copy : plan.writes) {
    if (!write(copy)) result.damaged.push_back({copy.transfer, copy.index});
    ++result.blocks_written;
  }
  for (const TransferId transfer : plan.forgotten) given_.forget(transfer);
  return {};
}

step::BlockBytes BlockCopies::read(const step::BlockCopy& copy) {
  const std::size_t layer_bytes = kv_.layer_block_bytes();
  step::BlockBytes block{copy.transfer, copy.index, rank_, 0, std::vector<std::byte>(kv_.block_bytes())};
  for (int layer = 0; layer < kv_.layers(); ++layer) {
    std::byte* const to = block.bytes.data() + static_cast<std::size_t>(layer) * layer_bytes;
    device_.download(to, kv_.block(layer, copy.block), layer_bytes);
  }
  return block;
}

bool BlockCopies::write(const step::BlockCopy& copy) {
  const std::optional<step::BlockBytes> given = given_.take(copy.transfer, copy.index);
  if (!given || given->rank != rank_ || given->bytes.size() != kv_.block_bytes()) return false;
  const bool host_memory = device_.host_memory();
  if (!host_memory && crc32c(given->bytes) != given->crc32c) return false;
  const std::size_t layer_bytes = kv_.layer_block_bytes();
  std::uint32_t crc = 0;
  for (int layer = 0; layer < kv_.layers(); ++layer) {
    std::byte* const to = kv_.block(layer, copy.block);
    device_.upload(to, given->bytes.data() + static_cast<std::size_t>(layer) * layer_bytes, layer_bytes);
    if (host_memory) crc = crc32c({to, layer_bytes}, crc);
  }
  return !host_memory || crc == given->crc32c;
}

}  // namespace herd::shard
