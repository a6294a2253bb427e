// StatusBoard: what the page is told, as JSON.
#include "endpoint/pages/status_board.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/endpoint/pages/status_fixture.h"

namespace herd::pages {
namespace {

namespace json = boost::json;
using routing::ReplicaState;

class StatusBoardTest : public testing::Test {
 protected:
  static StatusLook look_at(actors::ClusterStatus status) {
    StatusLook look;
    look.status = std::make_shared<const actors::ClusterStatus>(std::move(status));
    look.health = "ok";
    look.ready = true;
    look.nodes = {{"node-1", "10.0.0.1:7000"}, {"node-2", "10.0.0.2:7000"}};
    return look;
  }
  json::value told(const StatusLook& look) { return json::parse(board_.json(look, 1234)); }
  std::vector<std::string> events() {
    std::vector<std::string> lines;
    for (const auto& event : events_.newest_first()) lines.push_back(std::to_string(event.times) + " " + event.what);
    return lines;
  }

  observability::RecentEvents events_{[] { return std::int64_t{1000}; }};
  StatusBoard board_{{.name = "gateway-1", .cluster = "demo", .version = "1", .model = "toy", .max_model_len = 256, .started = 1000}, events_};
};

TEST_F(StatusBoardTest, SaysWhoItIsAndWhatEachReplicaDoes) {
  actors::ClusterStatus status;
  add_replica(status, ReplicaState::kServing, 3);
  add_replica(status, ReplicaState::kLost, 4);
  status.replicas[0].scheduler.num_running = 5;
  status.replicas[0].scheduler.blocks.num_blocks = 100;
  status.replicas[0].scheduler.blocks.num_held = 30;
  status.open_requests = 7;
  const StatusLook look = look_at(std::move(status));
  board_.look(look);
  const json::value value = told(look);
  EXPECT_EQ(value.at("time"), json::value(1234));
  const json::object& server = value.at("server").as_object();
  EXPECT_EQ(server.at("name"), json::value("gateway-1"));
  EXPECT_EQ(server.at("health"), json::value("ok"));
  EXPECT_TRUE(server.at("reason").is_null());
  EXPECT_TRUE(server.at("coordinator").is_null());
  EXPECT_EQ(value.at("now").at("open"), json::value(7));
  EXPECT_EQ(value.at("nodes").as_array().size(), 2U) << "one without a replica is there too";
  const json::value& first = value.at("replicas").at(0);
  EXPECT_EQ(first.at("name"), json::value("replica-0"));
  EXPECT_EQ(first.at("node"), json::value("node-1"));
  EXPECT_EQ(first.at("state"), json::value("serving"));
  EXPECT_EQ(first.at("epoch"), json::value("3"));
  EXPECT_EQ(first.at("running"), json::value(5));
  EXPECT_EQ(first.at("kv").at("held"), json::value(30));
  EXPECT_EQ(value.at("replicas").at(1).at("state"), json::value("re-forming"));
  EXPECT_EQ(value.at("history").at("running").as_array().size(), 1U);
  EXPECT_EQ(value.at("events").at(0).at("what"), json::value("replica-1 is being made")) << "the newest first";
  EXPECT_EQ(value.at("events").at(0).at("level"), json::value("info"));
}

TEST_F(StatusBoardTest, RefusalsAreEventsThatCount) {
  StatusLook look = look_at({});
  look.refused = {{"queue_requests", 2}, {"in_flight", 0}};
  board_.look(look);
  board_.look(look);
  look.refused = {{"queue_requests", 5}, {"in_flight", 1}};
  board_.look(look);
  EXPECT_EQ(events(), (std::vector<std::string>{"1 refused (429): a key's requests in flight", "5 refused (503): the queue is full"}));
  EXPECT_EQ(told(look).at("totals").at("refused"), json::value({{"queue_requests", 5}, {"in_flight", 1}}));
}

TEST_F(StatusBoardTest, ACoordinatorThatFallsSilentIsAnEvent) {
  StatusLook look = look_at({});
  board_.look(look);
  look.hears_coordinator = true;
  board_.look(look);
  EXPECT_TRUE(events().empty());
  look.hears_coordinator = false;
  board_.look(look);
  EXPECT_EQ(told(look).at("server").at("coordinator"), json::value("silent"));
  look.hears_coordinator = true;
  board_.look(look);
  EXPECT_EQ(events(), (std::vector<std::string>{"1 the coordinator is heard again",
                                                "1 the coordinator is not heard: routing goes on by the last view"}));
}

}  // namespace
}  // namespace herd::pages
