#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <utility>

#include "cluster/wire/generate_codec.h"
#include "tests/runtime/preemption_probe.h"

namespace herd::sim {
namespace {

using routing::ReplicaGeneration;
using step::FinishReason;
using step::StepPlan;
using step::StepResult;
using step::Submission;
using step::TokenDelta;

constexpr TokenId kVocabSize = 64;
// A run of the options' largest size takes well below 10^6 events; more is no progress.
constexpr std::uint64_t kEventsMax = 20'000'000;

}  // namespace

SimCluster::SimCluster(const SimOptions& options)
    : options_(options),
      random_(options.seed ^ 0x5EED),
      through_wire_(options.wire),
      ledger_({.open_sequences_max = options.open_sequences_max, .attempts_max = 3}),
      replicas_(options.replicas) {
  for (int i = 0; i < 3; ++i) {
    auto& prefix = prefixes_.emplace_back(options.prompt_tokens_max);
    for (TokenId& token : prefix) token = static_cast<TokenId>(below(kVocabSize));
  }
  faulty_ = options.poison_per_million > 0;
  for (std::uint32_t index = 0; index < options.replicas; ++index) start_replica(index, Epoch(1));
}

SimReport SimCluster::run() {
  schedule_arrivals();
  schedule_faults();
  while (!report_.violation && loop_.run_one()) {
    check_all();
    if (loop_.events_run() > kEventsMax) violate("no progress");
  }
  if (!report_.violation) check_drained();
  report_.events = loop_.events_run();
  report_.ledger = ledger_.stats();
  return report_;
}

void SimCluster::violate(const std::string& what) {
  if (!report_.violation) report_.violation = "at " + std::to_string(loop_.now().ns / 1000) + " us: " + what;
}

// Load and faults -----------------------------------------------------------------------------------------------------

void SimCluster::schedule_arrivals() {
  for (std::uint64_t sequence = 1; sequence <= options_.sequences; ++sequence)
    loop_.after(static_cast<std::int64_t>(below(options_.arrivals_us)), [this, sequence] { arrive(sequence); });
}

void SimCluster::schedule_faults() {
  const std::int64_t faults_us = 2 * options_.arrivals_us;
  const auto any_time = [&](auto fault) {
    loop_.after(static_cast<std::int64_t>(below(faults_us)), [this, fault] {
      const auto index = static_cast<std::uint32_t>(below(options_.replicas));
      if (replicas_[index].alive) fault(index);
    });
  };
  for (std::uint32_t i = 0; i < options_.kills; ++i)
    any_time([this](std::uint32_t index) { lose_replica(index, {StatusCode::kAborted, "killed"}); });
  for (std::uint32_t i = 0; i < options_.failed_steps; ++i)
    any_time([this](std::uint32_t index) { ++replicas_[index].fail_next; });
  for (std::uint32_t i = 0; i < options_.wrong_hashes; ++i)
    any_time([this](std::uint32_t index) { ++replicas_[index].wrong_next; });
  loop_.after(faults_us, [this] {
    healed_ = true;
    for (Replica& replica : replicas_) replica.fail_next = replica.wrong_next = 0;
  });
}

Submission SimCluster::draw_submission(std::uint64_t sequence) {
  Submission submission;
  submission.sequence = SequenceId(sequence);
  const std::size_t shared = below(options_.prompt_tokens_max + 1);
  const auto& prefix = prefixes_[below(prefixes_.size())];
  submission.tokens.assign(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(shared));
  do {
    submission.tokens.push_back(static_cast<TokenId>(below(kVocabSize)));
  } while (submission.tokens.size() < options_.prompt_tokens_max && below(8) != 0);
  submission.tokens.resize(std::min<std::size_t>(submission.tokens.size(), options_.prompt_tokens_max));
  submission.prompt_tokens = static_cast<std::uint32_t>(submission.tokens.size());
  submission.max_tokens = 1 + static_cast<std::uint32_t>(below(options_.emitted_tokens_max));
  submission.sampling.seed = random_();
  submission.sampling.temperature = 1.0F;
  submission.eos_ids = {static_cast<TokenId>(below(kVocabSize))};
  submission.sampling.ignore_eos = below(2) == 0;
  submission.sampling.min_tokens = static_cast<std::uint32_t>(below(4));
  if (below(4) == 0) submission.output = step::OutputSelector::kPromptLogprobs;
  return submission;
}

void SimCluster::arrive(std::uint64_t sequence) {
  const Submission submission = draw_submission(sequence);
  Client& client = clients_[submission.sequence];
  client.checker = std::make_unique<StreamChecker>(submission, options_.scheduler.max_model_len, kVocabSize);
  const bool slow = below(100) < options_.slow_percent;
  client.credit = slow ? 2 : std::size_t{1} << 20;
  client.read_us_max = slow ? 20'000 : 0;
  if (!ledger_.accept(submission).ok()) {
    client.refused = true;
    return;
  }
  ask_route(submission.sequence);
  if (below(100) < options_.aborts_percent)
    loop_.after(static_cast<std::int64_t>(below(options_.arrivals_us)),
                [this, id = submission.sequence] { abort(id, {}); });
}

// Gateway -------------------------------------------------------------------------------------------------------------

void SimCluster::ask_route(SequenceId sequence) {
  to_coordinator_.send(loop_, random_, options_.message_us_max,
                       [this, sequence, excluded = ledger_.failed_generations(sequence)] {
                         const auto route = router_.pick(excluded);
                         from_coordinator_.send(loop_, random_, options_.message_us_max,
                                                [this, sequence, route] { on_route(sequence, route); });
                       });
}

void SimCluster::on_route(SequenceId sequence, std::optional<ReplicaGeneration> route) {
  if (!route) {
    if (!faulty_ && ledger_.needs_route(sequence)) violate("no route, but nothing has failed");
    if (const auto terminal = ledger_.on_unroutable(sequence, {StatusCode::kAborted, "no replica"})) deliver(*terminal);
    return;
  }
  if (auto submission = ledger_.on_routed(sequence, *route)) {
    const std::uint32_t index = route->replica.value;
    Replica& replica = replicas_[index];
    runs_on_[sequence] = *route;
    if (replica.generation != *route) return;  // it is gone: the notice of that is on its way
    to_replica(index, replica.from_gateway, options_.message_us_max,
               [this, index, submission = through_wire_(std::move(*submission))] { run_sequence(index, submission); });
  } else if (ledger_.needs_route(sequence)) {
    ask_route(sequence);
  }
}

void SimCluster::on_deltas(ReplicaGeneration from, const std::vector<TokenDelta>& deltas) {
  for (const TokenDelta& delta : deltas) {
    const auto admitted = ledger_.on_delta(delta);
    if (!admitted) continue;
    const auto runs_on = runs_on_.find(delta.sequence);
    if (runs_on == runs_on_.end() || runs_on->second != from) violate("a delta of an earlier attempt was admitted");
    deliver(*admitted);
  }
}

void SimCluster::deliver(const TokenDelta& delta) {
  if (delta.finish == FinishReason::kFailed && !faulty_) violate("failed, but nothing has: " + delta.error.message());
  if (delta.finish != FinishReason::kNone) runs_on_.erase(delta.sequence);
  if (!push(delta) && delta.finish == FinishReason::kNone) abort(delta.sequence, {StatusCode::kOverloaded, "too slow"});
}

void SimCluster::abort(SequenceId sequence, const Status& why) {
  const auto aborted = ledger_.on_abort(sequence, why);
  if (!aborted) return;
  if (aborted->running_on.has_value() != runs_on_.contains(sequence)) violate("an abort does not reach its replica");
  if (aborted->running_on) {
    const std::uint32_t index = aborted->running_on->replica.value;
    if (replicas_[index].generation == *aborted->running_on)
      to_replica(index, replicas_[index].from_gateway, options_.message_us_max,
                 [this, index, id = through_wire_(wire::Abort{sequence}).sequence] {
                   if (auto terminal = replicas_[index].scheduler->on_abort(id)) publish(index, {std::move(*terminal)});
                   pump(index);
                 });
  }
  deliver(aborted->terminal);
}

void SimCluster::on_replica_lost(ReplicaGeneration replica, const Status& why) {
  std::erase_if(runs_on_, [&](const auto& entry) { return entry.second == replica; });
  const auto orphans = ledger_.on_replica_lost(replica, why);
  for (const auto& terminal : orphans.terminal) deliver(terminal);
  for (const SequenceId sequence : orphans.to_route) ask_route(sequence);
}

// Client --------------------------------------------------------------------------------------------------------------

bool SimCluster::push(const TokenDelta& delta) {
  Client& client = clients_.at(delta.sequence);
  if (client.unread.size() >= client.credit && delta.finish == FinishReason::kNone) return false;
  client.unread.push_back(delta);
  if (client.read_us_max == 0) {
    read(delta.sequence);
  } else {
    loop_.after(static_cast<std::int64_t>(below(static_cast<std::uint64_t>(client.read_us_max))),
                [this, sequence = delta.sequence] { read(sequence); });
  }
  return true;
}

void SimCluster::read(SequenceId sequence) {
  Client& client = clients_.at(sequence);
  const TokenDelta delta = std::move(client.unread.front());
  client.unread.pop_front();
  client.checker->on_delta(delta);
  for (const std::uint64_t seen :
       {static_cast<std::uint64_t>(loop_.now().ns), sequence.value, static_cast<std::uint64_t>(delta.token.token),
        static_cast<std::uint64_t>(delta.finish)})
    report_.trace_hash = (report_.trace_hash ^ seen) * 0x100000001B3;
  if (client.checker->violation())
    violate("sequence " + std::to_string(sequence.value) + ": " + *client.checker->violation());
}

// Replica -------------------------------------------------------------------------------------------------------------

void SimCluster::start_replica(std::uint32_t index, Epoch epoch) {
  Replica& replica = replicas_[index];
  replica.generation = {ReplicaId(index), epoch};
  replica.alive = true;
  replica.scheduler = std::make_unique<scheduler::Scheduler>(
      options_.scheduler, epoch, scheduler::preempting_every(options_.preempt_every_steps));
  replica.collector = std::make_unique<replica::StepCollector>(epoch, options_.ranks);
  replica.plans = std::make_unique<PlanChecker>(options_.scheduler);
  replica.shards.clear();
  for (std::uint32_t rank = 0; rank < options_.ranks; ++rank)
    replica.shards.push_back(std::make_unique<ToyShard>(ToyConfig{.block_size = options_.scheduler.block_size,
                                                                  .num_blocks = options_.scheduler.num_blocks,
                                                                  .vocab_size = kVocabSize,
                                                                  .poison_per_million = options_.poison_per_million,
                                                                  .poison_seed = options_.seed}));
  replica.to_rank.assign(options_.ranks, {});
  replica.from_rank.assign(options_.ranks, {});
  replica.fail_next = replica.wrong_next = 0;
  replica.answers.clear();
  replica.spoiled.reset();
  if (epoch == Epoch(1)) return router_.on_replica_serving(replica.generation);  // sequences come once all serve
  notices_.send(loop_, random_, options_.message_us_max,
                [this, generation = replica.generation] { router_.on_replica_serving(generation); });
}

void SimCluster::lose_replica(std::uint32_t index, const Status& why) {
  Replica& replica = replicas_[index];
  faulty_ = true;
  ++report_.replicas_lost;
  replica.alive = false;
  report_.preemptions += replica.scheduler->stats().preemptions;
  report_.held_back += replica.scheduler->stats().held_back;
  (void)replica.scheduler->on_replica_lost();
  replica.scheduler->check_integrity();
  if (replica.scheduler->stats().blocks.num_held != 0) violate("a lost replica holds blocks");
  // Gateway and coordinator hear of it apart from each other, and apart from deltas that are still on their way.
  for (const bool gateway : {true, false}) {
    loop_.after(static_cast<std::int64_t>(below(static_cast<std::uint64_t>(options_.message_us_max))),
                [this, gateway, generation = replica.generation, why] {
                  if (gateway) {
                    on_replica_lost(generation, why);
                  } else {
                    router_.on_replica_lost(generation);
                  }
                });
  }
  // Back only after everybody heard of the loss; then under the next epoch.
  loop_.after(
      options_.message_us_max + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(options_.restart_us_max))),
      [this, index, epoch = replica.generation.epoch] { start_replica(index, Epoch(epoch.value + 1)); });
}

