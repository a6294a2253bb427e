#pragma once
// Scripts with which shells complete herd's command line, made of what its parser knows. Pure.

#include <string>
#include <vector>

namespace herd::commands {

struct CompletedFlag {
  std::vector<std::string> names;  // "--port", "-q"
  bool takes_value = false;        // which the shell completes as a file's name
  std::string help;
};

struct CompletedCommand {
  std::string name;
  std::string help;
  std::vector<CompletedFlag> flags;
  std::vector<CompletedCommand> commands;
};

// `program`: herd itself with all its commands. Each is a whole script.
[[nodiscard]] std::string bash_completion(const CompletedCommand& program);
[[nodiscard]] std::string zsh_completion(const CompletedCommand& program);
[[nodiscard]] std::string fish_completion(const CompletedCommand& program);

}  // namespace herd::commands
