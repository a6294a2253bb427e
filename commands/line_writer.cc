#include "commands/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

constexpr std::size_t kWriteBytes = 4096;  // PIPE_BUF: a pipe that polls as writable takes so much without waiting
constexpr int kPatience_ms = 50;           // between two looks at whether the end has come
constexpr std::int64_t kLastWait_ns = 1'000'000'000;

// As many bytes of `text` as are written at once: others who write to the descriptor do so between lines, where lines are not too long.
std::size_t whole_lines(std::string_view text) {
  if (text.size() <= kWriteBytes) return text.size();
  const std::size_t end = text.rfind('\n', kWriteBytes - 1);
  return end == std::string_view::npos ? kWriteBytes : end + 1;
}

}  // namespace

LineWriter::LineWriter(int fd, std::size_t lines_max) : fd_(fd), lines_max_(lines_max), thread_([this] { run(); }) {}

LineWriter::~LineWriter() {
  {
    const std::scoped_lock lock(mutex_);
    give_up_at_ns_ = steady_now().ns + kLastWait_ns;
  }
  changed_.notify_all();
  thread_.join();
}

void LineWriter::write(std::string line) {
  {
    const std::scoped_lock lock(mutex_);
    line += '\n';
    waiting_.push_back(std::move(line));
    if (waiting_.size() > lines_max_) {
      waiting_.pop_front();
      ++dropped_;
    }
  }
  changed_.notify_one();
}

std::uint64_t LineWriter::dropped() const {
  const std::scoped_lock lock(mutex_);
  return dropped_;
}

void LineWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !waiting_.empty() || give_up_at_ns_ >= 0; });
    if (waiting_.empty()) return;
    std::string text;
    if (dropped_ != dropped_told_)
      text = "(" + std::to_string(dropped_ - std::exchange(dropped_told_, dropped_)) + " lines were lost: nobody read them)\n";
    for (const std::string& line : std::exchange(waiting_, {})) text += line;
    lock.unlock();
    const bool goes_on = write_out(text);
    lock.lock();
    if (!goes_on) waiting_.clear();
  }
}

bool LineWriter::write_out(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    {
      const std::scoped_lock lock(mutex_);
      if (give_up_at_ns_ >= 0 && steady_now().ns >= give_up_at_ns_) return false;
    }
    pollfd writable{fd_, POLLOUT, 0};
    if (::poll(&writable, 1, kPatience_ms) <= 0) continue;
    const ssize_t size = ::write(fd_, text.data() + at, whole_lines(std::string_view(text).substr(at)));
    if (size < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (size > 0) at += static_cast<std::size_t>(size);
  }
  return true;
}

}  // namespace herd::commands
