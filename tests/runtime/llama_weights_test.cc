// From the rows of a source to packed weights: what every rank gets, what is counted, what is reported.
#include "runtime/model/llama_weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/row_packer.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::model {
namespace {

using shard::testing::cpu;
using shard::testing::tiny_config;

std::vector<ShardPlan> plans_of(const LlamaConfig& config, int ranks) {
  std::vector<ShardPlan> plans;
  for (int rank = 0; rank < ranks; ++rank) plans.push_back(*plan_shard(config, ranks, rank));
  return plans;
}

std::vector<std::shared_ptr<const LlamaWeights>> load(const LlamaConfig& config, const WeightSource& source, int ranks,
                                                      Device& device, const LoadOptions& options, LoadReport& report) {
  auto weights = load_weights(config, source, plans_of(config, ranks), device, options, report);
  EXPECT_TRUE(weights.has_value());
  return std::move(*weights);
}

TEST(RandomSource, AnElementIsTheSameInWhateverSliceItIsRead) {
  const auto source = random_source(tiny_config(), 5);
  std::vector<float> whole(8 * 64), window(2 * 3);
  ASSERT_TRUE(source->read_rows("lm_head.weight", 0, 8, 0, 64, whole.data()).ok());
  ASSERT_TRUE(source->read_rows("lm_head.weight", 3, 5, 7, 10, window.data()).ok());
  for (std::size_t i = 0; i < window.size(); ++i) EXPECT_EQ(window[i], whole[(3 + i / 3) * 64 + 7 + i % 3]);
  std::vector<float> other(8 * 64);
  ASSERT_TRUE(random_source(tiny_config(), 6)->read_rows("lm_head.weight", 0, 8, 0, 64, other.data()).ok());
  EXPECT_NE(other, whole) << "another seed is another model";
}

TEST(LoadWeights, RanksShareTheEmbeddingAndSplitTheRest) {
  const LlamaConfig config = tiny_config();
  const auto device = cpu();
  const auto source = random_source(config, 5);
  LoadReport report;
  const auto alone = load(config, *source, 1, *device, {{WeightFormat::kF32}, {}}, report).front();
  const auto two = load(config, *source, 2, *device, {{WeightFormat::kF32}, {}}, report);
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0]->embedding.data, two[1]->embedding.data);
  EXPECT_EQ(two[0]->head.outputs + two[1]->head.outputs, config.vocab_size);
  EXPECT_EQ(two[0]->layers[1].down.k + two[1]->layers[1].down.k, config.intermediate_size);
  EXPECT_EQ(two[0]->layers[1].down.leaf_count, 4);
  EXPECT_EQ(alone->layers[1].down.leaf_count, 8);
  EXPECT_EQ(alone->layers[0].qkv_bias, nullptr);
  EXPECT_LT(two[0]->bytes_read_per_token(), alone->bytes_read_per_token());
  EXPECT_LT(alone->bytes_read_per_token(), alone->bytes());
  EXPECT_TRUE(report.non_finite.empty());
}

TEST(LoadWeights, ATiedHeadIsTheEmbeddingsRows) {
  LlamaConfig config = tiny_config();
  config.tie_word_embeddings = true;
  const auto device = cpu();
  LoadReport report;
  const auto two = load(config, *random_source(config, 5), 2, *device, {{WeightFormat::kBF16}, {}}, report);
  const auto* embedding = static_cast<const std::byte*>(two[0]->embedding.data);
  EXPECT_EQ(two[0]->head.data, embedding);
  EXPECT_EQ(static_cast<const std::byte*>(two[1]->head.data) - embedding,
            std::ptrdiff_t{two[0]->head.outputs} * config.hidden_size * 2);
}

TEST(LoadWeights, ProgressRisesToAllBytes) {
  const LlamaConfig config = tiny_config();
  const auto device = cpu();
  std::vector<std::size_t> done;
  std::size_t all = 0;
  const auto progress = [&](std::size_t now, std::size_t total) {
    done.push_back(now);
    all = total;
  };
  LoadReport report;
  (void)load(config, *random_source(config, 5), 2, *device, {{WeightFormat::kBF16}, progress}, report);
  ASSERT_FALSE(done.empty());
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), all);
}

// The rows of another source, but for one infinity in one tensor.
class Spoilt final : public WeightSource {
 public:
  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    if (name == "model.layers.1.mlp.up_proj.weight" && row_begin >= 128) return bad_input("the file ends here");
    Status status = source_->read_rows(name, row_begin, row_end, col_begin, col_end, out);
    if (name.find("norm") != std::string_view::npos) out[0] = std::numeric_limits<float>::infinity();
    return status;
  }

 private:
  const std::unique_ptr<WeightSource> source_ = random_source(tiny_config(), 5);
};

