// Requests of the endpoint on a cluster of toy ranks: each is answered once, in order, and leaves nothing behind.

#include <gtest/gtest.h>

#include <random>

#include "tests/endpoint/api/jobs_fixture.h"

namespace herd::api {
namespace {

TEST(JobsOnCluster, AStreamCarriesEveryTokenInItsOwnFrame) {
  JobsUnderTest test;
  const Asked asked = test.ask(job_request(1, 50));
  ASSERT_TRUE(asked.responder->await_end());
  expect_whole_stream(asked, 50);
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.ends(), (std::vector<std::pair<RequestId, std::string>>{{asked.id, "length"}}));
}

TEST(JobsOnCluster, AWholeAnswerHasTheTextOfTheStream) {
  JobsUnderTest test;
  GenerationRequest request = job_request(3, 40, false);
  request.fields.n = 3;
  request.prompts.push_back(request.prompts.front());
  request.prompts[1].ids.push_back(9);
  const Asked asked = test.ask(std::move(request));
  ASSERT_TRUE(asked.responder->await_end());
  const auto answer = asked.responder->answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  const boost::json::value body = json_of(answer->body);
  const boost::json::array& choices = body.at("choices").as_array();
  ASSERT_EQ(choices.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(choices[i].at("text").as_string(), asked.texts.at(i)) << i;
  EXPECT_EQ(body.at("usage").at("completion_tokens").to_number<int>(), 240);
}

TEST(JobsOnCluster, WaitingRequestsStartInTheOrderTheyCame) {
  JobsUnderTest test({.running_sequences_max = 1});
  test.faults->step_us = 1000;
  std::vector<Asked> asked;
  for (std::uint64_t i = 0; i < 12; ++i) asked.push_back(test.ask(job_request(i, 3 + i % 5)));
  for (const Asked& one : asked) ASSERT_TRUE(one.responder->await_end());
  ASSERT_TRUE(test.await_quiet());
  const auto ends = test.ends();
  ASSERT_EQ(ends.size(), asked.size());
  for (std::size_t i = 0; i < ends.size(); ++i) EXPECT_EQ(ends[i].first, asked[i].id);
}

TEST(JobsOnCluster, AFullQueueRefusesWithTheTimeToComeBack) {
  JobsUnderTest test({.queue_requests_max = 2, .running_sequences_max = 1});
  test.faults->step_us = 2000;
  const Asked running = test.ask(job_request(1, 200));
  ASSERT_TRUE(running.responder->await_frames(1));
  const std::vector<Asked> waiting{test.ask(job_request(2, 5)), test.ask(job_request(3, 5))};
  const Asked refused = test.ask(job_request(4, 5));
  ASSERT_TRUE(refused.responder->await_end());
  const auto answer = refused.responder->answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  const std::string* after = header_of(*answer, "Retry-After");
  ASSERT_NE(after, nullptr);
  EXPECT_GE(std::stoi(*after), 1);
  EXPECT_FALSE(waiting[0].responder->ended());
  EXPECT_TRUE(test.client.refuses_now({}));
  EXPECT_TRUE(test.await([](const actors::ClusterStatus& status) {
    return status.admission.waiting == 2 && status.admission.running == 1;
  }));
  test.faults->step_us = 0;
  for (const Asked& one : waiting) ASSERT_TRUE(one.responder->await_end());
  expect_whole_stream(waiting[1], 5);
  EXPECT_TRUE(test.await_quiet());
  EXPECT_FALSE(test.client.refuses_now({}));
}

// The bound is of those that wait, so requests that can run at once are not refused for arriving together.
TEST(JobsOnCluster, ABurstThatFitsTheMachineIsTakenWhateverTheQueueHolds) {
  JobsUnderTest test({.queue_requests_max = 1, .running_sequences_max = 64});
  for (int round = 0; round < 20; ++round) {
    std::vector<Asked> asked;
    for (std::uint64_t i = 0; i < 16; ++i) asked.push_back(test.ask(job_request(i, 4)));
    for (const Asked& one : asked) {
      ASSERT_TRUE(one.responder->await_end());
      expect_whole_stream(one, 4);
    }
  }
}

TEST(JobsOnCluster, AKeyOverItsLimitIsTold429) {
  JobsUnderTest test;
  test.client.set_tenant(admission::TenantId(5), {.requests_per_minute = 1});
  GenerationRequest request = job_request(1, 5);
  request.tenant = admission::TenantId(5);
  const Asked first = test.ask(request);
  const Asked second = test.ask(request);
  const Asked other = test.ask(job_request(2, 5));
  ASSERT_TRUE(first.responder->await_end());
  ASSERT_TRUE(second.responder->await_end());
  ASSERT_TRUE(other.responder->await_end());
  expect_whole_stream(first, 5);
  expect_whole_stream(other, 5);
  ASSERT_TRUE(second.responder->answer());
  EXPECT_EQ(second.responder->answer()->status, 429);
  EXPECT_NE(header_of(*second.responder->answer(), "Retry-After"), nullptr);
}

TEST(JobsOnCluster, AClientThatLeavesFreesItsSequencesAndBlocks) {
  JobsUnderTest test({.running_sequences_max = 4});
  test.faults->step_us = 2000;
  GenerationRequest wide = job_request(1, 200);
  wide.fields.n = 3;
  const Asked leaves = test.ask(wide);
  const Asked stays = test.ask(job_request(2, 60));
  const Asked waits = test.ask(wide);
  ASSERT_TRUE(leaves.responder->await_frames(5));
  test.client.gone(waits.id);  // first, or it would start in the other's place
  test.client.gone(leaves.id);
  ASSERT_TRUE(stays.responder->await_end());
  expect_whole_stream(stays, 60);
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.aborted(), 3U) << "the choices that ran, none of those that waited";
  EXPECT_FALSE(leaves.responder->ended());
  EXPECT_FALSE(waits.responder->ended());
  EXPECT_EQ(test.cluster.status()->admission.waiting, 0U);
  EXPECT_EQ(test.cluster.status()->admission.running_sequences, 0U);
}

// A gateway that has not heard of a request forgets who leaves; intake() says it again (GenerationIntake).
TEST(JobsOnCluster, AClientThatLeavesBeforeItsRequestIsKnownIsNobody) {
  JobsUnderTest test;
  test.client.gone(RequestId(1));
  const Asked asked = test.ask(job_request(1, 5));
  ASSERT_TRUE(asked.responder->await_end());
  expect_whole_stream(asked, 5);
}

TEST(JobsOnCluster, ASocketThatTakesNoMoreEndsItsRequestAlone) {
  JobsUnderTest test;
  test.faults->step_us = 2000;
  const Asked slow = test.ask(job_request(1, 200), 3);
  const Asked other = test.ask(job_request(2, 100));
  ASSERT_TRUE(other.responder->await_end());
  expect_whole_stream(other, 100);
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.aborted(), 1U);
  EXPECT_EQ(slow.responder->frames().size(), 3U);
  EXPECT_FALSE(slow.responder->ended());
}

