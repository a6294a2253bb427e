// The door: the same tiny model as one safetensors file, in shards, and as GGUF gives the same rows; every
// contradiction between config and tensors is refused with file, tensor and shapes.

#include "runtime/model/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/model/gguf_file.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;
using testing::FloatTensor;
using testing::GgufWriter;
using testing::pack;
using testing::safetensors_bytes;
using testing::TempDirectory;

constexpr int kHidden = 32, kLayers = 2, kHeads = 2, kKvHeads = 1, kHeadDim = 8, kFfn = 64, kVocab = 40;

const std::string kConfig =
    R"({"architectures":["LlamaForCausalLM"],"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":2,)"
    R"("num_key_value_heads":1,"head_dim":8,"intermediate_size":64,"vocab_size":40,"rms_norm_eps":1e-5,"eos_token_id":2})";

// Element (row, column) of the n-th tensor; small integers and halves, exact in every plain format.
FloatTensor tensor(const std::string& name, std::vector<std::int64_t> shape, int n) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  FloatTensor result{name, std::move(shape), std::vector<float>(static_cast<std::size_t>(count))};
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] =
        static_cast<float>(static_cast<int>((i * 7 + static_cast<std::size_t>(n) * 13) % 127) - 63) * 0.5F;
  }
  return result;
}

std::vector<FloatTensor> tiny_model(bool head, bool bias) {
  std::vector<FloatTensor> tensors = {tensor("model.embed_tokens.weight", {kVocab, kHidden}, 1),
                                      tensor("model.norm.weight", {kHidden}, 2)};
  if (head) tensors.push_back(tensor("lm_head.weight", {kVocab, kHidden}, 3));
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    int n = 10 * (layer + 1);
    const auto add = [&](const char* part, std::vector<std::int64_t> shape) {
      tensors.push_back(tensor(prefix + part, std::move(shape), n++));
    };
    add("input_layernorm.weight", {kHidden});
    add("self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden});
    add("self_attn.k_proj.weight", {kKvHeads * kHeadDim, kHidden});
    add("self_attn.v_proj.weight", {kKvHeads * kHeadDim, kHidden});
    add("self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim});
    add("post_attention_layernorm.weight", {kHidden});
    add("mlp.gate_proj.weight", {kFfn, kHidden});
    add("mlp.up_proj.weight", {kFfn, kHidden});
    add("mlp.down_proj.weight", {kHidden, kFfn});
    if (bias) {
      add("self_attn.q_proj.bias", {kHeads * kHeadDim});
      add("self_attn.k_proj.bias", {kKvHeads * kHeadDim});
      add("self_attn.v_proj.bias", {kKvHeads * kHeadDim});
    }
  }
  return tensors;
}

FloatTensor& find(std::vector<FloatTensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const FloatTensor& t) { return t.name == name; });
}

// Hugging Face order → the interleaved order of llama GGUF files, as its converter permutes: per head, view
// [2, head_dim / 2, columns], swap the first two axes.
FloatTensor interleave(FloatTensor source) {
  const std::int64_t cols = source.shape.size() == 2 ? source.shape[1] : 1;
  const std::vector<float> rows = source.values;
  for (std::int64_t row = 0; row < source.shape[0]; ++row) {
    const std::int64_t head = row / kHeadDim;
    const std::int64_t pair = row % kHeadDim % (kHeadDim / 2);
    const std::int64_t half = row % kHeadDim / (kHeadDim / 2);
    const std::int64_t target = head * kHeadDim + 2 * pair + half;
    std::copy_n(rows.begin() + row * cols, cols, source.values.begin() + target * cols);
  }
  return source;
}

std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> parts[] = {{"model.embed_tokens", "token_embd"},
                                                       {"model.norm", "output_norm"},
                                                       {"lm_head", "output"},
                                                       {"model.layers", "blk"},
                                                       {"input_layernorm", "attn_norm"},
                                                       {"self_attn.q_proj", "attn_q"},
                                                       {"self_attn.k_proj", "attn_k"},
                                                       {"self_attn.v_proj", "attn_v"},
                                                       {"self_attn.o_proj", "attn_output"},
                                                       {"post_attention_layernorm", "ffn_norm"},
                                                       {"mlp.gate_proj", "ffn_gate"},
                                                       {"mlp.up_proj", "ffn_up"},
                                                       {"mlp.down_proj", "ffn_down"}};
  for (const auto& [from, to] : parts) {
    if (const auto at = name.find(from); at != std::string::npos) name.replace(at, std::string(from).size(), to);
  }
  return name;
}

