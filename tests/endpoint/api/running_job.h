#pragma once
// A GenerationJob driven by hand: deltas in, time moved, frames and answers looked at.

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/api/generation_job.h"
#include "tests/endpoint/api/api_fixture.h"

namespace herd::api {

constexpr std::uint64_t kFirst = 40;  // ids of sequences start here

// A job whose sequences are kFirst, kFirst + 1, …; time moves by hand.
class Running {
 public:
  explicit Running(GenerationRequest request, std::shared_ptr<FakeResponder> fake = std::make_shared<FakeResponder>(),
                   double keep_alive_s = 10)
      : responder(std::move(fake)),
        surroundings(keep_alive_s),
        job(RequestId(1), std::move(request), responder, surroundings.environment, now) {
    submissions = job.start(SequenceId(kFirst));
  }
  ~Running() { EXPECT_EQ(responder->violation(), ""); }

  std::vector<SequenceId> take(const step::TokenDelta& delta) {
    now.ns += 1'000'000;
    return job.on_delta(delta, now);
  }
  std::vector<SequenceId> type(std::string_view text, std::uint64_t sequence = kFirst) {
    std::vector<SequenceId> abort;
    for (const char byte : text)
      for (const SequenceId id : take(token_delta(sequence, static_cast<std::uint8_t>(byte)))) abort.push_back(id);
    return abort;
  }
  std::vector<SequenceId> pass(double seconds) {
    now.ns += static_cast<std::int64_t>(seconds * 1e9);
    return job.on_tick(now);
  }
  [[nodiscard]] boost::json::object event(std::size_t index) const {
    const std::vector<Frame> frames = responder->frames();
    return index < frames.size() ? json_of(frames[index].data).as_object() : boost::json::object();
  }
  [[nodiscard]] boost::json::object choice_of(std::size_t index) const {
    return event(index).at("choices").as_array().at(0).as_object();
  }
  [[nodiscard]] boost::json::object body() const { return json_of(responder->answer().value().body).as_object(); }

  Instant now{1'000'000'000};
  std::shared_ptr<FakeResponder> responder;
  JobSurroundings surroundings;
  GenerationJob job;
  std::vector<step::Submission> submissions;
};

inline std::vector<SequenceId> ids(std::initializer_list<std::uint64_t> values) {
  std::vector<SequenceId> sequences;
  for (const std::uint64_t value : values) sequences.emplace_back(value);
  return sequences;
}

}  // namespace herd::api
