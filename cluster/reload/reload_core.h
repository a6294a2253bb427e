#pragma once
// ReloadCore: a new reading of the cluster's file is taken by every process of the cluster, or by none. The coordinator's side, in two
// phases. Pure; events in, effects out.
//
//   idle --on_asked, its own file is right--> asking: everybody reads their copy and says whether they could take it
//   asking --all could--> taking: everybody takes it, the coordinator too; --all have, or kTaking_s--> idle
//   asking --one could not, went away, or is silent for kAsking_s--> idle: everybody forgets it
//
// Whoever connects while it asks is asked too. Whoever is away while it is decided takes it when it is back: its digest is then one that
// the coordinator has left behind. A process that starts reads the file as it is.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/peer_list.h"
#include "cluster/reload/reload_vote.h"
#include "cluster/report/operator_orders.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::reload {

using membership::PeerId;

// Effects, to be carried out in order.
struct SayPrepare {
  std::vector<PeerId> peers;
  report::ReloadPrepare prepare;
};
struct SayDecision {
  std::vector<PeerId> peers;
  report::ReloadDecision decision;
};
// The coordinator takes what it read for on_asked().
struct TakeOwn {};
// To whoever asked; nobody: it was a signal, and the log is told.
struct EndReload {
  std::optional<PeerId> asker;
  report::OrderAnswer answer;
};
// For the log: what came of a process that was away.
struct ReloadNote {
  std::string who;
  Status status;
};
using ReloadEffect = std::variant<SayPrepare, SayDecision, TakeOwn, EndReload, ReloadNote>;
using ReloadEffects = std::vector<ReloadEffect>;

class ReloadCore {
 public:
  static constexpr double kAsking_s = 5;
  static constexpr double kTaking_s = 2;
  static constexpr std::size_t kLeftBehindMax = 16;  // digests that are remembered

  // `digest`: of what the coordinator runs. `first_number`: larger than any of an earlier coordinator; not 0.
  ReloadCore(std::string digest, std::uint64_t first_number) : digest_(std::move(digest)), last_number_(first_number) {}

  // A node or a gateway has connected; `called` is who it is, for people, `digest` what it runs.
  void on_opened(PeerId peer, const std::string& called, const std::string& digest, Instant now, ReloadEffects& effects);
  void on_closed(PeerId peer, Instant now, ReloadEffects& effects);
  // An operator asks for a reload, or a signal does (no asker); `own` is what the coordinator read just now.
  void on_asked(std::optional<PeerId> asker, const Reading& own, Instant now, ReloadEffects& effects);
  void on_prepared(PeerId peer, const report::ReloadPrepared& prepared, Instant now, ReloadEffects& effects);
  void on_timer(Instant now, ReloadEffects& effects);
  // Of the next on_timer(); nullopt: nothing waits.
  [[nodiscard]] std::optional<Instant> deadline() const;

  // While one is under way, another cannot be asked for; what was read for it is to be kept.
  [[nodiscard]] bool busy() const { return round_.has_value(); }
  // Of what the coordinator runs.
  [[nodiscard]] const std::string& digest() const { return digest_; }

 private:
  struct Member {
    std::string called;
    std::uint64_t asked = 0;  // the number under which it is to answer; 0: none
  };
  // One line of the answer, and whom it is about.
  using Said = std::map<std::string, std::vector<std::string>>;
  struct Round {
    std::uint64_t number = 0;
    std::optional<PeerId> asker;
    std::string digest;
    bool taking = false;
    Instant until;
    std::set<PeerId> open;   // who is still to answer
    std::set<PeerId> asked;  // who hears of the decision
    Said changed;            // keys
    Said refused;            // why it cannot be
    Said late;               // who was told to take it and has not said that it did
    Status refusal;          // the first
  };

  void ask(PeerId peer, std::uint64_t number, const std::string& digest, ReloadEffects& effects);
  void refuse(const std::string& called, const Status& why);
  void go_on(Instant now, ReloadEffects& effects);
  void take(Instant now, ReloadEffects& effects);
  void end(Status status, ReloadEffects& effects);
  void on_caught_up(PeerId peer, const report::ReloadPrepared& prepared, ReloadEffects& effects);

  std::string digest_;
  std::uint64_t last_number_;
  std::deque<std::string> left_behind_;  // digests that it ran before
  std::map<PeerId, Member> members_;
  std::optional<Round> round_;
};

}  // namespace herd::reload
