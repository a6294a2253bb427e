// The door. A process opens it once, so every case is a process of its own.
#include "kernels/gpu_backend.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace herd {
namespace {

using ::testing::ExitedWithCode;
constexpr int kMissingExit = 4;

// Opens the door with HERD_CUDA_LIBRARY as given (null: not set) and ends: 0, or 4 with the message when it is missing.
[[noreturn]] void open_door(const char* library) {
  if (library == nullptr) {
    ::unsetenv("HERD_CUDA_LIBRARY");
  } else {
    ::setenv("HERD_CUDA_LIBRARY", library, 1);
  }
  const auto backend = load_gpu_backend();
  const auto again = load_gpu_backend();
  if (backend.has_value() != again.has_value() || (backend && *backend != *again)) std::exit(1);
  if (backend) std::exit(*backend != nullptr ? 0 : 1);
  std::fprintf(stderr, "%s\n", backend.error().message().c_str());
  std::exit(backend.error().code() == StatusCode::kMissing ? kMissingExit : 1);
}

// Tests before these may have left threads, which do not come along into a forked process: each case starts anew.
class GpuBackendTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(GpuBackendTest, ALibraryThatIsNotThereIsMissing) {
  EXPECT_EXIT(open_door("/no/such/libherd_cuda.so"), ExitedWithCode(kMissingExit),
              "/no/such/libherd_cuda.so does not exist.*HERD_CUDA_LIBRARY");
}

TEST_F(GpuBackendTest, AFileThatIsNoLibraryIsMissing) {
  const std::string path = ::testing::TempDir() + "herd_no_library_" + std::to_string(::getpid()) + ".so";
  std::ofstream(path) << "text";
  EXPECT_EXIT(open_door(path.c_str()), ExitedWithCode(kMissingExit), "cannot be loaded");
  std::remove(path.c_str());
}

TEST_F(GpuBackendTest, ALibraryOfSomeoneElseIsRefused) {
  EXPECT_EXIT(open_door(HERD_TEST_FOREIGN_LIBRARY), ExitedWithCode(kMissingExit), "is not herd's CUDA backend");
}

TEST_F(GpuBackendTest, ALibraryOfAnotherBuildIsRefusedWithBothIds) {
  EXPECT_EXIT(open_door(HERD_TEST_OTHER_LIBRARY), ExitedWithCode(kMissingExit),
              "another build of herd.*another-build.*install both from one build");
}

// Beside this test lies no libherd_cuda.so; the build's, where there is one, is in the folder above.
TEST_F(GpuBackendTest, IsLookedForBesideTheProgram) {
#ifdef HERD_TEST_CUDA_LIBRARY
  EXPECT_EXIT(open_door(nullptr), ExitedWithCode(0), "");
  EXPECT_EXIT(open_door(""), ExitedWithCode(0), "");
#else
  EXPECT_EXIT(open_door(nullptr), ExitedWithCode(kMissingExit), "there is no CUDA backend.*lib/herd/libherd_cuda.so");
#endif
}

#ifdef HERD_TEST_EMULATED_LIBRARY
TEST_F(GpuBackendTest, ALibraryOfThisBuildIsLoaded) {
  EXPECT_EXIT(open_door(HERD_TEST_EMULATED_LIBRARY), ExitedWithCode(0), "");
}

// A machine without a GPU, emulated: what is missing is said, and making a device says the same.
TEST_F(GpuBackendTest, WithoutAGpuItSaysSo) {
  EXPECT_EXIT(
      {
        ::setenv("HERD_CUDA_LIBRARY", HERD_TEST_EMULATED_LIBRARY, 1);
        ::setenv("HERD_EMULATED_GPUS", "0", 1);
        const auto backend = load_gpu_backend();
        if (!backend) std::exit(1);
        const auto devices = (*backend)->devices();
        const auto device = (*backend)->make_device({});
        if (devices || device || devices.error() != device.error()) std::exit(1);
        std::fprintf(stderr, "%s\n", devices.error().message().c_str());
        std::exit(devices.error().code() == StatusCode::kMissing ? kMissingExit : 1);
      },
      ExitedWithCode(kMissingExit), "no GPU");
}
#endif

#ifdef HERD_TEST_CUDA_LIBRARY
// The real library loads on any machine; without a driver or a GPU it says which of them is missing.
TEST_F(GpuBackendTest, TheRealLibraryLoadsWithoutADriver) {
  EXPECT_EXIT(
      {
        ::setenv("HERD_CUDA_LIBRARY", HERD_TEST_CUDA_LIBRARY, 1);
        const auto backend = load_gpu_backend();
        if (!backend) std::exit(1);
        const auto devices = (*backend)->devices();
        if (devices) {
          std::fprintf(stderr, "%zu GPUs\n", devices->size());
          std::exit(devices->empty() ? 1 : 0);
        }
        std::fprintf(stderr, "%s\n", devices.error().message().c_str());
        std::exit(devices.error().code() == StatusCode::kMissing ? 0 : 1);
      },
      ExitedWithCode(0), "GPU|NVIDIA");
}
#endif

}  // namespace
}  // namespace herd
