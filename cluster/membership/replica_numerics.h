#pragma once
// ReplicaNumerics: the numerics id of a replica whose ranks each read their own slice of the weights, from what the ranks say they
// read. A rank that reads other bytes than in an earlier life, or computes otherwise, is refused: the streams of its replica could
// not go on. Pure.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "kernels/status.h"
#include "runtime/digest/digest.h"
#include "runtime/model/weights_digest.h"

namespace herd::membership {

class ReplicaNumerics {
 public:
  // The id of the model from the class of its arithmetic and the digest of all its weights (runtime/shard/numerics_id.h).
  using MakeId = std::function<routing::NumericsId(const std::string& numerics_class, const digest::Digest128& weights)>;
  // Of a replica of so many ranks.
  ReplicaNumerics(std::uint32_t ranks, MakeId make_id);

  // Rank `rank` has read its weights. kBadInput: it must not join the others. Then it is as if it had not read any.
  [[nodiscard]] Status on_ready(std::uint32_t rank, const std::string& numerics_class, const model::WeightsDigest& weights);
  // Once all ranks have; empty before.
  [[nodiscard]] const routing::NumericsId& id() const { return id_; }

 private:
  MakeId make_id_;
  std::string class_;                                       // of all of them; empty: not known yet
  std::vector<std::optional<model::WeightsDigest>> read_;  // by rank
  routing::NumericsId id_;
};

}  // namespace herd::membership