TEST(LoadWeights, NonFiniteTensorsAreNamedOnceAndRefusalsPassThrough) {
  const LlamaConfig config = tiny_config();
  const auto device = cpu();
  LoadReport report;
  const auto weights = load_weights(config, Spoilt(), plans_of(config, 2), *device, {{WeightFormat::kF32}, {}}, report);
  ASSERT_FALSE(weights) << "the second rank's half of a tensor is missing";
  EXPECT_EQ(weights.error().message(), "the file ends here");
  EXPECT_EQ(report.non_finite, (std::vector<std::string>{"model.layers.0.input_layernorm.weight",
                                                         "model.layers.0.post_attention_layernorm.weight",
                                                         "model.layers.1.input_layernorm.weight",
                                                         "model.layers.1.post_attention_layernorm.weight",
                                                         "model.norm.weight"}));
}

// Another source's rows, rounded to a type in which they are held.
class Stored final : public WeightSource {
 public:
  explicit Stored(DType type) : type_(type) {}
  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    Status status = source_->read_rows(name, row_begin, row_end, col_begin, col_end, out);
    for (std::int64_t i = 0; i < (row_end - row_begin) * (col_end - col_begin); ++i)
      out[i] = type_ == DType::kBF16 ? to_float(to_bf16(out[i])) : f16_to_float(to_f16_bits(out[i]));
    if (name.find("k_proj") != std::string_view::npos && row_begin == 0) out[1] = std::numeric_limits<float>::infinity();
    return status;
  }
  std::optional<WeightFormat> stored_format(std::string_view name) const override {
    if (name.find("v_proj") != std::string_view::npos) return std::nullopt;  // one tensor of a matrix is of another type
    return format_of(type_);
  }
  Status read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                          std::int64_t col_end, void* out) const override {
    ++read_stored;
    std::vector<float> values(static_cast<std::size_t>((row_end - row_begin) * (col_end - col_begin)));
    Status status = read_rows(name, row_begin, row_end, col_begin, col_end, values.data());
    for (std::size_t i = 0; i < values.size(); ++i)
      static_cast<std::uint16_t*>(out)[i] = type_ == DType::kBF16 ? to_bf16(values[i]).bits : to_f16_bits(values[i]);
    return status;
  }
  mutable std::atomic<int> read_stored{0};

 private:
  const DType type_;
  const std::unique_ptr<WeightSource> source_ = random_source(tiny_config(), 5);
};

void expect_equal(const PackedMatrix& a, const PackedMatrix& b) {
  ASSERT_EQ(a.bytes(), b.bytes());
  EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<std::size_t>(a.bytes())), 0);
}

void expect_equal(const MatrixStack& a, const MatrixStack& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) expect_equal(a[i], b[i]);
}

// However they get there: staged by one thread as floats (reference), or read by all threads, in the matrix's type where it is
// stored so.
TEST(LoadWeights, TheSameBytesOnEveryDeviceAndFromEveryType) {
  const LlamaConfig config = tiny_config();
  const auto reference = cpu();
  const auto fast = std::move(*make_cpu_device({CpuIsa::kAuto, 3}));
  for (const DType stored : {DType::kBF16, DType::kF16}) {
    for (const DType packed : {DType::kBF16, DType::kF16, DType::kF32}) {
      const Stored source(stored);
      LoadReport staged, read;
      const auto expected = load(config, source, 2, *reference, {{format_of(packed)}, {}}, staged);
      EXPECT_EQ(source.read_stored, 0);
      const auto actual = load(config, source, 2, *fast, {{format_of(packed)}, {}}, read);
      EXPECT_EQ(source.read_stored > 0, fast->row_packer() != nullptr && stored == packed);
      EXPECT_EQ(read.non_finite, staged.non_finite);
      EXPECT_FALSE(read.non_finite.empty());
      for (std::size_t rank = 0; rank < 2; ++rank) {
        expect_equal(expected[rank]->embedding, actual[rank]->embedding);
        expect_equal(expected[rank]->head, actual[rank]->head);
        for (std::size_t layer = 0; layer < expected[rank]->layers.size(); ++layer) {
          expect_equal(expected[rank]->layers[layer].qkv, actual[rank]->layers[layer].qkv);
          expect_equal(expected[rank]->layers[layer].o, actual[rank]->layers[layer].o);
          expect_equal(expected[rank]->layers[layer].gate_up, actual[rank]->layers[layer].gate_up);
          expect_equal(expected[rank]->layers[layer].down, actual[rank]->layers[layer].down);
        }
      }
    }
  }
}

TEST(LoadWeights, ErrorsAndProgressAreTheSameWhereAllThreadsRead) {
  const LlamaConfig config = tiny_config();
  const auto device = std::move(*make_cpu_device({CpuIsa::kAuto, 3}));
  LoadReport report;
  const auto weights = load_weights(config, Spoilt(), plans_of(config, 2), *device, {{WeightFormat::kF32}, {}}, report);
  ASSERT_FALSE(weights);
  EXPECT_EQ(weights.error().message(), "the file ends here");
  std::vector<std::size_t> done;
  std::size_t all = 0;
  const auto progress = [&](std::size_t now, std::size_t total) {
    done.push_back(now);
    all = total;
  };
  (void)load(config, *random_source(config, 5), 2, *device, {{WeightFormat::kBF16}, progress}, report);
  ASSERT_FALSE(done.empty());
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), all);
}

}  // namespace
}  // namespace herd::model
