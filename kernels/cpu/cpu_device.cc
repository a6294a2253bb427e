// The CPU device: thread pool, the backend this CPU can run, memory in huge pages. Operations run when they
// are enqueued, so wait() has nothing to wait for.

#include <string>
#include <system_error>
#include <utility>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/ops_cpu.h"
#include "kernels/cpu/row_packer_cpu.h"
#include "kernels/cpu/slab_memory.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"
#include "kernels/process_limits.h"
#include "kernels/reference/ops_reference.h"

namespace herd {
namespace {

constexpr int kThreadsMax = 1024;

class CpuDevice final : public Device {
 public:
  CpuDevice(IsaChoice choice, int threads, int nice, std::shared_ptr<ProgressWord> progress)
      : progress_(std::move(progress)), pool_(threads, nice), note_(std::move(choice.note)) {
    const CpuIsa isa = choice.isa;
    if (isa != CpuIsa::kReference) packer_ = make_cpu_row_packer(kernels_of(isa), pool_, *memory_);
    auto ops = isa == CpuIsa::kReference ? make_reference_ops() : make_cpu_ops(isa, pool_, *memory_);
    ops_ = make_checked_ops(std::move(ops), true, progress_);
  }

  std::string description() const override {
    const int threads = pool_.threads();
    return std::string("cpu ") + ops_->name() + (note_.empty() ? "" : " (" + note_ + ")") + ", " +
           std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  }

  Ops& ops() override { return *ops_; }

  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) override {
    return memory_->allocate(bytes, what);
  }

  std::size_t free_bytes() const override { return available_memory_bytes(); }
  Status wait() override { return {}; }
  RowPacker* row_packer() override { return packer_.get(); }
  ProgressWord* progress() override { return progress_.get(); }

 private:
  const std::shared_ptr<ProgressWord> progress_;
  const std::shared_ptr<SlabMemory> memory_ = SlabMemory::make();
  ThreadPool pool_;  // outlives the operations that run on it
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<RowPacker> packer_;  // the reference has none: it is to be read, not to be fast
  const std::string note_;  // why not the fastest
};

}  // namespace

Expected<std::unique_ptr<Device>> make_cpu_device(const CpuDeviceConfig& config) {
  if (config.threads < 0 || config.threads > kThreadsMax) {
    return fail(usage_error("threads: " + std::to_string(config.threads) + " is not within 0 (all usable CPUs) and " +
                            std::to_string(kThreadsMax)));
  }
  if (config.nice < 0 || config.nice > 19)
    return fail(usage_error("niceness of compute threads: " + std::to_string(config.nice) + " is not within [0, 19]"));
  auto choice = choose_isa(config.isa, cpu_features(), trials());
  if (!choice) return fail(choice.error());
  try {
    return std::make_unique<CpuDevice>(std::move(*choice), config.threads == 0 ? usable_cpus() : config.threads, config.nice,
                                       config.progress);
  } catch (const std::system_error& refused) {
    return fail(no_thread(refused));
  }
}

}  // namespace herd
