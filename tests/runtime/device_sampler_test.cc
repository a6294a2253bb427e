// Sampling on a GPU against the Sampler: the same tokens, log-probabilities, hashes and edited rows, bit for bit. Runs
// on what load_gpu_backend() finds: the emulated library in ctest, the real one on a GPU.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/local_collective.h"
#include "runtime/sampling/row_params.h"
#include "runtime/sampling/sampler.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace herd::sampling {
namespace {

using herd::testing::DeviceArray;
using herd::testing::Random;
using herd::testing::same_bits;
using step::SampledToken;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kPoison = 1e30F;  // of columns beyond the row: whoever reads them finds the best token there

// What one row of a batch asks for.
struct Request {
  step::SamplingParams params;
  std::uint32_t output_index = 0;
  std::vector<TokenId> stop_ids;
  TokenCounts counts;
  std::vector<float> logits;
  bool active = true;

  [[nodiscard]] SampleRow row() const { return {SequenceId{1}, output_index, &params, &stop_ids, &counts}; }
};

struct Answers {
  std::vector<step::SampledToken> tokens;  // of the active rows
  std::vector<float> rows;           // of the active rows, after the stages
};

model::ShardPlan whole_plan(std::int32_t vocab) {
  model::LlamaConfig config;
  config.hidden_size = 512;
  config.layers = 1;
  config.heads = 8;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.intermediate_size = 512;
  config.vocab_size = vocab;
  auto plan = model::plan_shard(config, 1, 0);
  EXPECT_TRUE(plan);
  return *plan;
}

Answers sample_on_cpu(const std::vector<Request>& requests, std::int32_t vocab, CpuIsa isa) {
  set_kernel_float_mode();
  auto device = make_cpu_device({.isa = isa, .threads = 1});
  EXPECT_TRUE(device);
  auto group = make_local_group(1);
  std::vector<SampleRow> rows;
  Answers answers;
  for (const Request& request : requests) {
    if (!request.active) continue;
    rows.push_back(request.row());
    answers.rows.insert(answers.rows.end(), request.logits.begin(), request.logits.end());
  }
  const TensorView view{answers.rows.data(), DType::kF32, static_cast<std::int64_t>(rows.size()), vocab, vocab};
  Sampler sampler(whole_plan(vocab), vocab, **device, *group[0], true);
  answers.tokens = sampler.sample(view, rows);
  return answers;
}

class DeviceSampler : public herd::testing::CudaTest {
 protected:
  // All rows in one batch, the stride larger than the row.
  Answers sample_on_device(const std::vector<Request>& requests, std::int32_t vocab) {
    const auto stride = static_cast<std::size_t>(vocab) + 5;
    std::vector<float> logits(stride * requests.size(), kPoison);
    std::vector<SampleRowParams> params(requests.size());
    std::vector<LogitEdit> edits;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const Request& request = requests[i];
      std::copy(request.logits.begin(), request.logits.end(), logits.begin() + static_cast<std::ptrdiff_t>(i * stride));
      if (request.active) params[i] = row_params(request.row(), vocab, edits);
    }
    SampleBatch batch;
    const DeviceArray<SampleRowParams> dparams(device(), params);
    const DeviceArray<LogitEdit> dedits(device(), edits);
    const DeviceArray<SampledRow> dsampled(device(), requests.size());
    const DeviceArray<float> dlogits(device(), logits);
    batch.params = dparams.data();
    batch.edits = dedits.data();
    batch.out = dsampled.data();
    batch.vocab_size = vocab;
    batch.hash_logits = true;
    const auto border = model::leaf_borders(vocab, static_cast<int>(kPanelOutputs));
    std::copy(border.begin(), border.end(), batch.vocab_leaf);
    const TensorView view{dlogits.data(), DType::kF32, static_cast<std::int64_t>(requests.size()), vocab,
                          static_cast<std::int64_t>(stride)};
    sampler().sample_rows(view, batch);
    EXPECT_TRUE(dsampled.border_intact());
    return collect(requests, vocab, stride, dsampled.host(), dlogits.host());
  }

  void expect_same(const std::vector<Request>& requests, std::int32_t vocab, CpuIsa isa = CpuIsa::kReference) {
    const Answers expected = sample_on_cpu(requests, vocab, isa);
    const Answers actual = sample_on_device(requests, vocab);
    ASSERT_EQ(actual.tokens.size(), expected.tokens.size());
    for (std::size_t i = 0; i < expected.tokens.size(); ++i) {
      SCOPED_TRACE("vocabulary " + std::to_string(vocab) + ", active row " + std::to_string(i));
      expect_same_token(expected.tokens[i], actual.tokens[i]);
    }
    ASSERT_EQ(actual.rows.size(), expected.rows.size());
    for (std::size_t i = 0; i < expected.rows.size(); ++i)
      ASSERT_TRUE(same_bits(actual.rows[i], expected.rows[i])) << "edited logit " << i % static_cast<std::size_t>(vocab)
                                                               << ": " << actual.rows[i] << ", not " << expected.rows[i];
  }

