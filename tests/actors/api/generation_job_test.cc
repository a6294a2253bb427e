// GenerationJob: deltas made by hand -> frames or one answer, and what must be aborted.

#include <gtest/gtest.h>

#include "actors/api/generation_job.h"
#include "tests/actors/api/api_fixture.h"

namespace herd::api {
namespace {

using openai::Endpoint;
using scheduler::FinishReason;
namespace json = boost::json;

constexpr TokenId kEnd = JobSurroundings::kEnd;
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

  std::vector<SequenceId> take(const scheduler::TokenDelta& delta) {
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
  [[nodiscard]] json::object event(std::size_t index) const {
    const std::vector<Frame> frames = responder->frames();
    return index < frames.size() ? json_of(frames[index].data).as_object() : json::object();
  }
  [[nodiscard]] json::object choice_of(std::size_t index) const {
    return event(index).at("choices").as_array().at(0).as_object();
  }
  [[nodiscard]] json::object body() const { return json_of(responder->answer().value().body).as_object(); }

  Instant now{1'000'000'000};
  std::shared_ptr<FakeResponder> responder;
  JobSurroundings surroundings;
  GenerationJob job;
  std::vector<scheduler::Submission> submissions;
};

std::vector<SequenceId> ids(std::initializer_list<std::uint64_t> values) {
  std::vector<SequenceId> sequences;
  for (const std::uint64_t value : values) sequences.emplace_back(value);
  return sequences;
}

TEST(GenerationJob, AChatStreamIsTheRoleAFrameForEachTokenAndDone) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10));
  EXPECT_TRUE(chat.type("hi").empty());
  EXPECT_TRUE(chat.take(token_delta(kFirst, kEnd, FinishReason::kStop)).empty());
  EXPECT_TRUE(chat.job.ended());
  EXPECT_TRUE(chat.responder->finished());
  EXPECT_EQ(header_of(chat.responder->head().value(), "cache-control") != nullptr, true);
  EXPECT_TRUE(chat.responder->head()->content_type.starts_with("text/event-stream"));
  ASSERT_EQ(chat.responder->frames().size(), 5U);
  EXPECT_EQ(chat.choice_of(0).at("delta").at("role").as_string(), "assistant");
  EXPECT_EQ(chat.choice_of(1).at("delta").at("content").as_string(), "h");
  EXPECT_TRUE(chat.choice_of(1).at("finish_reason").is_null());
  EXPECT_EQ(chat.choice_of(2).at("delta").at("content").as_string(), "i");
  EXPECT_EQ(chat.choice_of(3).at("delta").at("content").as_string(), "") << "a token without text has its frame too";
  EXPECT_EQ(chat.choice_of(3).at("finish_reason").as_string(), "stop");
  EXPECT_EQ(chat.responder->frames()[4].data, "[DONE]");
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(chat.event(i).at("object").as_string(), "chat.completion.chunk");
    EXPECT_EQ(chat.event(i).at("id").as_string(), "answer-1");
    EXPECT_FALSE(chat.event(i).contains("usage")) << "not asked for";
  }
}

TEST(GenerationJob, ACompletionStreamHasNoRole) {
  Running completion(toy_request(Endpoint::kCompletion, true, 3, 2));
  completion.type("a");
  completion.take(token_delta(kFirst, 'b', FinishReason::kLength));
  ASSERT_EQ(completion.responder->frames().size(), 3U);
  EXPECT_EQ(completion.choice_of(0).at("text").as_string(), "a");
  EXPECT_EQ(completion.choice_of(1).at("text").as_string(), "b");
  EXPECT_EQ(completion.choice_of(1).at("finish_reason").as_string(), "length");
}

