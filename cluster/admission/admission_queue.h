#pragma once
// AdmissionQueue: which requests a gateway takes, in which order they start, and how long a refused one should wait.
// Pure: no clock, no I/O, no lock.
//
//   on_arrival ── refused (overloaded, quota) with Retry-After
//        └────── waiting ──take_startable──> running ──on_finished──> gone
//                    └─ take_expired / on_cancelled / on_refused ──> gone
//
// The queue is bounded in requests and in prompt tokens of what has not begun; one request is taken into an empty queue however long
// it is. Of what has begun, one request of each tenant and priority at most waits for places for the rest of its sequences: that counts
// as waiting where somebody looks (stats), and against no bound, so that a large request shuts nobody out.
// Between tenants the order is start-time fair queueing (fair_queue.h) by expected tokens over weight, within a tenant
// by arrival; with priorities a smaller value always goes first. The first in order has every place that is free, one for
// each of its sequences: what finds none keeps its place in its tenant's order and waits for the next turn, with the cost
// that is left. So a large request waits for no empty machine, and a place that one of its sequences gives back
// (on_sequence_over) goes to whoever's turn it is. Every operation takes O(log n), n the requests and tenants there are; the
// end of a request takes that for each turn it had.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/admission/admission_refusal.h"
#include "cluster/admission/fair_queue.h"
#include "cluster/admission/quota_book.h"
#include "cluster/admission/work_meter.h"
#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::admission {

struct AdmissionConfig {
  std::size_t queue_requests_max = 1024;        // waiting; --max-num-queued-reqs
  std::uint64_t queue_tokens_max = 1ULL << 20;  // prompt tokens of waiting requests; --max-num-queued-tokens
  std::size_t running_sequences_max = 72;       // places: sequences handed to replicas at one time
  bool priorities = false;
  // Of the cluster's file: limits of tenants and running_sequences_max hold over all of them together. Before the coordinator says
  // more, each has its part of both. At least 1.
  std::uint32_t gateways = 1;
  [[nodiscard]] Status validate() const;
};

struct AdmissionRequest {
  RequestId id;
  TenantId tenant;
  std::uint32_t sequences = 1;
  std::uint64_t prompt_tokens = 0;      // of all its prompts
  std::uint64_t output_tokens_max = 0;  // of all its sequences
  std::int32_t priority = 0;
  Instant deadline;  // waiting beyond it is pointless
};

// What had started and has no replica now. It keeps its place among the running, so that nothing else starts instead.
struct ParkedWork {
  std::size_t requests = 0;  // with at least one such sequence
  std::size_t sequences = 0;
  std::uint64_t tokens = 0;  // to compute again: prompts and what was made of them
  bool operator==(const ParkedWork&) const = default;
};

// What may run from now on: as many more sequences of a request, in their order.
struct Turn {
  RequestId request;
  std::uint32_t sequences = 1;
  bool operator==(const Turn&) const = default;
};

struct AdmissionStats {
  // Requests with sequences that have had no turn, and those with parked ones.
  std::size_t waiting = 0;
  std::uint64_t waiting_tokens = 0;  // prompts; of a request that has begun an even share for each sequence that waits
  std::size_t running = 0;           // requests that have begun, those with parked sequences left out
  std::size_t running_sequences = 0; // parked ones left out
  std::uint64_t accepted = 0;
  std::uint64_t refused_capacity = 0;
  std::uint64_t refused_quota = 0;
  std::uint64_t expired = 0;
  double tokens_per_s = 0;  // measured: prompt + output tokens of finished work, moving average
  double wait_s = 0;        // until what waits now has started, at that rate; 0: nothing waits, or no rate is known
};

class AdmissionQueue {
 public:
  explicit AdmissionQueue(const AdmissionConfig& config);

  // Both at least 1; from the next arrival on. What waits beyond them keeps its place.
  void set_bounds(std::size_t queue_requests_max, std::uint64_t queue_tokens_max);
  // New limits hold from the next arrival on. A tenant never named has TenantLimits{}.
  void set_tenant(TenantId tenant, const TenantLimits& limits);

