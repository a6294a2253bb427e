// generation_config.json: the defaults a request may have, and what is left out by name.

#include "runtime/checkpoint/generation_config.h"

#include <gtest/gtest.h>

namespace herd::model {
namespace {

using Lines = std::vector<std::string>;

GenerationConfig parsed_of(const std::string& text) {
  const auto parsed = parse_generation_config(text, "g.json");
  EXPECT_TRUE(parsed) << text << ": " << parsed.error().message();
  return parsed ? *parsed : GenerationConfig{};
}

TEST(GenerationConfigJson, ReadsLlama3Instruct) {
  const auto parsed = parse_generation_config(
      R"({"bos_token_id":128000,"do_sample":true,"eos_token_id":[128001,128008,128009,128001],"temperature":0.6,)"
      R"("top_p":0.9,"top_k":null,"transformers_version":"4.45.0"})",
      "generation_config.json");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->bos_id, 128000);
  EXPECT_EQ(parsed->eos_ids, (std::vector<TokenId>{128001, 128008, 128009}));
  EXPECT_EQ(parsed->do_sample, true);
  EXPECT_EQ(parsed->temperature, 0.6);
  EXPECT_EQ(parsed->top_p, 0.9);
  EXPECT_FALSE(parsed->top_k);
  EXPECT_FALSE(parsed->repetition_penalty);
  EXPECT_EQ(*parse_generation_config("{}", "g"), GenerationConfig{});
  EXPECT_EQ(parse_generation_config(R"({"eos_token_id":2})", "g")->eos_ids, (std::vector<TokenId>{2}));
}

// What no request may ask for must not be the default of every request.
TEST(GenerationConfigJson, DefaultsOutOfRangeAreLeftOutAndNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"temperature":-1})", "g.json: temperature: -1 is not in [0, 100] and is left out"},
      {R"({"temperature":500})", "g.json: temperature: 500 is not in [0, 100] and is left out"},
      {R"({"temperature":NaN})", "g.json: temperature: NaN is not in [0, 100] and is left out"},
      {R"({"top_p":1.5})", "g.json: top_p: 1.5E0 is not in [0, 1] and is left out"},
      {R"({"min_p":-0.5})", "g.json: min_p: -5E-1 is not in [0, 1] and is left out"},
      {R"({"top_k":"many"})", "g.json: top_k: \"many\" is not a whole number from -1 on and is left out"},
      {R"({"top_k":2.5})", "g.json: top_k: 2.5E0 is not a whole number from -1 on and is left out"},
      {R"({"do_sample":"yes"})", "g.json: do_sample: \"yes\" is not true or false and is left out"},
      {R"({"repetition_penalty":0})", "g.json: repetition_penalty: 0 is not in [1e-06, 100] and is left out"},
      {R"({"max_new_tokens":-5})", "g.json: max_new_tokens: -5 is not a whole number from 0 on and is left out"},
  };
  for (const auto& [text, expected] : cases) {
    GenerationConfig config = parsed_of(text);
    EXPECT_EQ(config.warnings, Lines{expected});
    config.warnings.clear();
    EXPECT_EQ(config, GenerationConfig{}) << text;
  }
}

TEST(GenerationConfigJson, ValuesAtTheEdgeOfTheirRangeStay) {
  const GenerationConfig config =
      parsed_of(R"({"temperature":100,"top_p":0.0,"top_k":-1,"min_p":1,"repetition_penalty":100.0,"max_length":0})");
  EXPECT_EQ(config.temperature, 100.0);
  EXPECT_EQ(config.top_p, 0.0);
  EXPECT_EQ(config.top_k, -1);
  EXPECT_EQ(config.min_p, 1.0);
  EXPECT_EQ(config.repetition_penalty, 100.0);
  EXPECT_TRUE(config.warnings.empty());
}

TEST(GenerationConfigJson, DoSampleFalseIsGreedy) {
  EXPECT_EQ(parsed_of(R"({"do_sample":false,"temperature":5.0,"top_p":0.9})").temperature, 0.0);
  EXPECT_EQ(parsed_of(R"({"do_sample":false})").temperature, 0.0);
  EXPECT_EQ(parsed_of(R"({"do_sample":true,"temperature":5.0})").temperature, 5.0);
  EXPECT_EQ(parsed_of(R"({"temperature":5.0})").temperature, 5.0);
}

TEST(GenerationConfigJson, WhatIsNotAppliedIsNamedUnlessItChangesNothing) {
  EXPECT_EQ(parsed_of(R"({"suppress_tokens":[1,2],"no_repeat_ngram_size":3,"stop_strings":["x"],"num_beams":4})").warnings,
            (Lines{"g.json: no_repeat_ngram_size: 3 is not applied", "g.json: num_beams: 4 is not applied",
                   "g.json: stop_strings: [\"x\"] is not applied", "g.json: suppress_tokens: [1,2] is not applied"}));
  EXPECT_TRUE(parsed_of(R"({"suppress_tokens":null,"no_repeat_ngram_size":0,"stop_strings":[],"num_beams":1,)"
                        R"("typical_p":1.0,"guidance_scale":1,"min_length":0,"transformers_version":"5"})")
                  .warnings.empty());
}

TEST(GenerationConfigJson, LongTextsAreCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "\u00e4";
  for (const char* before : {"", "x"}) {
    const Lines warnings = parsed_of(std::string(R"({"stop_strings":[")") + before + text + R"("]})").warnings;
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_NE(warnings[0].find("\u00e4... is not applied"), std::string::npos) << warnings[0];
  }
}

// Nothing depends on these two, so that nothing about them refuses a model.
TEST(GenerationConfigJson, BosAndPadAreNotJudged) {
  for (const char* text : {R"({"pad_token_id":-1})", R"({"pad_token_id":"<pad>"})", R"({"bos_token_id":[1,2]})",
                           R"({"pad_token_id":NaN})", R"({"pad_token_id":1e99})"})
    EXPECT_EQ(parsed_of(text), GenerationConfig{}) << text;
  EXPECT_EQ(parsed_of(R"({"pad_token_id":999999})").pad_id, 999999);
}

}  // namespace
}  // namespace herd::model
