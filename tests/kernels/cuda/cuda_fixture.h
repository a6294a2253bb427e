#pragma once
// What tests of the CUDA backend share: a device of the backend that load_gpu_backend() finds ($HERD_CUDA_LIBRARY: the
// emulated one in ctest, libherd_cuda.so on a GPU), memory of it with poison around, and the reference operations
// beside it. Host tensors are those of tests/kernels/kernel_fixtures.h.
//
//   class RmsNorm : public CudaTest {};
//   TEST_F(RmsNorm, IsTheReferences) {
//     Tensor x(DType::kBF16, 3, 64), out(DType::kBF16, 3, 64);   // host, out poisoned
//     DeviceTensor dx(device(), x), dout(device(), out);         // copies on the device, poison included
//     ops().rms_norm(dx.view, ..., dout.view);
//     reference().rms_norm(x.view, ..., out.view);
//     EXPECT_EQ(difference(out, dout.host()), "");
//   }

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/gpu_backend.h"
#include "kernels/ops.h"
#include "kernels/reference/ops_reference.h"
#include "kernels/row_sampler.h"
#include "kernels/staging.h"
#include "kernels/step_recorder.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd::testing {

inline constexpr DType kActs[] = {DType::kBF16, DType::kF32};  // dtypes of activations

// The backend; ends the test binary with the reason when there is none (ctest names one).
inline GpuBackend& gpu_backend() {
  static GpuBackend* const backend = [] {
    const auto loaded = load_gpu_backend();
    if (!loaded) std::fprintf(stderr, "%s\n", loaded.error().message().c_str());
    HERD_CHECK(loaded.has_value(), "set HERD_CUDA_LIBRARY to a CUDA backend of this build");
    return *loaded;
  }();
  return *backend;
}

// Whether the backend is the emulated one: sizes that take a GPU no time take it minutes.
inline bool is_emulated() {
  static const bool emulated = [] {
    const auto devices = gpu_backend().devices();
    HERD_CHECK(devices.has_value() && !devices->empty(), "there is a GPU, real or emulated");
    return devices->front().name.find("mulat") != std::string::npos;
  }();
  return emulated;
}

// What a broken device refuses is thrown, here and below: it fails the test that asked, not those after it.
inline std::unique_ptr<Device> make_device(const GpuDeviceConfig& config = {}) {
  auto device = gpu_backend().make_device(config);
  if (!device) throw std::runtime_error("the device cannot be made: " + device.error().message());
  return std::move(*device);
}

// Memory of the device filled with 0xff (a NaN in every format), with a poisoned border on both sides. 64-byte aligned.
class DeviceMemory {
 public:
  DeviceMemory(Device& device, std::size_t bytes) : device_(device), bytes_(bytes) {
    auto buffer = device.allocate(bytes + 2 * kBorder, "a test");
    if (!buffer) throw std::runtime_error("no memory for a test: " + buffer.error().message());
    buffer_ = std::move(*buffer);
    const std::vector<unsigned char> poison(bytes + 2 * kBorder, 0xff);
    device.upload(buffer_->data(), poison.data(), poison.size());
  }

  [[nodiscard]] void* data() const { return static_cast<unsigned char*>(buffer_->data()) + kBorder; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void upload(const void* host) { device_.upload(data(), host, bytes_); }
  void download(void* host) const { device_.download(host, data(), bytes_); }

  // Nothing was written around it. Waits.
  [[nodiscard]] bool border_intact() const {
    std::vector<unsigned char> all(bytes_ + 2 * kBorder);
    device_.download(all.data(), buffer_->data(), all.size());
    for (std::size_t i = 0; i < kBorder; i++) {
      if (all[i] != 0xff || all[kBorder + bytes_ + i] != 0xff) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kBorder = 256;
  Device& device_;
  const std::size_t bytes_;
  std::unique_ptr<DeviceBuffer> buffer_;
};

// An array of plain data on the device: of given values, or `count` poisoned ones.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Device& device, std::span<const T> values) : memory_(device, values.size_bytes()) {
    if (!values.empty()) memory_.upload(values.data());
  }
  DeviceArray(Device& device, const std::vector<T>& values) : DeviceArray(device, std::span<const T>(values)) {}
  DeviceArray(Device& device, std::size_t count) : memory_(device, count * sizeof(T)) {}

  [[nodiscard]] T* data() const { return static_cast<T*>(memory_.data()); }
  [[nodiscard]] std::size_t size() const { return memory_.bytes() / sizeof(T); }
  void upload(const std::vector<T>& values) {
    HERD_CHECK(values.size() == size(), "as many values as there is room for");
    memory_.upload(values.data());
  }
  // Waits for what was enqueued.
  [[nodiscard]] std::vector<T> host() const {
    std::vector<T> values(size());
    if (!values.empty()) memory_.download(values.data());
    return values;
  }
  [[nodiscard]] bool border_intact() const { return memory_.border_intact(); }

 private:
  DeviceMemory memory_;
};

// A twin of a host tensor, with the same contents at first, poison between and around the rows included.
class DeviceTensor {
 public:
  DeviceTensor(Device& device, const Tensor& host)
      : memory_(device,
                static_cast<std::size_t>(host.view.rows * host.view.row_stride) * dtype_bytes(host.view.dtype)) {
    view = host.view;
    view.data = memory_.data();
    if (memory_.bytes() > 0) memory_.upload(host.view.data);
  }
  TensorView view;

