// Random submissions, aborts, delays, failures, resubmissions and copies of blocks against one Scheduler, with a toy shard that reads
// through the block tables (tests/sim/toy_shard.h) and a checker of plans. The oracle is toy_stream(): whatever the
// schedule, every sequence yields exactly the pure function of its prompt, seed and limits. What an export hands out must be what
// toy_block() makes of the chain's tokens, and what an import is given is that, or damaged. Each episode draws its own
// configuration and leaves out a random half of the features (Groce et al., Swarm Testing, ISSTA 2012).

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/crc32c.h"
#include "runtime/step/output_rows.h"
#include "runtime/scheduler/chunk_rows.h"
#include "runtime/scheduler/scheduler.h"
#include "tests/runtime/preemption_probe.h"
#include "tests/runtime/scheduler_fuzz_options.h"
#include "tests/runtime/step_cost_fixture.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/toy_shard.h"

namespace herd::scheduler {
namespace {

constexpr TokenId kVocab = 48;
constexpr Epoch kEpoch{7};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>(engine_() % bound); }
  std::uint32_t between(std::uint32_t low, std::uint32_t high) { return low + below(std::uint64_t{high} - low + 1); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }
  std::uint64_t word() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

struct Totals {
  std::uint64_t operations = 0, episodes = 0, accepted = 0, refused = 0, resubmitted = 0, scored = 0, prompt_logprobs = 0;
  std::uint64_t stops = 0, lengths = 0, aborts = 0, failures = 0, lost = 0;
  std::uint64_t preemptions = 0, evictions = 0, hit_blocks = 0, held_back = 0, suspects = 0, alone = 0;
  std::uint64_t tokens = 0, discarded = 0, steps = 0, bounded = 0;
  std::uint64_t exports = 0, exported = 0, imports = 0, imported = 0, damaged = 0, given_up = 0, made_way = 0;
};

// One open attempt of a sequence, as the client sees it.
struct Expected {
  step::Submission submission;
  sim::ToyStream stream;
  std::uint32_t next = 0;      // output index of the next token
  std::uint32_t next_row = 0;  // of the rows asked for
  std::uint64_t arrival = 0;
};

// A sequence that ranks have met and that has not got a token since.
struct Computing {
  std::vector<TokenId> tokens;
  std::uint64_t salt = 0;
  std::pair<std::int32_t, std::uint64_t> rank;  // smaller: served first
  std::uint32_t planned = 0;                    // of tokens
};

// A transfer that is not over.
struct Transfer {
  std::vector<TokenId> tokens;          // of the chain; an export's: of what was found
  std::uint32_t next = 0;               // export: the block that is read next
  std::vector<std::uint32_t> to_fetch;  // import
  bool damaged = false;
};

class Episode {
 public:
  Episode(std::uint64_t seed, Totals& totals) : random_(seed), totals_(totals) {
    draw_config();
    scheduler_ = std::make_unique<Scheduler>(config_, kEpoch, probe_);
    checker_ = std::make_unique<sim::PlanChecker>(config_);
    sim::ToyConfig toy{config_.block_size, config_.num_blocks, kVocab, 0, seed};
    if (poison_) toy.poison_per_million = 3000;
    shard_ = std::make_unique<sim::ToyShard>(toy);
  }

  void run(std::uint64_t operations) {
    for (std::uint64_t i = 0; i < operations && !testing::Test::HasFatalFailure() && !lost_; ++i) {
      ++totals_.operations;
      operate();
      if (!testing::Test::HasFatalFailure()) check();
    }
    if (!lost_) drain();
    collect();
  }

