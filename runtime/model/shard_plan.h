#pragma once
// Which heads, MLP rows and vocabulary a tensor-parallel rank holds. Pure.
//
// Rule 3 (docs/numerics.md): a row-parallel product is cut along K into 8 leaves, added as a balanced binary tree; a rank
// owns a whole subtree, so every TP degree in {1, 2, 4, 8} adds in the same order. Units of cutting: 32 elements of the
// MLP, the fewest whole heads that make a multiple of 32 for attention, 16 ids (a panel) for the vocabulary. Leaf i
// holds units [floor(i U / 8), floor((i + 1) U / 8)). Slices may be uneven; a KV head needed by two ranks is on both.

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/status.h"
#include "kernels/tensor_view.h"
#include "runtime/model/llama_config.h"

namespace herd::model {

// Half-open range of global indices.
struct Range {
  int begin = 0;
  int end = 0;
  [[nodiscard]] int size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

// Borders of 8 leaves over `count` elements cut in units of `unit`; leaf i is [border[i], border[i + 1]).
std::array<int, kLeaves + 1> leaf_borders(int count, int unit);

// Of query heads: units of the fewest whole heads that make a multiple of 32.
std::array<int, kLeaves + 1> attention_leaf_borders(const LlamaConfig& config);

// Value. All ranges are in the model's global numbering; leaf_chunk arrays are local (chunk 0 = the slice's first).
struct ShardPlan {
  int rank = 0;
  int size = 1;
  int leaf_count = kLeaves;                     // leaves this rank owns: 8 / size
  Range heads;                                  // query heads
  Range kv_heads;
  std::vector<std::int32_t> kv_head_of_query;   // [heads.size()], local KV head index
  std::array<std::int32_t, kLeaves + 1> attention_leaf_chunk{};  // leaf_count + 1 used
  Range ffn;                                    // rows of gate and up, columns of down
  std::array<std::int32_t, kLeaves + 1> ffn_leaf_chunk{};
  Range vocab;                                  // begin is a multiple of 16
  std::array<int, kLeaves + 1> vocab_leaf{};    // local borders, leaf_count + 1 used
  bool operator==(const ShardPlan&) const = default;
};

// Vocabulary columns of the rank that holds most, of `tp` ranks (1, 2, 4 or 8).
std::int32_t widest_vocab_slice(int vocab_size, int tp);

// kUsage when tp is not 1, 2, 4 or 8, or when a rank would be left without a head, MLP unit or vocabulary.
Expected<ShardPlan> plan_shard(const model::LlamaConfig& config, int tp, int rank);

}  // namespace herd::model
