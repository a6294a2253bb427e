// Weights in blocks from a source to packed memory: the bytes, in whatever way they get there, what is counted, what is named.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/packed_blocks.h"
#include "kernels/row_packer.h"
#include "runtime/model/source_digest.h"
#include "runtime/shard/numerics_id.h"
#include "tests/runtime/block_source.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::model {
namespace {

using shard::testing::cpu;
using testing::all_in;
using testing::block_config;
using testing::BlockSource;
using testing::mixed_format;
using testing::mixed_k_format;

std::unique_ptr<Device> three_threads() { return std::move(*make_cpu_device({CpuIsa::kAuto, 3})); }

struct Loaded {
  std::vector<std::shared_ptr<const LlamaWeights>> ranks;
  std::vector<ShardPlan> plans;
  LoadReport report;
};

Loaded load(const LlamaConfig& config, const WeightSource& source, int ranks, Device& device, LoadOptions options) {
  Loaded loaded;
  for (int rank = 0; rank < ranks; ++rank) loaded.plans.push_back(*plan_shard(config, ranks, rank));
  auto weights = load_weights(config, source, loaded.plans, device, options, loaded.report);
  EXPECT_TRUE(weights.has_value()) << weights.error().message();
  if (weights) loaded.ranks = std::move(*weights);
  return loaded;
}

LoadOptions in(WeightFormat weights, bool digest = false) { return {{weights, nullptr}, {}, digest}; }

// ---- the source of these tests ----

TEST(BlockSource, ABlockIsTheSameInWhateverWindowItIsRead) {
  const char* const name = "model.layers.0.mlp.down_proj.weight";
  constexpr std::int64_t kCols = 768;
  for (const WeightFormat format : kBlockFormats) {
    const BlockSource source(block_config(), all_in(format));
    std::vector<float> whole(static_cast<std::size_t>(2 * kCols)), window(50);
    ASSERT_TRUE(source.read_rows(name, 4, 6, 0, kCols, whole.data()).ok());
    ASSERT_TRUE(source.read_rows(name, 5, 6, 170, 220, window.data()).ok());
    for (std::size_t i = 0; i < window.size(); ++i) EXPECT_EQ(window[i], whole[static_cast<std::size_t>(kCols) + 170 + i]);
    std::vector<std::byte> stored(static_cast<std::size_t>(stored_row_bytes(format, 160, 224)));
    ASSERT_TRUE(source.read_stored_rows(name, 5, 6, 160, 224, stored.data()).ok());
    const std::int64_t first = 160 / block_elements(format) * block_elements(format);
    expand_row(format, stored.data(), 170 - first, 220 - first, window.data());
    for (std::size_t i = 0; i < window.size(); ++i) EXPECT_EQ(window[i], whole[static_cast<std::size_t>(kCols) + 170 + i]);
    double squares = 0.0;
    for (const float value : whole) squares += static_cast<double>(value) * value;
    const double size = std::sqrt(squares / 2);  // of 1 / sqrt(columns) elements: 1
    EXPECT_GT(size, 0.5) << format_name(format);
    EXPECT_LT(size, 2.0) << format_name(format);
  }
}

// ---- formats of matrices ----

TEST(BlockEncoding, IsWhatTheSourceStores) {
  const LlamaConfig config = block_config();
  const BlockSource source(config, mixed_format);
  const Encoding encoding = encoding_of(config, source, WeightFormat::kQ4_0);
  EXPECT_EQ(std::string(encoding.name()) + "/" + encoding.arithmetic(), "q4_0/int8");
  EXPECT_EQ(encoding.embedding(), WeightFormat::kQ8_0);
  EXPECT_EQ(encoding.head(), WeightFormat::kQ6_K);
  using enum WeightFormat;
  EXPECT_EQ(encoding.layer(0), (LayerFormats{kQ4_0, kQ8_0, kQ6_K, kQ4_1, kQ5_0, kQ5_1, kQ6_K}));
  EXPECT_EQ(encoding.layer(2), (LayerFormats{kBF16, kF16, kF32, kF32, kQ8_0, kBF16, kQ5_0}));
  const Encoding of_k = encoding_of(config, BlockSource(config, mixed_k_format), kQ4_K);
  EXPECT_EQ(std::string(of_k.name()) + "/" + of_k.arithmetic(), "q4_k/int8");
  EXPECT_EQ(of_k.layer(0), (LayerFormats{kQ4_K, kQ4_K, kQ6_K, kQ4_K, kQ4_K, kQ4_K, kQ6_K}));
  EXPECT_EQ(of_k.layer(2), (LayerFormats{kQ5_0, kQ8_0, kF16, kQ4_K, kQ5_K, kQ8_0, kQ4_K}));
  LlamaConfig tied = config;
  tied.tie_word_embeddings = true;
  EXPECT_EQ(encoding_of(tied, source, WeightFormat::kQ4_0).head(), WeightFormat::kQ8_0) << "the embedding's rows";
  for (const WeightFormat plain : {kF32, kBF16, kF16}) {
    const Encoding numbers = encoding_of(config, source, plain);
    EXPECT_EQ(numbers.layer(0), (LayerFormats{plain, plain, plain, plain, plain, plain, plain})) << "blocks are expanded";
  }
}

// ---- bytes ----

void expect_equal(const PackedMatrix& a, const PackedMatrix& b, const std::string& what) {
  ASSERT_EQ(a.format, b.format) << what;
  ASSERT_EQ(a.bytes(), b.bytes()) << what;
  EXPECT_EQ(a.chunks_before, b.chunks_before) << what;
  EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<std::size_t>(a.bytes())), 0) << what;
}