 private:
  void draw_config() {
    config_.block_size = random_.one_in(5) ? 32 : 16;
    config_.max_model_len = random_.between(8, 150);
    const std::uint32_t blocks_of_one = config_.max_model_len / config_.block_size + 1;
    config_.num_blocks = random_.between(blocks_of_one, blocks_of_one + random_.between(0, 30));
    if (random_.one_in(8)) config_.num_blocks = random_.between(1, blocks_of_one);
    config_.max_num_seqs = random_.between(1, 12);
    config_.max_num_batched_tokens = config_.max_num_seqs + random_.below(random_.one_in(2) ? 12 : 120);
    config_.max_prefill_seqs = random_.between(1, 6);
    if (random_.one_in(3)) config_.prefill_chunk_max = random_.between(1, 40);
    config_.queue_requests_max = random_.one_in(3) ? random_.between(1, 6) : 40;
    config_.queue_tokens_max = config_.max_model_len * std::uint64_t{random_.one_in(3) ? 2U : 40U};
    if (random_.one_in(3) && config_.num_blocks > 3) config_.watermark_blocks = random_.between(1, 2);
    config_.prefix_caching = !random_.one_in(5);
    config_.policy = random_.one_in(2) ? SchedulingPolicy::kPriority : SchedulingPolicy::kFcfs;
    config_.steps_ahead = random_.one_in(3) ? 1 : 2;
    if (random_.one_in(4)) probe_ = preempting_every(random_.between(1, 9));
    if (!random_.one_in(3)) config_.shared_prefix_min = random_.one_in(3) ? 0 : random_.between(1, 60);
    if (random_.one_in(3)) probe_.hash_bits = random_.between(1, 5);  // collisions all the time
    poison_ = random_.one_in(4);
    scoring_ = random_.one_in(2);
    aborts_ = !random_.one_in(3);
    resubmits_ = random_.one_in(2);
    failed_steps_ = random_.one_in(6);
    loses_ = random_.one_in(8);
    submit_weight_ = random_.between(5, 40);
    choices_ = random_.one_in(2);
    suspects_one_in_ = random_.one_in(6) ? random_.between(1, 12) : 0;
    if (random_.one_in(2)) cost_ = small_cost({std::pow(10.0, random_.between(5, 11)), 1e9, 1e-4});
    if (random_.one_in(2)) config_.max_step_ms = random_.below(60);
    transfers_ = random_.one_in(2);
    config_.transfer_blocks_per_step = random_.between(1, 4);
    if (choices_) submit_weight_ = random_.between(1, 10);  // a queue that is full takes nobody's siblings
    for (std::vector<TokenId>& stem : stems_) draw_stem(stem);
  }

  void draw_stem(std::vector<TokenId>& stem) {
    stem.resize(config_.max_model_len);
    for (TokenId& token : stem) token = static_cast<TokenId>(random_.below(kVocab));
  }

  void operate() {
    if (transfers_ && random_.one_in(3)) move_blocks();
    const std::uint32_t choice = random_.below(100);
    if (choice < submit_weight_) {
      submit(draw_submission());
      if (choices_ && random_.one_in(2)) submit_choices();
    } else if (choice < submit_weight_ + 2 && aborts_) {
      abort();
    } else if (choice < submit_weight_ + 30) {
      plan();
    } else if (random_.one_in(2000) && loses_) {
      lose();
    } else {
      deliver();
    }
  }

  step::Submission draw_submission() {
    step::Submission submission;
    submission.sequence = SequenceId{resubmits_ && random_.one_in(10) ? 1 + random_.below(next_id_) : next_id_++};
    submission.attempt = ++attempt_;
    const std::vector<TokenId>& stem = stems_[random_.below(std::size(stems_))];
    const std::uint32_t length = random_.below(config_.max_model_len + (random_.one_in(20) ? 3 : 0));
    submission.tokens.assign(stem.begin(), stem.begin() + std::min<std::uint32_t>(length, config_.max_model_len));
    for (std::uint32_t i = random_.below(6); i > 0; --i)
      submission.tokens.push_back(static_cast<TokenId>(random_.below(kVocab)));
    submission.prompt_tokens = static_cast<std::uint32_t>(submission.tokens.size());
    submission.max_tokens = random_.one_in(4) ? random_.between(1, 3) : random_.between(1, 200);
    submission.sampling.seed = random_.below(4);
    submission.sampling.choice = random_.below(3);
    if (random_.one_in(2)) submission.eos_ids = {3, 4};
    if (random_.one_in(4)) submission.sampling.stop_token_ids = {static_cast<TokenId>(random_.below(kVocab))};
    submission.sampling.ignore_eos = random_.one_in(6);
    if (random_.one_in(4)) submission.sampling.min_tokens = random_.below(30);
    submission.priority = static_cast<std::int32_t>(random_.below(4)) - 2;
    submission.cache_salt = random_.one_in(8) ? 1 : 0;
    if (scoring_ && random_.one_in(6)) {
      submission.output = static_cast<step::OutputSelector>(random_.between(1, 7));
      if (random_.one_in(2)) submission.max_tokens = 0;
    }
    return submission;
  }

