#include "commands/shell_completion.h"

#include <functional>
#include <string_view>

namespace herd::commands {
namespace {

// Each command with its path of names from the program on ("", "bench", "bench latency").
void visit(const CompletedCommand& command, const std::string& path,
           const std::function<void(const CompletedCommand&, const std::string& path)>& see) {
  see(command, path);
  for (const CompletedCommand& below : command.commands) visit(below, path.empty() ? below.name : path + " " + below.name, see);
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : between).append(word);
  return text;
}

std::vector<std::string> names_of(const CompletedCommand& command) {
  std::vector<std::string> names;
  for (const CompletedCommand& below : command.commands) names.push_back(below.name);
  return names;
}

std::vector<std::string> flags_of(const CompletedCommand& command, bool of_values_alone) {
  std::vector<std::string> flags;
  for (const CompletedFlag& flag : command.flags)
    if (flag.takes_value || !of_values_alone) flags.insert(flags.end(), flag.names.begin(), flag.names.end());
  return flags;
}

// In single quotes of any shell.
std::string quoted(std::string_view text, std::string_view quote) {
  std::string safe = "'";
  for (const char c : text) {
    if (c == '\'') safe += quote;
    else safe += c == '\n' ? ' ' : c;
  }
  return safe + "'";
}
constexpr std::string_view kPosixQuote = "'\\''";
constexpr std::string_view kFishQuote = "\\'";

// The words of the line that are commands, one behind the other, in `at`: what bash and zsh have in common.
std::string path_cases(const CompletedCommand& program) {
  std::vector<std::string> steps;
  visit(program, "", [&steps](const CompletedCommand&, const std::string& path) {
    if (!path.empty()) steps.push_back("'" + path + "'");
  });
  return "    case \"${at:+$at }$word\" in\n      " + joined(steps, " | ") + ") at=\"${at:+$at }$word\" ;;\n    esac\n";
}

}  // namespace

std::string bash_completion(const CompletedCommand& program) {
  std::string script =
      "# bash completion of herd, made by `herd completion bash`.\n"
      "_herd() {\n"
      "  local at= word names= flags= values=\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
      "  COMPREPLY=()\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD - 1}\"; do\n" +
      path_cases(program) +
      "  done\n"
      "  case $at in\n";
  visit(program, "", [&script](const CompletedCommand& command, const std::string& path) {
    script += "    '" + path + "')\n      names='" + joined(names_of(command), " ") + "'\n      flags='" +
              joined(flags_of(command, false), " ") + "'\n      values=' " + joined(flags_of(command, true), " ") + " '\n      ;;\n";
  });
  return script +
         "  esac\n"
         "  # Values are left to the shell, which completes files.\n"
         "  if [[ $before == = || $current == = || ( $before == -* && $values == *\" $before \"* ) ]]; then return; fi\n"
         "  if [[ $current == -* ]]; then COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n"
         "  else COMPREPLY=($(compgen -W \"$names\" -- \"$current\")); fi\n"
         "}\n"
         "complete -o default -F _herd herd\n";
}

std::string zsh_completion(const CompletedCommand& program) {
  std::string script =
      "#compdef herd\n"
      "# zsh completion of herd, made by `herd completion zsh`.\n"
      "_herd() {\n"
      "  local at= word values= before=${words[CURRENT-1]}\n"
      "  local -a names flags\n"
      "  for word in ${words[2,CURRENT-1]}; do\n" +
      path_cases(program) +
      "  done\n"
      "  case $at in\n";
  visit(program, "", [&script](const CompletedCommand& command, const std::string& path) {
    script += "    '" + path + "')\n      names=(";
    const auto entry = [&script](const std::string& name, const std::string& help) {
      script += "\n        " + quoted(name + ":" + help, kPosixQuote);
    };
    for (const CompletedCommand& below : command.commands) entry(below.name, below.help);
    script += ")\n      flags=(";
    for (const CompletedFlag& flag : command.flags)
      for (const std::string& name : flag.names) entry(name, flag.help);
    script += ")\n      values=' " + joined(flags_of(command, true), " ") + " '\n      ;;\n";
  });
  return script +
         "  esac\n"
         "  if [[ $before == -* && $values == *\" $before \"* ]]; then _files\n"
         "  elif [[ $PREFIX == -* ]]; then _describe flag flags\n"
         "  elif (( ${#names} )); then _describe command names\n"
         "  else _files; fi\n"
         "}\n"
         "if [[ $funcstack[1] == _herd ]]; then _herd \"$@\"; else compdef _herd herd; fi\n";
}

std::string fish_completion(const CompletedCommand& program) {
  std::vector<std::string> steps;
  visit(program, "", [&steps](const CompletedCommand&, const std::string& path) {
    if (!path.empty()) steps.push_back("'" + path + "'");
  });
  std::string script =
      "# fish completion of herd, made by `herd completion fish`.\n"
      "function __herd_at\n"
      "  set -l at\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    if contains -- (string join ' ' $at $word) " +
      joined(steps, " ") +
      "\n"
      "      set -a at $word\n"
      "    end\n"
      "  end\n"
      "  test \"$at\" = \"$argv[1]\"\n"
      "end\n";
  visit(program, "", [&script](const CompletedCommand& command, const std::string& path) {
    const std::string begin = "complete -c herd -n \"__herd_at '" + path + "'\" ";
    for (const CompletedCommand& below : command.commands)
      script += begin + "-f -a " + below.name + " -d " + quoted(below.help, kFishQuote) + "\n";
    for (const CompletedFlag& flag : command.flags) {
      script += begin;
      for (const std::string& name : flag.names)
        script += name.starts_with("--") ? "-l " + name.substr(2) + " " : "-s " + name.substr(1) + " ";
      script += std::string(flag.takes_value ? "-r " : "") + "-d " + quoted(flag.help, kFishQuote) + "\n";
    }
  });
  return script;
}

}  // namespace herd::commands
