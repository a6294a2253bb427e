// herd probe: whether a process of herd answers, for health checks that can run a program but ask nothing over HTTP.

#include <algorithm>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "commands/command_line.h"
#include "commands/load/load_client.h"

namespace herd::commands {
namespace {

constexpr double kTimeoutMax_s = 3600;
constexpr int kSuccess = 200;

struct ProbeFlags {
  std::string url = "http://127.0.0.1:8000/live";
  double timeout = 3;
  bool insecure = false;
};

// Of "http://HOST:PORT/PATH" the path, which may be left out.
Status probe(const ProbeFlags& flags) {
  if (!(flags.timeout > 0 && flags.timeout <= kTimeoutMax_s)) return usage_error("--timeout must be above 0 and at most 3600 seconds");
  auto target = load::parse_base_url(flags.url);
  if (!target) return usage_error("the URL must be such as http://127.0.0.1:8000/live, not \"" + flags.url.substr(0, 200) + "\"");
  const std::string path = target->base_path.empty() ? "/live" : target->base_path;
  load::ClientOptions options;
  options.target = *target;
  options.target.base_path.clear();
  options.insecure = flags.insecure;
  options.connect_timeout_s = options.request_timeout_s = flags.timeout;
  const auto answer = load::fetch(options, path, "");
  if (!answer) return missing(answer.error().message());
  if (answer->status == kSuccess) return {};
  return missing(options.target.url() + path + " answers " + std::to_string(answer->status) + ": " + answer->body.substr(0, 300));
}

}  // namespace

void add_probe(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ProbeFlags>();
  CLI::App* command = app.add_subcommand("probe", "Whether a process of herd answers 200: exit code 0, else 4. For health checks");
  command->add_option("url", flags->url, "Where: /live, /ready or /health of an endpoint or a metrics port (default: " + flags->url + ")");
  command->add_option("--timeout", flags->timeout, "Seconds")->capture_default_str();
  command->add_flag("--insecure", flags->insecure, "https: take any certificate");
  command->callback([flags, exit_code] { *exit_code = report(probe(*flags)); });
}

}  // namespace herd::commands
