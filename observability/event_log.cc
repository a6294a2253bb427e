// A line is put together on the caller's thread; one thread of the log's own adds the time and writes.
#include "observability/event_log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cmath>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "observability/clean_text.h"

namespace herd::observability {
namespace {

constexpr int kPollMs = 100;
constexpr int kStalledPollsAtClose = 10;  // one second

// Writes to a descriptor without ever being stuck in it: a reader that stopped must not hold up the process's end.
class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}
  void close() { closing_ = true; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] std::uint64_t done() const { return done_; }  // lines, written or lost

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    write_line(message);
    ++done_;
  }
  void write_line(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string_view rest(line.data(), line.size());
    while (!rest.empty()) {
      const std::size_t written = write_some(rest);
      if (written == 0) {
        ++lost_;
        return;
      }
      rest.remove_prefix(written);
    }
  }
  void flush_() override {}

  // 0: given up.
  std::size_t write_some(std::string_view rest) {
    while (stalled_polls_ < kStalledPollsAtClose) {
      pollfd ready{fd_, POLLOUT, 0};
      const int found = ::poll(&ready, 1, kPollMs);
      if (found < 0 && errno != EINTR) return 0;
      if (found <= 0) {
        if (closing_) ++stalled_polls_;
        continue;
      }
      // A pipe that is ready takes PIPE_BUF bytes at least.
      const ssize_t written = ::write(fd_, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF));
      if (written > 0) return static_cast<std::size_t>(written);
      if (written == 0 || (errno != EINTR && errno != EAGAIN)) return 0;
    }
    return 0;
  }

  const int fd_;
  std::atomic<bool> closing_{false};
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<std::uint64_t> done_{0};
  int stalled_polls_ = 0;
};

// The process's signals are for its other threads; a closed pipe is an error code here.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

constexpr std::string_view kJsonNames[] = {"debug", "info", "warning", "error"};
constexpr std::string_view kTextNames[] = {"DEBUG ", "INFO  ", "WARN  ", "ERROR "};

template <typename Number>
void append_number(std::string& out, Number value) {
  char text[40];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

void append_value(std::string& out, const LogField& field, bool json) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    json ? append_json_string(out, *text) : append_text_value(out, *text);
  } else if (const auto* integer = std::get_if<std::int64_t>(&field.value)) {
    append_number(out, *integer);
  } else if (const auto* number = std::get_if<double>(&field.value)) {
    // JSON has neither infinity nor NaN.
    json && !std::isfinite(*number) ? void(out += "null") : append_number(out, *number);
  } else {
    out += std::get<bool>(field.value) ? "true" : "false";
  }
}

using Context = std::vector<std::pair<std::string, ContextValue>>;

void append_context(std::string& out, const Context& context, std::initializer_list<LogField> fields) {
  for (const auto& [name, value] : context) {
    if (std::ranges::any_of(fields, [&name](const LogField& field) { return field.name == name; })) continue;
    out += ',';
    append_json_string(out, name);
    out += ':';
    const auto* text = std::get_if<std::string>(&value);
    text != nullptr ? append_json_string(out, *text) : append_number(out, std::get<std::int64_t>(value));
  }
}

// What follows the time.
std::string line_of(LogFormat format, LogLevel level, std::string_view event, std::initializer_list<LogField> fields,
                    const Context& context) {
  const auto index = static_cast<std::size_t>(level);
  std::string line;
  line.reserve(128);
  if (format == LogFormat::kJson) {
    ((line += "\"level\":\"") += kJsonNames[index]) += "\",\"event\":";
    append_json_string(line, event);
    append_context(line, context, fields);
    for (const LogField& field : fields) {
      line += ',';
      append_json_string(line, field.name);
      line += ':';
      append_value(line, field, true);
    }
    line += '}';
    return line;
  }
  line += kTextNames[index];
  append_escaped(line, event);
  for (const LogField& field : fields) {
    line += ' ';
    append_escaped(line, field.name);
    line += '=';
    append_value(line, field, false);
  }
  return line;
}

