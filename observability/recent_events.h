#pragma once
// RecentEvents: the last things that happened that an operator looks for, as a few words each. Bounded: the oldest goes; what is said
// again soon is one event that counts. Never prompts, outputs, keys. Any thread.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "observability/event_log.h"

namespace herd::observability {

struct RecentEvent {
  std::uint64_t number = 0;  // rises; what is said again has a new one
  std::int64_t at = 0;       // Unix seconds, of the last time
  std::uint64_t times = 1;
  LogLevel level = LogLevel::kInfo;
  std::string what;          // valid UTF-8, at most kTextBytesMax
  bool operator==(const RecentEvent&) const = default;
};

class RecentEvents {
 public:
  static constexpr std::size_t kEventsMax = 50;
  static constexpr std::size_t kTextBytesMax = 300;  // longer texts are cut
  static constexpr std::int64_t kAgain_s = 10;       // the same words within so long are the same event

  // `unix_seconds`: the wall clock; any thread.
  explicit RecentEvents(std::function<std::int64_t()> unix_seconds) : unix_seconds_(std::move(unix_seconds)) {}

  void add(LogLevel level, const std::string& what, std::uint64_t times = 1);
  [[nodiscard]] std::vector<RecentEvent> newest_first() const;

 private:
  const std::function<std::int64_t()> unix_seconds_;
  mutable std::mutex mutex_;  // of the below
  std::deque<RecentEvent> events_;  // the newest last
  std::uint64_t number_ = 0;
};

}  // namespace herd::observability
