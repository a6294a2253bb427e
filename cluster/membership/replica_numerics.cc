#include "cluster/membership/replica_numerics.h"

#include <algorithm>
#include <utility>

#include "runtime/shard/numerics_id.h"

namespace herd::membership {

ReplicaNumerics::ReplicaNumerics(std::uint32_t ranks, model::LlamaConfig config, model::Encoding encoding)
    : config_(std::move(config)), encoding_(encoding), read_(ranks) {}

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
    id_ = shard::numerics_id({.numerics_class = numerics_class, .config = &config_, .encoding = encoding_, .weights = *joined});
  }
  class_ = numerics_class;
  read_ = std::move(read);
  return {};
}

}  // namespace herd::membership