  // Several sequences of a new, long prompt.
  void submit_choices() {
    step::Submission submission = draw_submission();
    std::vector<TokenId>& stem = stems_[random_.below(std::size(stems_))];
    draw_stem(stem);
    submission.prompt_tokens = random_.between(config_.max_model_len / 2, config_.max_model_len - 1);
    submission.tokens.assign(stem.begin(), stem.begin() + submission.prompt_tokens);
    for (std::uint32_t choice = random_.between(2, 5); choice > 0 && !testing::Test::HasFatalFailure(); --choice) {
      submission.sequence = SequenceId{next_id_++};
      submission.sampling.choice = choice;
      if (random_.one_in(6)) submission.priority = -submission.priority;
      submit(submission);
    }
  }

  void submit(step::Submission submission) {
    Expected expected{submission, sim::toy_stream(submission, config_.max_model_len, kVocab), 0, 0, totals_.accepted};
    const auto tokens = static_cast<std::uint32_t>(expected.stream.tokens.size());
    if (resubmits_ && tokens > 1 && random_.one_in(4)) {  // as after a failure elsewhere
      expected.next = random_.between(1, tokens - 1);
      submission.tokens.insert(submission.tokens.end(), expected.stream.tokens.begin(),
                               expected.stream.tokens.begin() + expected.next);
      expected.submission = submission;
      ++totals_.resubmitted;
    }
    if (suspects_one_in_ > 0 && random_.one_in(suspects_one_in_))
      submission.alone_until = expected.next + random_.between(1, 5);
    expected.submission.alone_until = submission.alone_until;
    const Status status = scheduler_->on_submit(submission, now());
    const bool known = open_.contains(submission.sequence);
    const std::uint64_t length = submission.tokens.size();
    const std::uint64_t end =
        std::min<std::uint64_t>(std::uint64_t{submission.prompt_tokens} + submission.max_tokens, config_.max_model_len);
    const std::uint64_t slots = submission.max_tokens == 0 ? length : end - 1;
    const bool bad = known || submission.prompt_tokens == 0 ||
                     length > config_.max_model_len - (submission.max_tokens > 0 ? 1 : 0) ||
                     slots > std::uint64_t{config_.num_blocks} * config_.block_size;
    if (bad) {
      ASSERT_EQ(status.code(), StatusCode::kBadInput) << status.message();
      ASSERT_FALSE(status.message().empty());
    }
    if (!status.ok()) {
      ASSERT_TRUE(bad || status.code() == StatusCode::kOverloaded) << status.message();
      ++totals_.refused;
      return;
    }
    ++totals_.accepted;
    if (submission.max_tokens == 0) ++totals_.scored;
    if (submission.alone_until > 0) suspects_.insert(expected.arrival);
    totals_.suspects += submission.alone_until > 0 ? 1 : 0;
    open_.emplace(submission.sequence, std::move(expected));
  }

  void abort() {
    SequenceId id{1 + random_.below(next_id_)};  // often closed or unknown
    if (!open_.empty() && random_.one_in(2)) id = std::next(open_.begin(), random_.below(open_.size()))->first;
    const auto delta = scheduler_->on_abort(id);
    ASSERT_EQ(delta.has_value(), open_.contains(id));
    if (!delta) return;
    ASSERT_EQ(delta->finish, step::FinishReason::kAborted);
    ASSERT_FALSE(delta->has_token);
    take(*delta);
    ++totals_.aborts;
  }

  void plan() {
    auto plan = scheduler_->plan_step(now(), cost_ ? &*cost_ : nullptr);
    take_ends();
    if (!plan) return;
    ASSERT_EQ(plan->epoch, kEpoch);
    checker_->on_plan(*plan);
    expect_streams_not_kept_waiting(*plan);
    expect_nothing_computed_twice(*plan);
    expect_suspects_alone(*plan);
    plans_.push_back(std::move(*plan));
  }

