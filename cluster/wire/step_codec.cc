#include "cluster/wire/step_codec.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cluster/schema/step.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using step::BlockPart;
using step::SequenceSlice;
using step::SequenceStart;
using step::StepPlan;
using step::StepResult;

template <class Items>
void check_each_sequence_once(const Items& items, const char* what) {
  std::vector<SequenceId> ids;
  ids.reserve(items.size());
  for (const auto& item : items) ids.push_back(item.sequence);
  std::ranges::sort(ids);
  require(std::ranges::adjacent_find(ids) == ids.end(), what);
}

void check(const SequenceStart& start) {
  require(!start.tokens.empty() && start.tokens.size() <= kSequenceTokensMax, "start: tokens outside [1, 2^20]");
  check_token_ids(start.tokens, "start: negative token id");
  require(start.prompt_tokens <= start.tokens.size(), "start: prompt border outside the tokens");
  wire::check(start.sampling);
  require(start.stop_ids.size() <= kStopIdsMax, "start: more than 256 stop ids");
  check_token_ids(start.stop_ids, "start: negative stop id");
  require(start.prefix_blocks.size() <= kSequenceBlocksMax, "start: more than 2^20 blocks");
}

void check(const SequenceSlice& slice) {
  require(slice.rows >= 1 && slice.rows <= kSequenceTokensMax, "slice: rows outside [1, 2^20]");
  require(slice.position <= kSequenceTokensMax - slice.rows, "slice: ends beyond 2^20");
  require(slice.new_blocks.size() <= kSequenceBlocksMax, "slice: more than 2^20 blocks");
  require(slice.output_index < kSequenceTokensMax, "slice: output index too large");
}

// Copies or damaged blocks.
template <class Blocks>
void check_blocks(const Blocks& blocks, const char* twice) {
  require(blocks.size() <= kPlanCopiesMax, "more than 1024 blocks copied");
  std::vector<std::pair<TransferId, std::uint32_t>> names;
  for (const auto& block : blocks) {
    require(block.index < kSequenceBlocksMax, "block: index above 2^20");
    names.emplace_back(block.transfer, block.index);
  }
  std::ranges::sort(names);
  require(std::ranges::adjacent_find(names) == names.end(), twice);
}

void check(const StepPlan& plan) {
  require(plan.step.value >= 1, "step 0");
  require(plan.released.size() <= kStepSequencesMax, "more than 65536 released");
  require(plan.started.size() <= kStepSequencesMax, "more than 65536 started");
  require(plan.slices.size() <= kStepSequencesMax, "more than 65536 slices");
  for (const auto& start : plan.started) check(start);
  for (const auto& slice : plan.slices) check(slice);
  check_each_sequence_once(plan.started, "a sequence starts twice");
  check_each_sequence_once(plan.slices, "two slices of one sequence");
  check_blocks(plan.reads, "a block is read twice");
  check_blocks(plan.writes, "a block is written twice");
  require(plan.forgotten.size() <= kPlanCopiesMax, "more than 1024 transfers forgotten");
}

void check_outputs(const std::vector<step::OutputRows>& outputs, const std::vector<step::PromptLogprobs>& runs) {
  require(outputs.size() <= kStepSequencesMax, "more than 65536 outputs");
  require(runs.size() <= kStepSequencesMax, "more than 65536 runs of prompt logprobs");
  for (const auto& rows : outputs) wire::check(rows);
  for (const auto& run : runs) wire::check(run);
  check_each_sequence_once(runs, "two runs of prompt logprobs of one sequence");
}

void check_failures(const StepResult& result) {
  for (const auto& failure : result.failed) require(!failure.status.ok(), "a failure that is none");
  check_each_sequence_once(result.failed, "a sequence fails twice");
  if (result.failed.empty()) return;
  std::vector<SequenceId> failed;
  for (const auto& failure : result.failed) failed.push_back(failure.sequence);
  std::ranges::sort(failed);
  for (const auto& token : result.sampled)
    require(!std::ranges::binary_search(failed, token.sequence), "a token of a sequence that failed");
}

