#include "runtime/shard/logit_rows.h"

#include <utility>

#include "kernels/local_collective.h"

namespace herd::shard {
namespace {

class HostLogitRows final : public LogitRows {
 public:
  HostLogitRows(const RankParts& parts, sampling::Sampler& sampler)
      : device_(parts.device), llama_(parts.llama), sampler_(sampler) {}

  std::vector<float> whole() override { return sampler_.gather_rows(slice()); }
  std::vector<step::PromptLogprob> score(std::span<const TokenId> targets, std::int32_t top) override {
    return sampler_.score(slice(), targets, top);
  }

 private:
  const TensorView& slice() {
    (void)device_.wait();
    return llama_.logits();
  }

  Device& device_;
  model::Llama& llama_;
  sampling::Sampler& sampler_;
};

// The Sampler sees one rank that holds the whole vocabulary.
class DeviceLogitRows final : public LogitRows {
 public:
  DeviceLogitRows(const RankParts& parts, const model::ShardPlan& whole, std::unique_ptr<Device> cpu)
      : device_(parts.device),
        llama_(parts.llama),
        cpu_(std::move(cpu)),
        alone_(std::move(make_local_group(1).front())),
        sampler_(whole, parts.config.model.vocab_size, *cpu_, *alone_, parts.config.hash_logits) {}

  std::vector<float> whole() override { return sampler_.gather_rows(copy()); }
  std::vector<step::PromptLogprob> score(std::span<const TokenId> targets, std::int32_t top) override {
    return sampler_.score(copy(), targets, top);
  }

 private:
  TensorView copy() {
    TensorView view = llama_.whole_logits();
    rows_.resize(static_cast<std::size_t>(view.rows * view.row_stride));
    device_.download(rows_.data(), view.data, rows_.size() * sizeof(float));
    view.data = rows_.data();
    return view;
  }

  Device& device_;
  model::Llama& llama_;
  const std::unique_ptr<Device> cpu_;
  const std::unique_ptr<Collective> alone_;
  sampling::Sampler sampler_;
  std::vector<float> rows_;
};

}  // namespace

std::unique_ptr<LogitRows> make_host_logit_rows(const RankParts& parts, sampling::Sampler& sampler) {
  return std::make_unique<HostLogitRows>(parts, sampler);
}

Expected<std::unique_ptr<LogitRows>> make_device_logit_rows(const RankParts& parts) {
  auto cpu = make_cpu_device({CpuIsa::kAuto, 1});
  if (!cpu) return fail(cpu.error());
  const auto whole = model::plan_shard(parts.config.model, 1, 0);
  if (!whole) return fail(whole.error());
  return std::make_unique<DeviceLogitRows>(parts, *whole, std::move(*cpu));
}

}  // namespace herd::shard