TEST(GenerationJob, EachEventIdCountsTheEventsOfEachChoice) {
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
  request.fields.n = 2;
  Running chat(std::move(request));
  chat.type("a", kFirst);
  chat.type("xy", kFirst + 1);
  chat.type("b", kFirst);
  const std::vector<std::vector<std::uint32_t>> expected{{1, 0}, {2, 0}, {2, 1}, {2, 2}, {2, 3}, {3, 3}};
  const std::vector<Frame> frames = chat.responder->frames();
  ASSERT_EQ(frames.size(), expected.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto id = chat.surroundings.event_ids.decode(frames[i].id, "");
    ASSERT_TRUE(id);
    EXPECT_EQ(id->progress, expected[i]);
    EXPECT_FALSE(id->usage_sent);
  }
}

TEST(GenerationJob, ChoicesAreSubmissionsOfOnePromptWithTheirOwnNumber) {
  GenerationRequest request = toy_request(Endpoint::kCompletion, false, 3, 10);
  request.prompts.push_back(request.prompts.front());
  request.prompts[1].ids.push_back(5);
  request.fields.n = 3;
  request.fields.priority = -2;
  request.cache_salt = 99;
  Running completion(std::move(request));
  ASSERT_EQ(completion.submissions.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) {
    const scheduler::Submission& submission = completion.submissions[i];
    EXPECT_EQ(submission.sequence, SequenceId(kFirst + i));
    EXPECT_EQ(submission.tokens.size(), i < 3 ? 3U : 4U);
    EXPECT_EQ(submission.prompt_tokens, submission.tokens.size());
    EXPECT_EQ(submission.sampling.choice, i % 3);
    EXPECT_EQ(submission.sampling.seed, completion.submissions[i / 3 * 3].sampling.seed);
    EXPECT_EQ(submission.max_tokens, 10U);
    EXPECT_EQ(submission.priority, -2);
    EXPECT_EQ(submission.cache_salt, 99U);
    EXPECT_EQ(submission.eos_ids, std::vector<TokenId>{kEnd});
  }
  EXPECT_NE(completion.submissions[0].sampling.seed, completion.submissions[3].sampling.seed)
      << "a drawn seed gives each prompt its own";
}

TEST(GenerationJob, AGivenSeedIsTheSeedOfEveryPrompt) {
  GenerationRequest request = toy_request(Endpoint::kCompletion, false, 3, 10);
  request.prompts.push_back(request.prompts.front());
  request.seed_given = true;
  request.seed = 1234;
  Running completion(std::move(request));
  EXPECT_EQ(completion.submissions.at(0).sampling.seed, 1234U);
  EXPECT_EQ(completion.submissions.at(1).sampling.seed, 1234U);
}

TEST(GenerationJob, AWholeAnswerJoinsItsChoicesAndCountsTokens) {
  GenerationRequest request = toy_request(Endpoint::kChat, false, 3, 10);
  request.fields.n = 2;
  Running chat(std::move(request));
  chat.type("ab", kFirst);
  chat.type("xyz", kFirst + 1);
  chat.take(token_delta(kFirst + 1, kEnd, FinishReason::kStop));
  EXPECT_FALSE(chat.responder->answer());
  chat.take(token_delta(kFirst, 'c', FinishReason::kLength));
  EXPECT_TRUE(chat.job.ended());
  EXPECT_EQ(chat.responder->answer()->status, 200);
  EXPECT_TRUE(chat.responder->frames().empty());
  const json::object body = chat.body();
  const json::array& choices = body.at("choices").as_array();
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_EQ(choices[0].at("message").at("content").as_string(), "abc");
  EXPECT_EQ(choices[0].at("finish_reason").as_string(), "length");
  EXPECT_EQ(choices[1].at("message").at("content").as_string(), "xyz");
  EXPECT_EQ(choices[1].at("finish_reason").as_string(), "stop");
  EXPECT_EQ(body.at("usage").at("prompt_tokens").to_number<int>(), 3);
  EXPECT_EQ(body.at("usage").at("completion_tokens").to_number<int>(), 7);
}

