// Plans of replicas: from wishes and reports, without a device. Each test changes one thing of a small model.

#include "cluster/placement/replica_plan.h"

#include <gtest/gtest.h>

#include "tests/cluster/placement/small_model.h"

namespace herd::placement {
namespace {

ReplicaWishes wishes() {
  ReplicaWishes wishes;
  wishes.scheduler.max_num_seqs = 8;
  wishes.scheduler.max_num_batched_tokens = 128;
  return wishes;
}

DeviceMemory machine(std::int64_t free_bytes) { return {free_bytes, {}, 0.9}; }

ReplicaPlan planned(const ShardedModel& model, const ReplicaWishes& wishes, const DeviceMemory& memory) {
  auto plan = plan_replicas(model, wishes, memory, StepSpeed::kCpu);
  EXPECT_TRUE(plan.has_value()) << plan.error().message();
  return plan ? *plan : ReplicaPlan{};
}

TEST(PlanShards, HasAShardForEachRank) {
  const auto shards = plan_shards(small_model(), 4);
  ASSERT_TRUE(shards.has_value());
  ASSERT_EQ(shards->size(), 4U);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ((*shards)[static_cast<std::size_t>(rank)].rank, rank);
    EXPECT_EQ((*shards)[static_cast<std::size_t>(rank)].kv_heads.size(), 1);
  }
  for (const int ranks : {-1, 0, 3, 16}) EXPECT_EQ(plan_shards(small_model(), ranks).error().code(), StatusCode::kUsage);
}

TEST(ShardedModel, ABlockIsSharedByTheRanks) {
  EXPECT_EQ(sharded(1).block_bytes(0, 16), 16 * 1024);
  EXPECT_EQ(sharded(2).block_bytes(1, 16), 8 * 1024);
  EXPECT_EQ(sharded(2).block_bytes_of_all_ranks(16), 16 * 1024);
  EXPECT_EQ(sharded(8).block_bytes_of_all_ranks(16), 32 * 1024) << "a KV head of two ranks is on both";
  EXPECT_EQ(sharded(1, WeightFormat::kF32).block_bytes(0, 32), 64 * 1024);
}

TEST(ChooseEncoding, TakesTheCheckpointsOwnUnlessAnotherIsWanted) {
  EXPECT_EQ(choose_encoding({.own = "float16"})->encoding.weights, WeightFormat::kF16);
  EXPECT_EQ(choose_encoding({.own = "float16", .wanted = "float32"})->encoding.weights, WeightFormat::kF32);
  EXPECT_TRUE(choose_encoding({.own = "bfloat16", .on_gpus = true})->notes.empty());
  for (const WeightFormat format : kAllFormats) {
    const auto own = choose_encoding({.own = format_name(format), .is_gguf = true});
    ASSERT_TRUE(own.has_value());
    EXPECT_EQ(own->encoding.weights, format);
    EXPECT_TRUE(own->notes.empty());
  }
}

TEST(ChooseEncoding, AFileOfBlocksIsItsOwnOrNumbers) {
  for (const char* own : {"q4_1", "q4_k"}) {
    for (const char* wanted : {"bfloat16", "float32", own})
      EXPECT_TRUE(choose_encoding({.own = own, .is_gguf = true, .wanted = wanted}).has_value()) << wanted;
    for (const char* wanted : {"float16", "q8_0", "q4_0", "q6_k", "q5_k", "q3_k", "nonsense"}) {
      const auto refused = choose_encoding({.own = own, .is_gguf = true, .wanted = wanted});
      ASSERT_FALSE(refused.has_value()) << wanted;
      EXPECT_EQ(refused.error().code(), StatusCode::kUsage);
      EXPECT_NE(refused.error().message().find("herd convert"), std::string::npos);
      EXPECT_NE(refused.error().message().find(wanted), std::string::npos);
    }
  }
}

// Of rows that super-blocks do not divide one note tells, and how many they are.
TEST(CutModel, SaysWhatStandsInForSuperBlocks) {
  model::LlamaConfig config = small_model();
  const EncodingWish wish{.own = "bfloat16", .wanted = "q4_k"};
  EXPECT_TRUE(cut_model(config, 1, wish)->notes.empty());
  config.intermediate_size = 640;  // down_proj of both layers
  const auto notes = cut_model(config, 1, wish)->notes;
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("rows of 2 matrices are no multiple of 256"), std::string::npos) << notes[0];
  EXPECT_NE(notes[0].find("q5_0 stands in for q4_k"), std::string::npos) << notes[0];
  EXPECT_TRUE(cut_model(config, 1, {.own = "q4_k", .is_gguf = true})->notes.empty());
  EXPECT_TRUE(cut_model(config, 1, {.own = "bfloat16", .wanted = "q8_0"})->notes.empty());
}

