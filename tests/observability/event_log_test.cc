// Lines of both formats, what cannot be forged in them, and readers that are slow, stopped or gone.
#include "observability/event_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <regex>
#include <string>
#include <thread>
#include <vector>

namespace herd::observability {
namespace {

// A file without a name that a log writes to.
class LogFile {
 public:
  LogFile() : file_(std::tmpfile()) {}
  ~LogFile() { std::fclose(file_); }
  [[nodiscard]] int fd() const { return fileno(file_); }

  [[nodiscard]] std::vector<std::string> lines() const {
    std::rewind(file_);
    std::string text;
    char buffer[4096];
    for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, file_)) > 0;) text.append(buffer, n);
    std::vector<std::string> lines;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      lines.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
      begin = end == std::string::npos ? text.size() : end + 1;
    }
    return lines;
  }

 private:
  std::FILE* file_;
};

std::vector<std::string> logged(LogFormat format, LogLevel level, std::string_view event,
                                std::initializer_list<LogField> fields) {
  const LogFile file;
  { EventLog(format, LogLevel::kDebug, {.fd = file.fd()}).write(level, event, fields); }
  return file.lines();
}

constexpr const char* kTextTime = R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} )";
constexpr const char* kJsonTime = R"(\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",)";

// Asserts the form of the time and returns what follows it.
std::string after_time(const std::string& line, const char* time) {
  std::smatch match;
  EXPECT_TRUE(std::regex_search(line, match, std::regex(std::string("^") + time))) << line;
  return match.empty() ? line : match.suffix().str();
}

TEST(EventLog, ATextLineHasTimeLevelEventAndFields) {
  const auto lines = logged(LogFormat::kText, LogLevel::kInfo, "request finished",
                            {{"request_id", "chatcmpl-1"},
                             {"status", std::int64_t{200}},
                             {"seconds", 0.25},
                             {"stream", true},
                             {"reason", "two words"}});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(after_time(lines[0], kTextTime),
            R"(INFO  request finished request_id=chatcmpl-1 status=200 seconds=0.25 stream=true reason="two words")");
}

TEST(EventLog, AJsonLineIsOneObject) {
  const auto lines = logged(LogFormat::kJson, LogLevel::kWarning, "client \"gone\"",
                            {{"request_id", "r\\1"}, {"tokens", std::int64_t{-3}}, {"seconds", 1e-7}, {"cut", false}});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(
      after_time(lines[0], kJsonTime),
      R"("level":"warning","event":"client \"gone\"","request_id":"r\\1","tokens":-3,"seconds":1e-07,"cut":false})");
}

TEST(EventLog, LevelsHaveTheirNames) {
  const std::pair<LogLevel, std::pair<const char*, const char*>> rows[] = {{LogLevel::kDebug, {"DEBUG x", "debug"}},
                                                                           {LogLevel::kInfo, {"INFO  x", "info"}},
                                                                           {LogLevel::kWarning, {"WARN  x", "warning"}},
                                                                           {LogLevel::kError, {"ERROR x", "error"}}};
  for (const auto& [level, names] : rows) {
    EXPECT_EQ(after_time(logged(LogFormat::kText, level, "x", {}).at(0), kTextTime), names.first);
    EXPECT_EQ(after_time(logged(LogFormat::kJson, level, "x", {}).at(0), kJsonTime),
              std::string("\"level\":\"") + names.second + "\",\"event\":\"x\"}");
  }
  EXPECT_EQ(log_format_named("json"), LogFormat::kJson);
  EXPECT_EQ(log_format_named("text"), LogFormat::kText);
}

