#include "commands/command_line.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "commands/random_bytes.h"
#include "endpoint/chat/built_in_templates.h"
#include "endpoint/chat/chat_clock.h"
#include "kernels/process_limits.h"
#include "observability/progress_bar.h"

namespace herd::commands {
namespace {

Expected<CpuIsa> parse_isa(const std::string& name) {
  if (name == "auto") return CpuIsa::kAuto;
  if (name == "reference") return CpuIsa::kReference;
  if (name == "avx2") return CpuIsa::kAvx2;
  if (name == "avx512") return CpuIsa::kAvx512;
  if (name == "avx512-vnni") return CpuIsa::kAvx512Vnni;
  if (name == "avx512-bf16") return CpuIsa::kAvx512Bf16;
  return fail(usage_error("--cpu-isa must be auto, reference, avx2, avx512, avx512-vnni or avx512-bf16, not " + name));
}

Expected<std::int64_t> parse_bytes(const std::string& flag, const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  std::int64_t scale = 0;
  if (unit.empty() || unit == "B") scale = 1;
  if (unit == "KiB" || unit == "K") scale = std::int64_t{1} << 10;
  if (unit == "MiB" || unit == "M") scale = std::int64_t{1} << 20;
  if (unit == "GiB" || unit == "G") scale = std::int64_t{1} << 30;
  if (unit == "KB") scale = 1000;
  if (unit == "MB") scale = 1000 * 1000;
  if (unit == "GB") scale = 1000 * 1000 * 1000;
  std::int64_t bytes = 0;
  if (error != std::errc{} || scale == 0 || number <= 0 || __builtin_mul_overflow(number, scale, &bytes))
    return fail(usage_error(flag + " must be a size such as 4GiB or 512MB, not " + text));
  return bytes;
}

// "gpu-3" → 3. kUsage.
Expected<int> parse_gpu(const std::string& name) {
  int index = -1;
  const char* const begin = name.data() + std::string_view("gpu-").size();
  const char* const end = name.data() + name.size();
  if (name.starts_with("gpu-") && begin != end && *begin != '-') {
    const auto [stop, error] = std::from_chars(begin, end, index);
    if (error == std::errc{} && stop == end) return index;
  }
  return fail(usage_error("--devices must be cpu, gpu, or GPUs such as gpu-0,gpu-1, not " + name));
}

// Which devices, from --devices and --use-gpu.
Status choose_devices(const ModelFlags& flags, actors::GpuOptions& gpu) {
  bool cpu = false;
  bool any_gpu = flags.use_gpu;
  for (const std::string& device : flags.devices) {
    if (device == "cpu") {
      cpu = true;
    } else if (device == "gpu") {
      any_gpu = true;
    } else {
      const auto index = parse_gpu(device);
      if (!index) return index.error();
      if (std::ranges::find(gpu.indices, *index) != gpu.indices.end())
        return usage_error("--devices names " + device + " twice");
      gpu.indices.push_back(*index);
    }
  }
  if (cpu && (any_gpu || !gpu.indices.empty())) return usage_error("--devices: cpu and GPUs cannot be mixed");
  // --use-gpu beside a list of GPUs says nothing more.
  if (any_gpu && !flags.use_gpu && !gpu.indices.empty())
    return usage_error("--devices: gpu stands for as many GPUs as there are ranks; it cannot be mixed with gpu-N");
  gpu.use = any_gpu || !gpu.indices.empty();
  return {};
}

Status gpu_options(const ModelFlags& flags, actors::GpuOptions& gpu) {
  if (Status status = choose_devices(flags, gpu); !status.ok()) return status;
  if (!(flags.gpu_memory_utilization > 0 && flags.gpu_memory_utilization <= 1))
    return usage_error("--gpu-memory-utilization must be above 0 and at most 1");
  gpu.memory_utilization = flags.gpu_memory_utilization;
  if (flags.cuda_matmul != "ordered" && flags.cuda_matmul != "cublaslt")
    return usage_error("--cuda-matmul must be ordered or cublaslt, not " + flags.cuda_matmul);
  gpu.matmul = flags.cuda_matmul == "cublaslt" ? GpuMatmul::kCublasLt : GpuMatmul::kOrdered;
  gpu.graphs = !flags.no_cuda_graphs;
  return {};
}

Status step_limit(const std::string& text, std::optional<std::uint32_t>& max_step_ms) {
  constexpr std::uint32_t kMsMax = 600'000;
  max_step_ms.reset();
  if (text == "auto") return {};
  std::uint32_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc{} || end != text.data() + text.size() || ms > kMsMax)
    return usage_error("--max-step-ms must be auto or milliseconds in [0, " + std::to_string(kMsMax) + "], not " + text);
  max_step_ms = ms;
  return {};
}

}  // namespace

