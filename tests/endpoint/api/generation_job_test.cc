// GenerationJob: deltas made by hand -> frames or one answer.

#include <gtest/gtest.h>

#include "tests/endpoint/api/running_job.h"

namespace herd::api {
namespace {

using openai::Endpoint;
using step::FinishReason;
namespace json = boost::json;

TEST(GenerationJob, AChatStreamIsTheRoleAFrameForEachTokenAndDone) {
  Running chat(toy_request(Endpoint::kChat, true, 3, 10));
  EXPECT_TRUE(goes_on(chat.type("hi")));
  EXPECT_TRUE(goes_on(chat.take(token_delta(kFirst, kEnd, FinishReason::kStop))));
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

// The numerics become known between the second token and the third: from there on the stream can be resumed.
TEST(GenerationJob, EventsHaveNoIdUntilTheNumericsAreKnown) {
  const std::string known = "cpu-1/bfloat16/bfloat16/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
  access::ServedNumerics numerics;
  JobSurroundings surroundings;
  surroundings.environment.numerics = &numerics;
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), toy_request(Endpoint::kCompletion, true, 3, 4), responder, surroundings.environment, {});
  (void)job.start({});
  for (const char token : {'a', 'b'}) (void)job.deliver(0, token_delta(0, token), {});
  numerics.set(known);
  (void)job.deliver(0, token_delta(0, 'c'), {});
  (void)job.deliver(0, token_delta(0, 'd', FinishReason::kLength), {});
  const std::vector<Frame> frames = responder->frames();
  ASSERT_EQ(frames.size(), 5U);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto id = surroundings.event_ids.decode(frames[i].id, "");
    ASSERT_EQ(id.has_value(), i >= 2) << i << ": " << frames[i].id;
    if (!id) continue;
    EXPECT_EQ(id->numerics, access::numerics_digits(known));
    EXPECT_EQ(id->progress, (std::vector<std::uint32_t>{i == 2 ? 3U : 4U | access::EventId::kEnded}));
  }
  EXPECT_EQ(text_of(frames), "abcd");
}

// The replica of a cluster that computes a choice, by the numerics of its route.
gateway::RunOn run_under(const std::string& numerics, std::uint32_t choice = 0) {
  gateway::RunOn run;
  run.to.numerics = numerics;
  run.choice = choice;
  return run;
}

constexpr const char* kOneNumerics = "cpu-1/bfloat16/bfloat16/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
constexpr const char* kOtherNumerics = "cpu-2/bfloat16/bfloat16/00112233445566778899aabbccddeeff";

TEST(GenerationJob, EventsSayTheNumericsOfTheReplicaThatComputesThem) {
  access::ServedNumerics numerics;
  numerics.leave_to_replicas();
  JobSurroundings surroundings;
  surroundings.environment.numerics = &numerics;
  for (const char* id : {kOneNumerics, kOtherNumerics}) {
    const auto responder = std::make_shared<FakeResponder>();
    GenerationJob job(RequestId(1), toy_request(Endpoint::kCompletion, true, 3, 4), responder, surroundings.environment, {});
    (void)job.start({});
    job.on_attempt(run_under(id), {});
    (void)job.deliver(0, token_delta(0, 'a'), {});
    job.on_attempt(run_under(id), {});  // after a failover
    (void)job.deliver(0, token_delta(0, 'b'), {});
    const std::vector<Frame> frames = responder->frames();
    ASSERT_EQ(frames.size(), 2U);
    for (const Frame& frame : frames) {
      const auto event = surroundings.event_ids.decode(frame.id, "");
      ASSERT_TRUE(event) << frame.id;
      EXPECT_EQ(event->numerics, access::numerics_digits(id));
    }
  }
}

// No id could name both, and one that named the first would go on with other bytes for the second choice.
TEST(GenerationJob, EventsHaveNoIdOnceChoicesRunUnderSeveralNumerics) {
  JobSurroundings surroundings;
  GenerationRequest request = toy_request(Endpoint::kCompletion, true, 3, 4);
  request.fields.n = 2;
  const auto responder = std::make_shared<FakeResponder>();
  GenerationJob job(RequestId(1), std::move(request), responder, surroundings.environment, {});
  (void)job.start({});
  job.on_attempt(run_under(kOneNumerics, 0), {});
  (void)job.deliver(0, token_delta(0, 'a'), {});
  job.on_attempt(run_under(kOtherNumerics, 1), {});
  (void)job.deliver(1, token_delta(1, 'x'), {});
  (void)job.deliver(0, token_delta(0, 'b'), {});
  const std::vector<Frame> frames = responder->frames();
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_TRUE(surroundings.event_ids.decode(frames[0].id, ""));
  EXPECT_EQ(frames[1].id, "");
  EXPECT_EQ(frames[2].id, "");
}

