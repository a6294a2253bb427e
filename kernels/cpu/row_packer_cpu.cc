#include "kernels/cpu/row_packer_cpu.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/packed_blocks.h"

namespace herd {
namespace {

// What a thread reads at a time: a quarter of a small L2, and far more than a system call costs.
constexpr std::int64_t kBatchBytes = 128 << 10;

class CpuRowPacker final : public RowPacker {
 public:
  CpuRowPacker(const KernelTable& kernels, ThreadPool& pool, SlabMemory& memory)
      : kernels_(kernels), pool_(pool), memory_(memory) {}

  Status pack(const PackedMatrix& w, RowReader& reader) override {
    const WeightFormat source = reader.format();
    HERD_CHECK(source == w.format || (source == WeightFormat::kF32 && !is_quantized(w.format)),
               "rows are floats or in the matrix's own format");
    const std::int64_t row_bytes = is_quantized(source) ? stored_row_bytes(w) : herd::row_bytes(source, w.k);
    const std::int64_t batch_panels = std::max<std::int64_t>(1, kBatchBytes / (row_bytes * kPanelOutputs));
    const std::int64_t room = round_up(batch_panels * kPanelOutputs * row_bytes, 64);
    if (Status status = reserve(static_cast<std::size_t>(room * pool_.threads())); !status.ok()) return status;
    std::vector<Status> errors(static_cast<std::size_t>(pool_.threads()));
    std::atomic<bool> failed{false};
    pool_.parallel_for(w.outputs_padded() / kPanelOutputs, [&](std::int64_t begin, std::int64_t end, int thread) {
      void* const rows = static_cast<std::byte*>(batches_->data()) + room * thread;
      for (std::int64_t panel = begin; panel < end && !failed.load(std::memory_order_relaxed); panel += batch_panels) {
        const std::int64_t panel_end = std::min(panel + batch_panels, end);
        const std::int64_t row = panel * kPanelOutputs;
        const std::int64_t row_end = std::min(panel_end * kPanelOutputs, w.outputs);
        Status& status = errors[static_cast<std::size_t>(thread)];
        if (status = reader.read(row, row_end - row, thread, rows); !status.ok()) {
          failed = true;
        } else if (is_quantized(source)) {
          pack_block_panels(w, static_cast<const std::byte*>(rows), row, panel, panel_end);
        } else if (source == WeightFormat::kF32) {
          kernels_.pack_panels(w, static_cast<const float*>(rows), row, panel, panel_end);
        } else {
          kernels_.pack_pairs(w, static_cast<const std::uint16_t*>(rows), row, panel, panel_end);
        }
      }
    });
    const auto error = std::find_if(errors.begin(), errors.end(), [](const Status& status) { return !status.ok(); });
    return error == errors.end() ? Status{} : std::move(*error);
  }

 private:
  Status reserve(std::size_t bytes) {
    if (batches_ != nullptr && batches_->bytes() >= bytes) return {};
    batches_.reset();
    auto grown = memory_.allocate(bytes, "rows of weights on their way");
    if (!grown) return grown.error();
    batches_ = std::move(*grown);
    return {};
  }

  const KernelTable& kernels_;
  ThreadPool& pool_;
  SlabMemory& memory_;
  std::unique_ptr<DeviceBuffer> batches_;  // one a thread
};

}  // namespace

std::unique_ptr<RowPacker> make_cpu_row_packer(const KernelTable& kernels, ThreadPool& pool, SlabMemory& memory) {
  return std::make_unique<CpuRowPacker>(kernels, pool, memory);
}

}  // namespace herd
