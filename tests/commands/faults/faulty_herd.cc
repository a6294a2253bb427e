// faulty_herd: `herd serve` whose ranks fail as a test wants it, and `herd node` whose ranks die of certain prompts.
//
//   HERD_TEST_FAULTS="kind=die,rank=1,step=37" faulty_herd serve MODEL --tp 2 …
//   HERD_TEST_POISON="token=7,position=40" faulty_herd node --config FILE --name node-1      (poisoned_rank.h)
// HERD_TEST_FAULTS: faults that are planted at the start (planted_fault.h); of a node, in each process of a rank that it starts. HERD_TEST_FAULT_PIPE: a file descriptor; each line that
// comes out of it plants more, and is answered with a line on stderr. HERD_TEST_RESTARTS: so many restarts a minute, at once each.
// Degrees are written --tp and --dp here.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <CLI/CLI.hpp>
#include <pthread.h>

#include "commands/command_line.h"
#include "commands/roles.h"
#include "commands/serve.h"
#include "kernels/process_limits.h"
#include "tests/commands/faults/fault_schedule.h"
#include "tests/commands/faults/faulty_collective.h"
#include "tests/commands/faults/faulty_rank.h"
#include "tests/commands/faults/poisoned_rank.h"

namespace herd::faults {
namespace {

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// Until the other end is closed, which is never when the process ends first.
void plant_from(std::FILE* pipe, FaultSchedule& schedule) {
  char line[1024];
  while (std::fgets(line, sizeof line, pipe) != nullptr) {
    std::string_view text = line;
    if (text.ends_with('\n')) text.remove_suffix(1);
    const auto faults = parse_faults(text);
    if (faults) schedule.plant(*faults);
    std::fprintf(stderr, "faults: %s\n", faults ? "planted" : faults.error().message().c_str());
  }
}

Status plant(const std::shared_ptr<FaultSchedule>& schedule) {
  const auto faults = parse_faults(from_environment("HERD_TEST_FAULTS"));
  if (!faults) return faults.error();
  schedule->plant(*faults);
  const std::string descriptor = from_environment("HERD_TEST_FAULT_PIPE");
  if (descriptor.empty()) return {};
  std::FILE* pipe = ::fdopen(std::atoi(descriptor.c_str()), "r");
  if (pipe == nullptr) return usage_error("HERD_TEST_FAULT_PIPE is no open file descriptor: " + descriptor);
  // It takes no signal: those of a server go where the server wants them.
  sigset_t all;
  sigset_t own;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &own);
  std::thread([pipe, schedule] { plant_from(pipe, *schedule); }).detach();
  pthread_sigmask(SIG_SETMASK, &own, nullptr);
  return {};
}

commands::EngineHooks hooks(const std::shared_ptr<FaultSchedule>& schedule) {
  commands::EngineHooks hooks;
  hooks.wrap_rank = [schedule](std::unique_ptr<shard::RankExecutor> executor, ReplicaId replica, std::uint32_t rank) {
    return std::make_unique<FaultyRank>(std::move(executor), schedule, replica, rank);
  };
  hooks.wrap_group = [schedule](std::unique_ptr<Collective> member, ReplicaId replica, std::uint32_t rank) {
    return std::make_unique<FaultyCollective>(std::move(member), schedule, replica, rank);
  };
  if (const std::string restarts = from_environment("HERD_TEST_RESTARTS"); !restarts.empty())
    hooks.restart_budget = {.restarts = static_cast<std::uint32_t>(std::atoi(restarts.c_str())), .backoff_s = 0, .backoff_max_s = 0};
  return hooks;
}

// Of ranks that are processes.
Expected<actors::WrapRank> poison(const std::shared_ptr<FaultSchedule>& schedule) {
  const std::string text = from_environment("HERD_TEST_POISON");
  std::optional<Poison> poison;
  if (!text.empty()) {
    const auto parsed = parse_poison(text);
    if (!parsed) return fail(parsed.error());
    poison = *parsed;
  }
  return actors::WrapRank([schedule, poison](std::unique_ptr<shard::RankExecutor> executor, ReplicaId replica, std::uint32_t rank)
                              -> std::unique_ptr<shard::RankExecutor> {
    executor = std::make_unique<FaultyRank>(std::move(executor), schedule, replica, rank);
    if (!poison || poison->rank.value_or(rank) != rank) return executor;
    return std::make_unique<PoisonedRank>(std::move(executor), *poison);
  });
}

int run(int argc, char** argv) {
  const auto schedule = std::make_shared<FaultSchedule>();
  if (Status status = plant(schedule); !status.ok()) return commands::report(status);
  CLI::App app{"herd serve, with faults that tests plant"};
  app.require_subcommand(1);
  int exit_code = 0;
  commands::add_serve(app, &exit_code, hooks(schedule));
  const auto poisoned = poison(schedule);
  if (!poisoned) return commands::report(poisoned.error());
  commands::add_node(app, &exit_code);
  commands::add_rank(app, &exit_code, *poisoned);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}

}  // namespace
}  // namespace herd::faults

int main(int argc, char** argv) {
  herd::share_malloc_arenas();
  return herd::faults::run(argc, argv);
}
