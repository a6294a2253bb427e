#include "cluster/report/status_table.h"

#include <gtest/gtest.h>

namespace herd::report {
namespace {

using handshake::Role;

ProcessReport process(Role role, const std::string& name, const std::string& node = "", std::int64_t pid = 7) {
  ProcessReport report;
  report.role = role;
  report.name = name;
  report.node = node;
  report.pid = pid;
  report.state = ProcessState::kServing;
  return report;
}

struct StatusTableTest : testing::Test {
  StatusTableTest() {
    ProcessReport node = process(Role::kNode, "a", "a", 0);
    node.state = ProcessState::kStopped;
    ProcessReport gateway = process(Role::kGateway, "g", "a", 0);
    gateway.state = ProcessState::kStopped;
    table = StatusTable({node, gateway});
  }
  [[nodiscard]] std::string shown() const {
    std::string text;
    for (const ProcessReport& report : table.processes(process(Role::kCoordinator, "k")))
      text += report.name + ":" + process_state_name(report.state) + ":" + std::to_string(report.pid) + " ";
    return text;
  }
  StatusTable table{{}};
};

TEST_F(StatusTableTest, ListedProcessesAreShownBeforeTheySayAnything) { EXPECT_EQ(shown(), "k:serving:7 a:stopped:0 g:stopped:0 "); }

TEST_F(StatusTableTest, ANodeSpeaksForItsRanksAndEverySenderReplacesWhatItSaid) {
  EXPECT_EQ(table.on_reports(Role::kNode, "a", {{process(Role::kNode, "a"), process(Role::kRank, "replica-0/rank-1", "a", 9),
                                                process(Role::kRank, "replica-0/rank-0", "a", 8)}}),
            0U);
  EXPECT_EQ(shown(), "k:serving:7 a:serving:7 replica-0/rank-0:serving:8 replica-0/rank-1:serving:9 g:stopped:0 ");
  EXPECT_EQ(table.on_reports(Role::kNode, "a", {{process(Role::kNode, "a")}}), 0U);
  EXPECT_EQ(shown(), "k:serving:7 a:serving:7 g:stopped:0 ");
}

TEST_F(StatusTableTest, WhatIsSaidOfOthersIsDropped) {
  EXPECT_EQ(table.on_reports(Role::kGateway, "g", {{process(Role::kGateway, "g"), process(Role::kGateway, "h"),
                                                   process(Role::kRank, "replica-0/rank-0", "g")}}),
            2U);
  EXPECT_EQ(table.on_reports(Role::kNode, "b", {{process(Role::kNode, "a"), process(Role::kRank, "replica-0/rank-0", "a"),
                                                process(Role::kCoordinator, "k")}}),
            3U);
  EXPECT_EQ(shown(), "k:serving:7 a:stopped:0 g:serving:7 ");
}

TEST_F(StatusTableTest, WhoeverHasGoneHasFailedOrStoppedAsItSaid) {
  (void)table.on_reports(Role::kNode, "a", {{process(Role::kNode, "a"), process(Role::kRank, "replica-0/rank-0", "a", 8)}});
  table.on_gone(Role::kNode, "a");
  EXPECT_EQ(shown(), "k:serving:7 a:failed:0 replica-0/rank-0:failed:0 g:stopped:0 ");
  ProcessReport draining = process(Role::kGateway, "g");
  draining.state = ProcessState::kDraining;
  (void)table.on_reports(Role::kGateway, "g", {{draining}});
  table.on_gone(Role::kGateway, "g");
  EXPECT_EQ(shown(), "k:serving:7 a:failed:0 replica-0/rank-0:failed:0 g:stopped:0 ");
}

TEST_F(StatusTableTest, ARankThatHasFailedHasNoPid) {
  ProcessReport rank = process(Role::kRank, "replica-0/rank-0", "a", 8);
  rank.state = ProcessState::kFailed;
  (void)table.on_reports(Role::kNode, "a", {{process(Role::kNode, "a"), rank}});
  EXPECT_EQ(shown(), "k:serving:7 a:serving:7 replica-0/rank-0:failed:0 g:stopped:0 ");
}

TEST_F(StatusTableTest, ARankThatMovedIsShownWhereItIs) {
  (void)table.on_reports(Role::kNode, "a", {{process(Role::kRank, "replica-0/rank-0", "a", 8)}});
  table.on_gone(Role::kNode, "a");
  (void)table.on_reports(Role::kNode, "b", {{process(Role::kRank, "replica-0/rank-0", "b", 5)}});
  EXPECT_EQ(shown(), "k:serving:7 replica-0/rank-0:serving:5 g:stopped:0 ");
}

TEST_F(StatusTableTest, UnlistedNodesThatHaveGoneAreForgottenWhenTheyAreMany) {
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "n" + std::to_string(i);
    (void)table.on_reports(Role::kNode, name, {{process(Role::kNode, name)}});
    table.on_gone(Role::kNode, name);
    ASSERT_LE(table.processes(process(Role::kCoordinator, "k")).size(), 70U);
  }
}

TEST_F(StatusTableTest, OtherProcessesAreListedFromNowOn) {
  ProcessReport added = process(Role::kNode, "b", "b", 0);
  added.state = ProcessState::kStopped;
  ProcessReport gateway = process(Role::kGateway, "g", "a", 0);
  gateway.state = ProcessState::kStopped;
  (void)table.on_reports(Role::kNode, "a", {{process(Role::kNode, "a")}});
  table.set_listed({added, gateway});
  EXPECT_EQ(shown(), "k:serving:7 a:serving:7 b:stopped:0 g:stopped:0 ") << "a is still here";
  table.on_gone(Role::kNode, "a");
  table.set_listed({added});
  EXPECT_EQ(shown(), "k:serving:7 b:stopped:0 ");
}

}  // namespace
}  // namespace herd::report
