// herd score: one forward pass over given tokens, logits and hidden states out.

#include <algorithm>
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "actors/client/delta_queue.h"
#include "commands/command_line.h"
#include "commands/npy_file.h"
#include "commands/score_json.h"
#include "commands/standard_output.h"
#include "commands/started_model.h"

namespace herd::commands {
namespace {

using step::OutputSelector;

constexpr std::int64_t kOutputBytesPerStep = std::int64_t{8} << 20;  // of one step result: messages stay small

struct ScoreFlags {
  ModelFlags model;
  std::string prompt_token_ids;
  std::string return_logits = "last_token";
  std::int64_t return_n_logits = 1;
  std::string return_hidden_states = "none";
  std::string hidden_states_output;
  std::string output = "json";
};

// Rows of one selector, gathered over the chunks of a prompt.
struct Collected {
  std::int64_t layers = 0;
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::vector<std::vector<float>> by_layer;

  void add(const step::OutputRows& part) {
    layers = part.layers;
    width = part.width;
    rows += part.rows;
    by_layer.resize(part.layers);
    const auto size = static_cast<std::ptrdiff_t>(std::size_t{part.rows} * part.width);
    for (std::uint32_t layer = 0; layer < part.layers; ++layer)
      by_layer[layer].insert(by_layer[layer].end(), part.values.begin() + layer * size,
                             part.values.begin() + (layer + 1) * size);
  }
  [[nodiscard]] std::vector<float> flat() const {
    std::vector<float> all;
    for (const auto& layer : by_layer) all.insert(all.end(), layer.begin(), layer.end());
    return all;
  }
};

Expected<Collected> run(actors::Engine& engine, const std::vector<TokenId>& ids, OutputSelector selector,
                        std::uint64_t id) {
  step::Submission submission;
  submission.tokens = ids;
  submission.prompt_tokens = static_cast<std::uint32_t>(ids.size());
  submission.max_tokens = 0;
  submission.output = selector;
  actors::DeltaQueue queue(engine.cluster().client(), std::size_t{1} << 16);
  queue.submit(RequestId{id}, std::move(submission));
  Collected collected;
  for (;;) {
    const auto heard = queue.next(std::chrono::milliseconds(1000));
    if (!heard) continue;
    if (const step::TokenDelta* delta = heard->delta()) {
      for (const step::OutputRows& part : delta->outputs) collected.add(part);
      continue;
    }
    const gateway::RequestEnd& end = *heard->end();
    if (end.kind == gateway::RequestEnd::Kind::kFinished) return collected;
    return fail(end.why.ok() ? Status{StatusCode::kInternal, "scoring was aborted"} : end.why);
  }
}

Expected<OutputSelector> hidden_selector(const std::string& name) {
  if (name == "last" || name == "last_per_device") return OutputSelector::kHiddenLast;
  if (name == "all") return OutputSelector::kHiddenAll;
  if (name == "all_normalized") return OutputSelector::kHiddenAllNormalized;
  if (name == "all_layers") return OutputSelector::kHiddenAllLayers;
  if (name == "none") return OutputSelector::kNone;
  return fail(usage_error("--return-hidden-states must be none, last, last_per_device, all, all_normalized or "
                          "all_layers, not " + name));
}

Status check(const ScoreFlags& flags) {
  if (flags.return_logits != "last_token" && flags.return_logits != "all" && flags.return_logits != "variable")
    return usage_error("--return-logits must be last_token, all or variable, not " + flags.return_logits);
  if (flags.return_n_logits < 1) return usage_error("--return-n-logits must be at least 1");
  if (flags.output != "json" && (!flags.output.starts_with("npy:") || flags.output == "npy:"))
    return usage_error("--output must be json or npy:FILE, not " + flags.output);
  if (flags.return_hidden_states != "none" && flags.hidden_states_output.empty())
    return usage_error("--return-hidden-states needs --hidden-states-output FILE.npy");
  return {};
}

Status write_hidden(const ScoreFlags& flags, const Collected& hidden) {
  std::vector<std::int64_t> shape{hidden.rows, hidden.width};
  if (flags.return_hidden_states == "all_layers") shape.insert(shape.begin(), hidden.layers);
  return write_npy(flags.hidden_states_output, shape, hidden.flat());
}

Status score(const ScoreFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  auto ids = parse_token_ids(flags.prompt_token_ids);
  if (!ids) return ids.error();
  auto selector = hidden_selector(flags.return_hidden_states);
  if (!selector) return selector.error();
  auto options = engine_options(flags.model);
  if (!options) return options.error();
  const auto description = model::open_config_only(options->model.path);
  // Rows of a step bounded so that what it hands back stays small (a GGUF has no config.json: the widest case).
  const std::int64_t widest = description ? std::max<std::int64_t>(description->config.vocab_size,
                                                                   std::int64_t{description->config.hidden_size} *
                                                                       (description->config.layers + 1))
                                          : 262'144;
  const std::int64_t rows = std::clamp<std::int64_t>(kOutputBytesPerStep / (4 * widest), 1, 512);
  options->scheduler.max_num_seqs = static_cast<std::uint32_t>(std::min<std::int64_t>(rows, 8));
  options->scheduler.max_num_batched_tokens = static_cast<std::uint32_t>(rows);
  auto model = start_model(std::move(*options), text_options(flags.model));
  if (!model) return model.error();
  actors::Engine& engine = *model->engine;
  for (const TokenId id : *ids)
    if (id < 0 || id >= engine.config().vocab_size)
      return usage_error("--prompt-token-ids: " + std::to_string(id) + " is outside the vocabulary, [0, " +
                         std::to_string(engine.config().vocab_size) + ")");
  if (static_cast<std::int64_t>(ids->size()) > engine.facts().max_model_len)
    return usage_error("the prompt has " + std::to_string(ids->size()) + " tokens, the longest sequence is " +
                       std::to_string(engine.facts().max_model_len));

  if (*selector != OutputSelector::kNone) {
    auto hidden = run(engine, *ids, *selector, 1);
    if (!hidden) return hidden.error();
    if (Status status = write_hidden(flags, *hidden); !status.ok()) return status;
  }
  auto logits = run(engine, *ids,
                    flags.return_logits == "last_token" ? OutputSelector::kLogitsLast : OutputSelector::kLogitsAll, 2);
  if (!logits) return logits.error();
  std::vector<float> values = logits->flat();
  std::int64_t kept = logits->rows;
  if (flags.return_logits == "variable") kept = std::min(kept, flags.return_n_logits);
  if (flags.return_logits == "last_token") kept = 1;
  values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(kept * logits->width));
  if (flags.output.starts_with("npy:")) return write_npy(flags.output.substr(4), {kept, logits->width}, values);
  print_bytes(score_json(*ids, kept, logits->width, values) + "\n");
  return {};
}

}  // namespace

void add_score(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ScoreFlags>();
  CLI::App* command = app.add_subcommand("score", "One forward pass over given tokens: logits, hidden states");
  add_model_flags(*command, flags->model);
  command->add_option("--prompt-token-ids", flags->prompt_token_ids, "1,2,3")->required();
  command->add_option("--return-logits", flags->return_logits, "last_token, all, or variable (the last N rows)");
  command->add_option("--return-n-logits", flags->return_n_logits, "N of --return-logits variable");
  command->add_option("--return-hidden-states", flags->return_hidden_states,
                      "none, last, last_per_device, all (before the final norm), all_normalized, or all_layers: "
                      "[layers + 1, positions, hidden], embedding first, last entry after the final norm");
  command->add_option("--hidden-states-output", flags->hidden_states_output, "FILE.npy, float32");
  command->add_option("--output", flags->output, "json, or npy:FILE (float32 [positions, vocab])");
  command->callback([flags, exit_code] { *exit_code = report(score(*flags)); });
}

}  // namespace herd::commands
