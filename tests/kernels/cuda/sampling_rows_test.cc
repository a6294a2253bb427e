// Rows of logits to tokens on a GPU: the answers of sampling_oracle.h, bit for bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/math.h"
#include "kernels/nucleus.h"
#include "tests/kernels/cuda/cuda_fixture.h"
#include "tests/kernels/cuda/sampling_logits.h"
#include "tests/kernels/cuda/sampling_oracle.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

class CudaSampledRows : public CudaTest {};

// A batch on the host.
struct Batch {
  std::int32_t vocab = 0;
  std::int64_t stride = 0;
  std::vector<float> logits;
  std::vector<SampleRowParams> params;
  std::vector<LogitEdit> edits;

  [[nodiscard]] SampleBatch shape() const {
    SampleBatch batch;
    batch.vocab_size = vocab;
    batch.hash_logits = true;
    const int units = (vocab + 15) / 16;
    for (int leaf = 0; leaf <= kLeaves; leaf++) batch.vocab_leaf[leaf] = std::min(vocab, leaf * units / kLeaves * 16);
    return batch;
  }
};

void add_edits(Random& random, Batch& batch, SampleRowParams& params) {
  params.edit_begin = static_cast<std::int32_t>(batch.edits.size());
  if (random.below(2) == 0) {
    for (std::int64_t token = random.below(9); token < batch.vocab; token += 1 + random.below(batch.vocab / 8 + 1)) {
      LogitEdit edit;
      edit.token = static_cast<std::int32_t>(token);
      edit.flags = static_cast<std::uint32_t>(random.below(16));
      edit.bias = one_of(random, {-100.0F, 0.5F, 7.0F});
      edit.repetition_penalty = one_of(random, {0.5F, 1.0F, 1.7F});
      edit.count_penalty = one_of(random, {-2.0F, 0.25F, 30.0F});
      edit.raw = math::kNan;
      batch.edits.push_back(edit);
    }
  }
  params.edit_end = static_cast<std::int32_t>(batch.edits.size());
}

SampleRowParams random_params(Random& random, std::int32_t vocab) {
  SampleRowParams params;
  params.active = random.below(7) != 0 ? 1 : 0;
  params.seed = random.next();
  params.choice = static_cast<std::uint32_t>(random.below(5));
  params.output_index = static_cast<std::uint32_t>(random.below(5000));
  params.logprobs = one_of(random, {-1, 0, 5, 20});
  params.temperature = one_of(random, {0.0F, 0.02F, 0.8F, 1.0F, 2.0F, 50.0F});
  params.min_p = one_of(random, {0.0F, 0.0F, 0.02F, 0.9F, 1.0F});
  params.top_p = one_of(random, {1.0F, 1.0F, 0.999F, 0.9F, 0.3F});
  params.top_k = one_of(random, {0, 0, 2, 30, vocab / 2, vocab});
  return params;
}

// Every row's answer and its edited logits, beside the oracle's.
void expect_oracle(Device& device, Ops& reference, Batch batch) {
  SampleBatch shape = batch.shape();
  const DeviceArray<float> logits(device, batch.logits);
  const DeviceArray<SampleRowParams> params(device, batch.params);
  const DeviceArray<LogitEdit> edits(device, batch.edits);
  const DeviceArray<SampledRow> out(device, batch.params.size());
  const auto rows = static_cast<std::int64_t>(batch.params.size());
  shape.params = params.data();
  shape.edits = edits.data();
  shape.out = out.data();
  device.row_sampler()->sample_rows({logits.data(), DType::kF32, rows, batch.vocab, batch.stride}, shape);
  const std::vector<SampledRow> actual = out.host();
  const std::vector<float> edited = logits.host();

  shape.edits = batch.edits.data();
  for (std::size_t i = 0; i < actual.size(); i++) {
    float* row = batch.logits.data() + static_cast<std::int64_t>(i) * batch.stride;
    const SampledRow expected = sampled_row(reference, row, shape, batch.params[i]);
    SCOPED_TRACE("row " + std::to_string(i) + " of " + std::to_string(batch.vocab) + " logits");
    EXPECT_EQ(actual[i].token, expected.token);
    EXPECT_TRUE(same_bits(actual[i].logprob, expected.logprob)) << actual[i].logprob << ", not " << expected.logprob;
    EXPECT_EQ(actual[i].finite, expected.finite);
    EXPECT_EQ(actual[i].logits_hash, expected.logits_hash);
    EXPECT_EQ(actual[i].top_count, expected.top_count);
    for (int n = 0; n < kTopLogprobsMax; n++) {
      EXPECT_EQ(actual[i].top[n].id, expected.top[n].id) << "place " << n;
      EXPECT_TRUE(same_bits(actual[i].top[n].logprob, expected.top[n].logprob)) << "place " << n;
    }
  }
  std::size_t same_logits = 0;
  while (same_logits < edited.size() && same_bits(edited[same_logits], batch.logits[same_logits])) same_logits++;
  EXPECT_EQ(same_logits, edited.size()) << "a logit was changed that should not, or not as it should";
  EXPECT_TRUE(logits.border_intact() && out.border_intact() && params.border_intact());
}

