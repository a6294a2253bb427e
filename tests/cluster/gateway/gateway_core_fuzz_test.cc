// GatewayCore in a small world of three replicas that die, drain, refuse, lose their links and tell everything late, under
// random events. An observer, which knows nothing of the core's inside, judges every effect.
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <variant>

#include "tests/cluster/gateway/gateway_harness.h"

namespace herd::gateway {
namespace {

using routing::LossCause;
using routing::ReplicaGeneration;
using routing::ReplicaState;
using step::AttemptKey;
using step::FinishReason;
using step::TokenDelta;
using End = RequestEnd::Kind;

constexpr std::uint32_t kReplicas = 3;

// What a client and a replica may expect of the gateway.
class Observer {
 public:
  struct Choice {
    std::vector<TokenId> tokens;  // delivered
    bool over = false;
    bool tried = false;  // by an attempt that was not said to be over
  };
  struct Request {
    GatewayRequest asked;
    bool started = false;
    std::optional<End> ended;
    std::vector<Choice> choices;
  };
  struct Sequence {
    RequestId request;
    std::uint32_t choice = 0;
    std::optional<ReplicaGeneration> on;  // as the gateway knows
    std::uint32_t attempts = 0;
    std::uint32_t alone_until = 0;
    bool failed = false;                  // a replica said what ends it
    std::map<AttemptKey, ReplicaGeneration> ran_on;
    std::set<ReplicaGeneration> deaths;   // of a rank's own fault, perhaps because of this sequence
    routing::NumericsId numerics;
  };

  void see(const GatewayEffect& effect) {
    std::visit([this](const auto& one) { on(one); }, effect);
  }
  void blame(const routing::ReplicaLoss& loss) {
    if (loss.cause != LossCause::kDiedOfItself) return;
    for (auto& [id, sequence] : sequences) {
      for (const auto& [attempt, generation] : sequence.ran_on) {
        const bool in_step = !loss.in_step || std::ranges::count(*loss.in_step, attempt, &routing::AttemptInStep::attempt) > 0;
        if (generation == loss.replica && in_step) sequence.deaths.insert(generation);
      }
    }
  }
  // The gateway was told.
  void told_lost(ReplicaGeneration lost) {
    auto& last = lost_.try_emplace(lost.replica, lost.epoch).first->second;
    last = std::max(last, lost.epoch);
    for (auto& [id, sequence] : sequences) {
      if (sequence.on && sequence.on->replica == lost.replica && sequence.on->epoch <= lost.epoch) sequence.on.reset();
    }
  }
  void told_view(const routing::ClusterView& told) {
    view = told;
    for (const auto& replica : told.replicas) {
      if (replica.state == ReplicaState::kLost) told_lost(replica.route.generation);
    }
    for (auto& [id, sequence] : sequences) {
      if (sequence.on && find(*sequence.on) == nullptr) sequence.on.reset();
    }
  }
  void told_cut(ReplicaGeneration replica) {
    for (auto& [id, sequence] : sequences) {
      if (sequence.on == replica) sequence.on.reset();
    }
  }
  void told_delta(ReplicaGeneration from, const TokenDelta& delta) {
    const auto found = sequences.find(delta.sequence);
    if (found == sequences.end() || found->second.on != from || found->second.attempts != delta.attempt + 1) return;
    if (delta.finish == FinishReason::kNone) return;
    found->second.on.reset();
    const bool elsewhere = delta.finish == FinishReason::kRefused && delta.error.code() == StatusCode::kOverloaded;
    found->second.failed |= delta.finish == FinishReason::kFailed || (delta.finish == FinishReason::kRefused && !elsewhere);
  }
  void stopped(RequestId request, std::uint32_t choice) { requests.at(request).choices.at(choice).over = true; }

  [[nodiscard]] const routing::ReplicaView* find(ReplicaGeneration generation) const {
    for (const auto& replica : view.replicas) {
      if (replica.route.generation == generation) return &replica;
    }
    return nullptr;
  }
  [[nodiscard]] std::vector<TokenId> delivered(const Sequence& sequence) const {
    return requests.at(sequence.request).choices.at(sequence.choice).tokens;
  }