TEST(GenerationJob, AWholeAnswerReportsEveryTokensLogprob) {
  GenerationRequest request = toy_request(Endpoint::kCompletion, false, 2, 3);
  request.fields.logprobs = 0;
  request.fields.return_token_ids = true;
  request.answer.logprobs = 0;
  request.answer.return_token_ids = true;
  Running completion(std::move(request));
  completion.type("ab");
  completion.take(token_delta(kFirst, 'c', FinishReason::kLength));
  const json::object body = completion.body();
  const json::object& choice = body.at("choices").as_array().at(0).as_object();
  EXPECT_EQ(choice.at("text").as_string(), "abc");
  EXPECT_EQ(choice.at("logprobs").at("tokens"), json::parse(R"(["a","b","c"])"));
  EXPECT_EQ(choice.at("logprobs").at("text_offset"), json::parse("[0,1,2]"));
  EXPECT_EQ(choice.at("token_ids"), json::parse("[97,98,99]"));
  EXPECT_EQ(choice.at("prompt_token_ids"), json::parse("[33,34]"));
}

TEST(GenerationJob, AnEchoStandsBeforeTheCompletionOnce) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kCompletion, stream, 3, 3);
    request.echo = true;
    Running completion(std::move(request));
    completion.type("ab");
    completion.take(token_delta(kFirst, 'c', FinishReason::kLength));
    if (stream) {
      EXPECT_EQ(completion.responder->frames().size(), 5U) << "the prompt, three tokens, [DONE]";
      EXPECT_EQ(completion.choice_of(0).at("text").as_string(), "!\"#");
      EXPECT_EQ(text_of(completion.responder->frames()), "!\"#abc");
    } else {
      EXPECT_EQ(completion.body().at("choices").as_array().at(0).at("text").as_string(), "!\"#abc");
    }
  }
}

TEST(GenerationJob, AnEchoWithoutATokenToMakeIsOverAtOnce) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kCompletion, stream, 3, 0);
    request.echo = true;
    Running completion(std::move(request));
    EXPECT_TRUE(completion.submissions.empty());
    EXPECT_TRUE(completion.job.ended());
    if (stream) {
      EXPECT_TRUE(completion.responder->finished());
      EXPECT_EQ(text_of(completion.responder->frames()), "!\"#");
    } else {
      EXPECT_EQ(completion.body().at("choices").as_array().at(0).at("text").as_string(), "!\"#");
      EXPECT_EQ(completion.body().at("usage").at("completion_tokens").to_number<int>(), 0);
    }
  }
}

TEST(GenerationJob, AnEchoWithLogprobsReportsPromptAndCompletionInOneRow) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kCompletion, stream, 3, 2);
    request.echo = true;
    request.fields.logprobs = 0;
    request.answer.logprobs = 0;
    Running completion(std::move(request));
    EXPECT_EQ(completion.submissions.at(0).output, scheduler::OutputSelector::kPromptLogprobs);
    scheduler::TokenDelta prompt = end_delta(kFirst, FinishReason::kNone);
    prompt.prompt_logprobs.push_back({SequenceId(kFirst), 1, {{'"', -0.5F, {}}}});
    completion.take(prompt);
    scheduler::TokenDelta first = token_delta(kFirst, 'a');
    first.prompt_logprobs.push_back({SequenceId(kFirst), 2, {{'#', -0.25F, {}}}});
    completion.take(first);
    completion.take(token_delta(kFirst, 'b', FinishReason::kLength));
    json::array tokens;
    json::array logprobs;
    json::array offsets;
    const auto collect = [&](const json::object& choice) {
      for (const auto& [from, into] : {std::pair{"tokens", &tokens}, std::pair{"token_logprobs", &logprobs},
                                       std::pair{"text_offset", &offsets}})
        for (const json::value& value : choice.at("logprobs").at(from).as_array()) into->push_back(value);
    };
    if (stream) {
      for (std::size_t i = 0; i < 3; ++i) collect(completion.choice_of(i));
    } else {
      collect(completion.body().at("choices").as_array().at(0).as_object());
    }
    EXPECT_EQ(tokens, json::parse(R"(["!","\"","#","a","b"])").as_array()) << stream;
    EXPECT_TRUE(logprobs.at(0).is_null());
    EXPECT_EQ(logprobs.at(1).to_number<double>(), -0.5);
    EXPECT_EQ(logprobs.at(2).to_number<double>(), -0.25);
    EXPECT_EQ(offsets, json::parse("[0,1,2,3,4]").as_array());
  }
}

