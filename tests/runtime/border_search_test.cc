// Where filters end in a row: as an independent program computed it from the rule, on every instruction set; and any number of
// ranks draws from exactly those columns.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/local_collective.h"
#include "kernels/philox.h"
#include "kernels/splitmix64.h"
#include "runtime/sampling/border_search.h"
#include "runtime/sampling/sampler.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::sampling {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

enum class Kind { kBell, kTies, kEqual, kOne, kPeak, kCluster, kHuge, kMasked };

struct Case {
  Kind kind;
  std::int32_t vocab;
  std::uint64_t seed;
  float temperature, min_p;
  std::int32_t top_k;
  float top_p;
  std::int32_t kept;  // so many columns,
  std::int32_t last;  // of which this comes last in the order of the filters

  [[nodiscard]] step::SamplingParams params() const {
    step::SamplingParams params;
    params.temperature = temperature;
    params.min_p = min_p;
    params.top_k = top_k;
    params.top_p = top_p;
    return params;
  }
  [[nodiscard]] std::string name() const {
    return "kind " + std::to_string(static_cast<int>(kind)) + " of " + std::to_string(vocab) + ", temperature " +
           std::to_string(temperature) + ", min_p " + std::to_string(min_p) + ", top_k " + std::to_string(top_k) + ", top_p " +
           std::to_string(top_p);
  }
};

constexpr Case kCases[] = {
#include "tests/golden/nucleus_borders.inc"
};

// The rows that make_nucleus_borders.py made.
std::vector<float> row_of(const Case& c) {
  std::vector<float> row(static_cast<std::size_t>(c.vocab));
  for (std::size_t id = 0; id < row.size(); ++id) {
    const std::uint64_t word = splitmix64_finish((id + (c.seed << 32)) * kSplitMix64Step);
    const auto bell = static_cast<std::int64_t>((word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48)) - 131070;
    row[id] = static_cast<float>(bell) * 0x1p-14F;
    if (c.kind == Kind::kTies) row[id] = static_cast<float>(bell >> 12) * 0.25F;
    if (c.kind == Kind::kEqual) row[id] = 1.5F;
    if (c.kind == Kind::kOne) row[id] = -kInf;
    if (c.kind == Kind::kCluster) row[id] = -5.0F + static_cast<float>(bell & 4095) * 0x1p-20F;
    if (c.kind == Kind::kHuge) row[id] *= 0x1p112F;
    if (c.kind == Kind::kMasked && id % 3 == 0) row[id] = -1e30F;
  }
  if (c.kind == Kind::kOne) row[row.size() / 3] = -2.0F;
  if (c.kind == Kind::kPeak) row[row.size() / 2] = 20.0F;
  if (c.kind == Kind::kCluster) row.back() = 0.0F;
  return row;
}

// Whether `id` comes no later than the last column kept.
bool keeps(const Case& c, const std::vector<float>& row, std::size_t id) {
  const auto last = static_cast<std::size_t>(c.last);
  return row[id] / c.temperature > -kInf && (row[id] > row[last] || (row[id] == row[last] && id <= last));
}

// As one rank does it.
Border search(const Case& c, std::vector<float>& row, Ops& ops) {
  LogitRange range;
  const auto columns = static_cast<std::int64_t>(row.size());
  ops.logit_range({row.data(), DType::kF32, 1, columns, columns}, &range);
  BorderSearch search(c.params(), range);
  EXPECT_TRUE(search.anybody());
  std::vector<NucleusBin> bins(kNucleusBins);
  ops.weigh(row.data(), columns, search.scale(), bins.data());
  if (!search.weigh(bins.data())) return {};
  std::vector<std::int32_t> places(row.size());
  std::vector<float> logits(row.size());
  ops.select(row.data(), columns, search.scale(), search.first(), search.last(), places.data(), logits.data());
  std::size_t count = 0;
  for (std::int32_t bin = search.first(); bin <= search.last(); ++bin) count += bins[static_cast<std::size_t>(bin)].columns;
  logits.resize(count);
  return search.find(ops, logits);
}

