#include "tests/actors/toy_cluster.h"
#include "tests/runtime/blocking_rank.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "actors/standalone_actors.h"

namespace herd::actors {
namespace {

constexpr std::uint32_t kBlocks = 256;

scheduler::SchedulerConfig toy_scheduler() {
  scheduler::SchedulerConfig config;
  config.max_num_seqs = 16;
  config.max_num_batched_tokens = 64;
  config.max_model_len = 256;
  config.num_blocks = kBlocks;
  return config;
}

bool take(std::atomic<std::int64_t>& fault, std::int64_t rank) { return fault.compare_exchange_strong(rank, -1); }

void fail_step(step::StepResult& result) {
  result.sampled.clear();
  result.outputs.clear();
  result.prompt_logprobs.clear();
  result.blocks_written = 0;
  result.damaged.clear();
  result.status = {StatusCode::kAborted, "injected"};
}

// Which generations were given up: what a "collective" of toys looks at.
class ToyGroups {
 public:
  void abort(ReplicaId replica, Epoch epoch) {
    const std::scoped_lock lock(mutex_);
    Epoch& last = aborted_[replica];
    last = std::max(last, epoch);
  }
  [[nodiscard]] bool aborted(ReplicaId replica, Epoch epoch) const {
    const std::scoped_lock lock(mutex_);
    const auto last = aborted_.find(replica);
    return last != aborted_.end() && epoch <= last->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<ReplicaId, Epoch> aborted_;
};

void wait_a_little() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

// One toy shard with its faults, in one group. Every call has to come from the thread it was made on.
class ToyRank {
 public:
  ToyRank(std::shared_ptr<ToyFaults> faults, std::shared_ptr<const ToyGroups> groups, const RankStart& start, Epoch epoch)
      : faults_(std::move(faults)),
        groups_(std::move(groups)),
        start_(start),
        epoch_(epoch),
        rank_(start.rank),
        name_(std::int64_t{start.replica.value} * 100 + start.rank) {}

  step::StepResult run(const step::StepPlan& plan) {
    check_thread();
    if (plan.epoch != epoch_) throw std::logic_error("a plan of another group");
    start_.progress->begin_step(plan.epoch.value, plan.step.value);
    start_.progress->begin(Operation::kMatmul);
    if (take(faults_->stop_rank, name_)) {
      while (!faults_->released) wait_a_little();
    }
    const std::uint32_t step_us = faults_->step_us;
    if (step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(step_us));
    step::StepResult result = shard_.execute(plan);
    if (shard_.violation()) throw std::runtime_error(*shard_.violation());
    result.rank = rank_;
    if (rank_ != 0) {
      result.sampled.clear();
      result.outputs.clear();
      result.prompt_logprobs.clear();
    }
    if (take(faults_->other_tokens_rank, name_)) result.token_hash ^= 1;
    if (take(faults_->fail_rank, name_)) fail_step(result);
    start_.progress->begin(Operation::kIdle);
    return result;
  }
  // Every rank's share is all of the block.
  void give(step::BlockBytes block) { shard_.give(std::move(block)); }
  [[nodiscard]] std::vector<step::BlockBytes> take_blocks_read() {
    std::vector<step::BlockBytes> blocks = shard_.take_blocks_read();
    for (step::BlockBytes& block : blocks) block.rank = rank_;
    return blocks;
  }
  // In its "collective", for others that never come.
  void wait_for_abort() {
    start_.progress->begin(Operation::kCollective);
    while (!aborted()) wait_a_little();
    start_.progress->begin(Operation::kIdle);
  }
  [[nodiscard]] bool aborted() const { return groups_->aborted(start_.replica, epoch_); }
  void check_thread() const {
    if (std::this_thread::get_id() != thread_)
      throw std::logic_error("called on another thread than it was made on");
  }
  [[nodiscard]] bool throws() { return take(faults_->throw_rank, name_); }
  [[nodiscard]] bool hangs() { return take(faults_->hang_rank, name_); }
  [[nodiscard]] ToyFaults& faults() { return *faults_; }

