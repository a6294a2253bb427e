#pragma once
// ToyShard: a rank whose KV slots hold token, position and lineage instead of keys and values, and whose next
// token hashes every slot of the context as read back through the block table. A wrong table, a block reused too
// early, a stale prefix or a token taken twice changes the stream, with no float in sight. The expected stream is
// toy_stream(), a pure function of the submission.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/ids.h"
#include "runtime/step/block_bytes.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::sim {

struct ToyConfig {
  std::uint32_t block_size = 16;
  std::uint32_t num_blocks = 0;
  TokenId vocab_size = 64;
  std::uint32_t poison_per_million = 0;  // slices whose last row comes out as a NaN
  std::uint64_t poison_seed = 0;
  bool last_slot_first = false;  // the layout of a block that is moved
};

struct ToyStream {
  std::vector<TokenId> tokens;  // all emitted ones, from output index 0
  step::FinishReason finish = step::FinishReason::kNone;
};

// What a submission must yield on any healthy replica. Tokens already emitted are part of it, and are recomputed.
ToyStream toy_stream(const step::Submission& submission, std::uint32_t max_model_len, TokenId vocab_size);
// The row that an OutputSelector asks for at the last of `tokens`: one float a layer.
float toy_row(std::span<const TokenId> tokens, std::uint32_t layer);

// What a transfer carries of block `index` of a sequence that begins with these tokens.
std::vector<std::byte> toy_block(std::span<const TokenId> tokens, std::uint32_t index, std::uint32_t block_size);

inline constexpr std::uint32_t kToyLayers = 3;  // entries of kHiddenAllLayers

// What a toy block has in place of one token's keys and values.
struct ToySlot {
  std::uint64_t lineage = 0;
  TokenId token = -1;
  std::uint32_t position = 0;
  bool finite = true;
};

// Machine: a plan in, its result out. A plan that breaks the protocol is remembered as a violation.
class ToyShard {
 public:
  explicit ToyShard(const ToyConfig& config);

  step::StepResult execute(const step::StepPlan& plan);
  // For the writes of plans to come.
  void give(step::BlockBytes block) { given_.give(std::move(block)); }
  // What the plans executed since it was asked last have read, in plan order.
  [[nodiscard]] std::vector<step::BlockBytes> take_blocks_read() { return std::exchange(blocks_read_, {}); }
  [[nodiscard]] std::uint64_t bytes_given() const { return given_.bytes(); }

  // The first broken promise of a plan.
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
  [[nodiscard]] bool was_poisoned(SequenceId id) const { return poisoned_.contains(id); }
  [[nodiscard]] std::size_t num_sequences() const { return sequences_.size(); }

 private:
  struct Resident {
    step::SequenceStart start;
    std::vector<TokenId> tokens;  // the start's, then those sampled here
    std::vector<BlockId> table;
    std::uint32_t computed = 0;
  };

  void copy_blocks(const step::StepPlan& plan, step::StepResult& result);
  // A block's slots in the order in which they are moved.
  [[nodiscard]] std::vector<std::byte> block_bytes(const ToySlot* slots) const;
  // The slots of a block of the pool; null, and a violation, for one beyond it.
  ToySlot* slots_of(const step::StepPlan& plan, BlockId block);
  void violate(const step::StepPlan& plan, SequenceId id, const std::string& what);
  void append_block(const step::StepPlan& plan, SequenceId id, Resident& resident, BlockId block);
  void release(const step::StepPlan& plan, SequenceId id);
  void start(const step::StepPlan& plan, const step::SequenceStart& start);
  void compute(const step::StepPlan& plan, const step::SequenceSlice& slice, step::StepResult& result);
  ToySlot& slot(const Resident& resident, std::uint32_t position);

  ToyConfig config_;
  std::vector<ToySlot> slots_;          // [num_blocks, block_size]
  std::vector<std::uint32_t> holders_;  // tables that list a block
  std::map<SequenceId, Resident> sequences_;
  std::set<SequenceId> poisoned_;
  step::GivenBlocks given_;
  std::vector<step::BlockBytes> blocks_read_;
  StepId last_step_;
  std::optional<std::string> violation_;
};

}  // namespace herd::sim
