// What a process finds changed in its cluster file: which keys it takes while it runs, which it names as those that it cannot take.

#include "cluster/config/spec_changes.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cluster/config/setting_table.h"

namespace herd::config {
namespace {

using handshake::Role;

ClusterSpec right() {
  ClusterSpec spec;
  spec.name = "c";
  spec.model.model_path = "/m";
  spec.http.api_key_file = "/keys";
  spec.coordinators = {{.name = "co", .address = "127.0.0.1:7100"}};
  spec.gateways = {{.name = "gw-1"}, {.name = "gw-2", .port = 8001}};
  spec.nodes = {{.name = "n-1", .address = "127.0.0.1:7101", .devices = {"cpu"}},
                {.name = "n-2", .address = "127.0.0.1:7201", .devices = {"cpu"}}};
  return spec;
}

SpecChanges changed(Role role, const std::string& name, const ClusterSpec& asked, const KeyLines& lines = {}) {
  return changes_between(right(), asked, lines, role, name);
}

std::vector<std::string> keys(const std::vector<Problem>& problems) {
  std::vector<std::string> all;
  for (const Problem& problem : problems) all.push_back(problem.key);
  return all;
}

using Keys = std::vector<std::string>;

// A value that the key may have and does not have.
void change(const Setting& setting, Slot slot) {
  if (auto* text = std::get_if<std::string*>(&slot)) {
    for (const std::string_view choice : setting.rule.choices)
      if (choice != **text) return void(**text = choice);
    **text += "x";
  } else if (auto* number = std::get_if<std::int64_t*>(&slot)) {
    ++**number;
  } else if (auto* real = std::get_if<double*>(&slot)) {
    **real += 0.25;
  } else if (auto* yes = std::get_if<bool*>(&slot)) {
    **yes = !**yes;
  } else {
    std::get<std::vector<std::string>*>(slot)->push_back("x");
  }
}

TEST(SpecChanges, AFileThatSaysTheSameChangesNothing) {
  for (const Role role : {Role::kCoordinator, Role::kGateway, Role::kNode}) {
    const SpecChanges none = changed(role, "gw-1", right());
    EXPECT_TRUE(none.taken.empty());
    EXPECT_TRUE(none.fixed.empty());
  }
}

// Every key of every section: it is taken by those whom the table names, overlooked by the others of these, and named by everybody
// when nobody takes it.
TEST(SpecChanges, EveryKeyIsTakenOrNamedAsTheTableSays) {
  const std::vector<std::pair<Role, std::set<TakenBy>>> takers = {
      {Role::kGateway, {TakenBy::kGateways, TakenBy::kGatewaysAndNodes, TakenBy::kEverybody}},
      {Role::kNode, {TakenBy::kNodes, TakenBy::kGatewaysAndNodes, TakenBy::kEverybody}},
      {Role::kCoordinator, {TakenBy::kEverybody}}};
  int fixed = 0, taken = 0;
  for (const Section& section : sections()) {
    for (const auto& field : section.fields) {
      const std::string key = (section.name.empty() ? "" : std::string(section.name) + ".") + std::string(field.setting.name);
      ClusterSpec asked = right();
      change(field.setting, field.slot(asked));
      for (const auto& [role, takes] : takers) {
        const SpecChanges changes = changed(role, role == Role::kNode ? "n-1" : "gw-1", asked);
        const bool named = field.setting.taken_by == TakenBy::kNobody;
        EXPECT_EQ(keys(changes.fixed), named ? Keys{key} : Keys{}) << key;
        EXPECT_EQ(changes.taken, takes.contains(field.setting.taken_by) ? Keys{key} : Keys{}) << key;
        fixed += named;
        taken += !changes.taken.empty();
      }
    }
  }
  EXPECT_GT(fixed, 60);
  EXPECT_GT(taken, 15);
}

TEST(SpecChanges, AllOfTheLimitsTheSupervisionAndTheLogsButTheirFormatAreTaken) {
  for (const Section& section : sections())
    for (const auto& field : section.fields)
      if (section.name == "limits" || section.name == "supervision" || (section.name == "logs" && field.setting.name != "log_format"))
        EXPECT_NE(field.setting.taken_by, TakenBy::kNobody) << field.setting.name;
}

TEST(SpecChanges, WhatCannotBeTakenIsNamedWithItsLineAndBothValues) {
  ClusterSpec asked = right();
  asked.kv.block_size = 32;
  asked.scheduler.max_num_seqs = 8;
  const SpecChanges changes = changed(Role::kNode, "n-1", asked, {{"scheduler", 7}, {"kv.block_size", 12}});
  ASSERT_EQ(changes.fixed.size(), 2U);
  EXPECT_EQ(problem_text("f", changes.fixed[0]),
            "f:7:scheduler.max_num_seqs: is 8 now, and was not given; it cannot change while this process runs: restart it, or take the "
            "change back");
  EXPECT_EQ(problem_text("f", changes.fixed[1]),
            "f:12:kv.block_size: is 32 now, and was 16; it cannot change while this process runs: restart it, or take the change back");
}

TEST(SpecChanges, WhetherKeysAreAskedForCannotChange) {
  ClusterSpec asked = right();
  asked.http.api_key_file = "/other";
  EXPECT_EQ(changed(Role::kGateway, "gw-1", asked).taken, Keys{"http.api_key_file"});
  asked.http.api_key_file = "";
  EXPECT_EQ(keys(changed(Role::kGateway, "gw-1", asked).fixed), Keys{"http.api_key_file"});
  EXPECT_EQ(keys(changes_between(asked, right(), {}, Role::kGateway, "gw-1").fixed), Keys{"http.api_key_file"});
}

TEST(SpecChanges, TheCoordinatorTakesNodesAndGatewaysThatAreNewOrGone) {
  ClusterSpec asked = right();
  asked.nodes.push_back({.name = "n-3", .address = "127.0.0.1:7301", .devices = {"cpu"}});
  asked.gateways.pop_back();
  const SpecChanges changes = changed(Role::kCoordinator, "co", asked);
  EXPECT_EQ(changes.taken, (Keys{"gateways: gw-2 is gone", "nodes: n-3 is new"}));
  EXPECT_TRUE(changes.fixed.empty());
  for (const auto& [role, name] : {std::pair(Role::kGateway, "gw-1"), std::pair(Role::kNode, "n-2")}) {
    EXPECT_TRUE(changed(role, name, asked).taken.empty());
    EXPECT_TRUE(changed(role, name, asked).fixed.empty());
  }
}

TEST(SpecChanges, AProcessNamesWhatIsOtherOfItsOwnEntryAndOfNobodyElses) {
  ClusterSpec asked = right();
  asked.nodes[1].devices = {"cpu", "cpu"};
  asked.gateways[0].port = 9000;
  EXPECT_EQ(keys(changed(Role::kNode, "n-2", asked).fixed), Keys{"nodes[1].devices"});
  EXPECT_EQ(keys(changed(Role::kNode, "n-1", asked).fixed), Keys{});
  EXPECT_EQ(keys(changed(Role::kGateway, "gw-1", asked).fixed), Keys{"gateways[0].port"});
  EXPECT_EQ(keys(changed(Role::kGateway, "gw-2", asked).fixed), Keys{});
  EXPECT_EQ(keys(changed(Role::kCoordinator, "co", asked).fixed), Keys{});
  std::swap(asked.nodes[0], asked.nodes[1]);
  EXPECT_EQ(keys(changed(Role::kNode, "n-2", asked).fixed), Keys{"nodes[0].devices"}) << "by name, wherever it stands";
}

TEST(SpecChanges, AProcessThatRunsCannotBeTakenOutByItself) {
  ClusterSpec asked = right();
  asked.gateways.pop_back();
  EXPECT_EQ(keys(changed(Role::kGateway, "gw-2", asked).fixed), Keys{"gateways"});
  EXPECT_EQ(keys(changed(Role::kGateway, "gw-1", asked).fixed), Keys{});
}

TEST(SpecChanges, AnotherCoordinatorIsTakenByNobody) {
  ClusterSpec asked = right();
  asked.coordinators[0].address = "127.0.0.1:7109";
  for (const auto& [role, name] : {std::pair(Role::kGateway, "gw-1"), std::pair(Role::kNode, "n-2"), std::pair(Role::kCoordinator, "co")})
    EXPECT_EQ(keys(changed(role, name, asked).fixed), Keys{"coordinators[0].address"});
}

TEST(SpecChanges, NodesThatAreListedAndNodesThatAreNotAreTwoKindsOfCluster) {
  ClusterSpec asked = right();
  asked.nodes.clear();
  asked.any_node_with_certificate = true;
  EXPECT_EQ(keys(changed(Role::kGateway, "gw-1", asked).fixed), Keys{"nodes"});
}

}  // namespace
}  // namespace herd::config
