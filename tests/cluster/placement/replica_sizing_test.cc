// KV blocks, lengths and step deadlines: decided from numbers, refused with what to change.

#include "cluster/placement/replica_sizing.h"

#include <gtest/gtest.h>

#include "tests/cluster/placement/small_model.h"

namespace herd::placement {
namespace {

// A model made for 4,096 tokens; a block of 16 takes 1 MB; 1 GB is free.
KvWishes kv_wishes() {
  KvWishes wishes;
  wishes.block_bytes = kMegabyte;
  wishes.model_len_max = 4096;
  wishes.free_bytes = 1000 * kMegabyte;
  wishes.max_num_seqs = 64;
  return wishes;
}

TEST(KvSizes, TakeHalfOfTheFreeMemory) {
  const auto sizes = size_kv(kv_wishes());
  ASSERT_TRUE(sizes.has_value());
  EXPECT_EQ(sizes->num_blocks, 500);
  EXPECT_EQ(sizes->max_model_len, 4096);
  ASSERT_EQ(sizes->notes.size(), 1U);
  EXPECT_EQ(sizes->notes[0], "KV cache: 8000 tokens, 1 sequences of 4096 (0.50 GB, up to)");
}

TEST(KvSizes, AreSharedBetweenReplicas) {
  KvWishes two = kv_wishes();
  two.replicas = 2;
  const auto sizes = size_kv(two);
  ASSERT_TRUE(sizes.has_value());
  EXPECT_EQ(sizes->num_blocks, 250);
  EXPECT_EQ(sizes->max_model_len, 4000) << "250 blocks of 16 tokens";
  EXPECT_EQ(sizes->notes[0], "max length lowered from 4096 to 4000 tokens to fit the KV cache");
}

TEST(KvSizes, AreNoMoreThanSoManyFullSequencesNeed) {
  KvWishes few = kv_wishes();
  few.max_model_len = 100;  // 7 blocks
  few.max_num_seqs = 3;
  EXPECT_EQ(size_kv(few)->num_blocks, 21);
  EXPECT_EQ(size_kv(few)->max_model_len, 100);
}

TEST(KvSizes, GivenMemoryAndBlocksGoBeforeWhatIsFree) {
  KvWishes given = kv_wishes();
  given.kv_cache_memory = 300 * kMegabyte;
  EXPECT_EQ(size_kv(given)->num_blocks, 300);
  given.num_blocks = 7;
  given.free_bytes = 0;
  EXPECT_EQ(size_kv(given)->num_blocks, 7);
  EXPECT_EQ(size_kv(given)->max_model_len, 112);
}

TEST(KvSizes, AskedForBeyondWhatIsFreeAreRefused) {
  KvWishes asked = kv_wishes();
  asked.replicas = 2;
  asked.kv_cache_memory = 500 * kMegabyte;
  EXPECT_EQ(size_kv(asked)->num_blocks, 500) << "both replicas take all there is";
  asked.free_bytes = 999 * kMegabyte;
  const auto refused = size_kv(asked);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
  for (const char* part : {"KV cache: 1.00 GB are asked for", "are free", "lower --kv-cache-memory", "ulimit -v"})
    EXPECT_NE(refused.error().message().find(part), std::string::npos) << refused.error().message();
  asked.kv_cache_memory = 0;
  asked.num_blocks = 500;
  EXPECT_FALSE(size_kv(asked).has_value());
  asked.free_bytes = 0;
  EXPECT_TRUE(size_kv(asked).has_value()) << "nobody has looked";
}

TEST(KvSizes, ALengthAskedForIsMetOrRefused) {
  KvWishes long_one = kv_wishes();
  long_one.max_model_len = 5000;
  EXPECT_EQ(size_kv(long_one).error().code(), StatusCode::kUsage);
  long_one.max_model_len = 4096;
  EXPECT_TRUE(size_kv(long_one).has_value());
  long_one.num_blocks = 255;  // one short
  const auto refused = size_kv(long_one);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
  EXPECT_NE(refused.error().message().find("room for 4080 tokens (255 blocks of 16"), std::string::npos);
  EXPECT_NE(refused.error().message().find("lower --max-model-len"), std::string::npos);
}

TEST(KvSizes, WithoutRoomForABlockAreRefused) {
  KvWishes poor = kv_wishes();
  poor.free_bytes = kMegabyte;
  const auto refused = size_kv(poor);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
  EXPECT_NE(refused.error().message().find("--kv-cache-memory"), std::string::npos);
}

TEST(KvSizes, OfAModelThatClaimsAnyLengthStopAtADefault) {
  KvWishes endless = kv_wishes();
  endless.model_len_max = 10'000'000;
  endless.block_bytes = 10;
  const auto sizes = size_kv(endless);
  EXPECT_EQ(sizes->max_model_len, 1 << 18);
  EXPECT_NE(sizes->notes[0].find("more with --max-model-len"), std::string::npos);
  endless.max_model_len = 1'000'000;
  EXPECT_EQ(size_kv(endless)->max_model_len, 1'000'000);
}

TEST(KvSizes, NameTheFlagsThatGiveMore) {
  KvWishes short_one = kv_wishes();
  short_one.max_model_len = 4096;
  short_one.kv_cache_memory = kMegabyte;
  short_one.memory_flags = "--gpu-memory-utilization";
  const auto refused = size_kv(short_one);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("raise --gpu-memory-utilization"), std::string::npos);
}

// 100 GB, 16 GB of weights, 1 GB of step buffers, 1 GB of others.
GpuMemory gpu() {
  return {.name = "gpu-0 NVIDIA H200",
          .total_bytes = 100'000 * kMegabyte,
          .free_bytes = 82'000 * kMegabyte,
          .weight_bytes = 16'000 * kMegabyte,
          .step_bytes = 1'000 * kMegabyte,
          .block_bytes = kMegabyte};
}

TEST(KvOnGpus, TakesWhatIsFreeButTheShareToBeKept) {
  EXPECT_EQ(kv_bytes_on_gpu(gpu(), 1.0), 82'000 * kMegabyte);
  EXPECT_EQ(kv_bytes_on_gpu(gpu(), 0.5), 32'000 * kMegabyte);
  EXPECT_EQ(kv_bytes_on_gpu(gpu(), 0.125), -5'500 * kMegabyte);
  EXPECT_EQ(kv_blocks_on_gpus({gpu()}, 0.5), 32'000);
}

TEST(KvOnGpus, TheSmallestGpuDecides) {
  GpuMemory fuller = gpu();
  fuller.free_bytes = 52'000 * kMegabyte;
  EXPECT_EQ(kv_blocks_on_gpus({gpu(), fuller, gpu()}, 0.5), 2'000);
  GpuMemory more_heads = gpu();
  more_heads.block_bytes = 3 * kMegabyte;
  EXPECT_EQ(kv_blocks_on_gpus({gpu(), more_heads}, 0.5), 10'666);
}

TEST(KvOnGpus, WithoutRoomForABlockSayWhoTookWhat) {
  GpuMemory full = gpu();
  full.name = "gpu-1 NVIDIA H200";
  full.free_bytes = 50'500 * kMegabyte;
  full.weight_bytes = 44'000 * kMegabyte;
  for (const std::int64_t block : {501 * kMegabyte, 2'000 * kMegabyte}) {
    full.block_bytes = block;
    const auto refused = kv_blocks_on_gpus({gpu(), full}, 0.5);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
    for (const char* part : {"gpu-1 NVIDIA H200", "100.00 GB", "weights took 44.00 GB", "step buffers 1.00 GB",
                             "other programs 4.50 GB", "--gpu-memory-utilization 0.5 allows 50.00 GB"})
      EXPECT_NE(refused.error().message().find(part), std::string::npos) << part << ": " << refused.error().message();
  }
  full.block_bytes = 500 * kMegabyte;
  EXPECT_EQ(kv_blocks_on_gpus({gpu(), full}, 0.5), 1);
}

TEST(BlockSize, IsAPowerOfTwoThatAttentionPartitionsHold) {
  for (const int size : {16, 32, 64, 128, 256, 512}) EXPECT_TRUE(check_block_size(size).ok());
  for (const int size : {-16, 0, 8, 17, 24, 48, 1024}) EXPECT_EQ(check_block_size(size).code(), StatusCode::kUsage);
}

TEST(StepTimeout, FollowsTheModelsSizeAndIsNeverShort) {
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.intermediate_size = 128;
  config.vocab_size = 1000;
  for (const StepSpeed speed : {StepSpeed::kCpu, StepSpeed::kGpuTensorCores, StepSpeed::kGpuOrdinaryCores})
    EXPECT_EQ(step_timeout(config, 512, speed), std::chrono::minutes(2));
  config.hidden_size = 8192;
  config.layers = 80;
  config.heads = 64;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.intermediate_size = 28672;
  config.vocab_size = 128256;
  // 70 G multiply-adds a row at 1 G/s, at 1 T/s on tensor cores.
  EXPECT_GT(step_timeout(config, 512, StepSpeed::kCpu), std::chrono::hours(9));
  EXPECT_EQ(step_timeout(config, 512, StepSpeed::kGpuTensorCores), std::chrono::minutes(2));
  EXPECT_GT(step_timeout(config, 1 << 15, StepSpeed::kGpuTensorCores), std::chrono::minutes(30));
  EXPECT_GT(step_timeout(config, 512, StepSpeed::kGpuOrdinaryCores),
            step_timeout(config, 512, StepSpeed::kGpuTensorCores));
  EXPECT_GT(step_timeout(config, 512, StepSpeed::kCpuReference), step_timeout(config, 512, StepSpeed::kCpu));
  EXPECT_GT(step_timeout(config, 512, StepSpeed::kCpu), step_timeout(config, 64, StepSpeed::kCpu));
}

}  // namespace
}  // namespace herd::placement