Batch random_batch(Random& random, std::int32_t vocab, int rows) {
  Batch batch;
  batch.vocab = vocab;
  batch.stride = vocab + 3;
  for (int i = 0; i < rows; i++) {
    SampleRowParams params = random_params(random, vocab);
    std::vector<float> row = logits_of(random, static_cast<RowKind>(i % kRowKinds), batch.stride);
    for (std::int64_t c = vocab; c < batch.stride; c++) row[static_cast<std::size_t>(c)] = 1e30F;  // not to be read
    if (params.active == 0) row.assign(row.size(), math::kNan);
    batch.logits.insert(batch.logits.end(), row.begin(), row.end());
    add_edits(random, batch, params);
    batch.params.push_back(params);
  }
  return batch;
}

TEST_F(CudaSampledRows, RowsWithEveryMixOfStagesGiveTheOraclesAnswers) {
  Random random(24);
  for (const std::int32_t vocab : {1, 16, 45, 500, 2049, 5003}) {
    expect_oracle(device(), reference(), random_batch(random, vocab, 3 * kRowKinds));
  }
}

TEST_F(CudaSampledRows, ManyRowsAtOnceGiveTheOraclesAnswers) {
  Random random(25);
  expect_oracle(device(), reference(), random_batch(random, 333, 300));
}

