// GenerationJob at its end: failures, clients that leave, silence, the record it leaves.

#include <gtest/gtest.h>

#include "tests/endpoint/api/running_job.h"

namespace herd::api {
namespace {

using openai::Endpoint;
using step::FinishReason;
using Kind = gateway::RequestEnd::Kind;

TEST(GenerationJobEnd, AFailureBeforeTheFirstFrameIsTheStatusOfTheAnswer) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kChat, stream, 3, 10);
    request.fields.n = 2;
    Running chat(std::move(request));
    const Status full{StatusCode::kOverloaded, "full"};
    chat.end(Kind::kFailed, full);
    EXPECT_TRUE(chat.job.ended());
    const auto answer = chat.responder->answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 503);
    ASSERT_NE(header_of(*answer, "retry-after"), nullptr);
    EXPECT_EQ(header_of(*answer, "x-should-retry"), nullptr) << "a repeat helps";
    EXPECT_EQ(chat.body().at("error").at("message").as_string(), "full");
    EXPECT_EQ(chat.job.status(), 503);
    EXPECT_EQ(chat.job.record(chat.now).finished_reason, "error");
  }
}

TEST(GenerationJobEnd, AFailureOfAStreamIsAnErrorEventAndACut) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10));
  chat.type("ab");
  chat.end(Kind::kFailed, {StatusCode::kInternal, "secret path"});
  EXPECT_TRUE(chat.job.ended());
  EXPECT_TRUE(chat.responder->cut());
  EXPECT_FALSE(chat.responder->finished());
  const std::vector<Frame> frames = chat.responder->frames();
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[3].id, "") << "nobody resumes after an error";
  EXPECT_TRUE(json_of(frames[3].data).as_object().contains("error"));
  EXPECT_EQ(frames[3].data.find("secret"), std::string::npos);
  EXPECT_EQ(text_of({frames.begin(), frames.begin() + 3}), "ab");
}

TEST(GenerationJobEnd, AFailureOfAWholeAnswerShowsNoPartOfIt) {
  Running chat(toy_request(Endpoint::kChat, false, 3, 10));
  chat.type("ab");
  chat.end(Kind::kFailed, {StatusCode::kInternal, "gone"});
  EXPECT_EQ(chat.responder->answer()->status, 500);
  EXPECT_FALSE(chat.body().contains("choices"));
}

TEST(GenerationJobEnd, ADeadlineIsA504ThatClientsDoNotRepeat) {
  GenerationRequest request = toy_request(Endpoint::kChat, false, 3, 10);
  request.fields.n = 3;
  for (const auto& [kind, message] : {std::pair{Kind::kTimedOut, "the request did not finish within its time limit"},
                                      std::pair{Kind::kLate, "the request waited in the queue beyond its time limit"}}) {
    Running chat(request);
    chat.take(token_delta(kFirst + 1, 'a', FinishReason::kLength));
    chat.end(kind, {StatusCode::kAborted, "late"});
    EXPECT_TRUE(goes_on(chat.take(token_delta(kFirst, 'a')))) << "what comes late changes nothing";
    EXPECT_EQ(chat.responder->answer()->status, 504);
    EXPECT_EQ(*header_of(*chat.responder->answer(), "x-should-retry"), "false") << "else clients send it again";
    EXPECT_EQ(chat.body().at("error").at("message").as_string(), message);
  }
}

TEST(GenerationJobEnd, ARefusalSaysWhenToComeBackAndWhoseLimitItWas) {
  for (const bool quota : {false, true}) {
    Running chat(toy_request(Endpoint::kChat, true, 3, 10));
    gateway::RequestEnd end{.kind = Kind::kRefused, .why = {StatusCode::kOverloaded, "come back"}};
    end.refusal = admission::AdmissionRefusal{
        .reason = admission::AdmissionRefusal::Reason::kQueueRequests, .quota = quota, .retry_after_s = 7,
        .message = "come back"};
    chat.job.end(end, chat.now);
    EXPECT_EQ(chat.responder->answer()->status, quota ? 429 : 503);
    EXPECT_EQ(*header_of(*chat.responder->answer(), "retry-after"), "7");
    EXPECT_NE(chat.surroundings.metrics.render().find("queue_requests"), std::string::npos) << "it is counted";
  }
}

