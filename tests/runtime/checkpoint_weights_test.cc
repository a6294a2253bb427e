// Which tensor is the one the model needs: heads and embeddings that are one or two, names with other prefixes, indexes
// that disagree with their shards, and files that change while they are read.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/tensor_names.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;
using namespace testing;

std::string config_with(const std::string& more) {
  std::string config = kConfig;
  return config.replace(config.size() - 1, 1, "," + more + "}");
}

const std::string kTied = config_with(R"("tie_word_embeddings":true)");
const std::string kUntied = config_with(R"("tie_word_embeddings":false)");

std::vector<float> values_of(const Checkpoint& checkpoint, const std::string& name) {
  const auto info = checkpoint.info(name);
  if (!info) return {};
  std::vector<float> values(static_cast<std::size_t>(info->rows * info->cols));
  EXPECT_TRUE(checkpoint.read_rows(name, 0, info->rows, 0, info->cols, values.data()).ok());
  return values;
}

std::vector<FloatTensor> with_equal_head() {
  auto tensors = tiny_model(true, false);
  find(tensors, "lm_head.weight").values = find(tensors, "model.embed_tokens.weight").values;
  return tensors;
}

// config.json says tied; the file holds a head as well.
//   equal to the embedding   one copy, no word
//   another                  it is used, with a warning that names the key
TEST(StoredHead, WhatIsStoredDecidesWhetherItIsTied) {
  const ModelDirectory equal(with_equal_head(), "F32", kTied);
  const auto tied = open_checkpoint(equal.path());
  ASSERT_TRUE(tied) << tied.error().message();
  EXPECT_TRUE((*tied)->config().tie_word_embeddings);
  EXPECT_FALSE((*tied)->has("lm_head.weight"));
  EXPECT_TRUE((*tied)->warnings().empty());

  const auto tensors = tiny_model(true, false);
  const ModelDirectory other(tensors, "F32", kTied);
  const auto apart = open_checkpoint(other.path());
  ASSERT_TRUE(apart) << apart.error().message();
  EXPECT_FALSE((*apart)->config().tie_word_embeddings);
  expect_same_rows(**apart, tensors);
  ASSERT_EQ((*apart)->warnings().size(), 1u);
  expect_contains((*apart)->warnings()[0], "config.json: tie_word_embeddings is true, but ");
  expect_contains((*apart)->warnings()[0], "model.safetensors holds a lm_head.weight other than the embedding");
}

// One value apart, in the last row: the comparison reads to the end.
TEST(StoredHead, OneValueMakesItAnother) {
  auto tensors = with_equal_head();
  find(tensors, "lm_head.weight").values.back() += 0.5F;
  const ModelDirectory directory(tensors, "BF16", kTied);
  EXPECT_FALSE((*open_checkpoint(directory.path()))->config().tie_word_embeddings);
}

// The same values in two encodings are one tensor.
TEST(StoredHead, EncodingsAreNotValues) {
  const auto tensors = with_equal_head();
  const TempDirectory directory;
  directory.write("config.json", kTied);
  std::string header = "{";
  std::string data;
  for (const FloatTensor& each : tensors) {
    const std::string dtype = each.name == "lm_head.weight" ? "F32" : "BF16";
    const std::size_t begin = data.size();
    data += pack(each.values, dtype);
    header += "\"" + each.name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape_json(each.shape) +
              ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) + "]},";
  }
  header.back() = '}';
  directory.write("model.safetensors", safetensors_bytes(header, data));
  const auto checkpoint = open_checkpoint(directory.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  EXPECT_TRUE((*checkpoint)->config().tie_word_embeddings);
}

