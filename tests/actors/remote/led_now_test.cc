// What a generation hears of its leader's process, whichever of the two is there first.

#include "actors/remote/led_now.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "actors/messages/caf_compat.h"

namespace herd::actors {
namespace {

constexpr std::chrono::seconds kLong{60};

class LedNowTest : public testing::Test {
 protected:
  // Why the replica that was set says it is lost.
  std::string death() {
    std::string text;
    self_->receive([&](const LeaderDied& died) { text = died.death.why.message(); },
                   caf::after(kLong) >> [] { ADD_FAILURE() << "nobody was told"; });
    return text;
  }
  [[nodiscard]] bool heard_nothing() { return self_->mailbox().empty(); }
  LedReplicaHandle replica() { return caf::actor_cast<LedReplicaHandle>(self_); }
  static routing::RankLoss died(const std::string& how) { return {routing::LossCause::kKilled, {StatusCode::kAborted, how}}; }

  ActorSystemConfig config_{1};
  caf::actor_system system_{config_};
  caf::scoped_actor self_{system_};
  LedNow led_;
};

TEST_F(LedNowTest, AGenerationIsToldThatItsLeaderDied) {
  led_.set(replica());
  led_.on_leader_died(died("killed"));
  EXPECT_EQ(death(), "killed");
}

TEST_F(LedNowTest, ADeathWhileTheGenerationIsMadeIsToldOnceItIsThere) {
  led_.on_leader_died(died("killed"));
  led_.set(replica());
  EXPECT_EQ(death(), "killed");
}

TEST_F(LedNowTest, TheDeathOfAnEarlierLeaderIsNotTold) {
  led_.on_leader_died(died("killed"));
  led_.on_leader_started();
  led_.set(replica());
  EXPECT_TRUE(heard_nothing());
  led_.on_leader_died(died("killed again"));
  EXPECT_EQ(death(), "killed again");
}

}  // namespace
}  // namespace herd::actors
