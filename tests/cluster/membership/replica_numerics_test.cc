#include "cluster/membership/replica_numerics.h"

#include <gtest/gtest.h>

namespace herd::membership {
namespace {

model::WeightsDigest read(std::uint64_t own, std::uint64_t whole = 9) { return {{0, own}, {0, whole}}; }

ReplicaNumerics of_two() {
  return {2, [](const std::string& numerics_class, const digest::Digest128& weights) {
            return numerics_class + "/" + digest::hex(weights);
          }};
}

TEST(ReplicaNumerics, HasAnIdOnceAllRanksHaveReadTheirWeights) {
  ReplicaNumerics numerics = of_two();
  ASSERT_TRUE(numerics.on_ready(1, "cpu-2", read(5)).ok());
  EXPECT_EQ(numerics.id(), "");
  ASSERT_TRUE(numerics.on_ready(0, "cpu-2", read(3)).ok());
  const std::string id = numerics.id();
  EXPECT_EQ(id, "cpu-2/" + digest::hex(*model::join(std::vector{read(3), read(5)})));
  ASSERT_TRUE(numerics.on_ready(0, "cpu-2", read(3)).ok()) << "its next life reads the same";
  EXPECT_EQ(numerics.id(), id);
}

TEST(ReplicaNumerics, ARankThatReadsOtherWeightsThanBeforeIsRefusedAndTheIdStays) {
  ReplicaNumerics numerics = of_two();
  ASSERT_TRUE(numerics.on_ready(0, "cpu-2", read(3)).ok());
  ASSERT_TRUE(numerics.on_ready(1, "cpu-2", read(5)).ok());
  const std::string id = numerics.id();
  const Status refused = numerics.on_ready(1, "cpu-2", read(6));
  EXPECT_EQ(refused.code(), StatusCode::kBadInput);
  EXPECT_NE(refused.message().find("files have changed"), std::string::npos) << refused.message();
  EXPECT_EQ(numerics.id(), id);
  EXPECT_TRUE(numerics.on_ready(1, "cpu-2", read(5)).ok()) << "the old ones are taken still";
}

TEST(ReplicaNumerics, RanksThatHoldOtherBytesOfWhatIsWholeDoNotMakeAReplica) {
  ReplicaNumerics numerics = of_two();
  ASSERT_TRUE(numerics.on_ready(0, "cpu-2", read(3, 9)).ok());
  EXPECT_EQ(numerics.on_ready(1, "cpu-2", read(5, 8)).code(), StatusCode::kBadInput);
  EXPECT_EQ(numerics.id(), "");
  EXPECT_TRUE(numerics.on_ready(1, "cpu-2", read(5, 9)).ok()) << "the one that was refused has not read anything";
  EXPECT_NE(numerics.id(), "");
}

TEST(ReplicaNumerics, RanksOfAReplicaComputeAlike) {
  ReplicaNumerics numerics = of_two();
  ASSERT_TRUE(numerics.on_ready(0, "cpu-2", read(3)).ok());
  EXPECT_EQ(numerics.on_ready(1, "sm90-2", read(5)).message(), "it computes as sm90-2, the ranks before it as cpu-2");
  EXPECT_EQ(numerics.on_ready(2, "cpu-2", read(5)).code(), StatusCode::kBadInput);
}

}  // namespace
}  // namespace herd::membership
