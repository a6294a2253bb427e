#pragma once
// ToldEpochs: which epochs of coordinators before this one peers are believed. Pure.
//
// An epoch is the time at which its coordinator began, by its clock, and generations have to rise. So a coordinator takes an epoch
// above the newest that its peers tell, and it does not matter what the clocks before it have shown, nor what its own shows. But at the
// end of all epochs no coordinator could begin, and one peer that lies must not lead there: beyond kEpochOfOnePeerMax, and beyond what
// this coordinator knows to be so, an epoch counts once another peer has told one that is at least as new.

#include <algorithm>
#include <map>
#include <string>

#include "cluster/membership/coordinator_core.h"

namespace herd::membership {

// Milliseconds, up to the year 2248.
inline constexpr Epoch kEpochOfOnePeerMax{kClusterEpochMax.value / 2};

class ToldEpochs {
 public:
  // The newest that one peer is believed, where `newest` is known.
  [[nodiscard]] static Epoch newest_of_one(Epoch newest) { return std::max(kEpochOfOnePeerMax, newest); }
  // Whether an earlier coordinator can have had that epoch. `who` tells it; what is not believed is remembered for others.
  [[nodiscard]] bool believe(const std::string& who, Epoch told, Epoch newest);

 private:
  std::map<std::string, Epoch> told_;  // by who told it: the newest that was not believed at once
};

}  // namespace herd::membership
