// The staged arrays of a step, read back through the pointers kernels get. A CPU device: its staged memory is the host's.
#include "runtime/shard/step_inputs.h"

#include <gtest/gtest.h>

#include "tests/runtime/shard_fixture.h"

namespace herd::shard {
namespace {

template <class T>
std::vector<T> values(const T* begin, std::size_t count) {
  return {begin, begin + count};
}

// Two sequences: three rows at positions 2..4 of the first, one row at position 600 of the second.
StepBatch batch_of_two() {
  StepBatch batch;
  batch.token_ids = {7, 8, 9, -1};
  batch.positions = {2, 3, 4, 600};
  batch.slots = {18, 19, 20, 44};
  batch.query_begin = {0, 3, 4};
  batch.context_length = {5, 601};
  batch.block_tables = {1, 5, 6, 2};
  batch.block_table_begin = {0, 1, 4};
  batch.sample_row = {2, 3};
  return batch;
}

TEST(StepInputs, RowsBeyondTheBatchWriteNothingAndSeeNothing) {
  const auto device = testing::cpu();
  const auto inputs = std::move(*StepInputs::make(*device, {8, 6, 16}));
  const model::StepRows rows = inputs->place(batch_of_two(), 6, 1);
  EXPECT_EQ(rows.rows, 6);
  EXPECT_EQ(rows.attention.sequences, 4);
  EXPECT_EQ(values(rows.token_ids, 6), (std::vector<std::int32_t>{7, 8, 9, -1, 0, 0}));
  EXPECT_EQ(values(rows.positions, 6), (std::vector<std::int32_t>{2, 3, 4, 600, 0, 0}));
  EXPECT_EQ(values(rows.slots, 6), (std::vector<std::int64_t>{18, 19, 20, 44, -1, -1}));
  EXPECT_EQ(values(rows.attention.query_begin, 5), (std::vector<std::int32_t>{0, 3, 4, 5, 6}));
  EXPECT_EQ(values(rows.attention.context_length, 4), (std::vector<std::int32_t>{5, 601, 0, 0}));
  EXPECT_EQ(values(rows.attention.block_table_begin, 5), (std::vector<std::int32_t>{0, 1, 4, 4, 4}));
  EXPECT_EQ(values(rows.attention.block_tables, 4), (std::vector<std::uint32_t>{1, 5, 6, 2}));
  EXPECT_EQ(values(inputs->sample_rows(), 4), (std::vector<std::int32_t>{2, 3, 0, 0}));
  EXPECT_EQ(values(rows.attention.work.split_begin, 5), (std::vector<std::int32_t>{0, 1, 3, 3, 3}));
  EXPECT_EQ(values(rows.attention.work.tile_begin, 5), (std::vector<std::int32_t>{0, 0, 0, 0, 0}));
  EXPECT_FALSE(rows.attention.work.tiles);
}

TEST(StepInputs, AddressesDoNotMove) {
  const auto device = testing::cpu();
  const auto inputs = std::move(*StepInputs::make(*device, {8, 6, 16}));
  const model::StepRows full = inputs->place(batch_of_two(), 8, 1);
  StepBatch one;
  one.token_ids = {3};
  one.positions = {0};
  one.slots = {16};
  one.query_begin = {0, 1};
  one.context_length = {1};
  one.block_tables = {1};
  one.block_table_begin = {0, 1};
  const model::StepRows small = inputs->place(one, 1, 8);
  EXPECT_EQ(full.token_ids, small.token_ids);
  EXPECT_EQ(full.slots, small.slots);
  EXPECT_EQ(full.attention.block_tables, small.attention.block_tables);
  EXPECT_EQ(full.attention.work.split_begin, small.attention.work.split_begin);
  EXPECT_EQ(small.rows, 1);
}

TEST(StepInputs, ABatchBeyondTheLimitsIsRefusedByName) {
  const auto device = testing::cpu();
  const StepBatch batch = batch_of_two();
  const auto check = [&](const StepInputLimits& limits) {
    return std::move(*StepInputs::make(*device, limits))->check(batch).message();
  };
  EXPECT_EQ(check({4, 2, 4}), "");
  EXPECT_EQ(check({3, 2, 4}), "step plan: 4 rows, at most 3 fit a step");
  EXPECT_EQ(check({4, 1, 4}), "step plan: 2 sequences, at most 1 fit a step");
  EXPECT_EQ(check({4, 2, 3}), "step plan: 4 blocks, at most 3 fit a step");
}

}  // namespace
}  // namespace herd::shard