TEST(StoredRows, AreTheElementsThatAreExpanded) {
  for (const std::string dtype : {"BF16", "F32"}) {
    const ModelDirectory directory(tiny_model(true, false), dtype, kUntied);
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    const std::string name = "model.layers.0.mlp.down_proj.weight";
    const WeightFormat format = dtype == "F32" ? WeightFormat::kF32 : WeightFormat::kBF16;
    EXPECT_FALSE((*checkpoint)->stored_format("no such tensor"));
    ASSERT_EQ((*checkpoint)->stored_format(name), format);
    const auto info = *(*checkpoint)->info(name);
    struct Window {
      std::int64_t row_begin, row_end, col_begin, col_end;
    };
    for (const Window& w : {Window{0, info.rows, 0, info.cols}, {3, 9, 0, info.cols}, {2, 7, 5, info.cols - 3}, {4, 4, 0, 0}}) {
      const auto count = static_cast<std::size_t>((w.row_end - w.row_begin) * (w.col_end - w.col_begin));
      std::vector<float> values(count);
      std::vector<std::byte> stored(count * static_cast<std::size_t>(block_bytes(format)));
      ASSERT_TRUE((*checkpoint)->read_rows(name, w.row_begin, w.row_end, w.col_begin, w.col_end, values.data()).ok());
      ASSERT_TRUE((*checkpoint)->read_stored_rows(name, w.row_begin, w.row_end, w.col_begin, w.col_end, stored.data()).ok());
      std::vector<float> expanded(count);
      expand_row(format, stored.data(), 0, static_cast<std::int64_t>(count), expanded.data());
      ASSERT_EQ(expanded, values);
    }
  }
}

TEST(StoredHead, AHeadOfAnotherShapeIsRefused) {
  auto tensors = tiny_model(true, false);
  find(tensors, "lm_head.weight") = tensor("lm_head.weight", {kVocab + 1, kHidden}, 3);
  expect_contains(error_of(ModelDirectory(tensors, "F32", kTied).path()), "lm_head.weight: shape [41, 32], but ");
}

TEST(StoredHead, GgufKeepsOneCopyOfAnEqualHead) {
  const TempDirectory directory;
  const auto equal = open_checkpoint(directory.write("equal.gguf", tiny_gguf(with_equal_head()).bytes()));
  ASSERT_TRUE(equal) << equal.error().message();
  EXPECT_TRUE((*equal)->config().tie_word_embeddings);
  const auto other = open_checkpoint(directory.write("other.gguf", tiny_gguf(tiny_model(true, false)).bytes()));
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_FALSE((*other)->config().tie_word_embeddings);
  EXPECT_TRUE((*other)->warnings().empty());
}

// A tied pair is stored once, and either name may be the one.
TEST(StoredHead, ATiedPairMayLieUnderTheHeadsName) {
  auto tensors = tiny_model(false, false);
  const std::vector<float> embedding = find(tensors, "model.embed_tokens.weight").values;
  find(tensors, "model.embed_tokens.weight").name = "lm_head.weight";
  const TempDirectory gguf;
  const ModelDirectory tied(tensors, "F32", kTied), open(tensors, "F32", kConfig);
  for (const std::string& path : {tied.path(), open.path(), gguf.write("m.gguf", tiny_gguf(tensors).bytes())}) {
    const auto checkpoint = open_checkpoint(path);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    EXPECT_TRUE((*checkpoint)->config().tie_word_embeddings);
    EXPECT_EQ((*checkpoint)->config().vocab_size, kVocab);
    EXPECT_EQ(values_of(**checkpoint, "model.embed_tokens.weight"), embedding);
    EXPECT_FALSE((*checkpoint)->has("lm_head.weight"));
    ASSERT_EQ((*checkpoint)->warnings().size(), path == open.path() ? 1u : 0u);
    if (path == open.path())
      expect_contains((*checkpoint)->warnings()[0], "there is no model.embed_tokens.weight: lm_head.weight is the embedding");
  }
  expect_contains(error_of(ModelDirectory(tensors, "F32", kUntied).path()),
                  "model.embed_tokens.weight: tensor is missing");
}

