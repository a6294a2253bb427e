// Rows that slices ask for, read from a small model on a CPU: which rows, in what order, whatever the pieces.
#include "runtime/shard/output_collector.h"

#include <span>
#include <string>

#include <gtest/gtest.h>

#include "tests/runtime/shard_fixture.h"

namespace herd::shard {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using step::OutputSelector;

constexpr std::uint32_t kRows = 10;
constexpr std::size_t kHidden = 64;

// The result of one prompt of kRows tokens, computed in one chunk, that asks for `selector`.
step::StepResult ask(OutputSelector selector, std::int64_t logit_rows_max = 6) {
  ShardConfig config = tiny_shard();
  config.logit_rows_max = logit_rows_max;
  TinyRank rank(config, cpu());
  const auto runner = std::move(*make_step_runner(rank.parts()));
  SequenceTable table(rank.limits());
  StepBatch batch;
  step::StepPlan plan = Plans().next();
  plan.started.push_back(start_of(1, prompt(kRows, 5)));
  plan.started[0].output = selector;
  plan.started[0].sampling.logprobs = 2;
  plan.slices.push_back(slice_of(1, 0, kRows, {BlockId{3}}, true));
  EXPECT_TRUE(table.apply(plan, batch).ok());
  step::StepResult result;
  EXPECT_TRUE(runner->start(batch, result).has_value());
  return result;
}

step::OutputRows rows_of(OutputSelector selector, std::int64_t logit_rows_max = 6) {
  step::StepResult result = ask(selector, logit_rows_max);
  EXPECT_EQ(result.outputs.size(), 1U);
  EXPECT_TRUE(result.prompt_logprobs.empty());
  return std::move(result.outputs.front());
}

std::vector<float> last_row(const step::OutputRows& rows) {
  return {rows.values.end() - static_cast<std::ptrdiff_t>(rows.width), rows.values.end()};
}

TEST(OutputCollector, TheLastRowIsTheLastOfAll) {
  const std::pair<OutputSelector, OutputSelector> kinds[] = {
      {OutputSelector::kHiddenAll, OutputSelector::kHiddenLast}, {OutputSelector::kLogitsAll, OutputSelector::kLogitsLast}};
  for (const auto& [all_of, last_of] : kinds) {
    const step::OutputRows all = rows_of(all_of), last = rows_of(last_of);
    EXPECT_EQ(all.sequence, SequenceId{1});
    EXPECT_EQ(all.position, 0U);
    EXPECT_EQ(all.rows, kRows);
    EXPECT_EQ(all.layers, 1U);
    EXPECT_EQ(all.width, all_of == OutputSelector::kHiddenAll ? kHidden : std::size_t{kVocab});
    EXPECT_EQ(all.values.size(), std::size_t{kRows} * all.width);
    EXPECT_EQ(last.position, kRows - 1);
    EXPECT_EQ(last.rows, 1U);
    EXPECT_EQ(last.values, last_row(all));
    EXPECT_NE(last.values, std::vector<float>(all.values.begin(), all.values.begin() + last.width));
  }
}

TEST(OutputCollector, LogitsAskedForAreThoseThatAreSampled) {
  const step::StepResult result = ask(OutputSelector::kLogitsLast);
  const std::vector<float>& row = result.outputs.front().values;
  ASSERT_EQ(result.sampled.size(), 1U);
  EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), result.sampled.front().token);
}

TEST(OutputCollector, RowsDoNotDependOnThePiecesTheyAreReadIn) {
  for (const OutputSelector selector :
       {OutputSelector::kLogitsAll, OutputSelector::kHiddenAllNormalized, OutputSelector::kHiddenAllLayers}) {
    const step::OutputRows whole = rows_of(selector, 16);
    for (const std::int64_t pieces : {1, 3, 10}) EXPECT_EQ(rows_of(selector, pieces), whole) << pieces;
  }
  const step::StepResult whole = ask(OutputSelector::kPromptLogprobs, 16);
  EXPECT_EQ(ask(OutputSelector::kPromptLogprobs, 4).prompt_logprobs, whole.prompt_logprobs);
}

TEST(OutputCollector, AllLayersBeginAtTheEmbeddingAndEndAfterTheFinalNorm) {
  const step::OutputRows layers = rows_of(OutputSelector::kHiddenAllLayers);
  const std::size_t layer = kRows * kHidden;
  ASSERT_EQ(layers.layers, 3U);
  ASSERT_EQ(layers.values.size(), 3 * layer);
  EXPECT_EQ(std::vector<float>(layers.values.end() - static_cast<std::ptrdiff_t>(layer), layers.values.end()),
            rows_of(OutputSelector::kHiddenAllNormalized).values);

  std::vector<float> embedding(kHidden);
  const auto source = model::random_source(tiny_config(), 11);
  ASSERT_TRUE(source->read_rows("model.embed_tokens.weight", 5, 6, 0, kHidden, embedding.data()).ok());
  EXPECT_EQ(std::vector<float>(layers.values.begin(), layers.values.begin() + kHidden), embedding);
}

