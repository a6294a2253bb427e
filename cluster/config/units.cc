#include "cluster/config/units.h"

#include <charconv>
#include <cmath>

namespace herd::config {
namespace {

constexpr std::int64_t kKi = 1024;
constexpr std::int64_t kK = 1000;
constexpr ByteUnit kByteUnits[] = {{"B", 1},
                                   {"KB", kK},
                                   {"KiB", kKi},
                                   {"MB", kK * kK},
                                   {"MiB", kKi * kKi},
                                   {"GB", kK * kK * kK},
                                   {"GiB", kKi * kKi * kKi},
                                   {"TB", kK * kK * kK * kK},
                                   {"TiB", kKi * kKi * kKi * kKi}};
constexpr TimeUnit kTimeUnits[] = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};

}  // namespace

std::span<const ByteUnit> byte_units() { return kByteUnits; }
std::span<const TimeUnit> time_units() { return kTimeUnits; }

std::string bytes_text(std::int64_t bytes) {
  const ByteUnit* best = kByteUnits;
  for (const ByteUnit& unit : kByteUnits)
    if (bytes % unit.bytes == 0) best = &unit;
  return std::to_string(bytes / best->bytes) + best->name;
}

std::string seconds_text(double seconds) {
  if (seconds > 0 && seconds < 1) return number_text(std::round(seconds * 1e6) / 1e3) + "ms";
  return number_text(seconds) + "s";
}

std::string number_text(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return error == std::errc{} ? std::string(text, end) : std::string("?");
}

}  // namespace herd::config
