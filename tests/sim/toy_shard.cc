#include "tests/sim/toy_shard.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/crc32c.h"

namespace herd::sim {
namespace {

using step::OutputSelector;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9E3779B97F4A7C15 + b;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// What a row writes: it depends on everything before it, its token and its position.
std::uint64_t lineage_of(std::uint64_t context, TokenId token, std::uint32_t position) {
  return mix(mix(context, static_cast<std::uint32_t>(token)), position);
}

// What reading one more slot adds to the context.
std::uint64_t read(std::uint64_t context, std::uint64_t lineage, TokenId token, std::uint32_t position) {
  return mix(context ^ lineage, std::uint64_t{position} << 32 | static_cast<std::uint32_t>(token));
}

std::uint64_t extend(std::uint64_t context, TokenId token, std::uint32_t position) {
  return read(context, lineage_of(context, token, position), token, position);
}

TokenId draw(std::uint64_t context, std::uint64_t seed, std::uint32_t choice, std::uint32_t output_index,
             TokenId vocab_size, std::span<const TokenId> masked) {
  std::uint64_t hash = mix(mix(context, seed), std::uint64_t{choice} << 32 | output_index);
  auto token = static_cast<TokenId>(hash % static_cast<std::uint64_t>(vocab_size));
  while (std::ranges::count(masked, token) > 0) token = (token + 1) % vocab_size;
  return token;
}

float row_value(std::uint64_t context, std::uint32_t layer) {
  return static_cast<float>(mix(context, layer) >> 40);  // 24 bits: exact
}

// One slot after the other: lineage, token, position, whether it is finite.
constexpr std::size_t kSlotBytes = 17;

void store(std::byte* to, const ToySlot& slot) {
  std::memcpy(to, &slot.lineage, 8);
  std::memcpy(to + 8, &slot.token, 4);
  std::memcpy(to + 12, &slot.position, 4);
  to[16] = static_cast<std::byte>(slot.finite ? 1 : 0);
}

ToySlot load(const std::byte* from) {
  ToySlot slot;
  std::memcpy(&slot.lineage, from, 8);
  std::memcpy(&slot.token, from + 8, 4);
  std::memcpy(&slot.position, from + 12, 4);
  slot.finite = from[16] != std::byte{0};
  return slot;
}

std::vector<std::byte> bytes_of(std::span<const ToySlot> slots) {
  std::vector<std::byte> bytes(slots.size() * kSlotBytes);
  for (std::size_t i = 0; i < slots.size(); ++i) store(bytes.data() + i * kSlotBytes, slots[i]);
  return bytes;
}

}  // namespace

std::vector<std::byte> toy_block(std::span<const TokenId> tokens, std::uint32_t index, std::uint32_t block_size) {
  std::vector<ToySlot> slots;
  std::uint64_t context = 0;
  for (std::uint32_t i = 0; i < (index + 1) * block_size; ++i) {
    if (i >= index * block_size) slots.push_back({lineage_of(context, tokens[i], i), tokens[i], i, true});
    context = extend(context, tokens[i], i);
  }
  return bytes_of(slots);
}

ToyStream toy_stream(const step::Submission& submission, std::uint32_t max_model_len, TokenId vocab_size) {
  std::vector<TokenId> stops = submission.sampling.stop_token_ids;
  if (!submission.sampling.ignore_eos) stops.insert(stops.end(), submission.eos_ids.begin(), submission.eos_ids.end());
  ToyStream stream;
  std::uint64_t context = 0;
  std::uint32_t length = 0;
  for (; length < submission.prompt_tokens; ++length) context = extend(context, submission.tokens[length], length);
  while (stream.finish == step::FinishReason::kNone) {
    const auto index = static_cast<std::uint32_t>(stream.tokens.size());
    if (index >= submission.max_tokens || length >= max_model_len) {
      stream.finish = step::FinishReason::kLength;
      break;
    }
    const bool masked = index < submission.sampling.min_tokens;
    const TokenId token = draw(context, submission.sampling.seed, submission.sampling.choice, index, vocab_size,
                               masked ? std::span<const TokenId>(stops) : std::span<const TokenId>());
    stream.tokens.push_back(token);
    context = extend(context, token, length++);
    if (!masked && std::ranges::count(stops, token) > 0) stream.finish = step::FinishReason::kStop;
  }
  return stream;
}

float toy_row(std::span<const TokenId> tokens, std::uint32_t layer) {
  std::uint64_t context = 0;
  for (std::uint32_t i = 0; i < tokens.size(); ++i) context = extend(context, tokens[i], i);
  return row_value(context, layer);
}

ToyShard::ToyShard(const ToyConfig& config)
    : config_(config), slots_(std::size_t{config.num_blocks} * config.block_size), holders_(config.num_blocks) {}

void ToyShard::violate(const step::StepPlan& plan, SequenceId id, const std::string& what) {
  if (!violation_) {
    violation_ = "step " + std::to_string(plan.step.value) + ", sequence " + std::to_string(id.value) + ": " + what;
  }
}

step::StepResult ToyShard::execute(const step::StepPlan& plan) {
  step::StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  if (plan.step.value != last_step_.value + 1) violate(plan, {}, "steps do not follow each other");
  last_step_ = plan.step;
  for (const SequenceId id : plan.released) release(plan, id);
  for (const step::SequenceStart& sequence : plan.started) start(plan, sequence);
  copy_blocks(plan, result);
  for (const step::SequenceSlice& slice : plan.slices) compute(plan, slice, result);
  for (const step::SampledToken& token : result.sampled) {
    result.token_hash = mix(mix(result.token_hash, token.sequence.value), static_cast<std::uint32_t>(token.token));
  }
  result.stats.sequences = static_cast<std::uint32_t>(plan.slices.size());
  return result;
}

ToySlot* ToyShard::slots_of(const step::StepPlan& plan, BlockId block) {
  if (block.value < config_.num_blocks) return &slots_[std::size_t{block.value} * config_.block_size];
  violate(plan, {}, "a copy of a block beyond the pool");
  return nullptr;
}

std::vector<std::byte> ToyShard::block_bytes(const ToySlot* slots) const {
  std::vector<ToySlot> moved(slots, slots + config_.block_size);
  if (config_.last_slot_first) std::ranges::reverse(moved);
  return bytes_of(moved);
}

void ToyShard::copy_blocks(const step::StepPlan& plan, step::StepResult& result) {
  for (const step::BlockCopy& copy : plan.reads) {
    const ToySlot* const slots = slots_of(plan, copy.block);
    if (slots == nullptr) return;
    std::vector<std::byte> bytes = block_bytes(slots);
    const std::uint32_t crc = crc32c(bytes);
    blocks_read_.push_back({copy.transfer, copy.index, 0, crc, std::move(bytes)});
  }
  for (const step::BlockCopy& copy : plan.writes) {
    ToySlot* const slots = slots_of(plan, copy.block);
    if (slots == nullptr) return;
    ++result.blocks_written;
    if (holders_[copy.block.value] > 0) violate(plan, {}, "a copy into a block that is in a table");
    // Whatever was there is gone, also when nothing good comes.
    std::fill_n(slots, config_.block_size, ToySlot{});
    const auto given = given_.take(copy.transfer, copy.index);
    const bool whole = given && given->bytes.size() == config_.block_size * kSlotBytes;
    for (std::uint32_t i = 0; whole && i < config_.block_size; ++i) slots[i] = load(given->bytes.data() + i * kSlotBytes);
    if (whole && config_.last_slot_first) std::reverse(slots, slots + config_.block_size);
    if (!whole || crc32c(block_bytes(slots)) != given->crc32c)
      result.damaged.push_back({copy.transfer, copy.index});
  }
  for (const TransferId transfer : plan.forgotten) given_.forget(transfer);
}

void ToyShard::release(const step::StepPlan& plan, SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return violate(plan, id, "released, but not known");
  for (const BlockId block : found->second.table) --holders_[block.value];
  sequences_.erase(found);
}

void ToyShard::start(const step::StepPlan& plan, const step::SequenceStart& start) {
  if (sequences_.contains(start.sequence)) return violate(plan, start.sequence, "started, but known already");
  Resident& resident = sequences_[start.sequence];
  resident.start = start;
  resident.tokens = start.tokens;
  for (const BlockId block : start.prefix_blocks) append_block(plan, start.sequence, resident, block);
  resident.computed = static_cast<std::uint32_t>(resident.table.size()) * config_.block_size;
  if (resident.computed >= resident.tokens.size()) violate(plan, start.sequence, "the whole prompt is cached");
}

void ToyShard::append_block(const step::StepPlan& plan, SequenceId id, Resident& resident, BlockId block) {
  if (block.value >= config_.num_blocks) return violate(plan, id, "a block beyond the pool");
  resident.table.push_back(block);
  ++holders_[block.value];
}

ToySlot& ToyShard::slot(const Resident& resident, std::uint32_t position) {
  const BlockId block = resident.table[position / config_.block_size];
  return slots_[std::size_t{block.value} * config_.block_size + position % config_.block_size];
}

void ToyShard::compute(const step::StepPlan& plan, const step::SequenceSlice& slice,
                       step::StepResult& result) {
  const auto found = sequences_.find(slice.sequence);
  if (found == sequences_.end()) return violate(plan, slice.sequence, "a slice of an unknown sequence");
  Resident& resident = found->second;
  for (const BlockId block : slice.new_blocks) append_block(plan, slice.sequence, resident, block);
  const std::uint32_t end = slice.position + slice.rows;
  if (slice.rows == 0 || slice.position != resident.computed) return violate(plan, slice.sequence, "rows out of order");
  if (end > resident.tokens.size()) return violate(plan, slice.sequence, "rows beyond the known tokens");
  if (end > resident.table.size() * config_.block_size) return violate(plan, slice.sequence, "rows beyond the table");
  std::uint64_t context = 0;
  bool finite = true;
  for (std::uint32_t i = 0; i < slice.position; ++i) {
    const ToySlot& stored = slot(resident, i);
    context = read(context, stored.lineage, stored.token, stored.position);
    finite = finite && stored.finite;
  }
  const bool poisoned =
      config_.poison_per_million > 0 &&
      mix(mix(config_.poison_seed, plan.step.value), slice.sequence.value) % 1000000 < config_.poison_per_million;
  if (poisoned) poisoned_.insert(slice.sequence);
  const bool prompt_logprobs = resident.start.output == OutputSelector::kPromptLogprobs;
  const bool all_rows = resident.start.output == OutputSelector::kLogitsAll ||
                        (resident.start.output >= OutputSelector::kHiddenAll && !prompt_logprobs);
  const bool layers = resident.start.output == OutputSelector::kHiddenAllLayers;
  step::PromptLogprobs run{slice.sequence, slice.position + 1, {}};
  std::vector<std::uint64_t> contexts;
  for (std::uint32_t i = slice.position; i < end; ++i) {
    if (holders_[resident.table[i / config_.block_size].value] > 1)
      violate(plan, slice.sequence, "writes to a shared block");
    const TokenId token = resident.tokens[i];
    finite = finite && !(poisoned && i + 1 == end);
    slot(resident, i) = {lineage_of(context, token, i), token, i, finite};
    context = extend(context, token, i);
    if (all_rows || i + 1 == end) contexts.push_back(context);
    if (prompt_logprobs && i + 1 < resident.start.prompt_tokens)
      run.tokens.push_back({resident.tokens[i + 1], finite ? -row_value(context, 0) : std::nanf(""), {}});
  }
  resident.computed = end;
  result.stats.rows += slice.rows;
  result.stats.context_tokens += end;
  if (slice.position < resident.start.tokens.size()) result.stats.prefill_rows += slice.rows;
  if (!run.tokens.empty()) result.prompt_logprobs.push_back(std::move(run));
  if (resident.start.output != OutputSelector::kNone && !prompt_logprobs) {
    step::OutputRows rows{slice.sequence,
                               end - static_cast<std::uint32_t>(contexts.size()),
                               static_cast<std::uint32_t>(contexts.size()),
                               layers ? kToyLayers : 1,
                               1,
                               {}};
    for (std::uint32_t layer = 0; layer < rows.layers; ++layer) {
      for (const std::uint64_t row : contexts) rows.values.push_back(row_value(row, layer));
    }
    result.outputs.push_back(std::move(rows));
  }
  if (!slice.sample) return;
  if (end != resident.tokens.size()) return violate(plan, slice.sequence, "samples before the last known token");
  if (slice.output_index != end - resident.start.prompt_tokens) violate(plan, slice.sequence, "wrong output index");
  const step::SamplingParams& params = resident.start.sampling;
  const bool masked = slice.output_index < params.min_tokens;
  const TokenId token = draw(context, params.seed, params.choice, slice.output_index, config_.vocab_size,
                             masked ? std::span<const TokenId>(resident.start.stop_ids) : std::span<const TokenId>());
  resident.tokens.push_back(token);
  result.sampled.push_back({slice.sequence, slice.output_index, token, 0.0F, {}, 0, finite});
}

}  // namespace herd::sim
