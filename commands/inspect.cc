// herd inspect: what is in a checkpoint, and what a cluster file comes to.

#include <cstdio>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "commands/cluster_report.h"
#include "commands/command_line.h"
#include "commands/standard_output.h"
#include "endpoint/served/model_text.h"
#include "endpoint/chat/chat_probes.h"

namespace herd::commands {
namespace {

struct InspectFlags {
  std::string model;
  std::string model_path;
  std::string output = "text";
  std::string chat_format = "auto";
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
  std::string chat_format = "none";                     // or its name
  std::string chat_refused;                             // why there is none
  std::string chat_sample;
  std::vector<chat::RefusedRole> chat_refused_roles;
};

// The sample conversation that inspect shows: white space around the text tells trimming formats from others.
const std::vector<chat::ChatMessage> kSample = {{"system", "Be brief."}, {"user", " Hi "}};
const std::vector<chat::ChatMessage> kSampleWithoutSystem = {{"user", " Hi "}};

std::string sample_of(const chat::ChatRenderer& chat) {
  auto text = chat.text(kSample, {});
  if (!text) text = chat.text(kSampleWithoutSystem, {});
  return text ? *text : text.error().message();
}

Expected<Summary> summarise(const std::string& path, const std::string& chat_format) {
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
  const auto chat = served::open_chat(model->description.text, tokenizer, chat_format, warn);
  if (chat) {
    summary.chat_format = std::string(chat::chat_format_name(chat->format())) + (chat->begin_of_text() ? "" : " without BOS");
    summary.chat_sample = sample_of(*chat);
    summary.chat_refused_roles = chat->refused_roles();
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
  if (summary.chat_refused.empty()) {
    print("chat format %s, as in %s\n", summary.chat_format.c_str(), chat::shown(summary.chat_sample, 400).c_str());
  } else {
    print("no chat: %s\n", summary.chat_refused.c_str());
  }
  for (const chat::RefusedRole& refused : summary.chat_refused_roles)
    print("  role %s: %s\n", refused.role.c_str(), refused.reason.c_str());
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
  boost::json::object roles;
  for (const chat::RefusedRole& refused : summary.chat_refused_roles) roles[refused.role] = refused.reason;
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
                                {"chat_sample", optional_text(summary.chat_sample)},
                                {"chat_refused_roles", std::move(roles)},
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
  if (Status status = check_chat_format(flags.chat_format); !status.ok()) return fail(std::move(status));
  if (!flags.model.empty() && !flags.model_path.empty() && flags.model != flags.model_path)
    return fail(usage_error("the positional model and --model-path name two models"));
  const std::string& path = flags.model_path.empty() ? flags.model : flags.model_path;
  return path.empty() ? demo_model_path() : path;
}

Status inspect_model(const std::string& path, const InspectFlags& flags) {
  auto summary = summarise(path, flags.chat_format);
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
  add_chat_format(*command, flags->chat_format);
  command->add_flag("--tensors", flags->tensors, "List every tensor");
  command->add_option("--output", flags->output, "text or json");
  command->callback([flags, exit_code] { *exit_code = inspect(*flags); });
}

}  // namespace herd::commands