  // Whoever starts with much to compute that an open sequence computes too, and is served after that one, should have
  // been held back: see SchedulerConfig::shared_prefix_min.
  void expect_nothing_computed_twice(const step::StepPlan& plan) {
    for (const SequenceId id : plan.released) computing_.erase(id);
    std::map<SequenceId, std::uint32_t> end;
    for (const step::SequenceSlice& slice : plan.slices) end[slice.sequence] = slice.position + slice.rows;
    for (auto& [id, computing] : computing_) {
      if (end.contains(id)) computing.planned = end[id];
    }
    const bool shares = config_.prefix_caching && config_.shared_prefix_min > 0 && probe_.hash_bits == 64;
    for (const step::SequenceStart& start : plan.started) {
      const step::Submission& submission = open_.at(start.sequence).submission;
      const std::int32_t priority = config_.policy == SchedulingPolicy::kPriority ? submission.priority : 0;
      const std::pair rank{priority, open_.at(start.sequence).arrival};
      for (const auto& [id, other] : computing_) {
        if (!shares || start.output != step::OutputSelector::kNone) break;
        if (other.salt != submission.cache_salt || rank < other.rank) continue;
        const auto equal = std::ranges::mismatch(start.tokens, other.tokens).in1 - start.tokens.begin();
        const auto blocks = std::min<std::size_t>(static_cast<std::size_t>(equal) / config_.block_size,
                                                  (start.tokens.size() - 1) / config_.block_size);
        const std::size_t cached = start.prefix_blocks.size();
        const std::size_t spared = blocks > cached ? (blocks - cached) * config_.block_size : 0;
        if (config_.prefill_chunk_max > 0 && other.tokens.size() - other.planned > 2 * spared) continue;
        ASSERT_LT(spared, config_.shared_prefix_min)
            << "sequence " << start.sequence.value << " computes what sequence " << id.value << " does";
      }
      if (submission.max_tokens > 0)
        computing_[start.sequence] = {start.tokens, submission.cache_salt, rank, end.at(start.sequence)};
    }
  }

  // A step with a decode takes no longer than it may, but for the rows that prompts have in any case: sixteen together, and
  // one of the last to start.
  void expect_streams_not_kept_waiting(const step::StepPlan& plan) {
    if (!cost_) return;
    step::StepPlan decodes = plan, bounded = plan;
    const auto prompt = [&](const step::SequenceSlice& slice) { return slice.position < known_at_start_[slice.sequence]; };
    for (const step::SequenceStart& start : plan.started)
      known_at_start_[start.sequence] = static_cast<std::uint32_t>(start.tokens.size());
    std::erase_if(decodes.slices, prompt);
    std::uint32_t prompt_rows = 0;
    for (const step::SequenceSlice& slice : plan.slices) prompt_rows += prompt(slice) ? slice.rows : 0;
    if (!decodes.slices.empty() && prompt_rows > kPromptRowsMin) {
      if (--bounded.slices.back().rows == 0) bounded.slices.pop_back();
      const double decode_s = cost_->step_seconds(shape_of(decodes));
      ASSERT_LE(cost_->step_seconds(shape_of(bounded)), step_seconds_max(config_.max_step_ms, decode_s));
      ++totals_.bounded;
    }
    const double factor = std::pow(4.0, random_.below(9) * 0.25 - 1);  // a quarter to four times as long as predicted
    cost_->on_step(shape_of(plan), factor * cost_->step_seconds(shape_of(plan)));
  }

  // While a suspect has a slice in a plan that is out, nobody else has, not even one that was ended meanwhile.
  void expect_suspects_alone(const step::StepPlan& plan) {
    std::vector<std::uint64_t>& computing = arrivals_out_.emplace_back();
    for (const step::SequenceSlice& slice : plan.slices) computing.push_back(open_.at(slice.sequence).arrival);
    std::set<std::uint64_t> out;
    for (const auto& of_plan : arrivals_out_) out.insert(of_plan.begin(), of_plan.end());
    if (std::ranges::none_of(out, [&](std::uint64_t arrival) { return suspects_.contains(arrival); })) return;
    ASSERT_EQ(out.size(), 1U) << "a suspect is not alone in plan " << plan.step.value;
    ++totals_.alone;
  }

  void deliver() {
    if (random_.one_in(50)) {  // of an older epoch or out of order
      step::StepResult stale;
      stale.epoch = Epoch{random_.one_in(2) ? 6U : 7U};
      stale.step = StepId{1000000};
      ASSERT_TRUE(scheduler_->on_step_done(stale, now()).empty());
    }
    if (plans_.empty()) return;
    step::StepResult result = shard_->execute(plans_.front());
    const bool failed = failed_steps_ && random_.one_in(150);
    if (failed) {
      result.sampled.clear();
      result.outputs.clear();
      result.prompt_logprobs.clear();
      result.blocks_written = 0;
      result.damaged.clear();
      result.status = {StatusCode::kAborted, "a collective was given up"};
    }
    take_blocks_read();
    checker_->on_result(result.damaged);
    const std::vector<step::TokenDelta> deltas = scheduler_->on_step_done(result, now());
    plans_.erase(plans_.begin());
    arrivals_out_.pop_front();
    take_ends();
    if (failed) {
      ASSERT_EQ(deltas.size(), open_.size());
    }
    for (const step::TokenDelta& delta : deltas) {
      if (delta.finish == step::FinishReason::kFailed && !failed) {
        ASSERT_TRUE(shard_->was_poisoned(delta.sequence)) << "a sequence read another one's NaN";
      }
      take(delta);
    }
  }

