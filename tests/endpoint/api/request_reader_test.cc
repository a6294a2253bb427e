// RequestReader with the demo model's tokenizer: bodies -> what the model shall do.

#include <gtest/gtest.h>

#include "endpoint/api/request_reader.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/tokenizer/tokenizer_json.h"
#include "tests/endpoint/api/api_fixture.h"

namespace herd::api {
namespace {

constexpr std::int64_t kContext = 64;
constexpr TokenId kBos = 4026;
constexpr std::int64_t kNow = 1'741'359'845;  // when every request is accepted

// Once for all tests: the files that ship.
const served::ServedModel& demo_model() {
  static const served::ServedModel kDemo = [] {
    const std::string path = "config/demo_model";
    served::ServedModel model;
    model.names = {"demo", "also-demo"};
    model.root = "demo";
    auto description = model::open_config_only(path);
    EXPECT_TRUE(description) << "run it in the repository's root";
    auto tokenizer = tokenizer::load_tokenizer_json(description->text.tokenizer_json);
    EXPECT_TRUE(tokenizer) << tokenizer.error().message();
    model.tokenizer = *tokenizer;
    auto chat = chat::ChatRenderer::of_template({description->text.chat_template, {}}, description->text.special_tokens, *tokenizer);
    EXPECT_TRUE(chat) << chat.error().message();
    model.chat_renderer = *chat;
    model.generation = description->generation;
    model.vocab_size = description->config.vocab_size;
    model.max_model_len = kContext;
    return model;
  }();
  return kDemo;
}

openai::RequestLimits limits() {
  openai::RequestLimits limits;
  limits.vocab_size = demo_model().vocab_size;
  limits.prompt_bytes_max = kContext * 16;
  limits.prompt_tokens_max = kContext;
  return limits;
}

const RequestReader& reader() {
  static const RequestReader kReader(demo_model(), limits());
  return kReader;
}

RequestReader reader_with(const model::GenerationConfig& generation) {
  served::ServedModel model = demo_model();
  model.generation = generation;
  return {std::move(model), limits()};
}

std::vector<TokenId> encoded(std::string_view text, bool bos = true) {
  return demo_model().tokenizer->encode(text, {.add_bos = bos, .parse_special = true});
}

// ids of `count` tokens, as JSON.
std::string id_list(std::int64_t count) {
  std::string list = "[";
  for (std::int64_t i = 0; i < count; ++i) list += (i > 0 ? ",5" : "5");
  return list + "]";
}

TEST(RequestReader, ABareCompletionGetsOpenAisDefaults) {
  const RequestReader plain = reader_with({});
  const auto request = plain.completion(R"({"prompt": "The capital of France is"})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->answer.endpoint, openai::Endpoint::kCompletion);
  EXPECT_EQ(request->answer.model, "demo");
  ASSERT_EQ(request->prompts.size(), 1U);
  EXPECT_EQ(request->prompts[0].ids, encoded("The capital of France is"));
  EXPECT_EQ(request->prompts[0].ids.front(), kBos);
  EXPECT_EQ(request->prompts[0].text, "The capital of France is");
  EXPECT_EQ(request->prompts[0].max_tokens, 16U);
  EXPECT_FLOAT_EQ(request->sampling.temperature, 1.0F);
  EXPECT_FLOAT_EQ(request->sampling.top_p, 1.0F);
  EXPECT_EQ(request->sampling.top_k, 0);
  EXPECT_FLOAT_EQ(request->sampling.min_p, 0.0F);
  EXPECT_FLOAT_EQ(request->sampling.repetition_penalty, 1.0F);
  EXPECT_EQ(request->sampling.logprobs, -1);
  EXPECT_EQ(request->choices(), 1U);
  EXPECT_EQ(request->output_tokens_max(), 16U);
  EXPECT_FALSE(request->echo);
}

TEST(RequestReader, TheModelsOwnDefaultsComeNextAndTheRequestsWordFirst) {
  model::GenerationConfig generation;
  generation.temperature = 0.6;
  generation.top_p = 0.9;
  generation.top_k = 40;
  generation.min_p = 0.05;
  generation.repetition_penalty = 1.1;
  generation.max_new_tokens = 7;
  const RequestReader tuned = reader_with(generation);
  const auto defaults = tuned.completion(R"({"prompt": "a"})");
  ASSERT_TRUE(defaults);
  EXPECT_FLOAT_EQ(defaults->sampling.temperature, 0.6F);
  EXPECT_FLOAT_EQ(defaults->sampling.top_p, 0.9F);
  EXPECT_EQ(defaults->sampling.top_k, 40);
  EXPECT_FLOAT_EQ(defaults->sampling.min_p, 0.05F);
  EXPECT_FLOAT_EQ(defaults->sampling.repetition_penalty, 1.1F);
  const auto asked = tuned.completion(
      R"({"prompt": "a", "temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0, "repetition_penalty": 1})");
  ASSERT_TRUE(asked);
  EXPECT_FLOAT_EQ(asked->sampling.temperature, 0.0F);
  EXPECT_FLOAT_EQ(asked->sampling.top_p, 1.0F);
  EXPECT_EQ(asked->sampling.top_k, -1);
  EXPECT_FLOAT_EQ(asked->sampling.min_p, 0.0F);
  EXPECT_FLOAT_EQ(asked->sampling.repetition_penalty, 1.0F);
  const auto chat = tuned.chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow);
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->prompts[0].max_tokens, 7U);
}

