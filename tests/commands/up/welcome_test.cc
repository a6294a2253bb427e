#include "commands/up/welcome.h"

#include <gtest/gtest.h>

namespace herd::up {
namespace {

using handshake::Role;
using report::ProcessReport;

ProcessReport process(Role role, const std::string& name, std::int64_t pid, bool leader = false) {
  ProcessReport it;
  it.role = role;
  it.name = name;
  it.pid = pid;
  it.leader = leader;
  return it;
}

TEST(Welcome, SaysWhatToTypeNext) {
  config::ClusterSpec spec;
  spec.name = "demo";
  spec.model.model_path = "/models/it's";
  report::ClusterStatusReport status;
  status.processes = {process(Role::kCoordinator, "coordinator", 1), process(Role::kNode, "node-1", 2),
                      process(Role::kRank, "replica-0/rank-1", 4), process(Role::kRank, "replica-0/rank-0", 3, true),
                      process(Role::kGateway, "gateway-1", 5)};
  status.processes.back().endpoint_url = "http://127.0.0.1:8000";
  status.processes.back().metrics_url = "http://127.0.0.1:9000/metrics";
  status.replicas.resize(1);
  const std::string text = welcome_text("/tmp/c.yaml", "build/release/herd", spec, status);
  EXPECT_NE(text.find("1 gateway, 1 coordinator, 1 node, 2 ranks; 1 replica of '/models/it'\\''s'\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  curl -N http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' -d '{"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  kill -9 3\n"), std::string::npos) << "the leader's death costs most: " << text;
  EXPECT_NE(text.find("\n  build/release/herd status --config /tmp/c.yaml\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  curl http://127.0.0.1:9000/metrics\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("Bearer"), std::string::npos);
  EXPECT_EQ(text.find("/ui"), std::string::npos);
  spec.http.ui = true;
  EXPECT_NE(welcome_text("c", "herd", spec, status).find("\n  http://127.0.0.1:8000/ui\n"), std::string::npos);
  spec.http.api_key_file = "/etc/herd/keys";
  EXPECT_NE(welcome_text("c", "herd", spec, status).find("Bearer $HERD_API_KEY"), std::string::npos);
}

// Other hosts' gateways may be all there are.
TEST(Welcome, WithoutAGatewayThereIsNothingToAsk) {
  EXPECT_EQ(welcome_text("c", "herd", {}, {}).find("curl"), std::string::npos);
}

}  // namespace
}  // namespace herd::up