  std::map<RequestId, Request> requests;
  std::map<SequenceId, Sequence> sequences;  // that ran at least once
  routing::ClusterView view;
  std::map<RequestId, std::uint32_t> next_choice;
  std::optional<Instant> wake;

 private:
  void on(const StartRequest& start) {
    Request& request = requests.at(start.request);
    ASSERT_FALSE(request.started || request.ended) << "a request starts once";
    request.started = true;
    request.choices.resize(request.asked.sequences);
  }
  void on(const RunOn& run) {
    const step::Submission& sent = run.submission;
    const auto known = sequences.find(sent.sequence);
    if (known == sequences.end()) {
      // Which request it belongs to is in its first prompt token (World::choices_of).
      Sequence fresh;
      fresh.request = RequestId(static_cast<std::uint64_t>(sent.tokens.at(0)));
      fresh.choice = static_cast<std::uint32_t>(sent.tokens.at(1));
      fresh.numerics = requests.at(fresh.request).asked.numerics;
      sequences.emplace(sent.sequence, fresh);
    }
    Sequence& sequence = sequences.at(sent.sequence);
    Request& request = requests.at(sequence.request);
    ASSERT_TRUE(request.started && !request.ended && !request.choices.at(sequence.choice).over);
    ASSERT_FALSE(sequence.on) << "it runs in one place";
    ASSERT_EQ(run.request, sequence.request);
    ASSERT_EQ(run.choice, sequence.choice);
    ASSERT_FALSE(std::exchange(request.choices[run.choice].tried, true)) << "whoever traces hears of an attempt's end before the next one";
    ASSERT_EQ(sent.gateway, kGateway);
    ASSERT_EQ(sent.attempt, sequence.attempts) << "attempts rise one by one, also those refused";
    std::vector<TokenId> context{sent.tokens.begin(), sent.tokens.begin() + sent.prompt_tokens};
    for (const TokenId token : delivered(sequence)) context.push_back(token);
    ASSERT_EQ(sent.tokens, context) << "what the client has is what the next replica goes on with";

    const auto* replica = find(run.to.generation);
    ASSERT_TRUE(replica != nullptr && replica->route == run.to && replica->state == ReplicaState::kServing);
    const auto lost = lost_.find(run.to.generation.replica);
    ASSERT_TRUE(lost == lost_.end() || run.to.generation.epoch > lost->second) << "that generation is known to be lost";
    ASSERT_TRUE(sequence.numerics.empty() || sequence.numerics == run.to.numerics);
    std::size_t running = 0;
    std::size_t suspects = 0;
    for (const auto& [id, other] : sequences) {
      if (other.on != run.to.generation) continue;
      ++running;
      suspects += other.alone_until > delivered(other).size() ? 1 : 0;
    }
    ASSERT_LT(running, replica->sequences_max) << "no more than it has room for";
    if (sent.alone_until > 0) {
      ASSERT_EQ(suspects, 0U) << "one suspect at a time";
      ASSERT_GE(sequence.deaths.size(), 1U) << "nobody is suspected without a death of the rank's own";
    }
    sequence.on = run.to.generation;
    sequence.ran_on[sent.key()] = run.to.generation;
    sequence.attempts = sent.attempt + 1;
    sequence.alone_until = sent.alone_until;
    sequence.numerics = run.to.numerics;
  }
  void on(const StopOn& stop) {
    Sequence& sequence = sequences.at(stop.attempt.sequence);
    ASSERT_EQ(stop.attempt.attempt + 1, sequence.attempts);
    ASSERT_EQ(sequence.on, stop.on.generation) << "only what runs is stopped";
    sequence.on.reset();
  }
  void on(const AttemptCut& cut) {
    Request& request = requests.at(cut.request);
    ASSERT_TRUE(request.started && !request.ended);
    ASSERT_TRUE(std::exchange(request.choices.at(cut.choice).tried, false)) << "what is cut short has run";
    ASSERT_FALSE(request.choices[cut.choice].over);
    ASSERT_FALSE(cut.why.ok());
  }
  void on(const Deliver& deliver) {
    Request& request = requests.at(deliver.request);
    Choice& choice = request.choices.at(deliver.choice);
    ASSERT_TRUE(request.started && !request.ended && !choice.over);
    const auto& sequence = sequences.at(deliver.delta.sequence);
    ASSERT_EQ(sequence.request, deliver.request);
    ASSERT_EQ(sequence.choice, deliver.choice);
    if (deliver.delta.has_token) {
      ASSERT_EQ(deliver.delta.token.output_index, choice.tokens.size());
      choice.tokens.push_back(deliver.delta.token.token);
    }
    choice.over = deliver.delta.finish != FinishReason::kNone;
  }
  void on(const EndRequest& end) {
    Request& request = requests.at(end.request);
    ASSERT_FALSE(request.ended) << "a request ends once";
    request.ended = end.end.kind;
    ASSERT_EQ(end.end.started, request.started);
    ASSERT_EQ(end.end.why.ok(), end.end.kind == End::kFinished || end.end.kind == End::kGone);
    bool all_over = true;
    for (const Choice& choice : request.choices) all_over &= choice.over;
    ASSERT_TRUE(end.end.kind != End::kFinished || all_over);
    ASSERT_EQ(end.end.kind == End::kRefused, end.end.refusal.has_value());
    if (end.end.kind != End::kFailed) return;
    // The only good reasons: a replica said so, it died twice of it, or nobody is left to wait for.
    bool excused = nobody_will_serve(request.asked.numerics);
    for (const auto& [id, sequence] : sequences) {
      if (sequence.request != end.request) continue;
      excused |= sequence.failed || sequence.deaths.size() >= 2 || nobody_will_serve(sequence.numerics);
    }
    ASSERT_TRUE(excused) << end.end.why.message();
  }
  void on(const WakeAt& said) { wake = said.at; }

