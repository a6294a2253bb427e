// Blocks copied out of a replica and into it: what plans carry, when blocks are published and freed, and who gives way to whom.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/kv/block_hash.h"
#include "tests/runtime/scheduler_fixture.h"

namespace herd::scheduler {
namespace {

using Cause = TransferEnd::Cause;
using Kind = TransferEnd::Kind;

constexpr TransferId kTransfer{9};
constexpr std::uint32_t kBlock = 16;

class SchedulerTransfersTest : public SchedulerTest {
 protected:
  // The first `blocks` blocks of every prompt of this id.
  static std::vector<TokenId> chain_of(std::uint64_t id, std::uint32_t blocks) {
    return submission_of(id, blocks * kBlock, 1).tokens;
  }
  static std::vector<kv::BlockHash> hashes_of(std::uint64_t id, std::uint32_t blocks) {
    return kv::hash_blocks(chain_of(id, blocks), kBlock, 0);
  }
  // The blocks are cached afterwards, and idle.
  void compute(std::uint64_t id, std::uint32_t blocks) {
    submit(submission_of(id, blocks * kBlock + 1, 1));
    while (!scheduler_->idle()) step();
  }
  // Arrives, is written by a plan of its own, and acknowledged.
  void fetch(std::uint32_t index) {
    scheduler_->on_block_arrived(kTransfer, index);
    const step::StepPlan plan = this->plan();
    ASSERT_EQ(plan.writes.size(), 1U);
    done(result_of(plan));
  }
  std::uint32_t cached_tokens(std::uint64_t id, std::uint32_t blocks) {
    submit(submission_of(id, blocks * kBlock + 1, 1));
    const auto deltas = step();
    return deltas.empty() ? 0 : deltas.back().cached_tokens;
  }
  static std::vector<std::uint32_t> indices(const std::vector<step::BlockCopy>& copies) {
    std::vector<std::uint32_t> indices;
    for (const step::BlockCopy& copy : copies) indices.push_back(copy.index);
    return indices;
  }
  [[nodiscard]] SchedulerStats stats() const { return scheduler_->stats(); }
  std::vector<TransferEnd> ends() { return scheduler_->take_transfer_ends(); }
  // Not while a plan is out.
  void expect_nothing_held() {
    EXPECT_TRUE(scheduler_->idle());
    EXPECT_EQ(stats().blocks.num_held, 0U);
    EXPECT_FALSE(scheduler_->plan_step({}).has_value());
    scheduler_->check_integrity();
  }
};

using Indices = std::vector<std::uint32_t>;
using Ends = std::vector<TransferEnd>;

TEST_F(SchedulerTransfersTest, ExportReadsTheCachedBlocksOfAChainAsTheyAreGranted) {
  SchedulerConfig config = config_of(20);
  config.transfer_blocks_per_step = 2;
  start(config);
  compute(1, 5);
  const auto begun = scheduler_->begin_export(kTransfer, hashes_of(1, 7), 0, 1);
  ASSERT_TRUE(begun.has_value());
  EXPECT_EQ(begun->blocks, 5U);
  EXPECT_EQ(begun->tokens, chain_of(1, 5));
  EXPECT_FALSE(scheduler_->plan_step({}).has_value()) << "nothing is granted";
  EXPECT_FALSE(scheduler_->idle());
  EXPECT_EQ(stats().blocks.num_held, 5U);
  scheduler_->grant_reads(kTransfer, 3);
  const step::StepPlan first = plan();
  EXPECT_EQ(indices(first.reads), (Indices{1, 2}));
  EXPECT_TRUE(first.slices.empty() && first.writes.empty());
  EXPECT_FALSE(scheduler_->plan_step({}).has_value()) << "one plan of copies alone is out";
  done(result_of(first));
  const step::StepPlan second = plan();
  EXPECT_EQ(indices(second.reads), (Indices{3}));
  EXPECT_EQ(second.reads[0].transfer, kTransfer);
  done(result_of(second));
  EXPECT_EQ(ends(), Ends{});
  scheduler_->grant_reads(kTransfer, 100);
  const step::StepPlan third = plan();
  EXPECT_EQ(indices(third.reads), (Indices{4}));
  EXPECT_EQ(stats().blocks.num_held, 5U);
  done(result_of(third));
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kExport, Cause::kDone, 4}}));
  EXPECT_EQ(stats().blocks_exported, 4U);
  expect_nothing_held();
}

TEST_F(SchedulerTransfersTest, ExportOfWhatIsNotCachedIsOverAtOnce) {
  start(config_of(20));
  const auto begun = scheduler_->begin_export(kTransfer, hashes_of(1, 3), 0, 0);
  EXPECT_EQ(begun.value(), ExportBegun{});
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kExport, Cause::kDone, 0}}));
  expect_nothing_held();
}