TEST(RequestReader, WhatTheSamplerNeedsArrives) {
  const auto request = reader().completion(
      R"({"prompt": "a", "max_tokens": 9, "min_tokens": 3, "ignore_eos": true, "stop_token_ids": [7, 8],
          "presence_penalty": 0.5, "frequency_penalty": -0.5, "logit_bias": {"5": 1.5}, "logprobs": 2, "n": 3,
          "seed": 42, "stream": true})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->prompts[0].max_tokens, 9U);
  EXPECT_EQ(request->sampling.min_tokens, 3U);
  EXPECT_TRUE(request->sampling.ignore_eos);
  EXPECT_EQ(request->sampling.stop_token_ids, (std::vector<TokenId>{7, 8}));
  EXPECT_FLOAT_EQ(request->sampling.presence_penalty, 0.5F);
  EXPECT_FLOAT_EQ(request->sampling.frequency_penalty, -0.5F);
  EXPECT_EQ(request->sampling.logit_bias, (std::vector<std::pair<TokenId, float>>{{5, 1.5F}}));
  EXPECT_EQ(request->sampling.logprobs, 2);
  EXPECT_EQ(request->answer.logprobs, 2);
  EXPECT_EQ(request->choices(), 3U);
  EXPECT_EQ(request->output_tokens_max(), 27U);
  EXPECT_EQ(request->fields.seed, 42U);
  EXPECT_TRUE(request->fields.stream);
}

TEST(RequestReader, AnUnknownModelIsA404AndEveryNameOfTheKnownOneIsAnsweredUnderIt) {
  for (const char* name : {"demo", "also-demo"}) {
    const auto request = reader().completion(std::string(R"({"prompt": "a", "model": ")") + name + R"("})");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->answer.model, name);
  }
  const std::string bodies[] = {R"({"prompt": "a", "model": "gpt-4"})",
                                R"({"messages": [{"role": "user", "content": "a"}], "model": "gpt-4"})"};
  for (const auto& refused : {reader().completion(bodies[0]), reader().chat(bodies[1], kNow)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().status, 404);
    EXPECT_EQ(refused.error().code, "model_not_found");
    EXPECT_EQ(refused.error().message, "The model `gpt-4` does not exist.");
  }
  EXPECT_EQ(reader().tokenize(R"({"prompt": "a", "model": "gpt-4"})", kNow).error().status, 404);
  EXPECT_EQ(reader().detokenize(R"({"tokens": [1], "model": "gpt-4"})").error().status, 404);
}

