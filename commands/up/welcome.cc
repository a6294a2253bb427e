#include "commands/up/welcome.h"

#include <algorithm>

namespace herd::up {
namespace {

using handshake::Role;
using report::ProcessReport;

std::string counted(std::ptrdiff_t count, const std::string& one) { return std::to_string(count) + " " + one + (count == 1 ? "" : "s"); }

// For a POSIX shell, in single quotes where it needs any.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '.' || c == '_' || c == '-';
  };
  if (!text.empty() && std::ranges::all_of(text, plain)) return text;
  std::string word(1, '\'');
  for (const char c : text) {
    if (c == '\'') word += "'\\''";
    else word += c;
  }
  word += '\'';
  return word;
}

std::string curl_line(const config::ClusterSpec& spec, const std::string& url) {
  std::string line = "curl -N " + url + "/v1/completions -H 'Content-Type: application/json'";
  if (!spec.http.api_key_file.empty()) line += " -H \"Authorization: Bearer $HERD_API_KEY\"";
  return line + " -d '{\"prompt\": \"The capital of France is\", \"max_tokens\": 64, \"stream\": true}'";
}

// Whose death costs most: a leader's takes the replica's scheduler with it.
const ProcessReport* victim(const report::ClusterStatusReport& status) {
  const ProcessReport* found = nullptr;
  for (const ProcessReport& process : status.processes)
    if (process.role == Role::kRank && process.pid > 0 && (found == nullptr || (process.leader && !found->leader))) found = &process;
  return found;
}

}  // namespace

std::string welcome_text(const std::string& config, const std::string& program, const config::ClusterSpec& spec,
                         const report::ClusterStatusReport& status) {
  const auto count = [&status](Role role) { return std::ranges::count(status.processes, role, &ProcessReport::role); };
  const std::string file = shell_word(config), herd = shell_word(program);
  std::string text = "The cluster " + spec.name + " serves: " + counted(count(Role::kGateway), "gateway") + ", " +
                     counted(count(Role::kCoordinator), "coordinator") + ", " + counted(count(Role::kNode), "node") + ", " +
                     counted(count(Role::kRank), "rank") + "; " +
                     counted(std::ssize(status.replicas), "replica") + " of " + shell_word(spec.model.model_path) + "\n";
  for (const ProcessReport& process : status.processes)
    if (process.role == Role::kGateway && !process.endpoint_url.empty())
      text += "  " + process.name + "  " + process.endpoint_url + "/v1\n";
  const auto gateway = std::ranges::find_if(status.processes, [](const ProcessReport& it) { return !it.endpoint_url.empty(); });
  if (spec.http.ui && gateway != status.processes.end()) text += "Look at it, and chat:\n  " + gateway->endpoint_url + "/ui\n";
  if (gateway != status.processes.end()) text += "Ask it:\n  " + curl_line(spec, gateway->endpoint_url) + "\n";
  if (const ProcessReport* rank = victim(status))
    text += "Kill a process while it answers (here " + rank->name + (rank->leader ? ", its replica's leader" : "") +
            "): the stream goes on.\n  kill -9 " + std::to_string(rank->pid) + "\n";
  text += "See what became of it, and where metrics are:\n  " + herd + " status --config " + file + "\n";
  if (gateway != status.processes.end() && !gateway->metrics_url.empty()) text += "  curl " + gateway->metrics_url + "\n";
  return text + "Ctrl-C lets streams finish and ends the cluster.\n";
}

}  // namespace herd::up
