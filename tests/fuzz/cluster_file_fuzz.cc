// Any bytes as a cluster file: refused with at least one problem, none of them without words, or taken with values inside their rules,
// which can be said again as flags and placed.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cluster/config/cluster_file.h"
#include "cluster/config/setting_table.h"
#include "cluster/placement/cluster_plan.h"
#include "kernels/check.h"
#include "runtime/text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd;
  const auto file = config::parse_cluster_file({reinterpret_cast<const char*>(data), size});
  HERD_CHECK(file.problems.size() <= config::ProblemList::kMax + 1, "problems are bounded");
  for (const config::Problem& problem : file.problems)
    HERD_CHECK(!problem.what.empty() && problem.line >= 0 && text::is_valid_utf8(config::problem_text("f", problem)),
               "a problem is told in words");
  if (!file.problems.empty()) return 0;
  const config::ClusterSpec& spec = file.spec;
  HERD_CHECK(!spec.name.empty() && !spec.model.model_path.empty(), "what is required is there");
  HERD_CHECK(spec.coordinators.size() == 1 && !spec.gateways.empty(), "a cluster has its processes");
  HERD_CHECK(spec.nodes.empty() == spec.any_node_with_certificate, "nodes are listed, or any may join");
  for (const config::NodeSpec& node : spec.nodes) HERD_CHECK(!node.devices.empty(), "a node has a device");
  HERD_CHECK(!config::serve_flags_of(spec, &spec.gateways.front()).empty(), "settings are flags");
  const auto plan = placement::plan_cluster(spec, {});
  if (!plan) return 0;
  for (const placement::PlacedReplica& replica : plan->replicas)
    for (const placement::PlacedRank& rank : replica.ranks)
      HERD_CHECK(rank.device < spec.nodes[replica.node].devices.size(), "a rank has a device of its node");
  return 0;
}