  [[nodiscard]] bool nobody_will_serve(const routing::NumericsId& numerics) const {
    return std::ranges::none_of(view.replicas, [&](const routing::ReplicaView& replica) {
      const bool of_them = numerics.empty() || replica.route.numerics == numerics;
      const bool leaves = replica.state == ReplicaState::kLost || replica.state == ReplicaState::kDraining;
      return of_them && (!leaves || replica.returns);
    });
  }

  std::map<ReplicaId, Epoch> lost_;  // that the gateway was told
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), core_(config(seed)) {
    for (std::uint32_t i = 0; i < kReplicas; ++i) replicas_.push_back({.view = replica(i, 1)});
    for (auto& one : replicas_) one.view.sequences_max = 1 + chance(4);
    mixed_ = chance(4) == 0;
    if (mixed_) replicas_[2].view.route.numerics = "sm90-1";
    push_view();
  }

  void run(int events) {
    for (int i = 0; i < events && !testing::Test::HasFatalFailure(); ++i) {
      happen();
      core_.check_integrity();
    }
    if (testing::Test::HasFatalFailure()) return;
    settle();
  }

  [[nodiscard]] RequestLedgerStats ledger() const { return core_.ledger(); }
  Observer observer;

 private:
  using Message = std::variant<RunOn, StopOn>;  // to a replica
  struct Replica {
    routing::ReplicaView view;
    std::deque<Message> inbox{};
    std::deque<TokenDelta> outbox{};
    std::map<AttemptKey, step::Submission> running{};
  };
  using News = std::variant<routing::ClusterView, routing::ReplicaLoss>;

  static GatewayConfig config(std::uint64_t seed) {
    GatewayConfig config = gateway_config();
    config.jitter_seed = seed;
    config.admission.running_sequences_max = 1 + seed % 12;
    config.admission.queue_requests_max = 4 + seed % 5;
    config.open_sequences_max = 64;
    return config;
  }
  std::uint32_t chance(std::uint32_t of) { return static_cast<std::uint32_t>(random_() % of); }
  Replica& any_replica() { return replicas_[chance(kReplicas)]; }
  std::optional<RequestId> any_request() {
    if (observer.requests.empty()) return std::nullopt;
    return RequestId(1 + random_() % observer.requests.size());
  }