void check(const StepResult& result) {
  require(result.step.value >= 1, "step 0");
  require(result.rank < kRanksMax, "rank above 4095");
  require(result.sampled.size() <= kStepSequencesMax, "more than 65536 tokens");
  require(result.failed.size() <= kStepSequencesMax, "more than 65536 failures");
  require(result.status.ok() || (result.sampled.empty() && result.outputs.empty() && result.prompt_logprobs.empty() &&
                                 result.failed.empty() && result.blocks_written == 0),
          "a failed step with tokens");
  for (const auto& token : result.sampled) wire::check(token);
  check_outputs(result.outputs, result.prompt_logprobs);
  check_each_sequence_once(result.sampled, "two tokens of one sequence");
  check_failures(result);
  check_blocks(result.damaged, "a block is damaged twice");
  require(result.blocks_written <= kPlanCopiesMax && result.damaged.size() <= result.blocks_written,
          "more blocks damaged than written, or more than 1024 written");
  require(std::isfinite(result.stats.compute_seconds) && result.stats.compute_seconds >= 0.0, "seconds not finite");
  require(result.stats.prefill_rows <= result.stats.rows, "more prefill rows than rows");
}

void check(const BlockPart& part) {
  require(part.index < kSequenceBlocksMax, "index above 2^20");
  require(part.rank < kRanksMax, "rank above 4095");
  require(part.bytes_total >= 1 && part.bytes_total <= step::kBlockBytesMax, "bytes of the block outside [1, 2^28]");
  require(!part.bytes.empty() && part.bytes.size() <= step::kBlockPartBytesMax, "bytes outside [1, 2^20]");
  require(part.offset < part.bytes_total && part.bytes.size() <= part.bytes_total - part.offset, "ends beyond the block");
}

void write(schema::SequenceStart::Builder to, const SequenceStart& start) {
  to.setSequence(start.sequence.value);
  to.setTokens(kj::arrayPtr(start.tokens.data(), start.tokens.size()));
  to.setPromptTokens(start.prompt_tokens);
  wire::write(to.initSampling(), start.sampling);
  to.setStopIds(kj::arrayPtr(start.stop_ids.data(), start.stop_ids.size()));
  to.setAdapterSlot(start.adapter_slot);
  to.setOutput(wire::to_schema(start.output));
  auto prefix = to.initPrefixBlocks(static_cast<unsigned>(start.prefix_blocks.size()));
  for (unsigned i = 0; i < prefix.size(); ++i) prefix.set(i, start.prefix_blocks[i].value);
}

SequenceStart read(schema::SequenceStart::Reader from) {
  SequenceStart start;
  start.sequence = SequenceId(from.getSequence());
  start.tokens = read_numbers<TokenId>(from.getTokens(), kSequenceTokensMax, "start: more than 2^20 tokens");
  start.prompt_tokens = from.getPromptTokens();
  start.sampling = read_sampling(from.getSampling());
  start.stop_ids = read_numbers<TokenId>(from.getStopIds(), kStopIdsMax, "start: more than 256 stop ids");
  start.adapter_slot = from.getAdapterSlot();
  start.output = read_selector(from.getOutput());
  start.prefix_blocks =
      read_numbers<BlockId>(from.getPrefixBlocks(), kSequenceBlocksMax, "start: more than 2^20 blocks");
  return start;
}

void write(schema::SequenceSlice::Builder to, const SequenceSlice& slice) {
  to.setSequence(slice.sequence.value);
  to.setPosition(slice.position);
  to.setRows(slice.rows);
  auto blocks = to.initNewBlocks(static_cast<unsigned>(slice.new_blocks.size()));
  for (unsigned i = 0; i < blocks.size(); ++i) blocks.set(i, slice.new_blocks[i].value);
  to.setSample(slice.sample);
  to.setOutputIndex(slice.output_index);
}

SequenceSlice read(schema::SequenceSlice::Reader from) {
  SequenceSlice slice;
  slice.sequence = SequenceId(from.getSequence());
  slice.position = from.getPosition();
  slice.rows = from.getRows();
  slice.new_blocks = read_numbers<BlockId>(from.getNewBlocks(), kSequenceBlocksMax, "slice: more than 2^20 blocks");
  slice.sample = from.getSample();
  slice.output_index = from.getOutputIndex();
  return slice;
}

void write(capnp::List<schema::BlockCopy>::Builder to, const std::vector<step::BlockCopy>& copies) {
  for (unsigned i = 0; i < to.size(); ++i) {
    to[i].setTransfer(copies[i].transfer.value);
    to[i].setIndex(copies[i].index);
    to[i].setBlock(copies[i].block.value);
  }
}

std::vector<step::BlockCopy> read(capnp::List<schema::BlockCopy>::Reader from) {
  require(from.size() <= kPlanCopiesMax, "more than 1024 blocks copied");
  std::vector<step::BlockCopy> copies;
  for (const auto copy : from) copies.push_back({TransferId(copy.getTransfer()), copy.getIndex(), BlockId(copy.getBlock())});
  return copies;
}

