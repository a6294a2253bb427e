#pragma once
// What the commands of an operator (status, drain, reload) share: the flags that say which cluster and in which form, and a client of
// its coordinator.

#include <memory>
#include <string>

#include "actors/processes/operator_client.h"
#include "kernels/status.h"

namespace CLI {
class App;
}

namespace herd::commands {

struct OperatorFlags {
  std::string config;           // empty: the demo cluster's
  std::string output = "text";  // or json
};

// --config and --output.
void add_operator_flags(CLI::App& command, OperatorFlags& flags, const char* output_help);

// kUsage: a form of output that is none. Else what is wrong with the file, or read_cluster_spec()'s and OperatorClient's errors. Fills
// in the file of the demo cluster.
[[nodiscard]] Expected<std::unique_ptr<processes::OperatorClient>> start_operator_client(OperatorFlags& flags);

}  // namespace herd::commands
