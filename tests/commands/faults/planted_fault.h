#pragma once
// PlantedFault: what a test does to a rank of a running server, and when; and the text that says so.
//
//   kind=die,rank=1,step=37;kind=hang_for,seconds=0.8,replica=0-1,step=10-40,repeat=5,seed=7
// Faults stand apart by ';' and know nothing of each other. replica, rank and step are numbers or ranges: of a range, one is
// drawn each time. Steps are those in which that rank computes something, counted from when the fault was planted, or last happened.

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::faults {

enum class FaultKind : std::uint8_t {
  kFail = 0,         // the step is not computed: its result has a status that is not ok
  kDie,              // the rank throws when it is handed the step
  kDieInCollective,  // … in a collective operation of the step
  kSkipCollective,   // an operation of the step is left out
  kHang,             // does not come back from the step, for good
  kHangInCollective, // … from an operation of the step
  kHangFor,          // comes back `seconds` late
  kFlipToken,        // says that another token was sampled
  kDamageBlock,      // of the next KV block that it hands out for another replica, a byte is another one
  kCount
};

// "fail", "die_in_collective", …
[[nodiscard]] const char* fault_name(FaultKind kind);

// From `least` to `most`, both of them too.
struct Range {
  std::uint32_t least = 0;
  std::uint32_t most = 0;
  bool operator==(const Range&) const = default;
};

struct PlantedFault {
  FaultKind kind = FaultKind::kFail;
  Range replica{};
  Range rank{};
  Range step{};                 // from 1
  std::uint32_t operation = 1;  // which of the step's collective operations, from 1; of the kinds that name one
  double seconds = 0.0;         // kHangFor
  std::uint32_t repeat = 1;     // how often
  std::uint64_t seed = 0;       // of what is drawn from ranges
  bool operator==(const PlantedFault&) const = default;
};

// kUsage says which word is wrong. An empty text is no fault.
[[nodiscard]] Expected<std::vector<PlantedFault>> parse_faults(std::string_view text);

}  // namespace herd::faults