 private:
  static void expect_same_token(const step::SampledToken& expected, const step::SampledToken& actual) {
    EXPECT_EQ(actual.token, expected.token);
    EXPECT_EQ(actual.finite, expected.finite);
    EXPECT_TRUE(same_bits(actual.logprob, expected.logprob)) << actual.logprob << ", not " << expected.logprob;
    EXPECT_EQ(actual.logits_hash, expected.logits_hash);
    ASSERT_EQ(actual.top.size(), expected.top.size());
    for (std::size_t n = 0; n < expected.top.size(); ++n) {
      EXPECT_EQ(actual.top[n].token, expected.top[n].token) << "place " << n;
      EXPECT_TRUE(same_bits(actual.top[n].logprob, expected.top[n].logprob)) << "place " << n;
    }
  }

  // The answers of active rows; inactive ones are checked here: all zeros, logits as they were.
  static Answers collect(const std::vector<Request>& requests, std::int32_t vocab, std::size_t stride,
                         const std::vector<SampledRow>& sampled, const std::vector<float>& logits) {
    Answers answers;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const float* row = logits.data() + i * stride;
      for (std::size_t c = static_cast<std::size_t>(vocab); c < stride; ++c) EXPECT_EQ(row[c], kPoison);
      const SampledRow& out = sampled[i];
      if (!requests[i].active) {
        const std::vector<char> zeros(sizeof(SampledRow), 0);
        EXPECT_EQ(std::memcmp(&out, zeros.data(), zeros.size()), 0) << "inactive row " << i;
        EXPECT_EQ(std::memcmp(row, requests[i].logits.data(), requests[i].logits.size() * sizeof(float)), 0);
        continue;
      }
      step::SampledToken token;
      token.token = out.token;
      token.logprob = out.logprob;
      token.finite = out.finite != 0;
      token.logits_hash = out.logits_hash;
      EXPECT_GE(out.top_count, 0);
      EXPECT_LE(out.top_count, kTopLogprobsMax);
      for (std::int32_t n = 0; n < std::min(out.top_count, kTopLogprobsMax); ++n)
        token.top.push_back({out.top[n].id, out.top[n].logprob});
      answers.tokens.push_back(token);
      answers.rows.insert(answers.rows.end(), row, row + vocab);
    }
    return answers;
  }
};

// ---- rows and requests ----

float normal(Random& random) {  // near enough
  float sum = 0.0F;
  for (int i = 0; i < 6; ++i) sum += random.uniform();
  return sum * 0.7F;
}

constexpr int kRowKinds = 15;

std::vector<float> row_of_kind(Random& random, int kind, std::int32_t vocab) {
  std::vector<float> row(static_cast<std::size_t>(vocab));
  for (float& logit : row) {
    const float x = normal(random);
    switch (kind) {
      case 1: logit = x * 12.0F; break;                                           // peaked
      case 2: logit = 3.0F; break;                                                // flat
      case 3: logit = std::round(x * 2.0F); break;                                // few values: ties everywhere
      case 4: logit = random.below(20) == 0 ? x : -kInf; break;                   // grammar-like
      case 5: logit = random.below(2) == 0 ? 0.0F : -0.0F; break;                 // zeros of both signs
      case 6: logit = x * 1e38F; break;                                           // quotients overflow
      case 7: logit = x * 0x1p-128F; break;                                       // subnormal: all count as zeros
      case 8: logit = x * 0.001F - 50.0F; break;                                  // nearly flat, far from zero
      case 9: logit = random.below(3) == 0 ? -3e38F : x * 40.0F; break;           // weights of zero
      default: logit = x * 3.0F; break;
    }
  }
  const auto any = [&] { return static_cast<std::size_t>(random.below(vocab)); };
  if (kind == 10) row[any()] = kNan;
  if (kind == 11) row[any()] = kInf;
  if (kind == 12) row.assign(row.size(), -kInf);
  if (kind == 13) row.assign(row.size(), -kInf), row[any()] = -0.0F;  // one token alone, its logprob a zero
  if (kind == 14) row[any()] = 60.0F;                                 // one token far ahead
  return row;
}

