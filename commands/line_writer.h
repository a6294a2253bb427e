#pragma once
// LineWriter: lines of several processes to one descriptor. Whoever reads it slowly, or has stopped its terminal, holds up nobody:
// lines wait up to a bound, then the oldest go and are counted.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

namespace herd::commands {

class LineWriter {
 public:
  // `fd` stays the caller's.
  explicit LineWriter(int fd, std::size_t lines_max = 8192);
  // What waits is written, for a second at the most.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // `line` without its line feed. Any thread.
  void write(std::string line);
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  void run();
  // False: nobody reads any more, or the end has come.
  bool write_out(const std::string& text);

  const int fd_;
  const std::size_t lines_max_;
  mutable std::mutex mutex_;  // of the below
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_told_ = 0;
  std::int64_t give_up_at_ns_ = -1;  // steady; negative: it was not told to end
  std::thread thread_;
};

}  // namespace herd::commands
