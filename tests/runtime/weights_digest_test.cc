// Every weight byte counts once, whatever the tensor-parallel degree; and what the digest underneath does to single words.

#include "runtime/model/weights_digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/source_digest.h"

namespace herd::model {
namespace {

using digest::Digest128;
using digest::Digester;

Digest128 digest_of(const std::vector<std::uint64_t>& words) {
  Digester digester("t");
  digester.add_row(std::as_bytes(std::span(words)));
  return digester.finish();
}

TEST(Digester, SeesEveryBitAndEveryPlace) {
  std::vector<std::uint64_t> words(67);
  std::mt19937_64 random(1);
  for (auto& word : words) word = random();
  std::set<Digest128> seen{digest_of(words)};
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (int bit = 0; bit < 64; ++bit) {
      words[i] ^= std::uint64_t{1} << bit;
      EXPECT_TRUE(seen.insert(digest_of(words)).second) << i << " " << bit;
      words[i] ^= std::uint64_t{1} << bit;
    }
    for (std::size_t other = 0; other < i; ++other) {
      std::swap(words[i], words[other]);
      EXPECT_TRUE(seen.insert(digest_of(words)).second) << i << " " << other;
      std::swap(words[i], words[other]);
    }
  }
}

// Signs of weights lie in two bits of each word: sets of them must not cancel.
TEST(Digester, SeesEverySetOfThreeSigns) {
  const std::vector<std::uint64_t> zeros(24);
  std::set<Digest128> seen;
  std::size_t sets = 0;
  for (std::size_t a = 0; a < 48; ++a)
    for (std::size_t b = a + 1; b < 48; ++b)
      for (std::size_t c = b + 1; c < 48; ++c) {
        auto words = zeros;
        for (const std::size_t sign : {a, b, c}) words[sign / 2] ^= std::uint64_t{1} << (31 + 32 * (sign % 2));
        seen.insert(digest_of(words));
        ++sets;
      }
  EXPECT_EQ(seen.size(), sets);
}

// Half of the digest's bits change with any one bit.
TEST(Digester, SpreadsTheLastBitsToo) {
  std::vector<std::uint64_t> words(8, 0);
  const Digest128 one = digest_of(words);
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (int bit = 0; bit < 64; ++bit) {
      words[i] ^= std::uint64_t{1} << bit;
      const Digest128 other = digest_of(words);
      const int changed = std::popcount(one.high ^ other.high) + std::popcount(one.low ^ other.low);
      EXPECT_GT(changed, 30) << i << " " << bit;  // 64 on average, deviation 5.7
      EXPECT_LT(changed, 98) << i << " " << bit;
      words[i] ^= std::uint64_t{1} << bit;
    }
  }
}

TEST(Digester, TellsNamesPartsAndLengthsApart) {
  const float zeros[16] = {};
  const auto of = [&](std::string_view name, std::uint64_t part, std::size_t count) {
    Digester digester(name, part);
    digester.add_row(std::as_bytes(std::span(zeros, count)));
    return digester.finish();
  };
  std::set<Digest128> seen;
  for (const char* name : {"", "a", "b", "ab", "ba"})
    for (std::uint64_t part = 0; part < 8; ++part)
      for (std::size_t count = 0; count <= 16; ++count) EXPECT_TRUE(seen.insert(of(name, part, count)).second);
}

// "Never changes": ids are compared between builds and machines.
TEST(Digester, GivesWhatItAlwaysGave) {
  Digester digester("model.norm.weight", 3);
  const float values[] = {1.0F, -2.0F, 0.5F};
  digester.add_row(std::as_bytes(std::span(values)));
  digester.add("text");
  EXPECT_EQ(digest::hex(digester.finish()), "cf5b58efdd9bf32f0fa390d56f7f17de");
}

// Grouped heads that no degree divides evenly, and every kind of tensor there is.
LlamaConfig uneven_model() {
  LlamaConfig config;
  config.hidden_size = 96;
  config.layers = 2;
  config.heads = 12;
  config.kv_heads = 4;
  config.head_dim = 32;
  config.intermediate_size = 330;
  config.vocab_size = 215;
  config.max_position_embeddings = 64;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  return config;
}

// Random weights; one element may have a bit flipped.
class Flipped final : public WeightSource {
 public:
  explicit Flipped(const LlamaConfig& config) : source_(random_source(config, 5)) {}
  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    names.emplace(name);
    if (Status status = source_->read_rows(name, row_begin, row_end, col_begin, col_end, out); !status.ok()) return status;
    if (name != tensor || row < row_begin || row >= row_end || col < col_begin || col >= col_end) return {};
    float& value = out[(row - row_begin) * (col_end - col_begin) + col - col_begin];
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    bits ^= 1U;
    std::memcpy(&value, &bits, 4);
    return {};
  }
  std::string tensor;
  std::int64_t row = 0, col = 0;
  mutable std::set<std::string> names;

 private:
  std::unique_ptr<WeightSource> source_;
};