  void take(const step::TokenDelta& delta) {
    const auto open = open_.find(delta.sequence);
    ASSERT_NE(open, open_.end()) << "a delta of a sequence that is not open";
    Expected& expected = open->second;
    ASSERT_EQ(delta.attempt, expected.submission.attempt);
    for (const step::OutputRows& rows : delta.outputs) take_rows(expected, rows);
    for (const step::PromptLogprobs& run : delta.prompt_logprobs) take_prompt_logprobs(expected, run);
    if (delta.has_token) {
      ASSERT_EQ(delta.token.output_index, expected.next);
      ASSERT_LT(expected.next, expected.stream.tokens.size()) << "a token beyond the end";
      ASSERT_EQ(delta.token.token, expected.stream.tokens[expected.next]) << "sequence " << delta.sequence.value;
      if (++expected.next > expected.submission.alone_until) suspects_.erase(expected.arrival);
      ++totals_.tokens;
      computing_.erase(delta.sequence);
    }
    ASSERT_TRUE(std::isfinite(delta.queued_s) && delta.queued_s >= 0.0F);
    ASSERT_TRUE(std::isfinite(delta.prefill_s) && delta.prefill_s >= 0.0F);
    if (delta.has_token) {
      ASSERT_GT(delta.prefill_s, 0.0F) << "time moves on with every event";
    }
    if (delta.finish == step::FinishReason::kNone) {
      ASSERT_TRUE(delta.has_token || !delta.outputs.empty() || !delta.prompt_logprobs.empty());
      ASSERT_LT(expected.next, expected.stream.tokens.size() + (delta.has_token ? 0 : 1)) << "the end is missing";
      return;
    }
    ASSERT_LE(delta.cached_tokens, expected.submission.prompt_tokens);
    if (delta.finish == step::FinishReason::kStop || delta.finish == step::FinishReason::kLength) {
      ASSERT_EQ(delta.finish, expected.stream.finish);
      ASSERT_EQ(expected.next, expected.stream.tokens.size()) << "tokens are missing";
      const auto selector = expected.submission.output;
      if (selector == step::OutputSelector::kPromptLogprobs) {
        ASSERT_EQ(std::max(expected.next_row, 1U), expected.submission.prompt_tokens) << "prompt tokens are missing";
      } else if (selector != step::OutputSelector::kNone) {
        ASSERT_EQ(expected.next_row,
                  expected.submission.prompt_tokens + expected.next - (expected.submission.max_tokens > 0 ? 1 : 0))
            << "rows are missing";
      }
      ++(delta.finish == step::FinishReason::kStop ? totals_.stops : totals_.lengths);
    } else if (delta.finish == step::FinishReason::kFailed) {
      ASSERT_FALSE(delta.error.ok());
      ++totals_.failures;
    }
    computing_.erase(delta.sequence);
    open_.erase(open);
  }

  void take_rows(Expected& expected, const step::OutputRows& rows) {
    const step::OutputSelector selector = expected.submission.output;
    const bool last_only = selector == step::OutputSelector::kLogitsLast || selector == step::OutputSelector::kHiddenLast;
    if (last_only) {
      ASSERT_EQ(rows.rows, 1U);
      ASSERT_GE(rows.position, expected.submission.tokens.size() - 1);
    } else {
      ASSERT_EQ(rows.position, expected.next_row) << "rows with a gap or a repeat";
    }
    std::vector<TokenId> tokens(expected.submission.tokens.begin(),
                                expected.submission.tokens.begin() + expected.submission.prompt_tokens);
    tokens.insert(tokens.end(), expected.stream.tokens.begin(), expected.stream.tokens.end());
    ASSERT_EQ(rows.values.size(), std::size_t{rows.layers} * rows.rows);
    for (std::uint32_t layer = 0; layer < rows.layers; ++layer) {
      for (std::uint32_t i = 0; i < rows.rows; ++i) {
        ASSERT_EQ(rows.values[std::size_t{layer} * rows.rows + i],
                  sim::toy_row(std::span(tokens).first(rows.position + i + 1), layer));
      }
    }
    expected.next_row = rows.position + rows.rows;
  }

