#include "endpoint/pages/node_places.h"

#include <gtest/gtest.h>

namespace herd::pages {
namespace {

TEST(NodePlaces, AReplicaIsOnTheNodeOfItsHostWithTheNearestPortBelow) {
  const std::vector<NodePlace> nodes = {{"a", "10.0.0.1:7000"}, {"b", "10.0.0.2:7000"}, {"c", "10.0.0.1:7100"}, {"d", "localhost:7000"},
                                        {"e", "[::1]:7000"}};
  const struct {
    const char* address;
    const char* node;  // "": none
  } rows[] = {{"10.0.0.1:7000", "a"}, {"10.0.0.1:7003", "a"}, {"10.0.0.1:7100", "c"},    {"10.0.0.1:7101", "c"}, {"10.0.0.2:7100", "b"},
              {"10.0.0.1:6999", ""},  {"10.0.0.3:7000", ""},  {"127.0.0.1:7001", "d"},   {"[::1]:7001", "e"},    {"replica-0", ""},
              {"", ""}};
  for (const auto& row : rows) {
    const NodePlace* node = node_of(row.address, nodes);
    EXPECT_EQ(node != nullptr ? node->name : "", row.node) << row.address;
  }
}

TEST(NodePlaces, AreThoseOfTheFile) {
  config::ClusterSpec spec;
  spec.nodes.resize(2);
  spec.nodes[0].name = "a";
  spec.nodes[0].address = "10.0.0.1:7000";
  spec.nodes[1].name = "b";
  EXPECT_EQ(places_of(spec), (std::vector<NodePlace>{{"a", "10.0.0.1:7000"}, {"b", ""}}));
}

}  // namespace
}  // namespace herd::pages
