#pragma once
// Supervision: what the replicas' supervisors say, written to the log; and whether any replica is left that serves or will.

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "cluster/membership/group_supervisor.h"
#include "observability/event_log.h"
#include "observability/recent_events.h"
#include "runtime/ids.h"

namespace herd::commands {

class Supervision {
 public:
  // `on_none_left` is called once, on the thread of the note that gave up the last of `replicas`; it must not wait. `log` outlives
  // it, and so do `events`, which hear what became of ranks; null: nobody shows them.
  Supervision(observability::EventLog& log, observability::RecentEvents* events, std::uint32_t replicas,
              std::function<void()> on_none_left)
      : log_(log), events_(events), replicas_(replicas), on_none_left_(std::move(on_none_left)) {}

  // Any thread.
  void on_note(ReplicaId replica, const membership::Note& note);
  // Why the last replica was given up; nullopt: one is left.
  [[nodiscard]] std::optional<std::string> none_left() const;

 private:
  observability::EventLog& log_;
  observability::RecentEvents* const events_;
  const std::uint32_t replicas_;
  const std::function<void()> on_none_left_;
  mutable std::mutex mutex_;  // of the below
  std::set<ReplicaId> given_up_;
  std::string why_;  // of the last
};

}  // namespace herd::commands