  void take_prompt_logprobs(Expected& expected, const step::PromptLogprobs& run) {
    ASSERT_EQ(expected.submission.output, step::OutputSelector::kPromptLogprobs);
    ASSERT_EQ(run.position, std::max(expected.next_row, 1U)) << "prompt tokens with a gap or a repeat";
    ASSERT_FALSE(run.tokens.empty());
    const std::span<const TokenId> tokens(expected.submission.tokens);
    for (std::uint32_t i = 0; i < run.tokens.size(); ++i) {
      ASSERT_LT(run.position + i, expected.submission.prompt_tokens);
      ASSERT_EQ(run.tokens[i].token, tokens[run.position + i]);
      ASSERT_EQ(run.tokens[i].logprob, -sim::toy_row(tokens.first(run.position + i), 0));
    }
    expected.next_row = step::end_position(run);
    totals_.prompt_logprobs += run.tokens.size();
  }

  void move_blocks() {
    switch (random_.below(12)) {
      case 0:
        return begin_export();
      case 1:
        return begin_import();
      case 2:
        return end_transfer();
      case 3:
      case 4:
        if (!exports_.empty())
          scheduler_->grant_reads(std::next(exports_.begin(), random_.below(exports_.size()))->first, random_.between(1, 4));
        return;
      default:
        return imports_.empty() ? begin_import() : fetch();
    }
  }

  // Blocks of a stem, mostly such as submissions share.
  std::vector<TokenId> draw_chain() {
    const std::vector<TokenId>& stem = stems_[random_.below(std::size(stems_))];
    const auto blocks = random_.below(stem.size() / config_.block_size + 1);
    return {stem.begin(), stem.begin() + static_cast<std::ptrdiff_t>(std::size_t{blocks} * config_.block_size)};
  }

  void begin_export() {
    const std::vector<TokenId> chain = draw_chain();
    kv::BlockTable table;
    for (std::uint32_t i = 0; i < chain.size() / config_.block_size; ++i)
      (void)scheduler_->blocks().hash_of(table, chain, 0, i);
    const TransferId id{next_id_++};
    const std::uint32_t first = random_.one_in(4) ? random_.below(3) : 0;
    const auto begun = scheduler_->begin_export(id, table.hashes, 0, first);
    if (!begun) {
      ASSERT_EQ(begun.error().code(), StatusCode::kOverloaded);
      return;
    }
    ASSERT_EQ(begun->tokens.size(), std::size_t{begun->blocks} * config_.block_size);
    if (probe_.hash_bits == 64) {
      ASSERT_TRUE(std::ranges::equal(begun->tokens, std::span(chain).first(begun->tokens.size())));
    }
    exports_[id] = {begun->tokens, first, {}};
    ++totals_.exports;
    if (random_.one_in(2)) scheduler_->grant_reads(id, random_.between(1, 4));
    take_ends();
  }

  void begin_import() {
    const std::vector<TokenId> chain = draw_chain();
    const TransferId id{next_id_++};
    const auto cached = scheduler_->begin_import(id, chain, 0);
    if (!cached) {
      const StatusCode expected = !config_.prefix_caching ? StatusCode::kMissing
                                  : chain.empty()         ? StatusCode::kBadInput
                                                          : StatusCode::kOverloaded;
      ASSERT_EQ(cached.error().code(), expected);
      return;
    }
    Transfer& import = imports_[id] = {chain, 0, {}};
    for (std::uint32_t i = *cached; i < chain.size() / config_.block_size; ++i) import.to_fetch.push_back(i);
    if (random_.one_in(4)) std::ranges::reverse(import.to_fetch);
    ++totals_.imports;
    take_ends();
  }

  // The next block arrives as it was sent, or damaged, or not at all.
  void fetch() {
    auto& [id, import] = *std::next(imports_.begin(), random_.below(imports_.size()));
    if (import.to_fetch.empty()) return;
    const std::uint32_t index = import.to_fetch.front();
    import.to_fetch.erase(import.to_fetch.begin());
    if (!scheduler_->wants_block(id, index)) return;  // it was shortened, or drains
    step::BlockBytes block{id, index, 0, 0, sim::toy_block(import.tokens, index, config_.block_size)};
    block.crc32c = crc32c(block.bytes);
    const std::uint32_t damage = random_.below(40);
    if (damage == 0) block.bytes[random_.below(block.bytes.size())] ^= std::byte{1};
    if (damage == 1) block.bytes.pop_back();
    if (damage != 2) shard_->give(std::move(block));
    import.damaged = import.damaged || damage <= 2;
    scheduler_->on_block_arrived(id, index);
  }

