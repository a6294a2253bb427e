// The door: the same tiny model as one safetensors file, in shards, and as GGUF gives the same rows; every
// contradiction between config and tensors is refused with file, tensor and shapes.

#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/gguf_file.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;
using namespace testing;

TEST(OpenCheckpoint, SafetensorsGiveTheirRows) {
  const auto tensors = tiny_model(true, false);
  for (const std::string dtype : {"F32", "BF16"}) {
    const ModelDirectory directory(tensors, dtype);
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_same_rows(**checkpoint, tensors);
    const DType expected = dtype == "F32" ? DType::kF32 : DType::kBF16;
    EXPECT_EQ((*checkpoint)->default_encoding(), dtype_name(expected));
    EXPECT_EQ((*checkpoint)->config().torch_dtype, expected);
    EXPECT_FALSE((*checkpoint)->config().tie_word_embeddings);
    EXPECT_EQ((*checkpoint)->generation().eos_ids, (std::vector<TokenId>{2}));
    EXPECT_EQ((*checkpoint)->gguf(), nullptr);
    EXPECT_FALSE((*checkpoint)->has("model.layers.2.input_layernorm.weight"));
    EXPECT_FALSE((*checkpoint)->info("nothing"));
    float ignored;
    EXPECT_FALSE((*checkpoint)->read_rows("nothing", 0, 1, 0, 1, &ignored).ok());
  }
}

TEST(OpenCheckpoint, GgufGivesTheSameRowsInHalfSplitOrder) {
  const auto tensors = tiny_model(true, true);
  const TempDirectory directory;
  GgufWriter writer = tiny_gguf(tensors);
  writer.tensors.push_back({"rope_freqs.weight", {kHeadDim / 2}, 0, pack({1, 1, 2, 8}, "F32")});
  const std::string path = directory.write("m.gguf", writer.bytes());
  for (const std::string& door : {path, directory.path()}) {
    const auto checkpoint = open_checkpoint(door);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_same_rows(**checkpoint, tensors);
    const LlamaConfig& config = (*checkpoint)->config();
    EXPECT_EQ(config.vocab_size, kVocab);
    EXPECT_EQ(config.kv_heads, kKvHeads);
    EXPECT_TRUE(config.attention_bias);
    EXPECT_FALSE(config.attention_output_bias);
    EXPECT_EQ(config.rope.frequency_divisors, (std::vector<float>{1, 1, 2, 8}));
    EXPECT_EQ((*checkpoint)->generation().eos_ids, (std::vector<TokenId>{2, 3}));
    EXPECT_FALSE((*checkpoint)->generation().pad_id);
    EXPECT_EQ((*checkpoint)->text().chat_template, "{{ messages }}");
    EXPECT_EQ((*checkpoint)->text().special_tokens, (std::vector<std::pair<std::string, std::string>>{{"bos_token", "b"}, {"eos_token", "ab"}}));
    ASSERT_NE((*checkpoint)->gguf(), nullptr);
    const auto vocabulary = gguf_vocabulary(*(*checkpoint)->gguf());
    ASSERT_TRUE(vocabulary) << vocabulary.error().message();
    EXPECT_EQ(vocabulary->model, "gpt2");
    EXPECT_EQ(vocabulary->tokens, (std::vector<std::string>{"a", "b", "ab"}));
    EXPECT_EQ(vocabulary->token_types, (std::vector<std::int32_t>{1, 1, 3}));
    EXPECT_EQ(vocabulary->merges, (std::vector<std::string>{"a b"}));
    EXPECT_EQ(vocabulary->eot_id, 3);
    EXPECT_FALSE(vocabulary->add_bos);
  }
}

// One matrix as Q8_0 with d = 0.5, the rest float32.
TEST(OpenCheckpoint, QuantisedRowsExpandThroughTheDoor) {
  const auto tensors = tiny_model(true, false);
  GgufWriter writer = tiny_gguf(tensors);
  for (const char* name : {"blk.0.ffn_down.weight", "blk.0.attn_q.weight"}) {
    GgufWriter::Tensor& quantised = find(writer, name);
    std::string data;
    for (std::size_t i = 0; i < quantised.data.size(); i += 4) {
      float value;
      std::memcpy(&value, quantised.data.data() + i, 4);
      if (i / 4 % 32 == 0) testing::append(data, std::uint16_t{0x3800});
      testing::append(data, static_cast<std::int8_t>(value * 2.0F));
    }
    quantised.data = data;
    quantised.type = 8;
  }
  const TempDirectory directory;
  const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  expect_same_rows(**checkpoint, tensors);
  EXPECT_EQ((*checkpoint)->info("model.layers.0.mlp.down_proj.weight")->encoding, "q8_0");
  EXPECT_EQ((*checkpoint)->default_encoding(), "float32");
}

