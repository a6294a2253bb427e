// TextQueue: whose turn it is, what is not taken, and what is freed before its turn.

#include "endpoint/api/text_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace herd::api {
namespace {

constexpr admission::TenantId kAnn{7};
constexpr admission::TenantId kBob{3};
constexpr admission::TenantId kCid{9};

class TextQueueTest : public testing::Test {
 protected:
  std::optional<TextQueue::TaskId> push(admission::TenantId tenant, const std::string& name, std::size_t bytes = 0) {
    return queue_.push({.run = [this, name] { ran_.push_back(name); }, .tenant = tenant, .bytes = bytes});
  }
  std::vector<std::string> run_all() {
    while (auto task = queue_.pop()) task->run();
    return ran_;
  }

  TextQueue queue_{{.tasks = 8, .bytes = 100}};
  std::vector<std::string> ran_;
};

TEST_F(TextQueueTest, TenantsTakeTurnsAndEachKeepsItsOrder) {
  for (const char* name : {"a1", "a2", "a3"}) ASSERT_TRUE(push(kAnn, name));
  for (const char* name : {"b1", "b2"}) ASSERT_TRUE(push(kBob, name));
  ASSERT_TRUE(push(kCid, "c1"));
  EXPECT_EQ(run_all(), (std::vector<std::string>{"b1", "a1", "c1", "b2", "a2", "a3"}));
  EXPECT_TRUE(queue_.empty());
  EXPECT_FALSE(queue_.pop());
}

TEST_F(TextQueueTest, WhoComesLaterWaitsForOneTaskOfEachOther) {
  for (const char* name : {"a1", "a2", "a3"}) ASSERT_TRUE(push(kAnn, name));
  queue_.pop()->run();
  ASSERT_TRUE(push(kBob, "b1"));
  EXPECT_EQ(run_all(), (std::vector<std::string>{"a1", "b1", "a2", "a3"}));
}

TEST_F(TextQueueTest, ATenantHasHalfOfTheTasksAndTheOthersTheRest) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(push(kAnn, "a")) << i;
  EXPECT_FALSE(push(kAnn, "too many"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(push(kBob, "b")) << i;
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(push(kCid, "c")) << i;
  EXPECT_FALSE(push(kBob, "too many of all"));
  EXPECT_EQ(run_all().size(), 8U);
  EXPECT_TRUE(push(kAnn, "room again"));
}

TEST_F(TextQueueTest, BytesAreBoundedForOneAndForAll) {
  EXPECT_TRUE(push(kAnn, "a", 40));
  EXPECT_FALSE(push(kAnn, "beyond half", 11));
  EXPECT_TRUE(push(kAnn, "to half", 10));
  EXPECT_TRUE(push(kBob, "to all", 50));
  EXPECT_FALSE(push(kCid, "beyond all", 1));
  EXPECT_EQ(queue_.bytes(), 100U);
  EXPECT_TRUE(queue_.pop());
  EXPECT_EQ(queue_.bytes(), 50U);
  EXPECT_EQ(run_all().size(), 2U);
  EXPECT_EQ(queue_.bytes(), 0U);
  EXPECT_TRUE(push(kAnn, "larger than all, alone", 1000));
}

TEST_F(TextQueueTest, WhatIsRemovedIsFreedAndNeverRun) {
  const auto body = std::make_shared<std::string>("a body");
  const auto id = queue_.push({.run = [this, body] { ran_.push_back(*body); }, .tenant = kAnn, .bytes = 50});
  ASSERT_TRUE(id);
  ASSERT_TRUE(push(kBob, "b1"));
  EXPECT_TRUE(queue_.remove(*id));
  EXPECT_EQ(body.use_count(), 1);
  EXPECT_EQ(queue_.bytes(), 0U);
  EXPECT_FALSE(queue_.remove(*id)) << "once";
  EXPECT_TRUE(push(kAnn, "a2", 50)) << "its share is free again";
  EXPECT_EQ(run_all(), (std::vector<std::string>{"b1", "a2"}));
}

}  // namespace
}  // namespace herd::api
