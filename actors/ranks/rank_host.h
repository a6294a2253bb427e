#pragma once
// RankHost: one rank of a model through its lives: its weights and device, its executor, the groups it is in one after another.
// Made from a RankSpec, a value that a process could be started with; what it shares with other ranks of this process comes from
// their RankSite. Used by one thread.

#include <memory>
#include <optional>

#include "actors/ranks/collective_seat.h"
#include "actors/ranks/kv_commit.h"
#include "actors/ranks/rank.h"
#include "actors/ranks/rank_site.h"
#include "cluster/placement/rank_spec.h"
#include "kernels/device.h"
#include "runtime/shard/shard_executor.h"

namespace herd::actors {

class RankHost final : public Rank {
 public:
  RankHost(placement::RankSpec spec, std::shared_ptr<RankSite> site, std::shared_ptr<ProgressWord> progress,
           bool read_weights_again);

  // Takes its weights, allocates KV memory and step buffers. kMissing when memory is short.
  Expected<scheduler::DeviceRates> prepare() override;
  // Where steps are a device's, records them anew, as a recorded one holds its group's communicator. A device that has failed
  // refuses with its own error.
  Status join(Epoch epoch, const Rendezvous& rendezvous) override;
  // Throws when the device has failed: it cannot be taken back, so neither can this rank.
  void leave() override;
  [[nodiscard]] shard::RankExecutor& executor() override { return *executor_; }

  // Once prepared.
  [[nodiscard]] Device& device() { return shard_->device(); }

 private:
  // Its KV memory, where that is the host's.
  void commit_kv();
  // Its device and executor, without the memory that they need.
  Status assemble(std::shared_ptr<const model::LlamaWeights> weights);

  const placement::RankSpec spec_;
  const std::shared_ptr<RankSite> site_;
  const std::shared_ptr<ProgressWord> progress_;
  const bool read_weights_again_;
  CollectiveSeat* seat_ = nullptr;         // the executor's, so that a group's member is gone before the device
  shard::ShardExecutor* shard_ = nullptr;  // within executor_
  std::unique_ptr<shard::RankExecutor> executor_;
  std::optional<KvCommit> commit_;  // of the executor's memory: ends before it
};

}  // namespace herd::actors