 private:
  const std::shared_ptr<ToyFaults> faults_;
  const std::shared_ptr<const ToyGroups> groups_;
  const RankStart start_;
  const Epoch epoch_;
  const std::uint32_t rank_;
  const std::int64_t name_;
  const std::thread::id thread_ = std::this_thread::get_id();
  sim::ToyShard shard_{sim::ToyConfig{.block_size = 16, .num_blocks = kBlocks, .vocab_size = kToyVocabSize}};
};

[[noreturn]] void lose_device() { throw std::runtime_error("the device is gone"); }

// A CPU: the step is done when submit returns.
step::StepResult run_at_once(ToyRank& rank, const step::StepPlan& plan) {
  if (rank.throws()) lose_device();
  step::StepResult result = rank.run(plan);
  if (rank.hangs()) {
    rank.wait_for_abort();
    fail_step(result);
  }
  return result;
}

// A device: steps finish in order, some looks later.
class LateRank final : public shard::RankExecutor {
 public:
  LateRank(std::unique_ptr<ToyRank> rank, std::uint32_t looks) : rank_(std::move(rank)), looks_(looks) {}
  ~LateRank() override { rank_->faults().under_way -= static_cast<std::int64_t>(steps_.size()); }

  void submit(const step::StepPlan& plan) override {
    rank_->check_thread();
    if (steps_.size() >= static_cast<std::size_t>(shard::kStepsUnderWay))
      throw std::logic_error("more steps under way than there may be");
    steps_.push_back({rank_->run(plan), looks_, rank_->hangs(), rank_->throws()});
    ToyFaults& faults = rank_->faults();
    ++faults.under_way;
    faults.under_way_most = std::max(faults.under_way_most.load(), static_cast<std::uint32_t>(steps_.size()));
  }
  bool ready(std::chrono::microseconds patience) override {
    rank_->check_thread();
    Step& step = steps_.at(0);
    if (step.hangs ? rank_->aborted() : step.looks == 0) return true;
    if (step.looks > 0) --step.looks;
    if (patience.count() > 0) std::this_thread::sleep_for(patience);
    return false;
  }
  step::StepResult collect() override {
    rank_->check_thread();
    Step step = std::move(steps_.at(0));
    steps_.pop_front();
    --rank_->faults().under_way;
    if (step.throws) lose_device();
    if (step.hangs) fail_step(step.result);
    return step.result;
  }
  void give(step::BlockBytes block) override { rank_->give(std::move(block)); }
  std::vector<step::BlockBytes> take_blocks_read() override { return rank_->take_blocks_read(); }

 private:
  struct Step {
    step::StepResult result;
    std::uint32_t looks = 0;  // that still find it unfinished
    bool hangs = false;
    bool throws = false;
  };
  const std::unique_ptr<ToyRank> rank_;
  const std::uint32_t looks_;
  std::deque<Step> steps_;
};

std::unique_ptr<shard::RankExecutor> make_executor(std::unique_ptr<ToyRank> rank, std::uint32_t late_looks) {
  if (late_looks > 0) return std::make_unique<LateRank>(std::move(rank), late_looks);
  const std::shared_ptr<ToyRank> toy(std::move(rank));
  return std::make_unique<shard::BlockingRank>(
      [toy](const step::StepPlan& plan) { return run_at_once(*toy, plan); },
      shard::BlockingRank::Blocks{[toy](step::BlockBytes block) { toy->give(std::move(block)); },
                                  [toy] { return toy->take_blocks_read(); }});
}

// A toy through its lives.
class ToyLife final : public Rank {
 public:
  ToyLife(std::shared_ptr<ToyFaults> faults, std::shared_ptr<const ToyGroups> groups, RankStart start, WrapToy wrap)
      : faults_(std::move(faults)), groups_(std::move(groups)), start_(std::move(start)), wrap_(std::move(wrap)) {}

