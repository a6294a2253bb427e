#pragma once
// RequestBook: every request of a seed, drawn before the first event: what it asks, how its client behaves, and what became
// of it as seen from outside. A choice is known everywhere by its sampling seed, which no other one has.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "cluster/gateway/gateway_effects.h"
#include "cluster/routing/cluster_view.h"
#include "runtime/step/submission.h"
#include "tests/sim/stream_checker.h"
#include "tests/sim/world.h"

namespace herd::sim {

inline constexpr TokenId kVocabSize = 64;

// One sequence of a request.
struct SimChoice {
  SimChoice(const step::Submission& what, std::uint32_t max_model_len) : asked(what), checker(what, max_model_len, kVocabSize) {}

  step::Submission asked;  // without ids
  StreamChecker checker;
  std::uint32_t request = 0;  // index in the book
  std::uint32_t number = 0;   // in its request
  std::uint32_t enough = 0;   // tokens that its client needs; 0: all
  std::uint32_t fatal_from = 0;  // poison: who computes this position or a later one dies of it; 0: none

  // What became of it.
  std::vector<TokenId> tokens;  // that were delivered
  bool stopped = false;         // its client has enough
  std::optional<std::uint32_t> attempt;  // the last one that was sent
  std::optional<routing::NumericsId> numerics;  // of the replica whose tokens came first
  bool not_finite = false;        // a rank made a NaN of it
  // Replicas that died of themselves with it in a step, or where nobody was left to say what was in it.
  std::set<routing::ReplicaGeneration> own_deaths;
  bool alone_at_last = false;  // with nothing beside it, the last time, as far as anybody knows
  std::set<routing::ReplicaGeneration> killed;  // by this poison
  std::uint32_t blamed = 0;  // how often its gateway heard of that before it was told anything else about that replica
  [[nodiscard]] bool complete() const { return stopped || checker.ended(); }
};

struct SimRequest {
  gateway::GatewayRequest asked;
  std::vector<SimChoice> choices;
  std::uint32_t gateway = 0;     // slot
  Instant arrives;
  bool patient = false;          // its deadline lies beyond anything that can happen
  std::int64_t patience_us = 0;  // of its client, each time it asks
  bool takes_up = false;         // it asks another gateway when its own is gone
  bool bad = false;              // no replica can take it
  std::int64_t read_us_max = 0;  // 0: reads at once
  std::optional<std::int64_t> leaves_after_us;

  enum class State : std::uint8_t { kToCome, kWaiting, kStarted, kEnded, kGone } state = State::kToCome;
  Instant arrived;
  bool taken_up = false;    // at least once
  bool left = false;        // its client has said so
  std::size_t unread = 0;   // deltas
  [[nodiscard]] bool open() const { return state == State::kWaiting || state == State::kStarted; }
  // Its client asks for the same once more: from its first token on it is to be what it was.
  void begin_again(std::uint32_t max_model_len);
};

class RequestBook {
 public:
  explicit RequestBook(World& world);

  [[nodiscard]] std::deque<SimRequest>& requests() { return requests_; }
  [[nodiscard]] SimRequest& request_of(const SimChoice& choice) { return requests_[choice.request]; }
  // Null: nobody asked for that.
  [[nodiscard]] SimChoice* choice_of(std::uint64_t sampling_seed);

 private:
  SimRequest draw_request(std::uint32_t index);
  step::Submission draw_submission(std::uint32_t index, std::uint32_t choice, bool bad);
  void draw_deadline(SimRequest& request);
  void take_into_script(SimRequest& request);
  void draw_poison();

  World& world_;
  Chance chance_;  // of what is being drawn
  std::deque<SimRequest> requests_;
  std::map<std::uint64_t, std::pair<std::uint32_t, std::uint32_t>> by_seed_;
  std::vector<std::vector<TokenId>> prefixes_;  // shared by prompts
};

}  // namespace herd::sim
