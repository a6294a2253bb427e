#pragma once
// A progress bar for people: one line on a terminal, nothing when stderr is not one. Not a log.

#include <cstddef>
#include <string>

#include "runtime/clock.h"

namespace herd::observability {

// Value with a little state: redraws only when the shown percentage changes.
class ProgressBar {
 public:
  // `what`: "loading weights". Shows nothing for work that ends within the first call. The rate counts from here.
  explicit ProgressBar(std::string what);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void update(std::size_t done, std::size_t total);  // bytes

 private:
  std::string what_;
  Instant begin_;
  bool terminal_ = false;
  bool drawn_ = false;
  int percent_ = -1;
};

}  // namespace herd::observability