GgufWriter tiny_gguf(const std::vector<FloatTensor>& tensors) {
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.u32("llama.embedding_length", kHidden);
  writer.scalar("llama.block_count", 10, std::uint64_t{kLayers});
  writer.scalar("llama.attention.head_count", 5, std::int32_t{kHeads});
  writer.i32s("llama.attention.head_count_kv", {kKvHeads, kKvHeads});
  writer.u32("llama.attention.key_length", kHeadDim);
  writer.u32("llama.attention.value_length", kHeadDim);
  writer.u32("llama.rope.dimension_count", kHeadDim);
  writer.u32("llama.feed_forward_length", kFfn);
  writer.u32("llama.context_length", 2048);
  writer.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  writer.text("tokenizer.ggml.model", "gpt2");
  writer.text("tokenizer.ggml.pre", "llama-bpe");
  writer.texts("tokenizer.ggml.tokens", {"a", "b", "ab"});
  writer.i32s("tokenizer.ggml.token_type", {1, 1, 3});
  writer.texts("tokenizer.ggml.merges", {"a b"});
  writer.u32("tokenizer.ggml.bos_token_id", 1);
  writer.u32("tokenizer.ggml.eos_token_id", 2);
  writer.u32("tokenizer.ggml.eot_token_id", 3);
  writer.u32("tokenizer.ggml.padding_token_id", 0xffffffffu);
  writer.text("tokenizer.chat_template", "{{ messages }}");
  for (const FloatTensor& each : tensors) {
    const bool permuted =
        each.name.find("q_proj") != std::string::npos || each.name.find("k_proj") != std::string::npos;
    std::vector<std::uint64_t> dims(each.shape.rbegin(), each.shape.rend());
    writer.tensors.push_back({gguf_name(each.name), dims, 0, pack((permuted ? interleave(each) : each).values, "F32")});
  }
  return writer;
}

GgufWriter::Tensor& find(GgufWriter& writer, const std::string& name) {
  return *std::find_if(writer.tensors.begin(), writer.tensors.end(), [&](const auto& t) { return t.name == name; });
}

std::string error_of(const std::string& path, const CheckpointOverrides& overrides = {}) {
  const auto checkpoint = open_checkpoint(path, overrides);
  return checkpoint ? "" : checkpoint.error().message();
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "expected: " << part << "\n  gave: " << text;
}

void expect_same_rows(const Checkpoint& checkpoint, const std::vector<FloatTensor>& tensors) {
  for (const FloatTensor& expected : tensors) {
    const auto info = checkpoint.info(expected.name);
    ASSERT_TRUE(info) << expected.name;
    const std::int64_t cols = expected.shape.back();
    ASSERT_EQ(info->rows, expected.shape.size() == 2 ? expected.shape[0] : 1) << expected.name;
    ASSERT_EQ(info->cols, cols) << expected.name;
    std::vector<float> rows(expected.values.size(), NAN);
    ASSERT_TRUE(checkpoint.read_rows(expected.name, 0, info->rows, 0, cols, rows.data()).ok());
    EXPECT_EQ(rows, expected.values) << expected.name;
    // A window in the middle.
    const std::int64_t row = info->rows / 2;
    std::vector<float> window(static_cast<std::size_t>(cols - 3), NAN);
    ASSERT_TRUE(checkpoint.read_rows(expected.name, row, row + 1, 2, cols - 1, window.data()).ok());
    const auto begin = expected.values.begin() + row * cols + 2;
    EXPECT_EQ(window, std::vector<float>(begin, begin + cols - 3)) << expected.name;
  }
}

