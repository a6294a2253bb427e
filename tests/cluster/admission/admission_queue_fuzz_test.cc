// AdmissionQueue against a naive model under random calls: the same answer to each, the same order, nothing lost. And
// its promise to tenants under a flood.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include "cluster/admission/admission_queue.h"

namespace herd::admission {
namespace {

using Reason = AdmissionRefusal::Reason;

// Says everything by scanning everything; forgets no tenant. Rate and buckets are the tested parts themselves.
class NaiveAdmission {
 public:
  struct Request {
    AdmissionRequest request;
    std::int32_t priority = 0;
    std::uint64_t arrival = 0;
    std::uint64_t cost = 0;     // of what has had no turn
    std::uint64_t charged = 0;  // of the turns it had
    double prompt_expected = 0;
    std::uint32_t left = 0;     // sequences without a turn
    std::uint32_t begun = 0;    // that had one
    std::uint32_t runs = 0;     // that had one and are not over
    bool running = false;       // one had a turn
    double prompt_counted = 0;
    std::uint64_t output_counted = 0;
  };
  struct Tenant {
    TenantLimits limits;
    TokenBucket requests, prompt, output;
  };
  struct Flow {
    double start = 0;
    double weight = 1;
  };

  explicit NaiveAdmission(const AdmissionConfig& config) : config(config) {}