void SimCluster::to_replica(std::uint32_t index, Link& link, std::int64_t us_max, EventLoop::Event event) {
  link.send(loop_, random_, us_max, [this, index, generation = replicas_[index].generation, event = std::move(event)] {
    if (replicas_[index].alive && replicas_[index].generation == generation) event();
  });
}

void SimCluster::run_sequence(std::uint32_t index, const Submission& submission) {
  const Status status = replicas_[index].scheduler->on_submit(submission, loop_.now());
  if (!status.ok()) {
    TokenDelta refused;
    refused.sequence = submission.sequence;
    refused.attempt = submission.attempt;
    refused.finish = FinishReason::kRefused;
    refused.error = status;
    return publish(index, {std::move(refused)});
  }
  pump(index);
}

void SimCluster::pump(std::uint32_t index) {
  Replica& replica = replicas_[index];
  while (auto planned = replica.scheduler->plan_step(loop_.now())) {
    replica.plans->on_plan(*planned);
    const StepPlan plan = through_wire_(std::move(*planned));
    replica.collector->on_plan_sent(plan.step, loop_.now());
    for (std::uint32_t rank = 0; rank < options_.ranks; ++rank)
      to_replica(index, replica.to_rank[rank], options_.message_us_max,
                 [this, index, rank, plan] { execute(index, rank, plan); });
  }
}