TEST(RequestReader, PromptAndCompletionShareTheContext) {
  const auto exactly = reader().completion(R"({"prompt": )" + id_list(40) + R"(, "max_tokens": 24})");
  ASSERT_TRUE(exactly) << exactly.error().message;
  EXPECT_EQ(exactly->prompts[0].max_tokens, 24U);
  const auto more = reader().completion(R"({"prompt": )" + id_list(40) + R"(, "max_tokens": 25})");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().status, 400);
  EXPECT_EQ(more.error().code, "context_length_exceeded");
  EXPECT_NE(more.error().message.find("65 tokens (40 in the prompt, 25 for the completion)"), std::string::npos)
      << more.error().message;
  const auto largest = reader().completion(R"({"prompt": [5], "max_tokens": 4294967295})");
  ASSERT_FALSE(largest);
  EXPECT_EQ(largest.error().status, 400);
}

TEST(RequestReader, ADefaultLengthShrinksToWhatIsLeftOfTheContext) {
  const auto short_room = reader().completion(R"({"prompt": )" + id_list(60) + "}");
  ASSERT_TRUE(short_room);
  EXPECT_EQ(short_room->prompts[0].max_tokens, 4U);
  const auto full = reader().completion(R"({"prompt": )" + id_list(64) + "}");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, "context_length_exceeded");
}

TEST(RequestReader, AChatWithoutALengthMayUseTheWholeContext) {
  const auto chat = reader().chat(R"({"messages": [{"role": "user", "content": "Are dogs real?"}]})", kNow);
  ASSERT_TRUE(chat) << chat.error().message;
  const std::vector<TokenId> expected = encoded(
      "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nAre dogs real?<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\n", false);
  EXPECT_EQ(chat->prompts[0].ids, expected) << "the template's text, and no second BOS";
  EXPECT_EQ(chat->prompts[0].max_tokens, kContext - static_cast<std::int64_t>(expected.size()));
  EXPECT_EQ(chat->answer.endpoint, openai::Endpoint::kChat);
  EXPECT_FALSE(chat->echo);
}

// How much room a server has is no part of what a stream is bound to; what is asked for is.
TEST(RequestReader, AStreamIsBoundToTheTokensAskedForAndNotToTheRoom) {
  const std::string body = R"({"messages": [{"role": "user", "content": "Are dogs real?"}], "stream": true})";
  const auto bound = [&body](std::int64_t max_model_len, std::optional<int> max_new_tokens) {
    served::ServedModel model = demo_model();
    model.max_model_len = max_model_len;
    model.generation.max_new_tokens = max_new_tokens;
    const auto chat = RequestReader(std::move(model), limits()).chat(body, kNow);
    EXPECT_TRUE(chat);
    return std::pair(chat->bound_hash(body, {}), chat->prompts[0].max_tokens);
  };
  EXPECT_EQ(bound(kContext, {}).first, bound(kContext - 4, {}).first);
  EXPECT_NE(bound(kContext, {}).second, bound(kContext - 4, {}).second);
  EXPECT_EQ(bound(kContext, 1000).first, bound(kContext - 4, 1000).first) << "a default beyond the room";
  EXPECT_NE(bound(kContext, 7).first, bound(kContext, 8).first);
  EXPECT_NE(bound(kContext, {}).first, bound(kContext, 7).first);
}

TEST(RequestReader, AnEchoOfAFullContextNeedsNoRoom) {
  const auto echo = reader().completion(R"({"prompt": )" + id_list(64) + R"(, "max_tokens": 0, "echo": true})");
  ASSERT_TRUE(echo) << echo.error().message;
  EXPECT_EQ(echo->prompts[0].max_tokens, 0U);
  EXPECT_TRUE(echo->echo);
  EXPECT_EQ(echo->prompts[0].text, demo_model().tokenizer->decode(echo->prompts[0].ids, true));
  EXPECT_FALSE(reader().completion(R"({"prompt": )" + id_list(65) + R"(, "max_tokens": 0, "echo": true})"));
}

