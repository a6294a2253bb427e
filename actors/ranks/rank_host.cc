#include "actors/ranks/rank_host.h"

#include <cstddef>
#include <stdexcept>
#include <utility>

#include "kernels/process_limits.h"
#include "runtime/shard/measure_rates.h"

namespace herd::actors {
namespace {

shard::ShardConfig shard_config(const placement::RankSpec& spec, const placement::ShardedModel& model) {
  shard::ShardConfig config;
  config.model = model.config;
  config.encoding = model.encoding;
  config.plan = model.shards[spec.rank];
  config.block_size = spec.shape.block_size;
  config.blocks = spec.shape.blocks;
  config.rows_max = spec.shape.rows_max;
  config.sequences_max = spec.shape.sequences_max;
  config.logit_rows_max = spec.shape.sequences_max;
  config.hash_logits = spec.shape.hash_logits;
  return config;
}

}  // namespace

RankHost::RankHost(placement::RankSpec spec, std::shared_ptr<RankSite> site, std::shared_ptr<ProgressWord> progress,
                   bool read_weights_again)
    : spec_(std::move(spec)),
      site_(std::move(site)),
      progress_(std::move(progress)),
      read_weights_again_(read_weights_again) {}

Expected<scheduler::DeviceRates> RankHost::prepare() {
  if (!spec_.device.on_gpu) lower_thread_priority(spec_.device.nice);  // this thread computes too; with a GPU it only looks on
  progress_->begin_step(0, 0);
  progress_->begin(Operation::kLoading);
  const auto weights = site_->weights_of(spec_, read_weights_again_);
  if (!weights) return fail(weights.error());
  progress_->begin(Operation::kPreparing);
  if (Status status = assemble(*weights); !status.ok()) return fail(std::move(status));
  auto rates = shard::measure_rates(device(), **weights, shard_config(spec_, site_->model()));
  if (Status status = rates ? shard_->allocate() : rates.error(); !status.ok())
    return fail(spec_.device.on_gpu ? std::move(status) : with_memory_advice(std::move(status)));
  progress_->begin(Operation::kIdle);
  return rates;
}

// Not before all ranks have measured what they can do.
void RankHost::commit_kv() {
  if (commit_ || !site_->hooks().commit_memory || !device().host_memory()) return;
  MemorySpans memory;
  for (int layer = 0; layer < shard_->kv().layers(); ++layer) {
    const KvView& kv = shard_->kv().layer(layer);
    memory.emplace_back(static_cast<std::byte*>(kv.data), static_cast<std::size_t>(kv.layout.bytes_per_block() * kv.blocks));
  }
  commit_.emplace(std::move(memory), site_->rope(), progress_, site_->hooks().warn);
}

Status RankHost::assemble(std::shared_ptr<const model::LlamaWeights> weights) {
  auto device = site_->make_device(spec_, progress_);
  if (!device) return device.error();
  auto seat = std::make_shared<CollectiveSeat>(static_cast<int>(spec_.rank), static_cast<int>(spec_.ranks), progress_);
  seat_ = seat.get();
  auto shard = std::make_unique<shard::ShardExecutor>(shard_config(spec_, site_->model()), std::move(weights), site_->rope(),
                                                      std::move(*device), std::move(seat));
  shard_ = shard.get();
  executor_ = std::move(shard);
  const WrapRank& wrap = site_->hooks().wrap_rank;
  if (wrap) executor_ = wrap(std::move(executor_), spec_.replica, spec_.rank);
  return {};
}

Status RankHost::join(Epoch epoch, const Rendezvous& rendezvous) {
  if (Status status = device().status(); !status.ok()) return status;
  progress_->begin_step(epoch.value, 0);
  progress_->begin(Operation::kPreparing);
  auto member = site_->enter_group(spec_, epoch, rendezvous, device());
  if (!member) return member.error();
  seat_->enter(std::move(*member));
  if (Status status = shard_->warm_up(); !status.ok()) {
    // Before anything of it is freed: that may wait for devices which wait for this rank.
    seat_->abort(status.message().c_str());
    return status;
  }
  shard_->join(epoch);
  commit_kv();
  progress_->begin(Operation::kIdle);
  return {};
}

void RankHost::leave() {
  progress_->begin(Operation::kPreparing);
  shard_->leave();
  seat_->leave();
  Status status = device().wait();
  progress_->begin(Operation::kIdle);
  if (!status.ok()) throw std::runtime_error(status.message());
}

}  // namespace herd::actors
