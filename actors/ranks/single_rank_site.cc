#include "actors/ranks/single_rank_site.h"

#include <utility>

#include "actors/ranks/model_source.h"
#include "cluster/placement/replica_plan.h"
#include "kernels/device.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/stoppable_source.h"

namespace herd::actors {
namespace {

CpuDeviceConfig device_config(const placement::RankDevice& device) { return {device.isa, device.threads, device.nice}; }

Status given_up(const std::string& why) { return {StatusCode::kAborted, why}; }

}  // namespace

SingleRankSite::SingleRankSite(SingleRankOptions options)
    : RankSite({.replicas = 1, .ranks = static_cast<int>(options.spec.ranks)}, options.hooks), options_(std::move(options)) {}

Expected<std::shared_ptr<SingleRankSite>> SingleRankSite::open_model(SingleRankOptions options) {
  const placement::RankSpec spec = options.spec;
  if (spec.device.on_gpu) return fail(usage_error("a rank on a GPU is a thread of `herd serve`, no process of its own yet"));
  auto opened = model::open_model(spec.model);
  if (!opened) return fail(opened.error());
  auto shards = placement::plan_shards(opened->config(), static_cast<int>(spec.ranks));
  if (!shards) return fail(shards.error());
  const auto source = std::make_shared<const model::StoppableSource>(source_of(*opened, spec.weights), options.stop);
  auto site = std::make_shared<SingleRankSite>(std::move(options));
  model::LoadReport report;
  const placement::ShardedModel sharded{opened->config(), encoding_of(*opened, spec.weights), std::move(*shards)};
  if (Status status = site->load(sharded, source, {}, report); !status.ok()) return fail(std::move(status));
  if (Status status = site->open(spec); !status.ok()) return fail(std::move(status));
  return site;
}

SingleRankFacts SingleRankSite::single_facts() const {
  const std::scoped_lock lock(mutex_);
  return facts_;
}

placement::StepSpeed SingleRankSite::speed(const model::Encoding&) const {
  return options_.spec.device.isa == CpuIsa::kReference ? placement::StepSpeed::kCpuReference : placement::StepSpeed::kCpu;
}

// Its node has decided what it takes.
Expected<placement::DeviceMemory> SingleRankSite::measure(const placement::RankSpec&) { return placement::DeviceMemory{}; }

SiteFacts SingleRankSite::facts() const { return {{single_facts().device}, {}, options_.spec.device.threads}; }

Expected<std::unique_ptr<Device>> SingleRankSite::make_device(const placement::RankSpec& spec,
                                                              std::shared_ptr<ProgressWord> progress) {
  CpuDeviceConfig config = device_config(spec.device);
  config.progress = std::move(progress);
  auto device = make_cpu_device(config);
  if (!device) return device;
  const std::scoped_lock lock(mutex_);
  facts_.device = (*device)->description();
  facts_.numerics_class = (*device)->numerics_class();
  return device;
}

// Every time: a rank that is made again is another process, and this one's weights may be damaged.
Expected<std::shared_ptr<const model::LlamaWeights>> SingleRankSite::weights_of(const placement::RankSpec& spec, bool) {
  auto device = make_cpu_device(device_config(spec.device));
  if (!device) return fail(device.error());
  model::LoadReport report;
  auto loaded = model::load_weights(model().config, source(), {model().shards[spec.rank]}, **device,
                                    {.encoding = model().encoding, .progress = options_.load_progress, .digest = true}, report);
  if (!loaded) return fail(loaded.error());
  if (hooks().warn) {
    for (const std::string& tensor : report.non_finite)
      hooks().warn("warning: " + spec.model.path + ": tensor " + tensor + " holds NaN or infinite values");
  }
  const std::scoped_lock lock(mutex_);
  facts_.weights = report.digests.front();
  facts_.read_per_token = loaded->front()->bytes_read_per_token();
  return loaded->front();
}

Expected<std::shared_ptr<Collective>> SingleRankSite::enter_group(const placement::RankSpec& spec, Epoch epoch,
                                                                  const Rendezvous& rendezvous, Device&) {
  auto group = options_.find_group(rendezvous);
  if (!group) return fail(group.error());
  {
    const std::scoped_lock lock(mutex_);
    if (epoch <= given_up_) {
      (*group)->abort(why_);
      return fail(given_up(why_));
    }
    group_ = *group;
    epoch_ = epoch;
  }
  if (options_.on_group) options_.on_group(epoch);
  std::unique_ptr<Collective> member = (*group)->join(static_cast<int>(spec.rank));
  if (hooks().wrap_group) member = hooks().wrap_group(std::move(member), spec.replica, spec.rank);
  return std::shared_ptr<Collective>(std::move(member));
}

Expected<Rendezvous> SingleRankSite::open_group(ReplicaId, Epoch) {
  return fail({StatusCode::kInternal, "a rank's process opens no group"});
}

void SingleRankSite::abort_group(ReplicaId, Epoch epoch, const Status& why) {
  const std::scoped_lock lock(mutex_);
  if (epoch > given_up_) {
    given_up_ = epoch;
    why_ = why.message();
  }
  if (group_ && epoch_ <= epoch) group_->abort(why.message());
}

Expected<RankGroup::MakeMember> SingleRankSite::make_members(std::int64_t) const {
  return fail({StatusCode::kInternal, "a rank's process opens no group"});
}

}  // namespace herd::actors
