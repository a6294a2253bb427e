// Which rank holds what (rule 3).
#include <gtest/gtest.h>

#include "runtime/model/shard_plan.h"

namespace herd::model {
namespace {

model::LlamaConfig config(int heads, int kv_heads, int head_dim, int ffn, int vocab) {
  model::LlamaConfig c;
  c.hidden_size = heads * head_dim;
  c.layers = 1;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_dim = head_dim;
  c.intermediate_size = ffn;
  c.vocab_size = vocab;
  return c;
}

// 9 heads over 8 leaves: floor(9 i / 8) = 0 1 2 3 4 5 6 7 9, so leaf 7 holds two heads.
TEST(ShardPlan, NineHeadsRunOnTwoRanksAndShareAKvHead) {
  const auto c = config(9, 3, 64, 1536, 49152);
  const auto first = plan_shard(c, 2, 0);
  const auto second = plan_shard(c, 2, 1);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->heads, (Range{0, 4}));
  EXPECT_EQ(second->heads, (Range{4, 9}));
  EXPECT_EQ(first->kv_heads, (Range{0, 2}));
  EXPECT_EQ(second->kv_heads, (Range{1, 3}));  // KV head 1 is on both
  EXPECT_EQ(second->kv_head_of_query, (std::vector<std::int32_t>{0, 0, 1, 1, 1}));
  EXPECT_EQ(second->leaf_count, 4);
  EXPECT_EQ(second->attention_leaf_chunk[3], 6);
  EXPECT_EQ(second->attention_leaf_chunk[4], 10);  // the last leaf: two heads of 64 are four chunks
}

// head_dim 80: the fewest heads that make a multiple of 32 are two.
TEST(ShardPlan, CutsHeadsSoThatLeavesAreWholeChunks) {
  const auto plan = plan_shard(config(8, 8, 80, 256, 512), 4, 1);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->heads, (Range{2, 4}));
  EXPECT_EQ(plan->attention_leaf_chunk[0], 0);
  EXPECT_EQ(plan->attention_leaf_chunk[1], 0);  // U = 4 units: leaf 2 is empty
  EXPECT_EQ(plan->attention_leaf_chunk[2], 5);
}

TEST(ShardPlan, AllRanksTogetherHoldEverythingOnce) {
  for (const int ffn : {97, 256, 1536, 8192}) {
    const auto c = config(16, 4, 64, ffn, 331);
    for (const int tp : {1, 2, 4}) {
      int head = 0, row = 0, id = 0;
      for (int rank = 0; rank < tp; ++rank) {
        const auto plan = plan_shard(c, tp, rank);
        if (!plan) continue;  // refused degrees have a test of their own
        EXPECT_EQ(plan->heads.begin, head);
        EXPECT_EQ(plan->ffn.begin, row);
        EXPECT_EQ(plan->vocab.begin, id);
        EXPECT_EQ(plan->vocab.begin % 16, 0);
        EXPECT_EQ(plan->ffn.begin % 32, 0);
        head = plan->heads.end;
        row = plan->ffn.end;
        id = plan->vocab.end;
        EXPECT_EQ(plan->vocab_leaf[plan->leaf_count], plan->vocab.size());
        EXPECT_EQ(plan->ffn_leaf_chunk[plan->leaf_count], (plan->ffn.size() + 31) / 32);
      }
      EXPECT_EQ(head, 16);
      EXPECT_EQ(row, ffn);
      EXPECT_EQ(id, 331);
    }
  }
}

TEST(ShardPlan, RefusesARankWithoutAHead) {
  const auto plan = plan_shard(config(2, 1, 64, 256, 512), 4, 0);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), StatusCode::kUsage);
  EXPECT_NE(plan.error().message().find("attention head"), std::string::npos) << plan.error().message();
}

TEST(ShardPlan, RefusesDegreesThatAreNotASubtree) {
  for (const int tp : {0, 3, 5, 16}) {
    const auto plan = plan_shard(config(16, 4, 64, 256, 512), tp, 0);
    ASSERT_FALSE(plan);
    EXPECT_NE(plan.error().message().find("1, 2, 4 or 8"), std::string::npos);
  }
}

}  // namespace
}  // namespace herd::model
