#include "runtime/model/weights_digest.h"

#include <algorithm>
#include <numeric>

namespace herd::model {
namespace {

LeafCut cut(LeafCut::Along along, const std::array<int, kLeaves + 1>& border, int elements_per_index) {
  LeafCut made;
  made.along = along;
  for (std::size_t leaf = 0; leaf < border.size(); ++leaf)
    made.border[leaf] = std::int64_t{border[leaf]} * elements_per_index;
  return made;
}

std::span<const std::byte> bytes_of(const float* values, std::int64_t count) {
  return std::as_bytes(std::span(values, static_cast<std::size_t>(count)));
}

}  // namespace

Expected<digest::Digest128> join(std::span<const WeightsDigest> ranks) {
  digest::Digest128 sum = ranks.front().whole;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].whole != ranks.front().whole)
      return fail(bad_input("weights: rank " + std::to_string(rank) + " read other values than rank 0 of the tensors that " +
                            "both hold whole (embedding, norms): digests " + digest::hex(ranks[rank].whole) + " and " +
                            digest::hex(ranks.front().whole)));
    sum += ranks[rank].shared_out;
  }
  return sum;
}

LeafCuts leaf_cuts(const LlamaConfig& config) {
  using Along = LeafCut::Along;
  const auto heads = attention_leaf_borders(config);
  auto kv_heads = heads;  // a KV head begins with its first query head
  const int group = config.heads / config.kv_heads;
  for (int& border : kv_heads) border = (border + group - 1) / group;
  const auto ffn = leaf_borders(config.intermediate_size, kChunkK);
  return {.heads = cut(Along::kRows, heads, config.head_dim),
          .heads_bias = cut(Along::kColumns, heads, config.head_dim),
          .kv_heads = cut(Along::kRows, kv_heads, config.head_dim),
          .kv_heads_bias = cut(Along::kColumns, kv_heads, config.head_dim),
          .attention_inputs = cut(Along::kColumns, heads, config.head_dim),
          .ffn = cut(Along::kRows, ffn, 1),
          .ffn_bias = cut(Along::kColumns, ffn, 1),
          .ffn_inputs = cut(Along::kColumns, ffn, 1),
          .vocab = cut(Along::kRows, leaf_borders(config.vocab_size, kPanelOutputs), 1)};
}

WeightsDigester::WeightsDigester(const ShardPlan& plan)
    : first_leaf_(plan.rank * plan.leaf_count), last_leaf_(first_leaf_ + plan.leaf_count) {}

WeightsDigester::Tensor& WeightsDigester::tensor_of(std::string_view name, bool whole) {
  if (const auto found = tensors_.find(name); found != tensors_.end()) return found->second;
  Tensor tensor{whole, {}};
  for (int leaf = 0; leaf < (whole ? 1 : kLeaves); ++leaf)
    tensor.leaves.emplace_back(name, static_cast<std::uint64_t>(leaf));
  return tensors_.emplace(name, std::move(tensor)).first->second;
}

void WeightsDigester::add(std::string_view tensor, const LeafCut* cut, std::int64_t row, std::int64_t rows, std::int64_t col,
                          std::int64_t cols, const float* values) {
  Tensor& to = tensor_of(tensor, cut == nullptr);
  if (cut == nullptr) {
    for (std::int64_t i = 0; i < rows; ++i) to.leaves.front().add_row(bytes_of(values + i * cols, cols));
    return;
  }
  for (int leaf = first_leaf_; leaf < last_leaf_; ++leaf) {
    const std::int64_t begin = cut->border[static_cast<std::size_t>(leaf)];
    const std::int64_t end = cut->border[static_cast<std::size_t>(leaf) + 1];
    digest::Digester& digester = to.leaves[static_cast<std::size_t>(leaf)];
    if (cut->along == LeafCut::Along::kRows) {
      for (std::int64_t i = std::max(row, begin); i < std::min(row + rows, end); ++i)
        digester.add_row(bytes_of(values + (i - row) * cols, cols));
    } else if (const std::int64_t first = std::max(col, begin), last = std::min(col + cols, end); first < last) {
      for (std::int64_t i = 0; i < rows; ++i) digester.add_row(bytes_of(values + i * cols + first - col, last - first));
    }
  }
}

WeightsDigest WeightsDigester::finish() const {
  WeightsDigest sum;
  for (const auto& [name, tensor] : tensors_)
    for (const digest::Digester& leaf : tensor.leaves)
      if (leaf.bytes() > 0) (tensor.whole ? sum.whole : sum.shared_out) += leaf.finish();
  return sum;
}

}  // namespace herd::model