// Pinned blocks return when the plan that reads them was acknowledged, not when the export ends.
TEST_F(SchedulerTransfersTest, ExportThatEndsEarlyHoldsItsBlocksUntilTheReadIsAcknowledged) {
  start(config_of(20));
  compute(1, 3);
  ASSERT_TRUE(scheduler_->begin_export(kTransfer, hashes_of(1, 3), 0, 0).has_value());
  scheduler_->grant_reads(kTransfer, 2);
  const step::StepPlan plan = this->plan();
  scheduler_->end_export(kTransfer);
  scheduler_->check_integrity();
  EXPECT_EQ(stats().blocks.num_held, 3U);
  EXPECT_EQ(ends(), Ends{});
  EXPECT_EQ(scheduler_->begin_export(kTransfer, hashes_of(1, 3), 0, 0).error().code(), StatusCode::kBadInput);
  done(result_of(plan));
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kExport, Cause::kEnded, 2}}));
  expect_nothing_held();
}

TEST_F(SchedulerTransfersTest, ImportPublishesBlocksInTheOrderOfTheChain) {
  start(config_of(20));
  compute(1, 1);
  const auto cached = scheduler_->begin_import(kTransfer, chain_of(1, 4), 0);
  EXPECT_EQ(cached.value(), 1U);
  EXPECT_EQ(stats().blocks.num_held, 4U);
  EXPECT_FALSE(scheduler_->plan_step({}).has_value()) << "nothing has arrived";
  EXPECT_FALSE(scheduler_->wants_block(kTransfer, 0));
  EXPECT_TRUE(scheduler_->wants_block(kTransfer, 3));
  EXPECT_FALSE(scheduler_->wants_block(kTransfer, 4));
  fetch(2);
  EXPECT_FALSE(scheduler_->wants_block(kTransfer, 2));
  EXPECT_EQ(stats().blocks_imported, 0U) << "the block before it is not there";
  EXPECT_EQ(cached_tokens(1, 4), kBlock);
  fetch(1);
  EXPECT_EQ(stats().blocks_imported, 2U);
  EXPECT_EQ(ends(), Ends{});
  fetch(3);
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kDone, 4}}));
  EXPECT_EQ(stats().blocks_imported, 3U);
  EXPECT_EQ(stats().blocks_given_up, 0U);
  expect_nothing_held();
  EXPECT_EQ(cached_tokens(1, 4), 4 * kBlock);
}

// Not before every rank said that the block is good: a sequence that starts meanwhile computes it.
TEST_F(SchedulerTransfersTest, ImportedBlockIsNotServedBeforeItsWriteIsAcknowledged) {
  start(config_of(20));
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 1), 0).has_value());
  scheduler_->on_block_arrived(kTransfer, 0);
  const step::StepPlan writes = plan();
  ASSERT_EQ(writes.writes.size(), 1U);
  submit(submission_of(1, kBlock + 1, 1));
  const step::StepPlan computes = plan();
  ASSERT_EQ(computes.started.size(), 1U);
  EXPECT_TRUE(computes.started[0].prefix_blocks.empty());
  EXPECT_NE(computes.slices[0].new_blocks[0], writes.writes[0].block);
  done(result_of(writes));
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kDone, 1}}));
  done(result_of(computes));
  step();
  expect_nothing_held();
}

TEST_F(SchedulerTransfersTest, DamagedBlockEndsAnImportAndWhatIsBeforeItStays) {
  start(config_of(20));
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 4), 0).has_value());
  for (const std::uint32_t index : {0U, 1U, 2U}) scheduler_->on_block_arrived(kTransfer, index);
  const step::StepPlan plan = this->plan();
  EXPECT_EQ(indices(plan.writes), (Indices{0, 1, 2}));
  step::StepResult result = result_of(plan);
  result.damaged = {{kTransfer, 1}};
  done(result);
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kDamaged, 1}}));
  EXPECT_EQ(stats().blocks_damaged, 1U);
  EXPECT_EQ(stats().blocks_imported, 1U);
  EXPECT_EQ(stats().blocks_given_up, 3U);
  const step::StepPlan forgets = this->plan();
  EXPECT_EQ(forgets.forgotten, std::vector<TransferId>{kTransfer}) << "ranks may hold bytes of it";
  done(result_of(forgets));
  expect_nothing_held();
  EXPECT_EQ(cached_tokens(1, 4), kBlock);
}

// As one of an older build: it says nothing of writes.
TEST_F(SchedulerTransfersTest, BlocksOfARankThatKnowsOfNoWritesAreNotTakenForFilled) {
  start(config_of(20));
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 2), 0).has_value());
  scheduler_->on_block_arrived(kTransfer, 0);
  step::StepResult result = result_of(plan());
  result.blocks_written = 0;
  done(result);
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kDamaged, 0}}));
  EXPECT_EQ(stats().blocks_damaged, 1U);
  EXPECT_EQ(stats().blocks_imported, 0U);
}