  void happen() {
    switch (chance(20)) {
      case 0:
      case 1:
        return ask();
      case 2:
      case 3:
      case 4:
      case 5:
        return read_inbox(any_replica());
      case 6:
      case 7:
      case 8:
      case 9:
        return compute(any_replica());
      case 10:
      case 11:
      case 12:
      case 13:
        return deliver(any_replica());
      case 14:
      case 15:
        return tell();
      case 16:
        return misfortune(any_replica());
      case 17:
        return client();
      default:
        return pass_time();
    }
  }

  void ask() {
    GatewayRequest request = Gateway::request(observer.requests.size() + 1, chance(8) == 0 ? 0 : 1 + chance(3));
    request.deadline = {now_.ns + 1'000'000LL * (1 + chance(4000))};
    request.credit = 1 + chance(12);
    request.tenant = admission::TenantId(chance(2));
    if (chance(6) == 0) request.numerics = "cpu-1";
    observer.requests[request.id].asked = request;
    act([&](GatewayEffects& made) { core_.on_request(request, now_, made); });
  }
  static std::vector<step::Submission> choices_of(const GatewayRequest& request) {
    std::vector<step::Submission> choices;
    for (std::uint32_t i = 0; i < request.sequences; ++i) {
      choices.push_back(submission(i));
      choices.back().tokens = {static_cast<TokenId>(request.id.value), static_cast<TokenId>(i), 9};
    }
    return choices;
  }

  // The orders that reached it.
  void read_inbox(Replica& replica) {
    if (replica.inbox.empty()) return;
    const Message message = std::move(replica.inbox.front());
    replica.inbox.pop_front();
    if (const auto* stop = std::get_if<StopOn>(&message)) {
      replica.running.erase(stop->attempt);
      return;
    }
    const step::Submission& asked = std::get<RunOn>(message).submission;
    const auto luck = chance(12);
    if (luck > 1) {
      replica.running.emplace(asked.key(), asked);
      return;
    }
    TokenDelta refused = delta_of(asked.key());
    refused.finish = FinishReason::kRefused;
    refused.error = {luck == 0 || chance(10) > 0 ? StatusCode::kOverloaded : StatusCode::kBadInput, "no"};
    replica.outbox.push_back(refused);
  }
  static TokenDelta delta_of(const AttemptKey& attempt) {
    TokenDelta delta;
    delta.gateway = attempt.gateway;
    delta.sequence = attempt.sequence;
    delta.attempt = attempt.attempt;
    return delta;
  }
  void compute(Replica& replica) {
    if (replica.running.empty() || replica.view.state == ReplicaState::kLost) return;
    auto one = std::next(replica.running.begin(), chance(static_cast<std::uint32_t>(replica.running.size())));
    step::Submission& sequence = one->second;
    TokenDelta delta = delta_of(one->first);
    if (chance(60) == 0) {
      delta.finish = FinishReason::kFailed;
      delta.error = {StatusCode::kInternal, "its logits are not finite"};
    } else {
      delta.has_token = true;
      delta.token.sequence = delta.sequence;
      delta.token.output_index = static_cast<std::uint32_t>(sequence.tokens.size()) - sequence.prompt_tokens;
      delta.token.token = static_cast<TokenId>(random_() % 1000);
      sequence.tokens.push_back(delta.token.token);
      const bool full = delta.token.output_index + 1 >= sequence.max_tokens;
      if (full || chance(10) == 0) delta.finish = full ? FinishReason::kLength : FinishReason::kStop;
    }
    if (delta.finish != FinishReason::kNone) replica.running.erase(one);
    replica.outbox.push_back(delta);
  }
  void deliver(Replica& replica) {
    std::vector<TokenDelta> batch;
    for (auto many = 1 + chance(4); many > 0 && !replica.outbox.empty(); --many) {
      batch.push_back(replica.outbox.front());
      replica.outbox.pop_front();
    }
    if (chance(30) == 0 && !batch.empty()) batch.push_back(batch.back());  // twice
    const ReplicaGeneration from = replica.view.route.generation;
    for (const TokenDelta& delta : batch) {
      const bool known = observer.sequences.contains(delta.sequence);
      ASSERT_TRUE(known);
      // One by one, so that the observer follows; on_deltas takes them as they come.
      act([&](GatewayEffects& made) { core_.on_deltas(from, {&delta, 1}, now_, made); },
          [&] { observer.told_delta(from, delta); });
    }
  }

