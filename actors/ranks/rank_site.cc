#include "actors/ranks/rank_site.h"

#include <utility>

#include "actors/ranks/rank_host.h"

namespace herd::actors {

Status RankSite::load(const placement::ShardedModel& model, std::shared_ptr<const model::WeightSource> source,
                      const LoadProgress& progress, model::LoadReport& report) {
  model_ = model;
  source_ = std::move(source);
  return load_all(progress, report);
}

Status RankSite::open(const placement::RankSpec& spec) {
  spec_ = spec;
  rope_ = std::make_shared<const model::RopeTable>(model_.config.rope, model_.config.head_dim,
                                                   static_cast<int>(spec.shape.positions_max));
  return {};
}

placement::RankSpec RankSite::spec_of(ReplicaId replica, std::uint32_t rank) const {
  placement::RankSpec spec = spec_;
  spec.replica = replica;
  spec.rank = rank;
  spec.device = device_of(replica, rank);
  return spec;
}

std::unique_ptr<RankHost> RankSite::make_host(const RankStart& start) {
  return std::make_unique<RankHost>(spec_of(start.replica, start.rank), shared_from_this(), start.progress,
                                    start.read_weights_again);
}

Expected<std::unique_ptr<Rank>> RankSite::make_rank(const RankStart& start) { return make_host(start); }

Expected<Rendezvous> RankSite::open_group(ReplicaId replica, Epoch epoch) {
  auto members = make_members(spec_.shape.step_timeout.count());
  if (!members) return fail(members.error());
  return groups_.open(replica, epoch, std::make_shared<const RankGroup>(counts_.ranks, std::move(*members)));
}

void RankSite::abort_group(ReplicaId replica, Epoch epoch, const Status& why) { groups_.abort(replica, epoch, why); }

Expected<std::shared_ptr<Collective>> RankSite::enter_group(const placement::RankSpec& spec, Epoch, const Rendezvous& rendezvous,
                                                            Device& device) {
  const auto group = groups_.find(rendezvous);
  if (!group) return fail({StatusCode::kAborted, "the group of " + rendezvous + " was given up"});
  RankGroup::Wrap wrap;
  if (hooks_.wrap_group)
    wrap = [&](std::unique_ptr<Collective> member, int rank) {
      return hooks_.wrap_group(std::move(member), spec.replica, static_cast<std::uint32_t>(rank));
    };
  return group->join(static_cast<int>(spec.rank), device, wrap);
}

WeightSizes sizes_of(std::span<const std::shared_ptr<const model::LlamaWeights>> replica, bool embedding_shared) {
  WeightSizes sizes;
  for (const auto& weights : replica) {
    const bool has_embedding = !embedding_shared || weights == replica.front();
    sizes.bytes += weights->bytes() - (has_embedding ? 0 : static_cast<std::size_t>(weights->embedding.bytes()));
    sizes.read_per_token += weights->bytes_read_per_token();
  }
  return sizes;
}

}  // namespace herd::actors
