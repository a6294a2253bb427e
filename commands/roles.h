#pragma once
// herd node and herd rank, as subcommands of `herd` and of programs that test them.

#include "actors/ranks/rank_site.h"

namespace CLI {
class App;
}

namespace herd::commands {

// Adds the subcommand; its exit code lands in *exit_code when it ran.
void add_node(CLI::App& app, int* exit_code);
// `wrap`: around the rank's executor, for tests; empty: nothing.
void add_rank(CLI::App& app, int* exit_code, const actors::WrapRank& wrap = {});

}  // namespace herd::commands