  void misfortune(Replica& replica) {
    const auto state = replica.view.state;
    if (state == ReplicaState::kLost) return chance(3) == 0 ? make_again(replica) : void();
    switch (chance(5)) {
      case 0:
        if (state == ReplicaState::kServing) replica.view.state = ReplicaState::kDraining;
        return push_view();
      case 1:
        return cut(replica);
      case 2:
        if (state == ReplicaState::kMaking) replica.view.state = ReplicaState::kServing;
        return push_view();
      default:
        return die(replica);
    }
  }
  void cut(Replica& replica) {
    replica.inbox.clear();
    replica.outbox.clear();
    replica.running.clear();
    const ReplicaGeneration generation = replica.view.route.generation;
    act([&](GatewayEffects& made) { core_.on_link_lost(generation, now_, made); },
        [&] { observer.told_cut(generation); });
  }
  void die(Replica& replica) {
    constexpr LossCause kCauses[] = {LossCause::kKilled, LossCause::kDiedOfItself, LossCause::kDiedOfItself,
                                     LossCause::kOverdue, LossCause::kTokensDiffer, LossCause::kStopped};
    routing::ReplicaLoss loss{.replica = replica.view.route.generation,
                              .cause = kCauses[chance(6)],
                              .why = {StatusCode::kAborted, "it is lost"},
                              .in_step = std::nullopt};
    if (chance(3) > 0) {
      loss.in_step.emplace();
      for (const auto& [attempt, sequence] : replica.running) {
        if (chance(2) == 0) loss.in_step->push_back({attempt});
      }
    }
    replica.view.state = ReplicaState::kLost;
    replica.view.returns = chance(6) > 0;
    if (chance(2) == 0) {
      cut(replica);
    } else {
      replica.inbox.clear();
      replica.running.clear();  // what it had sent still arrives, perhaps
    }
    if (chance(5) > 0) news_.push_back(loss);  // else the notice is lost on its way
    if (chance(8) == 0) news_.push_back(loss);
    push_view();
  }
  void make_again(Replica& replica) {
    const Epoch epoch(replica.view.route.generation.epoch.value + 1);
    replica = {.view = replica.view};
    replica.view.route.generation.epoch = epoch;
    replica.view.state = chance(2) == 0 ? ReplicaState::kMaking : ReplicaState::kServing;
    replica.view.returns = true;
    push_view();
  }
  void push_view() {
    routing::ClusterView view{.cluster_epoch = Epoch(1), .number = ++views_, .replicas = {}};
    for (const Replica& one : replicas_) view.replicas.push_back(one.view);
    news_.emplace_back(view);
  }
  void tell() {
    if (news_.empty()) return;
    const News news = std::move(news_.front());
    news_.pop_front();
    if (const auto* view = std::get_if<routing::ClusterView>(&news)) {
      act([&](GatewayEffects& made) { core_.on_view(*view, now_, made); }, [&] { observer.told_view(*view); });
      return;
    }
    const auto& loss = std::get<routing::ReplicaLoss>(news);
    act([&](GatewayEffects& made) { core_.on_replica_lost(loss, now_, made); }, [&] {
      observer.blame(loss);
      observer.told_lost(loss.replica);
    });
  }

  void client() {
    const auto id = any_request();
    if (!id) return;
    const Observer::Request& request = observer.requests.at(*id);
    const auto choice = chance(3);
    if (chance(3) == 0) {
      act([&](GatewayEffects& made) { core_.on_gone(*id, now_, made); });
    } else if (request.started && !request.ended && choice < request.choices.size()) {
      act([&](GatewayEffects& made) { core_.on_choice_stopped(*id, choice, now_, made); },
          [&] { observer.stopped(*id, choice); });
    }
  }
  void pass_time() {
    for (const auto& [id, request] : observer.requests) core_.on_consumed(id, chance(4));
    const Instant later{now_.ns + 1'000'000LL * chance(60)};
    now_ = observer.wake && *observer.wake > now_ ? std::min(*observer.wake, later) : later;
    // The timer comes when it was asked for, and not before.
    if (observer.wake && *observer.wake <= now_) {
      observer.wake.reset();
      act([&](GatewayEffects& made) { core_.on_timer(now_, made); });
    }
    for (const auto& [id, request] : observer.requests) {
      ASSERT_TRUE(request.ended || request.asked.deadline > now_) << "nothing outlives its deadline";
    }
  }

