// herd drain: a node or a replica of a cluster takes nothing new, until nothing is left of it and its processes may be stopped.

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "actors/processes/operator_client.h"
#include "cluster/report/drain_progress.h"
#include "commands/command_line.h"
#include "commands/operator_command.h"
#include "commands/drain_json.h"
#include "commands/standard_output.h"

namespace herd::commands {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{3};         // for an answer
constexpr std::chrono::milliseconds kLookEvery{200};
// After the time in which it may finish what it has: for steps in flight and processes that end.
constexpr std::chrono::seconds kEndsWithin{60};
constexpr double kDrainSecondsMax = 86400;

struct DrainFlags {
  OperatorFlags at;
  report::DrainAsk ask;
  bool no_wait = false;
};

Status check(const DrainFlags& flags) {
  if (!(flags.ask.drain_s >= 0 && flags.ask.drain_s <= kDrainSecondsMax))
    return usage_error("--timeout must be 0 to 86400 seconds, not " + std::to_string(flags.ask.drain_s));
  if (flags.ask.target.empty()) return usage_error("a node or a replica must be named: herd drain node-a");
  return {};
}

std::string joined(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) text += (text.empty() ? "" : "; ") + sentence;
  return text;
}

// Until nothing of it is left. A coordinator that is away for a while is asked again.
Status wait_until_drained(const DrainFlags& flags, processes::OperatorClient& client) {
  const std::chrono::duration<double> drain_s(flags.ask.drain_s);
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(drain_s) + kEndsWithin;
  std::string said, last = "nothing is known of it";
  for (;;) {
    const auto now = client.ask(kPatience);
    if (now && report::may_be_stopped(*now, flags.ask.target)) return {};
    if (now && !report::is_draining(*now, flags.ask.target))
      return {StatusCode::kAborted, flags.ask.target + " takes work again: somebody took the order back"};
    last = now ? joined(report::still_at_work(*now, flags.ask.target)) : now.error().message();
    if (flags.at.output == "text" && std::exchange(said, last) != last) {
      print_bytes(last + "\n");
      if (Status lost = flush_output(); !lost.ok()) return lost;
    }
    if (Clock::now() >= until) return {StatusCode::kAborted, flags.ask.target + " has not drained in time: " + last};
    std::this_thread::sleep_for(kLookEvery);
  }
}

Status drain(DrainFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  auto client = start_operator_client(flags.at);
  if (!client) return client.error();
  const auto answer = (*client)->order(flags.ask, kPatience);
  if (!answer) return answer.error();
  if (!answer->status.ok()) return answer->status;
  const bool in_text = flags.at.output == "text";
  if (in_text)
    for (const std::string& line : answer->lines) print_bytes(line + "\n");
  if (Status lost = flush_output(); !lost.ok()) return lost;
  const bool waits = !flags.ask.undo && !flags.no_wait;
  if (waits)
    if (Status status = wait_until_drained(flags, **client); !status.ok()) return status;
  if (!in_text) print_bytes(drain_json(flags.at.config, flags.ask, *answer, waits));
  else if (waits) print_bytes(flags.ask.target + " has drained: it may be stopped\n");
  return {};
}

}  // namespace

void add_drain(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<DrainFlags>();
  CLI::App* command = app.add_subcommand(
      "drain", "A node or a replica of a cluster takes nothing new: its streams move to other replicas, or finish where they are. Waits "
               "until its processes may be stopped. It stays drained, over restarts too, until --undo");
  command->add_option("target", flags->ask.target, "NODE or REPLICA, as `herd status` names them: node-a, replica-0")->required();
  command->add_flag("--undo", flags->ask.undo, "It takes work again");
  command->add_option("--timeout", flags->ask.drain_s,
                      "Seconds in which streams that find no other replica may finish there (default: 30); then they are parked");
  command->add_flag("--no-wait", flags->no_wait, "Return once it takes nothing new; `herd status` shows how far it is");
  add_operator_flags(*command, flags->at, "text, or json: one line");
  command->callback([flags, exit_code] { *exit_code = report(drain(*flags)); });
}

}  // namespace herd::commands