void SimCluster::execute(std::uint32_t index, std::uint32_t rank, const StepPlan& plan) {
  Replica& replica = replicas_[index];
  StepResult result = replica.shards[rank]->execute(plan);
  if (replica.shards[rank]->violation()) violate("rank: " + *replica.shards[rank]->violation());
  result.rank = rank;
  if (rank != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
  }
  if (rank == options_.ranks - 1 && replica.fail_next > 0) {
    --replica.fail_next;
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
    result.status = {StatusCode::kInternal, "injected"};
  } else if (rank != 0 && replica.wrong_next > 0) {
    --replica.wrong_next;
    if (!replica.spoiled) replica.spoiled = plan.step;
    result.token_hash ^= 1;
  }
  to_replica(index, replica.from_rank[rank], options_.message_us_max + options_.step_us_max,
             [this, index, result = through_wire_(std::move(result))] { on_step_done(index, result); });
}

void SimCluster::on_step_done(std::uint32_t index, const StepResult& result) {
  Replica& replica = replicas_[index];
  ++replica.answers[result.step];
  const auto results = replica.collector->on_result(result, loop_.now());
  if (!results) return lose_replica(index, results.error().why);
  for (const auto& [done, step_s] : *results) {
    if (step_s < 0.0) violate("a step that ended before it began");
    if (replica.answers[done.step] != options_.ranks) violate("a step counted before all ranks had done it");
    if (replica.spoiled == done.step) violate("a step with different tokens counted");
    replica.answers.erase(done.step);
    replica.plans->on_result();
    publish(index, replica.scheduler->on_step_done(done, loop_.now()));
  }
  replica.scheduler->check_integrity();
  pump(index);
}