void expect_equal(const Loaded& a, const Loaded& b, const std::string& what) {
  ASSERT_EQ(a.ranks.size(), b.ranks.size());
  for (std::size_t rank = 0; rank < a.ranks.size(); ++rank) {
    const auto of_a = a.ranks[rank]->read_per_token(), of_b = b.ranks[rank]->read_per_token();
    ASSERT_EQ(of_a.size(), of_b.size()) << what;
    for (std::size_t i = 0; i < of_a.size(); ++i)
      expect_equal(of_a[i], of_b[i], what + ", rank " + std::to_string(rank) + ", matrix " + std::to_string(i));
    expect_equal(a.ranks[rank]->embedding, b.ranks[rank]->embedding, what + ", embedding");
  }
}

// Staged by one thread (reference), in order for a digest, or read by all threads.
TEST(BlockWeights, AreTheSameBytesInWhateverWayTheyAreLoaded) {
  const auto reference = cpu();
  const auto fast = three_threads();
  for (const bool tied : {false, true}) {
    LlamaConfig config = block_config();
    config.tie_word_embeddings = tied;
    const auto check = [&](const BlockSource& source, WeightFormat format) {
      for (const int ranks : {1, 2, 4, 8}) {
        const std::string what = std::string(format_name(format)) + ", " + std::to_string(ranks) + " ranks";
        const Loaded staged = load(config, source, ranks, *reference, in(format));
        expect_equal(staged, load(config, source, ranks, *fast, in(format)), what + ", by all threads");
        expect_equal(staged, load(config, source, ranks, *fast, in(format, true)), what + ", with a digest");
        EXPECT_TRUE(staged.report.non_finite.empty()) << staged.report.non_finite.front();
      }
    };
    check(BlockSource(config, mixed_format), WeightFormat::kQ4_0);
    check(BlockSource(config, mixed_k_format), WeightFormat::kQ4_K);
    if (tied) continue;
    for (const WeightFormat format : kBlockFormats) check(BlockSource(config, all_in(format)), format);
  }
}

