#include "actors/ranks/cpu_rank_host.h"

#include <algorithm>
#include <utility>

#include "actors/ranks/rank_parts.h"
#include "kernels/local_collective.h"
#include "kernels/process_limits.h"

namespace herd::actors {
namespace {

class CpuRankHost final : public RankHost {
 public:
  CpuRankHost(CpuHostOptions options, RankCounts counts) : options_(std::move(options)), counts_(counts) {
    const int threads = options_.threads > 0 ? options_.threads : usable_cpus();
    device_config_ = {options_.isa, std::max(1, threads / (counts.replicas * counts.ranks)), options_.nice};
  }

  placement::StepSpeed speed(const model::Encoding&) const override {
    return options_.isa == CpuIsa::kReference ? placement::StepSpeed::kCpuReference : placement::StepSpeed::kCpu;
  }

  Status load(const placement::ShardedModel& model, const model::WeightSource& source, const LoadProgress& progress,
              model::LoadReport& report) override {
    auto device = make_cpu_device({options_.isa, options_.threads});
    if (!device) return device.error();
    auto weights =
        model::load_weights(model.config, source, model.shards, model.encoding, **device, progress, report);
    if (!weights) return weights.error();
    weights_ = std::move(*weights);
    numerics_class_ = (*device)->numerics_class();
    return {};
  }

  WeightSizes weights() const override { return sizes_of(weights_, true); }
  std::string numerics_class() const override { return numerics_class_; }

  // The ranks need no trial: their buffers are small beside what is left of the free memory for them.
  Expected<placement::DeviceMemory> measure(const placement::RankSpec&) override {
    auto device = make_cpu_device({options_.isa, 1});
    if (!device) return fail(device.error());
    placement::DeviceMemory memory;
    memory.free_bytes = static_cast<std::int64_t>((*device)->free_bytes());
    // Stacks take address space that no memory is behind.
    if (const auto left = address_space_left()) {
      const auto stacks = static_cast<std::int64_t>(thread_stack_bytes()) * options_.process_threads;
      memory.free_bytes = std::clamp<std::int64_t>(static_cast<std::int64_t>(*left) - stacks, 0, memory.free_bytes);
    }
    return memory;
  }

  Status open(const placement::RankSpec& spec) override {
    spec_ = spec;
    rope_ = make_rope(spec);
    auto device = make_cpu_device(device_config_);
    if (!device) return device.error();
    description_ = (*device)->description();
    for (int replica = 0; replica < counts_.replicas; ++replica) {
      Group group;
      for (auto& member : make_local_group(counts_.ranks, {.deadline_ms = spec.step_timeout.count()}))
        group.emplace_back(std::move(member));
      groups_.push_back(std::move(group));
    }
    return {};
  }

  HostFacts facts() const override {
    const auto places = static_cast<std::size_t>(counts_.replicas * counts_.ranks);
    return {std::vector<std::string>(places, description_), {}, device_config_.threads};
  }
  std::vector<std::string> memory_notes() const override { return {}; }

  Expected<std::unique_ptr<shard::RankExecutor>> make_rank(ReplicaId replica, std::uint32_t rank) override {
    lower_thread_priority(device_config_.nice);  // this thread is the rank's own and computes too
    auto device = options_.make_device(device_config_);
    if (!device) return fail(device.error());
    auto executor = assemble(spec_, rank, weights_[rank], rope_, std::move(*device), groups_[replica.value][rank]);
    if (Status status = executor->prepare(); !status.ok()) return fail(with_memory_advice(std::move(status)));
    return executor;
  }

  void abort(ReplicaId replica, const Status& why) override {
    for (const auto& member : groups_[replica.value]) member->abort(why.message().c_str());
  }

 private:
  using Group = std::vector<std::shared_ptr<Collective>>;  // a rank each

  const CpuHostOptions options_;
  const RankCounts counts_;
  CpuDeviceConfig device_config_;  // of a rank
  std::string numerics_class_;
  std::string description_;
  std::vector<std::shared_ptr<const model::LlamaWeights>> weights_;  // a rank each, shared by replicas
  // Unchanged since open(), read by the threads of all ranks:
  placement::RankSpec spec_;
  std::shared_ptr<const model::RopeTable> rope_;
  std::vector<Group> groups_;  // a replica each
};

}  // namespace

std::shared_ptr<RankHost> host_on_cpus(CpuHostOptions options, RankCounts counts) {
  return std::make_shared<CpuRankHost>(std::move(options), counts);
}

}  // namespace herd::actors
