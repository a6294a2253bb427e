// Logits to tokens on a GPU: the bits of the reference operations, alone and put together (sampling_oracle.h).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/math.h"
#include "tests/kernels/cuda/cuda_fixture.h"
#include "tests/kernels/cuda/sampling_oracle.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

std::string text(const Candidate& c) {
  char buffer[80];
  std::snprintf(buffer, sizeof(buffer), "{%a, %a, %d}", static_cast<double>(c.score), static_cast<double>(c.logit),
                static_cast<int>(c.id));
  return buffer;
}
bool same(const Candidate& a, const Candidate& b) {
  return same_bits(a.score, b.score) && same_bits(a.logit, b.logit) && a.id == b.id;
}

template <class T, std::size_t kCount>
T one_of(Random& random, const T (&options)[kCount]) {
  return options[random.below(static_cast<std::int64_t>(kCount))];
}

// Kinds of rows beyond the kinds of values: those that sampling trips over.
enum class RowKind { kSpread, kPeaked, kFlat, kTies, kZeros, kMostlyMasked, kAllMasked, kTiny, kHuge, kNan, kInfinite };
constexpr int kRowKinds = 11;

std::vector<float> logits_of(Random& random, RowKind kind, std::int64_t columns) {
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (float& logit : row) {
    const float x = random.uniform() + random.uniform() + random.uniform();
    switch (kind) {
      case RowKind::kPeaked: logit = x * 30.0F; break;
      case RowKind::kFlat: logit = -2.5F; break;
      case RowKind::kTies: logit = static_cast<float>(random.below(5)); break;
      case RowKind::kZeros: logit = random.below(2) == 0 ? 0.0F : -0.0F; break;
      case RowKind::kMostlyMasked: logit = random.below(10) == 0 ? x : -math::kInf; break;
      case RowKind::kAllMasked: logit = -math::kInf; break;
      case RowKind::kTiny: logit = x * 0x1p-127F; break;
      case RowKind::kHuge: logit = x * 1e38F; break;
      default: logit = x * 4.0F; break;
    }
  }
  if (kind == RowKind::kNan && columns > 0) row[static_cast<std::size_t>(random.below(columns))] = math::kNan;
  if (kind == RowKind::kInfinite && columns > 0) row[static_cast<std::size_t>(random.below(columns))] = math::kInf;
  return row;
}

class CudaSampling : public CudaTest {};