  Expected<scheduler::DeviceRates> prepare() override {
    if (faults_->refuse_rank == std::int64_t{start_.replica.value} * 100 + start_.rank)
      return fail(missing("no memory for rank " + std::to_string(start_.rank)));
    ++faults_->made;
    if (start_.read_weights_again) ++faults_->made_again;
    return scheduler::DeviceRates{};
  }
  Status join(Epoch epoch, const Rendezvous& rendezvous) override {
    if (executor_ != nullptr) throw std::logic_error("a rank joins a group while it is in another");
    if (rendezvous != "toys of epoch " + std::to_string(epoch.value)) return {StatusCode::kInternal, "the wrong place"};
    if (groups_->aborted(start_.replica, epoch)) return {StatusCode::kAborted, "the group was given up"};
    ++faults_->joined;
    executor_ = make_executor(std::make_unique<ToyRank>(faults_, groups_, start_, epoch), faults_->late_looks);
    if (wrap_) executor_ = wrap_(std::move(executor_));
    return {};
  }
  void leave() override { executor_.reset(); }
  shard::RankExecutor& executor() override { return *executor_; }

 private:
  const std::shared_ptr<ToyFaults> faults_;
  const std::shared_ptr<const ToyGroups> groups_;
  const RankStart start_;
  const WrapToy wrap_;
  std::unique_ptr<shard::RankExecutor> executor_;
};

class ToyGround final : public RankGround {
 public:
  ToyGround(std::shared_ptr<ToyFaults> faults, WrapToy wrap) : faults_(std::move(faults)), wrap_(std::move(wrap)) {}
  Expected<std::unique_ptr<Rank>> make_rank(const RankStart& start) override {
    return std::make_unique<ToyLife>(faults_, groups_, start, wrap_);
  }
  Expected<Rendezvous> open_group(ReplicaId, Epoch epoch) override {
    return "toys of epoch " + std::to_string(epoch.value);
  }
  void abort_group(ReplicaId replica, Epoch epoch, const Status&) override {
    if (!groups_->aborted(replica, epoch)) ++faults_->aborted_replicas;
    groups_->abort(replica, epoch);
  }

