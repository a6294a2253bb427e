// Which GPU each rank gets.

#include "actors/ranks/gpu_choice.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace herd::actors {
namespace {

std::vector<GpuInfo> gpus(std::initializer_list<int> indices) {
  std::vector<GpuInfo> list;
  for (const int index : indices) {
    GpuInfo gpu;
    gpu.index = index;
    gpu.name = "toy";
    list.push_back(gpu);
  }
  return list;
}

std::vector<int> chosen(const std::vector<GpuInfo>& there, const std::vector<int>& wanted, int places) {
  const auto list = choose_gpus(there, wanted, places);
  EXPECT_TRUE(list.has_value()) << list.error().message();
  std::vector<int> indices;
  for (const GpuInfo& gpu : *list) indices.push_back(gpu.index);
  return indices;
}

TEST(ChooseGpus, GivesEachRankOneOfTheFirstOrOfThoseNamed) {
  const auto there = gpus({0, 1, 2, 3});
  EXPECT_EQ(chosen(there, {}, 1), (std::vector<int>{0}));
  EXPECT_EQ(chosen(there, {}, 4), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(chosen(there, {3, 1}, 2), (std::vector<int>{3, 1})) << "in the order they are named";
  EXPECT_EQ(chosen(there, {3, 1, 0}, 2), (std::vector<int>{3, 1})) << "more than are needed";
}

TEST(ChooseGpus, SaysHowManyThereAre) {
  const auto error_of = [](const std::vector<GpuInfo>& there, const std::vector<int>& wanted, int places) {
    const auto list = choose_gpus(there, wanted, places);
    EXPECT_FALSE(list.has_value());
    EXPECT_EQ(list.error().code(), StatusCode::kMissing);
    return list.error().message();
  };
  EXPECT_EQ(error_of(gpus({0}), {}, 2), "--devices gpu: 2 ranks need as many GPUs, there is 1 GPU");
  EXPECT_EQ(error_of(gpus({0, 1}), {}, 8), "--devices gpu: 8 ranks need as many GPUs, there are 2 GPUs");
  EXPECT_EQ(error_of(gpus({0, 1}), {7}, 1), "--devices gpu-7: no such GPU, there are 2 GPUs");
  EXPECT_EQ(error_of(gpus({0, 1, 2}), {0, 1}, 3), "--devices: 3 ranks need as many GPUs, 2 named");
}

TEST(NamedByFlag, PutsTheFlagBeforeWhatTheBackendSays) {
  const Status named = named_by_flag(missing("no NVIDIA driver is installed"));
  EXPECT_EQ(named, missing("--devices gpu: no NVIDIA driver is installed"));
}

}  // namespace
}  // namespace herd::actors
