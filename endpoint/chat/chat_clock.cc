#include "endpoint/chat/chat_clock.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>

namespace herd::chat {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::month;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

constexpr sys_seconds kFirst = sys_days(year(1) / 1 / 1);
constexpr sys_seconds kLast = sys_days(year(9999) / 12 / 31) + seconds(86'399);

sys_seconds instant(UnixSeconds at) { return std::clamp(sys_seconds(seconds(at)), kFirst, kLast); }

// A number that takes the whole of `digits`.
std::optional<unsigned> number(std::string_view digits) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && end == digits.data() + digits.size() ? std::optional(value) : std::nullopt;
}

// "2025-03-07"
std::optional<year_month_day> iso_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto years = number(text.substr(0, 4));
  const auto months = number(text.substr(5, 2));
  const auto of_month = number(text.substr(8, 2));
  if (!years || !months || !of_month) return std::nullopt;
  return year(static_cast<int>(*years)) / month(*months) / day(*of_month);
}

// "07 Mar 2025"
std::optional<year_month_day> named_day(std::string_view text) {
  if (text.size() != 11 || text[2] != ' ' || text[6] != ' ') return std::nullopt;
  const auto of_month = number(text.substr(0, 2));
  const auto years = number(text.substr(7, 4));
  const auto* const named = std::ranges::find(kMonths, text.substr(3, 3));
  if (!years || !of_month || named == kMonths.end()) return std::nullopt;
  return year(static_cast<int>(*years)) / month(static_cast<unsigned>(named - kMonths.begin()) + 1) / day(*of_month);
}

// "15:04:05"
std::optional<seconds> time_of_day(std::string_view text) {
  if (text.size() != 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto hour = number(text.substr(0, 2));
  const auto minute = number(text.substr(3, 2));
  const auto second = number(text.substr(6, 2));
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return seconds(*hour * 3600 + *minute * 60 + *second);
}

}  // namespace

jinja::CivilTime civil_time(UnixSeconds at) {
  const sys_seconds when = instant(at);
  const sys_days midnight = std::chrono::floor<days>(when);
  const year_month_day date(midnight);
  const auto of_day = static_cast<int>((when - midnight).count());
  jinja::CivilTime civil;
  civil.year = static_cast<int>(date.year());
  civil.month = static_cast<int>(static_cast<unsigned>(date.month()));
  civil.day = static_cast<int>(static_cast<unsigned>(date.day()));
  civil.hour = of_day / 3600;
  civil.minute = of_day / 60 % 60;
  civil.second = of_day % 60;
  civil.weekday = static_cast<int>(std::chrono::weekday(midnight).c_encoding());
  civil.day_of_year = static_cast<int>((midnight - sys_days(date.year() / 1 / 1)).count()) + 1;
  return civil;
}

Expected<UnixSeconds> parse_chat_date(std::string_view text) {
  auto date = named_day(text);
  std::optional<seconds> of_day = seconds(0);
  if (!date) {
    date = iso_day(text.substr(0, 10));
    if (text.size() > 10) of_day = text[10] == 'T' ? time_of_day(text.substr(11)) : std::nullopt;
  }
  if (!date || !date->ok() || date->year() < year(1) || !of_day)
    return fail(usage_error("--chat-date must be a day such as 2025-03-07 or \"07 Mar 2025\", or a time (UTC) such as "
                            "2025-03-07T15:04:05, not " + std::string(text)));
  return (sys_seconds(sys_days(*date)) + *of_day).time_since_epoch().count();
}

std::string date_string(UnixSeconds at) {
  const jinja::CivilTime civil = civil_time(at);
  char text[32];
  std::snprintf(text, sizeof text, "%02d %s %04d", civil.day, kMonths[static_cast<std::size_t>(civil.month) - 1].data(), civil.year);
  return text;
}

}  // namespace herd::chat