TEST_F(SchedulerTransfersTest, ImportThatEndsEarlyKeepsWhatIsBeingWritten) {
  start(config_of(20));
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 3), 0).has_value());
  scheduler_->on_block_arrived(kTransfer, 0);
  const step::StepPlan plan = this->plan();
  scheduler_->on_block_arrived(kTransfer, 1);
  scheduler_->end_import(kTransfer);
  scheduler_->check_integrity();
  EXPECT_FALSE(scheduler_->wants_block(kTransfer, 2));
  EXPECT_EQ(stats().blocks.num_held, 3U);
  done(result_of(plan));
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kEnded, 1}}));
  EXPECT_EQ(scheduler_->begin_import(kTransfer, chain_of(1, 3), 0).error().code(), StatusCode::kBadInput)
      << "ranks would forget what they are given for this one";
  EXPECT_EQ(this->plan().forgotten, std::vector<TransferId>{kTransfer});
  EXPECT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 3), 0).has_value());
}

TEST_F(SchedulerTransfersTest, ShortenedImportIsOverWithTheBlocksThatThereAre) {
  start(config_of(20));
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 4), 0).has_value());
  scheduler_->on_block_arrived(kTransfer, 3);
  scheduler_->shorten_import(kTransfer, 2);
  EXPECT_FALSE(scheduler_->wants_block(kTransfer, 2));
  fetch(1);
  fetch(0);
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kDone, 2}}));
  EXPECT_EQ(stats().blocks_given_up, 2U);
}

TEST_F(SchedulerTransfersTest, CopiesRideWithStepsAndAddNoPlanWhileOneIsOut) {
  start(config_of(40));
  compute(1, 3);
  submit(submission_of(2, 20, 3));
  ASSERT_TRUE(scheduler_->begin_export(kTransfer, hashes_of(1, 3), 0, 0).has_value());
  scheduler_->grant_reads(kTransfer, 3);
  const step::StepPlan prefill = plan();
  EXPECT_EQ(prefill.slices.size(), 1U);
  EXPECT_EQ(prefill.reads.size(), 3U);
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(3, 1), 0).has_value());
  const step::StepPlan decode = plan();
  EXPECT_EQ(decode.slices.size(), 1U);
  EXPECT_TRUE(decode.writes.empty());
  scheduler_->on_block_arrived(kTransfer, 0);
  EXPECT_FALSE(scheduler_->plan_step({}).has_value());
  done(result_of(prefill));
  const step::StepPlan last = plan();
  EXPECT_EQ(last.slices.size(), 1U);
  EXPECT_EQ(last.writes.size(), 1U);
  done(result_of(decode));
  done(result_of(last));
  EXPECT_EQ(ends().size(), 2U);
}

TEST_F(SchedulerTransfersTest, TransfersTakeBlocksAboveTheWatermarkOnly) {
  SchedulerConfig config = config_of(10);
  config.watermark_blocks = 3;
  start(config);
  EXPECT_EQ(scheduler_->begin_import(kTransfer, chain_of(1, 8), 0).error().code(), StatusCode::kOverloaded);
  EXPECT_EQ(stats().blocks.num_held, 0U);
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 7), 0).has_value());
  scheduler_->end_import(kTransfer);
  compute(2, 9);
  EXPECT_EQ(scheduler_->begin_export(kTransfer, hashes_of(2, 9), 0, 0)->blocks, 7U);
}

// Two sequences grow into a pool of 8 blocks, of which an import holds 3.
TEST_F(SchedulerTransfersTest, ImportGivesWayBeforeASequenceIsPreempted) {
  start(config_of(8));
  submit(submission_of(1, 30, 20));
  submit(submission_of(2, 30, 20));
  step();
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(3, 3), 0).has_value());
  while (stats().blocks.num_held == 7 || stats().num_imports == 1) step();
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kNoRoom, 0}}));
  EXPECT_EQ(stats().preemptions, 0U);
  while (!scheduler_->idle()) step();
  EXPECT_EQ(stats().preemptions, 0U);
  EXPECT_EQ(stats().finished_length, 2U);
}

