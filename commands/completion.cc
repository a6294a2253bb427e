// herd completion: a script with which a shell completes herd's command line, made of what the parser of this very program knows.

#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "commands/command_line.h"
#include "commands/shell_completion.h"
#include "commands/standard_output.h"

namespace herd::commands {
namespace {

// Flags and commands without a group are not shown by --help, nor here.
CompletedCommand described(CLI::App& app) {
  CompletedCommand command{app.get_name(), app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    CompletedFlag flag{{}, option->get_items_expected_max() > 0, option->get_description()};
    for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
    if (!flag.names.empty()) command.flags.push_back(std::move(flag));
  }
  for (CLI::App* below : app.get_subcommands({}))
    if (!below->get_group().empty()) command.commands.push_back(described(*below));
  return command;
}

int completion(CLI::App& app, const std::string& shell) {
  const CompletedCommand program = described(app);
  if (shell == "bash") print_bytes(bash_completion(program));
  else if (shell == "zsh") print_bytes(zsh_completion(program));
  else if (shell == "fish") print_bytes(fish_completion(program));
  else return report(usage_error("the shell must be bash, zsh or fish, not " + shell));
  return 0;
}

}  // namespace

void add_completion(CLI::App& app, int* exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "A script for your shell that completes herd's command line; see docs/deploy.md");
  command->add_option("shell", *shell, "bash, zsh or fish")->required();
  command->callback([&app, shell, exit_code] { *exit_code = completion(app, *shell); });
}

}  // namespace herd::commands
