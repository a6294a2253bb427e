// Log-probabilities of the prompt from whole engines: the same floats as from rows of logits, whatever the number of
// ranks, the chunks, the cache and the preemptions; each position once.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "actors/client/delta_queue.h"
#include "actors/engine.h"
#include "tests/actors/toy_cluster.h"
#include "tests/actors/wire_roundtrip.h"
#include "tests/runtime/preemption_probe.h"

namespace herd::actors {
namespace {

using step::FinishReason;
using step::OutputSelector;
using step::PromptLogprob;

constexpr std::uint32_t kPromptTokens = 75;
constexpr TokenId kVocab = 1003;  // of tests/golden/configs/gqa4_llama3

EngineOptions logprobs_options() {
  EngineOptions options;
  options.model.path = "tests/golden/configs/gqa4_llama3";
  options.model.random_weights = true;
  options.threads = 1;
  options.max_model_len = 256;
  options.scheduler.max_num_seqs = 8;
  options.scheduler.max_num_batched_tokens = 128;
  return options;
}

step::Submission submission(std::uint64_t sequence, OutputSelector output, std::uint32_t max_tokens) {
  step::Submission submission;
  submission.sequence = SequenceId(sequence);
  for (std::uint32_t i = 0; i < kPromptTokens; ++i)
    submission.tokens.push_back(static_cast<TokenId>((i * i * 37 + i * 11 + 5) % kVocab));
  submission.prompt_tokens = kPromptTokens;
  submission.max_tokens = max_tokens;
  submission.sampling.logprobs = 4;
  submission.sampling.ignore_eos = true;
  submission.output = output;
  return submission;
}

struct Answer {
  std::vector<PromptLogprob> prompt;  // of positions 1, 2, …
  std::vector<step::SampledToken> tokens;
  std::vector<float> rows;
  FinishReason finish = FinishReason::kNone;
};

// Runs the submissions at the same time. Every call has its own requests.
std::vector<Answer> run(ClusterClient& client, const std::vector<step::Submission>& submissions) {
  static std::uint64_t next_request = 1;
  const std::uint64_t first = next_request;
  DeltaQueue queue(client, std::size_t{1} << 16);
  for (const auto& submission : submissions) queue.submit(RequestId(next_request++), submission);
  std::vector<Answer> answers(submissions.size());
  for (std::size_t open = submissions.size(); open > 0;) {
    const auto heard = queue.next(std::chrono::seconds(60));
    if (!heard) {
      ADD_FAILURE() << "no answer";
      break;
    }
    if (heard->end() != nullptr) {
      EXPECT_EQ(heard->end()->kind, gateway::RequestEnd::Kind::kFinished) << heard->end()->why.message();
      --open;
      continue;
    }
    const step::TokenDelta& delta = *heard->delta();
    Answer& answer = answers[heard->request.value - first];
    for (const auto& run : delta.prompt_logprobs) {
      EXPECT_EQ(run.position, answer.prompt.size() + 1) << "each position once, in order";
      EXPECT_TRUE(answer.tokens.empty()) << "the prompt's come before or with the first token";
      answer.prompt.insert(answer.prompt.end(), run.tokens.begin(), run.tokens.end());
    }
    for (const auto& rows : delta.outputs) answer.rows.insert(answer.rows.end(), rows.values.begin(), rows.values.end());
    if (delta.has_token) {
      answer.tokens.push_back(delta.token);
      answer.tokens.back().sequence = {};  // so that answers compare
    }
    if (delta.finish != FinishReason::kNone) answer.finish = delta.finish;
  }
  return answers;
}
std::vector<Answer> run(Engine& engine, const std::vector<step::Submission>& submissions) {
  return run(engine.cluster().client(), submissions);
}

Answer run_one(EngineOptions options, const step::Submission& submission) {
  auto engine = Engine::start(std::move(options));
  EXPECT_TRUE(engine.has_value()) << engine.error().message();
  return run(**engine, {submission}).front();
}

Answer baseline() { return run_one(logprobs_options(), submission(1, OutputSelector::kPromptLogprobs, 6)); }

// Log-softmax in double of the rows that kLogitsAll hands out. The sampler's own arithmetic rounds to floats: the sum
// over 1003 terms and its logarithm stay within 1e-5 of it.
TEST(PromptLogprobs, AreTheLogSoftmaxOfTheRowsOfLogits) {
  auto engine = Engine::start(logprobs_options());
  ASSERT_TRUE(engine.has_value());
  const auto scored = submission(1, OutputSelector::kPromptLogprobs, 0);
  const Answer rows = run(**engine, {submission(2, OutputSelector::kLogitsAll, 0)}).front();
  const Answer answer = run(**engine, {submission(3, OutputSelector::kPromptLogprobs, 0)}).front();
  EXPECT_EQ(answer.finish, FinishReason::kLength);
  ASSERT_EQ(answer.prompt.size(), kPromptTokens - 1);
  ASSERT_EQ(rows.rows.size(), std::size_t{kPromptTokens} * kVocab);
  for (std::size_t i = 0; i < answer.prompt.size(); ++i) {
    const float* row = rows.rows.data() + i * kVocab;
    const double max = *std::max_element(row, row + kVocab);
    double sum = 0;
    for (TokenId token = 0; token < kVocab; ++token) sum += std::exp(row[token] - max);
    const auto expected = [&](TokenId token) { return row[token] - max - std::log(sum); };
    const PromptLogprob& entry = answer.prompt[i];
    EXPECT_EQ(entry.token, scored.tokens[i + 1]);
    EXPECT_NEAR(entry.logprob, expected(entry.token), 1e-5);
    ASSERT_EQ(entry.top.size(), 4U);
    EXPECT_EQ(entry.top[0].token, std::max_element(row, row + kVocab) - row);
    for (const auto& likely : entry.top) EXPECT_NEAR(likely.logprob, expected(likely.token), 1e-5);
  }
}

// The last token of a shorter prompt is followed by one drawn from the row that scores it in the longer prompt: a bias
// forces the draw, and the log-probability it reports must be the same float.
TEST(PromptLogprobs, AreTheFloatsThatADrawOfTheSameTokenReports) {
  auto engine = Engine::start(logprobs_options());
  ASSERT_TRUE(engine.has_value());
  const auto scored = submission(1, OutputSelector::kPromptLogprobs, 0);
  const Answer answer = run(**engine, {scored}).front();
  ASSERT_EQ(answer.prompt.size(), kPromptTokens - 1);
  std::uint64_t sequence = 2;
  for (const std::uint32_t length : {1U, 2U, 16U, 33U, 74U}) {
    auto forced = submission(sequence++, OutputSelector::kNone, 1);
    forced.tokens.resize(length);
    forced.prompt_tokens = length;
    forced.sampling.logit_bias = {{scored.tokens[length], 100.0F}};
    const Answer drawn = run(**engine, {forced}).front();
    ASSERT_EQ(drawn.tokens.size(), 1U);
    EXPECT_EQ(drawn.tokens[0].token, answer.prompt[length - 1].token);
    EXPECT_EQ(drawn.tokens[0].logprob, answer.prompt[length - 1].logprob);
    EXPECT_EQ(drawn.tokens[0].top, answer.prompt[length - 1].top);
  }
}

TEST(PromptLogprobs, DoNotDependOnRanksChunksOrTheWire) {
  const Answer alone = baseline();
  ASSERT_EQ(alone.prompt.size(), kPromptTokens - 1);
  ASSERT_EQ(alone.tokens.size(), 6U);
  const auto same = [&](const char* what, auto change) {
    EngineOptions changed = logprobs_options();
    change(changed);
    const Answer answer = run_one(std::move(changed), submission(1, OutputSelector::kPromptLogprobs, 6));
    EXPECT_EQ(answer.prompt, alone.prompt) << what;
    EXPECT_EQ(answer.tokens, alone.tokens) << what;
  };
  same("tp 2", [](EngineOptions& o) { o.tensor_parallel = 2; });
  same("tp 8", [](EngineOptions& o) { o.tensor_parallel = 8; });
  same("chunks of 7", [](EngineOptions& o) { o.scheduler.prefill_chunk_max = 7; });
  same("chunks of 1", [](EngineOptions& o) { o.scheduler.prefill_chunk_max = 1; });
  same("one step at a time", [](EngineOptions& o) { o.scheduler.steps_ahead = 1; });
  same("one row of logits at a time", [](EngineOptions& o) { o.scheduler.max_num_seqs = 1; });
  EngineOptions wired = logprobs_options();
  wired.wrap_rank = [](std::unique_ptr<shard::RankExecutor> rank, ReplicaId, std::uint32_t) { return through_wire(std::move(rank)); };
  auto engine = Engine::start(std::move(wired));
  ASSERT_TRUE(engine.has_value());
  WireClient client((*engine)->cluster().client());
  const Answer answer = run(client, {submission(1, OutputSelector::kPromptLogprobs, 6)}).front();
  EXPECT_EQ(answer.prompt, alone.prompt) << "wire";
  EXPECT_EQ(answer.tokens, alone.tokens) << "wire";
}

TEST(PromptLogprobs, ComeOnceAmongOthersAfterPreemptionsAndCacheHits) {
  const Answer alone = baseline();
  EngineOptions changed = logprobs_options();
  changed.scheduler_probe = scheduler::preempting_every(3);
  auto engine = Engine::start(std::move(changed));
  ASSERT_TRUE(engine.has_value());
  std::vector<step::Submission> submissions;
  for (std::uint64_t sequence = 1; sequence <= 6; ++sequence)
    submissions.push_back(
        submission(sequence, sequence % 2 == 0 ? OutputSelector::kNone : OutputSelector::kPromptLogprobs, 6));
  const auto answers = run(**engine, submissions);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].tokens, alone.tokens);
    EXPECT_EQ(answers[i].prompt, i % 2 == 0 ? alone.prompt : std::vector<PromptLogprob>{});
  }
  EXPECT_TRUE(await_status((*engine)->cluster().client(), [](const ClusterStatus& status) {
    const scheduler::SchedulerStats& stats = status.replicas.at(0).scheduler;
    return stats.preemptions > 0 && stats.blocks.num_held == 0;
  }));
}

// Nothing predicts the first token of a prompt.
TEST(PromptLogprobs, OfAPromptOfOneTokenAreNone) {
  auto one = submission(1, OutputSelector::kPromptLogprobs, 2);
  one.tokens.resize(1);
  one.prompt_tokens = 1;
  const Answer answer = run_one(logprobs_options(), one);
  EXPECT_EQ(answer.finish, FinishReason::kLength);
  EXPECT_TRUE(answer.prompt.empty());
  EXPECT_EQ(answer.tokens.size(), 2U);
}

}  // namespace
}  // namespace herd::actors