// The least top-p that keeps `winner` of the first k of a row, as near as fp32 comes to it: the weights before it and one
// more, of all.
float top_p_at(const std::vector<float>& row, std::int32_t winner, std::int32_t k) {
  std::vector<std::int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](std::int32_t id) { return row[static_cast<std::size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  order.resize(static_cast<std::size_t>(k));
  std::uint64_t total = 0;
  std::uint64_t before = 0;
  for (const std::int32_t id : order) {
    if (id == winner) before = total + 1;
    total += nucleus_weight(logit(id), logit(order[0]));
  }
  return static_cast<float>(static_cast<double>(before) / static_cast<double>(total));
}

// The drawn token is the last one kept at one end and the first one left out at the other: a border that is off by one
// shows. A small vocabulary is listed and cut, of a larger one the border is looked for, in the largest among more ties than
// a run holds.
TEST_F(CudaSampledRows, TopPCutsBetweenTwoTokensWhereverTheyLie) {
  set_kernel_float_mode();
  Random random(29);
  int cuts = 0;
  for (const std::int32_t vocab : {1500, 2501, 9001}) {
    Batch batch;
    batch.vocab = vocab;
    batch.stride = vocab;
    for (int i = 0; i < 12; i++) {
      std::vector<float> row = logits_of(random, one_of(random, {RowKind::kSpread, RowKind::kFlat, RowKind::kTies}), vocab);
      for (float& logit : row) logit *= 1.5F;
      SampleRowParams params;
      params.active = 1;
      params.temperature = 1.0F;
      params.top_p = 0.99F;
      params.top_k = one_of(random, {vocab, vocab - 100});
      const std::int32_t best = drawn_token(reference(), row.data(), vocab, SampleRowParams{});
      std::int32_t winner = best;
      while (winner == best) {
        params.seed = random.next();
        winner = drawn_token(reference(), row.data(), vocab, params);
      }
      const float exact = top_p_at(row, winner, params.top_k);
      std::int32_t first = -1;
      for (int ulps = -2; ulps <= 2; ulps += 2) {
        params.top_p = float_of(bits_of(exact) + static_cast<std::uint32_t>(ulps));
        batch.params.push_back(params);
        batch.logits.insert(batch.logits.end(), row.begin(), row.end());
        const std::int32_t token = drawn_token(reference(), row.data(), vocab, params);
        if (ulps == -2) first = token;
        if (ulps == 2 && token != first) cuts++;
      }
    }
    expect_oracle(device(), reference(), batch);
  }
  EXPECT_GT(cuts, 30);
}

// Rows whose border is hard to find.
struct HardRow {
  const char* name;
  float temperature;
  float (*logit)(Random& random, std::int32_t id);
};
constexpr float kTinyTemperature = 0x1p-126F;  // quotients overflow from logits of 4 on
constexpr HardRow kHardRows[] = {
    {"all equal", 1.0F, [](Random&, std::int32_t) { return 3.0F; }},
    {"two values", 0.7F, [](Random& random, std::int32_t) { return random.below(2) == 0 ? 0.5F : -0.0F; }},
    {"more ties at the top than a run holds", 1.0F,
     [](Random& random, std::int32_t id) { return id % 2 == 0 ? 1.0F : random.uniform(); }},
    {"one outlier and a cluster", 1.0F,
     [](Random& random, std::int32_t id) { return id == 777 ? 9.0F : 0x1p-10F * random.uniform(); }},
    {"values of every scale", 1.0F,
     [](Random& random, std::int32_t) { return std::ldexp(random.uniform(), -static_cast<int>(random.below(120))); }},
    {"masked by large numbers", 1.0F,
     [](Random& random, std::int32_t id) { return id % 3 == 0 ? -1e38F : 3.0F * random.uniform(); }},
    {"few that are finite", 1.0F,
     [](Random& random, std::int32_t id) { return id % 701 == 3 ? 2.0F * random.uniform() : -math::kInf; }},
    {"flattened by heat", 60.0F, [](Random& random, std::int32_t) { return 5.0F * random.uniform(); }},
    {"quotients of both infinities", kTinyTemperature, [](Random& random, std::int32_t) { return 9.0F * random.uniform(); }},
    {"quotients of minus infinity alone", kTinyTemperature,
     [](Random& random, std::int32_t) { return -9.0F + random.uniform(); }},
};

void add_row(Batch& batch, Random& random, const HardRow& hard, const SampleRowParams& params) {
  for (std::int32_t id = 0; id < batch.vocab; id++) batch.logits.push_back(hard.logit(random, id));
  batch.params.push_back(params);
  batch.params.back().active = 1;
  batch.params.back().seed = random.next();
  batch.params.back().temperature = hard.temperature;
}

struct Mix {
  float min_p;
  std::int32_t top_k;
};
constexpr Mix kMixes[] = {{0.0F, 0}, {0.3F, 0}, {0.0F, 5000}, {0.01F, 4000}, {0.2F, 50}};
constexpr float kTopPs[] = {0.0F, 1e-6F, 0.4F, 0.9F, 0x1.fffffep-1F};  // the last: the one before 1

TEST_F(CudaSampledRows, FiltersOfRowsThatAreHardToCutGiveTheOraclesAnswers) {
  Random random(30);
  Batch batch;
  batch.vocab = 9001;
  batch.stride = batch.vocab;
  std::size_t mix = 0;
  for (const HardRow& hard : kHardRows) {
    for (const float top_p : kTopPs) {
      SampleRowParams params;
      params.top_p = top_p;
      params.min_p = kMixes[mix % std::size(kMixes)].min_p;
      params.top_k = kMixes[mix++ % std::size(kMixes)].top_k;
      add_row(batch, random, hard, params);
    }
    mix++;  // so that each mix meets each top-p
  }
  expect_oracle(device(), reference(), batch);
}

// What a real vocabulary asks of the passes over it: a model's logits, with their likeliest; equal ones, ties,
// and values of every scale.
TEST_F(CudaSampledRows, TopPOverAWholeVocabularyGivesTheOraclesAnswers) {
  Random random(26);
  Batch batch;
  batch.vocab = 128256;
  batch.stride = batch.vocab;
  const HardRow model = {"a model's", 1.0F, [](Random& of, std::int32_t) {
    return 4.0F * (of.uniform() + of.uniform() + of.uniform());
  }};
  SampleRowParams params;
  params.logprobs = 5;  // the reference inserts one by one
  params.top_p = 0.97F;
  add_row(batch, random, model, params);
  params.logprobs = -1;
  params.top_k = 60000;
  add_row(batch, random, model, params);
  params.top_k = 0;
  for (const std::size_t hard : {0, 1, 4}) add_row(batch, random, kHardRows[hard], params);
  expect_oracle(device(), reference(), batch);
}

TEST_F(CudaSampledRows, ARowsAnswerDoesNotDependOnTheRowsBesideIt) {
  Random random(27);
  Batch batch = random_batch(random, 777, 2 * kRowKinds);
  const SampleBatch shape = batch.shape();
  const auto sample = [&](std::size_t begin, std::size_t count) {
    const auto from = batch.logits.begin() + static_cast<std::int64_t>(begin) * batch.stride;
    const DeviceArray<float> logits(device(), std::vector<float>(from, from + static_cast<std::int64_t>(count) * batch.stride));
    const DeviceArray<SampleRowParams> params(
        device(), std::span<const SampleRowParams>(batch.params).subspan(begin, count));
    const DeviceArray<LogitEdit> edits(device(), batch.edits);
    const DeviceArray<SampledRow> out(device(), count);
    SampleBatch given = shape;
    given.params = params.data();
    given.edits = edits.data();
    given.out = out.data();
    sampler().sample_rows({logits.data(), DType::kF32, static_cast<std::int64_t>(count), batch.vocab, batch.stride}, given);
    return out.host();
  };
  const std::vector<SampledRow> together = sample(0, batch.params.size());
  for (std::size_t row = 0; row < together.size(); row++) {
    const std::vector<SampledRow> alone = sample(row, 1);
    EXPECT_EQ(std::memcmp(&alone[0], &together[row], sizeof(SampledRow)), 0) << "row " << row;
  }
}

}  // namespace
}  // namespace herd
