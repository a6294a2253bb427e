#include "commands/up/host_plan.h"

#include <gtest/gtest.h>

namespace herd::up {
namespace {

using handshake::Role;

// Two machines, a and b; the coordinator and one gateway are on a, the other gateway on the machine of node-b.
config::ClusterSpec two_machines() {
  config::ClusterSpec spec;
  spec.coordinators = {{"coordinator", "a.example:7100", 0}};
  spec.nodes.resize(2);
  spec.nodes[0].name = "node-a";
  spec.nodes[0].address = "a.example:7101";
  spec.nodes[1].name = "node-b";
  spec.nodes[1].address = "b.example:7101";
  spec.gateways.resize(2);
  spec.gateways[0].name = "east";
  spec.gateways[0].host = "a.example";
  spec.gateways[1].name = "west";
  spec.gateways[1].host = "0.0.0.0";
  spec.gateways[1].node = "node-b";
  return spec;
}

TEST(HostPlan, AHostRunsWhatTheFileHasOnIt) {
  const config::ClusterSpec spec = two_machines();
  EXPECT_EQ(processes_here(spec, [](const std::string& host) { return host == "a.example"; }),
            (std::vector<HostProcess>{{Role::kCoordinator, "coordinator"}, {Role::kNode, "node-a"}, {Role::kGateway, "east"}}));
  EXPECT_EQ(processes_here(spec, [](const std::string&) { return true; }),
            (std::vector<HostProcess>{{Role::kCoordinator, "coordinator"},
                                      {Role::kNode, "node-a"},
                                      {Role::kNode, "node-b"},
                                      {Role::kGateway, "east"},
                                      {Role::kGateway, "west"}}));
  EXPECT_EQ(processes_here(spec, [](const std::string& host) { return host == "c.example"; }), std::vector<HostProcess>{});
}

TEST(HostPlan, AGatewayOfANodeRunsWhereThatIs) {
  const auto here = processes_here(two_machines(), [](const std::string& host) { return host == "b.example"; });
  EXPECT_EQ(here, (std::vector<HostProcess>{{Role::kNode, "node-b"}, {Role::kGateway, "west"}}));
}

TEST(HostPlan, ACommandLineNamesRoleFileAndName) {
  EXPECT_EQ(arguments_of({Role::kNode, "node-a"}, "c.yaml"), (std::vector<std::string>{"node", "--config", "c.yaml", "--name", "node-a"}));
  EXPECT_EQ(arguments_of({Role::kCoordinator, "c"}, "c.yaml")[0], "coordinator");
  EXPECT_EQ(arguments_of({Role::kGateway, "east"}, "c.yaml")[0], "serve");
}

}  // namespace
}  // namespace herd::up
