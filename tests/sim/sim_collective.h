#pragma once
// SimCollective: where the ranks of one generation meet, once a step. Nobody goes on before all have come; one that is in
// another step, or an abort, lets all return with an error, now and from then on.

#include <cstdint>
#include <functional>
#include <map>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::sim {

class SimCollective {
 public:
  using Go = std::function<void(const Status&)>;
  explicit SimCollective(std::uint32_t ranks) : ranks_(ranks) {}

  // `go` is called once, maybe at once.
  void arrive(std::uint32_t rank, StepId step, Go go);
  // The first reason holds.
  void abort(const Status& why);
  [[nodiscard]] const Status& status() const { return status_; }  // not ok: aborted
  [[nodiscard]] bool waits(std::uint32_t rank, StepId step) const { return step == step_ && waiting_.contains(rank); }

 private:
  void release(const Status& status);

  std::uint32_t ranks_;
  StepId step_;
  std::map<std::uint32_t, Go> waiting_;
  Status status_;
};

}  // namespace herd::sim