int exit_code(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk: return 0;
    case StatusCode::kUsage: return 2;
    case StatusCode::kBadInput: return 3;
    case StatusCode::kMissing:
    case StatusCode::kOverloaded: return 4;
    case StatusCode::kAborted:
    case StatusCode::kInternal: return 1;
  }
  return 1;
}

int report(const Status& status) {
  if (!status.ok()) std::fprintf(stderr, "herd: %s\n", status.message().c_str());
  return exit_code(status);
}

Status no_memory() {
  return missing(std::string("out of memory (or of address space, ulimit -v): ") + kLowerMemoryUse +
                 ", or take a smaller model");
}

Expected<std::string> demo_model_path() {
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    // build/<preset>/herd → config/demo_model; <prefix>/bin/herd → <prefix>/share/herd/demo_model
    const std::filesystem::path folder = executable.parent_path();
    for (const char* relative : {"../../config/demo_model", "../share/herd/demo_model"}) {
      const std::filesystem::path candidate = std::filesystem::weakly_canonical(folder / relative, error);
      if (!error && std::filesystem::exists(candidate / "config.json", error)) return candidate.string();
    }
  }
  return fail(missing("the demo model is neither beside the build nor under the install prefix; give --model-path"));
}

Expected<std::vector<TokenId>> parse_token_ids(const std::string& text) {
  std::vector<TokenId> ids;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (at != end) {
    TokenId id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc{} || (next != end && *next != ','))
      return fail(usage_error("--prompt-token-ids must be numbers such as 1,2,3; stopped at \"" +
                              std::string(at, end).substr(0, 20) + "\""));
    ids.push_back(id);
    at = next == end ? end : next + 1;
    if (next != end && at == end) return fail(usage_error("--prompt-token-ids ends with a comma"));
  }
  if (ids.empty()) return fail(usage_error("--prompt-token-ids is empty"));
  return ids;
}

void add_chat_flags(CLI::App& app, served::ChatSettings& chat) {
  const std::string group = "Chat";
  app.add_option("--chat-format", chat.format,
                 "auto: conversations become prompts as the checkpoint's chat template says; llama3, llama3.1, chatml, smollm2: a "
                 "format of herd's own, for a checkpoint without one")
      ->capture_default_str()->group(group);
  app.add_option("--chat-template", chat.template_path, "A file with a chat template (Jinja), instead of the checkpoint's")->group(group);
  app.add_option("--chat-date", chat.date,
                 "What chat templates are told instead of the time of the request: 2025-03-07, \"07 Mar 2025\", or with a time (UTC) "
                 "2025-03-07T15:04:05")
      ->group(group);
  app.add_flag("--allow-special-in-content", chat.special_in_content,
               "Messages may spell control tokens, as in Hugging Face's tokenizers: who writes a message can end it and begin another's")
      ->group(group);
}