  void end_transfer() {
    if (!imports_.empty() && random_.one_in(2)) {
      const TransferId id = std::next(imports_.begin(), random_.below(imports_.size()))->first;
      shortened_.insert(id);
      if (random_.one_in(2)) {
        scheduler_->shorten_import(id, random_.below(4));
      } else {
        scheduler_->end_import(id);
      }
    } else if (!exports_.empty()) {
      scheduler_->end_export(std::next(exports_.begin(), random_.below(exports_.size()))->first);
    }
    take_ends();
  }

  // Ranks read what the chain's tokens make, in its order.
  void take_blocks_read() {
    for (const step::BlockBytes& block : shard_->take_blocks_read()) {
      Transfer& transfer = exports_.at(block.transfer);
      ASSERT_EQ(block.index, transfer.next++);
      ASSERT_EQ(block.bytes, sim::toy_block(transfer.tokens, block.index, config_.block_size));
      ASSERT_EQ(block.crc32c, crc32c(block.bytes));
    }
  }

  void take_ends() {
    for (const TransferEnd& end : scheduler_->take_transfer_ends()) {
      totals_.made_way += end.cause == TransferEnd::Cause::kNoRoom ? 1 : 0;
      if (end.kind == TransferEnd::Kind::kExport) {
        ASSERT_EQ(exports_.erase(end.transfer), 1U) << "an export ends twice";
        continue;
      }
      const auto import = imports_.find(end.transfer);
      ASSERT_NE(import, imports_.end()) << "an import ends twice";
      const std::size_t blocks = import->second.tokens.size() / config_.block_size;
      ASSERT_LE(end.blocks, blocks);
      if (end.cause == TransferEnd::Cause::kDone && !shortened_.contains(end.transfer)) {
        ASSERT_EQ(end.blocks, blocks);
      }
      if (end.cause == TransferEnd::Cause::kDamaged) {
        ASSERT_TRUE(import->second.damaged);
      }
      imports_.erase(import);
    }
  }

  void lose() {
    exports_.clear();
    imports_.clear();
    const std::vector<SequenceId> lost = scheduler_->on_replica_lost();
    ASSERT_EQ(lost.size(), open_.size());
    for (const SequenceId id : lost) ASSERT_TRUE(open_.contains(id));
    scheduler_->check_integrity();
    ASSERT_TRUE(scheduler_->idle());
    ASSERT_EQ(scheduler_->stats().blocks.num_held, 0U);
    ASSERT_FALSE(scheduler_->plan_step(now()).has_value());
    ASSERT_FALSE(scheduler_->on_submit(draw_submission(), now()).ok());
    lost_ = true;
    ++totals_.lost;
  }

  // No more submissions: everything open ends within a bound, and nothing is left anywhere.
  void drain() {
    const std::uint64_t bound = 200 + open_.size() * std::uint64_t{config_.max_model_len} * 20;
    // Those that are never granted or fetched end by their owner.
    for (const auto& [id, transfer] : std::map(exports_)) scheduler_->end_export(id);
    for (const auto& [id, transfer] : std::map(imports_)) scheduler_->end_import(id);
    take_ends();
    for (std::uint64_t step = 0; !(scheduler_->idle() && plans_.empty()); ++step) {
      if (testing::Test::HasFatalFailure()) return;
      ASSERT_LT(step, bound) << "no progress";
      plan();
      deliver();
      check();
    }
    ASSERT_TRUE(open_.empty()) << "a sequence without a terminal delta";
    ASSERT_EQ(scheduler_->stats().blocks.num_held, 0U) << "blocks leak";
    ASSERT_EQ(shard_->num_sequences(), 0U) << "a rank keeps a sequence";
    ASSERT_EQ(checker_->num_sequences(), 0U);
    ASSERT_TRUE(exports_.empty() && imports_.empty()) << "a transfer without an end";
    ASSERT_EQ(shard_->bytes_given(), 0U) << "a rank keeps what it was given";
  }

  void check() {
    scheduler_->check_integrity();
    ASSERT_FALSE(shard_->violation().has_value()) << *shard_->violation();
    ASSERT_FALSE(checker_->violation().has_value()) << *checker_->violation();
    const SchedulerStats stats = scheduler_->stats();
    const std::uint64_t ended = stats.finished_stop + stats.finished_length + stats.aborted + stats.failed;
    if (!lost_) {
      ASSERT_EQ(stats.accepted, ended + open_.size());
    }
    // Preempted sequences return to a queue that may have been filled meanwhile.
    ASSERT_LE(stats.num_waiting, config_.queue_requests_max + config_.max_num_seqs * (1 + config_.steps_ahead));
  }

