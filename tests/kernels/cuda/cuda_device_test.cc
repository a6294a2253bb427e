// The device itself, through the interface every rank uses.
#include "tests/kernels/cuda/cuda_fixture.h"

#include <limits>

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

class CudaDeviceTest : public CudaTest {};

TEST_F(CudaDeviceTest, BuffersAreAlignedAndZeroed) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{5000}, std::size_t{3} << 20}) {
    auto buffer = device().allocate(bytes, "test");
    ASSERT_TRUE(buffer);
    EXPECT_EQ((*buffer)->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*buffer)->data()) % 256, 0U);
    std::vector<unsigned char> host(bytes, 0xaa);
    device().download(host.data(), (*buffer)->data(), bytes);
    EXPECT_EQ(host, std::vector<unsigned char>(bytes, 0));
  }
}

TEST_F(CudaDeviceTest, TooMuchMemoryIsRefusedWithAllNumbersAndTheDeviceLivesOn) {
  for (const std::size_t bytes : {std::size_t{1} << 50, std::numeric_limits<std::size_t>::max()}) {
    const auto buffer = device().allocate(bytes, "KV pool");
    ASSERT_FALSE(buffer);
    EXPECT_EQ(buffer.error().code(), StatusCode::kMissing);
    const std::string& message = buffer.error().message();
    EXPECT_EQ(message.rfind("KV pool: needs ", 0), 0U) << message;
    EXPECT_NE(message.find(" MiB of gpu 0's memory, "), std::string::npos) << message;
    EXPECT_NE(message.find(" MiB are free"), std::string::npos) << message;
  }
  EXPECT_TRUE(device().wait().ok());
  EXPECT_TRUE(device().allocate(1000, "afterwards"));
}

}  // namespace
}  // namespace herd
