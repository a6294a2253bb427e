// Every CUDA and NCCL call of the backend may fail: no failure is lost, none ends in a crash or a wait for ever. On the
// emulated backend alone: a GPU does not fail when asked to.
#include "tests/kernels/cuda/cuda_fixture.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <thread>
#include <utility>

#include "tests/kernels/cuda/emulator/emulator.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

// The settings of the emulator inside the loaded backend.
emulator::Settings& emulated() {
  static emulator::Settings& settings = [&]() -> emulator::Settings& {
    (void)gpu_backend();
    void* library = ::dlopen(std::getenv("HERD_CUDA_LIBRARY"), RTLD_NOW | RTLD_NOLOAD);
    HERD_CHECK(library != nullptr, "the backend is loaded");
    auto* get = reinterpret_cast<emulator::Settings* (*)()>(::dlsym(library, "herd_emulator_settings"));
    HERD_CHECK(get != nullptr, "the backend is the emulated one");
    return *get();
  }();
  return settings;
}

class CudaErrors : public ::testing::Test {
 protected:
  void TearDown() override {
    emulated().fail_after(0, cudaSuccess, "");
    emulated().set_devices(2);
    emulated().set_memory(std::size_t{2} << 30);
  }
};

// What a rank does, from its device to its end. The status is that of the first call that said so; none is an
// invariant's business.
Status work() {
  auto device = gpu_backend().make_device({.rank = 3});
  if (!device) return device.error();
  auto memory = (*device)->allocate(4096, "memory");
  if (!memory) return memory.error();
  auto staged = (*device)->staging()->allocate_staged(4096, "inputs");
  if (!staged) return staged.error();
  auto results = (*device)->staging()->allocate_readback(4096, "results");
  if (!results) return results.error();
  const Status reserved = (*device)->step_recorder()->reserve({.rows = 4, .query_heads = 2, .head_dim = 32});
  if (!reserved.ok()) return reserved;
  std::vector<std::int32_t> row(16, 0);
  (*device)->upload((*memory)->data(), row.data(), 64);
  for (int step = 0; step < 4; step++) {
    std::memset((*staged)->host(), step, 4096);
    (*staged)->upload(4096);
    (*device)->step_recorder()->run_step(1, [&] {
      (*device)->ops().gather_rows({(*staged)->device(), DType::kF32, 1, 1024, 1024},
                                   static_cast<std::int32_t*>((*memory)->data()),
                                   {(*results)->device(), DType::kF32, 1, 1024, 1024});
    });
    const auto* host = static_cast<const unsigned char*>((*results)->read_back(4096));
    const std::uint64_t mark = (*device)->step_recorder()->mark();
    while (!(*device)->step_recorder()->reached(mark)) {
    }
    if (Status status = (*device)->status(); !status.ok()) return status;
    EXPECT_EQ(host[100], step);
  }
  (*device)->download(row.data(), (*memory)->data(), 64);
  (void)(*device)->free_bytes();
  return (*device)->wait();
}

TEST_F(CudaErrors, WorkWithoutAFaultIsFine) {
  const Status status = work();
  EXPECT_TRUE(status.ok()) << status.message();
}

