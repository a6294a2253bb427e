#pragma once
// TextQueue: the tasks of a TextPool that wait. Pure. Tenants (API keys) take turns, one task each, so that none waits behind all that
// another one has sent; within a tenant first come, first served. Bounded in tasks and in bytes, of which one tenant has half at most,
// so that it cannot have the others refused either. Requests without keys are one tenant.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "cluster/admission/fair_queue.h"

namespace herd::api {

struct TextTask {
  std::function<void()> run;
  admission::TenantId tenant;
  std::size_t bytes = 0;  // that it holds while it waits: its request's body
};

// Of all that wait. A tenant may have half of each, or one task. A task of any size is taken where nothing else waits.
struct TextBounds {
  std::size_t tasks = 4096;
  std::size_t bytes = std::size_t{256} << 20;  // an eighth of the 2 GiB that config/kubernetes gives a gateway
};

class TextQueue {
 public:
  // Names one task, also when it is gone.
  struct TaskId {
    admission::TenantId tenant;
    std::uint64_t number = 0;
  };

  explicit TextQueue(const TextBounds& bounds) : bounds_(bounds) {}

  // Nothing: a bound is reached, and the task was not taken.
  [[nodiscard]] std::optional<TaskId> push(TextTask task);
  // The next one; nothing when none waits.
  [[nodiscard]] std::optional<TextTask> pop();
  // Takes one out of its turn; nothing when it waits no more.
  [[nodiscard]] std::optional<TextTask> remove(const TaskId& id);

  [[nodiscard]] bool empty() const { return tasks_ == 0; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Waiting {
    std::map<std::uint64_t, TextTask> tasks;  // by number: in the order they came
    std::size_t bytes = 0;
  };
  using Tenants = std::map<admission::TenantId, Waiting>;
  TextTask take(Tenants::iterator tenant, std::map<std::uint64_t, TextTask>::iterator at);

  const TextBounds bounds_;
  Tenants tenants_;             // each with a task at least
  admission::TenantId served_;  // whose turn it was last; the next one in the order of ids follows
  std::uint64_t next_number_ = 1;
  std::size_t tasks_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace herd::api
