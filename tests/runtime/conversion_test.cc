// Checkpoints that are written as GGUF files, and what they are when they are opened again.

#include <cmath>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "runtime/checkpoint/gguf_file.h"
#include "runtime/conversion/conversion_plan.h"
#include "runtime/conversion/written_model.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;
using testing::expect_contains;
using testing::kVocab;
using testing::ModelDirectory;
using testing::TempDirectory;
using testing::tiny_model;

OpenedModel opened(const std::string& path) {
  ModelFiles files;
  files.path = path;
  auto model = open_model(files);
  EXPECT_TRUE(model) << model.error().message();
  return *model;
}

// The path of the new file.
std::string converted(const OpenedModel& model, const TempDirectory& folder, std::optional<WeightFormat> wanted = {}, int threads = 2,
                      const tokenizer::TokenizerDefinition* definition = nullptr) {
  const std::string path = (fs::path(folder.path()) / "new.gguf").string();
  const auto plan = plan_conversion(model, wanted, definition);
  EXPECT_TRUE(plan) << plan.error().message();
  auto file = files::NewFile::create(path, plan->file_bytes, true);
  EXPECT_TRUE(file);
  const Status written = write_model(*plan, *model.checkpoint, threads, {}, **file);
  EXPECT_TRUE(written.ok()) << written.message();
  EXPECT_TRUE((*file)->complete().ok());
  return path;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::string kScaling =
    R"("rope_scaling":{"rope_type":"llama3","factor":3.3,"low_freq_factor":1.1,"high_freq_factor":3.9,"original_max_position_embeddings":64})";

// kConfig with another field in front.
std::string config_with(const std::string& field) { return "{" + field + "," + testing::kConfig.substr(1); }

TEST(Conversion, AFolderBecomesAFileOfTheSameRows) {
  for (const bool bias : {false, true}) {
    const std::vector<testing::FloatTensor> tensors = tiny_model(true, bias);
    const ModelDirectory model(tensors, "F32", bias ? config_with(R"("attention_bias":true)") : testing::kConfig);
    const TempDirectory folder;
    const std::string path = converted(opened(model.path()), folder, {}, 1);
    const std::string bytes = bytes_of(path);
    testing::expect_same_rows(*opened(path).checkpoint, tensors);
    EXPECT_EQ(opened(path).description.generation, opened(model.path()).description.generation);
    EXPECT_EQ(bytes_of(converted(opened(model.path()), folder, {}, 3)), bytes) << "whatever the number of threads";
    EXPECT_EQ(bytes.size() % 32, 0u);
  }
}

TEST(Conversion, KeepsLlama3sScalingExactly) {
  const ModelDirectory model(tiny_model(true, false), "F32", config_with(kScaling));
  const TempDirectory folder;
  const OpenedModel source = opened(model.path());
  ASSERT_EQ(source.config().rope.type, RopeType::kLlama3);
  const std::string path = converted(source, folder);
  EXPECT_EQ(opened(path).config().rope, source.config().rope);

  // Divisors that say something else win, as they do in other readers.
  std::string bytes = bytes_of(path);
  const auto file = GgufFile::open(path);
  const GgufTensor* divisors = file->find("rope_freqs.weight");
  ASSERT_NE(divisors, nullptr);
  const float other = 7.0F;
  bytes.replace(divisors->begin, sizeof other, std::string(reinterpret_cast<const char*>(&other), sizeof other));
  folder.write("other.gguf", bytes);
  const OpenedModel changed = opened((fs::path(folder.path()) / "other.gguf").string());
  EXPECT_EQ(changed.config().rope.type, RopeType::kDefault);
  ASSERT_FALSE(changed.config().rope.frequency_divisors.empty());
  EXPECT_EQ(changed.config().rope.frequency_divisors.front(), other);
}

TEST(Conversion, KeysOfHerdsOwnAreJudgedAsOthersAre) {
  const struct {
    std::function<void(testing::GgufWriter&)> add;
    const char* part;
  } rows[] = {
      {[](auto& file) { file.text("herd.rope.theta", "fast"); }, "herd.rope.theta"},
      {[](auto& file) { file.text("herd.rope.original_context_length", "64"); }, "herd.rope.original_context_length"},
      {[](auto& file) { file.u32("herd.generation_config", 1); }, "herd.generation_config"},
      {[](auto& file) { file.text("herd.generation_config", "{"); }, "herd.generation_config"},
      {[](auto& file) { file.u32("herd.eos_token_ids", 1); }, "herd.eos_token_ids"},
      {[](auto& file) { file.i32s("herd.eos_token_ids", {1, -1}); }, "herd.eos_token_ids: -1 is no token id"},
      {[](auto& file) { file.i32s("herd.eos_token_ids", std::vector<std::int32_t>(1025, 1)); }, "more than 1024"},
      {[](auto& file) { file.text("herd.generation_config", R"({"eos_token_id":"x"})"); }, "eos_token_id"},
  };
  for (const auto& row : rows) {
    testing::GgufWriter file = testing::tiny_gguf(tiny_model(true, false));
    row.add(file);
    const TempDirectory folder;
    folder.write("m.gguf", file.bytes());
    expect_contains(testing::error_of((fs::path(folder.path()) / "m.gguf").string()), row.part);
  }
  testing::GgufWriter file = testing::tiny_gguf(tiny_model(true, false));
  file.scalar("herd.rope.theta", 12, 5e5);  // which contradicts freq_base: that one counts
  const TempDirectory folder;
  folder.write("m.gguf", file.bytes());
  EXPECT_EQ(opened((fs::path(folder.path()) / "m.gguf").string()).config().rope.theta, 1e4);
}

// A vocabulary of kVocab tokens, the last ones control tokens.
tokenizer::TokenizerDefinition definition() {
  tokenizer::GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "gpt-2";
  for (int id = 0; id < kVocab - 4; ++id) vocabulary.tokens.push_back(std::string(1, static_cast<char>('A' + id)));
  vocabulary.token_types.assign(vocabulary.tokens.size(), tokenizer::kNormalToken);
  for (const char* control : {"<|begin|>", "<|finish|>", "<|turn|>", "<|eom_id|>"}) {
    vocabulary.tokens.emplace_back(control);
    vocabulary.token_types.push_back(tokenizer::kControlToken);
  }
  return *vocabulary_definition(vocabulary);
}

TEST(Conversion, StatesEndsTemplatesAndSamplingDefaults) {
  const ModelDirectory model(tiny_model(true, false));
  model.write("generation_config.json",
              R"({"bos_token_id":36,"eos_token_id":[38,37,39],"temperature":0.3,"top_k":7,"do_sample":true,"max_new_tokens":9})");
  model.write("tokenizer_config.json", R"({"bos_token":"<|begin|>","eos_token":"<|finish|>","chat_template":[
      {"name":"default","template":"{{ messages }}"},{"name":"tool_use","template":"{{ tools }}"}]})");
  const TempDirectory folder;
  const OpenedModel source = opened(model.path());
  const tokenizer::TokenizerDefinition words = definition();
  const OpenedModel file = opened(converted(source, folder, {}, 2, &words));
  const auto id = [&](const char* key) { return *file.gguf()->integer(std::string("tokenizer.ggml.") + key); };
  EXPECT_EQ(id("bos_token_id"), 36);
  EXPECT_EQ(id("eos_token_id"), 37);
  EXPECT_EQ(id("eot_token_id"), 38);
  EXPECT_EQ(id("eom_token_id"), 39);
  EXPECT_EQ(file.gguf()->number("general.sampling.temp")->value(), static_cast<double>(0.3F));
  EXPECT_EQ(file.gguf()->integer("general.sampling.top_k")->value(), 7);
  EXPECT_EQ(file.description.generation.eos_ids, (std::vector<TokenId>{38, 37, 39, 2}));  // the last one is config.json's
  EXPECT_EQ(file.description.generation, source.description.generation);
  EXPECT_EQ(file.description.text.chat_template, "{{ messages }}");
  EXPECT_EQ(file.description.text.named_templates, source.description.text.named_templates);
  EXPECT_EQ(file.gguf()->integer("general.file_type")->value(), 0);
}