TEST(GenerationJob, TheUsageChunkStandsBeforeDoneWhenAskedFor) {
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
  request.fields.include_usage = true;
  Running chat(std::move(request));
  scheduler::TokenDelta first = token_delta(kFirst, 'a');
  first.cached_tokens = 2;
  chat.take(first);
  chat.take(token_delta(kFirst, 'b', FinishReason::kLength));
  const std::vector<Frame> frames = chat.responder->frames();
  ASSERT_EQ(frames.size(), 5U);
  const json::object usage = chat.event(3);
  EXPECT_TRUE(usage.at("choices").as_array().empty());
  EXPECT_EQ(usage.at("usage").at("prompt_tokens").to_number<int>(), 3);
  EXPECT_EQ(usage.at("usage").at("completion_tokens").to_number<int>(), 2);
  EXPECT_EQ(usage.at("usage").at("total_tokens").to_number<int>(), 5);
  EXPECT_EQ(usage.at("usage").at("prompt_tokens_details").at("cached_tokens").to_number<int>(), 2);
  EXPECT_TRUE(chat.surroundings.event_ids.decode(frames[3].id, "")->usage_sent);
  EXPECT_EQ(frames[4].data, "[DONE]");
}

TEST(GenerationJob, WithContinuousUsageEachTokenTellsTheUsageOfItsChoice) {
  GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
  request.fields.continuous_usage = true;
  request.fields.n = 2;
  Running chat(std::move(request));
  chat.type("ab", kFirst);
  chat.type("x", kFirst + 1);
  EXPECT_EQ(chat.event(1).at("usage").at("completion_tokens").to_number<int>(), 1);
  EXPECT_EQ(chat.event(2).at("usage").at("completion_tokens").to_number<int>(), 2);
  EXPECT_EQ(chat.event(4).at("usage").at("completion_tokens").to_number<int>(), 1);
  EXPECT_EQ(chat.event(4).at("usage").at("prompt_tokens").to_number<int>(), 3);
}

TEST(GenerationJob, AStopStringEndsItsChoiceAndAbortsItsSequenceAlone) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kChat, stream, 3, 10);
    request.fields.n = 2;
    request.fields.stop = {"END"};
    Running chat(std::move(request));
    EXPECT_EQ(chat.type("aEND", kFirst), ids({kFirst}));
    EXPECT_FALSE(chat.job.ended());
    EXPECT_TRUE(chat.take(token_delta(kFirst, 'q')).empty()) << "what comes late changes nothing";
    EXPECT_TRUE(chat.take(end_delta(kFirst, FinishReason::kAborted)).empty());
    chat.type("x", kFirst + 1);
    EXPECT_TRUE(chat.take(token_delta(kFirst + 1, 'y', FinishReason::kLength)).empty());
    EXPECT_TRUE(chat.job.ended());
    if (stream) {
      EXPECT_EQ(text_of(chat.responder->frames(), 0), "a");
      EXPECT_EQ(text_of(chat.responder->frames(), 1), "xy");
      EXPECT_EQ(chat.choice_of(4).at("finish_reason").as_string(), "stop");
      EXPECT_EQ(chat.choice_of(4).at("stop_reason").as_string(), "END");
    } else {
      const json::object body = chat.body();
      EXPECT_EQ(body.at("choices").as_array().at(0).at("message").at("content").as_string(), "a");
      EXPECT_EQ(body.at("choices").as_array().at(0).at("stop_reason").as_string(), "END");
      EXPECT_EQ(body.at("usage").at("completion_tokens").to_number<int>(), 6) << "the stop string's tokens count";
    }
  }
}

