#pragma once
// WeightsDigest: names every byte of the weights that one rank loaded, so that the ranks of any tensor-parallel degree add up
// to the name of the model they make. Each (tensor, leaf of 8) has a digest of its values as float32, row by row, keyed by
// the tensor's name and the leaf; digests are added.
//   q, gate, up, lm_head, biases of q, gate, up    a leaf's outputs: rows of the matrix
//   k, v and their biases                          a head belongs to the leaf of its first query head: on several ranks,
//                                                  counted on one
//   o, down                                        a leaf's inputs: columns
//   embedding, norms, biases of o and down         whole on every rank: not added over ranks, they have to be equal
// Pure.

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "kernels/tensor_view.h"
#include "runtime/digest/digest.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/shard_plan.h"

namespace herd::model {

struct WeightsDigest {
  digest::Digest128 shared_out;  // of this rank's leaves
  digest::Digest128 whole;
  bool operator==(const WeightsDigest&) const = default;
};

// Of a replica. kBadInput names a rank that holds other bytes of what is whole on every rank.
[[nodiscard]] Expected<digest::Digest128> join(std::span<const WeightsDigest> ranks);

// Which index of a tensor belongs to which leaf: leaf i is [border[i], border[i + 1]) of its rows or columns.
struct LeafCut {
  enum class Along : std::uint8_t { kRows, kColumns };
  Along along = Along::kRows;
  std::array<std::int64_t, kLeaves + 1> border{};
};

// How the tensors of a model are cut.
struct LeafCuts {
  LeafCut heads, heads_bias;        // q
  LeafCut kv_heads, kv_heads_bias;  // k, v
  LeafCut attention_inputs;         // o
  LeafCut ffn, ffn_bias;            // gate, up
  LeafCut ffn_inputs;               // down
  LeafCut vocab;                    // lm_head
};
[[nodiscard]] LeafCuts leaf_cuts(const LlamaConfig& config);

// Takes the rows of one rank's tensors as they are loaded: those of one tensor in rising order, none twice.
class WeightsDigester {
 public:
  // Of the leaves of `plan`.
  explicit WeightsDigester(const ShardPlan& plan);

  // Rows [row, row + rows) × columns [col, col + cols) of `tensor`, tightly packed. `cut` null: whole on every rank.
  void add(std::string_view tensor, const LeafCut* cut, std::int64_t row, std::int64_t rows, std::int64_t col,
           std::int64_t cols, const float* values);
  [[nodiscard]] WeightsDigest finish() const;

 private:
  struct Tensor {
    bool whole = false;
    std::vector<digest::Digester> leaves;  // 8, or 1 when whole
  };
  Tensor& tensor_of(std::string_view name, bool whole);

  int first_leaf_;
  int last_leaf_;  // exclusive
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace herd::model