TEST(OpenCheckpoint, TheFileDecidesAboutBiasesAndTheHead) {
  const ModelDirectory tied(tiny_model(false, true));
  const auto checkpoint = open_checkpoint(tied.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  EXPECT_TRUE((*checkpoint)->config().tie_word_embeddings);
  EXPECT_FALSE((*checkpoint)->has("lm_head.weight"));
  ASSERT_EQ((*checkpoint)->warnings().size(), 1u);
  expect_contains((*checkpoint)->warnings()[0], "config.json: does not say tie_word_embeddings");
  EXPECT_TRUE((*checkpoint)->config().attention_bias);
  EXPECT_TRUE((*checkpoint)->has("model.layers.1.self_attn.v_proj.bias"));

  std::string config = kConfig;
  config.replace(config.size() - 1, 1, R"(,"tie_word_embeddings":false})");
  expect_contains(error_of(ModelDirectory(tiny_model(false, false), "F32", config).path()),
                  "lm_head.weight: tensor is missing, [40, 32] is needed");
}

TEST(OpenCheckpoint, ContradictionsNameFileTensorAndShapes) {
  using Tensors = std::vector<FloatTensor>;
  const struct {
    std::vector<std::string> expected;
    std::function<void(Tensors&)> spoil;
  } cases[] = {
      {{"model.safetensors: model.layers.1.mlp.up_proj.weight: tensor is missing, [64, 32] is needed"},
       [](Tensors& t) { find(t, "model.layers.1.mlp.up_proj.weight").name = "other"; }},
      {{"model.safetensors: model.layers.0.self_attn.k_proj.weight: shape [16, 32], but ", "config.json needs [8, 32]"},
       [](Tensors& t) {
         find(t, "model.layers.0.self_attn.k_proj.weight") =
             tensor("model.layers.0.self_attn.k_proj.weight", {16, 32}, 1);
       }},
      {{"model.norm.weight: shape [1, 32]"},
       [](Tensors& t) {
         find(t, "model.norm.weight").shape = {1, 32};
       }},
      {{"model.embed_tokens.weight: shape [32, 40]", "needs [40, 32]"},
       [](Tensors& t) {
         find(t, "model.embed_tokens.weight").shape = {32, 40};
       }},
      {{"model.layers.1.self_attn.q_proj.bias: tensor is missing, [16] is needed"},
       [](Tensors& t) {
         t.push_back(tensor("model.layers.0.self_attn.v_proj.bias", {8}, 1));
         t.push_back(tensor("model.layers.0.self_attn.q_proj.bias", {16}, 1));
         t.push_back(tensor("model.layers.0.self_attn.k_proj.bias", {8}, 1));
       }},
  };
  for (const auto& broken : cases) {
    Tensors tensors = tiny_model(true, false);
    broken.spoil(tensors);
    const std::string error = error_of(ModelDirectory(tensors).path());
    for (const std::string& part : broken.expected) expect_contains(error, part);
  }
}

TEST(OpenCheckpoint, UnexpectedTensorsAreListedAndUnused) {
  auto tensors = tiny_model(true, false);
  tensors.push_back(tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {4}, 1));
  tensors.push_back(tensor("vision.conv", {2, 3, 4}, 1));
  const ModelDirectory directory(tensors);
  const auto checkpoint = open_checkpoint(directory.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  EXPECT_FALSE((*checkpoint)->has("vision.conv"));
  const auto info = (*checkpoint)->info("vision.conv");
  ASSERT_TRUE(info);
  EXPECT_FALSE(info->used);
  EXPECT_EQ(info->shape, "[2, 3, 4]");
  const auto all = (*checkpoint)->tensors();
  EXPECT_EQ(all.size(), tensors.size());
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const TensorInfo& t) { return !t.used; }), 2);
}

TEST(OpenCheckpoint, UnreadableTypesAreRefusedByName) {
  auto writer = tiny_gguf(tiny_model(true, false));
  GgufWriter::Tensor& q = find(writer, "blk.0.attn_q.weight");
  q.type = 20;  // IQ4_NL: blocks of 32, 18 bytes
  q.data.assign(18 * 16, 'x');
  const TempDirectory directory;
  expect_contains(
      error_of(directory.write("m.gguf", writer.bytes())),
      "m.gguf: model.layers.0.self_attn.q_proj.weight (blk.0.attn_q.weight): type iq4_nl is not supported yet");
}

