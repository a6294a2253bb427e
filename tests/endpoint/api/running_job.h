#pragma once
// A GenerationJob driven by hand: deltas in, time moved, ends told, frames and answers looked at.

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/api/generation_job.h"
#include "tests/endpoint/api/api_fixture.h"

namespace herd::api {

constexpr std::uint64_t kFirst = 40;  // choices are numbered from here on: what is no choice is none by accident

// A job whose choices are called kFirst, kFirst + 1, …; time moves by hand.
class Running {
 public:
  explicit Running(GenerationRequest request, std::shared_ptr<FakeResponder> fake = std::make_shared<FakeResponder>(),
                   double keep_alive_s = 10)
      : responder(std::move(fake)),
        surroundings(keep_alive_s),
        job(RequestId(1), std::move(request), responder, surroundings.environment, now) {
    submissions = job.start(now);
  }
  ~Running() { EXPECT_EQ(responder->violation(), ""); }

  actors::RequestStream::Taken take(const step::TokenDelta& delta) {
    now.ns += 1'000'000;
    return job.deliver(static_cast<std::uint32_t>(delta.sequence.value - kFirst), delta, now);
  }
  // What the last delta meant.
  actors::RequestStream::Taken type(std::string_view text, std::uint64_t choice = kFirst) {
    actors::RequestStream::Taken taken;
    for (const char byte : text) taken = take(token_delta(choice, static_cast<std::uint8_t>(byte)));
    return taken;
  }
  // The client is still there after so much time.
  bool pass(double seconds) {
    now.ns += static_cast<std::int64_t>(seconds * 1e9);
    return job.tick(now);
  }
  void end(gateway::RequestEnd::Kind kind, Status why = {}, bool blames_caller = false) {
    gateway::RequestEnd end{.kind = kind, .why = std::move(why)};
    end.blames_caller = blames_caller;
    job.end(end, now);
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

// The reader took it and wants more.
inline bool goes_on(const actors::RequestStream::Taken& taken) {
  return taken.consumed == 1 && !taken.stop && !taken.gone;
}

}  // namespace herd::api
