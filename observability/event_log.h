#pragma once
// EventLog: what happened, a line each, for people (text) or collectors (JSON). spdlog stays in the .cc. Any thread;
// a slow reader of stderr never stalls a caller (bounded, oldest dropped and counted). Never prompts, outputs, keys.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace herd::observability {

enum class LogFormat : std::uint8_t { kText, kJson };
enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };
// "debug", "info", "warning", "error", as JSON lines call them; nullopt: it is none of these.
[[nodiscard]] std::optional<LogLevel> log_level_named(std::string_view name);
// "json"; everything else is text.
[[nodiscard]] LogFormat log_format_named(std::string_view name);

struct LogField {
  std::string_view name;  // an identifier; "time", "level" and "event" are taken
  std::variant<std::string_view, std::int64_t, double, bool> value;
};

using ContextValue = std::variant<std::string, std::int64_t>;

// Where lines go, and how many wait for a reader that is slow.
struct LogTarget {
  int fd = 2;                    // stays open, and the caller's
  std::size_t lines_max = 2048;  // waiting; then the oldest goes
};

class EventLog {
 public:
  EventLog(LogFormat format, LogLevel level, LogTarget target = {});
  // Flushes; a reader that takes nothing for a second loses the rest.
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  //   text: 2026-11-21 07:00:00.123 INFO  request finished request_id=… status=200          (local time)
  //   json: {"time":"2026-11-21T07:00:00.123Z","level":"info","event":"request finished","request_id":…}
  // Values are valid UTF-8 in the line whatever they were, at most 2 KiB; one event is always one line.
  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

  // Each JSON line from now on has this field too (nullopt: no longer), unless its event has one of that name: whose lines these are is
  // known wherever they end up. Text is for people, who see it behind the name of its process.
  void set_context(std::string_view name, std::optional<ContextValue> value);

  // Waits until what was written so far has left, or is given up; false when `timeout` passed first. For a process that is about
  // to end without destructors.
  bool flush(std::chrono::milliseconds timeout);

  [[nodiscard]] bool writes(LogLevel level) const { return level >= level_; }
  // Of lines from now on.
  void set_level(LogLevel level) { level_ = level; }
  // Lines lost so far; the log says so itself when there is room again.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  struct Impl;
  std::atomic<LogLevel> level_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::observability
