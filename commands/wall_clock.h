#pragma once
// The wall clock, for headers and answers that carry a date, and for epochs.

#include <cstdint>

namespace herd::commands {

[[nodiscard]] std::int64_t unix_time();     // seconds
[[nodiscard]] std::int64_t unix_time_ms();  // milliseconds

}  // namespace herd::commands