Status check_chat_flags(const served::ChatSettings& chat) {
  if (chat.format != "auto" && chat::find_built_in_template(chat.format) == nullptr)
    return usage_error("--chat-format must be auto, " + std::string(chat::kChatFormatNames) + ", not " + chat.format);
  if (chat.format != "auto" && !chat.template_path.empty())
    return usage_error("--chat-format names a format and --chat-template another: give one of them");
  if (chat.date.empty()) return {};
  const auto date = chat::parse_chat_date(chat.date);
  return date ? Status() : date.error();
}

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  const std::string model = "Model";
  app.add_option("model", flags.model, "Hugging Face directory or .gguf file (default: the demo model)")->group(model);
  app.add_option("--model-path", flags.model_path, "The same as the positional MODEL")->group(model);
  app.add_option("--weight-path", flags.weight_path, "Weights elsewhere: safetensors file, index, directory or .gguf")
      ->group(model);
  app.add_option("--tokenizer-path", flags.tokenizer_path, "tokenizer.json or tokenizer.model elsewhere")->group(model);
  app.add_option("--version", flags.tokenizer_version,
                 "3 or 3.1: how the control tokens of Meta's Llama 3 tokenizer.model are called (default: as params.json beside it "
                 "or config.json tell, else 3.1)")
      ->group(model);
  add_chat_flags(app, flags.chat);
  app.add_option("--quantization-encoding", flags.encoding,
                 "float32, float16, bfloat16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k (default: the checkpoint's own). A GGUF "
                 "file is computed in its own, bfloat16 or float32; other checkpoints in float32, float16, bfloat16, q8_0, q6_k, q4_0 or "
                 "q4_k. Of a folder's GGUF models it chooses one")
      ->group(model);
  app.add_option("--load-format", flags.load_format, "auto, or random: weights from a seed, config.json is enough")
      ->group(model);
  app.add_option("--random-weights-seed", flags.weights_seed, "Which random model --load-format random makes")
      ->group(model);
  app.add_option("--layers", flags.layers, "Run only the first N layers")->group(model);

  const std::string parallel = "Devices";
  app.add_option("--devices", flags.devices,
                 "cpu; gpu: as many GPUs as there are ranks; or gpu-0,gpu-1,…: these, in the ranks' order")
      ->delimiter(',')
      ->group(parallel);
  app.add_flag("--use-gpu", flags.use_gpu, "The same as --devices gpu")->group(parallel);
  app.add_option("--tensor-parallel-size,--tp", flags.tensor_parallel, "Ranks that share one model: 1, 2, 4 or 8 (-tp N)")
      ->group(parallel);
  app.add_option("--data-parallel-size,--dp", flags.data_parallel, "Replicas of the model (-dp N)")->group(parallel);
  app.add_option("--pipeline-parallel-size,--pp", flags.pipeline_parallel, "Only 1 for now (-pp N)")->group(parallel);
  app.add_option("--threads", flags.threads, "Compute threads of all CPU ranks together (default: what affinity and cgroup allow)")
      ->group(parallel);
  app.add_option("--cpu-isa", flags.isa, "auto, reference, avx2, avx512, avx512-vnni, avx512-bf16: same bits, other speed")
      ->group(parallel);

  const std::string gpus = "GPUs";
  app.add_option("--gpu-memory-utilization", flags.gpu_memory_utilization,
                 "Share of a GPU's whole memory that weights, step buffers and KV cache may take")
      ->capture_default_str()
      ->group(gpus);
  app.add_option("--cuda-matmul", flags.cuda_matmul,
                 "ordered: the same bits in every batch; cublaslt: a yardstick, not repeatable")
      ->capture_default_str()
      ->group(gpus);
  app.add_flag("--no-cuda-graphs,--enforce-eager", flags.no_cuda_graphs,
               "Launch every kernel of a step instead of one recorded step: same bits, slower")
      ->group(gpus);

  const std::string batch = "Batching and KV cache";
  app.add_option("--max-model-len", flags.max_model_len, "Longest sequence, prompt + output")->group(batch);
  app.add_option("--max-num-seqs,--batch-size,--max-batch-size,--max-cache-batch-size", flags.max_num_seqs,
                 "Sequences computed together")
      ->group(batch);
  app.add_option("--max-ce-batch-size", flags.max_ce_batch_size, "Sequences that prefill in one step")->group(batch);
  app.add_option("--max-num-batched-tokens", flags.max_num_batched_tokens,
                 "Rows of one step: the prefill chunk; while streams run, --max-step-ms shortens it")
      ->group(batch);
  app.add_option("--max-step-ms", flags.max_step_ms,
                 "How long streams that run may wait for a step with a prompt in it, in milliseconds as predicted from measured "
                 "steps: the prompt's chunk becomes shorter, 16 rows at least if --max-num-batched-tokens has room; auto: 1.5 "
                 "times a step without it, 50 ms at least, 150 ms longer than that step at most; 0: no bound but "
                 "--max-num-batched-tokens")
      ->capture_default_str()
      ->group(batch);
  app.add_option("--block-size,--page-block-size", flags.block_size, "Tokens of a KV block: 16, 32, 64, … 512")->group(batch);
  app.add_option("--num-blocks,--page-max-num-blocks", flags.num_blocks, "KV blocks of a replica")->group(batch);
  app.add_option("--kv-cache-memory", flags.kv_cache_memory, "KV bytes of a replica, such as 4GiB")->group(batch);
  app.add_flag("--no-enable-prefix-caching", flags.no_prefix_caching, "Compute every prompt from its start")->group(batch);
  app.add_flag("--no-enable-kv-moves", flags.no_kv_moves,
               "Compute what another replica has in its prefix cache, instead of taking its KV blocks")
      ->group(batch);
  app.add_flag("--quiet,-q", flags.quiet, "No notes on stderr, errors only");
}