TEST(GenerationJob, AStopTokenIsNamedOnlyWhenTheRequestNamedIt) {
  for (const TokenId asked : {TokenId{'z'}, kEnd}) {
    GenerationRequest request = toy_request(Endpoint::kChat, true, 3, 10);
    request.fields.stop_token_ids = {'z'};
    Running chat(std::move(request));
    chat.take(token_delta(kFirst, asked, FinishReason::kStop));
    const json::object choice = chat.choice_of(1);
    EXPECT_EQ(choice.at("finish_reason").as_string(), "stop");
    const boost::json::value named = asked == 'z' ? boost::json::value(std::int64_t{'z'}) : boost::json::value();
    EXPECT_EQ(choice.at("stop_reason"), named);
  }
}

TEST(GenerationJob, AFailureBeforeTheFirstFrameIsTheStatusOfTheAnswer) {
  for (const bool stream : {false, true}) {
    GenerationRequest request = toy_request(Endpoint::kChat, stream, 3, 10);
    request.fields.n = 2;
    Running chat(std::move(request));
    EXPECT_EQ(chat.take(end_delta(kFirst, FinishReason::kRefused, {StatusCode::kOverloaded, "full"})), ids({kFirst + 1}))
        << "the others of the request are aborted, the refused one is closed";
    EXPECT_TRUE(chat.job.ended());
    const auto answer = chat.responder->answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 503);
    ASSERT_NE(header_of(*answer, "retry-after"), nullptr);
    EXPECT_EQ(chat.body().at("error").at("message").as_string(), "full");
    EXPECT_EQ(chat.job.status(), 503);
    EXPECT_EQ(chat.job.record(chat.now).finished_reason, "error");
  }
}

TEST(GenerationJob, AFailureOfAStreamIsAnErrorEventAndACut) {
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

TEST(GenerationJob, AFailureOfAWholeAnswerShowsNoPartOfIt) {
  Running chat(toy_request(Endpoint::kChat, false, 3, 10));
  chat.type("ab");
  chat.take(end_delta(kFirst, FinishReason::kFailed, {StatusCode::kInternal, "gone"}));
  EXPECT_EQ(chat.responder->answer()->status, 500);
  EXPECT_FALSE(chat.body().contains("choices"));
}

TEST(GenerationJob, FailingItFromOutsideAbortsWhatIsOpenOnce) {
  GenerationRequest request = toy_request(Endpoint::kChat, false, 3, 10);
  request.fields.n = 3;
  Running chat(std::move(request));
  chat.take(token_delta(kFirst + 1, 'a', FinishReason::kLength));
  EXPECT_EQ(chat.job.fail(openai::timed_out("late"), chat.now), ids({kFirst, kFirst + 2}));
  EXPECT_TRUE(chat.job.fail(openai::timed_out("later"), chat.now).empty());
  EXPECT_TRUE(chat.job.on_client_gone(chat.now).empty());
  EXPECT_TRUE(chat.take(token_delta(kFirst, 'a')).empty());
  EXPECT_EQ(chat.responder->answer()->status, 408);
}

TEST(GenerationJob, AClientThatLeavesAbortsWhatIsOpen) {
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

TEST(GenerationJob, AClientThatLeavesBeforeTheStartLeavesNothingToAbort) {
  JobSurroundings surroundings;
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), toy_request(Endpoint::kChat, true, 3, 10), responder, surroundings.environment,
                    Instant{5});
  EXPECT_TRUE(job.on_client_gone(Instant{6}).empty());
  EXPECT_TRUE(job.ended());
  EXPECT_EQ(job.status(), 0);
}

