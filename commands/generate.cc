// herd generate: text completion without a server. Prompts in, tokens out, through the same gateway, coordinator,
// scheduler and ranks as everything else.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>

#include <CLI/CLI.hpp>

#include "actors/client/delta_queue.h"
#include "commands/command_line.h"
#include "commands/completion_json.h"
#include "commands/prompt_file.h"
#include "commands/standard_output.h"
#include "commands/started_model.h"
#include "commands/wall_clock.h"
#include "endpoint/api/choice_text.h"
#include "endpoint/openai/sampling_of.h"

namespace herd::commands {
namespace {

using Clock = std::chrono::steady_clock;
using step::FinishReason;

struct GenerateFlags {
  ModelFlags model;
  std::vector<std::string> prompts;
  std::vector<std::string> prompt_files;
  std::vector<std::string> prompt_token_ids;
  std::string input_prompts;
  std::string system;
  bool instruct = false;
  std::int64_t max_length = 0;
  std::int64_t max_new_tokens = -1;
  openai::GenerationFields fields;  // of the model's text: sampling, stopping
  std::vector<std::string> logit_bias;
  int repeat_batches = 1;
  std::string output = "text";
};

// Far below what the gateway and the scheduler's queue take: a long list of prompts waits here, nothing is refused.
constexpr std::size_t kOpenSequencesMax = 512;
constexpr std::size_t kOpenTokensMax = std::size_t{1} << 19;

// One sequence on its way.
struct Running {
  Completion completion;
  std::string shown_prompt;
  std::uint32_t max_tokens = 0;
  std::optional<api::ChoiceText> text;
  Clock::time_point first_token, last_token;
  Status error;
};

std::optional<std::pair<TokenId, float>> parse_bias(const std::string& entry) {
  std::pair<TokenId, float> pair;
  const char* const end = entry.data() + entry.size();
  const auto id = std::from_chars(entry.data(), end, pair.first);
  if (id.ec != std::errc{} || id.ptr == end || *id.ptr != ':') return std::nullopt;
  const auto bias = std::from_chars(id.ptr + 1, end, pair.second);
  if (bias.ec != std::errc{} || bias.ptr != end) return std::nullopt;
  return pair;
}

Expected<step::SamplingParams> sampling_params(const GenerateFlags& flags, const served::ServedText& served) {
  openai::GenerationFields fields = flags.fields;
  const auto& tokenizer = served.tokenizer;
  if (!fields.stop.empty() && !tokenizer)
    return fail(usage_error("--stop needs text, and this checkpoint has no tokenizer; give --stop-token-ids"));
  for (const std::string& entry : flags.logit_bias) {
    const auto pair = parse_bias(entry);
    if (!pair) return fail(usage_error("--logit-bias must be ID:BIAS, not " + entry));
    fields.logit_bias.push_back(*pair);
  }
  model::GenerationConfig defaults;  // greedy, unless a flag asks for a draw
  if (!fields.temperature && !fields.top_p && !fields.min_p) defaults.top_k = 1;
  if (fields.top_k.value_or(defaults.top_k.value_or(0)) == 1) defaults.temperature = 0.0;
  step::SamplingParams params = openai::sampling_of(fields, defaults);
  if (tokenizer) api::add_special_stops(*tokenizer, fields.stop, served.config.vocab_size, params.stop_token_ids);
  if (const auto error = params.validate(served.config.vocab_size)) return fail(usage_error(error->message));
  return params;
}

Expected<std::vector<TokenId>> encode_prompt(const GenerateFlags& flags, const served::ServedText& served,
                                             const std::string& text) {
  if (!served.tokenizer) return fail(served.no_text);
  if (!flags.instruct) return served.tokenizer->encode(text, {.add_bos = true, .parse_special = true});
  if (!served.chat) return fail(served.chat.error());
  chat::Conversation conversation;
  if (!flags.system.empty()) conversation.messages.push_back({"system", flags.system});
  conversation.messages.push_back({"user", text});
  return served.chat->render(conversation, unix_time());
}

// Every text of the command line, of files and of pipes. Read once, before a model is loaded for them.
Expected<std::vector<std::string>> gather_texts(const GenerateFlags& flags) {
  std::vector<std::string> texts;
  for (const std::string& text : flags.prompts) {
    if (text != "-") {
      texts.push_back(text);
      continue;
    }
    auto piped = commands::read_prompt_text("-");
    if (!piped) return fail(piped.error());
    texts.push_back(std::move(*piped));
  }
  for (const std::string& path : flags.prompt_files) {
    auto text = commands::read_prompt_text(path);
    if (!text) return fail(text.error());
    texts.push_back(std::move(*text));
  }
  if (!flags.input_prompts.empty()) {
    auto entries = commands::read_prompt_file(flags.input_prompts);
    if (!entries) return fail(entries.error());
    for (const commands::PromptEntry& entry : *entries) texts.push_back(commands::compose_prompt(entry, flags.instruct));
  }
  if (texts.empty() && flags.prompt_token_ids.empty()) texts.emplace_back("I believe the meaning of life is");
  return texts;
}

Expected<std::uint32_t> token_limit(const GenerateFlags& flags, std::int64_t max_model_len, std::size_t prompt) {
  const std::int64_t longest = flags.max_length > 0 ? std::min(flags.max_length, max_model_len) : max_model_len;
  const auto room = longest - static_cast<std::int64_t>(prompt);
  if (room < 1)
    return fail(usage_error("the prompt has " + std::to_string(prompt) + " tokens and leaves no room in " +
                            std::to_string(longest) + " (--max-length, --max-model-len)"));
  return static_cast<std::uint32_t>(flags.max_new_tokens >= 0 ? std::min(flags.max_new_tokens, room) : room);
}

std::string join_ids(const std::vector<TokenId>& ids) {
  std::string text;
  for (const TokenId id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

// Every prompt as token ids, each judged before anything of any of them is shown.
Expected<std::vector<Running>> judge_prompts(const GenerateFlags& flags, const StartedModel& model,
                                             const std::vector<std::string>& texts) {
  const auto& tokenizer = model.text.tokenizer;
  const int vocab_size = model.text.config.vocab_size;
  std::vector<Running> all;
  std::size_t begun_twice = 0;
  const auto add = [&](std::vector<TokenId> ids, std::string shown) -> Status {
    auto limit = token_limit(flags, model.engine->facts().max_model_len, ids.size());
    if (!limit) return limit.error();
    Running running;
    running.completion.prompt_token_ids = std::move(ids);
    running.shown_prompt = std::move(shown);
    running.max_tokens = *limit;
    all.push_back(std::move(running));
    return {};
  };
  for (const std::string& text : texts) {
    auto ids = encode_prompt(flags, model.text, text);
    if (!ids) return fail(ids.error());
    if (Status status = tokenizer->check_rows(*ids, vocab_size); !status.ok()) return fail(std::move(status));
    if (!flags.instruct && tokenizer->begins_twice(*ids) && ++begun_twice == 1)
      std::fprintf(stderr, "warning: the prompt begins with %s, and the tokenizer puts one before it: there are two\n",
                   std::string(tokenizer->token_bytes(ids->front())).c_str());
    if (Status status = add(std::move(*ids), text); !status.ok()) return fail(std::move(status));
  }
  if (begun_twice > 1) std::fprintf(stderr, "warning: so do %zu more prompts\n", begun_twice - 1);
  for (const std::string& text : flags.prompt_token_ids) {
    auto ids = parse_token_ids(text);
    if (!ids) return fail(ids.error());
    for (const TokenId id : *ids)
      if (id < 0 || id >= vocab_size)
        return fail(usage_error("--prompt-token-ids: " + std::to_string(id) + " is outside the vocabulary, [0, " +
                                std::to_string(vocab_size) + ")"));
    std::string shown = tokenizer ? tokenizer->decode(*ids, true) : join_ids(*ids);
    if (Status status = add(std::move(*ids), std::move(shown)); !status.ok()) return fail(std::move(status));
  }
  return all;
}

// Prints the pieces of a single prompt as they come.
Status show(const std::string& piece) {
  print_bytes(piece);
  return flush_output();
}

class Generation {
 public:
  Generation(const GenerateFlags& flags, const StartedModel& model, std::vector<Running>& all)
      : flags_(flags), text_(model.text), engine_(*model.engine), all_(all), streams_(flags.output == "text" && all.size() == 1) {}

  Status run(const step::SamplingParams& params, std::uint64_t first_id) {
    // A sequence may have every token waiting: the caller's memory, bounded by its own prompts and limits.
    actors::ClusterClient& client = engine_.cluster().client();
    actors::DeltaQueue queue(client, std::size_t{1} << 20);
    const Clock::time_point begin = Clock::now();
    std::size_t submitted = 0;
    std::size_t open = 0;
    std::size_t open_tokens = 0;
    while (submitted < all_.size() || open > 0) {
      while (submitted < all_.size() &&
             (open == 0 || (open < kOpenSequencesMax && open_tokens + prompt_size(submitted) <= kOpenTokensMax))) {
        queue.submit(RequestId{first_id + submitted}, make_submission(all_[submitted], params));
        open_tokens += prompt_size(submitted++);
        ++open;
      }
      const auto heard = queue.next(std::chrono::milliseconds(1000));
      if (!heard) continue;
      const std::size_t index = heard->request.value - first_id;
      if (const step::TokenDelta* delta = heard->delta()) {
        if (Status status = take(all_[index], *delta); !status.ok()) return status;
        if (all_[index].text->ended_by_stop_string() && delta->finish == FinishReason::kNone)
          client.stop_choice(heard->request, 0);
        continue;
      }
      finish(all_[index], *heard->end(), begin);
      open_tokens -= prompt_size(index);
      --open;
    }
    return {};
  }

 private:
  step::Submission make_submission(Running& running, const step::SamplingParams& params) {
    const auto& tokenizer = text_.tokenizer;
    running.text.emplace(tokenizer ? &*tokenizer : nullptr,
                         api::ChoiceTextOptions{.stop = flags_.fields.stop, .min_tokens = params.min_tokens});
    step::Submission submission;
    submission.tokens = running.completion.prompt_token_ids;
    submission.prompt_tokens = static_cast<std::uint32_t>(submission.tokens.size());
    submission.max_tokens = running.max_tokens;
    submission.sampling = params;
    submission.eos_ids = text_.eos_ids;
    return submission;
  }

  [[nodiscard]] std::size_t prompt_size(std::size_t index) const { return all_[index].completion.prompt_token_ids.size(); }

  // Not ok when what was generated cannot be shown: nobody reads the rest.
  Status take(Running& running, const step::TokenDelta& delta) {
    if (running.text->finish() != FinishReason::kNone) return {};  // a stop string came before
    Completion& completion = running.completion;
    if (delta.has_token) {
      running.last_token = Clock::now();
      if (completion.token_ids.empty()) running.first_token = running.last_token;
      completion.token_ids.push_back(delta.token.token);
      if (flags_.fields.logprobs >= 0) completion.logprobs.push_back(delta.token);
    }
    completion.cached_tokens = delta.cached_tokens;
    const std::string piece = running.text->take(delta);
    completion.text += piece;
    if (!streams_) return {};
    if (text_.tokenizer) return show(piece);
    return delta.has_token ? show("," + std::to_string(delta.token.token)) : Status();
  }

  void finish(Running& running, const gateway::RequestEnd& end, Clock::time_point begin) {
    Completion& completion = running.completion;
    completion.finish_reason = step::finish_reason_name(running.text->finish());
    if (end.kind != gateway::RequestEnd::Kind::kFinished) {
      running.error = end.why.ok() ? Status{StatusCode::kInternal, "the sequence was aborted"} : end.why;
      const bool refused = completion.token_ids.empty() && end.why.code() == StatusCode::kBadInput;
      completion.finish_reason = step::finish_reason_name(refused ? FinishReason::kRefused : FinishReason::kFailed);
    }
    if (completion.token_ids.empty()) return;
    const double ttft = std::chrono::duration<double>(running.first_token - begin).count();
    const double decode = std::chrono::duration<double>(running.last_token - running.first_token).count();
    const auto later = static_cast<double>(completion.token_ids.size() - 1);
    completion.ttft_s = ttft;
    completion.prefill_tokens_per_s = static_cast<double>(completion.prompt_token_ids.size()) / ttft;
    if (later > 0 && decode > 0) {
      completion.tpot_s = decode / later;
      completion.decode_tokens_per_s = later / decode;
    }
  }

  const GenerateFlags& flags_;
  const served::ServedText& text_;
  actors::Engine& engine_;
  std::vector<Running>& all_;
  const bool streams_;
};

// Without a tokenizer, ids stand for the text.
void print_texts(const std::vector<Running>& all, bool instruct, bool has_text) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Completion& completion = all[i].completion;
    const std::string border = instruct ? "\n--- answer\n" : has_text ? "" : ",";
    print_bytes("=== prompt " + std::to_string(i + 1) + "\n" + all[i].shown_prompt + border +
                (has_text ? completion.text : join_ids(completion.token_ids)) + "\n");
  }
}

void print_timing(const std::vector<Running>& all) {
  std::size_t tokens = 0;
  for (const Running& running : all) tokens += running.completion.token_ids.size();
  const Completion& first = all.front().completion;
  if (all.size() == 1) {
    std::fprintf(stderr, "prompt %zu tokens, first token after %.1f ms; %zu tokens, %.2f ms each (%.1f tokens/s)\n",
                 first.prompt_token_ids.size(), first.ttft_s * 1e3, tokens, first.tpot_s * 1e3,
                 first.decode_tokens_per_s);
  } else {
    std::fprintf(stderr, "%zu prompts, %zu tokens\n", all.size(), tokens);
  }
}

Status generate(const GenerateFlags& flags) {
  if (flags.output != "text" && flags.output != "json")
    return usage_error("--output must be text or json, not " + flags.output);
  if (flags.repeat_batches < 1) return usage_error("--repeat-batches must be at least 1");
  if (flags.max_new_tokens < -1 || flags.max_new_tokens == 0)
    return usage_error("--max-new-tokens must be -1 (to the end of the context) or at least 1");
  if (flags.max_length < 0) return usage_error("--max-length must be at least 1");
  auto options = engine_options(flags.model);
  if (!options) return options.error();
  const auto texts = gather_texts(flags);
  if (!texts) return texts.error();
  auto model = start_model(std::move(*options), text_options(flags.model));
  if (!model) return model.error();
  auto params = sampling_params(flags, model->text);
  if (!params) return params.error();
  params->seed = flags.fields.seed ? *flags.fields.seed : std::random_device{}();
  if (!params->greedy() && !flags.fields.seed && !flags.model.quiet)
    std::fprintf(stderr, "seed: %llu\n", static_cast<unsigned long long>(params->seed));
  auto judged = judge_prompts(flags, *model, *texts);
  if (!judged) return judged.error();

  for (int batch = 0; batch < flags.repeat_batches; ++batch) {
    std::vector<Running> all;
    for (const Running& prompt : *judged) {
      Running& running = all.emplace_back();
      running.completion.prompt_token_ids = prompt.completion.prompt_token_ids;
      running.shown_prompt = prompt.shown_prompt;
      running.max_tokens = prompt.max_tokens;
    }
    const bool text = flags.output == "text";
    Status status;
    if (text && all.size() == 1 && !flags.instruct) status = show(all.front().shown_prompt);
    if (!status.ok()) return status;
    Generation generation(flags, *model, all);
    status = generation.run(*params, static_cast<std::uint64_t>(batch) * all.size() + 1);
    if (!status.ok()) return status;
    if (!text) {
      for (const Running& running : all) print_bytes(to_json_line(running.completion) + "\n");
    } else if (all.size() == 1) {
      print_bytes("\n");
    } else {
      print_texts(all, flags.instruct, model->text.tokenizer.has_value());
    }
    if (status = flush_output(); !status.ok()) return status;
    if (!flags.model.quiet) print_timing(all);
    for (const Running& running : all)
      if (!running.error.ok()) return running.error;
  }
  return {};
}

}  // namespace

void add_generate(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Complete text, without a server");
  add_model_flags(*command, flags->model);
  const std::string prompt = "Prompt";
  command->add_option("--prompt", flags->prompts, "Text to complete, or - for standard input, as --prompt-file has it (repeatable)")
      ->group(prompt)->take_all()->allow_extra_args(false);
  command->add_option("--prompt-file", flags->prompt_files,
                      "File or pipe that holds a prompt, - for standard input (repeatable); one line break at its end "
                      "is not part of it")
      ->group(prompt)->take_all()->allow_extra_args(false);
  command->add_option("--prompt-token-ids", flags->prompt_token_ids, "1,2,3 (repeatable)")->group(prompt)->take_all();
  command->add_option("--input-prompts", flags->input_prompts,
                      "JSON file or pipe of prompt, context, max_length; - for standard input")
      ->group(prompt);
  command
      ->add_flag("--instruct", flags->instruct, "Texts are messages of a user: the checkpoint's chat template makes the prompts")
      ->group(prompt);
  command->add_option("--system", flags->system, "System message of --instruct")->group(prompt);
  command->add_option("--date", flags->model.chat.date, "The same as --chat-date")->group(prompt);
  const std::string limits = "Length";
  command->add_option("--max-length", flags->max_length, "Prompt + output tokens at most")->group(limits);
  command->add_option("--max-new-tokens", flags->max_new_tokens, "-1: to the end of the context")->group(limits);
  command->add_flag("--ignore-eos,!--stop-at-eos", flags->fields.ignore_eos, "End-of-sequence ids are ordinary tokens")
      ->group(limits);
  command->add_option("--min-tokens", flags->fields.min_tokens, "No end id, stop id or stop string before so many tokens")
      ->group(limits);
  command->add_option("--stop", flags->fields.stop, "Stop string, also a special token such as <|im_end|> (repeatable)")
      ->group(limits)->take_all()->allow_extra_args(false);
  command->add_option("--stop-token-ids", flags->fields.stop_token_ids, "Ids that end a sequence")->delimiter(',')->group(limits);
  const std::string sampling = "Sampling (default: greedy)";
  command->add_option("--temperature", flags->fields.temperature, "0: greedy")->group(sampling);
  command->add_option("--top-k", flags->fields.top_k, "Default 1, unless temperature, top-p or min-p is given; 0: all")
      ->group(sampling);
  command->add_option("--top-p", flags->fields.top_p, "Smallest set of this probability")->group(sampling);
  command->add_option("--min-p", flags->fields.min_p, "At least this share of the best token's probability")->group(sampling);
  command->add_option("--seed", flags->fields.seed, "The same seed gives the same tokens (default: drawn, and said)")
      ->group(sampling);
  command->add_option("--repetition-penalty", flags->fields.repetition_penalty, "1: none")->group(sampling);
  command->add_option("--presence-penalty", flags->fields.presence_penalty, "0: none")->group(sampling);
  command->add_option("--frequency-penalty", flags->fields.frequency_penalty, "0: none")->group(sampling);
  command->add_option("--logit-bias", flags->logit_bias, "ID:BIAS (repeatable)")->group(sampling)->take_all();
  const std::string output = "Output";
  command->add_option("--logprobs", flags->fields.logprobs, "Log-probabilities of the token and the N most likely (json)")
      ->group(output);
  command->add_option("--output", flags->output, "text, or json: one object a line and prompt")->group(output);
  command->add_option("--repeat-batches", flags->repeat_batches, "Run the whole batch so many times")->group(output);
  command->callback([flags, exit_code] { *exit_code = report(generate(*flags)); });
}

}  // namespace herd::commands
