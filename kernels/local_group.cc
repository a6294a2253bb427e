#include "kernels/local_group.h"

#include <algorithm>
#include <cstring>

namespace herd {

// Nobody who goes to sleep is missed: the sleeper says so before the kernel compares events_, the poster changes events_
// before it looks for sleepers, and all of it is sequentially consistent.
void LocalGroup::post(bool wake, FutexScope scope) {
  events_.fetch_add(2);
  if (wake && sleepers_.load() != 0) futex_wake_all(events_, scope);
}

void LocalGroup::sleep(std::uint32_t seen, std::int64_t timeout_ns, FutexScope scope) {
  sleepers_.fetch_add(1);
  futex_wait(events_, seen, timeout_ns, scope);
  sleepers_.fetch_sub(1);
}

// A reason is complete before it counts, and whoever ends in the middle of writing one holds nobody up.
void LocalGroup::abort(const char* reason, FutexScope scope) {
  // Whoever aborted it may have died before it woke anybody.
  if (aborted()) return futex_wake_all(events_, scope);
  if (const std::uint32_t mine = reasons_.fetch_add(1); mine < kReasonsMax) {
    const std::size_t length = std::min(std::strlen(reason), kReasonBytes - 1);
    std::memcpy(text_[mine], reason, length);
    text_[mine][length] = '\0';
    std::uint32_t none = 0;
    reason_.compare_exchange_strong(none, mine + 1);
  }
  events_.fetch_or(kAborted);
  futex_wake_all(events_, scope);
}

std::string LocalGroup::reason() const {
  const std::uint32_t which = reason_.load();
  if (which == 0 || which > kReasonsMax) return {};
  return {text_[which - 1], ::strnlen(text_[which - 1], kReasonBytes)};
}

}  // namespace herd