Expected<actors::EngineOptions> engine_options(const ModelFlags& flags) {
  actors::EngineOptions options;
  options.gateway.id = GatewayId{random_number()};
  options.gateway.jitter_seed = random_number();
  if (Status status = gpu_options(flags, options.gpu); !status.ok()) return fail(std::move(status));
  if (flags.pipeline_parallel != 1)
    return fail(usage_error("--pipeline-parallel-size " + std::to_string(flags.pipeline_parallel) +
                            ": not supported yet, only 1"));
  if (!flags.model.empty() && !flags.model_path.empty() && flags.model != flags.model_path)
    return fail(usage_error("the positional model and --model-path name two models"));
  if (flags.load_format != "auto" && flags.load_format != "random")
    return fail(usage_error("--load-format must be auto or random, not " + flags.load_format));
  if (Status status = check_chat_flags(flags.chat); !status.ok()) return fail(std::move(status));
  if (Status status = served::check_tokenizer_version(flags.tokenizer_version); !status.ok()) return fail(std::move(status));
  const int ranks = flags.tensor_parallel;  // judged before anyone counts threads by it
  if (ranks != 1 && ranks != 2 && ranks != 4 && ranks != 8)
    return fail(usage_error("--tensor-parallel-size must be 1, 2, 4 or 8, not " + std::to_string(ranks)));
  auto in_range = [](const char* flag, std::int64_t value, std::int64_t low, std::int64_t high) -> Status {
    if (value >= low && value <= high) return {};
    return usage_error(std::string(flag) + " must be in [" + std::to_string(low) + ", " + std::to_string(high) +
                       "], not " + std::to_string(value));
  };
  const std::int64_t many = std::int64_t{1} << 31;
  for (const Status& status : {in_range("--data-parallel-size", flags.data_parallel, 1, 64),
                               in_range("--threads", flags.threads, 0, 1024),
                               in_range("--layers", flags.layers, 0, 1024),
                               in_range("--max-model-len", flags.max_model_len, 0, many),
                               in_range("--max-num-seqs", flags.max_num_seqs, 0, 65536),
                               in_range("--max-ce-batch-size", flags.max_ce_batch_size, 1, 65536),
                               in_range("--max-num-batched-tokens", flags.max_num_batched_tokens, 1, 1 << 20),
                               in_range("--num-blocks", flags.num_blocks, 0, many)})
    if (!status.ok()) return fail(status);

  if (Status status = step_limit(flags.max_step_ms, options.scheduler.max_step_ms); !status.ok()) return fail(std::move(status));
  options.model.path = flags.model_path.empty() ? flags.model : flags.model_path;
  if (options.model.path.empty()) {
    auto demo = demo_model_path();
    if (!demo) return fail(demo.error());
    options.model.path = std::move(*demo);
  }
  options.model.weight_path = flags.weight_path;
  options.model.random_weights = flags.load_format == "random";
  options.model.random_seed = flags.weights_seed;
  options.model.layers = flags.layers;
  options.encoding = flags.encoding;
  options.tensor_parallel = flags.tensor_parallel;
  options.data_parallel = flags.data_parallel;
  options.threads = flags.threads;
  auto isa = parse_isa(flags.isa);
  if (!isa) return fail(isa.error());
  options.isa = *isa;
  options.max_model_len = flags.max_model_len;
  options.block_size = flags.block_size;
  options.num_blocks = flags.num_blocks;
  if (!flags.kv_cache_memory.empty()) {
    auto bytes = parse_bytes("--kv-cache-memory", flags.kv_cache_memory);
    if (!bytes) return fail(bytes.error());
    options.kv_cache_memory = *bytes;
  }
  if (flags.max_num_seqs > 0) options.scheduler.max_num_seqs = static_cast<std::uint32_t>(flags.max_num_seqs);
  options.scheduler.max_num_batched_tokens = std::max(static_cast<std::uint32_t>(flags.max_num_batched_tokens),
                                                      options.scheduler.max_num_seqs);
  options.scheduler.max_prefill_seqs = static_cast<std::uint32_t>(flags.max_ce_batch_size);
  options.scheduler.prefix_caching = !flags.no_prefix_caching;
  if (flags.no_kv_moves) options.scheduler.transfer_blocks_per_step = 0;
  options.warn = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  if (!flags.quiet) {
    options.note = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
    options.load_progress = [bar = std::make_shared<observability::ProgressBar>("loading weights")](
                                std::size_t done, std::size_t total) mutable {
      bar->update(done, total);
      if (done >= total) bar = std::make_shared<observability::ProgressBar>("loading weights");  // wipes the line
    };
  }
  return options;
}

served::TextOptions text_options(const ModelFlags& flags) {
  return {.tokenizer_path = flags.tokenizer_path,
          .tokenizer_version = flags.tokenizer_version,
          .chat = flags.chat,
          .note = {},
          .warn = {}};
}

}  // namespace herd::commands