std::vector<WeightsDigest> digests(const LlamaConfig& config, const WeightSource& source, int tp, bool together) {
  const auto device = make_cpu_device({CpuIsa::kAuto, 1}).value();
  std::vector<ShardPlan> plans;
  for (int rank = 0; rank < tp; ++rank) plans.push_back(plan_shard(config, tp, rank).value());
  LoadReport report;
  LoadOptions options;
  options.digest = true;
  if (together) {
    EXPECT_TRUE(load_weights(config, source, plans, *device, options, report).has_value());
  } else {
    for (const ShardPlan& plan : plans) EXPECT_TRUE(load_weights(config, source, {plan}, *device, options, report).has_value());
  }
  EXPECT_EQ(report.digests.size(), plans.size());
  return report.digests;
}

TEST(WeightsDigest, IsOneForEveryTensorParallelDegree) {
  for (const bool tied : {false, true}) {
    LlamaConfig config = uneven_model();
    config.tie_word_embeddings = tied;
    const Flipped source(config);
    const auto one = join(digests(config, source, 1, true)).value();
    for (const int tp : {2, 4})
      for (const bool together : {true, false}) EXPECT_EQ(join(digests(config, source, tp, together)).value(), one) << tp;
    EXPECT_EQ(digest_source(config, source).value(), one) << "read apart from loading";
    EXPECT_NE(join(digests(config, *random_source(config, 6), 1, true)).value(), one);
  }
}

TEST(WeightsDigest, IsNotMadeWhereNobodyAsksForIt) {
  const LlamaConfig config = uneven_model();
  const auto device = make_cpu_device({CpuIsa::kAuto, 1}).value();
  LoadReport report;
  ASSERT_TRUE(load_weights(config, Flipped(config), {plan_shard(config, 1, 0).value()}, *device, {}, report).has_value());
  EXPECT_TRUE(report.digests.empty());
}

// Larger than what is read at one time, so that pieces meet inside tensors and leaves.
TEST(WeightsDigest, OfASourceDoesNotDependOnHowItIsReadInPieces) {
  LlamaConfig config = uneven_model();
  config.vocab_size = 24'000;
  config.intermediate_size = 22'016;
  config.layers = 1;
  const Flipped source(config);
  EXPECT_EQ(digest_source(config, source).value(), join(digests(config, source, 2, false)).value());
}

// Fails from a tensor on.
class Unreadable final : public WeightSource {
 public:
  explicit Unreadable(const LlamaConfig& config) : source_(random_source(config, 5)) {}
  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    if (name.find("layers.1.mlp.down_proj") != std::string_view::npos) return missing("gone");
    return source_->read_rows(name, row_begin, row_end, col_begin, col_end, out);
  }

 private:
  std::unique_ptr<WeightSource> source_;
};

TEST(WeightsDigest, OfASourceThatFailsIsItsError) {
  const LlamaConfig config = uneven_model();
  const auto digest = digest_source(config, Unreadable(config));
  ASSERT_FALSE(digest.has_value());
  EXPECT_EQ(digest.error(), missing("gone"));
}

TEST(WeightsDigest, SeesOneFlippedBitInTheMiddleOfAnyTensor) {
  const LlamaConfig config = uneven_model();
  Flipped source(config);
  std::set<Digest128> seen{join(digests(config, source, 1, true)).value()};
  const std::set<std::string> names = source.names;
  EXPECT_EQ(names.size(), 3U + 2U * 16U);
  for (const std::string& name : names) {
    const bool vector = name.ends_with(".bias") || name.find("norm") != std::string::npos;
    source.tensor = name;
    source.row = vector ? 0 : 57;
    source.col = vector ? 41 : 83;
    const auto one = digest_source(config, source).value();
    EXPECT_TRUE(seen.insert(one).second) << name;
    EXPECT_EQ(join(digests(config, source, 2, false)).value(), one) << name;
  }
}

TEST(WeightsDigest, NamesTheRankWhoseEmbeddingIsAnother) {
  const LlamaConfig config = uneven_model();
  Flipped source(config);
  auto ranks = digests(config, source, 2, false);
  source.tensor = "model.embed_tokens.weight";
  source.row = 100;
  ranks[1] = digests(config, source, 2, false)[1];
  const auto joined = join(ranks);
  ASSERT_FALSE(joined.has_value());
  EXPECT_NE(joined.error().message().find("rank 1"), std::string::npos) << joined.error().message();
}

}  // namespace
}  // namespace herd::model
