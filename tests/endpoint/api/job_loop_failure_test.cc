// JobLoop when something fails or ends: deadlines, dead replicas, a full mailbox, the server's stop.

#include <gtest/gtest.h>

#include "tests/endpoint/api/loop_fixture.h"

namespace herd::api {
namespace {

TEST(JobLoopFailure, ARequestThatRunsBeyondItsDeadlineEndsWith504) {
  LoopUnderTest test;
  test.faults->step_us = 20'000;
  GenerationRequest request = loop_request(1, 200, false);
  request.timeout_s = 0.3;
  const Asked asked = test.ask(std::move(request));
  ASSERT_TRUE(asked.responder->await_end());
  ASSERT_TRUE(asked.responder->answer());
  EXPECT_EQ(asked.responder->answer()->status, 504);
  EXPECT_EQ(*header_of(*asked.responder->answer(), "x-should-retry"), "false");
  EXPECT_EQ(message_of(*asked.responder->answer()), "the request did not finish within its time limit");
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.aborted(), 1U);
}

TEST(JobLoopFailure, ARequestThatWaitsBeyondItsDeadlineNeverStarts) {
  LoopUnderTest test({.running_sequences_max = 1});
  test.faults->step_us = 5'000;
  const Asked runs = test.ask(loop_request(1, 200));
  ASSERT_TRUE(runs.responder->await_frames(1));
  GenerationRequest request = loop_request(2, 5, false);
  request.timeout_s = 0.2;
  const Asked waits = test.ask(std::move(request));
  ASSERT_TRUE(waits.responder->await_end());
  ASSERT_TRUE(waits.responder->answer());
  // At the measured rate its wait would be too long, or it turned out so.
  const int status = waits.responder->answer()->status;
  EXPECT_TRUE(status == 504 || status == 503) << status;
  if (status == 504) {
    EXPECT_EQ(*header_of(*waits.responder->answer(), "x-should-retry"), "false");
    EXPECT_EQ(message_of(*waits.responder->answer()), "the request waited in the queue beyond its time limit");
  }
  EXPECT_EQ(test.cluster->stats().gateway.accepted, 1U);
  test.faults->step_us = 0;
  ASSERT_TRUE(runs.responder->await_end());
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobLoopFailure, ARequestWhoseTimeIsOverWhenItArrivesIsA504) {
  LoopUnderTest test;
  for (const bool stream : {false, true}) {
    GenerationRequest request = loop_request(1, 5, stream);
    request.timeout_s = 1e-9;
    const Asked asked = test.ask(std::move(request));
    ASSERT_TRUE(asked.responder->await_end());
    ASSERT_TRUE(asked.responder->answer());
    EXPECT_EQ(asked.responder->answer()->status, 504);
    EXPECT_EQ(*header_of(*asked.responder->answer(), "x-should-retry"), "false");
  }
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.loop.admission().accepted, 0U);
}

TEST(JobLoopFailure, AStreamBeyondItsDeadlineEndsInAnErrorEvent) {
  LoopUnderTest test;
  test.faults->step_us = 20'000;
  GenerationRequest request = loop_request(1, 200);
  request.timeout_s = 0.3;
  const Asked asked = test.ask(std::move(request));
  ASSERT_TRUE(asked.responder->await_frames(1));
  ASSERT_TRUE(asked.responder->await_end());
  EXPECT_TRUE(asked.responder->cut());
  EXPECT_TRUE(json_of(asked.responder->frames().back().data).as_object().contains("error"));
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobLoopFailure, AStreamOutlivesItsReplicaByteForByte) {
  LoopUnderTest test({}, 2);
  test.faults->step_us = 1000;
  std::vector<Asked> asked;
  for (std::uint64_t i = 0; i < 8; ++i) asked.push_back(test.ask(loop_request(i, 120)));
  for (const Asked& one : asked) ASSERT_TRUE(one.responder->await_frames(10));
  test.cluster->kill_rank(ReplicaId(0), 1);
  for (const Asked& one : asked) ASSERT_TRUE(one.responder->await_end());
  for (const Asked& one : asked) expect_whole_stream(one, 120);
  EXPECT_GT(test.cluster->stats().gateway.replayed, 0U);
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobLoopFailure, WithoutAnotherReplicaAStreamEndsInAnErrorEventAndAnAnswerInAStatus) {
  LoopUnderTest test;
  test.faults->step_us = 1000;
  const Asked stream = test.ask(loop_request(1, 200));
  const Asked whole = test.ask(loop_request(2, 200, false));
  ASSERT_TRUE(stream.responder->await_frames(5));
  test.cluster->kill_rank(ReplicaId(0), 0);
  ASSERT_TRUE(stream.responder->await_end());
  ASSERT_TRUE(whole.responder->await_end());
  EXPECT_TRUE(stream.responder->cut());
  EXPECT_TRUE(json_of(stream.responder->frames().back().data).as_object().contains("error"));
  ASSERT_TRUE(whole.responder->answer());
  EXPECT_GE(whole.responder->answer()->status, 500);
  EXPECT_TRUE(test.await_quiet());
  for (const auto& [id, reason] : test.ends()) EXPECT_EQ(reason, "error");
}

// A loop that cannot keep up loses readers, never memory.
TEST(JobLoopFailure, AFullMailboxEndsTheSequenceWithAnError) {
  LoopUnderTest test({}, 1, 0);
  const Asked asked = test.ask(loop_request(1, 200));
  ASSERT_TRUE(asked.responder->await_end());
  ASSERT_TRUE(asked.responder->answer());
  EXPECT_GE(asked.responder->answer()->status, 500);
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobLoopFailure, StopEndsEverythingWithAnErrorAndTakesNothingNew) {
  LoopUnderTest test({.running_sequences_max = 2});
  test.faults->step_us = 2000;
  const Asked stream = test.ask(loop_request(1, 200));
  const Asked whole = test.ask(loop_request(2, 200, false));
  const Asked waiting = test.ask(loop_request(3, 200));
  ASSERT_TRUE(stream.responder->await_frames(3));
  test.loop.stop();
  test.loop.stop();
  EXPECT_TRUE(stream.responder->cut());
  EXPECT_TRUE(json_of(stream.responder->frames().back().data).as_object().contains("error"));
  for (const Asked* one : {&whole, &waiting}) {
    ASSERT_TRUE(one->responder->answer());
    EXPECT_EQ(one->responder->answer()->status, 503);
    EXPECT_EQ(message_of(*one->responder->answer()), "the server is shutting down");
    EXPECT_NE(header_of(*one->responder->answer(), "Retry-After"), nullptr);
  }
  const Asked late = test.ask(loop_request(4, 5));
  ASSERT_TRUE(late.responder->answer());
  EXPECT_EQ(late.responder->answer()->status, 503);
  EXPECT_NE(header_of(*late.responder->answer(), "Retry-After"), nullptr);
  EXPECT_EQ(test.loop.open_jobs(), 0U);
  EXPECT_TRUE(test.loop.await_empty(std::chrono::milliseconds(0)));
  while (!test.quiet()) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the cluster takes its last step
  EXPECT_EQ(test.aborted(), 2U);
}

}  // namespace
}  // namespace herd::api