TEST(RequestReader, ATextPromptIsEchoedAsItWasSent) {
  const auto echo = reader().completion(R"({"prompt": "Caf\u00e9 2+2", "echo": true})");
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->prompts[0].text, "Caf\xC3\xA9 2+2");
}

TEST(RequestReader, MinTokensMustFitIntoMaxTokensAlsoIntoADefault) {
  EXPECT_TRUE(reader().completion(R"({"prompt": "a", "max_tokens": 5, "min_tokens": 5})"));
  const auto over = reader().completion(R"({"prompt": "a", "max_tokens": 5, "min_tokens": 6})");
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().status, 400);
  EXPECT_EQ(over.error().param, "min_tokens");
  const auto over_default = reader().completion(R"({"prompt": "a", "min_tokens": 17})");
  ASSERT_FALSE(over_default);
  EXPECT_EQ(over_default.error().param, "min_tokens");
}

TEST(RequestReader, EveryPromptOfAListIsReadAndTheLongestDecides) {
  const auto texts = reader().completion(R"({"prompt": ["one", "two words"], "n": 2})");
  ASSERT_TRUE(texts);
  ASSERT_EQ(texts->prompts.size(), 2U);
  EXPECT_EQ(texts->prompts[1].ids, encoded("two words"));
  EXPECT_EQ(texts->choices(), 4U);
  EXPECT_EQ(texts->prompt_tokens(), encoded("one").size() + encoded("two words").size());
  const auto ids = reader().completion(R"({"prompt": [[5, 6], [7]]})");
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->prompts[0].ids, (std::vector<TokenId>{5, 6})) << "ids are taken as they are";
  const auto one_too_long = reader().completion(R"({"prompt": [[5], )" + id_list(64) + "]}");
  ASSERT_FALSE(one_too_long);
  EXPECT_EQ(one_too_long.error().code, "context_length_exceeded");
}