TEST(OutputCollector, EveryPromptTokenButTheFirstIsScored) {
  const step::StepResult result = ask(OutputSelector::kPromptLogprobs);
  EXPECT_TRUE(result.outputs.empty());
  ASSERT_EQ(result.prompt_logprobs.size(), 1U);
  const step::PromptLogprobs& run = result.prompt_logprobs.front();
  EXPECT_EQ(run.position, 1U);
  ASSERT_EQ(run.tokens.size(), kRows - 1);
  for (std::size_t i = 0; i < run.tokens.size(); ++i) {
    EXPECT_EQ(run.tokens[i].token, prompt(kRows, 5)[i + 1]);
    EXPECT_LT(run.tokens[i].logprob, 0.0F);
    EXPECT_EQ(run.tokens[i].top.size(), 2U);
  }
}

// Answers with which rows it was asked for.
class Scripted final : public LogitRows {
 public:
  explicit Scripted(model::Llama& llama, std::vector<std::string>& asked) : llama_(llama), asked_(asked) {}
  std::vector<float> whole() override {
    asked_.push_back(std::string("rows ").append(std::to_string(llama_.logits().rows)));
    return std::vector<float>(static_cast<std::size_t>(llama_.logits().rows) * kVocab, static_cast<float>(asked_.size()));
  }
  std::vector<step::PromptLogprob> score(std::span<const TokenId> targets, std::int32_t top) override {
    std::string text = std::string("top ").append(std::to_string(top)).append(" of");
    std::vector<step::PromptLogprob> scored;
    for (const TokenId target : targets) {
      text.append(" ").append(std::to_string(target));
      scored.push_back({target, -1.0F, {}});
    }
    asked_.push_back(text);
    EXPECT_EQ(llama_.logits().rows, static_cast<std::int64_t>(targets.size()));
    return scored;
  }

 private:
  model::Llama& llama_;
  std::vector<std::string>& asked_;
};

TEST(OutputCollector, WalksTheSlicesInOrderAndCutsThemInPieces) {
  ShardConfig config = tiny_shard();
  config.logit_rows_max = 3;
  TinyRank rank(config, cpu());
  StepBatch batch;
  batch.outputs.push_back({SequenceId{4}, OutputSelector::kPromptLogprobs, 7, 2, 4, {10, 11, 12, 13}, 5});
  batch.outputs.push_back({SequenceId{5}, OutputSelector::kLogitsAll, 0, 6, 4, {}, 0});
  batch.outputs.push_back({SequenceId{6}, OutputSelector::kLogitsLast, 20, 10, 2, {}, 0});
  std::vector<std::string> asked;
  const auto collector =
      std::move(*OutputCollector::make(rank.parts(), std::make_unique<Scripted>(*rank.llama, asked)));
  step::StepResult result;
  collector->collect(batch, result);
  EXPECT_EQ(asked, (std::vector<std::string>{"top 5 of 10 11 12", "top 5 of 13", "rows 3", "rows 1", "rows 1"}));
  ASSERT_EQ(result.prompt_logprobs.size(), 1U);
  EXPECT_EQ(result.prompt_logprobs[0].position, 8U);
  EXPECT_EQ(result.prompt_logprobs[0].tokens.size(), 4U);
  ASSERT_EQ(result.outputs.size(), 2U);
  EXPECT_EQ(result.outputs[0].sequence, SequenceId{5});
  EXPECT_EQ(result.outputs[0].rows, 4U);
  EXPECT_EQ(result.outputs[1].position, 21U);
  EXPECT_EQ(result.outputs[1].values, std::vector<float>(kVocab, 5.0F));
}

TEST(OutputCollector, ListensToLayersOnlyWhenASliceAsks) {
  TinyRank rank(tiny_shard(), cpu());
  std::vector<std::string> asked;
  const auto collector =
      std::move(*OutputCollector::make(rank.parts(), std::make_unique<Scripted>(*rank.llama, asked)));
  StepBatch batch;
  batch.outputs.push_back({SequenceId{1}, OutputSelector::kHiddenAll, 0, 0, 1, {}, 0});
  EXPECT_FALSE(collector->layer_capture(batch));
  batch.outputs.push_back({SequenceId{2}, OutputSelector::kHiddenAllLayers, 0, 0, 1, {}, 0});
  EXPECT_TRUE(collector->layer_capture(batch));
}

}  // namespace
}  // namespace herd::shard
