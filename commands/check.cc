// herd check: whether cluster files are right, before anything is started with them.

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "commands/cluster_report.h"
#include "commands/command_line.h"
#include "commands/standard_output.h"

namespace herd::commands {
namespace {

struct CheckFlags {
  std::vector<std::string> files;
  std::string output = "text";
  bool schema = false;
};

void print_right(const ClusterReport& report) {
  print("%s: is right\n", report.file.c_str());
  if (const std::string directory = directory_text(report); !directory.empty())
    print("%s: %s\n", report.file.c_str(), directory.c_str());
  for (const std::string& note : report.notes) print("%s: note: %s\n", report.file.c_str(), note.c_str());
}

// A file that could not be read at all, as a report of that.
ClusterReport unreadable(const std::string& file, const Status& status) {
  ClusterReport report;
  report.file = file;
  report.parsed.problems.push_back({0, "", status.message()});
  return report;
}

// Every file is looked at, whatever is wrong with one before it.
int check(const CheckFlags& flags) {
  if (flags.output != "text" && flags.output != "json")
    return report(usage_error("--output must be text or json, not " + flags.output));
  if (flags.schema) {
    print_bytes(cluster_schema_json());
    return 0;
  }
  if (flags.files.empty()) return report(usage_error("name a cluster file to check, or give --schema"));
  int code = 0;
  for (const std::string& file : flags.files) {
    const auto checked = report_cluster(file);
    if (!checked) {
      code = report(checked.error());
      if (flags.output == "json") print_bytes(check_json(unreadable(file, checked.error())));
      continue;
    }
    const bool right = checked->parsed.problems.empty();
    if (!right) code = exit_code(bad_input(""));
    if (flags.output == "json") print_bytes(check_json(*checked));
    else if (right) print_right(*checked);
    else std::fputs(problems_text(*checked).c_str(), stderr);
  }
  return code;
}

}  // namespace

void add_check(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* command = app.add_subcommand("check", "Whether cluster files are right");
  command->add_option("file", flags->files, "Cluster files (YAML); see config/cluster for examples");
  command->add_flag("--schema", flags->schema, "Print the JSON Schema of cluster files instead, for editors");
  command->add_option("--output", flags->output, "text, or json: a line per file");
  command->callback([flags, exit_code] { *exit_code = check(*flags); });
}

}  // namespace herd::commands
