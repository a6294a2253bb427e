// GenerationJob at its end: failures, clients that leave, silence, the record it leaves.

#include <gtest/gtest.h>

#include "tests/endpoint/api/running_job.h"

namespace herd::api {
namespace {

using openai::Endpoint;
using step::FinishReason;

TEST(GenerationJobEnd, AFailureBeforeTheFirstFrameIsTheStatusOfTheAnswer) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kChat, stream, 3, 10);
    request.fields.n = 2;
    Running chat(std::move(request));
    const Status full{StatusCode::kOverloaded, "full"};
    EXPECT_EQ(chat.take(end_delta(kFirst, FinishReason::kRefused, full)), ids({kFirst + 1}))
        << "the others of the request are aborted, the refused one is closed";
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
  EXPECT_TRUE(chat.take(end_delta(kFirst, FinishReason::kFailed, {StatusCode::kInternal, "secret path"})).empty());
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
  chat.take(end_delta(kFirst, FinishReason::kFailed, {StatusCode::kInternal, "gone"}));
  EXPECT_EQ(chat.responder->answer()->status, 500);
  EXPECT_FALSE(chat.body().contains("choices"));
}

TEST(GenerationJobEnd, FailingItFromOutsideAbortsWhatIsOpenOnce) {
  GenerationRequest request = toy_request(Endpoint::kChat, false, 3, 10);
  request.fields.n = 3;
  Running chat(std::move(request));
  chat.take(token_delta(kFirst + 1, 'a', FinishReason::kLength));
  EXPECT_EQ(chat.job.fail(openai::timed_out("late"), chat.now), ids({kFirst, kFirst + 2}));
  EXPECT_TRUE(chat.job.fail(openai::timed_out("later"), chat.now).empty());
  EXPECT_TRUE(chat.job.on_client_gone(chat.now).empty());
  EXPECT_TRUE(chat.take(token_delta(kFirst, 'a')).empty());
  EXPECT_EQ(chat.responder->answer()->status, 504);
  EXPECT_EQ(*header_of(*chat.responder->answer(), "x-should-retry"), "false") << "else clients send it again";
}

TEST(GenerationJobEnd, AClientThatLeavesAbortsWhatIsOpen) {
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
  request.fields.n = 2;
  Running chat(std::move(request));
  chat.type("a");
  EXPECT_EQ(chat.job.on_client_gone(chat.now), ids({kFirst, kFirst + 1}));
  EXPECT_TRUE(chat.job.ended());
  EXPECT_EQ(chat.job.record(chat.now).finished_reason, "abort");
  EXPECT_EQ(chat.responder->frames().size(), 2U);
  EXPECT_FALSE(chat.responder->finished());
}

TEST(GenerationJobEnd, AClientThatLeavesBeforeTheStartLeavesNothingToAbort) {
  JobSurroundings surroundings;
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), toy_request(Endpoint::kChat, true, 3, 10), responder, surroundings.environment,
                    Instant{5});
  EXPECT_TRUE(job.on_client_gone(Instant{6}).empty());
  EXPECT_TRUE(job.ended());
  EXPECT_EQ(job.status(), 0);
}

// At whichever frame the socket refuses: everything open is aborted, each sequence once, and nothing more is sent.
TEST(GenerationJobEnd, ASocketThatTakesNoMoreAbortsWhatIsOpen) {
  for (int frames_max = 0; frames_max < 6; ++frames_max) {
    GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
    request.fields.n = 2;
    Running chat(std::move(request), std::make_shared<FakeResponder>(frames_max));
    std::vector<SequenceId> aborted;
    for (int i = 0; i < 4; ++i)
      for (const std::uint64_t sequence : {kFirst, kFirst + 1})
        for (const SequenceId id : chat.type("a", sequence)) aborted.push_back(id);
    std::ranges::sort(aborted);
    EXPECT_EQ(aborted, ids({kFirst, kFirst + 1})) << frames_max;
    EXPECT_TRUE(chat.job.ended());
    EXPECT_EQ(std::cmp_equal(chat.responder->frames().size(), frames_max), true);
    EXPECT_EQ(chat.job.record(chat.now).finished_reason, "abort");
  }
}

TEST(GenerationJobEnd, ASilentStreamGetsCommentsAndTokensPutThemOff) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  EXPECT_TRUE(chat.pass(1.5).empty());
  EXPECT_TRUE(chat.responder->frames().empty());
  EXPECT_TRUE(chat.pass(1.0).empty());
  ASSERT_EQ(chat.responder->frames().size(), 1U) << "before the first token too";
  EXPECT_EQ(chat.responder->frames()[0].comment, "ping");
  chat.now.ns += 1'900'000'000;
  chat.type("a");
  EXPECT_TRUE(chat.pass(1.0).empty());
  EXPECT_EQ(chat.responder->frames().size(), 3U) << "the role and a token, no comment";
  EXPECT_TRUE(chat.pass(1.1).empty());
  EXPECT_EQ(chat.responder->frames().size(), 4U);
  EXPECT_EQ(chat.responder->frames()[3].comment, "ping");
}

TEST(GenerationJobEnd, ACommentFindsOutThatTheClientIsGone) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(0), 2.0);
  EXPECT_EQ(chat.pass(3.0), ids({kFirst}));
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
  EXPECT_EQ(completion.job.fail(openai::timed_out("late"), completion.now), ids({kFirst}));
  EXPECT_EQ(completion.responder->asked(), 3) << "the error";
}

TEST(GenerationJobEnd, AWholeAnswerGetsNoComment) {
  Running chat(toy_request(Endpoint::kChat, false, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  EXPECT_TRUE(chat.pass(100.0).empty());
  EXPECT_FALSE(chat.responder->head());
  EXPECT_FALSE(chat.responder->ended());
}

TEST(GenerationJobEnd, AFailureAfterACommentIsAnErrorEvent) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  chat.pass(3.0);
  EXPECT_EQ(chat.job.fail(openai::overloaded("stopping", 1), chat.now), ids({kFirst}));
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
  EXPECT_EQ(chat.job.fail(openai::timed_out("late"), chat.now), ids({kFirst}));
  const observability::RequestRecord record = chat.job.record(chat.now);
  EXPECT_LT(record.queue_s, 0);
  EXPECT_LT(record.prefill_s, 0);
  EXPECT_EQ(record.generation_tokens, 0U);
}

}  // namespace
}  // namespace herd::api