TEST(OpenCheckpoint, GgufConfigsAreCheckedByKey) {
  const struct {
    const char* expected;
    std::function<void(GgufWriter&)> spoil;
  } cases[] = {
      {"general.type: \"adapter\" is no model", [](GgufWriter& w) { w.text("general.type", "adapter"); }},
      {"llama.rope.scaling.type: \"yarn\" is not supported yet",
       [](GgufWriter& w) { w.text("llama.rope.scaling.type", "yarn"); }},
      {"llama.rope.scaling.factor: 0.5", [](GgufWriter& w) { w.f32("llama.rope.scaling.factor", 0.5F); }},
      {"llama.rope.scale_linear: nan", [](GgufWriter& w) { w.f32("llama.rope.scale_linear", NAN); }},
      {"llama.rope.scaling.attn_factor: 1.2", [](GgufWriter& w) { w.f32("llama.rope.scaling.attn_factor", 1.25F); }},
      {"llama.rope.dimension_sections: ", [](GgufWriter& w) { w.i32s("llama.rope.dimension_sections", {2, 1, 1}); }},
      {"rope_factors_long.weight: longrope", [](GgufWriter& w) { w.tensors.push_back({"rope_factors_long.weight", {4}, 0, std::string(16, 'f')}); }},
      {"llama.expert_count: 8.0", [](GgufWriter& w) { w.u32("llama.expert_count", 8); }},
      {"llama.logit_scale: 0.5", [](GgufWriter& w) { w.f32("llama.logit_scale", 0.5F); }},
      {"llama.final_logit_softcapping: 30.0", [](GgufWriter& w) { w.f32("llama.final_logit_softcapping", 30.0F); }},
      {"llama.nextn_predict_layers: 1.0", [](GgufWriter& w) { w.u32("llama.nextn_predict_layers", 1); }},
      {"llama.use_parallel_residual: true", [](GgufWriter& w) { w.scalar("llama.use_parallel_residual", 7, std::uint8_t{1}); }},
      {"llama.attention.clamp_kqv: 8.0", [](GgufWriter& w) { w.f32("llama.attention.clamp_kqv", 8.0F); }},
      {"llama.attention.scale: 0.2", [](GgufWriter& w) { w.f32("llama.attention.scale", 0.25F); }},
      {"llama.attention.sliding_window: 2047.0", [](GgufWriter& w) { w.u32("llama.attention.sliding_window", 2047); }},
      {"llama.embedding_length_out: 16 beside", [](GgufWriter& w) { w.u32("llama.embedding_length_out", 16); }},
      {"llama.vocab_size: is f32, expected an integer", [](GgufWriter& w) { w.f32("llama.vocab_size", 2.0F); }},
      {"token_embd.weight): shape [40, 32]", [](GgufWriter& w) { w.u32("llama.vocab_size", 39); }},
      {"llama.attention.causal: false is not supported yet",
       [](GgufWriter& w) { w.scalar("llama.attention.causal", 7, std::uint8_t{0}); }},
      {"tokenizer.ggml.eom_token_id: is string", [](GgufWriter& w) { w.text("tokenizer.ggml.eom_token_id", "x"); }},
      {"rope_freqs.weight: F32 [3], but F32 [4] is needed",
       [](GgufWriter& w) {
         w.tensors.push_back({"rope_freqs.weight", {3}, 0, pack({1, 1, 1}, "F32")});
       }},
      {"RoPE frequency divisor: 0.0",
       [](GgufWriter& w) {
         w.tensors.push_back({"rope_freqs.weight", {4}, 0, pack({1, 0, 1, 1}, "F32")});
       }},
      {"model.norm.weight (output_norm.weight): occurs twice with different values",
       [](GgufWriter& w) {
         w.tensors.push_back({"model.norm.weight", {32}, 0, std::string(128, 0)});
       }},
  };
  const TempDirectory directory;
  for (const auto& broken : cases) {
    GgufWriter writer = tiny_gguf(tiny_model(true, false));
    broken.spoil(writer);
    expect_contains(error_of(directory.write("m.gguf", writer.bytes())), broken.expected);
  }
  GgufWriter other;
  other.text("general.architecture", "qwen2");
  expect_contains(error_of(directory.write("m.gguf", other.bytes())),
                  "general.architecture: \"qwen2\" is not supported yet");
}

