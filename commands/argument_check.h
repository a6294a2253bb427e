#pragma once
// What every flag of every command has in common: a number is taken as it is written or refused, never clamped or read
// in another base; a text is not empty (an unset shell variable).

#include <optional>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace herd::commands {

// A whole number as CLI11 is to read it: decimal, without '+' and leading zeros. Nothing when it is none in int64 (uint64).
[[nodiscard]] std::optional<std::string> whole_number(std::string_view text, bool is_signed);
// Whether the text is one finite decimal number that a float can hold; a value too small for it is 0.
[[nodiscard]] bool is_number(std::string_view text);

// Adds the checks to every option of the command and its subcommands, which have all been added before.
void check_arguments(CLI::App& app);

}  // namespace herd::commands
