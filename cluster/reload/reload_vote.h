#pragma once
// ReloadVote: one process's part of a reload: it reads its file, says what would change or why nothing can, and takes it when it is
// told to, or forgets it. Pure: whoever reads the file keeps what was read last, and takes that.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "cluster/report/operator_orders.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::reload {

// What came of reading the file.
struct Reading {
  Status status;                     // what is wrong with it, or the keys that cannot change: a line each
  std::string digest;                // of its settings, if they are right
  std::vector<std::string> changed;  // keys that this process would take
};

// What the coordinator says to whoever votes.
using ReloadOrder = std::variant<report::ReloadPrepare, report::ReloadDecision>;

class ReloadVote {
 public:
  static constexpr double kKept_s = 10;  // for a decision; afterwards what was prepared is forgotten

  // The answer. Nothing that was prepared before counts any more.
  [[nodiscard]] report::ReloadPrepared on_prepare(const report::ReloadPrepare& prepare, const Reading& reading, Instant now);
  // Whether what was read for that prepare is taken now. It is to be confirmed once it is (taken()).
  [[nodiscard]] bool on_decision(const report::ReloadDecision& decision, Instant now);
  // What is said of a reload that was taken.
  [[nodiscard]] static report::ReloadPrepared taken(std::uint64_t number);

 private:
  std::uint64_t prepared_ = 0;  // the number; 0: nothing
  Instant until_;
};

}  // namespace herd::reload