  void upload(const Tensor& host) { memory_.upload(host.view.data); }
  // What is there now. Waits for what was enqueued.
  [[nodiscard]] Tensor host() const {
    Tensor tensor(view.dtype, view.rows, view.cols, view.row_stride);
    if (memory_.bytes() > 0) memory_.download(tensor.view.data);
    return tensor;
  }
  [[nodiscard]] TensorView row_view(std::int64_t row, std::int64_t rows) const {
    TensorView part = view;
    part.data = static_cast<unsigned char*>(view.data) +
                row * view.row_stride * static_cast<std::int64_t>(dtype_bytes(view.dtype));
    part.rows = rows;
    return part;
  }
  // Nothing written outside [rows, writable_cols). Waits.
  [[nodiscard]] bool outside_intact(std::int64_t writable_cols) const {
    return host().outside_intact(writable_cols) && memory_.border_intact();
  }

 private:
  DeviceMemory memory_;
};

// A matrix of the device with the shape and leaves of a host one; pack() fills it.
class DeviceMatrix {
 public:
  DeviceMatrix(Device& device, const PackedMatrix& like)
      : device_(device), memory_(device, static_cast<std::size_t>(like.bytes())) {
    packed = like;
    packed.data = memory_.data();
  }
  PackedMatrix packed;

  // rows [row, row + rows) of `source`, f32 [outputs, k] on the host.
  void pack(const std::vector<float>& source, std::int64_t row, std::int64_t rows) {
    const DeviceArray<float> part(device_, std::span<const float>(source).subspan(
                                               static_cast<std::size_t>(row * packed.k),
                                               static_cast<std::size_t>(rows * packed.k)));
    device_.ops().pack_rows(packed, row, rows, part.data());
    if (const Status status = device_.wait(); !status.ok()) throw std::runtime_error("packing: " + status.message());
  }
  void pack(const std::vector<float>& source) { pack(source, 0, packed.outputs); }
  [[nodiscard]] std::vector<unsigned char> host() const {
    std::vector<unsigned char> bytes(memory_.bytes());
    memory_.download(bytes.data());
    return bytes;
  }
  [[nodiscard]] bool border_intact() const { return memory_.border_intact(); }

 private:
  Device& device_;
  DeviceMemory memory_;
};

// One device for all tests of a binary (a test that breaks it on purpose makes its own), and the oracle. At the end of
// each test the device must be without an error; where it has one, the next test gets another device.
class CudaTest : public ::testing::Test {
 protected:
  CudaTest() { remake_broken_device(); }

  static Device& device() { return *shared_device(); }
  static void remake_broken_device() {
    std::unique_ptr<Device>& shared = shared_device();
    if (shared != nullptr && shared->status().ok()) return;
    shared.reset();
    shared = make_device();
  }
  static Ops& ops() { return device().ops(); }
  static RowSampler& sampler() { return *device().row_sampler(); }
  static StepRecorder& recorder() { return *device().step_recorder(); }
  static Ops& reference() {
    static const std::unique_ptr<Ops> ops = make_checked_ops(make_reference_ops());
    return *ops;
  }

  void TearDown() override {
    const Status status = device().wait();
    EXPECT_TRUE(status.ok()) << status.message();
  }

 private:
  static std::unique_ptr<Device>& shared_device() {
    static std::unique_ptr<Device> device;
    return device;
  }
};

}  // namespace herd::testing