std::unique_ptr<spdlog::formatter> formatter_of(LogFormat format) {
  const bool json = format == LogFormat::kJson;
  return std::make_unique<spdlog::pattern_formatter>(
      json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v)" : "%Y-%m-%d %H:%M:%S.%e %v",
      json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local, "\n");
}

}  // namespace

struct EventLog::Impl {
  Impl(LogFormat log_format, LogTarget target)
      : format(log_format),
        lines_max(std::max<std::size_t>(target.lines_max, 2)),
        pool(std::make_shared<spdlog::details::thread_pool>(lines_max, 1, block_signals)),
        sink(std::make_shared<DescriptorSink>(target.fd)),
        logger(std::make_shared<spdlog::async_logger>("events", sink, pool,
                                                      spdlog::async_overflow_policy::overrun_oldest)) {
    sink->set_formatter(formatter_of(format));
    logger->set_level(spdlog::level::trace);
    logger->set_error_handler([](const std::string&) {});  // by default spdlog writes to stderr, which may be stuck
  }

  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
    ++lines;
    logger->log(spdlog::level::info, spdlog::string_view_t(line_of(format, level, event, fields, *whose())));
  }

  [[nodiscard]] std::shared_ptr<const Context> whose() {
    const std::lock_guard lock(context_mutex);
    return context;
  }

  // Says how many lines went missing, once the queue is half empty: before, that would push out more.
  void report_dropped() {
    const std::uint64_t overrun = pool->overrun_counter();
    std::uint64_t before = reported.load();
    if (overrun == before || pool->queue_size() > lines_max / 2) return;
    if (!reported.compare_exchange_strong(before, overrun)) return;
    log(LogLevel::kWarning, "log lines dropped", {{"count", static_cast<std::int64_t>(overrun - before)}});
  }

  const LogFormat format;
  const std::size_t lines_max;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<DescriptorSink> sink;
  std::shared_ptr<spdlog::async_logger> logger;
  std::atomic<std::uint64_t> reported{0};
  std::atomic<std::uint64_t> lines{0};  // handed to the log's thread
  std::mutex context_mutex;  // of the next
  std::shared_ptr<const Context> context = std::make_shared<const Context>();
};

std::optional<LogLevel> log_level_named(std::string_view name) {
  const auto* const found = std::ranges::find(kJsonNames, name);
  return found == std::end(kJsonNames) ? std::nullopt : std::optional(static_cast<LogLevel>(found - std::begin(kJsonNames)));
}

LogFormat log_format_named(std::string_view name) { return name == "json" ? LogFormat::kJson : LogFormat::kText; }

EventLog::EventLog(LogFormat format, LogLevel level, LogTarget target)
    : level_(level), impl_(std::make_unique<Impl>(format, target)) {}

EventLog::~EventLog() {
  impl_->report_dropped();
  impl_->sink->close();
  impl_->logger.reset();
  impl_->pool.reset();  // writes what waits, then joins
}

void EventLog::write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!writes(level)) return;
  impl_->report_dropped();
  impl_->log(level, event, fields);
}

void EventLog::set_context(std::string_view name, std::optional<ContextValue> value) {
  const std::lock_guard lock(impl_->context_mutex);
  auto changed = std::make_shared<Context>(*impl_->context);
  const auto known = std::ranges::find(*changed, name, &Context::value_type::first);
  if (!value) {
    if (known != changed->end()) changed->erase(known);
  } else if (known != changed->end()) {
    known->second = std::move(*value);
  } else {
    changed->emplace_back(name, std::move(*value));
  }
  impl_->context = std::move(changed);
}

bool EventLog::flush(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  const auto left = [this] { return impl_->sink->done() + impl_->pool->overrun_counter() >= impl_->lines; };
  while (!left()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::uint64_t EventLog::dropped() const { return impl_->pool->overrun_counter() + impl_->sink->lost(); }

}  // namespace herd::observability