struct ModelDirectory : TempDirectory {
  explicit ModelDirectory(const std::vector<FloatTensor>& tensors, const std::string& dtype = "F32",
                          const std::string& config = kConfig) {
    write("config.json", config);
    write("model.safetensors", safetensors_bytes(tensors, dtype));
  }
};

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
    EXPECT_NE((*checkpoint)->mapped("model.norm.weight", expected), nullptr);
    EXPECT_EQ((*checkpoint)->mapped("model.norm.weight", DType::kF16), nullptr);
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
    EXPECT_EQ((*checkpoint)->mapped("model.layers.0.self_attn.q_proj.weight", DType::kF32), nullptr);
    EXPECT_NE((*checkpoint)->mapped("model.layers.0.self_attn.v_proj.weight", DType::kF32), nullptr);
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
  EXPECT_TRUE((*checkpoint)->config().attention_bias);
  EXPECT_TRUE((*checkpoint)->has("model.layers.1.self_attn.v_proj.bias"));

  std::string config = kConfig;
  config.replace(config.size() - 1, 1, R"(,"tie_word_embeddings":true})");
  const ModelDirectory both(tiny_model(true, false), "F32", config);
  const auto tied_by_config = open_checkpoint(both.path());
  ASSERT_TRUE(tied_by_config) << tied_by_config.error().message();
  EXPECT_TRUE((*tied_by_config)->config().tie_word_embeddings);
  EXPECT_FALSE((*tied_by_config)->has("lm_head.weight"));
  EXPECT_FALSE((*tied_by_config)->info("lm_head.weight")->used);

  config = kConfig;
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
      {"llama.rope.scaling.type: \"yarn\" is not supported yet",
       [](GgufWriter& w) { w.text("llama.rope.scaling.type", "yarn"); }},
      {"llama.rope.scale_linear: 2.0", [](GgufWriter& w) { w.f32("llama.rope.scale_linear", 2.0F); }},
      {"llama.expert_count: 8.0", [](GgufWriter& w) { w.u32("llama.expert_count", 8); }},
      {"llama.logit_scale: 0.5", [](GgufWriter& w) { w.f32("llama.logit_scale", 0.5F); }},
      {"llama.vocab_size: is f32, expected an integer", [](GgufWriter& w) { w.f32("llama.vocab_size", 2.0F); }},
      {"token_embd.weight): shape [40, 32]", [](GgufWriter& w) { w.u32("llama.vocab_size", 39); }},
      {"tokenizer.ggml.eom_token_id: is string", [](GgufWriter& w) { w.text("tokenizer.ggml.eom_token_id", "x"); }},
      {"rope_freqs.weight: F32 [3], but F32 [4] is needed",
       [](GgufWriter& w) {
         w.tensors.push_back({"rope_freqs.weight", {3}, 0, pack({1, 1, 1}, "F32")});
       }},
      {"RoPE frequency divisor: 0.0",
       [](GgufWriter& w) {
         w.tensors.push_back({"rope_freqs.weight", {4}, 0, pack({1, 0, 1, 1}, "F32")});
       }},
      {"model.norm.weight: occurs twice",
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

struct Shards : TempDirectory {
  Shards() {
    tensors = tiny_model(true, false);
    first.assign(tensors.begin(), tensors.begin() + 8);
    second.assign(tensors.begin() + 8, tensors.end());
    for (const auto& t : first) map.emplace_back(t.name, "model-00001-of-00002.safetensors");
    for (const auto& t : second) map.emplace_back(t.name, "model-00002-of-00002.safetensors");
  }
  [[nodiscard]] std::string save() const {
    write("config.json", kConfig);
    write("model-00001-of-00002.safetensors", safetensors_bytes(first, "F32"));
    if (!second.empty()) write("model-00002-of-00002.safetensors", safetensors_bytes(second, "F32"));
    std::string index = R"({"metadata":{"total_size":1},"weight_map":{)";
    for (const auto& [name, file] : map) index += "\"" + name + "\":\"" + file + "\",";
    index.back() = '}';
    write("model.safetensors.index.json", index + "}");
    return path();
  }
  std::vector<FloatTensor> tensors, first, second;
  std::vector<std::pair<std::string, std::string>> map;
};

TEST(OpenCheckpoint, ShardsGiveTheSameRows) {
  const Shards shards;
  const auto checkpoint = open_checkpoint(shards.save());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message();
  expect_same_rows(**checkpoint, shards.tensors);
}

TEST(OpenCheckpoint, BrokenIndexesAreRefusedByFileAndTensor) {
  const struct {
    std::vector<std::string> expected;
    std::function<void(Shards&)> spoil;
  } cases[] = {
      {{"weight_map.x: \"../m.safetensors\" is not the name of a .safetensors file"},
       [](Shards& s) { s.map.emplace_back("x", "../m.safetensors"); }},
      {{"\"/etc/m.safetensors\" is not the name"}, [](Shards& s) { s.map.emplace_back("x", "/etc/m.safetensors"); }},
      {{"\"\" is not the name"}, [](Shards& s) { s.map.emplace_back("x", ""); }},
      {{"\"m.bin\" is not the name"}, [](Shards& s) { s.map.emplace_back("x", "m.bin"); }},
      {{"model-00003-of-00003.safetensors: cannot open", "named by ", "index.json"},
       [](Shards& s) { s.map.emplace_back("x", "model-00003-of-00003.safetensors"); }},
      {{"model-00001-of-00002.safetensors: x: is missing, but", "index.json names it"},
       [](Shards& s) { s.map.emplace_back("x", "model-00001-of-00002.safetensors"); }},
      {{"model-00001-of-00002.safetensors: model.embed_tokens.weight: should be in model-00002-of-00002.safetensors"},
       [](Shards& s) { s.map[0].second = "model-00002-of-00002.safetensors"; }},
      {{"model-00002-of-00002.safetensors: model.embed_tokens.weight: is in model-00001-of-00002.safetensors too"},
       [](Shards& s) { s.second.push_back(s.first[0]); }},
      {{"model-00001-of-00002.safetensors: extra: is not in", "index.json"},
       [](Shards& s) { s.first.push_back(tensor("extra", {2}, 1)); }},
      {{"key \"model.norm.weight\" occurs twice"}, [](Shards& s) { s.map.push_back(s.map[1]); }},
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
  expect_contains(error_of(directory.path()), "has neither config.json nor a .gguf file");
  expect_contains(error_of(directory.write("weights.bin", "x")), "is neither a model directory nor a .gguf file");
  directory.write("params.json", "{}");
  expect_contains(error_of(directory.path()), "Meta checkpoints are not supported yet");
  directory.write("config.json", kConfig);
  expect_contains(error_of(directory.path()), "PyTorch checkpoints are not supported yet");
  const auto described = open_config_only(directory.path());
  ASSERT_TRUE(described) << described.error().message();
  EXPECT_EQ(described->config.hidden_size, kHidden);
  const TempDirectory two;
  two.write("a.gguf", "GGUF");
  two.write("b.gguf", "GGUF");
  expect_contains(error_of(two.path()), "has several .gguf files");
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

TEST(OpenCheckpoint, TextPartsFindTheChatTemplate) {
  const ModelDirectory directory(tiny_model(true, false));
  directory.write("tokenizer_config.json",
                  R"({"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"yes"}]})");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().chat_template, "yes");
  directory.write("chat_template.jinja", "jinja");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().chat_template, "jinja");
  directory.write("generation_config.json", R"({"eos_token_id":[40]})");
  expect_contains(error_of(directory.path()),
                  "generation_config.json: eos_token_id: 40 is beyond the vocabulary of 40");
}

using Tokens = std::vector<std::pair<std::string, std::string>>;

TEST(OpenCheckpoint, TextPartsFindTheSpecialTokensThatATemplateNames) {
  const ModelDirectory directory(tiny_model(true, false));
  directory.write("tokenizer_config.json",
                  R"({"bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false},"pad_token":null,"model_max_length":1})");
  directory.write("special_tokens_map.json", R"({"bos_token":"<other>","pad_token":{"content":"<pad>"}})");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().special_tokens,
            (Tokens{{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"pad_token", "<pad>"}}));
}

// Generation by ids, scores and inspection need no template.
TEST(OpenCheckpoint, ATemplateThatCannotBeReadStopsChatOnly) {
  const ModelDirectory directory(tiny_model(true, false));
  for (const char* broken : {"{", R"({"chat_template":7})", R"({"bos_token":7})"}) {
    directory.write("tokenizer_config.json", broken);
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_contains((*checkpoint)->text().chat_problem, "tokenizer_config.json: ");
  }
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
