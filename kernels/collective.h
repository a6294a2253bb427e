#pragma once
// Collective: moves bytes between the ranks of one tensor-parallel group; herd adds, in tree order (rule 7).
// Enqueued on the same stream as operations: errors, deadline and abort surface at the executor's wait.

#include <cstddef>

#include "kernels/status.h"

namespace herd {

class Collective {
 public:
  virtual ~Collective() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  // Every rank gives `bytes` at `send`; `receive` gets size() * bytes in rank order.
  virtual void all_gather(const void* send, void* receive, std::size_t bytes) = 0;
  // Makes waiting ranks return; every later call does nothing. Any thread.
  virtual void abort(const char* reason) = 0;
  // Ok, or why the group is broken (kAborted: deadline or abort).
  [[nodiscard]] virtual Status status() const = 0;
};

}  // namespace herd
