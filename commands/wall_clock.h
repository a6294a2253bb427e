#pragma once
// The wall clock, for headers and answers that carry a date.

#include <cstdint>

namespace herd::commands {

[[nodiscard]] std::int64_t unix_time();  // seconds

}  // namespace herd::commands