TEST(GenerationJob, ARequestThatGoesOnWithAStreamAsksForItsNumerics) {
  JobSurroundings surroundings;
  GenerationRequest request = toy_request(Endpoint::kCompletion, true, 3, 4);
  request.numerics = kOneNumerics;
  const GenerationJob job(RequestId(1), std::move(request), std::make_shared<FakeResponder>(), surroundings.environment, {});
  EXPECT_EQ(job.gateway_request().numerics, kOneNumerics);
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
    const step::Submission& submission = completion.submissions[i];
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

TEST(GenerationJob, AsksTheGatewayForWhatItNeeds) {
  GenerationRequest request = toy_request(Endpoint::kCompletion, false, 3, 10);
  request.prompts.push_back(request.prompts.front());
  request.prompts[1].max_tokens = 0;  // an echo of the prompt alone
  request.echo = true;
  request.fields.n = 2;
  request.fields.priority = -2;
  request.tenant = admission::TenantId(5);
  request.timeout_s = 2.5;
  Running completion(std::move(request));
  const gateway::GatewayRequest asked = completion.job.gateway_request();
  EXPECT_EQ(asked.id, RequestId(1));
  EXPECT_EQ(asked.sequences, 2U) << "those that need the model";
  EXPECT_EQ(completion.submissions.size(), 2U);
  EXPECT_EQ(asked.prompt_tokens, 6U);
  EXPECT_EQ(asked.output_tokens_max, 20U);
  EXPECT_EQ(asked.priority, -2);
  EXPECT_EQ(asked.tenant, admission::TenantId(5));
  EXPECT_EQ(asked.deadline.ns, 1'000'000'000 + 2'500'000'000);
}

TEST(GenerationJob, ATimeThatNoClockHoldsIsAFarDeadline) {
  GenerationRequest request = toy_request(Endpoint::kCompletion, true, 4, 5);
  request.timeout_s = 1e300;
  Running completion(request);
  EXPECT_GT(completion.job.gateway_request().deadline, (Instant{std::int64_t{1} << 59}));
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
    EXPECT_EQ(completion.submissions.at(0).output, step::OutputSelector::kPromptLogprobs);
    step::TokenDelta prompt = end_delta(kFirst, FinishReason::kNone);
    prompt.prompt_logprobs.push_back({SequenceId(kFirst), 1, {{'"', -0.5F, {}}}});
    completion.take(prompt);
    step::TokenDelta first = token_delta(kFirst, 'a');
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
  request.fields.include_usage = request.answer.include_usage = true;
  Running chat(std::move(request));
  step::TokenDelta first = token_delta(kFirst, 'a');
  first.cached_tokens = 2;
  chat.take(first);
  chat.take(token_delta(kFirst, 'b', FinishReason::kLength));
  const std::vector<Frame> frames = chat.responder->frames();
  ASSERT_EQ(frames.size(), 5U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(chat.event(i).at("usage").is_null()) << i;
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
    EXPECT_TRUE(chat.type("aEND", kFirst).stop);
    EXPECT_FALSE(chat.job.ended());
    EXPECT_TRUE(goes_on(chat.take(token_delta(kFirst, 'q')))) << "what comes late changes nothing";
    chat.type("x", kFirst + 1);
    EXPECT_TRUE(goes_on(chat.take(token_delta(kFirst + 1, 'y', FinishReason::kLength))));
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

// After a failover the deltas tell the other attempt's cache; the answer keeps to what was true of its first token.
TEST(GenerationJob, CacheHitsAreThoseOfTheFirstAttempt) {
  Running chat(toy_request(Endpoint::kChat, false, 5, 10));
  step::TokenDelta first = token_delta(kFirst, 'a');
  first.cached_tokens = 4;
  chat.take(first);
  step::TokenDelta last = token_delta(kFirst, 'b', FinishReason::kLength);
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
  ASSERT_EQ(job.start(Instant{1}).size(), 1U);
  EXPECT_TRUE(goes_on(job.deliver(0, token_delta(kFirst, 3), Instant{2})));
  EXPECT_TRUE(goes_on(job.deliver(0, token_delta(kFirst, 4, FinishReason::kLength), Instant{3})));
  const std::vector<Frame> frames = responder->frames();
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(text_of(frames), "");
  EXPECT_EQ(json_of(frames[0].data).at("choices").as_array().at(0).at("token_ids"), json::parse("[3]"));
}

}  // namespace
}  // namespace herd::api