  [[nodiscard]] auto count(auto&& which) const { return std::ranges::count_if(requests, which); }
  [[nodiscard]] std::uint64_t sum(auto&& of) const {
    std::uint64_t all = 0;
    for (const Request& r : requests) all += of(r);
    return all;
  }
  static bool waits(const Request& r) { return !r.running; }
  [[nodiscard]] std::uint64_t waiting_tokens() const {
    return sum([](const Request& r) { return r.running ? 0 : r.request.prompt_tokens; });
  }
  static bool is_held(const Request& r) { return r.running && r.left > 0; }
  [[nodiscard]] std::uint64_t held_tokens() const {
    return sum([](const Request& r) { return is_held(r) ? r.request.prompt_tokens * r.left / r.request.sequences : 0; });
  }
  [[nodiscard]] std::uint64_t running_sequences() const {
    return sum([](const Request& r) { return r.runs; });
  }
  // Of the prompts, an even share for each sequence that had a turn.
  static double begun_prompt(const Request& r) { return r.prompt_expected * r.begun / r.request.sequences; }
  // The first waiting one of a flow; null: none waits.
  [[nodiscard]] const Request* head(std::int32_t priority, TenantId tenant) const {
    const Request* first = nullptr;
    for (const Request& r : requests) {
      if (r.left == 0 || r.priority != priority || r.request.tenant != tenant) continue;
      if (first == nullptr || r.arrival < first->arrival) first = &r;
    }
    return first;
  }
  [[nodiscard]] std::uint64_t backlog(std::int32_t priority, TenantId tenant) const {
    return sum([&](const Request& r) {
      return r.left > 0 && r.priority == priority && r.request.tenant == tenant ? r.cost : 0;
    });
  }
  [[nodiscard]] const Request* first() const {
    const Request* best = nullptr;
    const auto key = [this](const Request& r) {
      return std::tuple(r.priority, flows.at({r.priority, r.request.tenant}).start, r.arrival);
    };
    for (const auto& [id, flow] : flows) {
      const Request* one = head(id.first, id.second);
      if (one != nullptr && (best == nullptr || key(*one) < key(*best))) best = one;
    }
    return best;
  }
  [[nodiscard]] double wait_s(const AdmissionRequest& request, double rate) const {
    const std::int32_t priority = config.priorities ? request.priority : 0;
    const auto time = virtual_time.find(priority);
    double tag = time == virtual_time.end() ? 0 : time->second;
    if (const auto own = flows.find({priority, request.tenant}); own != flows.end()) {
      const double next =
          own->second.start + static_cast<double>(backlog(priority, request.tenant)) / own->second.weight;
      tag = head(priority, request.tenant) != nullptr ? next : std::max(tag, next);
    }
    double ahead = 0;
    for (const auto& [id, flow] : flows) {
      const Request* one = head(id.first, id.second);
      if (one == nullptr || id.first > priority) continue;
      const auto all = static_cast<double>(backlog(id.first, id.second));
      if (id.first < priority) {
        ahead += all;
      } else if (flow.start <= tag) {
        ahead += std::min(all, static_cast<double>(one->cost) + (tag - flow.start) * flow.weight);
      }
    }
    return ahead / rate;
  }
  // The reason; `close` when rounding may decide otherwise.
  [[nodiscard]] std::optional<Reason> refuses(const AdmissionRequest& request, Instant now, bool& close) {
    close = false;
    Tenant& t = tenants[request.tenant];
    const auto in_flight = count([&](const Request& r) { return r.request.tenant == request.tenant; });
    if (t.limits.in_flight_max > 0 && in_flight >= t.limits.in_flight_max) return Reason::kInFlight;
    if (t.requests.seconds_until(1, {t.limits.requests_per_minute}, now) > 0) return Reason::kRequestRate;
    if (t.prompt.seconds_until(static_cast<double>(request.prompt_tokens), {t.limits.prompt_tokens_per_minute}, now) > 0)
      return Reason::kTokenRate;
    if (t.output.level({t.limits.output_tokens_per_minute}, now) <= 0) return Reason::kTokenRate;
    const auto waiting = static_cast<std::size_t>(count(waits)) + parked.requests;
    if (waiting >= config.queue_requests_max) return Reason::kQueueRequests;
    if (waiting > 0 && waiting_tokens() + parked.tokens + request.prompt_tokens > config.queue_tokens_max) return Reason::kQueueTokens;
    const double patience_s = seconds_between(now, request.deadline);
    if (patience_s <= 0) return Reason::kDeadline;
    const auto rate = meter.tokens_per_s();
    if (!rate) return std::nullopt;
    const double wait = wait_s(request, *rate);
    close = std::abs(wait - patience_s) < 1e-6 * (1 + wait);
    return wait > patience_s ? std::optional(Reason::kDeadline) : std::nullopt;
  }
  void take(const AdmissionRequest& request, Instant now) {
    Tenant& t = tenants[request.tenant];
    t.requests.take(1, {t.limits.requests_per_minute}, now);
    t.prompt.take(static_cast<double>(request.prompt_tokens), {t.limits.prompt_tokens_per_minute}, now);
    Request r{.request = request, .priority = config.priorities ? request.priority : 0, .arrival = ++arrivals};
    r.prompt_expected = meter.forecast_prompt(request.prompt_tokens);
    r.left = request.sequences;
    r.cost = static_cast<std::uint64_t>(std::max(
        static_cast<double>(request.sequences), std::ceil(r.prompt_expected + meter.forecast_output(request.sequences, request.output_tokens_max))));
    Flow& flow = flows[{r.priority, request.tenant}];
    if (head(r.priority, request.tenant) == nullptr) flow.start = std::max(flow.start, virtual_time[r.priority]);
    flow.weight = t.limits.weight;
    requests.push_back(r);
  }
  std::vector<Turn> startable(Instant now) {
    std::vector<Turn> started;
    for (const Request* one = first(); one != nullptr; one = first()) {
      const bool some_run = count([](const Request& r) { return r.running; }) > 0;
      const std::uint64_t free = config.running_sequences_max - running_sequences();
      if (free == 0) break;
      Request& r = requests[one - requests.data()];
      Flow& flow = flows.at({r.priority, r.request.tenant});
      virtual_time[r.priority] = std::max(virtual_time[r.priority], flow.start);
      const auto part = static_cast<std::uint32_t>(std::min<std::uint64_t>(free, r.left));
      const std::uint64_t cost = r.cost * part / r.left;
      flow.start += static_cast<double>(cost) / flow.weight;
      r.running = true;
      r.left -= part;
      r.begun += part;
      r.runs += part;
      r.cost -= cost;
      r.charged += cost;
      if (!some_run) meter.set_busy(true, now);
      started.push_back({r.request.id, part});
    }
    return started;
  }
  std::vector<RequestId> expired(Instant now) {
    std::vector<std::pair<Instant, RequestId>> late;
    for (const Request& r : requests)
      if (!r.running && r.request.deadline <= now) late.emplace_back(r.request.deadline, r.request.id);
    std::ranges::sort(late);
    std::vector<RequestId> ids;
    for (const auto& [deadline, id] : late) {
      remove(id, 0, now);
      ids.push_back(id);
    }
    return ids;
  }
  Request* find(RequestId id) {
    const auto at = std::ranges::find_if(requests, [id](const Request& r) { return r.request.id == id; });
    return at == requests.end() ? nullptr : &*at;
  }
  void output(RequestId id, std::uint64_t tokens, Instant now) {
    Request* r = find(id);
    if (r == nullptr || !r->running || tokens == 0) return;
    meter.on_tokens(static_cast<double>(tokens) + begun_prompt(*r) - r->prompt_counted, now);
    r->prompt_counted = begun_prompt(*r);
    r->output_counted += tokens;
    Tenant& t = tenants[r->request.tenant];
    t.output.take(static_cast<double>(tokens), {t.limits.output_tokens_per_minute}, now);
  }
  void finish(RequestId id, std::uint64_t prompt, std::uint64_t made, Instant now) {
    const Request* r = find(id);
    if (r == nullptr || !r->running) return remove(id, 0, now);
    made = std::max(made, r->output_counted);
    const double untold = static_cast<double>(made - r->output_counted);
    meter.on_tokens(static_cast<double>(prompt) - r->prompt_counted + untold, now);
    if (prompt + made > 0)
      meter.on_request(r->request.prompt_tokens * r->begun / r->request.sequences, prompt, r->begun, made);
    Tenant& t = tenants[r->request.tenant];
    if (untold > 0) t.output.take(untold, {t.limits.output_tokens_per_minute}, now);
    remove(id, static_cast<double>(prompt + made), now);
  }
  void cancel(RequestId id, Instant now) {
    if (const Request* r = find(id)) remove(id, begun_prompt(*r) + static_cast<double>(r->output_counted), now);
  }
  void over(RequestId id) {
    Request* r = find(id);
    if (r != nullptr && r->runs > 0) --r->runs;
  }
  void drop(RequestId id) {
    Request* r = find(id);
    if (r != nullptr && r->running && r->left > 0) --r->left;
  }
  // `used`: of a running one.
  void remove(RequestId id, double used, Instant now) {
    Request* found = find(id);
    if (found == nullptr) return;
    const Request r = *found;
    requests.erase(requests.begin() + (found - requests.data()));
    Flow& flow = flows.at({r.priority, r.request.tenant});
    if (r.running) flow.start += (std::ceil(used) - static_cast<double>(r.charged)) / flow.weight;
    if (r.running && count([](const Request& other) { return other.running; }) == 0) meter.set_busy(false, now);
    if (count([&](const Request& other) { return other.priority == r.priority; }) > 0) return;
    virtual_time.erase(r.priority);
    std::erase_if(flows, [&](const auto& entry) { return entry.first.first == r.priority; });
  }

