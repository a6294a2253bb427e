#pragma once
// SingleRankSite: the ground of a process that is exactly one rank, on CPUs. It reads and digests its own slice of the weights, when
// the rank is prepared, and meets the other ranks in memory that all of them map. Any thread, but for what RankSite says.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "actors/ranks/rank_site.h"
#include "actors/ranks/shared_group.h"
#include "cluster/placement/rank_spec.h"
#include "runtime/model/weights_digest.h"

namespace herd::actors {

// The group that a rendezvous names, made for so many ranks; may wait for it. On the rank's thread.
using FindGroup = std::function<Expected<std::shared_ptr<const SharedGroup>>(const Rendezvous&)>;

struct SingleRankOptions {
  placement::RankSpec spec;
  FindGroup find_group;
  LoadProgress load_progress;  // on the rank's thread; may be empty
  std::function<void(Epoch)> on_group;  // it comes to a group of that epoch. Likewise
  RankHooks hooks;
  std::stop_token stop;        // weights are not read on once it is requested: kAborted
};

// What became of the rank's start, once it is prepared.
struct SingleRankFacts {
  std::string numerics_class;
  model::WeightsDigest weights;
  std::string device;  // for people
  std::size_t read_per_token = 0;  // bytes of its weights, by one decode step
};

class SingleRankSite final : public RankSite {
 public:
  // Opens the model's files; reads no weights. What model::open_model refuses; kUsage: the model cannot be cut so, or the rank is to
  // be on a GPU.
  [[nodiscard]] static Expected<std::shared_ptr<SingleRankSite>> open_model(SingleRankOptions options);
  explicit SingleRankSite(SingleRankOptions options);

  using RankSite::spec;
  [[nodiscard]] SingleRankFacts single_facts() const;

  // RankSite:
  placement::StepSpeed speed(const model::Encoding& encoding) const override;
  WeightSizes weights() const override { return {}; }
  std::string numerics_class() const override { return single_facts().numerics_class; }
  Expected<placement::DeviceMemory> measure(const placement::RankSpec& trial) override;
  SiteFacts facts() const override;
  std::vector<std::string> memory_notes() const override { return {}; }
  Expected<std::unique_ptr<Device>> make_device(const placement::RankSpec& spec, std::shared_ptr<ProgressWord> progress) override;
  Expected<std::shared_ptr<const model::LlamaWeights>> weights_of(const placement::RankSpec& spec, bool read_again) override;
  Expected<std::shared_ptr<Collective>> enter_group(const placement::RankSpec& spec, Epoch epoch, const Rendezvous& rendezvous,
                                                    Device& device) override;
  // The ranks' node opens groups.
  Expected<Rendezvous> open_group(ReplicaId replica, Epoch epoch) override;
  // Of that epoch and those before it, whether this rank has come to it or not: it reaches the ranks of all processes.
  void abort_group(ReplicaId replica, Epoch epoch, const Status& why) override;

 private:
  Status load_all(const LoadProgress&, model::LoadReport&) override { return {}; }
  placement::RankDevice device_of(ReplicaId, std::uint32_t) const override { return options_.spec.device; }
  Expected<RankGroup::MakeMember> make_members(std::int64_t deadline_ms) const override;

  const SingleRankOptions options_;
  mutable std::mutex mutex_;  // of the below
  SingleRankFacts facts_;
  std::shared_ptr<const SharedGroup> group_;  // that the rank came to last
  Epoch epoch_;                               // of it
  Epoch given_up_;                            // the last that was
  std::string why_;
};

}  // namespace herd::actors
