// What the arithmetic sees is in the numerics id; what it does not see is not.

#include "runtime/shard/numerics_id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace herd::shard {
namespace {

std::string id_of(const std::function<void(model::LlamaConfig&, NumericsParts&)>& change) {
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.intermediate_size = 128;
  config.vocab_size = 1000;
  NumericsParts parts{.numerics_class = "cpu-1", .config = &config, .encoding = {}, .weights = {7, 8}};
  change(config, parts);
  return numerics_id(parts);
}

TEST(NumericsId, SeesEveryNumberOfTheModel) {
  const std::string one = id_of([](auto&, auto&) {});
  EXPECT_TRUE(one.starts_with("cpu-1/bfloat16/bfloat16/")) << one;
  EXPECT_EQ(one.size(), std::string("cpu-1/bfloat16/bfloat16/").size() + 32);
  EXPECT_EQ(id_of([](auto& config, auto&) { config.eos_ids = {7}; }), one);
  EXPECT_EQ(id_of([](auto& config, auto&) { config.torch_dtype = DType::kF32; }), one);
  EXPECT_EQ(id_of([](auto& config, auto&) { config.max_position_embeddings = 4096; }), one);
  std::vector<std::string> others{
      id_of([](auto& config, auto&) { config.hidden_size = 32; }),
      id_of([](auto& config, auto&) { config.layers = 1; }),
      id_of([](auto& config, auto&) { config.kv_heads = 1; }),
      id_of([](auto& config, auto&) { config.rms_norm_eps = 1e-5F; }),
      id_of([](auto& config, auto&) { config.tie_word_embeddings = true; }),
      id_of([](auto& config, auto&) { config.attention_bias = true; }),
      id_of([](auto& config, auto&) { config.rope.theta = 10001.0; }),
      id_of([](auto& config, auto&) { config.rope.frequency_divisors.assign(16, 1.0F); }),
      id_of([](auto&, auto& parts) { parts.numerics_class = "sm90-1"; }),
      id_of([](auto&, auto& parts) { parts.encoding.weights = WeightFormat::kF32; }),
      id_of([](auto&, auto& parts) { parts.encoding.weights = WeightFormat::kF16; }),
      id_of([](auto&, auto& parts) { parts.weights.high = 9; }),
      id_of([](auto&, auto& parts) { parts.weights.low = 9; }),
      one,
  };
  std::sort(others.begin(), others.end());
  EXPECT_EQ(std::adjacent_find(others.begin(), others.end()), others.end());
}

TEST(NumericsId, SeesTheFormatOfEveryMatrix) {
  const auto of = [](const std::function<void(model::MatrixFormats&)>& change) {
    return id_of([&](auto& config, auto& parts) {
      using enum WeightFormat;
      model::MatrixFormats formats{kQ8_0, kQ6_K, {}};
      for (int layer = 0; layer < config.layers; ++layer) formats.layers.push_back({kQ4_0, kQ4_0, kQ4_0, kQ4_0, kQ4_0, kQ4_0, kQ4_0});
      change(formats);
      parts.encoding = {kQ4_0, std::make_shared<const model::MatrixFormats>(std::move(formats))};
    });
  };
  const std::string one = of([](auto&) {});
  EXPECT_TRUE(one.starts_with("cpu-1/q4_0/int8/")) << one;
  EXPECT_EQ(one.size(), std::string("cpu-1/q4_0/int8/").size() + 32);
  EXPECT_EQ(of([](auto&) {}), one);
  std::vector<std::string> others{one, id_of([](auto&, auto& parts) { parts.encoding.weights = WeightFormat::kQ4_0; }),
                                  of([](auto& formats) { formats.embedding = WeightFormat::kQ5_1; }),
                                  of([](auto& formats) { formats.head = WeightFormat::kQ5_1; }),
                                  of([](auto& formats) { std::swap(formats.embedding, formats.head); }),
                                  of([](auto& formats) { formats.embedding = WeightFormat::kQ4_K; }),
                                  of([](auto& formats) { formats.embedding = WeightFormat::kQ5_K; })};
  for (const std::size_t layer : {0U, 1U}) {
    for (WeightFormat model::LayerFormats::* const part :
         {&model::LayerFormats::q, &model::LayerFormats::k, &model::LayerFormats::v, &model::LayerFormats::o,
          &model::LayerFormats::gate, &model::LayerFormats::up, &model::LayerFormats::down})
      others.push_back(of([&](auto& formats) { formats.layers[layer].*part = WeightFormat::kQ5_1; }));
  }
  std::sort(others.begin(), others.end());
  EXPECT_EQ(std::adjacent_find(others.begin(), others.end()), others.end());
}

// Event ids carry the digits alone: by them a stream of an older class is told from one of today's (event_id_test.cc has the
// first two).
TEST(NumericsId, AnotherClassHasOtherDigits) {
  const auto of = [](const char* name) { return id_of([&](auto&, auto& parts) { parts.numerics_class = name; }); };
  EXPECT_EQ(of("cpu-1"), "cpu-1/bfloat16/bfloat16/c595da9a3de00c1d138953bdf45d1f46");
  EXPECT_EQ(of("cpu-2"), "cpu-2/bfloat16/bfloat16/cd82341991f72fa8ec4a5fdb08470b59");
  EXPECT_NE(of("sm90-1").substr(of("sm90-1").size() - 32), of("sm90-2").substr(of("sm90-2").size() - 32));
}

}  // namespace
}  // namespace herd::shard
