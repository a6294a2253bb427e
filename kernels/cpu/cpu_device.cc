// The CPU device: thread pool, the backend this CPU can run, memory from the kernel in whole pages. Operations run
// when they are enqueued, so wait() has nothing to wait for.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/dot_check.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/ops_cpu.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"
#include "kernels/process_limits.h"
#include "kernels/reference/ops_reference.h"

namespace herd {
namespace {

constexpr int kThreadsMax = 1024;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB"; }

// Zeroed pages of this process; committed when first touched. A mapping is page-aligned, so 64-byte aligned.
class MappedBuffer final : public DeviceBuffer {
 public:
  MappedBuffer(void* data, std::size_t bytes, std::size_t mapped) : data_(data), bytes_(bytes), mapped_(mapped) {}
  ~MappedBuffer() override { ::munmap(data_, mapped_); }
  MappedBuffer(const MappedBuffer&) = delete;
  MappedBuffer& operator=(const MappedBuffer&) = delete;

  void* data() const override { return data_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  void* data_;
  std::size_t bytes_;
  std::size_t mapped_;
};

class CpuDevice final : public Device {
 public:
  CpuDevice(IsaChoice choice, int threads, int nice, std::shared_ptr<ProgressWord> progress)
      : progress_(std::move(progress)), pool_(threads, nice), note_(std::move(choice.note)) {
    const CpuIsa isa = choice.isa;
    ops_ = make_checked_ops(isa == CpuIsa::kReference ? make_reference_ops() : make_cpu_ops(isa, pool_), true, progress_);
  }

  std::string description() const override {
    const int threads = pool_.threads();
    return std::string("cpu ") + ops_->name() + (note_.empty() ? "" : " (" + note_ + ")") + ", " +
           std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  }

  Ops& ops() override { return *ops_; }

  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) override {
    const std::size_t free = free_bytes();
    if (bytes > free) {
      return fail(
          missing(std::string(what) + ": needs " + mebibytes(bytes) + " of memory, " + mebibytes(free) + " are free"));
    }
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t mapped = std::max(page, (bytes + page - 1) / page * page);
    void* data = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      return fail(missing(std::string(what) + ": cannot map " + mebibytes(bytes) + ": " + std::strerror(errno)));
    }
    if (mapped >= kHugePageBytes) ::madvise(data, mapped, MADV_HUGEPAGE);  // a wish: small pages work too
    return std::make_unique<MappedBuffer>(data, bytes, mapped);
  }

  std::size_t free_bytes() const override { return available_memory_bytes(); }
  Status wait() override { return {}; }
  ProgressWord* progress() override { return progress_.get(); }

 private:
  const std::shared_ptr<ProgressWord> progress_;
  ThreadPool pool_;  // outlives the operations that run on it
  std::unique_ptr<Ops> ops_;
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
  auto choice = choose_isa(config.isa, cpu_features(), judge_dots);
  if (!choice) return fail(choice.error());
  try {
    return std::make_unique<CpuDevice>(std::move(*choice), config.threads == 0 ? usable_cpus() : config.threads, config.nice,
                                       config.progress);
  } catch (const std::system_error& refused) {
    return fail(no_thread(refused));
  }
}

}  // namespace herd