TEST(RequestReader, TheBeginningOfTextIsLeftOutWhenAsked) {
  const auto request = reader().completion(R"({"prompt": "a word", "add_special_tokens": false})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->prompts[0].ids, encoded("a word", false));
  EXPECT_NE(request->prompts[0].ids.front(), kBos);
}

TEST(RequestReader, SpecialTokensOfATextAreTokensUnlessAskedOtherwise) {
  const std::string end = "<|eot_id|>";
  const auto ids = [](const std::string& more) {
    return reader().completion(R"({"prompt": "a<|eot_id|>", "add_special_tokens": false)" + more + "}")->prompts[0].ids;
  };
  EXPECT_EQ(ids("").size(), 2U);
  EXPECT_EQ(ids(R"(, "parse_special": true)"), ids(""));
  EXPECT_EQ(ids(R"(, "parse_special": false)"), demo_model().tokenizer->encode("a" + end));
  const auto counted = [](const char* body) { return json_of(reader().tokenize(body, kNow)->body).at("count").to_number<int>(); };
  EXPECT_EQ(counted(R"({"prompt": "a<|eot_id|>", "add_special_tokens": false})"), 2);
  EXPECT_GT(counted(R"({"prompt": "a<|eot_id|>", "add_special_tokens": false, "parse_special": false})"), 2);
}

// 2025-03-07 15:04:05.
TEST(RequestReader, AChatTemplateIsToldWhenTheRequestWasAccepted) {
  served::ServedModel model = demo_model();
  model.chat_renderer = *chat::ChatRenderer::of_template({"{{ strftime_now('%Y-%m-%d %H:%M:%S') }}", {}}, {}, *model.tokenizer);
  const RequestReader telling(model, limits());
  const std::string messages = R"({"messages": [{"role": "user", "content": "a"}]})";
  EXPECT_EQ(model.tokenizer->decode(telling.chat(messages, 1'741'359'845)->prompts[0].ids, false), "2025-03-07 15:04:05");
  const boost::json::value body = json_of(telling.tokenize(messages, 1'741'359'845)->body);
  EXPECT_EQ(body.at("count").to_number<std::size_t>(), encoded("2025-03-07 15:04:05", false).size());
}

TEST(RequestReader, WhatTheTemplateRefusesIsRefusedWithItsWords) {
  served::ServedModel model = demo_model();
  model.chat_renderer = *chat::ChatRenderer::of_template({"{{ raise_exception('no such talk') }}", {}}, {}, *model.tokenizer);
  const RequestReader refusing(std::move(model), limits());
  const auto error = refusing.chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow).error();
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "messages");
  EXPECT_NE(error.message.find("no such talk"), std::string::npos) << error.message;
}

TEST(RequestReader, ATextOfAUserCannotOpenATurn) {
  const auto special = demo_model().tokenizer->eos_ids().front();
  const std::string spelled(demo_model().tokenizer->token_bytes(special));
  const auto chat = reader().chat(R"({"messages": [{"role": "user", "content": ")" + spelled + R"("}]})", kNow);
  const auto plain = reader().chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow);
  ASSERT_TRUE(chat) << chat.error().message;
  ASSERT_TRUE(plain);
  EXPECT_EQ(std::ranges::count(chat->prompts[0].ids, special), std::ranges::count(plain->prompts[0].ids, special));
}

TEST(RequestReader, BadMessagesAreRefusedByTheirName) {
  for (const char* body : {R"({"messages": []})", R"({"messages": [{"role": "us er", "content": "a"}]})"}) {
    const auto chat = reader().chat(body, kNow);
    ASSERT_FALSE(chat) << body;
    EXPECT_EQ(chat.error().status, 400);
    EXPECT_TRUE(chat.error().param.starts_with("messages")) << chat.error().param;
  }
}

TEST(RequestReader, WhatTheSamplerRefusesNamesItsField) {
  for (const auto& [field, value] : {std::pair{"temperature", "-1"}, std::pair{"top_p", "-0.1"}, std::pair{"top_p", "1.5"},
                                     std::pair{"min_p", "2"}, std::pair{"repetition_penalty", "0"},
                                     std::pair{"top_k", "-2"}, std::pair{"presence_penalty", "3"},
                                     std::pair{"logprobs", "21"}, std::pair{"stop_token_ids", "[4096]"},
                                     std::pair{"logit_bias", R"({"4096": 1})"}}) {
    const auto refused =
        reader().completion(std::string(R"({"prompt": "a", ")") + field + "\": " + value + "}");
    ASSERT_FALSE(refused) << field;
    EXPECT_EQ(refused.error().status, 400) << field;
    EXPECT_TRUE(refused.error().param.starts_with(field)) << field << " but " << refused.error().param;
  }
}

TEST(RequestReader, WithoutATokenizerOnlyIdsAreTaken) {
  served::ServedModel model = demo_model();
  model.tokenizer.reset();
  model.chat_renderer.reset();
  const RequestReader bare(std::move(model), limits());
  const auto ids = bare.completion(R"({"prompt": [5, 6], "echo": true})");
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_EQ(ids->prompts[0].text, "");
  for (const auto& error : {bare.completion(R"({"prompt": "a"})").error(),
                            bare.chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow).error(),
                            bare.tokenize(R"({"prompt": "a"})", kNow).error(), bare.detokenize(R"({"tokens": [5]})").error()})
    EXPECT_EQ(error.status, 400) << error.message;
}

TEST(RequestReader, WhyThereIsNoTextIsSaid) {
  served::ServedModel model = demo_model();
  model.tokenizer.reset();
  model.no_text_reason = "tokenizer.json: model.byte_fallback is not supported";
  const RequestReader bare(std::move(model), limits());
  EXPECT_TRUE(bare.completion(R"({"prompt": [5, 6]})"));
  const std::pair<const char*, openai::ApiError> errors[] = {
      {"prompt", bare.completion(R"({"prompt": "a"})").error()},
      {"messages", bare.chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow).error()},
      {"prompt", bare.tokenize(R"({"prompt": "a"})", kNow).error()},
      {"tokens", bare.detokenize(R"({"tokens": [5]})").error()}};
  for (const auto& [field, error] : errors) {
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, field);
    EXPECT_NE(error.message.find("model.byte_fallback is not supported"), std::string::npos) << error.message;
  }
}

