#include "endpoint/access/api_key_lines.h"

#include "endpoint/access/secret_file.h"
#include "runtime/text/hex.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace herd::access {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::size_t kNameCharactersMax = 64;
constexpr std::size_t kKeyCharactersMin = 8;
constexpr std::size_t kSaltBytesMin = 8;
constexpr std::size_t kSaltBytesMax = 64;
constexpr double kPerMinuteMax = 1e12;
constexpr double kInFlightMax = 1e6;
constexpr double kWeightMin = 0.001;
constexpr double kWeightMax = 1000;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameCharactersMax && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  });
}

// Up to the next blank; `rest` begins after the blanks that follow it.
std::string_view take_word(std::string_view& rest) {
  const std::string_view word = rest.substr(0, rest.find_first_of(kBlanks));
  rest.remove_prefix(word.size());
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(kBlanks)));
  return word;
}

Status read_number(std::string_view field, std::string_view text, double min, double max, double& out) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(value) && value >= min &&
      value <= max) {
    out = value;
    return {};
  }
  std::string range = std::to_string(static_cast<long long>(max));
  range = min > 0 ? "from 0.001 to " + range : "from 0 to " + range;
  return bad_input(std::string(field) + "= needs a number " + range);
}

Status read_sha256(std::string_view text, ApiKeyLine& line) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return bad_input("sha256= needs SALT_HEX:HASH_HEX");
  const auto salt = text::hex_bytes(text.substr(0, colon));
  if (!salt || salt->size() < kSaltBytesMin || salt->size() > kSaltBytesMax)
    return bad_input("the salt of sha256= needs 8 to 64 bytes as hexadecimal digits");
  const auto hash = text::hex_bytes(text.substr(colon + 1));
  if (!hash || hash->size() != line.hash.size()) return bad_input("the hash of sha256= needs 64 hexadecimal digits");
  line.salt.assign(salt->begin(), salt->end());
  std::copy(hash->begin(), hash->end(), line.hash.begin());
  return {};
}

Status read_field(std::string_view field, std::string_view value, ApiKeyLine& line) {
  admission::TenantLimits& limits = line.key.limits;
  if (field == "key") {
    line.plain = value;
    return check_key_characters(value);
  }
  if (field == "sha256") return read_sha256(value, line);
  if (field == "requests_per_minute") return read_number(field, value, 0, kPerMinuteMax, limits.requests_per_minute);
  if (field == "prompt_tokens_per_minute")
    return read_number(field, value, 0, kPerMinuteMax, limits.prompt_tokens_per_minute);
  if (field == "output_tokens_per_minute")
    return read_number(field, value, 0, kPerMinuteMax, limits.output_tokens_per_minute);
  if (field == "weight") return read_number(field, value, kWeightMin, kWeightMax, limits.weight);
  // The caller knows the name: in_flight.
  double in_flight = 0;
  if (Status status = read_number(field, value, 0, kInFlightMax, in_flight); !status.ok()) return status;
  if (in_flight != std::floor(in_flight)) return bad_input("in_flight= needs a whole number");
  limits.in_flight_max = static_cast<std::uint32_t>(in_flight);
  return {};
}

constexpr std::string_view kFields[] = {
    "key",       "sha256", "requests_per_minute", "prompt_tokens_per_minute", "output_tokens_per_minute",
    "in_flight", "weight"};

// `rest`: a line with something in it.
Status read_line(std::string_view rest, ApiKeyLine& line) {
  if (std::ranges::any_of(rest, [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; }))
    return bad_input("a control character (lines end with a line feed alone)");
  const std::string_view name = take_word(rest);
  if (!is_name(name)) return bad_input("it does not begin with a name of 1 to 64 letters, digits, '_', '.' and '-'");
  line.key.name = name;
  bool given[std::size(kFields)] = {};
  for (int word_number = 2; !rest.empty(); ++word_number) {
    const std::string_view word = take_word(rest);
    const std::size_t equals = word.find('=');
    const std::string_view field = word.substr(0, equals);
    const auto known = std::ranges::find(kFields, field);
    if (equals == std::string_view::npos || known == std::end(kFields))
      return bad_input("word " + std::to_string(word_number) +
                       " is none of key=, sha256=, requests_per_minute=, prompt_tokens_per_minute=, "
                       "output_tokens_per_minute=, in_flight=, weight=");
    if (std::exchange(given[known - kFields], true)) return bad_input(std::string(field) + "= is given twice");
    if (Status status = read_field(field, word.substr(equals + 1), line); !status.ok()) return status;
  }
  if (given[0] == given[1]) return bad_input(given[0] ? "both key= and sha256=" : "neither key= nor sha256=");
  return {};
}

}  // namespace

Status check_key_characters(std::string_view key) {
  if (key.size() < kKeyCharactersMin) return bad_input("a key needs at least 8 characters");
  if (key.size() > kKeyCharactersMax) return bad_input("a key has at most 512 characters");
  if (!std::ranges::all_of(key, [](unsigned char c) { return c > 0x20 && c < 0x7F; }))
    return bad_input("a key has visible ASCII characters only");
  return {};
}

Expected<std::vector<ApiKeyLine>> parse_key_lines(std::string_view text, const std::string& file) {
  if (text.size() > kKeyFileBytesMax) return fail(bad_input(file + ": longer than 1 MiB"));
  std::vector<ApiKeyLine> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view rest = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), rest.size() + 1));
    rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(kBlanks)));
    if (rest.empty() || rest.front() == '#') continue;
    const std::string where = file + ":" + std::to_string(number) + ": ";
    if (lines.size() == kKeysMax) return fail(bad_input(where + "more than 10,000 keys"));
    ApiKeyLine line{.line = number, .key = {}, .plain = {}, .salt = {}};
    if (Status status = read_line(rest, line); !status.ok()) return fail(bad_input(where + status.message()));
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace herd::access