TEST(BorderSearch, FindsWhatTheRuleSays) {
  set_kernel_float_mode();
  int cut = 0;
  for (const CpuIsa isa : {CpuIsa::kReference, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
    const auto device = make_cpu_device({.isa = isa, .threads = 2});
    if (!device) continue;  // another machine's
    for (const Case& c : kCases) {
      SCOPED_TRACE((*device)->description() + ": " + c.name());
      std::vector<float> row = row_of(c);
      const Border border = search(c, row, (*device)->ops());
      if (border.logit == -kInf) continue;  // nothing is cut but what min-p cuts, or what cannot win
      ++cut;
      EXPECT_EQ(border.logit, row[static_cast<std::size_t>(c.last)]);
      std::uint64_t above = 0;
      std::uint64_t equals = 0;
      for (std::size_t id = 0; id < row.size(); ++id) {
        if (row[id] > border.logit) ++above;
        if (row[id] == border.logit && id <= static_cast<std::size_t>(c.last)) ++equals;
      }
      EXPECT_EQ(border.equals, equals);
      EXPECT_EQ(above + border.equals, static_cast<std::uint64_t>(c.kept));
    }
  }
  EXPECT_GT(cut, 200);
}

step::SampledToken sample(const Case& c, const std::vector<float>& row, std::uint64_t seed, int tp) {
  auto group = make_local_group(tp);
  std::vector<step::SampledToken> tokens(static_cast<std::size_t>(tp));
  model::LlamaConfig config = shard::testing::tiny_config();
  config.vocab_size = c.vocab;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.intermediate_size = 512;
  const auto run = [&](int rank) {
    const auto at = static_cast<std::size_t>(rank);
    set_kernel_float_mode();
    const auto device = shard::testing::cpu(CpuIsa::kAuto);
    const auto plan = model::plan_shard(config, tp, rank);
    ASSERT_TRUE(plan);
    const auto stride = round_up(plan->vocab.size(), 16);
    std::vector<float> slice(static_cast<std::size_t>(stride));
    std::copy(row.begin() + plan->vocab.begin, row.begin() + plan->vocab.end, slice.begin());
    step::SamplingParams params = c.params();
    params.seed = seed;
    Sampler sampler(*plan, c.vocab, *device, *group[at], false);
    tokens[at] = sampler.sample({slice.data(), DType::kF32, 1, plan->vocab.size(), stride},
                                {SampleRow{SequenceId{1}, 0, &params, nullptr, nullptr}}).front();
    EXPECT_TRUE(std::equal(slice.begin(), slice.begin() + plan->vocab.size(), row.begin() + plan->vocab.begin))
        << "a draw leaves the row as the edits made it";
  };
  std::vector<std::thread> ranks;
  for (int rank = 1; rank < tp; ++rank) ranks.emplace_back(run, rank);
  run(0);
  for (std::thread& rank : ranks) rank.join();
  for (const step::SampledToken& token : tokens) EXPECT_EQ(token, tokens.front());
  return tokens.front();
}

// The winner among exactly the columns of the golden file.
TokenId drawn(const Case& c, const std::vector<float>& row, std::uint64_t seed) {
  TokenId best = -1;
  float highest = -kInf;
  for (std::size_t id = 0; id < row.size(); ++id) {
    if (!keeps(c, row, id)) continue;
    const float score = row[id] / c.temperature + gumbel_of(draw_word(seed, 0, 0, kDrawPurposeSample, static_cast<std::uint32_t>(id)));
    if (best < 0 || score > highest) {
      best = static_cast<TokenId>(id);
      highest = score;
    }
  }
  return best;
}

TEST(BorderSearch, AnyNumberOfRanksDrawsFromThoseColumns) {
  set_kernel_float_mode();
  for (const Case& c : kCases) {
    if (c.vocab > 6000 && c.top_k > 0) continue;  // for time's sake
    SCOPED_TRACE(c.name());
    const std::vector<float> row = row_of(c);
    for (const int tp : {1, 2, 4, 8}) {
      for (std::uint64_t seed = 0; seed < (c.vocab > 6000 ? 1U : 3U); ++seed) {
        const step::SampledToken token = sample(c, row, seed, tp);
        EXPECT_TRUE(token.finite);
        EXPECT_EQ(token.token, drawn(c, row, seed)) << "TP " << tp << ", seed " << seed;
      }
    }
  }
}

TEST(BorderSearch, NobodyTakesPartAtMinusInfinity) {
  Case c{Kind::kEqual, 331, 0, 1e-5F, 0.0F, 0, 0.9F, 0, -1};
  for (const float all : {-kInf, -3e38F}) {  // -3e38 / 1e-5 is -inf
    for (const auto& [top_k, top_p] : std::vector<std::pair<std::int32_t, float>>{{0, 0.9F}, {20, 1.0F}, {0, 1.0F}}) {
      c.top_k = top_k;
      c.top_p = top_p;
      EXPECT_FALSE(sample(c, std::vector<float>(331, all), 1, 2).finite) << all << ' ' << top_k << ' ' << top_p;
    }
  }
}

}  // namespace
}  // namespace herd::sampling