TEST(TensorNames, OnePrefixIsTakenOffOrPutOn) {
  using Names = std::vector<std::string>;
  const std::string layer = "layers.0.self_attn.q_proj.weight";
  const struct {
    Names stored, expected;
  } cases[] = {
      {{layer, "embed_tokens.weight", "norm.weight", "lm_head.weight", "score.weight"},
       {"model." + layer, "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight", "score.weight"}},
      {{"model.model." + layer, "model.model.norm.weight", "model.lm_head.weight"},
       {"model." + layer, "model.norm.weight", "lm_head.weight"}},
      {{"module.model." + layer, "module.model.layers.1.x", "module.lm_head.weight", "lm_head.weight"},
       {"model." + layer, "model.layers.1.x", "lm_head.weight", "lm_head.weight"}},
      {{"transformer." + layer, "transformer.lm_head.weight"}, {"model." + layer, "lm_head.weight"}},
      // Nothing to do, nothing to go by, or no way to tell.
      {{"model." + layer, layer, "norm.weight"}, {"model." + layer, layer, "norm.weight"}},
      {{"norm.weight"}, {"norm.weight"}},
      {{"a." + layer, "b." + layer}, {"a." + layer, "b." + layer}},
      {{"sub" + layer}, {"sub" + layer}},
  };
  for (const auto& one : cases) EXPECT_EQ(names_in_model(one.stored), one.expected) << one.stored.front();
}

TEST(TensorNames, ModelsSavedWithAnotherPrefixLoad) {
  const auto tensors = tiny_model(true, true);
  for (const char* prefix : {"", "model.model.", "module.model."}) {
    auto stored = tensors;
    for (FloatTensor& each : stored) {
      if (each.name.starts_with("model.")) each.name.replace(0, 6, prefix);
    }
    const ModelDirectory directory(stored);
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << prefix << ": " << checkpoint.error().message();
    EXPECT_TRUE((*checkpoint)->config().attention_bias);
    expect_same_rows(**checkpoint, tensors);
    EXPECT_EQ((*checkpoint)->info("model.norm.weight")->source_name, std::string(prefix) + "norm.weight");
  }
}

// The index says where to look, the model says what is needed.
TEST(ShardIndexes, WhatTheModelDoesNotNeedIsAWarning) {
  const struct {
    const char* expected;
    std::function<void(Shards&)> spoil;
  } cases[] = {
      {"names tensors that no shard holds and the model does not need: mtp.fc",
       [](Shards& s) { s.map.emplace_back("mtp.fc", "model-00001-of-00002.safetensors"); }},
      {"names tensors that no shard holds and the model does not need: 0, 1, 10 and 9 more",
       [](Shards& s) {
         for (int i = 0; i < 12; ++i) s.map.emplace_back(std::to_string(i), "model-00001-of-00002.safetensors");
       }},
      {"names shards that are not there, for tensors the model does not need: model-00003-of-00003.safetensors",
       [](Shards& s) { s.map.emplace_back("x", "model-00003-of-00003.safetensors"); }},
      {"leaves out tensors that its shards hold: extra",
       [](Shards& s) { s.first.push_back(tensor("extra", {2}, 1)); }},
      {"leaves out tensors that its shards hold: model.norm.weight", [](Shards& s) { s.map.erase(s.map.begin() + 1); }},
      {"names another shard than the one that holds them, for: model.embed_tokens.weight",
       [](Shards& s) { s.map[0].second = "model-00002-of-00002.safetensors"; }},
      {nullptr, [](Shards& s) { s.second.push_back(s.first[1]); }},  // twice, the same
      {nullptr, [](Shards& s) { s.map.push_back(s.map[1]); }},       // a key twice: the last counts
  };
  for (const auto& one : cases) {
    Shards shards;
    one.spoil(shards);
    const auto checkpoint = open_checkpoint(shards.save());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_same_rows(**checkpoint, shards.tensors);
    const auto& warnings = (*checkpoint)->warnings();
    EXPECT_EQ(std::any_of(warnings.begin(), warnings.end(),
                          [&](const std::string& warning) {
                            return one.expected != nullptr && warning.ends_with(one.expected) &&
                                   warning.find("model.safetensors.index.json: ") != std::string::npos;
                          }),
              one.expected != nullptr)
        << (one.expected == nullptr ? "" : one.expected) << "\n  gave: " << (warnings.empty() ? "" : warnings[0]);
  }
}

