#pragma once
// What an operator tells the coordinator to do (`herd drain`, `herd reload`), and what comes of it. Values; they travel as
// schema/report.capnp says.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"

namespace herd::report {

inline constexpr std::size_t kAnswerLinesMax = 256;

// A node or a replica takes nothing new; its streams move, or finish there. Answered by OrderAnswer at once; `herd status` shows how
// far it is. It stays so, over restarts of whomever, until `undo`.
struct DrainAsk {
  std::string target;      // name of a node, or "replica-0"
  bool undo = false;       // take work again
  double drain_s = 30;     // what has not moved or finished by then is parked; seconds, [0, 86400]
  bool operator==(const DrainAsk&) const = default;
};

// Every process reads its copy of the cluster's file again; all take what changed, or none does. Answered by OrderAnswer.
struct ReloadAsk {
  bool operator==(const ReloadAsk&) const = default;
};

struct OrderAnswer {
  Status status;                   // why it was not done
  std::vector<std::string> lines;  // what was done, or what is wrong, a sentence each; at most kAnswerLinesMax, 512 bytes each
  bool operator==(const OrderAnswer&) const = default;
};

// From the coordinator to every node and gateway: read the file again, say what would change, and wait.
struct ReloadPrepare {
  std::uint64_t number = 0;        // of this reload; not 0
  std::string config_digest;       // of the file as the coordinator reads it
  bool operator==(const ReloadPrepare&) const = default;
};
// The answer to it. Not ok: the file is wrong, a key changed that cannot, or another digest. Said once more, ok and with no keys, when
// what was prepared has been taken.
struct ReloadPrepared {
  std::uint64_t number = 0;
  Status status;
  std::vector<std::string> changed;  // keys that would take effect here: "limits.request_timeout"; at most kAnswerLinesMax
  bool operator==(const ReloadPrepared&) const = default;
};
// Take what was prepared under that number, or forget it. A process that hears neither within 10 s forgets it.
struct ReloadDecision {
  std::uint64_t number = 0;
  bool take = false;
  bool operator==(const ReloadDecision&) const = default;
};

}  // namespace herd::report
