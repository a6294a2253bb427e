// Where tokens stand in the text of a completion.

#include <gtest/gtest.h>

#include <random>

#include "endpoint/api/text_offsets.h"
#include "runtime/tokenizer/incremental_decoder.h"
#include "tests/endpoint/api/running_job.h"

namespace herd::api {
namespace {

namespace json = boost::json;
using openai::Endpoint;
using step::FinishReason;

using Offsets = std::vector<std::uint32_t>;

std::vector<TokenId> ids_of(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char byte : text) ids.push_back(static_cast<std::uint8_t>(byte));
  return ids;
}

Offsets offsets(std::vector<TokenId> ids, EchoOf echo, const std::string& text) {
  return prompt_offsets(bytes(), ids, text, echo);
}

TEST(TextOffsets, CodePointsAreCounted) {
  EXPECT_EQ(code_points(""), 0U);
  EXPECT_EQ(code_points("a\xC3\xA9\xF0\x9F\x8E\x89\xEF\xBF\xBD"), 4U);
}

TEST(TextOffsets, PartsOfACharacterStandWhereItStands) {
  // "Hi 🎉 ok", a token a byte.
  const std::string text = "Hi \xF0\x9F\x8E\x89 ok";
  EXPECT_EQ(offsets(ids_of(text), EchoOf::kText, text), (Offsets{0, 1, 2, 3, 3, 3, 3, 4, 5, 6}));
  EXPECT_EQ(offsets(ids_of(text), EchoOf::kTokens, text), (Offsets{0, 1, 2, 3, 3, 3, 3, 4, 5, 6}));
}

TEST(TextOffsets, WhatNeverBecomesACharacterIsOneReplacement) {
  const std::vector<TokenId> ids = {'a', 0xF0, 0x9F, 'b', 0xFF, 'c', 0xC3};
  const std::string text = bytes().decode(ids, true);  // a, one replacement for two bytes, b, one, c, one
  EXPECT_EQ(offsets(ids, EchoOf::kTokens, text), (Offsets{0, 1, 1, 1, 3, 4, 5}));
}

TEST(TextOffsets, SpecialTokensCountWhereTheyAreShown) {
  const std::vector<TokenId> ids = {kEnd, 'a', kEnd, 'b'};
  EXPECT_EQ(offsets(ids, EchoOf::kTokensWithoutSpecial, "ab"), (Offsets{0, 0, 1, 1}));
  EXPECT_EQ(offsets(ids, EchoOf::kTokens, "<|end|>a<|end|>b"), (Offsets{0, 7, 8, 15}));
  EXPECT_EQ(offsets(ids, EchoOf::kText, "a<|end|>b"), (Offsets{0, 0, 1, 8})) << "the first was put there";
  EXPECT_EQ(offsets(ids, EchoOf::kText, "ab"), (Offsets{0, 0, 1, 1}));
}

TEST(TextOffsets, ATextThatIsNotThePromptsDoesNoHarm) {
  EXPECT_EQ(offsets(ids_of("abc"), EchoOf::kText, ""), (Offsets{0, 1, 2}));
  EXPECT_EQ(offsets({}, EchoOf::kText, "x"), Offsets{});
}

// What a completion tells of each token: its offset, and the text that the event released.
struct Told {
  Offsets offsets;
  std::vector<std::string> pieces;  // streamed only
  std::string text;
};

void collect(const json::object& choice, Told& told) {
  for (const json::value& offset : choice.at("logprobs").at("text_offset").as_array())
    told.offsets.push_back(offset.to_number<std::uint32_t>());
}

// `deltas` whole or streamed, after an echo of a prompt of ids that is not ASCII or without one.
Told told(const std::vector<step::TokenDelta>& deltas, GenerationRequest request, bool stream) {
  request.fields.stream = stream;
  Running completion(std::move(request));
  for (const step::TokenDelta& delta : deltas) completion.take(delta);
  Told told;
  if (!stream) {
    const json::object choice = completion.body().at("choices").as_array().at(0).as_object();
    collect(choice, told);
    told.text = std::string(choice.at("text").as_string());
    return told;
  }
  const std::vector<Frame> frames = completion.responder->frames();
  for (std::size_t i = 0; i + 1 < frames.size(); ++i) {
    const json::object choice = completion.choice_of(i);
    collect(choice, told);
    told.pieces.emplace_back(choice.at("text").as_string());
    told.text += told.pieces.back();
  }
  return told;
}

// The code points that `ids` make up before each of them, whatever stop strings may hold back.
Offsets standing(std::uint32_t begin, const std::vector<TokenId>& ids, bool skip_special) {
  tokenizer::IncrementalDecoder decoder(bytes(), {}, {.skip_special = skip_special});
  Offsets offsets;
  for (const TokenId id : ids) {
    offsets.push_back(begin);
    begin += code_points(decoder.push(id));
  }
  return offsets;
}

// In whole and in streamed answers; a stop string that text may begin holds the text back, not the offsets.
TEST(TextOffsets, AreTheCodePointsOfTheTokensBefore) {
  std::mt19937_64 random(5);
  constexpr TokenId kAlphabet[] = {'a', 'b', 'c', 0xC3, 0xA9, 0xF0, 0x9F, 0x8E, 0x89, kEnd};
  for (int round = 0; round < 2000; ++round) {
    GenerationRequest request = toy_request(Endpoint::kCompletion, false, 1, 20);
    request.prompts[0].ids = {'x', 0xC3, 0xA9, kEnd, 0xF0, 'y'};
    request.fields.skip_special_tokens = round % 2 == 0;
    request.prompts[0].text = bytes().decode(request.prompts[0].ids, request.fields.skip_special_tokens);
    request.echo = random() % 2 == 0;
    request.fields.logprobs = request.answer.logprobs = 0;
    if (random() % 2 == 0) request.fields.stop = {"ab", "ca\xC3\xA9"};
    request.fields.min_tokens = random() % 2 == 0 ? 0U : 3U;
    std::vector<step::TokenDelta> deltas;
    const std::size_t tokens = 1 + random() % 12;
    for (std::size_t i = 0; i < tokens; ++i)
      deltas.push_back(token_delta(kFirst, kAlphabet[random() % 10],
                                   i + 1 == tokens ? FinishReason::kLength : FinishReason::kNone));
    const std::size_t prompt = request.echo ? request.prompts[0].ids.size() : 0;
    if (prompt > 0)
      deltas[0].prompt_logprobs.push_back({SequenceId(kFirst), 1, {{0xC3, -1.0F, {}}, {0xA9, -1.0F, {}},
                                                                    {kEnd, -1.0F, {}}, {0xF0, -1.0F, {}},
                                                                    {'y', -1.0F, {}}}});
    const Told streamed = told(deltas, request, true);
    const Told whole = told(deltas, request, false);
    ASSERT_EQ(whole.text, streamed.text) << round;
    ASSERT_EQ(whole.offsets, streamed.offsets) << round;
    const std::uint32_t begin = prompt > 0 ? code_points(request.prompts[0].text) : 0;
    std::vector<TokenId> ids;
    for (std::size_t i = 0; prompt + i < streamed.offsets.size(); ++i) ids.push_back(deltas[i].token.token);
    ASSERT_EQ(Offsets(streamed.offsets.begin() + static_cast<std::ptrdiff_t>(prompt), streamed.offsets.end()),
              standing(begin, ids, request.fields.skip_special_tokens))
        << round;
  }
}

TEST(TextOffsets, OfAResumedStreamGoOn) {
  GenerationRequest request = toy_request(Endpoint::kCompletion, true, 1, 20);
  request.fields.logprobs = request.answer.logprobs = 0;
  Running first(request);
  first.type("\xC3\xA9" "a");
  request.resume = first.surroundings.event_ids.decode(first.responder->frames().at(1).id, "");
  ASSERT_TRUE(request.resume);
  Running second(request);
  second.type("\xC3\xA9" "ab");
  EXPECT_EQ(second.choice_of(0).at("logprobs").at("text_offset"), json::parse("[1]"));
  EXPECT_EQ(second.choice_of(1).at("logprobs").at("text_offset"), json::parse("[2]"));
}

}  // namespace
}  // namespace herd::api
