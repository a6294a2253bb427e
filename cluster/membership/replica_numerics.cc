#include "cluster/membership/replica_numerics.h"

#include <algorithm>
#include <utility>

namespace herd::membership {

ReplicaNumerics::ReplicaNumerics(std::uint32_t ranks, MakeId make_id) : make_id_(std::move(make_id)), read_(ranks) {}

Status ReplicaNumerics::on_ready(std::uint32_t rank, const std::string& numerics_class, const model::WeightsDigest& weights) {
  if (rank >= read_.size()) return bad_input("rank " + std::to_string(rank) + " of " + std::to_string(read_.size()));
  if (!class_.empty() && class_ != numerics_class)
    return bad_input("it computes as " + numerics_class + ", the ranks before it as " + class_);
  if (read_[rank] && *read_[rank] != weights)
    return bad_input("its weights are not those that it read before: the model's files have changed. Start the node again to "
                     "serve them");
  std::vector<std::optional<model::WeightsDigest>> read = read_;
  read[rank] = weights;
  if (std::ranges::all_of(read, [](const auto& one) { return one.has_value(); })) {
    std::vector<model::WeightsDigest> all;
    for (const auto& one : read) all.push_back(*one);
    const auto joined = model::join(all);
    if (!joined) return joined.error();
    id_ = make_id_(numerics_class, *joined);
  }
  class_ = numerics_class;
  read_ = std::move(read);
  return {};
}

}  // namespace herd::membership
