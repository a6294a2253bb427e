#pragma once
// The clock of chat templates. A template is told a time, it never reads one: the time at which a request was accepted,
// which the ids of its events carry, or one that a person fixed. UTC, so that every machine renders alike.

#include <cstdint>
#include <string>
#include <string_view>

#include "endpoint/jinja/functions.h"
#include "kernels/status.h"

namespace herd::chat {

using UnixSeconds = std::int64_t;

// The second as a calendar has it. Years outside [1, 9999] are those at the ends.
[[nodiscard]] jinja::CivilTime civil_time(UnixSeconds seconds);

// --chat-date: "2025-03-07", "2025-03-07T15:04:05" or "07 Mar 2025", which Llama's templates print. kUsage.
[[nodiscard]] Expected<UnixSeconds> parse_chat_date(std::string_view text);

// "07 Mar 2025".
[[nodiscard]] std::string date_string(UnixSeconds seconds);

}  // namespace herd::chat