// Every packed element stands for what the source says of it: rows and columns of a rank's slice, also of one that begins
// inside a block of 256.
class Unpacked {
 public:
  explicit Unpacked(const WeightSource& source) : source_(source) {}

  // Outputs [output, output + rows) of w are rows [row, row + rows) of the tensor, columns from `col` on.
  void expect(const PackedMatrix& w, std::int64_t output, std::string_view tensor, std::int64_t row, std::int64_t rows,
              std::int64_t col) const {
    if (!is_quantized(w.format)) return;
    std::vector<float> expected(static_cast<std::size_t>(w.k)), actual(expected.size());
    for (std::int64_t i = 0; i < rows; ++i) {
      ASSERT_TRUE(source_.read_rows(tensor, row + i, row + i + 1, col, col + w.k, expected.data()).ok());
      unpack_row(w, output + i, actual.data());
      ASSERT_EQ(actual, expected) << tensor << ", row " << row + i << " from column " << col;
    }
  }
  // Tensors on top of each other.
  void expect(const MatrixStack& stack, const std::vector<std::tuple<std::string, std::int64_t, std::int64_t>>& tensors) const {
    std::size_t matrix = 0;
    std::int64_t output = 0;
    for (const auto& [tensor, row, rows] : tensors) {
      if (output == stack.at(matrix).outputs) ++matrix, output = 0;
      EXPECT_EQ(stack.at(matrix).format, *source_.stored_format(tensor)) << tensor;
      expect(stack[matrix], output, tensor, row, rows, 0);
      output += rows;
    }
    EXPECT_EQ(matrix + 1, stack.size());
    EXPECT_EQ(output, stack[matrix].outputs);
  }

 private:
  const WeightSource& source_;
};

void expect_unpacked(const LlamaConfig& config, const BlockSource& source, const Loaded& loaded) {
  const Unpacked unpacked(source);
  const std::int64_t dim = config.head_dim, hidden = config.hidden_size;
  for (std::size_t rank = 0; rank < loaded.ranks.size(); ++rank) {
    const LlamaWeights& weights = *loaded.ranks[rank];
    const ShardPlan& plan = loaded.plans[rank];
    unpacked.expect(weights.embedding, 0, "model.embed_tokens.weight", 0, config.vocab_size, 0);
    unpacked.expect(weights.head, 0, "lm_head.weight", plan.vocab.begin, plan.vocab.size(), 0);
    for (int layer = 0; layer < config.layers; ++layer) {
      const LayerWeights& of = weights.layers[static_cast<std::size_t>(layer)];
      const auto name = [&](const char* part) { return "model.layers." + std::to_string(layer) + "." + part + ".weight"; };
      const std::int64_t kv = plan.kv_heads.begin * dim, kv_rows = plan.kv_heads.size() * dim;
      unpacked.expect(of.qkv, {{name("self_attn.q_proj"), plan.heads.begin * dim, plan.heads.size() * dim},
                               {name("self_attn.k_proj"), kv, kv_rows},
                               {name("self_attn.v_proj"), kv, kv_rows}});
      unpacked.expect(of.gate_up, {{name("mlp.gate_proj"), plan.ffn.begin, plan.ffn.size()},
                                   {name("mlp.up_proj"), plan.ffn.begin, plan.ffn.size()}});
      unpacked.expect(of.o, 0, name("self_attn.o_proj"), 0, hidden, plan.heads.begin * dim);
      unpacked.expect(of.down, 0, name("mlp.down_proj"), 0, hidden, plan.ffn.begin);
    }
  }
}

