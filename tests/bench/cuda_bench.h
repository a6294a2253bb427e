#pragma once
// The frame of cuda_bench: a GPU's device, random memory that is too large for its caches, timing, and the table. What
// is measured stands in cuda_bench.cc.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/gpu_backend.h"

namespace herd::bench {

struct Options {
  int gpu = 0;
  bool tiny = false;       // small shapes, no bounds: shows that everything runs (on the emulated library too)
  bool quick = false;      // fewer shapes and numbers of tokens
  double seconds = 0.1;    // of measuring, at least, per figure
  std::string json;        // also written there
  std::vector<std::string> parts;  // empty: all
};

struct Timing {
  double median_s = 0;
  double best_s = 0;
};

// One figure. bytes: each input read once, each output written once; flops: 2 a multiply-add. 0: not counted.
struct Row {
  std::string part, what;
  Timing time;
  double bytes = 0, flops = 0;
  double vendor_s = 0;  // cuBLASLt on the same shape; 0: not measured
};

// A figure with a promise.
struct Bar {
  std::string what;
  double value = 0;      // of a row: its share of the bound, which is not settled before the end
  double bar = 0;
  bool at_most = false;  // the value must not exceed the bar; otherwise it must reach it
  bool known = true;     // false: without bounds there is nothing to compare with
  Row row;               // timed: the row whose share counts
  [[nodiscard]] bool met() const { return at_most ? value <= bar : value >= bar; }
};

// Memory of a GPU filled with random bf16 in (-1/8, 1/8), handed out in turn from one end to the other and then anew,
// so that what comes back has left the caches.
class Pool {
 public:
  static Expected<std::unique_ptr<Pool>> make(Device& device, std::size_t bytes, const char* what);
  void* take(std::int64_t bytes);  // 256-byte aligned; at most the whole pool
  [[nodiscard]] void* data() const { return memory_->data(); }
  [[nodiscard]] std::int64_t bytes() const { return static_cast<std::int64_t>(memory_->bytes()); }

 private:
  explicit Pool(std::unique_ptr<DeviceBuffer> memory) : memory_(std::move(memory)) {}
  std::unique_ptr<DeviceBuffer> memory_;
  std::int64_t at_ = 0;
};

class Harness {
 public:
  // kMissing: no library, no GPU, not enough memory.
  static Expected<std::unique_ptr<Harness>> make(const Options& options);
  ~Harness();

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] Device* vendor() { return vendor_.get(); }  // its products by cuBLASLt; null where that is missing
  [[nodiscard]] const GpuRates& rates() const { return rates_; }
  [[nodiscard]] Pool& weights() { return *weights_; }
  [[nodiscard]] Pool& kv() { return *kv_; }
  // Input: random bf16 (or pairs of them as f32); operations may change it in place, but only into such values. Output:
  // to be written before it is read. A case's inputs (outputs) together take at most half a GiB.
  [[nodiscard]] TensorView input(DType dtype, std::int64_t rows, std::int64_t cols);
  [[nodiscard]] TensorView output(DType dtype, std::int64_t rows, std::int64_t cols);

  // A copy on the GPU, kept until the end.
  template <class T>
  T* copy(const std::vector<T>& values) {
    return static_cast<T*>(copy_bytes(values.data(), values.size() * sizeof(T)));
  }

  // Time of one body(i), i in [0, inner), recorded as one step and repeated; medians over samples of several repeats
  // between waits. Bodies of different i should touch different memory. Ends the process when the device fails.
  Timing time(Device& device, int inner, const std::function<void(int)>& body);
  // How many bodies that read `bytes` each leave the caches between two uses of the same memory.
  [[nodiscard]] int rotation(double bytes) const;
  // The least time any kernel could take; 0 when the bounds are not known.
  [[nodiscard]] double bound_s(double bytes, double flops) const;
  // A bound is what the GPU can do at its best: measured again after the parts, the better counts.
  void remeasure();

  void add(Row row);  // prints it
  void add(Bar bar);
  void add_share(std::string what, const Row& row, double bar);  // of the row's bound, at least
  void print() const;
  // Whole or not at all. complete: every part has ended.
  [[nodiscard]] Status write_json(bool complete) const;
  [[nodiscard]] bool bars_met() const;

 private:
  explicit Harness(Options options) : options_(std::move(options)) {}
  void* copy_bytes(const void* from, std::size_t bytes);
  void print_row(const Row& row) const;

  const Options options_;
  GpuInfo info_;
  GpuBackend* backend_ = nullptr;
  GpuRates rates_;
  std::unique_ptr<Device> device_, vendor_;
  std::unique_ptr<Pool> weights_, kv_, inputs_, outputs_;
  std::vector<std::unique_ptr<DeviceBuffer>> copies_;
  std::uint64_t key_ = 0;
  std::vector<Row> rows_;
  std::vector<Bar> bars_;
};

// Says why, writes the rows that there are, exits with the code of docs: 4 missing, 1 internal.
[[noreturn]] void stop(const Status& status);
void stop_unless(const Status& status);

}  // namespace herd::bench
