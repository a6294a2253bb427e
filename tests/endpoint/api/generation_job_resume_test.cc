// A stream cut anywhere and asked for again goes on with the frames the client does not have, byte for byte.

#include <gtest/gtest.h>

#include <random>

#include "endpoint/api/generation_job.h"
#include "tests/endpoint/api/api_fixture.h"

namespace herd::api {
namespace {

using openai::Endpoint;
using step::FinishReason;
using step::TokenDelta;

constexpr std::uint64_t kFirst = 1;

// Everything that shall come out of a request: its deltas by choice, each with its end.
struct Script {
  GenerationRequest request;
  std::vector<std::vector<TokenDelta>> deltas;  // [choice]
};

Script random_script(std::mt19937_64& random) {
  Script script;
  const bool chat = random() % 2 == 0;
  script.request = toy_request(chat ? Endpoint::kChat : Endpoint::kCompletion, true, 1 + random() % 4, 20);
  GenerationRequest& request = script.request;
  if (!chat && random() % 2 == 0) {
    request.prompts.push_back(request.prompts.front());
    request.prompts[1].ids.push_back('?');
    request.prompts[1].text += '?';
  }
  request.echo = !chat && random() % 2 == 0;
  request.fields.n = 1 + random() % 2;
  request.fields.include_usage = request.answer.include_usage = random() % 2 == 0;
  request.fields.continuous_usage = random() % 4 == 0;
  request.fields.return_token_ids = request.answer.return_token_ids = random() % 3 == 0;
  request.fields.logprobs = request.answer.logprobs = random() % 3 == 0 ? 1 : -1;
  if (random() % 2 == 0) request.fields.stop = {"ab"};
  if (random() % 2 == 0) request.fields.min_tokens = 3;
  for (std::size_t choice = 0; choice < request.choices(); ++choice) {
    const GenerationRequest::Prompt& prompt = request.prompts[choice / request.fields.n];
    std::vector<TokenDelta>& deltas = script.deltas.emplace_back();
    const std::size_t tokens = 1 + random() % 8;
    for (std::size_t i = 0; i < tokens; ++i) {
      constexpr TokenId kLetters[] = {'a', 'b', 'c', 0xC3, 0xA9, '"'};
      const bool last = i + 1 == tokens;
      const bool ends_by_id = last && random() % 2 == 0;
      TokenDelta delta = token_delta(kFirst + choice, ends_by_id ? kEnd : kLetters[random() % 6],
                                     !last        ? FinishReason::kNone
                                     : ends_by_id ? FinishReason::kStop
                                                  : FinishReason::kLength);
      delta.token.logprob = -static_cast<float>(random() % 100) / 10;
      delta.token.top = {{delta.token.token, delta.token.logprob}};
      delta.cached_tokens = static_cast<std::uint32_t>(choice / request.fields.n + 1);
      if (i == 0 && request.echo && request.fields.logprobs >= 0 && prompt.ids.size() > 1) {
        step::PromptLogprobs& run = delta.prompt_logprobs.emplace_back();
        run.position = 1;
        for (std::size_t k = 1; k < prompt.ids.size(); ++k) run.tokens.push_back({prompt.ids[k], -1.5F, {}});
      }
      deltas.push_back(std::move(delta));
    }
  }
  return script;
}

// Plays all deltas in a random order that keeps each choice's; `frames_max`: where the client goes away.
std::vector<Frame> play(const Script& script, std::optional<access::EventId> resume, int frames_max,
                        std::mt19937_64& random, JobSurroundings& surroundings) {
  GenerationRequest request = script.request;
  request.resume = std::move(resume);
  const auto responder = std::make_shared<FakeResponder>(frames_max);
  GenerationJob job(RequestId(1), std::move(request), responder, surroundings.environment, Instant{1});
  EXPECT_EQ(job.start(Instant{1}).size(), script.deltas.size());
  std::vector<std::size_t> next(script.deltas.size(), 0);
  std::vector<bool> stopped(script.deltas.size(), false);
  for (std::int64_t at = 2; !job.ended(); ++at) {
    std::vector<std::size_t> open;
    for (std::size_t choice = 0; choice < next.size(); ++choice)
      if (!stopped[choice] && next[choice] < script.deltas[choice].size()) open.push_back(choice);
    if (open.empty()) {
      ADD_FAILURE() << "every delta was played and the job is still open";
      break;
    }
    const std::size_t choice = open[random() % open.size()];
    const auto taken =
        job.deliver(static_cast<std::uint32_t>(choice), script.deltas[choice][next[choice]++], Instant{at});
    if (taken.stop) stopped[choice] = true;
    if (taken.gone) break;
  }
  EXPECT_EQ(responder->violation(), "");
  EXPECT_TRUE(responder->finished() || frames_max >= 0);
  return responder->frames();
}

// The data of one choice's events, or (choice == n) of those that belong to none: usage and [DONE].
std::vector<std::string> events_of(const std::vector<Frame>& frames, std::size_t choice, std::size_t choices) {
  std::vector<std::string> events;
  for (const Frame& frame : frames) {
    std::size_t of = choices;
    if (frame.data != "[DONE]") {
      const boost::json::value value = json_of(frame.data);
      const auto& parts = value.as_object().at("choices").as_array();
      if (!parts.empty()) of = parts[0].as_object().at("index").to_number<std::size_t>();
    }
    if (of == choice) events.push_back(frame.data);
  }
  return events;
}

TEST(GenerationJobResume, TheTwoPartsOfACutStreamJoinedAreTheWhole) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 150; ++round) {
    JobSurroundings surroundings;
    const Script script = random_script(random);
    const std::size_t choices = script.deltas.size();
    const std::vector<Frame> whole = play(script, {}, -1, random, surroundings);
    for (std::size_t cut = 1; cut <= whole.size(); ++cut) {
      const std::vector<Frame> had(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut));
      const auto id = surroundings.event_ids.decode(had.back().id, "");
      ASSERT_TRUE(id);
      std::vector<Frame> joined = had;
      if (joined.back().data == "[DONE]") joined.pop_back();  // it is said again: the client asked for more
      for (Frame& frame : play(script, *id, -1, random, surroundings)) joined.push_back(std::move(frame));
      for (std::size_t choice = 0; choice <= choices; ++choice)
        ASSERT_EQ(events_of(joined, choice, choices), events_of(whole, choice, choices))
            << "round " << round << ", cut after " << cut << ", choice " << choice;
    }
  }
}