// A model with fewer rows than its tokenizer has tokens.
TEST(RequestReader, TextsThatHoldATokenBeyondTheModelAreRefusedByName) {
  served::ServedModel model = demo_model();
  model.vocab_size = kBos;
  const RequestReader small(std::move(model), limits());
  EXPECT_TRUE(small.completion(R"({"prompt": "hi", "add_special_tokens": false})"));
  for (const auto& error : {small.completion(R"({"prompt": "hi"})").error(),
                            small.chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow).error()}) {
    EXPECT_EQ(error.status, 400);
    EXPECT_NE(error.message.find("token " + std::to_string(kBos)), std::string::npos) << error.message;
  }
}

TEST(RequestReader, AModelThatDoesNotSampleIsGreedyUnlessARequestSaysATemperature) {
  const RequestReader greedy =
      reader_with(*model::parse_generation_config(R"({"do_sample":false,"temperature":5.0})", "g"));
  EXPECT_TRUE(greedy.completion(R"({"prompt": "a"})")->sampling.greedy());
  EXPECT_TRUE(greedy.chat(R"({"messages": [{"role": "user", "content": "a"}]})", kNow)->sampling.greedy());
  EXPECT_FLOAT_EQ(greedy.completion(R"({"prompt": "a", "temperature": 0.5})")->sampling.temperature, 0.5F);
}

TEST(RequestReader, APromptThatSpellsTheFirstTokenItselfIsKeptAndMarked) {
  const std::string bos(demo_model().tokenizer->token_bytes(kBos));
  const auto twice = reader().completion(R"({"prompt": ["a", ")" + bos + R"(b"]})");
  ASSERT_TRUE(twice) << twice.error().message;
  EXPECT_TRUE(twice->begins_twice);
  EXPECT_EQ(twice->prompts[1].ids, encoded(bos + "b"));
  EXPECT_FALSE(reader().completion(R"({"prompt": "a"})")->begins_twice);
  EXPECT_FALSE(reader().completion(R"({"prompt": ")" + bos + R"(b", "add_special_tokens": false})")->begins_twice);
}

TEST(RequestReader, WithoutAChatFormatChatIsRefusedWithItsReasonAndCompletionsAreNot) {
  served::ServedModel model = demo_model();
  model.chat_renderer.reset();
  model.no_chat_reason = "line 3: a reason of its own";
  const RequestReader bare(std::move(model), limits());
  EXPECT_TRUE(bare.completion(R"({"prompt": "a"})"));
  const std::string messages = R"({"messages": [{"role": "user", "content": "a"}]})";
  for (const auto& error : {bare.chat(messages, kNow).error(), bare.tokenize(messages, kNow).error()}) {
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, "messages");
    EXPECT_TRUE(error.message.starts_with("line 3: a reason of its own; ")) << error.message;
  }
}

TEST(RequestReader, TokenizeAndDetokenizeAreEachOthersInverse) {
  const auto tokens = reader().tokenize(R"({"prompt": "The capital of France is", "add_special_tokens": false})", kNow);
  ASSERT_TRUE(tokens) << tokens.error().message;
  const boost::json::value body = json_of(tokens->body);
  EXPECT_EQ(body.at("count").to_number<std::size_t>(), encoded("The capital of France is", false).size());
  EXPECT_EQ(body.at("max_model_len").to_number<std::int64_t>(), kContext);
  const auto text = reader().detokenize(R"({"tokens": )" + boost::json::serialize(body.at("tokens")) + "}");
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(json_of(text->body).at("prompt").as_string(), "The capital of France is");
}