TEST(GenerationJobEnd, ABadRequestIsTheClientsFaultOnlyWhenItWasRefusedAsItWasAsked) {
  for (const StatusCode code : {StatusCode::kBadInput, StatusCode::kUsage}) {
    const Status bad{code, "too long"};
    Running refused(toy_request(Endpoint::kChat, false, 3, 10));
    refused.end(Kind::kFailed, bad, true);
    EXPECT_EQ(refused.responder->answer()->status, 400);
    Running broke(toy_request(Endpoint::kChat, false, 3, 10));
    broke.end(Kind::kFailed, bad);
    EXPECT_EQ(broke.responder->answer()->status, 500);
  }
}

TEST(GenerationJobEnd, AShutdownAndAReaderThatIsTooSlowAre503) {
  for (const Kind kind : {Kind::kShutdown, Kind::kSlow}) {
    Running chat(toy_request(Endpoint::kChat, false, 3, 10));
    chat.end(kind, {StatusCode::kOverloaded, "the stream's reader is too slow"});
    EXPECT_EQ(chat.responder->answer()->status, 503);
    EXPECT_NE(header_of(*chat.responder->answer(), "retry-after"), nullptr);
  }
}

TEST(GenerationJobEnd, AClientThatLeavesIsToldNothingMore) {
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
  request.fields.n = 2;
  Running chat(std::move(request));
  chat.type("a");
  chat.end(Kind::kGone);
  EXPECT_TRUE(chat.job.ended());
  EXPECT_EQ(chat.job.record(chat.now).finished_reason, "abort");
  EXPECT_EQ(chat.responder->frames().size(), 2U);
  EXPECT_FALSE(chat.responder->finished());
}

TEST(GenerationJobEnd, AClientThatLeavesBeforeTheStartGetsNoStatus) {
  JobSurroundings surroundings;
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), toy_request(Endpoint::kChat, true, 3, 10), responder, surroundings.environment,
                    Instant{5});
  job.end({.kind = Kind::kGone}, Instant{6});
  EXPECT_TRUE(job.ended());
  EXPECT_EQ(job.status(), 0);
  EXPECT_FALSE(responder->ended());
}

TEST(GenerationJobEnd, ItsEndIsToldOnceWhateverWasSaidBefore) {
  int told = 0;
  JobSurroundings surroundings;
  surroundings.environment.on_end = [&](const GenerationJob& job, Instant) {
    ++told;
    EXPECT_EQ(job.status(), 200);
  };
  GenerationJob job(RequestId(1), toy_request(Endpoint::kChat, false, 3, 10), std::make_shared<FakeResponder>(),
                    surroundings.environment, Instant{5});
  (void)job.start(Instant{5});
  EXPECT_TRUE(goes_on(job.deliver(0, token_delta(kFirst, 'a', FinishReason::kLength), Instant{6})));
  EXPECT_EQ(told, 0);
  job.end({.kind = Kind::kFinished, .started = true}, Instant{7});
  EXPECT_EQ(told, 1);
}

// At whichever frame the socket refuses: the request is over, and nothing more is sent.
TEST(GenerationJobEnd, ASocketThatTakesNoMoreIsAClientThatLeft) {
  for (int frames_max = 0; frames_max < 6; ++frames_max) {
    GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
    request.fields.n = 2;
    Running chat(std::move(request), std::make_shared<FakeResponder>(frames_max));
    int gone = 0;
    for (int i = 0; i < 4; ++i) {
      for (const std::uint64_t choice : {kFirst, kFirst + 1}) {
        if (gone == 0) gone += chat.type("a", choice).gone ? 1 : 0;
      }
    }
    EXPECT_EQ(gone, 1) << frames_max;
    chat.end(Kind::kGone);
    EXPECT_TRUE(chat.job.ended());
    EXPECT_EQ(std::cmp_equal(chat.responder->frames().size(), frames_max), true);
    EXPECT_EQ(chat.job.record(chat.now).finished_reason, "abort");
  }
}

TEST(GenerationJobEnd, ASilentStreamGetsCommentsAndTokensPutThemOff) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  EXPECT_TRUE(chat.pass(1.5));
  EXPECT_TRUE(chat.responder->frames().empty());
  EXPECT_TRUE(chat.pass(1.0));
  ASSERT_EQ(chat.responder->frames().size(), 1U) << "before the first token too";
  EXPECT_EQ(chat.responder->frames()[0].comment, "ping");
  chat.now.ns += 1'900'000'000;
  chat.type("a");
  EXPECT_TRUE(chat.pass(1.0));
  EXPECT_EQ(chat.responder->frames().size(), 3U) << "the role and a token, no comment";
  EXPECT_TRUE(chat.pass(1.1));
  EXPECT_EQ(chat.responder->frames().size(), 4U);
  EXPECT_EQ(chat.responder->frames()[3].comment, "ping");
}