// At whichever frame the socket refuses: everything open is aborted, each sequence once, and nothing more is sent.
TEST(GenerationJob, ASocketThatTakesNoMoreAbortsWhatIsOpen) {
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

TEST(GenerationJob, ASilentStreamGetsCommentsAndTokensPutThemOff) {
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

TEST(GenerationJob, ACommentFindsOutThatTheClientIsGone) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(0), 2.0);
  EXPECT_EQ(chat.pass(3.0), ids({kFirst}));
  EXPECT_TRUE(chat.job.ended());
}

TEST(GenerationJob, AWholeAnswerGetsNoComment) {
  Running chat(toy_request(Endpoint::kChat, false, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  EXPECT_TRUE(chat.pass(100.0).empty());
  EXPECT_FALSE(chat.responder->head());
  EXPECT_FALSE(chat.responder->ended());
}

TEST(GenerationJob, AFailureAfterACommentIsAnErrorEvent) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10), std::make_shared<FakeResponder>(), 2.0);
  chat.pass(3.0);
  EXPECT_EQ(chat.job.fail(openai::overloaded("stopping", 1), chat.now), ids({kFirst}));
  EXPECT_FALSE(chat.responder->answer());
  EXPECT_TRUE(chat.responder->cut());
  EXPECT_EQ(chat.job.status(), 200) << "what was sent";
}

TEST(GenerationJob, ItsRecordTellsTimesAndTokens) {
  GenerationRequest request = toy_request(Endpoint::kChat, false, 5, 10);
  request.fields.n = 2;
  Running chat(std::move(request));
  scheduler::TokenDelta first = token_delta(kFirst, 'a');
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

TEST(GenerationJob, TheRecordOfOneThatNeverRanHasNoTimes) {
  Running chat(toy_request(Endpoint::kChat, false, 5, 10));
  EXPECT_EQ(chat.job.fail(openai::timed_out("late"), chat.now), ids({kFirst}));
  const observability::RequestRecord record = chat.job.record(chat.now);
  EXPECT_LT(record.queue_s, 0);
  EXPECT_LT(record.prefill_s, 0);
  EXPECT_EQ(record.generation_tokens, 0U);
}

// After a failover the deltas tell the other attempt's cache; the answer keeps to what was true of its first token.
TEST(GenerationJob, CacheHitsAreThoseOfTheFirstAttempt) {
  Running chat(toy_request(Endpoint::kChat, false, 5, 10));
  scheduler::TokenDelta first = token_delta(kFirst, 'a');
  first.cached_tokens = 4;
  chat.take(first);
  scheduler::TokenDelta last = token_delta(kFirst, 'b', FinishReason::kLength);
  last.attempt = 1;
  last.cached_tokens = 0;
  chat.take(last);
  EXPECT_EQ(chat.body().at("usage").at("prompt_tokens_details").at("cached_tokens").to_number<int>(), 4);
}

TEST(GenerationJob, WithoutATokenizerThereAreFramesWithoutText) {
  JobSurroundings surroundings;
  surroundings.environment.tokenizer = nullptr;
  surroundings.environment.token_bytes = [](TokenId) { return std::string_view(); };
  GenerationRequest request = toy_request(Endpoint::kCompletion, true, 3, 2);
  request.fields.return_token_ids = true;
  request.answer.return_token_ids = true;
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), std::move(request), responder, surroundings.environment, Instant{1});
  ASSERT_EQ(job.start(SequenceId(kFirst)).size(), 1U);
  EXPECT_TRUE(job.on_delta(token_delta(kFirst, 3), Instant{2}).empty());
  EXPECT_TRUE(job.on_delta(token_delta(kFirst, 4, FinishReason::kLength), Instant{3}).empty());
  const std::vector<Frame> frames = responder->frames();
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(text_of(frames), "");
  EXPECT_EQ(json_of(frames[0].data).at("choices").as_array().at(0).at("token_ids"), json::parse("[3]"));
}

}  // namespace
}  // namespace herd::api
