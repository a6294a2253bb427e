#pragma once
// BlockCopies: the reads and writes of plans, on the KV memory of one rank. A block's bytes are those of all layers, one after
// the other, as they lie in memory.
//
// Copies run before the plan's rows, in order with what the device was given before. Where the device's memory is not the host's, a
// read waits for the steps that were enqueued before it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device.h"
#include "kernels/status.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/step/block_bytes.h"
#include "runtime/step/step_plan.h"

namespace herd::shard {

// Used by one thread. Device and memory outlive it.
class BlockCopies {
 public:
  BlockCopies(Device& device, const kv::KvStorage& kv, std::uint32_t rank) : device_(device), kv_(kv), rank_(rank) {}

  // For the writes of plans to come.
  void give(step::BlockBytes block) { given_.give(std::move(block)); }
  // What the reads bring goes to `read`; the result says how many blocks were written, and which of them are damaged. The device's
  // error otherwise. kInternal, and nothing done: a block outside the pool.
  [[nodiscard]] Status run(const step::StepPlan& plan, step::StepResult& result, std::vector<step::BlockBytes>& read);
  // Drops what was given.
  void clear() { given_.clear(); }

 private:
  [[nodiscard]] Status check(const step::StepPlan& plan) const;
  [[nodiscard]] step::BlockBytes read(const step::BlockCopy& copy);
  // Whether the block now holds what was sent.
  [[nodiscard]] bool write(const step::BlockCopy& copy);

  Device& device_;
  const kv::KvStorage& kv_;
  const std::uint32_t rank_;
  step::GivenBlocks given_;
};

}  // namespace herd::shard