// Values that change nothing, whatever the key; what is not known here is said.
TEST(OpenCheckpoint, GgufKeysThatChangeNothingAreTaken) {
  GgufWriter writer = tiny_gguf(tiny_model(true, false));
  writer.text("general.type", "model");
  writer.text("llama.rope.scaling.type", "linear");
  writer.f32("llama.rope.scaling.factor", 1.0F);
  writer.u32("llama.rope.scaling.original_context_length", 2048);
  writer.f32("llama.rope.scaling.attn_factor", 1.0F);
  writer.f32("llama.attention.scale", static_cast<float>(1.0 / std::sqrt(double{kHeadDim})));
  writer.u32("llama.attention.sliding_window", 2048);
  writer.u32("llama.expert_count", 0);
  writer.u32("llama.expert_used_count", 0);
  writer.u32("llama.embedding_length_out", kHidden);
  writer.f32("llama.logit_scale", 1.0F);
  writer.text("llama.tensor_data_layout", "Meta AI original pth");
  writer.u32("llama.pooling_type", 0);
  writer.u32("llama.later_idea", 3);
  writer.texts("llama.attention.later_list", {"x"});
  writer.u32("other.expert_count", 8);
  const TempDirectory directory;
  const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  EXPECT_TRUE((*checkpoint)->config().rope.frequency_divisors.empty());
  const std::string file = directory.path() + "/m.gguf: ";
  EXPECT_EQ((*checkpoint)->warnings(),
            (std::vector<std::string>{file + "llama.attention.later_list: is not known here and not used",
                                      file + "llama.later_idea: is not known here and not used"}));
}

// Positions divided by a factor: every frequency is, beside what the file divides it by itself.
TEST(OpenCheckpoint, GgufLinearScalingDividesTheFrequencies) {
  const struct {
    std::vector<float> expected;
    std::function<void(GgufWriter&)> add;
  } cases[] = {
      {{4, 4, 4, 4}, [](GgufWriter& w) { w.f32("llama.rope.scaling.factor", 4.0F); }},
      {{4, 4, 4, 4},
       [](GgufWriter& w) {
         w.text("llama.rope.scaling.type", "linear");
         w.f32("llama.rope.scale_linear", 4.0F);
       }},
      {{2, 2, 4, 16},
       [](GgufWriter& w) {
         w.text("llama.rope.scaling.type", "linear");
         w.f32("llama.rope.scaling.factor", 2.0F);
         w.tensors.push_back({"rope_freqs.weight", {kHeadDim / 2}, 0, pack({1, 1, 2, 8}, "F32")});
       }},
      {{},
       [](GgufWriter& w) {
         w.text("llama.rope.scaling.type", "none");
         w.f32("llama.rope.scaling.factor", 4.0F);
       }},
  };
  const TempDirectory directory;
  for (const auto& one : cases) {
    GgufWriter writer = tiny_gguf(tiny_model(true, false));
    one.add(writer);
    const auto checkpoint = open_checkpoint(directory.write("m.gguf", writer.bytes()));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    EXPECT_EQ((*checkpoint)->config().rope.frequency_divisors, one.expected);
  }
}

TEST(OpenCheckpoint, ShardsGiveTheSameRows) {
  const Shards shards;
  const auto checkpoint = open_checkpoint(shards.save());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  expect_same_rows(**checkpoint, shards.tensors);
}

TEST(OpenCheckpoint, IndexesThatHideANeededTensorAreRefused) {
  const struct {
    std::vector<std::string> expected;
    std::function<void(Shards&)> spoil;
  } cases[] = {
      {{"weight_map.x: \"../m.safetensors\" is not the name of a .safetensors file"},
       [](Shards& s) { s.map.emplace_back("x", "../m.safetensors"); }},
      {{"\"/etc/m.safetensors\" is not the name"}, [](Shards& s) { s.map.emplace_back("x", "/etc/m.safetensors"); }},
      {{"\"\" is not the name"}, [](Shards& s) { s.map.emplace_back("x", ""); }},
      {{"\"m.bin\" is not the name"}, [](Shards& s) { s.map.emplace_back("x", "m.bin"); }},
      {{"model-00003-of-00003.safetensors: cannot open", "named by ", "index.json; model.norm.weight is needed"},
       [](Shards& s) {
         s.map[1].second = "model-00003-of-00003.safetensors";
         s.first.erase(s.first.begin() + 1);
       }},
      {{"model-00003-of-00003.safetensors: cannot open", "model.layers.1.self_attn.v_proj.bias is needed"},
       [](Shards& s) {
         s.map.emplace_back("model.layers.1.self_attn.v_proj.bias", "model-00003-of-00003.safetensors");
       }},
      {{"config.json: model.norm.weight: tensor is missing"}, [](Shards& s) { s.first.erase(s.first.begin() + 1); }},
      {{"model-00002-of-00002.safetensors: model.norm.weight: occurs twice with different values, first in ",
        "model-00001-of-00002.safetensors"},
       [](Shards& s) {
         s.second.push_back(s.first[1]);
         s.second.back().values[7] += 1;
       }},
  };
  for (const auto& broken : cases) {
    Shards shards;
    broken.spoil(shards);
    const std::string error = error_of(shards.save());
    for (const std::string& part : broken.expected) expect_contains(error, part);
  }
}

