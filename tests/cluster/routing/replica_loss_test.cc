#include "cluster/routing/replica_loss.h"

#include <gtest/gtest.h>

namespace herd::routing {
namespace {

using Marks = std::vector<std::optional<step::AttemptKey>>;
using Attempts = std::vector<step::AttemptKey>;
using Ranks = std::vector<std::uint32_t>;

constexpr step::AttemptKey kFirst{GatewayId(1), SequenceId(4), 0}, kSecond{GatewayId(2), SequenceId(3), 1};

ReplicaLoss loss_of_leader(LossCause cause) {
  ReplicaLoss loss;
  loss.cause = cause;
  loss.blamed = {0};
  return loss;
}

TEST(ReplicaLoss, TwoRanksThatDiedOfOneAttemptAreBothToBlame) {
  ReplicaLoss loss = loss_of_leader(LossCause::kDiedOfItself);
  lay_at(loss, Marks{kFirst, kFirst});
  EXPECT_EQ(loss.at_work, Attempts{kFirst});
  EXPECT_EQ(loss.blamed, (Ranks{0, 1}));
}

TEST(ReplicaLoss, AttemptsRiseWhateverRankNamesThem) {
  ReplicaLoss loss = loss_of_leader(LossCause::kDiedOfItself);
  lay_at(loss, Marks{kSecond, std::nullopt, kFirst});
  EXPECT_EQ(loss.at_work, (Attempts{kFirst, kSecond}));
  EXPECT_EQ(loss.blamed, (Ranks{0, 2}));
}

TEST(ReplicaLoss, WithoutMarksNobodyIsNamed) {
  ReplicaLoss loss = loss_of_leader(LossCause::kDiedOfItself);
  lay_at(loss, Marks{std::nullopt, std::nullopt});
  EXPECT_EQ(loss.at_work, Attempts{});
  EXPECT_EQ(loss.blamed, Ranks{0});
}

TEST(ReplicaLoss, WhoeverWasKilledDiedOfNothingItDid) {
  ReplicaLoss loss = loss_of_leader(LossCause::kKilled);
  lay_at(loss, Marks{std::nullopt, kFirst});
  EXPECT_EQ(loss, loss_of_leader(LossCause::kKilled));
}

}  // namespace
}  // namespace herd::routing
