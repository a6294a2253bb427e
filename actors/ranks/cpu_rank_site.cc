#include "actors/ranks/cpu_rank_site.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "kernels/process_limits.h"

namespace herd::actors {
namespace {

class CpuRankSite final : public RankSite {
 public:
  CpuRankSite(CpuSiteOptions options, RankCounts counts, RankHooks hooks)
      : RankSite(counts, std::move(hooks)), options_(std::move(options)) {
    const int threads = options_.threads > 0 ? options_.threads : usable_cpus();
    threads_per_rank_ = std::max(1, threads / (counts.replicas * counts.ranks));
  }

  placement::StepSpeed speed(const model::Encoding&) const override {
    return options_.isa == CpuIsa::kReference ? placement::StepSpeed::kCpuReference : placement::StepSpeed::kCpu;
  }

  WeightSizes weights() const override { return sizes_of(weights_, true); }
  std::vector<std::vector<PackedMatrix>> read_per_token() const override {
    std::vector<std::vector<PackedMatrix>> ranks;
    for (const auto& weights : weights_) ranks.push_back(weights->read_per_token());
    return ranks;
  }
  std::string numerics_class() const override { return numerics_class_; }

  // The ranks need no trial: their buffers are small beside what is left of the free memory for them.
  Expected<placement::DeviceMemory> measure(const placement::RankSpec&) override {
    auto device = make_cpu_device({options_.isa, 1});
    if (!device) return fail(device.error());
    placement::DeviceMemory memory;
    memory.free_bytes = std::max<std::int64_t>(1, static_cast<std::int64_t>((*device)->free_bytes()));  // 0: not looked at
    // Stacks take address space that no memory is behind.
    if (const auto left = address_space_left()) {
      const auto stacks = static_cast<std::int64_t>(thread_stack_bytes()) * options_.process_threads;
      memory.free_bytes = std::clamp<std::int64_t>(static_cast<std::int64_t>(*left) - stacks, 1, memory.free_bytes);
    }
    return memory;
  }

  Status open(const placement::RankSpec& spec) override {
    auto device = make_cpu_device({options_.isa, threads_per_rank_, options_.nice});
    if (!device) return device.error();
    description_ = (*device)->description();
    return RankSite::open(spec);
  }

  SiteFacts facts() const override {
    const auto places = static_cast<std::size_t>(counts().replicas * counts().ranks);
    return {std::vector<std::string>(places, description_), {}, threads_per_rank_};
  }
  std::vector<std::string> memory_notes() const override { return {}; }

  Expected<std::unique_ptr<Device>> make_device(const placement::RankSpec& spec,
                                                std::shared_ptr<ProgressWord> progress) override {
    CpuDeviceConfig config{spec.device.isa, spec.device.threads, spec.device.nice};
    config.progress = std::move(progress);
    return options_.make_device(config);
  }

  // A copy that is read again has an embedding of its own: the one that the others share may be what is damaged.
  Expected<std::shared_ptr<const model::LlamaWeights>> weights_of(const placement::RankSpec& spec, bool read_again) override {
    if (!read_again) {
      const std::scoped_lock lock(mutex_);
      return weights_[spec.rank];
    }
    auto device = make_cpu_device({spec.device.isa, spec.device.threads, spec.device.nice});
    if (!device) return fail(device.error());
    model::LoadReport report;
    auto loaded =
        model::load_weights(model().config, source(), {model().shards[spec.rank]}, **device, {model().encoding, {}}, report);
    if (!loaded) return fail(loaded.error());
    const std::scoped_lock lock(mutex_);
    weights_[spec.rank] = loaded->front();
    return weights_[spec.rank];
  }

 private:
  Status load_all(const LoadProgress& progress, model::LoadReport& report) override {
    auto device = make_cpu_device({options_.isa, options_.threads});
    if (!device) return device.error();
    auto weights =
        model::load_weights(model().config, source(), model().shards, **device, {model().encoding, progress}, report);
    if (!weights) return weights.error();
    weights_ = std::move(*weights);
    numerics_class_ = (*device)->numerics_class();
    return {};
  }

  placement::RankDevice device_of(ReplicaId, std::uint32_t) const override {
    return {.on_gpu = false, .isa = options_.isa, .threads = threads_per_rank_, .nice = options_.nice};
  }

  Expected<RankGroup::MakeMember> make_members(std::int64_t deadline_ms) const override {
    return local_members(counts().ranks, deadline_ms);
  }

  const CpuSiteOptions options_;
  int threads_per_rank_ = 1;
  std::string numerics_class_;
  std::string description_;
  std::mutex mutex_;                                                 // of the below, once ranks are made
  std::vector<std::shared_ptr<const model::LlamaWeights>> weights_;  // a rank each, shared by replicas
};

}  // namespace

std::shared_ptr<RankSite> site_on_cpus(CpuSiteOptions options, RankCounts counts, RankHooks hooks) {
  return std::make_shared<CpuRankSite>(std::move(options), counts, std::move(hooks));
}

}  // namespace herd::actors