TEST(OpenCheckpoint, DoorsThatLeadNowhereSayWhy) {
  const TempDirectory directory;
  EXPECT_EQ(open_checkpoint(directory.path() + "/none").error().code(), StatusCode::kMissing);
  expect_contains(error_of(directory.path()), "has neither config.json nor a .gguf file; it is empty");
  expect_contains(error_of(directory.write("weights.bin", "x")),
                  "is neither a model directory nor a GGUF file; it is a file of no known kind");
  directory.write("config.json", kConfig);
  expect_contains(error_of(directory.path()), "weights.bin: PyTorch checkpoints are not supported yet");
  directory.write("params.json", "{}");
  expect_contains(error_of(directory.path()), "params.json: Meta checkpoints are not supported yet");
  const auto described = open_config_only(directory.path());
  ASSERT_TRUE(described) << described.error().message();
  EXPECT_EQ(described->config.hidden_size, kHidden);
}

TEST(OpenCheckpoint, OverridesTakeWeightsFromElsewhereAndFewerLayers) {
  const auto tensors = tiny_model(true, false);
  const TempDirectory config_only;
  config_only.write("config.json", kConfig);
  config_only.write("tokenizer.json", "{}");
  const TempDirectory weights;
  const std::string safetensors = weights.write("any.safetensors", safetensors_bytes(tensors, "F32"));
  const std::string gguf = weights.write("any.gguf", tiny_gguf(tensors).bytes());
  for (const std::string& path : {safetensors, gguf}) {
    const auto checkpoint = open_checkpoint(config_only.path(), {.weight_path = path, .layers = 1});
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    EXPECT_EQ((*checkpoint)->text().tokenizer_json, config_only.path() + "/tokenizer.json");
    EXPECT_EQ((*checkpoint)->config().layers, 1);
    EXPECT_TRUE((*checkpoint)->has("model.layers.0.mlp.up_proj.weight"));
    EXPECT_FALSE((*checkpoint)->has("model.layers.1.mlp.up_proj.weight"));
  }
  const auto error = open_checkpoint(config_only.path(), {.weight_path = safetensors, .layers = 3});
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code(), StatusCode::kUsage);
}

TEST(HasNonFinite, FindsNanAndInfinity) {
  std::vector<float> values(100, std::numeric_limits<float>::max());
  EXPECT_FALSE(has_non_finite(values.data(), values.size()));
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), NAN}) {
    values[99] = bad;
    EXPECT_TRUE(has_non_finite(values.data(), values.size()));
  }
}

// A published model, when the cache has one.
TEST(OpenCheckpoint, SmolLm2OpensWhenCached) {
  std::string path;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(".cache/herd", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("SmolLM2") && name.ends_with(".gguf")) path = entry.path().string();
  }
  if (path.empty()) {
    std::printf("SKIPPED: no SmolLM2 .gguf under .cache/herd\n");
    GTEST_SKIP();
  }
  const auto checkpoint = open_checkpoint(path);
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  const LlamaConfig& config = (*checkpoint)->config();
  EXPECT_EQ(config.hidden_size, 576);
  EXPECT_EQ(config.layers, 30);
  EXPECT_EQ(config.heads, 9);
  EXPECT_EQ(config.kv_heads, 3);
  EXPECT_EQ(config.vocab_size, 49152);
  EXPECT_TRUE(config.tie_word_embeddings);
  const auto vocabulary = gguf_vocabulary(*(*checkpoint)->gguf());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message();
  EXPECT_EQ(vocabulary->tokens.size(), 49152u);
  std::vector<float> rows;
  for (const TensorInfo& tensor : (*checkpoint)->tensors()) {
    if (!tensor.used) continue;
    rows.resize(static_cast<std::size_t>(tensor.rows * tensor.cols));
    ASSERT_TRUE((*checkpoint)->read_rows(tensor.name, 0, tensor.rows, 0, tensor.cols, rows.data()).ok());
    EXPECT_FALSE(has_non_finite(rows.data(), rows.size())) << tensor.name;
  }
}

}  // namespace
}  // namespace herd::model
