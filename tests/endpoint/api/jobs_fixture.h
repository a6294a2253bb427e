#pragma once
// GenerationJobs as the streams of a cluster of toy ranks, and requests whose text is known beforehand.

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "endpoint/api/generation_job.h"
#include "runtime/steady_clock.h"
#include "tests/actors/toy_cluster.h"
#include "tests/endpoint/api/api_fixture.h"
#include "tests/sim/toy_shard.h"

namespace herd::api {

// One request and what it shall say.
struct Asked {
  RequestId id;
  std::shared_ptr<FakeResponder> responder;
  std::vector<std::string> texts;  // by choice
};

class JobsUnderTest {
 public:
  // `return_when_lost`: replicas do, as often as it takes.
  explicit JobsUnderTest(admission::AdmissionConfig admission = {}, std::uint32_t replicas = 1, bool return_when_lost = true)
      : cluster(config_of(admission, replicas, return_when_lost, faults)), client(cluster.client()) {
    surroundings.environment.on_end = [this](const GenerationJob& job, Instant now) { note_end(job, now); };
  }
  ~JobsUnderTest() { cluster.shutdown(); }

  Asked ask(GenerationRequest request, int frames_max = -1) {
    Asked asked;
    asked.id = RequestId(++next_);
    asked.responder = std::make_shared<FakeResponder>(frames_max);
    asked.texts = texts_of(request);
    const auto job = std::make_shared<GenerationJob>(asked.id, std::move(request), asked.responder,
                                                     surroundings.environment, steady_now());
    ++submitted_;
    client.submit(job->gateway_request(), job);
    return asked;
  }

  // Until nothing is open, known, runs or holds blocks; false when that takes more than a minute.
  bool await_quiet() {
    return actors::await_status(client, [this](const actors::ClusterStatus& status) {
      if (status.open_requests > 0 || status.silent_since || status.ledger.open > 0) return false;
      for (const actors::ReplicaStatus& replica : status.replicas) {
        const scheduler::SchedulerStats& stats = replica.scheduler;
        if (replica.serving && stats.num_running + stats.num_waiting + stats.blocks.num_held > 0) return false;
      }
      return ends().size() == submitted_;
    });
  }
  bool await(const std::function<bool(const actors::ClusterStatus&)>& wanted) { return cluster.await(wanted); }

  // Sequences that ended before their last token.
  [[nodiscard]] std::uint64_t aborted() { return cluster.status()->ledger.aborted; }

  // Requests in the order they ended, with the finish reason of their records.
  [[nodiscard]] std::vector<std::pair<RequestId, std::string>> ends() const {
    const std::scoped_lock lock(mutex_);
    return ends_;
  }

 private:
  static actors::StandaloneConfig config_of(const admission::AdmissionConfig& admission, std::uint32_t replicas,
                                            bool return_when_lost, std::shared_ptr<actors::ToyFaults> faults) {
    actors::StandaloneConfig config = actors::toy_config(replicas, 2, std::move(faults));
    config.gateway.admission = admission;
    if (!return_when_lost) config.restart_budget.restarts = 0;
    return config;
  }
  std::vector<std::string> texts_of(const GenerationRequest& request) {
    std::vector<std::string> texts;
    for (std::size_t choice = 0; choice < request.choices(); ++choice) {
      std::string& text = texts.emplace_back();
      if (!request.runs(request.prompts[choice / request.fields.n])) continue;
      const step::Submission submission = request.submission(choice, surroundings.environment.eos_ids);
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
  std::atomic<std::size_t> submitted_{0};
  mutable std::mutex mutex_;
  std::vector<std::pair<RequestId, std::string>> ends_;

 public:
  std::shared_ptr<actors::ToyFaults> faults = std::make_shared<actors::ToyFaults>();
  JobSurroundings surroundings;
  actors::ToyCluster cluster;  // behind what its streams use
  actors::ClusterClient& client;
};

// A stream of `tokens` tokens; `seed` makes its text.
inline GenerationRequest job_request(std::uint64_t seed, std::uint32_t tokens, bool stream = true) {
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