  // Would a request be refused whatever it asks for (queue full, in-flight limit, no request or output tokens left)?
  // Cheap: asked before a body is read. Not counted as a refusal, but as asked of the tenant's quota.
  [[nodiscard]] std::optional<AdmissionRefusal> refuses_now(TenantId tenant, Instant now);
  // Takes it into the queue (nullopt) or refuses it; its id must not be in use. A request whose wait would outlast its
  // deadline at the measured rate is refused now (kDeadline). A prompt that its tenant's bucket can never hold is taken
  // when the bucket is full. A refused one uses nothing of its tenant's limits.
  [[nodiscard]] std::optional<AdmissionRefusal> on_arrival(const AdmissionRequest& request, Instant now);
  // What may run now, in order; a request counts as running from its first turn on. Call take_expired first: what is overdue
  // would start.
  [[nodiscard]] std::vector<Turn> take_startable(Instant now);
  // One of the sequences that had their turn is over: its place is free. Unknown ids are ignored, here and below.
  void on_sequence_over(RequestId id);
  // One of the sequences of a running request that had no turn yet will need none.
  void on_sequence_dropped(RequestId id);
  // Requests of which nothing has started and whose deadline has passed; forgotten.
  [[nodiscard]] std::vector<RequestId> take_expired(Instant now);
  // A running or waiting one is over; `prompt_tokens` computed and `output_tokens` made in all feed the rate (what
  // on_output told of them is not counted again) and are what its tenant has used. Unknown ids are ignored.
  void on_finished(RequestId id, std::uint64_t prompt_tokens, std::uint64_t output_tokens, Instant now);
  // The same when nobody knows what was computed: a running one has used the prompts of what had a turn and the output told of.
  void on_cancelled(RequestId id, Instant now);
  // The same of one of which nothing ran and that is refused after all, by no fault of its own, perhaps as its turn came: its tenant is
  // given back what it was charged.
  void on_refused(RequestId id, Instant now);
  // Parked work counts as waiting: against both bounds of the queue, and in stats().
  void set_parked(const ParkedWork& parked);
  // The refusal of a request that no replica could run (kNoReplica); `why` is what its client reads. Counted as refused.
  [[nodiscard]] AdmissionRefusal refuse_without_replica(std::string why);
  // Output tokens of a running request, as they come: the tenant's bucket, the rate.
  void on_output(RequestId id, std::uint64_t tokens, Instant now);

  // What the coordinator is told of quotas, and says of them; quota_book.h.
  [[nodiscard]] QuotaBook& quotas() { return quotas_; }
  [[nodiscard]] const QuotaBook& quotas() const { return quotas_; }

  [[nodiscard]] AdmissionStats stats() const;
  void check_integrity() const;

 private:
  struct Entry {
    AdmissionRequest request;
    FairQueue::Item item;        // the place in the order, and the cost, of what has had no turn
    double prompt_expected = 0;  // tokens to compute, of the whole cost
    std::uint32_t waiting = 0;   // sequences that have had no turn
    std::uint32_t running = 0;   // that had one and are not over
    std::uint32_t begun = 0;     // that had one
    std::uint32_t turns = 0;     // 0: the request waits
    std::uint64_t charged = 0;   // cost of its turns
    double prompt_counted = 0;  // towards the rate: with the first output behind each turn, that is when it was computed
    std::uint64_t output_counted = 0;
    [[nodiscard]] bool is_running() const { return turns > 0; }
    [[nodiscard]] bool is_held() const { return is_running() && waiting > 0; }
    // Prompt tokens to compute for what had a turn: an even share for each.
    [[nodiscard]] double prompt_begun() const { return prompt_expected * begun / request.sequences; }
    // Prompt tokens of what has had no turn.
    [[nodiscard]] std::uint64_t tokens_waiting() const { return request.prompt_tokens * waiting / request.sequences; }
  };
  // What has begun and waits for places for the rest of its sequences.
  struct Held {
    std::size_t requests = 0;
    std::uint64_t tokens = 0;
    bool operator==(const Held&) const = default;
    void add(const Entry& entry);     // nothing, unless it is held
    void remove(const Entry& entry);  // likewise
  };
  using Entries = std::map<RequestId, Entry>;

  // The key's quota: nothing of it is used by asking. `prompt_tokens` 0: whatever the prompt. A refusal is told to the coordinator.
  [[nodiscard]] std::optional<AdmissionRefusal> refuse_quota(TenantId tenant, const AskedTokens& asked, Instant now);
  [[nodiscard]] std::optional<AdmissionRefusal> refuse_full(std::uint64_t prompt_tokens) const;
  [[nodiscard]] std::optional<AdmissionRefusal> refuse_late(const AdmissionRequest& request, Instant now) const;
  [[nodiscard]] double seconds_for(double tokens) const;  // at the measured rate; 1 without one
  void stop_waiting(const AdmissionRequest& request);
  // The first in order has its turn, with so many of its sequences.
  void start(Entry& entry, std::uint32_t sequences, Instant now);
  // The end of a running one that used `used` tokens.
  void stop_running(const Entry& entry, double used, Instant now);
  void forget(Entries::iterator entry);

  AdmissionConfig config_;
  std::size_t kept_requests_ = 0;   // that waited when the bounds were set last
  std::uint64_t kept_tokens_ = 0;   // of these
  AdmissionStats stats_;  // tokens_per_s, what is held and parked work apart
  Held held_;
  ParkedWork parked_;
  QuotaBook quotas_;
  Entries entries_;
  FairQueue order_;                                    // of the waiting
  std::set<std::pair<Instant, RequestId>> deadlines_;  // of the waiting
  WorkMeter meter_;
  std::uint64_t arrivals_ = 0;
};

}  // namespace herd::admission