TEST(BlockWeights, StandForWhatTheSourceSaysAtEveryDegree) {
  const LlamaConfig config = block_config();
  const auto device = three_threads();
  std::map<WeightFormat, int> inside;  // slices that begin inside a block
  const auto check = [&](const BlockSource& source, WeightFormat format) {
    for (const int ranks : {1, 2, 4, 8}) {
      const Loaded loaded = load(config, source, ranks, *device, in(format));
      ASSERT_EQ(loaded.ranks.size(), static_cast<std::size_t>(ranks));
      expect_unpacked(config, source, loaded);
      for (const auto& weights : loaded.ranks)
        for (const LayerWeights& layer : weights->layers)
          for (const PackedMatrix* const w : {&layer.o, &layer.down}) inside[w->format] += w->chunks_before != 0 ? 1 : 0;
    }
  };
  check(BlockSource(config, mixed_format), WeightFormat::kQ4_0);
  check(BlockSource(config, mixed_k_format), WeightFormat::kQ4_K);
  for (const WeightFormat format : kBlockFormats)
    if (has_super_blocks(format)) check(BlockSource(config, all_in(format)), format);
  for (const WeightFormat format : kBlockFormats) EXPECT_EQ(inside[format] > 30, has_super_blocks(format)) << format_name(format);
}

TEST(BlockWeights, NeighboursOfOneFormatAreOneMatrix) {
  const LlamaConfig config = block_config();
  const auto device = cpu();
  const auto stacks = [&](auto format_of, WeightFormat format) {
    std::vector<std::size_t> sizes;
    const Loaded loaded = load(config, BlockSource(config, format_of), 1, *device, in(format));
    for (const LayerWeights& layer : loaded.ranks.front()->layers) {
      sizes.push_back(layer.qkv.size());
      sizes.push_back(layer.gate_up.size());
    }
    return sizes;
  };
  EXPECT_EQ(stacks(mixed_format, WeightFormat::kQ4_0), (std::vector<std::size_t>{3, 2, 2, 1, 3, 2}));
  EXPECT_EQ(stacks(mixed_k_format, WeightFormat::kQ4_K), (std::vector<std::size_t>{2, 1, 2, 2, 3, 2}));
  EXPECT_EQ(stacks(all_in(WeightFormat::kQ5_1), WeightFormat::kQ5_1), (std::vector<std::size_t>(6, 1)));
  EXPECT_EQ(stacks(mixed_format, WeightFormat::kBF16), (std::vector<std::size_t>(6, 1))) << "all turned into one type";
}

// ---- what is counted and named ----

TEST(BlockWeights, ProgressEndsAtItsTotalWhateverTheFormats) {
  const auto reference = cpu();
  const auto fast = three_threads();
  for (const bool tied : {false, true}) {
    LlamaConfig config = block_config();
    config.tie_word_embeddings = tied;
    for (Device* device : {reference.get(), fast.get()}) {
      for (const int ranks : {1, 4, 8}) {
        for (const bool digest : {false, true}) {
          std::vector<std::size_t> done;
          std::set<std::size_t> totals;
          LoadOptions options = in(WeightFormat::kQ4_0, digest);
          options.progress = [&](std::size_t now, std::size_t total) {
            done.push_back(now);
            totals.insert(total);
          };
          (void)load(config, BlockSource(config, mixed_format), ranks, *device, options);
          ASSERT_FALSE(done.empty());
          ASSERT_EQ(totals.size(), 1U);
          EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
          EXPECT_EQ(done.back(), *totals.begin()) << ranks << " ranks";
          EXPECT_LT(*std::find_if(done.begin(), done.end(), [](std::size_t now) { return now > 0; }), done.back());
        }
      }
    }
  }
}

