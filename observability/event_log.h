#pragma once
// EventLog: what happened, a line each, for people (text) or collectors (JSON). spdlog stays in the .cc. Any thread;
// a slow reader of stderr never stalls a caller (bounded, oldest dropped and counted). Never prompts, outputs, keys.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace herd::observability {

enum class LogFormat : std::uint8_t { kText, kJson };
enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double, bool> value;
};

class EventLog {
 public:
  EventLog(LogFormat format, LogLevel level);  // to stderr
  ~EventLog();                                 // flushes

  //   text: 2026-11-21 07:00:00.123 INFO  request finished request_id=… status=200
  //   json: {"time":"2026-11-21T07:00:00.123Z","level":"info","event":"request finished","request_id":…}
  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::observability