TEST(ChooseEncoding, NumbersAreQuantisedToWhatCanBeMade) {
  for (const char* own : {"bfloat16", "float16", "float32"}) {
    for (const char* wanted : {"q8_0", "q6_k", "q4_0", "q4_k"})
      EXPECT_EQ(format_name(choose_encoding({.own = own, .wanted = wanted})->encoding.weights), std::string(wanted));
    for (const char* wanted : {"q4_1", "q5_0", "q5_1", "q5_k", "q3_k"}) {
      const auto refused = choose_encoding({.own = own, .wanted = wanted});
      ASSERT_FALSE(refused.has_value());
      EXPECT_EQ(refused.error().code(), StatusCode::kUsage);
      EXPECT_NE(refused.error().message().find("q8_0, q6_k, q4_0 or q4_k"), std::string::npos);
    }
  }
}

TEST(ChooseEncoding, SaysWhatAGpuDoesOtherwise) {
  const auto wide = choose_encoding({.own = "float32", .on_gpus = true});
  ASSERT_EQ(wide->notes.size(), 1U);
  EXPECT_NE(wide->notes[0].find("float32 weights in the CPU's order"), std::string::npos);
  const auto blocks = choose_encoding({.own = "q4_0", .is_gguf = true, .on_gpus = true});
  EXPECT_EQ(blocks->encoding.weights, WeightFormat::kBF16);
  ASSERT_EQ(blocks->notes.size(), 1U);
  EXPECT_EQ(blocks->notes[0], "encoding: a GPU computes q4_0 weights as bfloat16, which takes 3.5 times the memory");
}

TEST(PlanReplicas, FillsInTheSchedulersLimits) {
  ReplicaWishes asked = wishes();
  asked.num_blocks = 100;
  asked.block_size = 32;
  asked.scheduler.queue_tokens_max = 10;
  const ReplicaPlan plan = planned(sharded(2), asked, {});
  EXPECT_EQ(plan.scheduler.block_size, 32U);
  EXPECT_EQ(plan.scheduler.num_blocks, 100U);
  EXPECT_EQ(plan.scheduler.max_model_len, 3200U) << "lowered from 4096 to fit";
  EXPECT_EQ(plan.scheduler.queue_tokens_max, 3200U) << "a queue that no longest sequence fits in is useless";
  EXPECT_EQ(plan.scheduler.max_num_seqs, 8U);
  EXPECT_TRUE(plan.scheduler.validate().ok());
}

TEST(PlanReplicas, TellsARankAllItNeeds) {
  ReplicaWishes asked = wishes();
  asked.num_blocks = 300;
  asked.hash_logits = true;
  const ReplicaPlan plan = planned(sharded(2), asked, {});
  EXPECT_EQ(plan.rank.block_size, 16);
  EXPECT_EQ(plan.rank.blocks, 300);
  EXPECT_EQ(plan.rank.positions_max, 4096);
  EXPECT_EQ(plan.rank.rows_max, 128);
  EXPECT_EQ(plan.rank.sequences_max, 8);
  EXPECT_EQ(plan.rank.step_timeout, step_timeout(small_model(), 128, StepSpeed::kCpu));
  EXPECT_TRUE(plan.rank.hash_logits);
  EXPECT_EQ(plan.kv_bytes_per_token, 1024);
  EXPECT_EQ(plan.notes.size(), 1U);
}