// A GGUF may hold one tensor under ggml's name and Hugging Face's, in two encodings and the order of heads of GGUF.
TEST(RepeatedTensors, OfHeadsAreComparedAsTheyLie) {
  const auto tensors = tiny_model(true, true);
  for (const char* name : {"model.layers.1.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.bias"}) {
    for (const bool same : {true, false}) {
      GgufWriter writer = tiny_gguf(tensors);
      auto source = tensors;
      FloatTensor again = interleave(find(source, name));
      if (!same) again.values.back() += 0.5F;
      const std::vector<std::uint64_t> dims(again.shape.rbegin(), again.shape.rend());
      constexpr std::uint32_t kBf16 = 30;
      writer.tensors.push_back({name, dims, kBf16, pack(again.values, "BF16")});
      const TempDirectory directory;
      const std::string error = error_of(directory.write("m.gguf", writer.bytes()));
      if (same) EXPECT_EQ(error, "") << name;
      else expect_contains(error, std::string(name) + ": occurs twice with different values");
    }
  }
}

// The folder is named by an index elsewhere, under a name of its own.
TEST(ShardIndexes, AnIndexMayBeNamedAsTheWeights) {
  const Shards shards;
  fs::rename(shards.save() + "/model.safetensors.index.json", shards.path() + "/mine");
  const TempDirectory config;
  config.write("config.json", kConfig);
  const auto checkpoint = open_checkpoint(config.path(), {.weight_path = shards.path() + "/mine", .layers = 0});
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  expect_same_rows(**checkpoint, shards.tensors);
}

// A file that is cut or written to after it was opened is an error that names it; one that is replaced is not.
TEST(FilesThatChange, AreErrorsThatNameTheFile) {
  const auto tensors = tiny_model(true, true);
  const struct {
    const char* what;
    std::function<void(const std::string&)> change;
    bool read;
  } cases[] = {
      {"cut", [](const std::string& path) { fs::resize_file(path, 64); }, false},
      {"emptied", [](const std::string& path) { fs::resize_file(path, 0); }, false},
      {"grown", [](const std::string& path) { fs::resize_file(path, fs::file_size(path) + 1); }, false},
      {"touched",
       [](const std::string& path) { fs::last_write_time(path, fs::last_write_time(path) + std::chrono::hours(1)); },
       false},
      {"replaced",
       [](const std::string& path) {
         fs::copy_file(path, path + ".new");
         fs::resize_file(path + ".new", 64);
         fs::rename(path + ".new", path);
       },
       true},
      {"removed", [](const std::string& path) { fs::remove(path); }, true},
  };
  for (const bool gguf : {false, true}) {
    for (const auto& one : cases) {
      const ModelDirectory directory(tensors);
      const std::string path =
          gguf ? directory.write("m.gguf", tiny_gguf(tensors).bytes()) : directory.path() + "/model.safetensors";
      const auto checkpoint = open_checkpoint(gguf ? path : directory.path());
      ASSERT_TRUE(checkpoint) << checkpoint.error().message();
      one.change(path);
      if (gguf) {
        EXPECT_EQ((*checkpoint)->gguf()->strings("tokenizer.ggml.tokens")->at(2), "ab");
      }
      for (const char* name : {"lm_head.weight", "model.layers.1.self_attn.q_proj.weight", "model.norm.weight",
                               "model.layers.0.self_attn.k_proj.bias"}) {
        const auto info = (*checkpoint)->info(name);
        std::vector<float> values(static_cast<std::size_t>(info->rows * info->cols));
        const Status status = (*checkpoint)->read_rows(name, 0, info->rows, 0, info->cols, values.data());
        EXPECT_EQ(status.ok(), one.read) << one.what << " " << name;
        if (one.read) continue;
        EXPECT_EQ(status.code(), StatusCode::kMissing);
        expect_contains(status.message(), path + ": ");
      }
    }
  }
}

// Headers longer than what is read of a file at first.
TEST(GgufHeaders, LongOnesAreReadWhole) {
  const auto tensors = tiny_model(true, false);
  GgufWriter writer = tiny_gguf(tensors);
  writer.text("general.description", std::string(5'000'000, 'd'));
  std::vector<std::string> texts(300'000, "token");
  writer.texts("general.tags", texts);
  const TempDirectory directory;
  const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  expect_same_rows(**checkpoint, tensors);
  EXPECT_EQ((*checkpoint)->gguf()->string("general.description")->value().size(), 5'000'000u);
  EXPECT_EQ((*checkpoint)->gguf()->strings("general.tags")->size(), texts.size());
}

}  // namespace
}  // namespace herd::model
