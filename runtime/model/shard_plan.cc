#include "runtime/model/shard_plan.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "kernels/check.h"

namespace herd::model {

std::array<int, kLeaves + 1> leaf_borders(int count, int unit) {
  const std::int64_t units = (std::int64_t{count} + unit - 1) / unit;
  std::array<int, kLeaves + 1> border{};
  for (int leaf = 0; leaf <= kLeaves; ++leaf) {
    const std::int64_t first_unit = leaf * units / kLeaves;
    border[leaf] = static_cast<int>(std::min<std::int64_t>(count, first_unit * unit));
  }
  return border;
}

namespace {

// Local chunk borders of leaves [first, first + count) over elements with the given global borders.
std::array<std::int32_t, kLeaves + 1> local_chunks(const std::array<int, kLeaves + 1>& border, int first, int count,
                                                   int elements_per_index) {
  std::array<std::int32_t, kLeaves + 1> chunks{};
  const std::int64_t origin = std::int64_t{border[first]} * elements_per_index;
  for (int leaf = 0; leaf <= count; ++leaf) {
    const std::int64_t element = std::int64_t{border[first + leaf]} * elements_per_index - origin;
    chunks[leaf] = static_cast<std::int32_t>((element + kChunkK - 1) / kChunkK);  // only the last may be partial
  }
  return chunks;
}

Status nothing_left(int rank, int tp, const char* what, int units) {
  return usage_error("--tensor-parallel-size " + std::to_string(tp) + ": rank " + std::to_string(rank) +
                     " would be left without " + what + " (the model has " + std::to_string(units) +
                     "); use a smaller degree");
}

}  // namespace

std::array<int, kLeaves + 1> attention_leaf_borders(const LlamaConfig& config) {
  const int heads_per_unit = static_cast<int>(kChunkK / std::gcd<std::int64_t>(kChunkK, config.head_dim));
  return leaf_borders(config.heads, heads_per_unit);
}

std::int32_t widest_vocab_slice(int vocab_size, int tp) {
  const auto border = leaf_borders(vocab_size, kPanelOutputs);
  const int leaves = kLeaves / tp;
  std::int32_t widest = 0;
  for (int rank = 0; rank < tp; ++rank) {
    const auto first = static_cast<std::size_t>(rank * leaves);
    widest = std::max(widest, border[first + static_cast<std::size_t>(leaves)] - border[first]);
  }
  return widest;
}

Expected<ShardPlan> plan_shard(const model::LlamaConfig& config, int tp, int rank) {
  if (tp != 1 && tp != 2 && tp != 4 && tp != 8)
    return fail(usage_error("--tensor-parallel-size must be 1, 2, 4 or 8, not " + std::to_string(tp)));
  HERD_CHECK(rank >= 0 && rank < tp, "rank outside its group");

  ShardPlan plan;
  plan.rank = rank;
  plan.size = tp;
  plan.leaf_count = kLeaves / tp;
  const int first = rank * plan.leaf_count;
  const int last = first + plan.leaf_count;

  const auto head_border = attention_leaf_borders(config);
  plan.heads = {head_border[first], head_border[last]};
  if (plan.heads.size() == 0) return fail(nothing_left(rank, tp, "an attention head", config.heads));
  const int group = config.heads / config.kv_heads;
  plan.kv_heads = {plan.heads.begin / group, (plan.heads.end - 1) / group + 1};
  for (int head = plan.heads.begin; head < plan.heads.end; ++head)
    plan.kv_head_of_query.push_back(head / group - plan.kv_heads.begin);
  plan.attention_leaf_chunk = local_chunks(head_border, first, plan.leaf_count, config.head_dim);

  const auto ffn_border = leaf_borders(config.intermediate_size, kChunkK);
  plan.ffn = {ffn_border[first], ffn_border[last]};
  if (plan.ffn.size() == 0)
    return fail(nothing_left(rank, tp, "a part of the MLP", static_cast<int>((config.intermediate_size + kChunkK - 1) / kChunkK)));
  plan.ffn_leaf_chunk = local_chunks(ffn_border, first, plan.leaf_count, 1);

  const auto vocab_border = leaf_borders(config.vocab_size, kPanelOutputs);
  plan.vocab = {vocab_border[first], vocab_border[last]};
  if (plan.vocab.size() == 0) return fail(nothing_left(rank, tp, "a part of the vocabulary", config.vocab_size));
  for (int leaf = 0; leaf <= plan.leaf_count; ++leaf)
    plan.vocab_leaf[leaf] = vocab_border[first + leaf] - plan.vocab.begin;
  return plan;
}

}  // namespace herd::model
