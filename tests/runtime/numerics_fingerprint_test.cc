// One bit anywhere that the arithmetic sees is another fingerprint; what it does not see is none.

#include "runtime/shard/numerics_fingerprint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace herd::shard {
namespace {

struct FakeTensor {
  model::TensorInfo info;
  std::vector<float> values;
};

// Tensors in memory.
class FakeCheckpoint final : public model::Checkpoint {
 public:
  FakeCheckpoint() {
    add("a.weight", 3, 2000, true);
    add("b.weight", 1, 5, true);
    add("unused.weight", 2, 4, false);
  }
  void add(const std::string& name, std::int64_t rows, std::int64_t cols, bool used) {
    FakeTensor& tensor = tensors_by_name[name];
    tensor.info.name = name;
    tensor.info.rows = rows;
    tensor.info.cols = cols;
    tensor.info.shape = "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
    tensor.info.encoding = "bfloat16";
    tensor.info.used = used;
    tensor.values.assign(static_cast<std::size_t>(rows * cols), 0.25F);
  }

  const model::LlamaConfig& config() const override { return config_; }
  const model::GenerationConfig& generation() const override { return generation_; }
  const model::TextParts& text() const override { return text_; }
  const model::GgufFile* gguf() const override { return nullptr; }
  bool has(std::string_view name) const override { return tensors_by_name.contains(std::string(name)); }
  Expected<model::TensorInfo> info(std::string_view name) const override {
    return tensors_by_name.at(std::string(name)).info;
  }
  std::vector<model::TensorInfo> tensors() const override {
    std::vector<model::TensorInfo> all;
    for (const auto& [name, tensor] : tensors_by_name) all.push_back(tensor.info);
    return all;
  }
  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    if (unreadable) return missing("gone");
    const FakeTensor& tensor = tensors_by_name.at(std::string(name));
    for (std::int64_t row = row_begin; row < row_end; ++row) {
      const auto begin = tensor.values.begin() + row * tensor.info.cols;
      out = std::copy(begin + col_begin, begin + col_end, out);
    }
    return {};
  }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  std::string default_encoding() const override { return "bfloat16"; }

  std::map<std::string, FakeTensor> tensors_by_name;
  bool unreadable = false;

 private:
  model::LlamaConfig config_;
  model::GenerationConfig generation_;
  model::TextParts text_;
  std::vector<std::string> warnings_;
};

model::LlamaConfig small_config() {
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.intermediate_size = 128;
  config.vocab_size = 1000;
  return config;
}

NumericsParts parts_of(const model::LlamaConfig& config, const model::Checkpoint* checkpoint) {
  NumericsParts parts;
  parts.numerics_class = "cpu-1";
  parts.config = &config;
  parts.checkpoint = checkpoint;
  return parts;
}

TEST(NumericsFingerprint, SeesEveryNumberOfTheModel) {
  const auto of = [](const std::function<void(model::LlamaConfig&, NumericsParts&)>& change) {
    model::LlamaConfig config = small_config();
    NumericsParts parts = parts_of(config, nullptr);
    change(config, parts);
    return numerics_fingerprint(parts).value();
  };
  const std::string one = of([](auto&, auto&) {});
  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(of([](auto& config, auto&) { config.eos_ids = {7}; }), one);
  EXPECT_EQ(of([](auto& config, auto&) { config.torch_dtype = DType::kF32; }), one);
  EXPECT_EQ(of([](auto& config, auto&) { config.max_position_embeddings = 4096; }), one);
  std::vector<std::string> others{
      of([](auto& config, auto&) { config.hidden_size = 32; }),
      of([](auto& config, auto&) { config.layers = 1; }),
      of([](auto& config, auto&) { config.kv_heads = 1; }),
      of([](auto& config, auto&) { config.rms_norm_eps = 1e-5F; }),
      of([](auto& config, auto&) { config.tie_word_embeddings = true; }),
      of([](auto& config, auto&) { config.attention_bias = true; }),
      of([](auto& config, auto&) { config.rope.theta = 10001.0; }),
      of([](auto& config, auto&) { config.rope.frequency_divisors.assign(16, 1.0F); }),
      of([](auto&, auto& parts) { parts.numerics_class = "sm90-1"; }),
      of([](auto&, auto& parts) { parts.encoding.weights = DType::kF32; }),
      of([](auto&, auto& parts) { parts.tokenizer_vocab_size = 1000; }),
      of([](auto&, auto& parts) { parts.random_seed = 1; }),
      one,
  };
  std::sort(others.begin(), others.end());
  EXPECT_EQ(std::adjacent_find(others.begin(), others.end()), others.end());
}

TEST(NumericsFingerprint, SeesTheWeights) {
  const model::LlamaConfig config = small_config();
  const auto of = [&](const std::function<void(FakeCheckpoint&)>& change) {
    FakeCheckpoint checkpoint;
    change(checkpoint);
    return numerics_fingerprint(parts_of(config, &checkpoint)).value();
  };
  const std::string one = of([](FakeCheckpoint&) {});
  EXPECT_EQ(of([](FakeCheckpoint&) {}), one);
  EXPECT_EQ(of([](FakeCheckpoint& c) { c.tensors_by_name["unused.weight"].values[0] = 1.0F; }), one);
  EXPECT_NE(of([](FakeCheckpoint& c) { c.tensors_by_name["a.weight"].values.front() = 0.5F; }), one);
  EXPECT_NE(of([](FakeCheckpoint& c) { c.tensors_by_name["a.weight"].values[3000] = 0.5F; }), one) << "in the middle";
  EXPECT_NE(of([](FakeCheckpoint& c) { c.tensors_by_name["a.weight"].values.back() = 0.5F; }), one);
  EXPECT_NE(of([](FakeCheckpoint& c) { c.tensors_by_name["b.weight"].values[2] = -0.25F; }), one);
  EXPECT_NE(of([](FakeCheckpoint& c) { c.tensors_by_name["b.weight"].info.encoding = "float32"; }), one);
  EXPECT_NE(of([](FakeCheckpoint& c) { c.add("c.weight", 1, 5, true); }), one);
  EXPECT_NE(numerics_fingerprint(parts_of(config, nullptr)).value(), one) << "random weights";
}

TEST(NumericsFingerprint, OfACheckpointThatCannotBeReadIsItsError) {
  const model::LlamaConfig config = small_config();
  FakeCheckpoint checkpoint;
  checkpoint.unreadable = true;
  const auto fingerprint = numerics_fingerprint(parts_of(config, &checkpoint));
  ASSERT_FALSE(fingerprint.has_value());
  EXPECT_EQ(fingerprint.error().message(), "gone");
}

}  // namespace
}  // namespace herd::shard