StepPlan read(schema::StepPlan::Reader from) {
  StepPlan plan;
  plan.epoch = Epoch(from.getEpoch());
  plan.step = StepId(from.getStepId());
  plan.released = read_numbers<SequenceId>(from.getReleased(), kStepSequencesMax, "more than 65536 released");
  const auto started = from.getStarted();
  require(started.size() <= kStepSequencesMax, "more than 65536 started");
  for (const auto start : started) plan.started.push_back(read(start));
  const auto slices = from.getSlices();
  require(slices.size() <= kStepSequencesMax, "more than 65536 slices");
  plan.slices.reserve(slices.size());
  for (const auto slice : slices) plan.slices.push_back(read(slice));
  plan.reads = read(from.getReads());
  plan.writes = read(from.getWrites());
  plan.forgotten = read_numbers<TransferId>(from.getForgotten(), kPlanCopiesMax, "more than 1024 transfers forgotten");
  return plan;
}

std::vector<step::OutputRows> read_outputs(capnp::List<schema::OutputRows>::Reader from) {
  require(from.size() <= kStepSequencesMax, "more than 65536 outputs");
  std::vector<step::OutputRows> outputs;
  for (const auto rows : from) outputs.push_back(read_rows(rows));
  return outputs;
}

std::vector<step::PromptLogprobs> read_runs(capnp::List<schema::PromptLogprobs>::Reader from) {
  require(from.size() <= kStepSequencesMax, "more than 65536 runs of prompt logprobs");
  std::vector<step::PromptLogprobs> runs;
  for (const auto run : from) runs.push_back(read_prompt_logprobs(run));
  return runs;
}

void write_outputs(schema::StepResult::Builder& to, const std::vector<step::OutputRows>& outputs,
                   const std::vector<step::PromptLogprobs>& prompt_logprobs) {
  auto rows = to.initOutputs(static_cast<unsigned>(outputs.size()));
  for (unsigned i = 0; i < rows.size(); ++i) wire::write(rows[i], outputs[i]);
  if (prompt_logprobs.empty()) return;
  auto runs = to.initPromptLogprobs(static_cast<unsigned>(prompt_logprobs.size()));
  for (unsigned i = 0; i < runs.size(); ++i) wire::write(runs[i], prompt_logprobs[i]);
}

void write_failures(schema::StepResult::Builder& to, const std::vector<step::SequenceFailure>& failed) {
  if (failed.empty()) return;
  auto failures = to.initFailed(static_cast<unsigned>(failed.size()));
  for (unsigned i = 0; i < failures.size(); ++i) {
    failures[i].setSequence(failed[i].sequence.value);
    wire::write(failures[i].initStatus(), failed[i].status);
  }
}

void write_damaged(schema::StepResult::Builder& to, const std::vector<step::DamagedBlock>& damaged) {
  if (damaged.empty()) return;
  auto blocks = to.initDamaged(static_cast<unsigned>(damaged.size()));
  for (unsigned i = 0; i < blocks.size(); ++i) {
    blocks[i].setTransfer(damaged[i].transfer.value);
    blocks[i].setIndex(damaged[i].index);
  }
}

BlockPart read(schema::BlockPart::Reader from) {
  BlockPart part{TransferId(from.getTransfer()), from.getIndex(), from.getRank(), from.getCrc32c(), from.getBytesTotal(),
                 from.getOffset(), {}};
  const auto bytes = from.getBytes();
  require(bytes.size() <= step::kBlockPartBytesMax, "bytes outside [1, 2^20]");
  const auto* const first = reinterpret_cast<const std::byte*>(bytes.begin());
  part.bytes.assign(first, first + bytes.size());
  return part;
}

StepResult read(schema::StepResult::Reader from) {
  StepResult result;
  result.epoch = Epoch(from.getEpoch());
  result.step = StepId(from.getStepId());
  result.rank = from.getRank();
  result.status = read_status(from.getStatus());
  const auto sampled = from.getSampled();
  require(sampled.size() <= kStepSequencesMax, "more than 65536 tokens");
  result.sampled.reserve(sampled.size());
  for (const auto token : sampled) result.sampled.push_back(read_sampled(token));
  result.outputs = read_outputs(from.getOutputs());
  result.prompt_logprobs = read_runs(from.getPromptLogprobs());
  const auto failed = from.getFailed();
  require(failed.size() <= kStepSequencesMax, "more than 65536 failures");
  for (const auto failure : failed)
    result.failed.push_back({SequenceId(failure.getSequence()), read_status(failure.getStatus())});
  const auto damaged = from.getDamaged();
  require(damaged.size() <= kPlanCopiesMax, "more than 1024 blocks damaged");
  for (const auto block : damaged) result.damaged.push_back({TransferId(block.getTransfer()), block.getIndex()});
  result.blocks_written = from.getBlocksWritten();
  result.token_hash = from.getTokenHash();
  const auto stats = from.getStats();
  result.stats = {stats.getRows(), stats.getSequences(), stats.getComputeSeconds(), stats.getContextTokens(),
                  stats.getPrefillRows()};
  return result;
}

}  // namespace