// A prompt of the whole pool waits, nothing runs, and all blocks are pinned or reserved; one of them in a plan that is out.
TEST_F(SchedulerTransfersTest, TransfersGiveWayToAPromptThatNobodyElseMakesRoomFor) {
  start(config_of(8));
  compute(1, 4);
  ASSERT_TRUE(scheduler_->begin_export(kTransfer, hashes_of(1, 4), 0, 0).has_value());
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(2, 4), 0).has_value());
  EXPECT_EQ(stats().blocks.num_held, 8U);
  scheduler_->grant_reads(kTransfer, 1);
  const step::StepPlan reads = plan();
  ASSERT_EQ(reads.reads.size(), 1U);
  submit(submission_of(3, 120, 1));
  EXPECT_FALSE(scheduler_->plan_step({}).has_value()) << "the blocks come with the acknowledgement";
  scheduler_->check_integrity();
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kImport, Cause::kNoRoom, 0}}));
  done(result_of(reads));
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kExport, Cause::kNoRoom, 1}}));
  while (!scheduler_->idle()) step();
  EXPECT_EQ(stats().finished_length, 2U);
  expect_nothing_held();
}

TEST_F(SchedulerTransfersTest, FailedStepEndsTransfers) {
  start(config_of(20));
  compute(1, 2);
  ASSERT_TRUE(scheduler_->begin_export(kTransfer, hashes_of(1, 2), 0, 0).has_value());
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(2, 2), 0).has_value());
  scheduler_->grant_reads(kTransfer, 2);
  scheduler_->on_block_arrived(kTransfer, 0);
  step::StepResult result = result_of(plan());
  result.status = {StatusCode::kAborted, "a collective was given up"};
  done(result);
  EXPECT_EQ(ends(), (Ends{{kTransfer, Kind::kExport, Cause::kFailed, 0}, {kTransfer, Kind::kImport, Cause::kFailed, 0}}));
  EXPECT_EQ(stats().blocks_damaged, 0U);
  step();
  expect_nothing_held();
}

TEST_F(SchedulerTransfersTest, LostReplicaForgetsItsTransfers) {
  start(config_of(20));
  compute(1, 2);
  ASSERT_TRUE(scheduler_->begin_export(kTransfer, hashes_of(1, 2), 0, 0).has_value());
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(2, 2), 0).has_value());
  scheduler_->on_block_arrived(kTransfer, 0);
  (void)plan();
  (void)scheduler_->on_replica_lost();
  EXPECT_EQ(ends(), Ends{});
  expect_nothing_held();
  EXPECT_EQ(scheduler_->begin_export(kTransfer, hashes_of(1, 2), 0, 0).error().code(), StatusCode::kAborted);
  EXPECT_EQ(scheduler_->begin_import(kTransfer, chain_of(2, 2), 0).error().code(), StatusCode::kAborted);
}

TEST_F(SchedulerTransfersTest, RefusesWhatItCannotDo) {
  SchedulerConfig config = config_of(200);
  start(config);
  EXPECT_EQ(scheduler_->begin_import(kTransfer, {}, 0).error().code(), StatusCode::kBadInput);
  EXPECT_EQ(scheduler_->begin_import(kTransfer, submission_of(1, 17, 1).tokens, 0).error().code(), StatusCode::kBadInput);
  for (std::uint64_t id = 0; id < kTransfersMax; ++id)
    ASSERT_TRUE(scheduler_->begin_import(TransferId{id}, chain_of(id, 1), 0).has_value());
  EXPECT_EQ(scheduler_->begin_import(TransferId{kTransfersMax}, chain_of(1, 1), 0).error().code(), StatusCode::kOverloaded);
  config.prefix_caching = false;
  start(config);
  EXPECT_EQ(scheduler_->begin_import(kTransfer, chain_of(1, 1), 0).error().code(), StatusCode::kMissing);
  config.prefix_caching = true;
  config.transfer_blocks_per_step = 0;
  start(config);
  EXPECT_EQ(scheduler_->begin_import(kTransfer, chain_of(1, 1), 0).error().code(), StatusCode::kMissing);
  config.transfer_blocks_per_step = kTransferBlocksPerStepMax + 1;
  EXPECT_EQ(config.validate().code(), StatusCode::kUsage);
}

// What is said of transfers that are over or never were changes nothing.
TEST_F(SchedulerTransfersTest, IgnoresWhatComesTooLate) {
  start(config_of(20));
  scheduler_->grant_reads(kTransfer, 1);
  scheduler_->end_export(kTransfer);
  scheduler_->on_block_arrived(kTransfer, 0);
  scheduler_->shorten_import(kTransfer, 0);
  scheduler_->end_import(kTransfer);
  EXPECT_FALSE(scheduler_->wants_block(kTransfer, 0));
  EXPECT_EQ(ends(), Ends{});
  ASSERT_TRUE(scheduler_->begin_import(kTransfer, chain_of(1, 2), 0).has_value());
  scheduler_->on_block_arrived(kTransfer, 0);
  scheduler_->on_block_arrived(kTransfer, 0);
  scheduler_->on_block_arrived(kTransfer, 7);
  EXPECT_EQ(indices(plan().writes), (Indices{0}));
}

}  // namespace
}  // namespace herd::scheduler