TEST(Conversion, ANormalizerIsRefusedAndNothingIsPlanned) {
  const ModelDirectory model(tiny_model(true, false));
  tokenizer::TokenizerDefinition words = definition();
  words.normalizer.emplace_back();
  const auto plan = plan_conversion(opened(model.path()), {}, &words);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), StatusCode::kBadInput);
  expect_contains(plan.error().message(), model.path());
  expect_contains(plan.error().message(), "normalizer");
}

TEST(Conversion, RowsThatAreNotFiniteAreNamed) {
  for (const float value : {NAN, INFINITY}) {
    std::vector<testing::FloatTensor> tensors = tiny_model(true, false);
    testing::find(tensors, "model.layers.1.mlp.up_proj.weight").values[40] = value;
    const ModelDirectory model(tensors);
    const OpenedModel source = opened(model.path());
    for (const auto wanted : {std::optional<WeightFormat>(), std::optional(WeightFormat::kQ8_0), std::optional(WeightFormat::kBF16)}) {
      const auto plan = plan_conversion(source, wanted, nullptr);
      ASSERT_TRUE(plan);
      const TempDirectory folder;
      auto file = files::NewFile::create((fs::path(folder.path()) / "new.gguf").string(), plan->file_bytes, false);
      ASSERT_TRUE(file);
      const Status status = write_model(*plan, *source.checkpoint, 2, {}, **file);
      EXPECT_EQ(status.code(), StatusCode::kBadInput);
      expect_contains(status.message(), "model.layers.1.mlp.up_proj.weight: rows [");
    }
  }
}

}  // namespace
}  // namespace herd::model
