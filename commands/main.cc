// herd: one binary. Parses the command line and hands over; each subcommand is one file in commands/.

#include <cstdlib>
#include <iostream>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/system/system_error.hpp>

#include "commands/argument_check.h"
#include "commands/command_line.h"
#include "commands/roles.h"
#include "commands/serve.h"
#include "commands/standard_output.h"
#include "commands/version.h"
#include "kernels/process_limits.h"

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

// Threads, descriptors and memory may be refused at any place: what reaches this one is no bug of ours.
herd::Status refused(const std::error_code& code, const std::string& what) {
  if (code == std::errc::resource_unavailable_try_again) return herd::no_thread(std::system_error(code));
  if (code == std::errc::too_many_files_open || code == std::errc::too_many_files_open_in_system)
    return herd::missing("no descriptors: " + what + herd::file_limit_advice(code.value()));
  return {herd::StatusCode::kInternal, what};
}

// docs/operate.md, "Core files".
bool are_core_files_allowed() {
  const char* const value = std::getenv("HERD_CORE_FILES");
  return value != nullptr && std::string_view(value) == "1";
}

// The command's exit code.
int run(CLI::App& app, int argc, char** argv, const int& exit_code) {
  try {
    app.parse(arguments(argc, argv));
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;  // of --help and --version, which are not errors; every misuse is exit code 2
    const int code = app.exit(error, out, std::cerr);
    herd::commands::print_bytes(out.str());
    return code == 0 ? 0 : 2;
  } catch (const std::bad_alloc&) {
    return herd::commands::report(herd::commands::no_memory());
  } catch (const std::system_error& error) {
    return herd::commands::report(refused(error.code(), error.what()));
  } catch (const boost::system::system_error& error) {
    return herd::commands::report(refused(error.code(), error.what()));
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  herd::commands::hold_standard_descriptors();
  herd::share_malloc_arenas();
  herd::limit_core_files(are_core_files_allowed());
  CLI::App app{"herd: inference cluster for the Llama family"};
  app.set_version_flag("--version", std::string("herd ") + herd::version());
  app.require_subcommand(1);
  int exit_code = 0;
  herd::commands::add_generate(app, &exit_code);
  herd::commands::add_score(app, &exit_code);
  herd::commands::add_serve(app, &exit_code);
  herd::commands::add_inspect(app, &exit_code);
  herd::commands::add_convert(app, &exit_code);
  herd::commands::add_check(app, &exit_code);
  herd::commands::add_bench(app, &exit_code);
  herd::commands::add_certs(app, &exit_code);
  herd::commands::add_node(app, &exit_code);
  herd::commands::add_rank(app, &exit_code);
  herd::commands::add_coordinator(app, &exit_code);
  herd::commands::add_drain(app, &exit_code);
  herd::commands::add_status(app, &exit_code);
  herd::commands::add_reload(app, &exit_code);
  herd::commands::add_up(app, &exit_code);
  herd::commands::add_probe(app, &exit_code);
  herd::commands::add_completion(app, &exit_code);
  herd::commands::check_arguments(app);
  const int code = run(app, argc, argv, exit_code);
  const herd::Status lost = herd::commands::flush_output();
  return code == 0 && !lost.ok() ? herd::commands::report(lost) : code;
}
