#pragma once
// The wall clock, for headers and answers that carry a date, for epochs and for traces.

#include <cstdint>

namespace herd::commands {

[[nodiscard]] std::int64_t unix_time();     // seconds
[[nodiscard]] std::int64_t unix_time_ms();  // milliseconds
[[nodiscard]] std::int64_t unix_time_ns();  // nanoseconds

}  // namespace herd::commands
