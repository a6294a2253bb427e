// A cluster file that lists other nodes and gateways than before, for a coordinator that runs.

#include <gtest/gtest.h>

#include <string>

#include "tests/cluster/membership/membership_harness.h"

namespace herd::membership {
namespace {

using handshake::Role;
using report::ReplicaCondition;

MembershipConfig one_node() {
  MembershipConfig config;
  config.replicas = 2;
  config.nodes = {"a"};
  config.gateways = {"g"};
  return config;
}

struct ListedPeersTest : testing::Test {
  void list(const std::vector<std::string>& nodes, const std::vector<std::string>& gateways = {"g"}) {
    cluster.core.set_listed(nodes, gateways, cluster.effects);
    cluster.pass(0);
  }
  [[nodiscard]] std::string check(const std::vector<std::string>& nodes, const std::vector<std::string>& gateways = {"g"}) const {
    return cluster.core.check_listed(nodes, gateways).message();
  }
  MembershipHarness cluster{one_node()};
};

TEST_F(ListedPeersTest, ANodeThatIsNewComesInAndTakesWhatHadNoRoom) {
  const PeerId a = cluster.joined("a");
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.line(1).condition, ReplicaCondition::kLost);
  EXPECT_TRUE(cluster.closed.contains(cluster.joined("b"))) << "it is not listed yet";
  EXPECT_EQ(check({"a", "b"}), "");
  list({"a", "b"});
  const PeerId b = cluster.joined("b");
  EXPECT_FALSE(cluster.closed.contains(b));
  EXPECT_EQ(cluster.assigned(b), "1 ");
  EXPECT_EQ(cluster.assigned(a), "0 ") << "and nothing else moves";
}

TEST_F(ListedPeersTest, AGatewayThatIsNewComesIn) {
  cluster.joined("a");
  EXPECT_TRUE(cluster.closed.contains(cluster.gateway("h")));
  list({"a"}, {"g", "h"});
  const PeerId h = cluster.gateway("h");
  EXPECT_FALSE(cluster.closed.contains(h));
  EXPECT_FALSE(cluster.views.at(h).empty());
}

TEST_F(ListedPeersTest, WhoeverRunsCannotBeTakenOut) {
  const PeerId a = cluster.joined("a");
  const PeerId g = cluster.gateway("g");
  EXPECT_EQ(check({}), "node \"a\" is not in the file any more, and it runs; drain it and end it first, or take the change back");
  EXPECT_EQ(check({"a"}, {}), "gateway \"g\" is not in the file any more, and it runs; drain it and end it first, or take the change back");
  cluster.close(g);
  EXPECT_EQ(check({"a"}, {}), "");
  cluster.close(a);
  EXPECT_EQ(check({}), "node \"a\" is not in the file any more, and has only just gone; try again in 10 s");
  cluster.pass(10);
  EXPECT_EQ(check({}), "");
}

TEST_F(ListedPeersTest, ANodeThatIsTakenOutLosesItsPlacesAndIsRefused) {
  const PeerId a = cluster.joined("a");
  list({"a", "b"});
  const PeerId b = cluster.joined("b", 2);
  cluster.asked_and_serving(a, 0);
  cluster.asked_and_serving(b, 1);
  cluster.close(a);
  cluster.pass(10);
  list({"b"});
  EXPECT_EQ(cluster.assigned(b), "0 1 ");
  EXPECT_TRUE(cluster.closed.contains(cluster.joined("a")));
}

TEST_F(ListedPeersTest, OneThatCameAfterItWasCheckedIsClosed) {
  const PeerId a = cluster.joined("a");
  list({"b"});
  EXPECT_NE(cluster.closed.at(a).message().find("not in the coordinator's cluster file any more"), std::string::npos);
}

}  // namespace
}  // namespace herd::membership
