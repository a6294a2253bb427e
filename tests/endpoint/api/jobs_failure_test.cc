// Requests of the endpoint when something fails or ends: deadlines, dead replicas, the server's stop.

#include <gtest/gtest.h>

#include "tests/endpoint/api/jobs_fixture.h"

namespace herd::api {
namespace {

TEST(JobsFailure, ARequestThatRunsBeyondItsDeadlineEndsWith504) {
  JobsUnderTest test;
  test.faults->step_us = 20'000;
  GenerationRequest request = job_request(1, 200, false);
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

TEST(JobsFailure, ARequestThatWaitsBeyondItsDeadlineNeverStarts) {
  JobsUnderTest test({.running_sequences_max = 1});
  test.faults->step_us = 5'000;
  const Asked runs = test.ask(job_request(1, 200));
  ASSERT_TRUE(runs.responder->await_frames(1));
  GenerationRequest request = job_request(2, 5, false);
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
  EXPECT_EQ(test.cluster.status()->ledger.accepted, 1U);
  test.faults->step_us = 0;
  ASSERT_TRUE(runs.responder->await_end());
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobsFailure, ARequestWhoseTimeIsOverWhenItArrivesIsA504) {
  JobsUnderTest test;
  for (const bool stream : {false, true}) {
    GenerationRequest request = job_request(1, 5, stream);
    request.timeout_s = 1e-9;
    const Asked asked = test.ask(std::move(request));
    ASSERT_TRUE(asked.responder->await_end());
    ASSERT_TRUE(asked.responder->answer());
    EXPECT_EQ(asked.responder->answer()->status, 504);
    EXPECT_EQ(*header_of(*asked.responder->answer(), "x-should-retry"), "false");
  }
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.cluster.status()->admission.accepted, 0U);
}

TEST(JobsFailure, AStreamBeyondItsDeadlineEndsInAnErrorEvent) {
  JobsUnderTest test;
  test.faults->step_us = 20'000;
  GenerationRequest request = job_request(1, 200);
  request.timeout_s = 0.3;
  const Asked asked = test.ask(std::move(request));
  ASSERT_TRUE(asked.responder->await_frames(1));
  ASSERT_TRUE(asked.responder->await_end());
  EXPECT_TRUE(asked.responder->cut());
  EXPECT_TRUE(json_of(asked.responder->frames().back().data).as_object().contains("error"));
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobsFailure, AStreamOutlivesItsReplicaByteForByte) {
  JobsUnderTest test({}, 2);
  test.faults->step_us = 1000;
  std::vector<Asked> asked;
  for (std::uint64_t i = 0; i < 8; ++i) asked.push_back(test.ask(job_request(i, 120)));
  for (const Asked& one : asked) ASSERT_TRUE(one.responder->await_frames(10));
  test.cluster.kill_rank(ReplicaId(0), 1);
  for (const Asked& one : asked) ASSERT_TRUE(one.responder->await_end());
  for (const Asked& one : asked) expect_whole_stream(one, 120);
  EXPECT_GT(test.cluster.status()->ledger.replayed, 0U);
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobsFailure, TheOnlyReplicaComesBackAndEndsItsStreamsWhole) {
  JobsUnderTest test;
  test.faults->step_us = 1000;
  const Asked stream = test.ask(job_request(1, 120));
  const Asked whole = test.ask(job_request(2, 120, false));
  ASSERT_TRUE(stream.responder->await_frames(10));
  test.cluster.kill_rank(ReplicaId(0), 1);
  ASSERT_TRUE(stream.responder->await_end());
  ASSERT_TRUE(whole.responder->await_end());
  expect_whole_stream(stream, 120);
  EXPECT_EQ(whole.responder->answer().value().status, 200);
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobsFailure, WithoutAReplicaThatComesBackAStreamEndsInAnErrorEventAndAnAnswerInAStatus) {
  JobsUnderTest test({}, 1, false);
  test.faults->step_us = 1000;
  const Asked stream = test.ask(job_request(1, 200));
  const Asked whole = test.ask(job_request(2, 200, false));
  ASSERT_TRUE(stream.responder->await_frames(5));
  test.cluster.kill_rank(ReplicaId(0), 0);
  ASSERT_TRUE(stream.responder->await_end());
  ASSERT_TRUE(whole.responder->await_end());
  EXPECT_TRUE(stream.responder->cut());
  EXPECT_TRUE(json_of(stream.responder->frames().back().data).as_object().contains("error"));
  ASSERT_TRUE(whole.responder->answer());
  EXPECT_GE(whole.responder->answer()->status, 500);
  EXPECT_TRUE(test.await_quiet());
  for (const auto& [id, reason] : test.ends()) EXPECT_EQ(reason, "error");
}

// Without a replica, and none that comes back, nothing new is taken, not even a body.
TEST(JobsFailure, AfterTheLastReplicaRequestsAreRefusedAtOnce) {
  JobsUnderTest test({}, 1, false);
  test.cluster.kill_rank(ReplicaId(0), 0);
  ASSERT_TRUE(test.await([](const actors::ClusterStatus& status) {
    return status.serving_replicas() + status.returning_replicas() == 0;
  }));
  const Asked asked = test.ask(job_request(1, 5));
  ASSERT_TRUE(asked.responder->await_end());
  ASSERT_TRUE(asked.responder->answer());
  EXPECT_EQ(asked.responder->answer()->status, 503);
  EXPECT_NE(header_of(*asked.responder->answer(), "Retry-After"), nullptr);
  EXPECT_TRUE(test.client.refuses_now({}));
  EXPECT_TRUE(test.await_quiet());
}

TEST(JobsFailure, StopEndsEverythingWithAnErrorAndTakesNothingNew) {
  JobsUnderTest test({.running_sequences_max = 2});
  test.faults->step_us = 2000;
  const Asked stream = test.ask(job_request(1, 200));
  const Asked whole = test.ask(job_request(2, 200, false));
  const Asked waiting = test.ask(job_request(3, 200));
  ASSERT_TRUE(stream.responder->await_frames(3));
  test.client.stop();
  test.client.stop();
  EXPECT_TRUE(stream.responder->cut());
  EXPECT_TRUE(json_of(stream.responder->frames().back().data).as_object().contains("error"));
  for (const Asked* one : {&whole, &waiting}) {
    ASSERT_TRUE(one->responder->answer());
    EXPECT_EQ(one->responder->answer()->status, 503);
    EXPECT_EQ(message_of(*one->responder->answer()), "the server is shutting down");
    EXPECT_NE(header_of(*one->responder->answer(), "Retry-After"), nullptr);
  }
  const Asked late = test.ask(job_request(4, 5));
  ASSERT_TRUE(late.responder->answer());
  EXPECT_EQ(late.responder->answer()->status, 503);
  EXPECT_NE(header_of(*late.responder->answer(), "Retry-After"), nullptr);
  EXPECT_EQ(test.ends().size(), 4U) << "all was told before stop() returned";
  EXPECT_EQ(test.cluster.status()->open_requests, 0U);
  EXPECT_EQ(test.aborted(), 2U);
}

}  // namespace
}  // namespace herd::api