TEST(GenerationJobEnd, ACommentFindsOutThatTheClientIsGone) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(0), 2.0);
  EXPECT_FALSE(chat.pass(3.0));
  EXPECT_TRUE(chat.job.ended());
}

// What the request made long, and what comes once a choice or once at all, is no matter of the reader's pace; the tokens are.
TEST(GenerationJobEnd, OnlyTokensCountAgainstTheReader) {
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
  request.fields.n = 2;
  request.fields.include_usage = true;
  Running chat(std::move(request));
  for (const std::uint64_t sequence : {kFirst, kFirst + 1}) {
    chat.type("ab", sequence);
    chat.take(token_delta(sequence, 'c', FinishReason::kLength));
  }
  EXPECT_EQ(chat.responder->frames().size(), 10U) << "two roles, six tokens, usage, [DONE]";
  EXPECT_EQ(chat.responder->asked(), 4);
  EXPECT_EQ(chat.responder->voices(), 2U);

  GenerationRequest with_ids = toy_request(Endpoint::kCompletion, true, 3, 10);
  with_ids.fields.return_token_ids = true;
  with_ids.echo = true;
  Running completion(std::move(with_ids));
  completion.type("ab");
  EXPECT_EQ(completion.responder->asked(), 2) << "the prompt, and the token that carries its ids";
  completion.end(Kind::kTimedOut);
  EXPECT_EQ(completion.responder->asked(), 3) << "the error";
}

TEST(GenerationJobEnd, AWholeAnswerGetsNoComment) {
  Running chat(toy_request(Endpoint::kChat, false, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  EXPECT_TRUE(chat.pass(100.0));
  EXPECT_FALSE(chat.responder->head());
  EXPECT_FALSE(chat.responder->ended());
}

TEST(GenerationJobEnd, AFailureAfterACommentIsAnErrorEvent) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  chat.pass(3.0);
  chat.end(Kind::kShutdown);
  EXPECT_FALSE(chat.responder->answer());
  EXPECT_TRUE(chat.responder->cut());
  EXPECT_EQ(chat.job.status(), 200) << "what was sent";
}

TEST(GenerationJobEnd, ItsRecordTellsTimesAndTokens) {
  GenerationRequest request = toy_request(Endpoint::kChat, false, 5, 10);
  request.fields.n = 2;
  Running chat(std::move(request));
  step::TokenDelta first = token_delta(kFirst, 'a');
  first.prefill_s = 0.25F;
  first.cached_tokens = 4;
  chat.now.ns += 999'000'000;
  chat.take(first);
  chat.type("b");
  chat.now.ns += 1'998'000'000;
  chat.take(token_delta(kFirst + 1, 'x', FinishReason::kLength));
  chat.take(token_delta(kFirst, 'c', FinishReason::kStop));
  const observability::RequestRecord record = chat.job.record(chat.now);
  EXPECT_EQ(record.finished_reason, "stop");
  EXPECT_EQ(record.n, 2U);
  EXPECT_EQ(record.prompt_tokens, 5U);
  EXPECT_EQ(record.generation_tokens, 4U);
  EXPECT_EQ(record.longest_choice_tokens, 3U);
  EXPECT_EQ(record.cached_tokens, 4U);
  EXPECT_EQ(record.max_tokens, 10U);
  EXPECT_DOUBLE_EQ(record.prefill_s, 0.25);
  EXPECT_DOUBLE_EQ(record.queue_s, 0.75);
  EXPECT_DOUBLE_EQ(record.decode_s, 2.001);
  EXPECT_DOUBLE_EQ(record.e2e_s, 3.001);
  EXPECT_FALSE(record.resumed);
}

TEST(GenerationJobEnd, TheRecordOfOneThatNeverRanHasNoTimes) {
  Running chat(toy_request(Endpoint::kChat, false, 5, 10));
  chat.end(Kind::kLate);
  const observability::RequestRecord record = chat.job.record(chat.now);
  EXPECT_LT(record.queue_s, 0);
  EXPECT_LT(record.prefill_s, 0);
  EXPECT_EQ(record.generation_tokens, 0U);
}

}  // namespace
}  // namespace herd::api