Status validate(const StepPlan& plan) {
  return status_of([&] { check(plan); });
}

Status validate(const StepResult& result) {
  return status_of([&] { check(result); });
}

Status validate(const BlockPart& part) {
  return status_of([&] { check(part); });
}

Frame encode(const StepPlan& plan) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::StepPlan>();
  to.setEpoch(plan.epoch.value);
  to.setStepId(plan.step.value);
  auto released = to.initReleased(static_cast<unsigned>(plan.released.size()));
  for (unsigned i = 0; i < released.size(); ++i) released.set(i, plan.released[i].value);
  auto started = to.initStarted(static_cast<unsigned>(plan.started.size()));
  for (unsigned i = 0; i < started.size(); ++i) write(started[i], plan.started[i]);
  auto slices = to.initSlices(static_cast<unsigned>(plan.slices.size()));
  for (unsigned i = 0; i < slices.size(); ++i) write(slices[i], plan.slices[i]);
  if (!plan.reads.empty()) write(to.initReads(static_cast<unsigned>(plan.reads.size())), plan.reads);
  if (!plan.writes.empty()) write(to.initWrites(static_cast<unsigned>(plan.writes.size())), plan.writes);
  if (!plan.forgotten.empty()) {
    auto forgotten = to.initForgotten(static_cast<unsigned>(plan.forgotten.size()));
    for (unsigned i = 0; i < forgotten.size(); ++i) forgotten.set(i, plan.forgotten[i].value);
  }
  return {FrameKind::kStepPlan, to_words(message)};
}

Frame encode(const StepResult& result) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::StepResult>();
  to.setEpoch(result.epoch.value);
  to.setStepId(result.step.value);
  to.setRank(result.rank);
  wire::write(to.initStatus(), result.status);
  auto sampled = to.initSampled(static_cast<unsigned>(result.sampled.size()));
  for (unsigned i = 0; i < sampled.size(); ++i) wire::write(sampled[i], result.sampled[i]);
  write_outputs(to, result.outputs, result.prompt_logprobs);
  write_failures(to, result.failed);
  write_damaged(to, result.damaged);
  to.setBlocksWritten(result.blocks_written);
  to.setTokenHash(result.token_hash);
  auto stats = to.initStats();
  stats.setRows(result.stats.rows);
  stats.setSequences(result.stats.sequences);
  stats.setComputeSeconds(result.stats.compute_seconds);
  stats.setContextTokens(result.stats.context_tokens);
  stats.setPrefillRows(result.stats.prefill_rows);
  return {FrameKind::kStepResult, to_words(message)};
}

Frame encode(const BlockPart& part) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::BlockPart>();
  to.setTransfer(part.transfer.value);
  to.setIndex(part.index);
  to.setRank(part.rank);
  to.setCrc32c(part.crc32c);
  to.setBytesTotal(part.bytes_total);
  to.setOffset(part.offset);
  to.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(part.bytes.data()), part.bytes.size()));
  return {FrameKind::kBlockPart, to_words(message)};
}

Expected<StepPlan> decode_step_plan(std::span<const std::uint64_t> words) {
  return read_message<schema::StepPlan, StepPlan>(FrameKind::kStepPlan, "plan", words,
                                                  [](schema::StepPlan::Reader from) {
                                                    StepPlan plan = read(from);
                                                    check(plan);
                                                    return plan;
                                                  });
}

Expected<StepResult> decode_step_result(std::span<const std::uint64_t> words) {
  return read_message<schema::StepResult, StepResult>(FrameKind::kStepResult, "result", words,
                                                      [](schema::StepResult::Reader from) {
                                                        StepResult result = read(from);
                                                        check(result);
                                                        return result;
                                                      });
}

Expected<BlockPart> decode_block_part(std::span<const std::uint64_t> words) {
  return read_message<schema::BlockPart, BlockPart>(FrameKind::kBlockPart, "block part", words,
                                                    [](schema::BlockPart::Reader from) {
                                                      BlockPart part = read(from);
                                                      check(part);
                                                      return part;
                                                    });
}

}  // namespace herd::wire
