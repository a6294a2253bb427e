// A reload of the cluster's file as the coordinator leads it: everybody takes it, or nobody does, whoever refuses, goes or is silent.

#include "cluster/reload/reload_core.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cluster/instants.h"

namespace herd::reload {
namespace {

using Lines = std::vector<std::string>;

const Status kWrong = bad_input("f:3:kv.block_size: is 32 now");

class Coordinator {
 public:
  ReloadCore core{"old", 100};
  ReloadEffects effects;

  void open(std::uint64_t peer, const std::string& digest = "old", double now = 0) {
    core.on_opened(PeerId(peer), "node \"" + std::to_string(peer) + "\"", digest, at(now), effects);
  }
  void close(std::uint64_t peer, double now = 0) { core.on_closed(PeerId(peer), at(now), effects); }
  void ask(const Reading& own = {{}, "new", {"nodes: n is new"}}, double now = 0) {
    core.on_asked(PeerId(99), own, at(now), effects);
  }
  // The answer to whatever was asked last of that peer.
  void answer(std::uint64_t peer, const Status& status = {}, Lines changed = {}, double now = 0) {
    core.on_prepared(PeerId(peer), {asked(peer), status, std::move(changed)}, at(now), effects);
  }
  [[nodiscard]] std::uint64_t asked(std::uint64_t peer) const {
    std::uint64_t number = 0;
    for (const ReloadEffect& effect : effects) {
      const auto* prepare = std::get_if<SayPrepare>(&effect);
      if (prepare != nullptr && std::ranges::count(prepare->peers, PeerId(peer)) > 0) number = prepare->prepare.number;
    }
    return number;
  }
  // What each peer was told last: +1 take it, -1 forget it, 0 nothing.
  [[nodiscard]] int told(std::uint64_t peer) const {
    int said = 0;
    for (const ReloadEffect& effect : effects) {
      const auto* decision = std::get_if<SayDecision>(&effect);
      if (decision != nullptr && std::ranges::count(decision->peers, PeerId(peer)) > 0) said = decision->decision.take ? 1 : -1;
    }
    return said;
  }
  template <class Effect>
  [[nodiscard]] std::vector<Effect> all() const {
    std::vector<Effect> found;
    for (const ReloadEffect& effect : effects)
      if (const auto* it = std::get_if<Effect>(&effect)) found.push_back(*it);
    return found;
  }
  [[nodiscard]] int taken() const { return static_cast<int>(all<TakeOwn>().size()); }
  [[nodiscard]] EndReload ended() const {
    const auto ends = all<EndReload>();
    EXPECT_EQ(ends.size(), 1U);
    return ends.empty() ? EndReload{} : ends.front();
  }
};

TEST(ReloadCore, EverybodyIsAskedThenEverybodyTakesItAndTheOperatorHearsWhatChanged) {
  Coordinator it;
  it.open(1);
  it.open(2);
  it.ask();
  EXPECT_EQ(it.all<SayPrepare>().front().prepare.config_digest, "new");
  it.answer(1, {}, {"limits.request_timeout"});
  EXPECT_EQ(it.told(1), 0) << "not before all have answered";
  EXPECT_EQ(it.taken(), 0);
  it.answer(2, {}, {"limits.request_timeout", "logs.log_level"});
  EXPECT_EQ(std::pair(it.told(1), it.told(2)), std::pair(1, 1));
  EXPECT_EQ(it.taken(), 1);
  EXPECT_EQ(it.core.digest(), "new");
  EXPECT_TRUE(it.all<EndReload>().empty()) << "the operator hears of it when it holds everywhere";
  it.answer(1);
  it.answer(2);
  EXPECT_EQ(it.ended().asker, PeerId(99));
  EXPECT_TRUE(it.ended().answer.status.ok());
  EXPECT_EQ(it.ended().answer.lines, (Lines{"limits.request_timeout (node \"1\", node \"2\")", "logs.log_level (node \"2\")",
                                            "nodes: n is new (coordinator)"}));
  EXPECT_FALSE(it.core.busy());
}

TEST(ReloadCore, AClusterOfACoordinatorAloneTakesItAtOnce) {
  Coordinator it;
  it.ask();
  EXPECT_EQ(it.taken(), 1);
  EXPECT_TRUE(it.ended().answer.status.ok());
}

TEST(ReloadCore, AFileThatIsWrongAtTheCoordinatorIsAskedOfNobody) {
  Coordinator it;
  it.open(1);
  it.ask({bad_input("f:1: x\nf:2: y"), "", {}});
  EXPECT_EQ(it.asked(1), 0U);
  EXPECT_EQ(it.taken(), 0);
  EXPECT_EQ(it.ended().answer.status.code(), StatusCode::kBadInput);
  EXPECT_EQ(it.ended().answer.lines, (Lines{"coordinator: f:1: x", "coordinator: f:2: y"}));
  EXPECT_EQ(it.core.digest(), "old");
}

TEST(ReloadCore, OneThatCannotTakeItMakesEverybodyForgetItAndAllReasonsAreSaid) {
  Coordinator it;
  for (const std::uint64_t peer : {1, 2, 3}) it.open(peer);
  it.ask();
  it.answer(1, kWrong);
  EXPECT_TRUE(it.all<EndReload>().empty()) << "the others may have reasons too";
  it.answer(2);
  it.answer(3, kWrong);
  for (const std::uint64_t peer : {1, 2, 3}) EXPECT_EQ(it.told(peer), -1);
  EXPECT_EQ(it.taken(), 0);
  EXPECT_EQ(it.ended().answer.status.code(), StatusCode::kBadInput);
  EXPECT_EQ(it.ended().answer.lines, Lines{"node \"1\", node \"3\": f:3:kv.block_size: is 32 now"});
  EXPECT_EQ(it.core.digest(), "old");
}

TEST(ReloadCore, OneThatIsSilentMakesEverybodyForgetIt) {
  Coordinator it;
  it.open(1);
  it.open(2);
  it.ask();
  it.answer(1);
  ASSERT_TRUE(it.core.deadline());
  it.core.on_timer(at(ReloadCore::kAsking_s - 0.1), it.effects);
  EXPECT_TRUE(it.all<EndReload>().empty());
  it.core.on_timer(*it.core.deadline(), it.effects);
  EXPECT_EQ(std::pair(it.told(1), it.told(2)), std::pair(-1, -1));
  EXPECT_EQ(it.ended().answer.lines, Lines{"node \"2\": it did not answer within 5 s"});
  EXPECT_FALSE(it.core.deadline());
  it.answer(2);  // too late
  EXPECT_EQ(it.told(2), -1);
  EXPECT_EQ(it.taken(), 0);
}

TEST(ReloadCore, OneThatGoesWhileItIsAskedMakesEverybodyForgetIt) {
  Coordinator it;
  it.open(1);
  it.open(2);
  it.ask();
  it.answer(2);
  it.answer(1);
  ASSERT_EQ(it.told(1), 1);
  Coordinator other;
  other.open(1);
  other.open(2);
  other.ask();
  other.answer(2);
  other.close(2);  // it had said that it could
  other.answer(1);
  EXPECT_EQ(other.told(1), -1);
  EXPECT_EQ(other.taken(), 0);
  EXPECT_EQ(other.ended().answer.lines, Lines{"node \"2\": its connection ended while it was asked"});
}

TEST(ReloadCore, WhoeverConnectsWhileItAsksIsAskedToo) {
  Coordinator it;
  it.open(1);
  it.ask();
  it.open(2);
  it.answer(1);
  EXPECT_EQ(it.told(1), 0);
  it.answer(2, kWrong);
  EXPECT_EQ(std::pair(it.told(1), it.told(2)), std::pair(-1, -1));
}

TEST(ReloadCore, WhoeverIsAwayWhileItIsDecidedTakesItWhenItIsBack) {
  Coordinator it;
  it.open(1);
  it.open(2);
  it.ask();
  it.answer(1);
  it.answer(2);
  it.close(2);
  it.answer(1);
  EXPECT_TRUE(it.ended().answer.status.ok());
  EXPECT_EQ(it.ended().answer.lines.back(),
            "node \"2\": its connection ended before it said that it took it; it is told again when it is back");
  it.effects.clear();
  it.open(2, "old", 7);
  ASSERT_NE(it.asked(2), 0U);
  EXPECT_EQ(it.all<SayPrepare>().front().prepare.config_digest, "new");
  it.answer(2);
  EXPECT_EQ(it.told(2), 1);
  EXPECT_TRUE(it.all<ReloadNote>().front().status.ok());
  EXPECT_TRUE(it.all<EndReload>().empty());
  it.answer(2);  // that it has taken it
  EXPECT_EQ(it.all<SayDecision>().size(), 1U);
}

TEST(ReloadCore, OneThatIsBackAndCannotTakeItIsNamedInTheLog) {
  Coordinator it;
  it.ask();
  it.open(2, "old");
  it.answer(2, kWrong);
  EXPECT_EQ(it.told(2), -1);
  EXPECT_EQ(it.all<ReloadNote>().front().status.message(), kWrong.message());
}

TEST(ReloadCore, ThoseThatRunSomethingElseAreLeftAlone) {
  Coordinator it;
  it.open(1, "mine");  // its file is another one than the coordinator's
  it.ask();
  it.answer(1);
  it.answer(1);
  it.effects.clear();
  it.open(2, "new");
  it.open(3, "mine");
  EXPECT_TRUE(it.effects.empty());
}

TEST(ReloadCore, WhatIsTakenBackIsNothingThatWasLeftBehind) {
  Coordinator it;
  it.ask();
  it.ask({{}, "old", {}});
  it.effects.clear();
  it.open(1, "old");
  EXPECT_TRUE(it.effects.empty());
  it.open(2, "new");
  EXPECT_NE(it.asked(2), 0U);
}

TEST(ReloadCore, AProcessThatDoesNotConfirmIsNamedAndTheReloadHolds) {
  Coordinator it;
  it.open(1);
  it.ask();
  it.answer(1);
  it.core.on_timer(*it.core.deadline(), it.effects);
  EXPECT_TRUE(it.ended().answer.status.ok());
  EXPECT_EQ(it.ended().answer.lines, (Lines{"nodes: n is new (coordinator)", "node \"1\": it has not said yet that it took it"}));
}

TEST(ReloadCore, ASecondOneMeanwhileIsRefused) {
  Coordinator it;
  it.open(1);
  it.ask();
  it.core.on_asked(PeerId(98), {{}, "newer", {}}, at(1), it.effects);
  EXPECT_EQ(it.ended().asker, PeerId(98));
  EXPECT_EQ(it.ended().answer.status.code(), StatusCode::kOverloaded);
  EXPECT_TRUE(it.core.busy());
}

TEST(ReloadCore, AnswersToAnEarlierOneCountForNothing) {
  Coordinator it;
  it.open(1);
  it.ask();
  const std::uint64_t first = it.asked(1);
  it.core.on_timer(*it.core.deadline(), it.effects);
  it.ask();
  it.core.on_prepared(PeerId(1), {first, {}, {}}, at(1), it.effects);
  EXPECT_EQ(it.told(1), -1);
  EXPECT_EQ(it.taken(), 0);
}

// Processes with votes of their own, connections that break and answers that get lost, at random: whoever runs the new file was told to,
// nobody does after a refusal, and once all are back and asked nobody runs the old one after the coordinator left it.
TEST(ReloadCore, WhateverBreaksAllTakeItOrNobodyDoes) {
  struct Process {
    ReloadVote vote;
    std::string runs = "old";
    bool open = true;
  };
  int took = 0, forgot = 0;
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
    Coordinator it;
    std::vector<Process> all(1 + random() % 4);
    std::string coordinator_runs = "old";
    double now = 0;
    bool breaks = true;
    const auto deliver = [&](auto&& self) -> void {
      ReloadEffects said = std::exchange(it.effects, {});
      for (const ReloadEffect& effect : said) {
        if (std::holds_alternative<TakeOwn>(effect)) coordinator_runs = "new";
        const auto* prepare = std::get_if<SayPrepare>(&effect);
        const auto* decision = std::get_if<SayDecision>(&effect);
        for (const PeerId peer : prepare != nullptr ? prepare->peers : decision != nullptr ? decision->peers : std::vector<PeerId>{}) {
          Process& process = all[peer.value - 1];
          if (breaks && process.open && chance(10)) {  // with what was under way
            process.open = false;
            it.core.on_closed(peer, at(now), it.effects);
          }
          if (!process.open) continue;
          if (prepare != nullptr) {
            const Status status = breaks && chance(5) ? kWrong : Status{};
            it.core.on_prepared(peer, process.vote.on_prepare(prepare->prepare, {status, "new", {}}, at(now)), at(now), it.effects);
          } else if (process.vote.on_decision(decision->decision, at(now))) {
            EXPECT_EQ(it.core.digest(), "new");
            process.runs = "new";
            it.core.on_prepared(peer, ReloadVote::taken(decision->decision.number), at(now), it.effects);
          }
        }
      }
      if (!it.effects.empty()) self(self);
    };
    for (std::size_t i = 0; i < all.size(); ++i) it.open(i + 1);
    it.ask({{}, "new", {}});
    deliver(deliver);
    while (it.core.busy()) {
      now = it.core.deadline()->ns / 1e9;
      it.core.on_timer(at(now), it.effects);
      deliver(deliver);
    }
    breaks = false;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!std::exchange(all[i].open, true)) it.open(i + 1, all[i].runs, now);
    deliver(deliver);
    for (const Process& process : all) EXPECT_EQ(process.runs, coordinator_runs) << "seed " << seed;
    EXPECT_EQ(coordinator_runs, it.core.digest());
    (coordinator_runs == "new" ? took : forgot) += 1;
  }
  EXPECT_GT(took, 200);
  EXPECT_GT(forgot, 200);
}

}  // namespace
}  // namespace herd::reload