  void collect() {
    const SchedulerStats stats = scheduler_->stats();
    totals_.preemptions += stats.preemptions;
    totals_.evictions += stats.blocks.evicted_blocks;
    totals_.hit_blocks += stats.blocks.hit_blocks;
    totals_.held_back += stats.held_back;
    totals_.discarded += stats.tokens_discarded;
    totals_.steps += stats.steps_planned;
    totals_.exported += stats.blocks_exported;
    totals_.imported += stats.blocks_imported;
    totals_.damaged += stats.blocks_damaged;
    totals_.given_up += stats.blocks_given_up;
    ++totals_.episodes;
  }

  Instant now() { return {++time_}; }

  Random random_;
  Totals& totals_;
  SchedulerConfig config_;
  SchedulerProbe probe_;
  bool poison_ = false, scoring_ = false, aborts_ = false, resubmits_ = false, failed_steps_ = false, loses_ = false;
  bool choices_ = false, transfers_ = false;
  std::uint32_t suspects_one_in_ = 0;  // 0: none
  std::uint32_t submit_weight_ = 0;
  std::vector<TokenId> stems_[3];
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<sim::PlanChecker> checker_;
  std::unique_ptr<sim::ToyShard> shard_;
  std::map<SequenceId, Expected> open_;
  std::map<SequenceId, Computing> computing_;
  std::optional<StepCost> cost_;
  std::map<SequenceId, std::uint32_t> known_at_start_;  // tokens
  std::set<std::uint64_t> suspects_;  // arrivals of those who have not emitted enough; those who ended so stay
  std::vector<step::StepPlan> plans_;
  std::deque<std::vector<std::uint64_t>> arrivals_out_;  // of those with slices in each of plans_
  std::map<TransferId, Transfer> exports_, imports_;  // not over
  std::set<TransferId> shortened_;                    // or ended by their owner
  std::uint64_t next_id_ = 1;
  std::uint32_t attempt_ = 0;
  std::int64_t time_ = 0;
  bool lost_ = false;
};

TEST(SchedulerFuzz, EveryStreamIsThePureFunctionOfItsSubmission) {
  const FuzzOptions& options = fuzz_options();
  Totals totals;
  for (std::uint64_t seed = options.seed; totals.operations < options.operations; ++seed) {
    SCOPED_TRACE("episode seed " + std::to_string(seed) + "; repeat with --seed " + std::to_string(seed) +
                 " --operations 1");
    Episode(seed, totals).run(2000);
    if (HasFailure()) return;
  }
  const auto print = [](const char* name, std::uint64_t value) {
    std::printf("  %-12s %12llu\n", name, static_cast<unsigned long long>(value));
  };
  print("operations", totals.operations);
  print("episodes", totals.episodes);
  print("accepted", totals.accepted);
  print("refused", totals.refused);
  print("resubmitted", totals.resubmitted);
  print("scored", totals.scored);
  print("prompt logp", totals.prompt_logprobs);
  print("stop", totals.stops);
  print("length", totals.lengths);
  print("aborts", totals.aborts);
  print("failures", totals.failures);
  print("lost", totals.lost);
  print("steps", totals.steps);
  print("tokens", totals.tokens);
  print("discarded", totals.discarded);
  print("preemptions", totals.preemptions);
  print("evictions", totals.evictions);
  print("hit blocks", totals.hit_blocks);
  print("held back", totals.held_back);
  print("suspects", totals.suspects);
  print("alone", totals.alone);
  print("bounded", totals.bounded);
  print("exports", totals.exports);
  print("exported", totals.exported);
  print("imports", totals.imports);
  print("imported", totals.imported);
  print("damaged", totals.damaged);
  print("given up", totals.given_up);
  print("made way", totals.made_way);
  if (options.operations < 50000) return;  // too few for the shares below
  const std::uint64_t least = options.operations / 1000;
  EXPECT_GE(totals.preemptions, least);
  EXPECT_GE(totals.evictions, least);
  EXPECT_GE(totals.hit_blocks, least);
  EXPECT_GE(totals.held_back, least / 2);
  EXPECT_GE(totals.suspects, least);
  EXPECT_GE(totals.alone, least);
  EXPECT_GE(totals.bounded, least);
  EXPECT_GE(totals.aborts, least);
  EXPECT_GE(totals.prompt_logprobs, least);
  EXPECT_GE(totals.exported, least);
  EXPECT_GE(totals.imported, least);
  EXPECT_GE(totals.damaged, least / 10);
  EXPECT_GE(totals.made_way, least / 10);
}

}  // namespace
}  // namespace herd::scheduler