TEST(JobsOnCluster, AStopStringFreesItsSequenceBeforeItsLastToken) {
  JobsUnderTest test;
  GenerationRequest request = job_request(1, 200);
  test.faults->step_us = 2000;  // far more to come when it is aborted
  JobsUnderTest reference;
  const Asked whole = reference.ask(request);
  request.fields.stop = {whole.texts[0].substr(20, 6)};
  const Asked asked = test.ask(request);
  ASSERT_TRUE(asked.responder->await_end());
  EXPECT_TRUE(test.await_quiet());
  const std::string text = text_of(asked.responder->frames());
  EXPECT_EQ(text, whole.texts[0].substr(0, whole.texts[0].find(request.fields.stop[0])));
  // The request has ended before its replica hears of it, and tells.
  EXPECT_TRUE(test.await([](const actors::ClusterStatus& status) { return status.replicas.at(0).scheduler.aborted == 1; }));
  EXPECT_LT(test.cluster.status()->replicas.at(0).scheduler.tokens_emitted, 100U);
  ASSERT_EQ(test.ends().size(), 1U);
  EXPECT_EQ(test.ends()[0].second, "stop");
}

TEST(JobsOnCluster, AnEchoOfThePromptAloneNeverReachesTheCluster) {
  JobsUnderTest test;
  GenerationRequest request = job_request(1, 0, false);
  request.echo = true;
  const std::string prompt = request.prompts[0].text;
  const Asked asked = test.ask(std::move(request));
  ASSERT_TRUE(asked.responder->await_end());
  EXPECT_EQ(json_of(asked.responder->answer()->body).at("choices").as_array()[0].at("text").as_string(), prompt);
  EXPECT_TRUE(test.await_quiet());
  EXPECT_EQ(test.cluster.status()->ledger.accepted, 0U);
}