 private:
  const std::shared_ptr<ToyFaults> faults_;
  const WrapToy wrap_;
  const std::shared_ptr<ToyGroups> groups_ = std::make_shared<ToyGroups>();
};

}  // namespace

StandaloneConfig toy_config(std::uint32_t replicas, std::uint32_t ranks, std::shared_ptr<ToyFaults> faults,
                            const WrapToy& wrap) {
  StandaloneConfig config;
  config.scheduler = toy_scheduler();
  config.replicas = replicas;
  config.ranks = ranks;
  config.ground = std::make_shared<ToyGround>(std::move(faults), wrap);
  config.restart_budget.restarts = 1'000'000;
  config.restart_budget.backoff_s = 0.0;
  return config;
}

step::Submission toy_submission(std::uint64_t sequence, std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
  step::Submission submission;
  submission.sequence = SequenceId(sequence);
  for (std::uint32_t i = 0; i < prompt_tokens; ++i)
    submission.tokens.push_back(static_cast<TokenId>((i < prompt_tokens / 2 ? i : i * sequence) % kToyVocabSize));
  submission.prompt_tokens = prompt_tokens;
  submission.max_tokens = max_tokens;
  submission.sampling.seed = sequence * 7919;
  submission.sampling.temperature = 1.0F;
  submission.sampling.ignore_eos = true;
  return submission;
}

ToyCluster::ToyCluster(StandaloneConfig config) : actors_(std::make_unique<StandaloneActors>(std::move(config))) {
  const Status status = actors_->start();
  if (!status.ok()) throw std::runtime_error(status.message());
}
ToyCluster::~ToyCluster() = default;

ClusterClient& ToyCluster::client() { return actors_->client(); }

std::unique_ptr<ClusterClient> ToyCluster::join_gateway(GatewayId id) {
  gateway::GatewayConfig config = StandaloneConfig::gateway_of_one_caller();
  config.id = id;
  auto client = actors_->join_gateway(config);
  const std::size_t serving = status()->serving_replicas();
  if (!client->await_status([serving](const ClusterStatus& known) { return known.serving_replicas() == serving; },
                            std::chrono::minutes(1)))
    throw std::runtime_error("a gateway that joined does not learn of the replicas");
  admission::TenantLimits everybody;
  everybody.in_flight_max = 0;
  client->set_tenant(admission::TenantId{}, everybody);
  return client;
}

bool ToyCluster::kill_rank(ReplicaId replica, std::uint32_t rank) {
  const RankHandle living = actors_->rank(replica, rank);
  if (!living) return false;
  caf::anon_send_exit(living, caf::exit_reason::kill);
  forget_actor_system();
  return true;
}

bool ToyCluster::await(const std::function<bool(const ClusterStatus&)>& wanted) {
  return actors_->client().await_status(wanted, std::chrono::minutes(1));
}

bool ToyCluster::shutdown(std::chrono::milliseconds patience) { return actors_->shutdown(patience); }

bool await_status(const ClusterClient& client, const std::function<bool(const ClusterStatus&)>& wanted) {
  for (int looks = 0; looks < 12'000; ++looks) {
    if (wanted(*client.status())) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::optional<step::TokenDelta> terminal_of(const gateway::RequestEnd& end) {
  using Kind = gateway::RequestEnd::Kind;
  step::TokenDelta terminal;
  terminal.error = end.why;
  switch (end.kind) {
    case Kind::kFinished: return std::nullopt;
    case Kind::kRefused: terminal.finish = step::FinishReason::kRefused; break;
    case Kind::kGone:
    case Kind::kSlow:
    case Kind::kShutdown: terminal.finish = step::FinishReason::kAborted; break;
    default: terminal.finish = step::FinishReason::kFailed;
  }
  return terminal;
}

void ToyClient::submit(const step::Submission& submission) {
  streams_.emplace(submission.sequence, sim::StreamChecker(submission, toy_scheduler().max_model_len, kToyVocabSize));
  queue_.submit(RequestId(submission.sequence.value), submission);
}

bool ToyClient::read_one(std::chrono::milliseconds timeout) {
  const auto heard = queue_.next(timeout);
  if (!heard) return false;
  const SequenceId sequence(heard->request.value);
  if (const step::TokenDelta* delta = heard->delta()) {
    streams_.at(sequence).on_delta(*delta);
    return true;
  }
  if (const auto terminal = terminal_of(*heard->end())) streams_.at(sequence).on_delta(*terminal);
  errors_[sequence] = heard->end()->why;
  return true;
}

bool ToyClient::read_all(std::chrono::milliseconds timeout) {
  while (errors_.size() < streams_.size()) {
    if (!read_one(timeout)) return false;
  }
  return true;
}

bool ToyClient::read_until(SequenceId sequence, std::uint32_t tokens) {
  const sim::StreamChecker& stream = streams_.at(sequence);
  while (stream.tokens() < tokens && !stream.ended()) {
    if (!read_one(std::chrono::seconds(20))) return false;
  }
  return stream.tokens() >= tokens;
}

std::size_t ToyClient::count(step::FinishReason finish) const {
  std::size_t count = 0;
  for (const auto& [sequence, stream] : streams_) count += stream.finish() == finish ? 1 : 0;
  return count;
}

std::string ToyClient::violation() const {
  for (const auto& [sequence, stream] : streams_) {
    if (stream.violation()) return "sequence " + std::to_string(sequence.value) + ": " + *stream.violation();
  }
  return "";
}

}  // namespace herd::actors