template <class T, std::size_t kCount>
T one_of(Random& random, const T (&options)[kCount]) {
  return options[random.below(static_cast<std::int64_t>(kCount))];
}

void add_edits(Random& random, Request& request, std::int32_t vocab) {
  const auto token = [&] { return static_cast<TokenId>(random.below(vocab)); };
  step::SamplingParams& params = request.params;
  if (random.below(3) == 0) {
    TokenId id = token() % 7;  // every token once
    for (; id < vocab && params.logit_bias.size() < 40; id += 1 + token() % 50)
      params.logit_bias.emplace_back(id, one_of(random, {-100.0F, -1.5F, 0.25F, 3.0F, 100.0F}));
  }
  if (random.below(3) == 0) {
    params.repetition_penalty = one_of(random, {1.0F, 0.5F, 1.3F, 100.0F});
    params.presence_penalty = one_of(random, {0.0F, 0.7F, -2.0F});
    params.frequency_penalty = one_of(random, {0.0F, 0.3F, 2.0F});
  }
  for (int i = 0; i < 30; ++i) request.counts.add_prompt(token());
  for (int i = 0; i < 30; ++i) request.counts.add_emitted(token() % 20);
  if (random.below(4) == 0) {
    params.min_tokens = request.output_index + 1;
    for (int i = 0; i < 5; ++i) request.stop_ids.push_back(token());
  }
}

Request random_request(Random& random, std::int32_t vocab, int kind) {
  Request request;
  step::SamplingParams& params = request.params;
  params.seed = random.next();
  params.choice = static_cast<std::uint32_t>(random.below(4));
  request.output_index = static_cast<std::uint32_t>(random.below(1000));
  params.temperature = one_of(random, {0.0F, 0x1p-126F, 1e-4F, 0.05F, 0.7F, 1.0F, 1.0F, 3.0F, 100.0F});
  params.min_p = one_of(random, {0.0F, 0.0F, 1e-6F, 0.05F, 0.6F, 1.0F});
  params.top_p = one_of(random, {1.0F, 1.0F, 0x1.fffffep-1F, 0.9999F, 0.95F, 0.5F, 1e-6F, 0.0F});
  params.top_k = one_of(random, {0, 0, -1, 1, 2, 40, 300, vocab - 1, vocab, vocab + 5});
  params.logprobs = one_of(random, {-1, 0, 5, 20});
  if (random.below(2) == 0) add_edits(random, request, vocab);
  request.logits = row_of_kind(random, kind, vocab);
  request.active = random.below(6) != 0;
  if (!request.active) request.logits.assign(request.logits.size(), kNan);  // not to be read
  return request;
}

TEST_F(DeviceSampler, RandomRequestsOverRowsOfEveryKindGiveTheSamplersBits) {
  Random random(5);
  for (const std::int32_t vocab : {16, 17, 31, 100, 331, 1024, 1537}) {
    std::vector<Request> requests;
    for (int round = 0; round < 8; ++round)
      for (int kind = 0; kind < kRowKinds; ++kind) requests.push_back(random_request(random, vocab, kind));
    expect_same(requests, vocab);
    if (HasFatalFailure()) return;
  }
}

TEST_F(DeviceSampler, EveryFilterAloneAndWithEveryOtherGivesTheSamplersBits) {
  Random random(6);
  constexpr std::int32_t kVocab = 777;
  std::vector<Request> requests;
  for (const float temperature : {0.0F, 0.6F, 1.5F}) {
    for (const float min_p : {0.0F, 0.1F}) {
      for (const float top_p : {1.0F, 0.8F}) {
        for (const std::int32_t top_k : {0, 50}) {
          Request request;
          request.params.seed = random.next();
          request.params.temperature = temperature;
          request.params.min_p = min_p;
          request.params.top_p = top_p;
          request.params.top_k = top_k;
          request.params.logprobs = 5;
          request.logits = row_of_kind(random, 0, kVocab);
          requests.push_back(request);
        }
      }
    }
  }
  expect_same(requests, kVocab);
}

// 5,000 columns are more than what is sorted at once: the borders of filters that keep most of them are looked for.
TEST_F(DeviceSampler, FiltersThatKeepMoreThanIsSortedGiveTheSamplersBits) {
  Random random(7);
  constexpr std::int32_t kVocab = 4999;
  std::vector<Request> requests;
  for (const int kind : {0, 2, 3, 5, 8, 9}) {
    Request request;
    request.params.seed = random.next();
    request.params.temperature = kind == 8 ? 100.0F : 1.0F;
    request.params.top_p = kind % 2 == 0 ? 0.97F : 0.7F;
    request.params.logprobs = 20;
    request.logits = row_of_kind(random, kind, kVocab);
    requests.push_back(request);
    request.params.top_k = 4500;
    requests.push_back(request);
    request.params.min_p = 0.02F;
    requests.push_back(request);
    request.params.top_p = 1.0F;
    requests.push_back(request);
  }
  expect_same(requests, kVocab);
}

