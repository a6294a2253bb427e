#pragma once
// herd serve, as a subcommand of `herd` and of programs that test it.

#include <optional>

#include "actors/engine.h"

namespace CLI {
class App;
}

namespace herd::commands {

// What a test changes of a server's engine; see EngineOptions. What is not given stays as it is.
struct EngineHooks {
  actors::WrapRank wrap_rank;
  actors::WrapGroup wrap_group;
  std::optional<membership::RestartBudget> restart_budget;
  std::optional<replica::WatchConfig> watch;

  void set(actors::EngineOptions& options) const;
};

// Adds the subcommand; its exit code lands in *exit_code when it ran.
void add_serve(CLI::App& app, int* exit_code, const EngineHooks& hooks = {});

}  // namespace herd::commands
