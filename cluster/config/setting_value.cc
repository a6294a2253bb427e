#include "cluster/config/setting_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <span>

#include "cluster/config/units.h"
#include "runtime/text/hex.h"

namespace herd::config {
namespace {

using Kind = YamlNode::Kind;

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }
bool all_digits(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); }
bool is_letter(char letter) { return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'); }
bool is_lower_or_digit(char letter) { return is_digit(letter) || (letter >= 'a' && letter <= 'z'); }

std::string lower(std::string text) {
  for (char& letter : text)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return text;
}

std::string whole_text(double value) { return std::to_string(static_cast<std::int64_t>(value)); }

std::string listed(std::span<const std::string_view> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i)
    text += std::string(i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + std::string(words[i]);
  return text;
}

// A whole number without a leading zero, a plus, or a minus before 0. Nothing when it is none or beyond 64 bits.
std::optional<std::int64_t> whole_number(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  std::int64_t value = 0;
  if (!all_digits(digits) || (text.size() > 1 && digits.front() == '0')) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

// A decimal number as JSON has it.
std::optional<double> decimal_number(std::string_view text) {
  const std::string_view begin = text.starts_with('-') ? text.substr(1) : text;
  if (begin.empty() || !is_digit(begin.front()) || !is_digit(begin.back())) return std::nullopt;
  if (begin.size() > 1 && begin[0] == '0' && is_digit(begin[1])) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return text.find(".e") == std::string_view::npos && text.find(".E") == std::string_view::npos ? std::optional(value) : std::nullopt;
}

// "012", "0x1F", "1_000", "+5": what YAML 1.1 reads as another number than is written, or in another way.
std::string number_trap(const std::string& text) {
  const std::size_t first = text.find_first_not_of("0+");
  if (all_digits(text) && text.size() > 1 && text.front() == '0')
    return "is octal for some readers of YAML (" + quoted(text) + "); write " +
           (first == std::string::npos ? "0" : text.substr(first)) + " without the leading zero";
  if (text.size() > 2 && text[0] == '0' && (is_letter(text[1]))) return "is in another base (" + quoted(text) + "); write it in decimal";
  if (text.find('_') != std::string::npos && std::ranges::all_of(text, [](char c) { return is_digit(c) || c == '_'; }))
    return "has underscores (" + quoted(text) + "), which only some readers of YAML take; write the digits alone";
  if (text.size() > 1 && text[0] == '+' && all_digits(std::string_view(text).substr(1)))
    return "has a plus sign (" + quoted(text) + "); write " + text.substr(1);
  return {};
}

// 1:30 and 190:20:30, which YAML 1.1 reads in base 60.
bool is_sexagesimal(std::string_view text) {
  std::size_t parts = 0;
  while (true) {
    const std::size_t end = std::min(text.find(':'), text.size());
    if (!all_digits(text.substr(0, end)) || (parts > 0 && end > 2)) return false;
    ++parts;
    if (end == text.size()) return parts > 1;
    text.remove_prefix(end + 1);
  }
}

bool is_date(std::string_view text) {
  return text.size() >= 8 && all_digits(text.substr(0, 4)) && text[4] == '-' && is_digit(text[5]) &&
         text.find('-', 6) != std::string_view::npos && is_digit(text.back());
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

// ---- one text: what is wrong with it, or empty ----

std::string check_name(const std::string& text) {
  const bool right = !text.empty() && text.size() <= 63 && is_lower_or_digit(text.front()) && is_lower_or_digit(text.back()) &&
                     std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '-' || c == '.'; });
  return right ? "" : "must be a name of a-z, 0-9, - and . with at most 63 characters, such as node-a, not " + quoted(text);
}

// Whether a host may be meant; what it says is judged by is_host().
bool looks_like_ipv6(std::string_view bracketed) {
  const auto part = [](char c) { return text::hex_value(c) >= 0 || c == ':' || c == '.'; };
  return bracketed.size() >= 4 && bracketed.size() <= 47 && bracketed.back() == ']' &&
         std::ranges::all_of(bracketed.substr(1, bracketed.size() - 2), part);
}

bool looks_like_name(std::string_view host) {
  const auto part = [](char c) { return is_digit(c) || is_letter(c) || c == '.' || c == '-' || c == '_'; };
  return host.size() <= 254 && std::ranges::all_of(host, part);
}

std::string check_host(const std::string& text) {
  return is_host(text) ? "" : "must be an IP address in full, such as 0.0.0.0 or ::1, or a DNS name, not " + quoted(text);
}

std::string check_address(const std::string& text) {
  const std::string example = "must be HOST:PORT, such as node-a.example:7100 or [fd00::1]:7100, not " + quoted(text);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return example;
  const std::string_view host = std::string_view(text).substr(0, colon);
  const std::string_view digits = std::string_view(text).substr(colon + 1);
  if (!all_digits(digits) || digits.size() > 5 || digits.front() == '0') return example;
  const bool bracketed = host.front() == '[';
  if (bracketed ? !looks_like_ipv6(host) : !looks_like_name(host)) return example;
  const auto port = whole_number(digits);
  if (!port || *port > 65535) return "has the port " + std::string(digits) + "; ports are in [1, 65535]";
  if (!is_host(host_of(text)) || (bracketed && host.find(':') == std::string_view::npos))
    return "has the host " + quoted(std::string(host)) + ", which is neither an IP address in full nor a DNS name";
  if (is_wildcard(host_of(text)))
    return "is dialled by the other processes, which cannot dial " + std::string(host) +
           "; give the machine's own address or DNS name";
  return {};
}

std::string check_url(const std::string& text) {
  constexpr std::string_view kScheme = "http://";
  const std::string example = "must be such as http://127.0.0.1:4318/v1/traces, not " + quoted(text);
  if (!text.starts_with(kScheme)) return example;
  const std::string_view rest = std::string_view(text).substr(kScheme.size());
  const std::size_t path = std::min(rest.find_first_of("/?"), rest.size());
  if (!std::ranges::all_of(rest.substr(path), [](char c) { return c > ' ' && c < 0x7F && c != '@' && c != '#'; })) return example;
  const std::string_view place = rest.substr(0, path);
  const bool bracketed = place.starts_with('[');
  const std::size_t colon = std::min(place.find(':', bracketed ? place.find(']') : 0), place.size());
  const std::string_view host = place.substr(0, colon);
  if (host.empty() || (bracketed ? !looks_like_ipv6(host) : !looks_like_name(host))) return example;
  if (colon == place.size()) return {};
  const std::string_view digits = place.substr(colon + 1);
  if (!all_digits(digits) || digits.size() > 5 || digits.front() == '0') return example;
  const auto port = whole_number(digits);
  return port && *port <= 65535 ? "" : "has the port " + std::string(digits) + "; ports are in [1, 65535]";
}

std::string check_device(const std::string& text) {
  if (text == "cpu") return {};
  const std::string_view number = text.starts_with("gpu-") ? std::string_view(text).substr(4) : std::string_view();
  if (all_digits(number) && whole_number(number) && number.size() <= 3) return {};
  if (text == "gpu") return "must say which GPU: gpu-0, gpu-1, …";
  return "must be cpu or a GPU such as gpu-0, not " + quoted(text);
}

std::string check_text(const std::string& text) {
  if (text.empty()) return "is empty; give it a value or remove the key";
  if (text.size() > kTextBytesMax)
    return "has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(kTextBytesMax) + " are taken";
  if (has_control(text)) return "holds control characters";
  return {};
}

std::string check_kind(const Setting& setting, const std::string& text) {
  if (std::string wrong = check_text(text); !wrong.empty()) return wrong;
  switch (setting.rule.kind) {
    case ValueKind::kName: return check_name(text);
    case ValueKind::kAddress: return check_address(text);
    case ValueKind::kHost: return check_host(text);
    case ValueKind::kUrl: return check_url(text);
    case ValueKind::kDevices: return check_device(text);
    case ValueKind::kCpuSet:
      return cpus_in_set(text) > 0 ? "" : "must be CPUs below 4096, each once, such as 0-7,16-23, not " + quoted(text);
    case ValueKind::kChoice: {
      const auto& choices = setting.rule.choices;
      if (std::ranges::find(choices, text) != choices.end()) return {};
      const std::string near = nearest_word(text, {choices.begin(), choices.end()});
      return "must be " + listed(choices) + ", not " + quoted(text) + (near.empty() ? "" : "; " + near + " is meant?");
    }
    default: return {};
  }
}

// ---- nodes ----

class ValueReader {
 public:
  ValueReader(const Setting& setting, ProblemList& problems) : setting_(setting), problems_(problems) {}

  // The text of a node that has to be one. `key`: of the node.
  std::optional<std::string> text(const YamlNode& node, const std::string& key) const {
    if (node.kind != Kind::kText) return refuse(node, key, "must be a text, not " + node_text(node));
    if (const std::string_view other = node.plain ? other_type(node.text) : std::string_view(); !other.empty())
      return refuse(node, key, "is " + std::string(other) + " for readers of YAML; write '" + node.text +
                                   "' in quotes if the text is meant");
    if (std::string wrong = check_kind(setting_, node.text); !wrong.empty()) return refuse(node, key, std::move(wrong));
    return node.text;
  }

  std::optional<std::vector<std::string>> texts(const YamlNode& node, const std::string& key) const {
    if (node.kind != Kind::kList)
      return refuse(node, key, "must be a list, such as [" + example() + "], not " + node_text(node));
    if (node.items.empty()) return refuse(node, key, "is an empty list; give it an entry or remove the key");
    if (node.items.size() > kListMax)
      return refuse(node, key, too_many(node.items.size(), "entries"));
    std::vector<std::string> all;
    bool right = true;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      auto entry = text(node.items[i], key + "[" + std::to_string(i) + "]");
      right = right && entry;
      if (entry) all.push_back(std::move(*entry));
    }
    return right ? std::optional(std::move(all)) : std::nullopt;
  }

  std::optional<std::map<std::string, std::string>> labels(const YamlNode& node, const std::string& key) const {
    if (node.kind != Kind::kMap) return refuse(node, key, "must be a map, such as {rack: r1}, not " + node_text(node));
    if (node.entries.size() > kListMax)
      return refuse(node, key, too_many(node.entries.size(), "labels"));
    std::map<std::string, std::string> all;
    bool right = true;
    for (const YamlEntry& entry : node.entries) {
      const std::string here = key + "." + entry.key;
      if (!is_label(entry.key)) {
        problems_.add(entry.line, key, "has the label " + quoted(entry.key) +
                                           "; a label's name is of a-z, 0-9, ., _, / and - with at most 63 characters");
        right = false;
      } else if (auto value = text(entry.value, here)) {
        all.emplace(entry.key, std::move(*value));
      } else {
        right = false;
      }
    }
    return right ? std::optional(std::move(all)) : std::nullopt;
  }

  std::optional<bool> yes_or_no(const YamlNode& node, const std::string& key) const {
    if (node.kind == Kind::kText && node.plain && node.text == "true") return true;
    if (node.kind == Kind::kText && node.plain && node.text == "false") return false;
    std::string hint;
    if (node.kind == Kind::kText) {
      const std::string word = lower(node.text);
      if (word == "yes" || word == "on" || word == "y" || word == "true" || word == "1") hint = "; write true";
      if (word == "no" || word == "off" || word == "n" || word == "false" || word == "0") hint = "; write false";
      if (!node.plain && !hint.empty()) hint += " without quotes";
    }
    return refuse(node, key, "must be true or false, not " + node_text(node) + hint);
  }

  std::optional<std::int64_t> integer(const YamlNode& node, const std::string& key) const {
    const ValueRule& rule = setting_.rule;
    const std::string right = rule.choices.empty() ? "a whole number in [" + whole_text(rule.min) + ", " + whole_text(rule.max) + "]"
                                                   : listed(rule.choices);
    if (node.kind != Kind::kText) return refuse(node, key, "must be " + right + ", not " + node_text(node));
    if (std::string trap = node.plain ? number_trap(node.text) : std::string(); !trap.empty()) return refuse(node, key, std::move(trap));
    const auto value = whole_number(node.text);
    if (value && !node.plain) return refuse(node, key, "is a number in quotes, which is a text; write " + node.text);
    const bool allowed = value && (rule.choices.empty() ? within(static_cast<double>(*value))
                                                        : std::ranges::find(rule.choices, node.text) != rule.choices.end());
    return allowed ? value : refuse(node, key, "must be " + right + ", not " + quoted(node.text));
  }

  // A word, or else a number, which is kept as it is written.
  std::optional<std::string> count_or_word(const YamlNode& node, const std::string& key) const {
    const ValueRule& rule = setting_.rule;
    if (node.kind == Kind::kText && std::ranges::find(rule.choices, node.text) != rule.choices.end()) return node.text;
    const std::string right = listed(rule.choices) + " or a whole number in [" + whole_text(rule.min) + ", " + whole_text(rule.max) + "]";
    if (node.kind != Kind::kText) return refuse(node, key, "must be " + right + ", not " + node_text(node));
    if (std::string trap = node.plain ? number_trap(node.text) : std::string(); !trap.empty()) return refuse(node, key, std::move(trap));
    const auto value = whole_number(node.text);
    if (value && !node.plain) return refuse(node, key, "is a number in quotes, which is a text; write " + node.text);
    if (value && within(static_cast<double>(*value))) return node.text;
    return refuse(node, key, "must be " + right + ", not " + quoted(node.text));
  }

  std::optional<double> number(const YamlNode& node, const std::string& key) const {
    const std::string right = "a number above " + number_text(setting_.rule.min) + " and at most " + number_text(setting_.rule.max);
    if (node.kind != Kind::kText) return refuse(node, key, "must be " + right + ", not " + node_text(node));
    const auto value = decimal_number(node.text);
    if (value && !node.plain) return refuse(node, key, "is a number in quotes, which is a text; write " + node.text);
    if (value && *value > setting_.rule.min && *value <= setting_.rule.max) return value;
    return refuse(node, key, "must be " + right + ", not " + quoted(node.text));
  }

  std::optional<std::int64_t> bytes(const YamlNode& node, const std::string& key) const {
    const std::string example = "a size with its unit, such as 64GiB or 512MB";
    if (node.kind != Kind::kText) return refuse(node, key, "must be " + example + ", not " + node_text(node));
    const auto [digits, unit] = split(node.text, false);
    const auto count = whole_number(digits);
    if (count && unit.empty())
      return refuse(node, key, "has no unit; write " + std::string(digits) + "B, or a size such as 64GiB or 512MB");
    for (const ByteUnit& known : byte_units()) {
      if (unit != known.name || !count) continue;
      std::int64_t value = 0;
      if (!__builtin_mul_overflow(*count, known.bytes, &value) && within(static_cast<double>(value))) return value;
      return refuse(node, key, "must be in [" + bytes_text(static_cast<std::int64_t>(setting_.rule.min)) + ", " +
                                   bytes_text(static_cast<std::int64_t>(setting_.rule.max)) + "], not " + quoted(node.text));
    }
    return refuse(node, key, "must be " + example + ", not " + quoted(node.text) + unit_hint(digits, unit, count.has_value()));
  }

  std::optional<double> duration(const YamlNode& node, const std::string& key) const {
    const std::string example = "a time with its unit (ms, s, m or h), such as 30s";
    if (node.kind != Kind::kText) return refuse(node, key, "must be " + example + ", not " + node_text(node));
    const auto [digits, unit] = split(node.text, true);
    const auto count = decimal_number(digits);
    const bool written = count && digits.size() <= 16 && digits.find_first_not_of("0123456789.") == std::string_view::npos;
    if (written && unit.empty()) return refuse(node, key, "has no unit; write " + std::string(digits) + "s if seconds are meant");
    for (const TimeUnit& known : time_units()) {
      if (unit != known.name || !written) continue;
      const double value = *count * known.seconds;
      if (within(value)) return value;
      return refuse(node, key, "must be in [" + seconds_text(setting_.rule.min) + ", " + seconds_text(setting_.rule.max) + "], not " +
                                   quoted(node.text));
    }
    return refuse(node, key, "must be " + example + ", not " + quoted(node.text));
  }

 private:
  [[nodiscard]] bool within(double value) const { return value >= setting_.rule.min && value <= setting_.rule.max; }

  static std::string too_many(std::size_t count, const char* what) {
    return "has " + std::to_string(count) + " " + what + "; at most " + std::to_string(kListMax) + " are taken";
  }

  static bool is_label(const std::string& name) {
    return !name.empty() && name.size() <= 63 && is_lower_or_digit(name.front()) && is_lower_or_digit(name.back()) &&
           std::ranges::all_of(name, [](char c) { return is_lower_or_digit(c) || c == '.' || c == '_' || c == '/' || c == '-'; });
  }

  // Digits (and a point) at the front, and what follows them.
  static std::pair<std::string_view, std::string_view> split(std::string_view text, bool with_point) {
    std::size_t end = 0;
    while (end < text.size() && (is_digit(text[end]) || (with_point && text[end] == '.'))) ++end;
    return {text.substr(0, end), text.substr(end)};
  }

  // "64 gb" is meant as 64GB.
  static std::string unit_hint(std::string_view digits, std::string_view unit, bool counted) {
    while (unit.starts_with(' ')) unit.remove_prefix(1);
    for (const ByteUnit& known : byte_units())
      for (const std::string& form : {lower(known.name), lower(known.name).substr(0, lower(known.name).size() - 1)})
        if (counted && !form.empty() && lower(std::string(unit)) == form) return "; " + std::string(digits) + known.name + " is meant?";
    return {};
  }

  std::string example() const { return setting_.rule.kind == ValueKind::kDevices ? "cpu" : "\"" + std::string("…") + "\""; }

  std::nullopt_t refuse(const YamlNode& node, const std::string& key, std::string what) const {
    if (node.kind != Kind::kRefused) problems_.add(node.line, key, std::move(what));
    return std::nullopt;
  }

  const Setting& setting_;
  ProblemList& problems_;
};

