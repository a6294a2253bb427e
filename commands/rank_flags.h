#pragma once
// The command line of `herd rank`, which a node writes and a rank's process reads: what it has to know before its node's first frame. What
// it computes is in that frame (cluster/placement/rank_spec.h).

#include <cstdint>
#include <string>
#include <vector>

#include "actors/processes/rank_process.h"

namespace CLI {
class App;
}

namespace herd::commands {

struct RankFlags {
  actors::RankProcessConfig process;  // its cluster, node, rank, host, port, descriptors and cpu_sharers
  std::uint32_t replica = 0;
  std::string tls_authority, tls_certificate, tls_key;
  std::string metrics_host = "127.0.0.1";
  std::uint16_t metrics_port = 0;
  double shutdown_timeout = 0;  // seconds
  std::string served_name;
  std::string log_format = "text";
};

void add_rank_flags(CLI::App& command, RankFlags& flags);

// The words that add_rank_flags() reads as these.
[[nodiscard]] std::vector<std::string> rank_words(RankFlags flags);

}  // namespace herd::commands