void SimCluster::publish(std::uint32_t index, std::vector<TokenDelta> deltas) {
  if (deltas.empty()) return;
  Replica& replica = replicas_[index];
  const ReplicaGeneration from = replica.generation;
  const bool twice = below(100) < options_.duplicates_percent;
  // What was sent arrives, even if its sender dies meanwhile.
  for (int copy = 0; copy < (twice ? 2 : 1); ++copy)
    replica.to_gateway.send(loop_, random_, options_.delta_us_max,
                            [this, from, deltas = through_wire_(deltas)] { on_deltas(from, deltas); });
}

// Checks --------------------------------------------------------------------------------------------------------------

void SimCluster::check_all() {
  ledger_.check_integrity();
  for (const Replica& replica : replicas_) {
    if (replica.plans->violation()) violate("plan: " + *replica.plans->violation());
  }
}

void SimCluster::check_drained() {
  if (!healed_) violate("ended before the faults did");
  if (!ledger_.open_sequences().empty())
    violate("sequence " + std::to_string(ledger_.open_sequences()[0].value) + " never ended");
  std::uint64_t accepted = 0;
  for (const auto& [sequence, client] : clients_) {
    if (client.refused) continue;
    ++accepted;
    report_.prompt_logprobs += client.checker->prompt_logprobs();
    if (!client.checker->ended()) violate("sequence " + std::to_string(sequence.value) + " has no terminal event");
  }
  if (accepted != ledger_.stats().accepted) violate("the ledger accepted other sequences than its clients");
  for (const Replica& replica : replicas_) {
    report_.preemptions += replica.scheduler->stats().preemptions;
    report_.held_back += replica.scheduler->stats().held_back;
    if (!replica.alive) violate("a replica is still down");
    if (!replica.scheduler->idle()) violate("a scheduler is not idle");
    if (replica.scheduler->stats().blocks.num_held != 0) violate("blocks are held after the drain");
    for (const auto& shard : replica.shards) {
      if (shard->num_sequences() != 0) violate("a rank still knows sequences after the drain");
    }
  }
}

}  // namespace herd::sim