// Puts a value where it belongs, if there is one.
template <class Value>
void put(Slot slot, std::optional<Value> value) {
  if (value) *std::get<Value*>(slot) = std::move(*value);
}

}  // namespace

std::string node_text(const YamlNode& node) {
  switch (node.kind) {
    case Kind::kNothing: return "nothing";
    case Kind::kText: return quoted(node.text);
    case Kind::kList: return "a list";
    case Kind::kMap: return "a map";
    case Kind::kRefused: return "that";
  }
  return {};
}

std::string_view other_type(const std::string& plain) {
  static const std::set<std::string> kSwitches{"y", "yes", "n", "no", "true", "false", "on", "off"};
  if (kSwitches.contains(lower(plain))) return "true or false";
  const std::string_view digits =
      plain.starts_with('+') || plain.starts_with('-') ? std::string_view(plain).substr(1) : std::string_view(plain);
  const std::string word = lower(std::string(digits));
  if (word == ".inf" || word == ".nan" || decimal_number(digits) || !number_trap(plain).empty() || all_digits(digits)) return "a number";
  if (digits.starts_with('.') && all_digits(digits.substr(1))) return "a number";
  if (digits.ends_with('.') && all_digits(digits.substr(0, digits.size() - 1))) return "a number";
  if (is_sexagesimal(digits)) return "a number in base 60";
  if (is_date(plain)) return "a date";
  if (plain == "=" || plain == "<<") return "a sign of its own";
  return {};
}