TEST(RequestReader, TokenizeKnowsChatsAndNamesTokens) {
  const auto chat = reader().chat(R"({"messages": [{"role": "user", "content": "hi"}]})", kNow);
  const auto tokens =
      reader().tokenize(R"({"messages": [{"role": "user", "content": "hi"}], "return_token_strs": true})", kNow);
  ASSERT_TRUE(tokens) << tokens.error().message;
  const boost::json::value body = json_of(tokens->body);
  ASSERT_EQ(body.at("tokens").as_array().size(), chat->prompts[0].ids.size());
  for (std::size_t i = 0; i < chat->prompts[0].ids.size(); ++i) {
    EXPECT_EQ(body.at("tokens").as_array()[i].to_number<TokenId>(), chat->prompts[0].ids[i]);
    EXPECT_EQ(body.at("token_strs").as_array()[i].as_string(),
              demo_model().tokenizer->token_bytes(chat->prompts[0].ids[i]));
  }
}

TEST(RequestReader, UnknownFieldsAreNamedInEveryAnswer) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(reader().completion(R"({"prompt": "a", "x": 1})")->ignored_fields, Names{"x"});
  EXPECT_EQ(reader().chat(R"({"messages": [{"role": "user", "content": "a", "x": 1}]})", kNow)->ignored_fields,
            Names{"messages[].x"});
  EXPECT_EQ(reader().tokenize(R"({"prompt": "a", "x": 1})", kNow)->ignored_fields, Names{"x"});
  EXPECT_EQ(reader().detokenize(R"({"tokens": [5], "x": 1})")->ignored_fields, Names{"x"});
}

TEST(RequestReader, AStopStringThatIsASpecialTokenEndsASequenceByItsId) {
  const auto ids = [](const std::string& more) {
    const auto request = reader().completion(R"({"prompt": "a", )" + more + "}");
    EXPECT_TRUE(request) << request.error().message;
    return request->sampling.stop_token_ids;
  };
  const TokenId end = *demo_model().tokenizer->find_special("<|eot_id|>");
  EXPECT_EQ(ids(R"("stop": "<|eot_id|>")"), std::vector<TokenId>{end});
  EXPECT_EQ(ids(R"("stop": ["x", "<|eot_id|>"], "stop_token_ids": [7])"), (std::vector<TokenId>{7, end}));
  EXPECT_EQ(ids(R"("stop": "<|eot_id|>", "stop_token_ids": [)" + std::to_string(end) + "]"), std::vector<TokenId>{end});
  EXPECT_TRUE(ids(R"("stop": ["<|eot_id|>\n", "<|eot_id", "eot_id"])").empty()) << "looked for in the text";
  std::string many = "0";
  for (int i = 1; i < 128; ++i) many += "," + std::to_string(i);
  EXPECT_EQ(ids(R"("stop": "x", "stop_token_ids": [)" + many + "]").size(), 128U);
  const auto full = reader().completion(R"({"prompt": "a", "stop": "<|eot_id|>", "stop_token_ids": [)" + many + "]}");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().param, "stop");
}

TEST(RequestReader, StopStringsOfAModelWithoutTextAreRefused) {
  served::ServedModel model = demo_model();
  model.tokenizer.reset();
  const RequestReader bare(std::move(model), limits());
  const auto refused = bare.completion(R"({"prompt": [5], "stop": "a"})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "stop");
  EXPECT_TRUE(bare.completion(R"({"prompt": [5], "stop": []})"));
}

TEST(RequestReader, ATopPOfNothingIsNoMistake) {
  model::GenerationConfig generation;
  generation.top_p = 0.0;
  EXPECT_EQ(reader_with(generation).completion(R"({"prompt": "a"})")->sampling.top_p, 0.0F);
  EXPECT_EQ(reader().completion(R"({"prompt": "a", "top_p": 0})")->sampling.top_p, 0.0F);
}

}  // namespace
}  // namespace herd::api