TEST_F(CudaSampling, TheMaxAndSumOfALeafAreTheReferences) {
  Random random(21);
  constexpr std::int64_t kColumns = 1000;
  constexpr std::int64_t kStride = 1007;
  std::vector<float> logits;
  for (int kind = 0; kind < kRowKinds; kind++) {
    const std::vector<float> row = logits_of(random, static_cast<RowKind>(kind), kStride);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  const TensorView view{logits.data(), DType::kF32, kRowKinds, kColumns, kStride};
  const DeviceArray<float> dlogits(device(), logits);
  TensorView dview = view;
  dview.data = dlogits.data();
  struct Leaf {
    std::int64_t begin, end;
  };
  for (const Leaf& leaf : {Leaf{0, 1000}, Leaf{0, 1}, Leaf{0, 16}, Leaf{16, 31}, Leaf{32, 160}, Leaf{160, 289},
                           Leaf{992, 1007}, Leaf{48, 48}}) {
    std::vector<MaxSum> expected(kRowKinds);
    const DeviceArray<MaxSum> out(device(), std::size_t{kRowKinds});
    ops().leaf_max_sum(dview, leaf.begin, leaf.end, out.data());
    reference().leaf_max_sum(view, leaf.begin, leaf.end, expected.data());
    const std::vector<MaxSum> actual = out.host();
    for (std::size_t row = 0; row < kRowKinds; row++) {
      EXPECT_TRUE(same_bits(actual[row].max, expected[row].max) && same_bits(actual[row].sum, expected[row].sum))
          << "row " << row << " of [" << leaf.begin << ", " << leaf.end << "): {" << actual[row].max << ", "
          << actual[row].sum << "}, not {" << expected[row].max << ", " << expected[row].sum << "}";
    }
    EXPECT_TRUE(out.border_intact());
  }
}

TEST_F(CudaSampling, ADrawIsTheReferencesForEveryTemperatureFloorAndIdBase) {
  Random random(22);
  for (int kind = 0; kind < kRowKinds; kind++) {
    for (const std::int64_t columns : {0, 1, 7, 1024, 4099}) {
      const std::vector<float> logits = logits_of(random, static_cast<RowKind>(kind), columns);
      const DeviceArray<float> dlogits(device(), logits);
      for (const float temperature : {0.0F, 1e-4F, 0.7F, 40.0F}) {
        const DrawKey key{random.next(), static_cast<std::uint32_t>(random.below(9)),
                          static_cast<std::uint32_t>(random.below(9)), kDrawPurposeSample};
        const float floor = one_of(random, {-math::kInf, 0.0F, 2.0F});
        const std::int32_t id_base = one_of(random, {0, 16, 12345, 2000000002});
        Candidate expected;
        const DeviceArray<Candidate> out(device(), std::size_t{1});
        ops().draw(dlogits.data(), columns, id_base, temperature, floor, key, out.data());
        reference().draw(logits.data(), columns, id_base, temperature, floor, key, &expected);
        EXPECT_TRUE(same(out.host()[0], expected))
            << "kind " << kind << ", " << columns << " columns, temperature " << temperature << ", base " << id_base
            << ": " << text(out.host()[0]) << ", not " << text(expected);
      }
    }
  }
}

TEST_F(CudaSampling, TheBestColumnsAreTheReferencesHoweverManyAreAskedFor) {
  Random random(23);
  for (int kind = 0; kind < kRowKinds; kind++) {
    for (const std::int64_t columns : {0, 1, 33, 1000, 6001}) {
      const std::vector<float> logits = logits_of(random, static_cast<RowKind>(kind), columns);
      const DeviceArray<float> dlogits(device(), logits);
      for (const std::int32_t k : {1, 20, 256, 2049, 6500}) {
        const auto count = static_cast<std::size_t>(k);
        std::vector<Candidate> expected(count);
        const DeviceArray<Candidate> out(device(), count);
        ops().top_k(dlogits.data(), columns, 7, k, out.data());
        reference().top_k(logits.data(), columns, 7, k, expected.data());
        const std::vector<Candidate> actual = out.host();
        std::size_t place = 0;
        while (place < count && same(actual[place], expected[place])) place++;
        EXPECT_EQ(place, count) << "kind " << kind << ", " << columns << " columns: " << text(actual[place]) << ", not "
                                << text(expected[place]);
        EXPECT_TRUE(out.border_intact());
      }
    }
  }
}

// Steps of equal logits that fall together with the sizes of the runs the device sorts (2,048 wanted, 4,096 at most).
TEST_F(CudaSampling, TheBestColumnsOfStepsOfEqualLogitsAreTheReferences) {
  struct Step {
    int columns;
    float logit;
  };
  Random random(28);
  for (const std::vector<Step>& steps : std::vector<std::vector<Step>>{
           {{2040, 20.0F}, {4090, 3.0F}, {70, -1.0F}},
           {{2047, 20.0F}, {1, 19.0F}, {2048, 18.0F}, {1, -18.0F}},
           {{2048, 1.0F}, {4096, 0.5F}},
           {{4096, -0.0F}, {1, -1.0F}},
           {{1, 100.0F}, {4097, 99.0F}, {3, -99.0F}}}) {
    std::vector<float> logits;
    for (const Step& step : steps) logits.insert(logits.end(), static_cast<std::size_t>(step.columns), step.logit);
    for (std::size_t i = logits.size() - 1; i > 0; i--) {
      std::swap(logits[i], logits[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i) + 1))]);
    }
    const auto columns = static_cast<std::int64_t>(logits.size());
    const DeviceArray<float> dlogits(device(), logits);
    for (const std::int64_t k : {std::int64_t{2047}, std::int64_t{2048}, std::int64_t{2049}, columns}) {
      const auto count = static_cast<std::size_t>(k);
      std::vector<Candidate> expected(count);
      const DeviceArray<Candidate> out(device(), count);
      ops().top_k(dlogits.data(), columns, 0, static_cast<std::int32_t>(k), out.data());
      reference().top_k(logits.data(), columns, 0, static_cast<std::int32_t>(k), expected.data());
      const std::vector<Candidate> actual = out.host();
      std::size_t place = 0;
      while (place < count && same(actual[place], expected[place])) place++;
      EXPECT_EQ(place, count) << steps[0].columns << " columns at " << steps[0].logit << " first, k = " << k;
    }
  }
}

