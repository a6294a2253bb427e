#pragma once
// A JobLoop in front of an in-process cluster of toy ranks, and requests whose text is known beforehand.

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "endpoint/api/job_loop.h"
#include "tests/endpoint/api/api_fixture.h"
#include "tests/actors/toy_cluster.h"
#include "tests/sim/toy_shard.h"

namespace herd::api {

// One request and what it shall say.
struct Asked {
  RequestId id;
  std::shared_ptr<FakeResponder> responder;
  std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
  std::vector<std::string> texts;  // by choice
};

class LoopUnderTest {
 public:
  explicit LoopUnderTest(admission::AdmissionConfig admission = {}, std::uint32_t replicas = 1,
                         std::size_t mailbox_deltas_max = std::size_t{1} << 20)
      : cluster(std::move(*actors::InProcessCluster::start(actors::toy_config(replicas, 2, faults)))),
        loop({.admission = admission,
              .mailbox_deltas_max = mailbox_deltas_max,
              .on_end = [this](const GenerationJob& job, Instant now) { note_end(job, now); }},
             *cluster, surroundings.environment) {}
  ~LoopUnderTest() {
    loop.stop();
    cluster->shutdown();
  }

  Asked ask(GenerationRequest request, int frames_max = -1) {
    Asked asked;
    asked.id = RequestId(++next_);
    asked.responder = std::make_shared<FakeResponder>(frames_max);
    asked.texts = texts_of(request);
    loop.arrive({asked.id, std::move(request), asked.responder, asked.gone, JobLoop::now()});
    return asked;
  }

  // Until nothing is open, known, runs or holds blocks; false when that takes more than a minute.
  bool await_quiet() {
    for (int i = 0; i < 6000; ++i) {
      if (loop.open_jobs() == 0 && !loop.seconds_without_token() && quiet()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool quiet() {
    const actors::InProcessClusterStats stats = cluster->stats();
    bool quiet = stats.gateway.open == 0;
    for (const auto& replica : stats.replicas)
      quiet = quiet && (!replica.serving || (replica.scheduler.num_running == 0 && replica.scheduler.num_waiting == 0 &&
                                             replica.scheduler.blocks.num_held == 0));
    return quiet;
  }

  [[nodiscard]] std::uint64_t aborted() const { return cluster->stats().gateway.aborted; }

  // Requests in the order they ended, with the finish reason of their records.
  [[nodiscard]] std::vector<std::pair<RequestId, std::string>> ends() const {
    const std::scoped_lock lock(mutex_);
    return ends_;
  }

  std::shared_ptr<actors::ToyFaults> faults = std::make_shared<actors::ToyFaults>();
  JobSurroundings surroundings;
  std::unique_ptr<actors::InProcessCluster> cluster;

 private:
  std::vector<std::string> texts_of(const GenerationRequest& request) {
    GenerationJob job(RequestId(1), request, std::make_shared<FakeResponder>(), surroundings.environment, Instant{1});
    std::vector<std::string> texts;
    for (const step::Submission& submission : job.start(SequenceId(1))) {
      std::string& text = texts.emplace_back();
      for (const TokenId id : sim::toy_stream(submission, 256, actors::kToyVocabSize).tokens)
        text += static_cast<char>(id);
    }
    return texts;
  }
  void note_end(const GenerationJob& job, Instant now) {
    const std::scoped_lock lock(mutex_);
    ends_.emplace_back(job.id(), job.record(now).finished_reason);
  }

  std::atomic<std::uint64_t> next_{0};
  mutable std::mutex mutex_;
  std::vector<std::pair<RequestId, std::string>> ends_;

 public:
  JobLoop loop;  // last: it calls note_end
};

// A stream of `tokens` tokens; `seed` makes its text.
inline GenerationRequest loop_request(std::uint64_t seed, std::uint32_t tokens, bool stream = true) {
  GenerationRequest request = toy_request(openai::Endpoint::kCompletion, stream, 20, tokens);
  request.seed = request.event.seed = seed;
  return request;
}

// Its whole text came, each token in its own frame, and it ended well.
inline void expect_whole_stream(const Asked& asked, std::uint32_t tokens) {
  EXPECT_EQ(asked.responder->violation(), "");
  EXPECT_TRUE(asked.responder->finished());
  const std::vector<Frame> frames = asked.responder->frames();
  ASSERT_EQ(frames.size(), tokens + 1U);
  EXPECT_EQ(text_of(frames), asked.texts.at(0));
  EXPECT_EQ(frames.back().data, "[DONE]");
}

inline std::string message_of(const http::HttpResponse& response) {
  return std::string(json_of(response.body).at("error").at("message").as_string());
}

}  // namespace herd::api