  AdmissionConfig config;
  ParkedWork parked;
  std::vector<Request> requests;
  std::map<TenantId, Tenant> tenants;
  std::map<std::pair<std::int32_t, TenantId>, Flow> flows;
  std::map<std::int32_t, double> virtual_time;
  WorkMeter meter;
  std::uint64_t arrivals = 0;
};

class Comparison {
 public:
  explicit Comparison(unsigned seed)
      : random_(seed),
        config_{.queue_requests_max = 1 + below(20),
                .queue_tokens_max = 1 + below(3000),
                .running_sequences_max = 1 + below(12),
                .priorities = below(2) == 0},
        queue_(config_),
        model_(config_) {}

  void run(int operations) {
    for (int i = 0; i < operations && !testing::Test::HasFatalFailure(); ++i) {
      now_.ns += static_cast<std::int64_t>(below(4) == 0 ? below(4'000'000'000) : below(50'000'000));
      step();
      park();
      compare();
    }
    // Whatever still waits or runs ends too, and then everything is over.
    now_.ns += 1'000'000'000'000;
    expire();
    for (const auto& r : std::vector(model_.requests)) finish(r.request.id);
    park();
    compare();
    EXPECT_EQ(model_.requests.size(), 0U);
    EXPECT_EQ(accepted_, ended_);
    EXPECT_EQ(queue_.stats().running + queue_.stats().waiting, 0U);
  }
  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }
  std::map<Reason, int> refusals;

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  // Of one that waits or runs, mostly.
  RequestId some_id() {
    if (model_.requests.empty() || below(20) == 0) return RequestId(below(last_id_ + 2));
    return model_.requests[below(model_.requests.size())].request.id;
  }
  void step() {
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        return arrive();
      case 10:
      case 11: {
        const RequestId id = some_id();
        if (below(4) != 0) {
          queue_.on_sequence_over(id);
          return model_.over(id);
        }
        queue_.on_sequence_dropped(id);
        return model_.drop(id);
      }
      case 3:
      case 4:
        return start();
      case 5:
        return expire();
      case 6:
        return finish(some_id());
      case 7:
        if (below(3) != 0) return finish(some_id());
        return below(2) == 0 ? cancel(some_id()) : limit();
      default: {
        const RequestId id = some_id();
        const std::uint64_t tokens = below(6);
        queue_.on_output(id, tokens, now_);
        model_.output(id, tokens, now_);
      }
    }
  }
  void arrive() {
    AdmissionRequest request;
    request.id = RequestId(++last_id_);
    request.tenant = TenantId(below(5));
    request.sequences = 1 + static_cast<std::uint32_t>(below(below(8) == 0 ? 20 : 3));
    request.prompt_tokens = below(below(8) == 0 ? 4000 : 300);
    request.output_tokens_max = below(300);
    request.priority = static_cast<std::int32_t>(below(3)) - 1;
    request.deadline = {now_.ns + static_cast<std::int64_t>(below(60'000'000'000)) - 100'000'000};
    bool close = false;
    auto expected = model_.refuses(request, now_, close);
    const auto early = queue_.refuses_now(request.tenant, now_);
    const auto refused = queue_.on_arrival(request, now_);
    if (close) expected = refused ? std::optional(refused->reason) : std::nullopt;
    ASSERT_EQ(refused.has_value(), expected.has_value());
    ASSERT_TRUE(refused || !early) << "what is refused whatever it asks for is refused";
    if (!refused) {
      ++accepted_;
      return model_.take(request, now_);
    }
    ++refusals[refused->reason];
    ASSERT_EQ(refused->reason, *expected);
    ASSERT_EQ(refused->quota, refused->reason == Reason::kInFlight || refused->reason == Reason::kRequestRate ||
                                  refused->reason == Reason::kTokenRate);
    ASSERT_TRUE(refused->retry_after_s >= 1 && refused->retry_after_s <= 600 && !refused->message.empty());
  }
  void start() { ASSERT_EQ(queue_.take_startable(now_), model_.startable(now_)); }
  void expire() {
    const auto expired = queue_.take_expired(now_);
    ASSERT_EQ(expired, model_.expired(now_));
    ended_ += expired.size();
  }
  void finish(RequestId id) {
    ended_ += model_.find(id) != nullptr ? 1 : 0;
    const std::uint64_t prompt = below(300);
    const std::uint64_t output = below(100);
    queue_.on_finished(id, prompt, output, now_);
    model_.finish(id, prompt, output, now_);
  }
  void cancel(RequestId id) {
    ended_ += model_.find(id) != nullptr ? 1 : 0;
    queue_.on_cancelled(id, now_);
    model_.cancel(id, now_);
  }
  void limit() {
    const TenantId tenant(below(5));
    TenantLimits limits;
    if (below(3) == 0) limits.requests_per_minute = static_cast<double>(1 + below(60));
    if (below(3) == 0) limits.prompt_tokens_per_minute = static_cast<double>(1 + below(5000));
    if (below(3) == 0) limits.output_tokens_per_minute = static_cast<double>(1 + below(500));
    limits.in_flight_max = static_cast<std::uint32_t>(below(12));
    limits.weight = static_cast<double>(1 + below(8)) / 4;
    queue_.set_tenant(tenant, limits);
    model_.tenants[tenant].limits = limits;
  }
  // Some of what runs has lost its replicas, now and then.
  void park() {
    model_.parked = {};
    const auto running = static_cast<std::size_t>(model_.count([](const NaiveAdmission::Request& r) { return r.runs > 0; }));
    if (running > 0 && below(3) == 0) {
      model_.parked.requests = 1 + below(running);
      model_.parked.sequences = model_.parked.requests + below(model_.running_sequences() - model_.parked.requests + 1);
      model_.parked.tokens = below(500);
    }
    queue_.set_parked(model_.parked);
  }
  void compare() {
    queue_.check_integrity();
    const AdmissionStats stats = queue_.stats();
    const ParkedWork& parked = model_.parked;
    const auto waiting = static_cast<std::size_t>(model_.count(NaiveAdmission::waits)) + parked.requests;
    ASSERT_EQ(stats.waiting, waiting + static_cast<std::size_t>(model_.count(NaiveAdmission::is_held)));
    ASSERT_EQ(stats.waiting_tokens, model_.waiting_tokens() + model_.held_tokens() + parked.tokens);
    ASSERT_EQ(stats.running, model_.requests.size() - waiting);
    ASSERT_EQ(stats.running_sequences, model_.running_sequences() - parked.sequences);
    ASSERT_EQ(stats.accepted, accepted_);
    ASSERT_EQ(stats.tokens_per_s, model_.meter.tokens_per_s().value_or(0));
  }

  std::mt19937_64 random_;
  AdmissionConfig config_;
  AdmissionQueue queue_;
  NaiveAdmission model_;
  Instant now_{1};
  std::uint64_t last_id_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t ended_ = 0;
};

TEST(AdmissionQueueFuzz, AgreesWithANaiveModelAndLosesNothing) {
  std::uint64_t accepted = 0;
  std::map<Reason, int> refusals;
  for (unsigned seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Comparison comparison(seed);
    comparison.run(600);
    if (HasFatalFailure()) return;
    accepted += comparison.accepted();
    for (const auto& [reason, count] : comparison.refusals) refusals[reason] += count;
  }
  // The calls reach every rule.
  EXPECT_GT(accepted, 1000U);
  for (const Reason reason : {Reason::kQueueRequests, Reason::kQueueTokens, Reason::kDeadline, Reason::kRequestRate,
                              Reason::kTokenRate, Reason::kInFlight})
    EXPECT_GT(refusals[reason], 10) << refusal_name(reason);
}

// Tenant 1 floods, tenant 2 has two requests waiting at most; R sequences run; each request is charged at most L tokens
// and turns out to be at most L. A tenant's tag is what it used (forecasts for what runs) over its weight. When one
// starts, its tag is not the larger; from there it can grow by one charge and by what its R running ones turn out to be
// more (L each), and the other's shrink by what its R turn out to be less. So the tags stay within
// (1 + R) L / w of the one plus R L / w of the other, in either direction, and what has finished is at most R L short
// of what was charged: finished_1 / w_1 and finished_2 / w_2 stay within (2 + 3 R) L (1 / w_1 + 1 / w_2) of each other.
TEST(AdmissionQueueFuzz, SharesByWeightWhateverOneTenantFloods) {
  constexpr std::uint64_t kRunning = 4;
  constexpr std::uint64_t kCostMax = 200;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    AdmissionQueue queue({.running_sequences_max = kRunning});
    const double weights[] = {0, 1, static_cast<double>(1 + random() % 12) / 4};
    for (const int who : {1, 2}) queue.set_tenant(TenantId(who), {.in_flight_max = 0, .weight = weights[who]});
    std::map<std::uint64_t, int> owner;
    std::vector<std::uint64_t> running;
    std::size_t waiting[] = {0, 0, 0};
    double finished[] = {0, 0, 0};
    std::uint64_t ids = 0;
    const double bound = (2 + 3 * kRunning) * kCostMax * (1 / weights[1] + 1 / weights[2]);
    for (int step = 0; step < 20000; ++step) {
      for (const int who : {1, 2}) {
        for (; waiting[who] < (who == 1 ? 200U : 2U); ++waiting[who]) {
          AdmissionRequest request;
          request.id = RequestId(++ids);
          request.tenant = TenantId(who);
          request.prompt_tokens = who == 1 ? random() % 20 : random() % 100;
          request.output_tokens_max = 100;
          request.deadline = {std::numeric_limits<std::int64_t>::max()};
          ASSERT_FALSE(queue.on_arrival(request, {step}));
          owner[ids] = who;
        }
      }
      for (const Turn& turn : queue.take_startable({step})) {
        --waiting[owner[turn.request.value]];
        running.push_back(turn.request.value);
      }
      ASSERT_FALSE(running.empty());
      const std::size_t done = random() % running.size();
      const std::uint64_t id = running[done];
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(done));
      const std::uint64_t prompt = random() % 100;
      const std::uint64_t output = owner[id] == 1 ? random() % 100 : random() % 10;  // not what is forecast
      queue.on_finished(RequestId(id), prompt, output, {step});
      finished[owner[id]] += static_cast<double>(prompt + output);
      ASSERT_LE(std::abs(finished[1] / weights[1] - finished[2] / weights[2]), bound) << step;
    }
    // What the bound leaves open is little of what was served.
    EXPECT_GT(finished[1] / weights[1], 20 * bound);
    EXPECT_GT(finished[2] / weights[2], 20 * bound);
    queue.check_integrity();
  }
}

}  // namespace
}  // namespace herd::admission