TEST_F(DeviceSampler, TopPOverAWholeVocabularyOf128256GivesTheSamplersBits) {
  Random random(8);
  constexpr std::int32_t kVocab = 128256;
  std::vector<Request> requests(3);
  for (Request& request : requests) {
    request.params.seed = random.next();
    request.params.temperature = 1.0F;
    request.params.top_p = 0.95F;
    request.params.logprobs = 20;
  }
  requests[0].logits = row_of_kind(random, 0, kVocab);
  requests[1].logits = row_of_kind(random, 2, kVocab);  // all equal: the order is that of the ids alone
  requests[2].logits = row_of_kind(random, 3, kVocab);  // a few values
  requests[2].params.min_p = 0.001F;
  expect_same(requests, kVocab, CpuIsa::kAuto);         // the reference's top_k is quadratic
}

TEST_F(DeviceSampler, ARowWhoseTokensAreAllMaskedIsNotFiniteButKeepsItsTop) {
  Random random(9);
  Request request;
  request.logits = row_of_kind(random, 0, 40);
  request.params.min_tokens = 1;
  request.params.logprobs = 3;
  for (TokenId token = 0; token < 40; ++token) request.stop_ids.push_back(token);
  std::vector<Request> requests;
  for (const float temperature : {0.0F, 1.0F}) {
    for (const float top_p : {1.0F, 0.5F}) {
      request.params.temperature = temperature;
      request.params.top_p = top_p;
      request.params.min_p = 0.1F;
      requests.push_back(request);
    }
  }
  expect_same(requests, 40);
  for (const step::SampledToken& token : sample_on_device(requests, 40).tokens) {
    EXPECT_FALSE(token.finite);
    EXPECT_EQ(token.top.size(), 3U);
  }
}

TEST_F(DeviceSampler, TheLogprobOfAnEditedTokenComesFromItsRawLogit) {
  Request request;
  request.logits.assign(64, 0.0F);
  request.params.logit_bias = {{33, 50.0F}};
  request.params.logprobs = 0;
  const Answers answers = sample_on_device({request}, 64);
  ASSERT_EQ(answers.tokens.size(), 1U);
  EXPECT_EQ(answers.tokens[0].token, 33);
  EXPECT_NEAR(answers.tokens[0].logprob, -std::log(64.0F), 1e-5F);  // log_f32 is good to an ulp
  expect_same({request}, 64);
}

TEST_F(DeviceSampler, ARecordedStepReadsItsRowsParametersAnew) {
  Random random(10);
  constexpr std::int32_t kVocab = 333;
  const std::vector<float> logits = row_of_kind(random, 0, kVocab);
  DeviceArray<float> row(device(), logits);
  DeviceArray<SampleRowParams> params(device(), std::size_t{1});
  const DeviceArray<SampledRow> out(device(), std::size_t{1});
  SampleBatch batch;
  batch.params = params.data();
  batch.out = out.data();
  batch.vocab_size = kVocab;
  const auto border = model::leaf_borders(kVocab, static_cast<int>(kPanelOutputs));
  std::copy(border.begin(), border.end(), batch.vocab_leaf);
  const TensorView view{row.data(), DType::kF32, 1, kVocab, kVocab};

  int distinct = 0;
  TokenId last = -1;
  for (std::uint32_t step = 0; step < 12; ++step) {
    Request request;
    request.logits = logits;
    request.output_index = step;
    request.params.seed = 3;
    request.params.temperature = step % 4 == 0 ? 0.0F : 1.3F;
    request.params.top_p = step % 4 == 2 ? 0.9F : 1.0F;
    request.params.top_k = step % 4 == 3 ? 100 : 0;
    std::vector<LogitEdit> edits;
    params.upload({row_params(request.row(), kVocab, edits)});
    row.upload(logits);
    recorder().run_step(77, [&] { sampler().sample_rows(view, batch); });
    const SampledRow sampled = out.host()[0];
    EXPECT_EQ(sampled.token, sample_on_cpu({request}, kVocab, CpuIsa::kReference).tokens[0].token) << "step " << step;
    if (sampled.token != last) ++distinct;
    last = sampled.token;
  }
  EXPECT_GT(distinct, 5);  // the steps differed
}

}  // namespace
}  // namespace herd::sampling