// Cut again while it goes on: the ids of a resumed stream are as good as those of the first.
TEST(GenerationJobResume, AResumedStreamCanBeCutAndResumedAgain) {
  std::mt19937_64 random(6);
  for (int round = 0; round < 300; ++round) {
    JobSurroundings surroundings;
    const Script script = random_script(random);
    const std::size_t choices = script.deltas.size();
    const std::vector<Frame> whole = play(script, {}, -1, random, surroundings);
    std::vector<Frame> joined;
    std::optional<access::EventId> last;
    for (bool over = false; !over;) {
      const int frames = static_cast<int>(random() % 4);
      const std::vector<Frame> part = play(script, last, frames > 2 ? -1 : frames, random, surroundings);
      for (const Frame& frame : part) {
        joined.push_back(frame);
        last = surroundings.event_ids.decode(frame.id, "");
        ASSERT_TRUE(last);
      }
      over = !joined.empty() && joined.back().data == "[DONE]";
    }
    for (std::size_t choice = 0; choice <= choices; ++choice)
      ASSERT_EQ(events_of(joined, choice, choices), events_of(whole, choice, choices)) << "round " << round;
  }
}

TEST(GenerationJobResume, AfterTheLastEventOnlyDoneIsSaidAgain) {
  std::mt19937_64 random(7);
  JobSurroundings surroundings;
  const Script script = random_script(random);
  const std::vector<Frame> whole = play(script, {}, -1, random, surroundings);
  const auto id = surroundings.event_ids.decode(whole.back().id, "");
  const std::vector<Frame> again = play(script, *id, -1, random, surroundings);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0], whole.back());
}