TEST(PlanReplicas, AStepHasNoMoreSequencesThanRows) {
  ReplicaWishes asked = wishes();
  asked.num_blocks = 300;
  asked.scheduler.max_num_batched_tokens = 4;
  EXPECT_EQ(planned(sharded(1), asked, {}).rank.sequences_max, 4);
}

// Half of 16 MiB for two replicas: 4 MiB each, 256 blocks of 16 KiB.
TEST(PlanReplicas, ReplicasShareTheMachine) {
  ReplicaWishes asked = wishes();
  asked.data_parallel = 2;
  EXPECT_TRUE(memory_decides(asked));
  EXPECT_EQ(planned(sharded(1), asked, machine(std::int64_t{16} << 20)).rank.blocks, 256);
  EXPECT_EQ(planned(sharded(2), asked, machine(std::int64_t{16} << 20)).rank.blocks, 256);
}

TEST(PlanReplicas, WhatIsGivenGoesBeforeWhatDevicesReport) {
  ReplicaWishes asked = wishes();
  asked.kv_cache_memory = std::int64_t{1} << 20;
  EXPECT_FALSE(memory_decides(asked));
  EXPECT_EQ(planned(sharded(1), asked, machine(std::int64_t{16} << 20)).rank.blocks, 64);
}

GpuMemory gpu(std::int64_t free_megabytes) {
  return {.name = "gpu-0 toy",
          .total_bytes = 1000 * kMegabyte,
          .free_bytes = free_megabytes * kMegabyte,
          .weight_bytes = kMegabyte,
          .step_bytes = kMegabyte,
          .block_bytes = 8 * 1024};
}

// 1,000 MB, of which 900 may be taken: 10 MB on the fuller GPU are 1,220 blocks of 8 KiB.
TEST(PlanReplicas, TheFullestGpuDecides) {
  ReplicaWishes asked = wishes();
  const DeviceMemory memory{0, {gpu(500), gpu(110)}, 0.9};
  EXPECT_EQ(planned(sharded(2), asked, memory).rank.blocks, 1'220);
  asked.scheduler.max_num_seqs = 1;
  EXPECT_EQ(planned(sharded(2), asked, memory).rank.blocks, 256) << "all that one full sequence needs";
}

TEST(PlanReplicas, AGpuWithoutRoomIsNamed) {
  const auto refused = plan_replicas(sharded(2), wishes(), {0, {gpu(500), gpu(90)}, 0.9}, StepSpeed::kGpuTensorCores);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
  EXPECT_NE(refused.error().message().find("gpu-0 toy: no room for a KV cache"), std::string::npos);
}

TEST(PlanReplicas, RefusesABlockSizeThatAttentionCannotCut) {
  ReplicaWishes asked = wishes();
  asked.block_size = 24;
  EXPECT_EQ(plan_replicas(sharded(1), asked, machine(kMegabyte), StepSpeed::kCpu).error().code(), StatusCode::kUsage);
  EXPECT_EQ(plan_trial(sharded(1), asked, StepSpeed::kCpu).error().code(), StatusCode::kUsage);
}

// A trial rank has the buffers of the real one and KV for its longest chunk.
TEST(PlanTrial, HoldsOneLongChunk) {
  const auto trial = plan_trial(sharded(2), wishes(), StepSpeed::kGpuTensorCores);
  ASSERT_TRUE(trial.has_value());
  EXPECT_EQ(trial->blocks, 8) << "128 rows";
  EXPECT_EQ(trial->positions_max, 4096);
  EXPECT_EQ(trial->rows_max, 128);
  EXPECT_EQ(trial->sequences_max, 8);
  ReplicaWishes asked = wishes();
  asked.max_model_len = 100;
  EXPECT_EQ(plan_trial(sharded(2), asked, StepSpeed::kGpuTensorCores)->blocks, 7) << "no sequence is longer";
  EXPECT_EQ(plan_trial(sharded(2), asked, StepSpeed::kGpuTensorCores)->positions_max, 100);
}

}  // namespace
}  // namespace herd::placement