void read_value(const Setting& setting, const YamlNode& node, const std::string& key, Slot slot, ProblemList& problems) {
  const ValueReader reader(setting, problems);
  if (node.kind == Kind::kRefused) return;
  if (node.kind == Kind::kNothing) return problems.add(node.line, key, "has no value; give it one or remove the key");
  switch (setting.rule.kind) {
    case ValueKind::kText:
    case ValueKind::kPath:
    case ValueKind::kName:
    case ValueKind::kChoice:
    case ValueKind::kAddress:
    case ValueKind::kHost:
    case ValueKind::kUrl:
    case ValueKind::kCpuSet: return put(slot, reader.text(node, key));
    case ValueKind::kInteger: return put(slot, reader.integer(node, key));
    case ValueKind::kCountOrWord: return put(slot, reader.count_or_word(node, key));
    case ValueKind::kNumber: return put(slot, reader.number(node, key));
    case ValueKind::kSwitch: return put(slot, reader.yes_or_no(node, key));
    case ValueKind::kBytes: return put(slot, reader.bytes(node, key));
    case ValueKind::kDuration: return put(slot, reader.duration(node, key));
    case ValueKind::kTexts:
    case ValueKind::kDevices: return put(slot, reader.texts(node, key));
    case ValueKind::kLabels: return put(slot, reader.labels(node, key));
  }
}

}  // namespace herd::config
