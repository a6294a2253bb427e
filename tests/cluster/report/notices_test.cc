#include "cluster/report/notices.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace herd::report {
namespace {

using Notices = std::vector<std::string>;

ClusterStatusReport gateways(const std::vector<std::string>& digests) {
  ClusterStatusReport cluster;
  for (const std::string& digest : digests) {
    ProcessReport& gateway = cluster.processes.emplace_back();
    gateway.role = handshake::Role::kGateway;
    gateway.name = "gateway-" + std::to_string(cluster.processes.size());
    gateway.pid = 7;
    gateway.access_digest = digest;
  }
  return cluster;
}

TEST(Notices, NothingIsSaidOfAClusterThatIsAsItShouldBe) {
  EXPECT_EQ(notices_of(gateways({"aa/bb", "aa/bb"}), "f1", {{"node \"a\"", "f1"}, {"operator \"operator\"", ""}}, {}), Notices{});
}

TEST(Notices, KeysOfGatewaysThatDifferAreNamedNotShown) {
  EXPECT_EQ(notices_of(gateways({"aa/bb", "aa/cc", "-/bb", "dd/-"}), "", {}, {}),
            (Notices{"API keys of gateway-2 and of gateway-1 differ: what the one lets in the other may refuse",
                     "gateway-3 has no resume key, gateway-1 does: streams of the one cannot be resumed at the other",
                     "resume key of gateway-4 and of gateway-1 differ: streams of the one cannot be resumed at the other",
                     "gateway-4 has no API keys, gateway-1 does: what the one lets in the other may refuse"}));
  EXPECT_EQ(notices_of(gateways({"-/-", "aa/-"}), "", {}, {}),
            (Notices{"gateway-1 has no resume key, gateway-2 does: streams of the one cannot be resumed at the other"}));
  auto gone = gateways({"aa/bb", "aa/cc"});
  gone.processes[1].pid = 0;
  EXPECT_EQ(notices_of(gone, "", {}, {}), Notices{});
}

TEST(Notices, CopiesOfTheFileThatDifferAreNamed) {
  EXPECT_EQ(notices_of({}, "f1", {{"node \"a\"", "f1"}, {"gateway \"g\"", "f2"}}, {}),
            Notices{"gateway \"g\" runs with another cluster file than the coordinator"});
}

TEST(Notices, WhatIsDrainedSaysHowItIsTakenBack) {
  ClusterStatusReport cluster;
  cluster.replicas = {{ReplicaId(0), ReplicaCondition::kDraining, "", 0, ""}, {ReplicaId(1), ReplicaCondition::kDraining, "a", 0, ""}};
  EXPECT_EQ(notices_of(cluster, "", {}, {"replica-0", "replica-1"}),
            (Notices{"replica-0 is drained and may be stopped; herd drain replica-0 --undo lets it take work again",
                     "replica-1 drains; herd drain replica-1 --undo lets it take work again"}));
}

TEST(Notices, TheyAreBounded) {
  const std::vector<FileCopy> copies(kNoticesMax + 10, {std::string(600, 'n'), "f2"});
  const Notices notices = notices_of({}, "f1", copies, {});
  EXPECT_EQ(notices.size(), kNoticesMax);
  EXPECT_TRUE(std::ranges::all_of(notices, [](const std::string& notice) { return notice.size() <= kReportTextBytesMax; }));
}

}  // namespace
}  // namespace herd::report