TEST(BlockWeights, AScaleThatIsNotFiniteIsReportedByTensor) {
  const LlamaConfig config = block_config();
  const auto reference = cpu();
  const auto fast = three_threads();
  struct Case {
    const char* tensor;
    std::int64_t row, block;
    decltype(&mixed_format) format_of = mixed_format;
  };
  for (const Case& one : {Case{"model.layers.0.self_attn.v_proj.weight", 63, 0},   // q6_k
                          Case{"model.layers.0.mlp.down_proj.weight", 255, 2},     // q6_k, its last block
                          Case{"model.layers.0.self_attn.o_proj.weight", 0, 7},    // the minimum of q4_1
                          Case{"model.layers.0.mlp.up_proj.weight", 767, 0},       // of q5_1
                          Case{"model.layers.1.mlp.gate_proj.weight", 400, 3},     // q4_0, in one matrix with up
                          Case{"model.layers.2.mlp.gate_proj.weight", 17, 5},      // q8_0
                          Case{"model.layers.2.mlp.down_proj.weight", 100, 23},    // q5_0
                          Case{"model.layers.0.self_attn.o_proj.weight", 9, 0, mixed_k_format},    // dmin of q4_k
                          Case{"model.layers.2.mlp.down_proj.weight", 255, 2, mixed_k_format},     // its last one
                          Case{"model.layers.1.mlp.down_proj.weight", 100, 1, mixed_k_format},     // of q5_k
                          Case{"model.embed_tokens.weight", 159, 1}, Case{"lm_head.weight", 80, 0}}) {
    BlockSource source(config, one.format_of);
    source.spoilt = one.tensor;
    source.spoilt_row = one.row;
    source.spoilt_block = one.block;
    for (Device* device : {reference.get(), fast.get()}) {
      for (const bool digest : {false, true}) {
        for (const int ranks : {1, 8}) {
          const Loaded loaded = load(config, source, ranks, *device, in(WeightFormat::kQ4_0, digest));
          EXPECT_EQ(loaded.report.non_finite, std::vector<std::string>{one.tensor}) << ranks << " ranks";
        }
      }
    }
  }
}

// ---- names of the model ----

std::string id_of(const LlamaConfig& config, const WeightSource& source, int ranks, WeightFormat weights) {
  const auto device = three_threads();
  const auto digest = join(load(config, source, ranks, *device, in(weights, true)).report.digests);
  EXPECT_TRUE(digest.has_value());
  EXPECT_EQ(digest_source(config, source).value(), *digest) << "read apart from loading";
  return shard::numerics_id({device->numerics_class(), &config, encoding_of(config, source, weights), *digest});
}

TEST(BlockNumerics, TheIdIsOneForEveryRankCountAndSeesEveryBlock) {
  const LlamaConfig config = block_config();
  BlockSource source(config, mixed_format);
  const std::string one = id_of(config, source, 1, WeightFormat::kQ4_0);
  EXPECT_TRUE(one.starts_with("cpu-2/q4_0/int8/")) << one;
  for (const int ranks : {2, 4, 8}) EXPECT_EQ(id_of(config, source, ranks, WeightFormat::kQ4_0), one) << ranks;
  std::set<std::string> seen{one, id_of(config, source, 1, WeightFormat::kBF16), id_of(config, source, 1, WeightFormat::kQ4_1)};
  for (const char* tensor : {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.v_proj.weight",
                             "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight",
                             "model.layers.1.mlp.down_proj.weight", "model.embed_tokens.weight", "lm_head.weight"}) {
    source.flipped = tensor;
    EXPECT_TRUE(seen.insert(id_of(config, source, 2, WeightFormat::kQ4_0)).second) << tensor;
  }
  BlockSource of_k(config, mixed_k_format);
  const std::string k = id_of(config, of_k, 1, WeightFormat::kQ4_K);
  EXPECT_TRUE(k.starts_with("cpu-2/q4_k/int8/")) << k;
  for (const int ranks : {2, 4, 8}) EXPECT_EQ(id_of(config, of_k, ranks, WeightFormat::kQ4_K), k) << ranks;
  EXPECT_TRUE(seen.insert(k).second);
  for (const char* tensor : {"model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight",
                             "model.embed_tokens.weight"}) {
    of_k.flipped = tensor;
    EXPECT_TRUE(seen.insert(id_of(config, of_k, 2, WeightFormat::kQ4_K)).second) << tensor;
  }
}

}  // namespace
}  // namespace herd::model