TEST(JobsOnCluster, TheStatusTellsSinceWhenASilentClusterIsSilent) {
  JobsUnderTest test;
  test.faults->step_us = 1000;
  EXPECT_FALSE(test.cluster.status()->silent_since);
  const Instant before = steady_now();
  const Asked asked = test.ask(job_request(1, 200));
  ASSERT_TRUE(asked.responder->await_frames(3));
  EXPECT_TRUE(test.await([](const actors::ClusterStatus& status) { return status.silent_since.has_value(); }));
  const auto first = test.cluster.status()->silent_since;
  EXPECT_TRUE(!first || *first >= before);
  EXPECT_TRUE(test.await([&](const actors::ClusterStatus& status) {
    return !status.silent_since || *status.silent_since > first.value_or(before);
  })) << "each token puts it off";
  test.client.gone(asked.id);
  EXPECT_TRUE(test.await_quiet());
  EXPECT_FALSE(test.cluster.status()->silent_since);
}

// Threads that ask, leave, read slowly: every request ends once, in an answer or without one when its client left.
TEST(JobsOnCluster, RequestsOfManyThreadsAreEachAnsweredExactlyOnce) {
  JobsUnderTest test({.queue_requests_max = 30, .running_sequences_max = 12});
  constexpr int kThreads = 4;
  constexpr int kRequests = 60;
  std::vector<std::vector<std::pair<Asked, bool>>> asked(kThreads);  // with: may lack an end
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(static_cast<std::uint64_t>(thread));
      for (int i = 0; i < kRequests; ++i) {
        GenerationRequest request = job_request(random(), 1 + random() % 30, random() % 2 == 0);
        request.fields.n = 1 + random() % 3;
        const bool cut = random() % 8 == 0;
        const bool leaves = random() % 5 == 0;
        Asked one = test.ask(std::move(request), cut ? static_cast<int>(random() % 5) : -1);
        if (leaves) {
          if (random() % 2 == 0) one.responder->await_frames(1);
          test.client.gone(one.id);
        }
        if (random() % 4 == 0 && !cut && !leaves) one.responder->await_end();
        asked[static_cast<std::size_t>(thread)].emplace_back(std::move(one), cut || leaves);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(test.await_quiet());
  std::size_t whole = 0;
  std::map<RequestId, int> ends;
  for (const auto& [id, reason] : test.ends()) ++ends[id];
  EXPECT_EQ(ends.size(), std::size_t{kThreads} * kRequests);
  for (const auto& of_thread : asked) {
    for (const auto& [one, may_lack_an_end] : of_thread) {
      EXPECT_EQ(ends[one.id], 1);
      EXPECT_EQ(one.responder->violation(), "");
      EXPECT_TRUE(may_lack_an_end || one.responder->ended());
      const auto answer = one.responder->answer();
      const bool good = (answer && answer->status == 200) || one.responder->finished();
      EXPECT_TRUE(good || !answer || answer->status == 503) << answer->body;
      if (!good) continue;
      ++whole;
      for (std::size_t choice = 0; choice < one.texts.size(); ++choice) {
        const std::string text =
            answer ? std::string(json_of(answer->body).at("choices").as_array()[choice].at("text").as_string())
                   : text_of(one.responder->frames(), choice);
        EXPECT_EQ(text, one.texts[choice]);
      }
    }
  }
  EXPECT_GT(whole, 0U);
}

}  // namespace
}  // namespace herd::api