// What a client sent must not become a second line, a second field, or a command to a terminal.
TEST(EventLog, ValuesCannotForgeALine) {
  const std::string evil = "a\n2026-01-01 00:00:00.000 ERROR owned\r\x1B[2J\" b=c\xFF";
  const auto text = logged(LogFormat::kText, LogLevel::kInfo, evil, {{"path", evil}});
  ASSERT_EQ(text.size(), 1U);
  EXPECT_NE(text[0].find(R"(path="a\n2026-01-01 00:00:00.000 ERROR owned\r\u001b[2J\" b=c)"
                         "\uFFFD\""),
            std::string::npos)
      << text[0];
  EXPECT_EQ(text[0].find('\x1B'), std::string::npos);
  const auto json = logged(LogFormat::kJson, LogLevel::kInfo, evil, {{"path", evil}});
  ASSERT_EQ(json.size(), 1U);
  EXPECT_NE(json[0].find(R"("path":"a\n2026-01-01 00:00:00.000 ERROR owned\r\u001b[2J\" b=c)"
                         "\uFFFD\"}"),
            std::string::npos)
      << json[0];
}

TEST(EventLog, JsonHasNoNan) {
  const auto lines = logged(LogFormat::kJson, LogLevel::kInfo, "x", {{"a", std::nan("")}, {"b", -INFINITY}});
  EXPECT_NE(lines.at(0).find(R"("a":null,"b":null})"), std::string::npos) << lines[0];
}

TEST(EventLog, BracesAndPercentSignsAreNoFormat) {
  const auto lines = logged(LogFormat::kText, LogLevel::kInfo, "{} %v {0", {{"a", "%n{}"}});
  EXPECT_EQ(after_time(lines.at(0), kTextTime), "INFO  {} %v {0 a=%n{}");
}

TEST(EventLog, LinesBelowTheLevelAreNotWritten) {
  const LogFile file;
  {
    EventLog log(LogFormat::kText, LogLevel::kWarning, {.fd = file.fd()});
    EXPECT_FALSE(log.writes(LogLevel::kInfo));
    log.write(LogLevel::kInfo, "no");
    log.write(LogLevel::kWarning, "yes");
    log.write(LogLevel::kError, "yes");
  }
  EXPECT_EQ(file.lines().size(), 2U);
}

TEST(EventLog, LinesOfManyThreadsAreAllThereAndWhole) {
  constexpr int kThreads = 4;
  constexpr int kLines = 500;
  const LogFile file;
  {
    EventLog log(LogFormat::kText, LogLevel::kInfo, {.fd = file.fd(), .lines_max = kThreads * kLines});
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&log] {
        for (std::int64_t i = 0; i < kLines; ++i) log.write(LogLevel::kInfo, "event", {{"index", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(log.dropped(), 0U);
  }
  const auto lines = file.lines();
  EXPECT_EQ(lines.size(), std::size_t{kThreads} * kLines);
  for (const std::string& line : lines)
    EXPECT_EQ(line.find("INFO  event index="), std::string_view("2026-11-21 07:00:00.123 ").size()) << line;
}

// A pipe that is full: the log can write nothing until somebody reads.
class FullPipe {
 public:
  FullPipe() {
    EXPECT_EQ(::pipe2(ends_, O_CLOEXEC), 0);
    ::fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    const std::string page(4096, '.');
    while (::write(ends_[1], page.data(), page.size()) > 0) {
    }
    ::fcntl(ends_[1], F_SETFL, 0);
  }
  ~FullPipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  [[nodiscard]] int read_end() const { return ends_[0]; }
  [[nodiscard]] int write_end() const { return ends_[1]; }

 private:
  int ends_[2];
};

// Writers go on, the oldest lines go, and the end does not wait for ever. 64 lines wait, one may be in the writer's
// hand.
TEST(EventLog, AReaderThatStoppedStallsNobody) {
  const FullPipe pipe;
  EventLog log(LogFormat::kText, LogLevel::kInfo, {.fd = pipe.write_end(), .lines_max = 64});
  for (std::int64_t i = 0; i < 1000; ++i) log.write(LogLevel::kInfo, "event", {{"index", i}});
  EXPECT_GE(log.dropped(), 1000U - 64 - 1);
  EXPECT_LE(log.dropped(), 1000U - 64);
}

TEST(EventLog, AReaderThatComesBackIsToldWhatItMissed) {
  const FullPipe pipe;
  std::atomic<bool> told{false};
  std::atomic<bool> given_up{false};
  EventLog log(LogFormat::kText, LogLevel::kInfo, {.fd = pipe.write_end(), .lines_max = 64});
  for (std::int64_t i = 0; i < 1000; ++i) log.write(LogLevel::kInfo, "event", {{"index", i}});
  std::thread reader([&] {
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; !told && !given_up && (n = ::read(pipe.read_end(), buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(n));
      told = text.find("WARN  log lines dropped count=") != std::string::npos;
    }
  });
  // Each write looks whether there is room again to say it.
  for (int i = 0; i < 30'000 && !told; ++i) {
    log.write(LogLevel::kInfo, "later");
    ::usleep(1000);
  }
  EXPECT_TRUE(told);
  given_up = true;
  log.write(LogLevel::kInfo, "the end");  // wakes the reader
  reader.join();
}

TEST(EventLog, WhatIsFlushedHasLeft) {
  const LogFile file;
  EventLog log(LogFormat::kText, LogLevel::kDebug, {.fd = file.fd()});
  EXPECT_TRUE(log.flush(std::chrono::milliseconds(0))) << "nothing was written";
  for (std::size_t lines = 1; lines <= 50; ++lines) {
    log.write(LogLevel::kInfo, "an event");
    ASSERT_TRUE(log.flush(std::chrono::minutes(1)));
    EXPECT_EQ(file.lines().size(), lines);
  }
}

TEST(EventLog, AReaderThatStoppedHoldsUpNoFlushForLong) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  {
    EventLog log(LogFormat::kText, LogLevel::kDebug, {.fd = ends[1]});
    const std::string long_line(2000, 'x');
    for (int i = 0; i < 200; ++i) log.write(LogLevel::kInfo, "an event", {{"text", long_line}});
    EXPECT_FALSE(log.flush(std::chrono::milliseconds(20)));
    ::close(ends[0]);
    EXPECT_TRUE(log.flush(std::chrono::minutes(1))) << "given up, as nobody can read them";
  }
  ::close(ends[1]);
}

TEST(EventLog, AClosedReaderIsNoSignal) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  ::close(pipe[0]);
  { EventLog(LogFormat::kText, LogLevel::kInfo, {.fd = pipe[1]}).write(LogLevel::kInfo, "nobody reads this"); }
  ::close(pipe[1]);
}

TEST(EventLog, JsonLinesSayWhoseTheyAreUnlessTheirEventDoes) {
  const LogFile file;
  {
    EventLog log(LogFormat::kJson, LogLevel::kInfo, {.fd = file.fd()});
    log.set_context("node", "node-\"1\"");
    log.set_context("epoch", 7);
    log.write(LogLevel::kInfo, "first");
    log.set_context("epoch", 8);
    log.write(LogLevel::kInfo, "second", {{"node", "another"}, {"seconds", 0.5}});
    log.set_context("epoch", std::nullopt);
    log.set_context("epoch", std::nullopt);
    log.write(LogLevel::kInfo, "third");
  }
  const auto lines = file.lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(after_time(lines[0], kJsonTime), R"("level":"info","event":"first","node":"node-\"1\"","epoch":7})");
  EXPECT_EQ(after_time(lines[1], kJsonTime), R"("level":"info","event":"second","epoch":8,"node":"another","seconds":0.5})");
  EXPECT_EQ(after_time(lines[2], kJsonTime), R"("level":"info","event":"third","node":"node-\"1\""})");
}

TEST(EventLog, TextLinesHaveNoContext) {
  const LogFile file;
  {
    EventLog log(LogFormat::kText, LogLevel::kInfo, {.fd = file.fd()});
    log.set_context("node", "node-1");
    log.write(LogLevel::kInfo, "first");
  }
  ASSERT_EQ(file.lines().size(), 1U);
  EXPECT_EQ(after_time(file.lines()[0], kTextTime), "INFO  first");
}

TEST(EventLog, AnotherLevelIsOfLinesFromThenOn) {
  const LogFile file;
  {
    EventLog log(LogFormat::kText, *log_level_named("warning"), {.fd = file.fd()});
    log.write(LogLevel::kInfo, "first");
    log.set_level(*log_level_named("info"));
    log.write(LogLevel::kInfo, "second");
    log.set_level(*log_level_named("error"));
    log.write(LogLevel::kWarning, "third");
  }
  ASSERT_EQ(file.lines().size(), 1U);
  EXPECT_NE(file.lines()[0].find("second"), std::string::npos);
  EXPECT_FALSE(log_level_named("loud"));
}

}  // namespace
}  // namespace herd::observability
