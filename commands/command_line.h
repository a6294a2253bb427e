#pragma once
// What the subcommands share: model flags, exit codes, messages for people. CLI11 stays in commands/*.cc.

#include <string>
#include <vector>

#include "actors/engine.h"
#include "endpoint/served/served_text.h"

namespace CLI {
class App;
}

namespace herd::commands {

// Exit codes of every command: 0 done, 2 wrong usage, 3 bad input file, 4 resource missing, 1 our bug.
[[nodiscard]] int exit_code(const Status& status);
// Prints "herd: message" on stderr and returns the exit code.
[[nodiscard]] int report(const Status& status);

// Memory ran out where nothing smaller than the process could give way.
[[nodiscard]] Status no_memory();

// Flags every command that loads a model has.
struct ModelFlags {
  std::string model;           // positional
  std::string model_path;      // --model-path
  std::string weight_path;
  std::string tokenizer_path;
  std::string tokenizer_version;  // --version
  served::ChatSettings chat;
  std::string encoding;
  std::string load_format = "auto";
  std::vector<std::string> devices;
  bool use_gpu = false;
  double gpu_memory_utilization = 0.9;
  std::string cuda_matmul = "ordered";
  bool no_cuda_graphs = false;
  int tensor_parallel = 1;
  int data_parallel = 1;
  int pipeline_parallel = 1;
  int threads = 0;
  std::string isa = "auto";
  int layers = 0;
  std::int64_t max_model_len = 0;
  int max_num_seqs = 0;        // 0: the command's default
  int max_ce_batch_size = 32;
  int max_num_batched_tokens = 512;
  std::string max_step_ms = "0";  // or auto; who serves streams sets that before add_model_flags()
  int block_size = 16;
  std::int64_t num_blocks = 0;
  std::string kv_cache_memory; // "4GiB", "512MB", bytes
  std::uint64_t weights_seed = 0;
  bool no_prefix_caching = false;
  bool no_kv_moves = false;
  bool quiet = false;
};

void add_model_flags(CLI::App& app, ModelFlags& flags);
// Checks values that need no file and no device. kUsage.
Expected<actors::EngineOptions> engine_options(const ModelFlags& flags);
// Without listeners for notes and warnings: start_model() has those of the engine.
served::TextOptions text_options(const ModelFlags& flags);

// Where the demo model lies: beside the build, then under the install prefix. kMissing when in neither place.
Expected<std::string> demo_model_path();

// --chat-format, --chat-template, --chat-date, --allow-special-in-content: of every command that may chat.
void add_chat_flags(CLI::App& app, served::ChatSettings& chat);
Status check_chat_flags(const served::ChatSettings& chat);

// "1,2,3" → ids. kUsage names what is not a number.
Expected<std::vector<TokenId>> parse_token_ids(const std::string& text);

// Adds the subcommand; its exit code lands in *exit_code when it ran.
void add_generate(CLI::App& app, int* exit_code);
void add_score(CLI::App& app, int* exit_code);
void add_inspect(CLI::App& app, int* exit_code);
void add_check(CLI::App& app, int* exit_code);
void add_bench(CLI::App& app, int* exit_code);
void add_certs(CLI::App& app, int* exit_code);
void add_completion(CLI::App& app, int* exit_code);
void add_convert(CLI::App& app, int* exit_code);
void add_coordinator(CLI::App& app, int* exit_code);
void add_drain(CLI::App& app, int* exit_code);
void add_probe(CLI::App& app, int* exit_code);
void add_reload(CLI::App& app, int* exit_code);
void add_status(CLI::App& app, int* exit_code);
void add_up(CLI::App& app, int* exit_code);

}  // namespace herd::commands
