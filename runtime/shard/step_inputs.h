#pragma once
// The arrays of a step on a device with memory of its own: one staged block at fixed addresses, uploaded once a step.

#include <cstdint>
#include <memory>

#include "kernels/device.h"
#include "kernels/staging.h"
#include "runtime/model/llama.h"
#include "runtime/shard/step_batch.h"

namespace herd::shard {

struct StepInputLimits {
  std::int64_t rows = 0;           // of a step
  std::int64_t sequences = 0;      // of a step, at most rows
  std::int64_t table_entries = 0;  // of all block tables of a step
};

class StepInputs {
 public:
  // kMissing when memory is short.
  static Expected<std::unique_ptr<StepInputs>> make(Device& device, const StepInputLimits& limits);

  // kInternal when the batch is beyond the limits.
  [[nodiscard]] Status check(const StepBatch& batch) const;

  // Enqueues the upload of the batch, filled up to `rows` rows when that is more than it has: each further row is a
  // sequence of its own without context, whose keys and values go nowhere. group_max: see AttentionBatch. The rows
  // returned hold addresses that depend on nothing and numbers that depend on `rows` alone when every sequence of the
  // batch has one row.
  model::StepRows place(const StepBatch& batch, std::int64_t rows, std::int32_t group_max);

  [[nodiscard]] std::int32_t* token_ids() const;           // as placed; ids of the step before are resolved in place
  [[nodiscard]] const std::int32_t* sample_rows() const;   // rows to sample; 0 where the batch was filled up

 private:
  // Byte offsets of the arrays; the tables last, so that a step uploads what it uses of them.
  struct Layout {
    std::size_t token_ids, positions, slots, query_begin, context_length, table_begin, split_begin, tile_begin,
        sample_rows, tables, end;
  };
  StepInputs(const StepInputLimits& limits, const Layout& layout, std::unique_ptr<StagedBuffer> memory)
      : limits_(limits), layout_(layout), memory_(std::move(memory)) {}
  static Layout lay_out(const StepInputLimits& limits);
  template <class T>
  [[nodiscard]] T* on_device(std::size_t offset) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(memory_->device()) + offset);
  }

  const StepInputLimits limits_;
  const Layout layout_;
  std::unique_ptr<StagedBuffer> memory_;
};

}  // namespace herd::shard
