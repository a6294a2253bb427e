#include "endpoint/pages/replica_changes.h"

#include <gtest/gtest.h>

#include "tests/endpoint/pages/status_fixture.h"

namespace herd::pages {
namespace {

using observability::LogLevel;
using report::ReplicaCondition;
using routing::ReplicaState;

class ReplicaChangesTest : public testing::Test {
 protected:
  // One replica in that state; what is told of it, lines joined by "; ".
  std::string told(ReplicaState state, std::uint64_t epoch, bool heard = true, bool returns = true) {
    actors::ClusterStatus status;
    add_replica(status, state, epoch, heard, returns);
    return told(status);
  }
  std::string told(const actors::ClusterStatus& status) {
    std::string lines;
    for (const Change& change : changes_.on_status(status)) lines += (lines.empty() ? "" : "; ") + change.what;
    return lines;
  }

  ReplicaChanges changes_;
};

TEST_F(ReplicaChangesTest, EachChangeIsToldOnce) {
  EXPECT_EQ(told(ReplicaState::kMaking, 1), "replica-0 is being made");
  EXPECT_EQ(told(ReplicaState::kServing, 1, false), "") << "it has not said so itself";
  EXPECT_EQ(told(ReplicaState::kServing, 1), "replica-0 serves again, epoch 1");
  EXPECT_EQ(told(ReplicaState::kServing, 1), "");
  EXPECT_EQ(told(ReplicaState::kLost, 1), "replica-0 is lost: its ranks form a group again");
  EXPECT_EQ(told(ReplicaState::kMaking, 2), "") << "the same loss";
  EXPECT_EQ(told(ReplicaState::kServing, 2), "replica-0 serves again, epoch 2");
  EXPECT_EQ(told(ReplicaState::kServing, 5), "replica-0 serves again, epoch 5") << "nobody looked while it was away";
  EXPECT_EQ(told(ReplicaState::kDraining, 5), "replica-0 drains: it takes nothing new");
  EXPECT_EQ(told(ReplicaState::kLost, 5, true, false), "replica-0 is lost and does not come back");
}

TEST_F(ReplicaChangesTest, WhatComesAndGoesIsTold) {
  actors::ClusterStatus status;
  add_replica(status, ReplicaState::kServing, 3);
  add_replica(status, ReplicaState::kServing, 4);
  EXPECT_EQ(told(status), "replica-0 serves, epoch 3; replica-1 serves, epoch 4");
  status.replicas.pop_back();
  status.view.replicas.pop_back();
  status.replica_ejections = 1;
  EXPECT_EQ(told(status), "replica-1 is no part of the cluster any more; a replica is much slower than another: it is left alone for a while");
  EXPECT_EQ(told(status), "");
}

TEST_F(ReplicaChangesTest, ConditionsHaveTheWordsOfHerdStatus) {
  const struct {
    ReplicaState state;
    bool heard, returns;
    ReplicaCondition condition;
  } rows[] = {{ReplicaState::kServing, true, true, ReplicaCondition::kServing},
              {ReplicaState::kServing, false, true, ReplicaCondition::kReforming},
              {ReplicaState::kMaking, true, true, ReplicaCondition::kReforming},
              {ReplicaState::kLost, true, true, ReplicaCondition::kReforming},
              {ReplicaState::kLost, true, false, ReplicaCondition::kLost},
              {ReplicaState::kDraining, true, true, ReplicaCondition::kDraining}};
  for (const auto& row : rows) {
    actors::ClusterStatus status;
    add_replica(status, row.state, 1, row.heard, row.returns);
    EXPECT_EQ(condition_of(status.view.replicas[0], status.replicas[0]), row.condition);
  }
}

}  // namespace
}  // namespace herd::pages