  // `known`: what the observer learns when the gateway does.
  using Event = std::function<void(GatewayEffects&)>;
  void act(const Event& event, const std::function<void()>& known) {
    known();
    act(event);
  }
  void act(const Event& event) {
    GatewayEffects made;
    event(made);
    for (const GatewayEffect& effect : made) {
      ASSERT_NO_FATAL_FAILURE(observer.see(effect));
      if (const auto* start = std::get_if<StartRequest>(&effect)) {
        const GatewayRequest& asked = observer.requests.at(start->request).asked;
        act([&](GatewayEffects& more) { core_.on_started(asked.id, choices_of(asked), now_, more); });
      } else if (const auto* run = std::get_if<RunOn>(&effect)) {
        post(run->to.generation, *run);
      } else if (const auto* stop = std::get_if<StopOn>(&effect)) {
        post(stop->on.generation, *stop);
      }
    }
  }
  void post(ReplicaGeneration to, Message message) {
    Replica& replica = replicas_[to.replica.value];
    if (replica.view.route.generation == to && replica.view.state != ReplicaState::kLost)
      replica.inbox.push_back(std::move(message));
  }

  // No more misfortune: everything ends, and what can finish does.
  void settle() {
    for (Replica& one : replicas_) {
      if (one.view.state != ReplicaState::kServing) make_again(one);
      one.view.state = ReplicaState::kServing;
    }
    push_view();
    for (int i = 0; i < 20'000 && core_.open_requests() > 0 && !testing::Test::HasFatalFailure(); ++i) {
      tell();
      Replica& one = any_replica();
      read_inbox(one);
      compute(one);
      deliver(one);
      if (chance(4) == 0) pass_time();
      core_.check_integrity();
    }
    ASSERT_EQ(core_.open_requests(), 0U);
    for (const auto& [id, request] : observer.requests) ASSERT_TRUE(request.ended) << "request " << id.value;
    const auto stats = core_.ledger();
    EXPECT_EQ(stats.open, 0U);
    EXPECT_EQ(core_.admission().waiting + core_.admission().running, 0U);
  }

  std::mt19937_64 random_;
  GatewayCore core_;
  Instant now_ = seconds(1);
  std::vector<Replica> replicas_;
  std::deque<News> news_;
  std::uint64_t views_ = 0;
  bool mixed_ = false;
};

TEST(GatewayCoreFuzz, KeepsItsPromisesUnderRandomEvents) {
  std::map<End, std::uint64_t> ends;
  std::map<std::string, std::uint64_t> happened;
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.run(250);
    if (HasFatalFailure()) return;
    for (const auto& [id, request] : world.observer.requests) ++ends[*request.ended];
    const RequestLedgerStats stats = world.ledger();
    for (const auto& [name, count] : {std::pair{"moves", stats.moves}, std::pair{"losses", stats.losses},
                                      std::pair{"suspected kills", stats.suspected_kills},
                                      std::pair{"condemned", stats.condemned}, std::pair{"stale", stats.stale_deltas},
                                      std::pair{"duplicates", stats.duplicate_deltas}})
      happened[name] += count;
  }
  for (const auto& [name, count] : happened) EXPECT_GT(count, 20U) << name;
  // Each way to end happens, and most requests that start finish.
  for (const End kind : {End::kFinished, End::kRefused, End::kLate, End::kTimedOut, End::kFailed, End::kSlow, End::kGone})
    EXPECT_GT(ends[kind], 20U) << static_cast<int>(kind);
  EXPECT_GT(ends[End::kFinished], ends[End::kFailed] + ends[End::kTimedOut] + ends[End::kSlow]);
}

}  // namespace
}  // namespace herd::gateway
