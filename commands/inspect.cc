// herd inspect: what is in a checkpoint, and what a cluster file comes to.

#include <cstdio>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "commands/chat_samples.h"
#include "commands/cluster_report.h"
#include "commands/command_line.h"
#include "commands/standard_output.h"
#include "commands/wall_clock.h"
#include "endpoint/chat/shown_text.h"
#include "endpoint/served/model_text.h"

namespace herd::commands {
namespace {

struct InspectFlags {
  std::string model;
  std::string model_path;
  std::string output = "text";
  served::ChatSettings chat;
  bool tensors = false;
};

// What both outputs show.
struct Summary {
  model::LlamaConfig config;
  std::string encoding;
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::pair<int, std::uint64_t>> encodings;  // tensors, bytes
  std::vector<model::TensorInfo> tensors;
  std::string tokenizer;
  std::string chat_format = "none";  // "template": the checkpoint's or a file's; or a built-in format's name
  std::string chat_refused;          // why there is none
  std::vector<ChatSample> chat_samples;
};

Expected<Summary> summarise(const std::string& path, const served::ChatSettings& chat_settings) {
  model::ModelFiles files;
  files.path = path;
  const auto model = model::open_model(files);
  if (!model) return fail(model.error());
  for (const std::string& warning : model->warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  for (const std::string& warning : model->description.generation.warnings)
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  Summary summary;
  summary.config = model->config();
  summary.encoding = model->own_encoding();
  summary.tensors = model->checkpoint->tensors();
  for (const model::TensorInfo& tensor : summary.tensors) {
    auto& [count, bytes] = summary.encodings[tensor.encoding];
    ++count;
    bytes += tensor.bytes;
    summary.bytes += tensor.bytes;
    if (tensor.used) summary.parameters += tensor.rows * tensor.cols;
  }
  auto opened = served::open_tokenizer(*model, {});
  if (!opened) return fail(opened.error());
  const auto& tokenizer = opened->tokenizer;
  summary.tokenizer = tokenizer ? std::to_string(tokenizer->vocab_size()) + " tokens" : "none";
  if (!opened->refused.ok()) summary.tokenizer = "not usable: " + opened->refused.message();
  const auto warn = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  const auto chat = served::open_chat(model->description.text, tokenizer, chat_settings, warn);
  if (!chat && !chat_settings.template_path.empty()) return fail(chat.error());
  if (chat) {
    summary.chat_format = chat->format().empty() ? "template" : chat->format();
    summary.chat_samples = chat_samples(*chat, unix_time());
  } else {
    summary.chat_refused = chat.error().message();
  }
  return summary;
}

void print_text(const Summary& summary, bool tensors) {
  const model::LlamaConfig& config = summary.config;
  print("layers %d, hidden %d, heads %d (%d KV) of %d, MLP %d, vocabulary %d, %s embeddings\n", config.layers,
              config.hidden_size, config.heads, config.kv_heads, config.head_dim, config.intermediate_size,
              config.vocab_size, config.tie_word_embeddings ? "tied" : "untied");
  print("positions %d, rope theta %g%s, norm eps %g\n", config.max_position_embeddings, config.rope.theta,
              config.rope.type == model::RopeType::kLlama3 || !config.rope.frequency_divisors.empty() ? " (scaled)" : "",
              static_cast<double>(config.rms_norm_eps));
  print("parameters %lld, %.3f GB, encoding %s\n", static_cast<long long>(summary.parameters),
              static_cast<double>(summary.bytes) / 1e9, summary.encoding.c_str());
  for (const auto& [encoding, total] : summary.encodings)
    print("  %-10s %5d tensors %10.3f MB\n", encoding.c_str(), total.first, static_cast<double>(total.second) / 1e6);
  print("tokenizer %s\n", summary.tokenizer.c_str());
  if (!summary.chat_refused.empty()) print("no chat: %s\n", summary.chat_refused.c_str());
  else if (summary.chat_format == "template") print("chat template\n");
  else print("chat format %s, built in\n", summary.chat_format.c_str());
  for (const ChatSample& sample : summary.chat_samples) {
    const std::string said = sample.refused.empty() ? chat::shown(sample.prompt, 2000) : "refused: " + sample.refused;
    print("  %s: %s\n", sample.conversation, said.c_str());
  }
  if (!tensors) return;
  for (const model::TensorInfo& tensor : summary.tensors)
    print("%s %s %s%s\n", tensor.name.c_str(), tensor.shape.c_str(), tensor.encoding.c_str(),
                tensor.used ? "" : " (not used)");
}

void print_json(const Summary& summary) {
  const model::LlamaConfig& config = summary.config;
  boost::json::array tensors;
  for (const model::TensorInfo& tensor : summary.tensors)
    tensors.push_back(boost::json::object{{"name", tensor.name}, {"shape", tensor.shape}, {"encoding", tensor.encoding},
                                          {"bytes", tensor.bytes}, {"file", tensor.file}, {"used", tensor.used}});
  const auto optional_text = [](const std::string& text) { return text.empty() ? boost::json::value() : boost::json::value(text); };
  boost::json::array samples;
  for (const ChatSample& sample : summary.chat_samples)
    samples.push_back(boost::json::object{{"conversation", sample.conversation},
                                          {"prompt", sample.refused.empty() ? boost::json::value(sample.prompt) : boost::json::value()},
                                          {"refused", optional_text(sample.refused)}});
  const boost::json::object all{{"layers", config.layers},
                                {"hidden_size", config.hidden_size},
                                {"heads", config.heads},
                                {"kv_heads", config.kv_heads},
                                {"head_dim", config.head_dim},
                                {"intermediate_size", config.intermediate_size},
                                {"vocab_size", config.vocab_size},
                                {"tie_word_embeddings", config.tie_word_embeddings},
                                {"max_position_embeddings", config.max_position_embeddings},
                                {"rope_theta", config.rope.theta},
                                {"parameters", summary.parameters},
                                {"bytes", summary.bytes},
                                {"encoding", summary.encoding},
                                {"tokenizer", summary.tokenizer},
                                {"chat_format", summary.chat_format},
                                {"chat_refused", optional_text(summary.chat_refused)},
                                {"chat_samples", std::move(samples)},
                                {"tensors", std::move(tensors)}};
  print_bytes(boost::json::serialize(all) + "\n");
}

// The exit code: problems of a cluster file are lines of their own, as `herd check` tells them.
int inspect_cluster(const std::string& path, const InspectFlags& flags) {
  const auto cluster = report_cluster(path);
  if (!cluster) return report(cluster.error());
  if (!cluster->parsed.problems.empty()) {
    std::fputs(problems_text(*cluster).c_str(), stderr);
    return exit_code(bad_input(""));
  }
  print_bytes(flags.output == "json" ? report_json(*cluster) : report_text(*cluster));
  return 0;
}

// What is to be inspected: a model, or a cluster file.
Expected<std::string> inspected_path(const InspectFlags& flags) {
  if (flags.output != "text" && flags.output != "json")
    return fail(usage_error("--output must be text or json, not " + flags.output));
  if (Status status = check_chat_flags(flags.chat); !status.ok()) return fail(std::move(status));
  if (!flags.model.empty() && !flags.model_path.empty() && flags.model != flags.model_path)
    return fail(usage_error("the positional model and --model-path name two models"));
  const std::string& path = flags.model_path.empty() ? flags.model : flags.model_path;
  return path.empty() ? demo_model_path() : path;
}

Status inspect_model(const std::string& path, const InspectFlags& flags) {
  auto summary = summarise(path, flags.chat);
  if (!summary) return summary.error();
  if (flags.output == "json") print_json(*summary);
  else print_text(*summary, flags.tensors);
  return {};
}

int inspect(const InspectFlags& flags) {
  const auto path = inspected_path(flags);
  if (!path) return report(path.error());
  return is_cluster_file(*path) ? inspect_cluster(*path, flags) : report(inspect_model(*path, flags));
}

}  // namespace

void add_inspect(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "What is in a checkpoint, or where a cluster file places what");
  command->add_option("model", flags->model,
                      "Hugging Face directory, .gguf file, or a cluster file (.yaml) (default: the demo model)");
  command->add_option("--model-path", flags->model_path, "The same");
  add_chat_flags(*command, flags->chat);
  command->add_flag("--tensors", flags->tensors, "List every tensor");
  command->add_option("--output", flags->output, "text or json");
  command->callback([flags, exit_code] { *exit_code = inspect(*flags); });
}

}  // namespace herd::commands
