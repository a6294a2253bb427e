#pragma once
// Sizes and times as a cluster file writes them: a number and its unit.

#include <cstdint>
#include <span>
#include <string>

namespace herd::config {

struct ByteUnit {
  const char* name;
  std::int64_t bytes;
};
struct TimeUnit {
  const char* name;
  double seconds;
};
[[nodiscard]] std::span<const ByteUnit> byte_units();
[[nodiscard]] std::span<const TimeUnit> time_units();

// In the largest unit that it is a whole number of: "64GiB".
[[nodiscard]] std::string bytes_text(std::int64_t bytes);
// "30s", below a second "250ms".
[[nodiscard]] std::string seconds_text(double seconds);
// The shortest text that reads back as the same number.
[[nodiscard]] std::string number_text(double value);

}  // namespace herd::config