// ---- rows ----

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

TEST_F(CudaSampling, RowsWithEveryMixOfStagesGiveTheOraclesAnswers) {
  Random random(24);
  for (const std::int32_t vocab : {1, 16, 45, 500, 2049, 5003}) {
    expect_oracle(device(), reference(), random_batch(random, vocab, 3 * kRowKinds));
  }
}

TEST_F(CudaSampling, ManyRowsAtOnceGiveTheOraclesAnswers) {
  Random random(25);
  expect_oracle(device(), reference(), random_batch(random, 333, 300));
}

// The least top-p that keeps `winner`, as near as fp32 comes to it: the weights before it and one more, of all.
float top_p_at(const std::vector<float>& row, std::int32_t winner) {
  const float max = *std::max_element(row.begin(), row.end());
  const float last = row[static_cast<std::size_t>(winner)];
  std::uint64_t total = 0, before = 1;
  for (std::size_t id = 0; id < row.size(); id++) {
    const std::uint64_t weight = nucleus_weight(row[id], max);
    total += weight;
    if (row[id] > last || (row[id] == last && id < static_cast<std::size_t>(winner))) before += weight;
  }
  return static_cast<float>(static_cast<double>(before) / static_cast<double>(total));
}

// Tails whose small weights shift the sum by many ulps: an end of the sum that is a little off shows here.
TEST_F(CudaSampling, TopPCutsAtTheLastBitOfTheSum) {
  set_kernel_float_mode();
  Random random(29);
  Batch batch;
  batch.vocab = 1500;
  batch.stride = batch.vocab;
  int cuts = 0;
  for (int i = 0; i < 40; i++) {
    std::vector<float> row = logits_of(random, RowKind::kSpread, batch.vocab);
    for (float& logit : row) logit *= 3.0F;
    SampleRowParams params;
    params.active = 1;
    params.temperature = 1.0F;
    params.top_p = 0.99F;
    const std::int32_t best = drawn_token(reference(), row.data(), batch.vocab, SampleRowParams{});
    std::int32_t winner = best;
    while (winner == best) {
      params.seed = random.next();
      winner = drawn_token(reference(), row.data(), batch.vocab, params);
    }
    const float exact = top_p_at(row, winner);
    std::int32_t first = -1;
    for (int ulps = -2; ulps <= 2; ulps++) {
      params.top_p = float_of(bits_of(exact) + static_cast<std::uint32_t>(ulps));
      batch.params.push_back(params);
      batch.logits.insert(batch.logits.end(), row.begin(), row.end());
      const std::int32_t token = drawn_token(reference(), row.data(), batch.vocab, params);
      if (ulps == -2) first = token;
      if (ulps == 2 && token != first) cuts++;
    }
  }
  EXPECT_GT(cuts, 30);  // the winner is in at one end and out at the other
  expect_oracle(device(), reference(), batch);
}

// What a real vocabulary asks of the walk over sorted runs.
TEST_F(CudaSampling, TopPOverAWholeVocabularyGivesTheOraclesAnswers) {
  Random random(26);
  Batch batch = random_batch(random, 128256, is_emulated() ? 3 : 64);
  batch.edits.clear();
  for (SampleRowParams& params : batch.params) {
    params.active = 1;
    params.temperature = 1.0F;
    params.top_p = 0.97F;
    params.top_k = 0;
    params.min_p = 0.0F;
    params.logprobs = 5;  // the reference inserts one by one
    params.edit_begin = params.edit_end = 0;
  }
  expect_oracle(device(), reference(), batch);
}

TEST_F(CudaSampling, ARowsAnswerDoesNotDependOnTheRowsBesideIt) {
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
