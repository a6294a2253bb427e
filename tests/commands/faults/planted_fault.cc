#include "tests/commands/faults/planted_fault.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace herd::faults {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(FaultKind::kCount)> kNames{
    "fail", "die", "die_in_collective", "skip_collective", "hang", "hang_in_collective", "hang_for", "flip_token",
    "damage_block"};
constexpr double kSecondsMax = 600.0;

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

std::optional<Range> parse_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto least = parse_number<std::uint32_t>(text.substr(0, dash));
  const auto most = dash == std::string_view::npos ? least : parse_number<std::uint32_t>(text.substr(dash + 1));
  if (!least || !most || *most < *least) return std::nullopt;
  return Range{*least, *most};
}

std::optional<FaultKind> parse_kind(std::string_view text) {
  const auto found = std::ranges::find(kNames, text);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<FaultKind>(found - kNames.begin());
}

// The value, where there is one and it is at least that.
template <class Number>
bool set(Number& field, const std::optional<Number>& value, Number least) {
  if (!value || !(*value >= least)) return false;
  field = *value;
  return true;
}
bool set_range(Range& field, const std::optional<Range>& value, std::uint32_t least) {
  if (!value || value->least < least) return false;
  field = *value;
  return true;
}

// "name=value" into its field.
bool take_word(std::string_view name, std::string_view value, PlantedFault& fault) {
  if (name == "kind") return set(fault.kind, parse_kind(value), FaultKind::kFail);
  if (name == "replica") return set_range(fault.replica, parse_range(value), 0);
  if (name == "rank") return set_range(fault.rank, parse_range(value), 0);
  if (name == "step") return set_range(fault.step, parse_range(value), 1);
  if (name == "operation") return set(fault.operation, parse_number<std::uint32_t>(value), 1U);
  if (name == "repeat") return set(fault.repeat, parse_number<std::uint32_t>(value), 1U);
  if (name == "seed") return set(fault.seed, parse_number<std::uint64_t>(value), std::uint64_t{0});
  if (name == "seconds")
    return set(fault.seconds, parse_number<double>(value), std::numeric_limits<double>::min()) && fault.seconds <= kSecondsMax;
  return false;
}

Expected<PlantedFault> parse_fault(std::string_view text) {
  const auto wrong = [text](const std::string& what) {
    return fail(usage_error("planted fault \"" + std::string(text) + "\": " + what));
  };
  PlantedFault fault;
  bool has_kind = false;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const auto equals = word.find('=');
    if (equals == std::string_view::npos || !take_word(word.substr(0, equals), word.substr(equals + 1), fault))
      return wrong("\"" + std::string(word) + "\" is no word of it, or its value is none");
    has_kind = has_kind || word.starts_with("kind=");
  }
  if (!has_kind) return wrong("no kind");
  if (fault.step.least == 0) return wrong("no step");
  if ((fault.kind == FaultKind::kHangFor) != (fault.seconds > 0.0)) return wrong("seconds belong to hang_for, and to nothing else");
  return fault;
}

}  // namespace

const char* fault_name(FaultKind kind) { return kNames.at(static_cast<std::size_t>(kind)); }

Expected<std::vector<PlantedFault>> parse_faults(std::string_view text) {
  std::vector<PlantedFault> faults;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    auto fault = parse_fault(one);
    if (!fault) return fail(fault.error());
    faults.push_back(*fault);
  }
  return faults;
}

}  // namespace herd::faults
