// herd: one binary. Parses the command line and hands over; each subcommand is one file in actors/commands/.

#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "actors/commands/command_line.h"
#include "actors/version.h"

namespace {

// Communities write -tp 2, -dp 2 and -pp 2; a command line parser reads these as bundled one-letter flags.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> list;
  for (int i = argc - 1; i > 0; --i) {  // CLI11 takes them in reverse
    std::string argument = argv[i];
    for (const char* degree : {"-tp", "-dp", "-pp"})
      if (argument == degree || argument.starts_with(std::string(degree) + "=")) argument.insert(0, "-");
    list.push_back(std::move(argument));
  }
  return list;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"herd: inference cluster for the Llama family"};
  app.set_version_flag("--version", std::string("herd ") + herd::version());
  app.require_subcommand(1);
  int exit_code = 0;
  herd::commands::add_generate(app, &exit_code);
  herd::commands::add_score(app, &exit_code);
  herd::commands::add_serve(app, &exit_code);
  herd::commands::add_inspect(app, &exit_code);
  herd::commands::add_bench(app, &exit_code);
  try {
    app.parse(arguments(argc, argv));
  } catch (const CLI::ParseError& error) {
    // 0 for --help and --version, which are not errors; every misuse is exit code 2.
    return app.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}