// A replica with a shorter context ends the second run before the event that the client has.
TEST(GenerationJobResume, AStreamThatEndsBeforeTheEventThatTheClientHasSaysItsEnd) {
  for (const bool with_token : {true, false}) {
    JobSurroundings surroundings;
    GenerationRequest request = toy_request(Endpoint::kCompletion, true, 3, 50);
    request.resume = access::EventId{.progress = {40}};
    const auto responder = std::make_shared<FakeResponder>();
    GenerationJob job(RequestId(1), std::move(request), responder, surroundings.environment, Instant{0});
    ASSERT_EQ(job.start(Instant{0}).size(), 1U);
    for (int i = 0; i < 4; ++i) (void)job.deliver(0, token_delta(kFirst, 'a'), Instant{1});
    (void)job.deliver(0, with_token ? token_delta(kFirst, 'b', FinishReason::kLength) : end_delta(kFirst, FinishReason::kLength),
                      Instant{2});
    const std::vector<Frame> frames = responder->frames();
    ASSERT_EQ(frames.size(), 2U);
    const boost::json::value end = json_of(frames[0].data);
    EXPECT_EQ(end.at("choices").at(0).at("finish_reason").as_string(), "length");
    EXPECT_EQ(text_of(frames), "") << "the client has more than that";
    EXPECT_EQ(frames[1].data, "[DONE]");
    EXPECT_TRUE(responder->finished());
  }
}

// The first run made `had` events of one token each, with the end in the last of them or not; this one makes five.
std::vector<Frame> five_tokens_after(std::uint32_t had) {
  JobSurroundings surroundings;
  GenerationRequest request = toy_request(Endpoint::kCompletion, true, 3, 50);
  request.resume = access::EventId{.progress = {had}};
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), std::move(request), responder, surroundings.environment, Instant{0});
  EXPECT_EQ(job.start(Instant{0}).size(), 1U);
  for (int i = 0; i < 4; ++i) (void)job.deliver(0, token_delta(kFirst, 'a'), Instant{1});
  (void)job.deliver(0, token_delta(kFirst, 'b', FinishReason::kLength), Instant{2});
  EXPECT_TRUE(responder->finished());
  return responder->frames();
}

// Less room than the first run had: however much of the stream the client has, it is told where it was cut.
TEST(GenerationJobResume, AnEndThatTheClientDoesNotHaveIsSaidWhereverItComes) {
  for (const std::uint32_t had : {4U, 5U, 6U, 7U}) {
    const std::vector<Frame> frames = five_tokens_after(had);
    ASSERT_EQ(frames.size(), 2U) << had;
    EXPECT_EQ(json_of(frames[0].data).at("choices").at(0).at("finish_reason").as_string(), "length");
    EXPECT_EQ(text_of(frames), had == 4 ? "b" : "") << had;
    JobSurroundings same_key;
    EXPECT_EQ(same_key.event_ids.decode(frames[0].id, "")->progress, std::vector<std::uint32_t>{5 | access::EventId::kEnded});
  }
}

// More room than the first run had, or less: what had ended goes on nowhere, and ends once.
TEST(GenerationJobResume, AChoiceWhoseEndTheClientHasSaysNothingMore) {
  for (const std::uint32_t had : {3U, 5U, 7U}) {
    const std::vector<Frame> frames = five_tokens_after(had | access::EventId::kEnded);
    ASSERT_EQ(frames.size(), 1U) << had;
    EXPECT_EQ(frames[0].data, "[DONE]");
  }
}

TEST(GenerationJobResume, TheRecordSaysSo) {
  JobSurroundings surroundings;
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 5);
  request.resume = access::EventId{.progress = {2}};
  const GenerationJob job(RequestId(1), std::move(request), std::make_shared<FakeResponder>(), surroundings.environment,
                          Instant{1});
  EXPECT_TRUE(job.record(Instant{2}).resumed);
}

// While it repeats what the client has there is nothing to send, so comments keep the connection alive.
TEST(GenerationJobResume, SkippedEventsDoNotPutOffComments) {
  JobSurroundings surroundings(2.0);
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 50);
  request.resume = access::EventId{.progress = {40}};
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), std::move(request), responder, surroundings.environment, Instant{0});
  ASSERT_EQ(job.start(Instant{0}).size(), 1U);
  for (std::int64_t second = 1; second <= 5; ++second) {
    EXPECT_FALSE(job.deliver(0, token_delta(kFirst, 'a'), Instant{second * 1'000'000'000}).gone);
    EXPECT_TRUE(job.tick(Instant{second * 1'000'000'000}));
  }
  const std::vector<Frame> frames = responder->frames();
  ASSERT_EQ(frames.size(), 2U);
  for (const Frame& frame : frames) EXPECT_EQ(frame.comment, "ping");
}

}  // namespace
}  // namespace herd::api
