#pragma once
// herd bench serve: load against an OpenAI-compatible endpoint, with the flags and definitions of vllm bench serve.

namespace CLI {
class App;
}

namespace herd::commands {

// Adds the subcommand to `bench`. Exit code: 0 every request was answered (a refusal by 429 or 503 is an answer),
// 1 a request failed otherwise or the run was interrupted, 2 wrong usage, 3 bad data set, 4 endpoint out of reach.
void add_bench_serve(CLI::App& bench, int* exit_code);

}  // namespace herd::commands