// work() with the n-th CUDA call failing, in a process of its own, as a rank is: what a lost GPU leaves behind ends
// with it. The message of its status; "" when it was fine.
std::string work_with_fault(int n, cudaError_t error) {
  int ends[2];
  HERD_CHECK(::pipe(ends) == 0, "a pipe can be made");
  const pid_t child = ::fork();
  HERD_CHECK(child >= 0, "a process can be made");
  if (child == 0) {
    ::alarm(60);  // a wait for ever is a failure too
    emulated().fail_after(n, error, "");
    Status status;
    std::thread([&status] { status = work(); }).join();  // a thread that has been at no GPU before
    const std::string& message = status.message();
    const bool written = ::write(ends[1], message.data(), message.size()) == static_cast<ssize_t>(message.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string message;
  char part[512];
  for (ssize_t got = 0; (got = ::read(ends[0], part, sizeof part)) > 0;)
    message.append(part, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int end = 0;
  ::waitpid(child, &end, 0);
  EXPECT_EQ(end, 0) << "call " << n << ": " << message;
  return message;
}

// The n-th call fails, for every n until there is none: at once or at the next wait somebody hears of it. What fails
// while things are freed may go unheard.
TEST_F(CudaErrors, WhicheverCallFailsSomebodyHearsOfIt) {
  (void)emulated();
  for (const auto& [error, name] : {std::pair(cudaErrorInvalidValue, "cudaErrorInvalidValue"),
                                    std::pair(cudaErrorIllegalAddress, "cudaErrorIllegalAddress")}) {
    std::set<std::string> calls;
    constexpr int kFine = 40;  // in a row: beyond the last call
    int fine = 0;
    for (int n = 1; n <= 400 && fine < kFine; n++) {
      const std::string message = work_with_fault(n, error);
      if (message.empty()) {
        fine++;
        continue;
      }
      EXPECT_EQ(fine, 0) << "call " << n << ": a failure before it was not heard of: " << message;
      EXPECT_NE(message.find(name), std::string::npos) << "call " << n << ": " << message;
      const std::size_t who = message.find("): ");
      const std::size_t begin = who == std::string::npos ? message.find("cuda") : who + 3;
      calls.insert(message.substr(begin, message.find(':', begin) - begin));
    }
    EXPECT_EQ(fine, kFine) << "work has an end";
    EXPECT_EQ(calls, (std::set<std::string>{
                         "cudaDeviceGetAttribute", "cudaEventCreateWithFlags", "cudaEventQuery", "cudaEventRecord",
                         "cudaEventSynchronize", "cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaGraphDestroy",
                         "cudaGraphInstantiate", "cudaGraphLaunch", "cudaMalloc", "cudaMallocHost", "cudaMemGetInfo",
                         "cudaMemcpyAsync", "cudaMemsetAsync", "cudaSetDevice", "cudaStreamBeginCapture",
                         "cudaStreamCreateWithFlags", "cudaStreamEndCapture", "cudaStreamSynchronize", "gather_rows"}));
  }
}

TEST_F(CudaErrors, AnErrorNamesCallDeviceAndRankAndStays) {
  const auto device = make_device({.gpu = 1, .rank = 3});
  const auto memory = device->allocate(64, "memory");
  ASSERT_TRUE(memory) << memory.error().message();
  emulated().fail_after(1, cudaErrorIllegalAddress, "cudaMemcpyAsync");
  float value = 1;
  device->upload((*memory)->data(), &value, sizeof value);
  const Status status = device->wait();
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(status.message(),
            "gpu 1 (rank 3): cudaMemcpyAsync: cudaErrorIllegalAddress (an illegal memory access was encountered)");
  emulated().fail_after(0, cudaSuccess, "");
  EXPECT_EQ(device->wait(), status);  // the first error, and nothing more is enqueued
  EXPECT_EQ(device->allocate(64, "more").error(), status);
}

// A launch that fails ends the stream under the kernel's name.
TEST_F(CudaErrors, AFailedLaunchNamesTheKernel) {
  const auto device = make_device();
  const DeviceArray<float> x(*device, std::vector<float>(16, 1.0F));
  const DeviceArray<float> out(*device, 16);
  emulated().fail_after(1, cudaErrorInvalidConfiguration, "cudaLaunchKernelEx");
  device->ops().rms_norm({x.data(), DType::kF32, 1, 16, 16}, x.data(), 0.0F, {out.data(), DType::kF32, 1, 16, 16});
  const Status status = device->wait();
  EXPECT_EQ(status.message(),
            "gpu 0 (rank 0): rms_norm: cudaErrorInvalidConfiguration (invalid configuration argument)");
}

TEST_F(CudaErrors, MemoryThatIsShortIsMissingAndSaysHowMuch) {
  emulated().set_memory(std::size_t{100} << 20);
  const auto device = make_device();
  const auto first = device->allocate(std::size_t{60} << 20, "weights");
  ASSERT_TRUE(first) << first.error().message();
  const auto second = device->allocate((std::size_t{60} << 20) + 1, "KV pool");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::kMissing);
  EXPECT_EQ(second.error().message(), "KV pool: needs 61 MiB of gpu 0's memory, " +
                                          std::to_string(device->free_bytes() >> 20) + " MiB of 100 MiB are free");
  EXPECT_TRUE(device->wait().ok());
  EXPECT_TRUE(device->allocate(std::size_t{10} << 20, "less"));
}

TEST_F(CudaErrors, PinnedMemoryThatIsShortIsMissing) {
  const auto device = make_device();
  emulated().fail_after(2, cudaErrorMemoryAllocation, "cudaMallocHost");
  const auto staged = device->staging()->allocate_staged(std::size_t{5} << 20, "step inputs");
  ASSERT_FALSE(staged);
  EXPECT_EQ(staged.error().code(), StatusCode::kMissing);
  EXPECT_EQ(staged.error().message(), "step inputs: needs 5 MiB of pinned host memory for gpu 0, which there is not");
  EXPECT_TRUE(device->wait().ok());
  EXPECT_TRUE(device->staging()->allocate_staged(std::size_t{5} << 20, "step inputs"));
}

TEST_F(CudaErrors, ReserveSaysWhatItNeedsMemoryFor) {
  const auto device = make_device();
  emulated().fail_after(1, cudaErrorMemoryAllocation, "cudaMalloc");
  const Status status = device->step_recorder()->reserve({.rows = 4, .query_heads = 2, .head_dim = 32});
  EXPECT_EQ(status.code(), StatusCode::kMissing);
  EXPECT_EQ(status.message().rfind("attention partials: needs ", 0), 0U) << status.message();
}

TEST_F(CudaErrors, WithoutADriverOrAGpuTheReasonIsSaid) {
  emulated().fail_after(1, cudaErrorInsufficientDriver, "cudaGetDeviceCount");
  const auto old = gpu_backend().devices();
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code(), StatusCode::kMissing);
  EXPECT_NE(old.error().message().find("driver is too old"), std::string::npos) << old.error().message();
  emulated().set_devices(0);
  const auto none = gpu_backend().devices();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), StatusCode::kMissing);
  EXPECT_NE(none.error().message().find("no GPU"), std::string::npos) << none.error().message();
  emulated().fail_after(1, cudaErrorECCUncorrectable, "cudaGetDeviceProperties");
  emulated().set_devices(2);
  const auto broken = gpu_backend().devices();
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message().find("gpu 0: cudaGetDeviceProperties: cudaErrorECC"), std::string::npos)
      << broken.error().message();
}

