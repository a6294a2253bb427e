#pragma once
// ReplicaNumerics: the numerics id of a replica whose ranks each read their own slice of the weights, from what the ranks say they
// read. A rank that reads other bytes than in an earlier life, or computes otherwise, is refused: the streams of its replica could
// not go on. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "kernels/status.h"
#include "runtime/model/encoding.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/weights_digest.h"

namespace herd::membership {

class ReplicaNumerics {
 public:
  // Of a replica of so many ranks; `config` and `encoding` are the model's.
  ReplicaNumerics(std::uint32_t ranks, model::LlamaConfig config, model::Encoding encoding);

  // Rank `rank` has read its weights. kBadInput: it must not join the others. Then it is as if it had not read any.
  [[nodiscard]] Status on_ready(std::uint32_t rank, const std::string& numerics_class, const model::WeightsDigest& weights);
  // Once all ranks have; empty before.
  [[nodiscard]] const routing::NumericsId& id() const { return id_; }

 private:
  const model::LlamaConfig config_;
  const model::Encoding encoding_;
  std::string class_;                                       // of all of them; empty: not known yet
  std::vector<std::optional<model::WeightsDigest>> read_;  // by rank
  routing::NumericsId id_;
};

}  // namespace herd::membership
