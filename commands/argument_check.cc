#include "commands/argument_check.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>

#include <CLI/CLI.hpp>

namespace herd::commands {
namespace {

template <class Number>
std::optional<std::string> read(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return std::to_string(number);
}

std::string shown(const std::string& text) { return text.size() <= 40 ? text : text.substr(0, 40) + "…"; }

std::string check_whole(std::string& text, bool is_signed) {
  if (auto number = whole_number(text, is_signed)) {
    text = std::move(*number);
    return {};
  }
  return is_signed ? "must be a whole number that fits into 64 bits, not " + shown(text)
                   : "must be a whole number in [0, " + std::to_string(std::numeric_limits<std::uint64_t>::max()) +
                         "], not " + shown(text);
}

std::string check_real(std::string& text) {
  // nan and inf are left to the flag's own range, which refuses them by name.
  const bool word = text == "nan" || text == "inf" || text == "-inf" || text == "-nan";
  return word || is_number(text) ? std::string() : "must be a number, not " + shown(text);
}

void check_option(CLI::Option& option) {
  const std::string type = option.get_type_name();
  std::function<std::string(std::string&)> check;
  const auto begins = [&](const char* name) { return type.rfind(name, 0) == 0; };
  if (begins("INT")) {
    check = [](std::string& text) { return check_whole(text, true); };
  } else if (begins("UINT")) {
    check = [](std::string& text) { return check_whole(text, false); };
  } else if (begins("FLOAT")) {
    check = check_real;
  } else if (begins("TEXT") && !option.check_lname("system")) {
    check = [](std::string& text) { return text.empty() ? std::string("is empty") : std::string(); };
  } else {
    return;
  }
  // Before the option's own checks, which see what this one made of the text.
  option.transform(CLI::Validator(std::move(check), ""));
}

}  // namespace

std::optional<std::string> whole_number(std::string_view text, bool is_signed) {
  if (text.starts_with("+-")) return std::nullopt;
  return is_signed ? read<std::int64_t>(text) : read<std::uint64_t>(text);
}

bool is_number(std::string_view text) {
  const std::string copy(text);
  // Hexadecimal numbers and white space, which strtod takes, are no decimal numbers.
  if (copy.empty() || copy.find_first_not_of("+-.0123456789eE") != std::string::npos) return false;
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  return end == copy.c_str() + copy.size() && std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max());
}

void check_arguments(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) check_option(*option);
  for (CLI::App* command : app.get_subcommands({})) check_arguments(*command);
}

}  // namespace herd::commands