TEST_F(CudaErrors, MeasuringSaysWhatFailed) {
  emulated().fail_after(3, cudaErrorIllegalAddress, "cudaEventRecord");
  const auto rates = gpu_backend().measure(0);
  ASSERT_FALSE(rates);
  EXPECT_NE(rates.error().message().find("cudaErrorIllegalAddress"), std::string::npos) << rates.error().message();
}

// Two ranks in whose NCCL the n-th call fails: both threads come to an end.
TEST_F(CudaErrors, AGroupWhoseCallsFailComesToAnEnd) {
  for (const char* call : {"ncclCommInitRankConfig", "ncclAllGather", "ncclCommFinalize"}) {
    const auto id = gpu_backend().new_group();
    ASSERT_TRUE(id);
    emulated().fail_after(2, cudaErrorInvalidValue, call);
    std::vector<Status> statuses(2);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; rank++) {
      threads.emplace_back([&, rank] {
        const auto device = make_device({.gpu = rank, .rank = rank});
        const auto group = gpu_backend().join_group(*id, {rank, 2, 1000, 1000, {}}, *device);
        if (!group) {
          statuses[static_cast<std::size_t>(rank)] = group.error();
          return;
        }
        const DeviceArray<float> send(*device, std::vector<float>(4, 1.0F));
        const DeviceArray<float> receive(*device, 8);
        (*group)->all_gather(CollectiveName::kTest, send.data(), receive.data(), 16);
        statuses[static_cast<std::size_t>(rank)] = device->wait();
      });
    }
    for (std::thread& thread : threads) thread.join();
    const bool at_the_end = std::string(call) == "ncclCommFinalize";
    EXPECT_EQ(statuses[0].ok(), at_the_end) << call << ": " << statuses[0].message();
    EXPECT_EQ(statuses[1].ok(), at_the_end) << call << ": " << statuses[1].message();
    emulated().fail_after(0, cudaSuccess, "");
  }
}

}  // namespace
}  // namespace herd
