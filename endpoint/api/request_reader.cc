#include "endpoint/api/request_reader.h"

#include "endpoint/openai/sampling_of.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "endpoint/api/choice_text.h"

namespace herd::api {

using openai::ApiError;
using openai::ApiExpected;
using openai::refuse;

namespace {

constexpr std::uint32_t kCompletionTokensDefault = 16;  // OpenAI's

}  // namespace

RequestReader::RequestReader(served::ServedModel model, openai::RequestLimits limits)
    : model_(std::move(model)), limits_(limits) {}

ApiError RequestReader::no_tokenizer(const char* field) const {
  return openai::bad_field(field, "this model takes no text, give prompts as token ids to /v1/completions" +
                                      (model_.no_text_reason.empty() ? "" : ": " + model_.no_text_reason));
}

std::optional<ApiError> RequestReader::check_rows(const std::vector<TokenId>& ids, const char* field) const {
  const Status status = model_.tokenizer->check_rows(ids, model_.vocab_size);
  if (status.ok()) return std::nullopt;
  return openai::bad_field(field, status.message());
}

ApiExpected<std::string> RequestReader::name_of(const std::string& asked) const {
  if (asked.empty()) return model_.names.front();
  if (std::ranges::count(model_.names, asked) > 0) return asked;
  return refuse(openai::not_found("The model `" + asked + "` does not exist.", "model_not_found"));
}

ApiExpected<GenerationRequest> RequestReader::begin(const openai::GenerationFields& fields,
                                                    openai::Endpoint endpoint) const {
  auto name = name_of(fields.model);
  if (!name) return refuse(name.error());
  GenerationRequest request;
  request.answer.endpoint = endpoint;
  request.answer.model = std::move(*name);
  request.answer.logprobs = fields.logprobs;
  request.answer.return_token_ids = fields.return_token_ids;
  request.answer.include_usage = fields.include_usage;
  request.fields = fields;
  request.sampling = openai::sampling_of(fields, model_.generation);
  if (const auto error = request.sampling.validate(model_.vocab_size))
    return refuse(openai::bad_field(error->field, error->message));
  if (auto error = set_stops(request)) return refuse(std::move(*error));
  return request;
}

std::optional<ApiError> RequestReader::set_stops(GenerationRequest& request) const {
  const std::vector<std::string>& stop = request.fields.stop;
  if (stop.empty()) return std::nullopt;
  if (!model_.tokenizer)
    return openai::bad_field("stop", "stop needs text, and this model has no tokenizer; use stop_token_ids");
  std::vector<TokenId>& ids = request.sampling.stop_token_ids;
  add_special_stops(*model_.tokenizer, stop, model_.vocab_size, ids);
  if (ids.size() > step::kStopTokensMax)
    return openai::bad_field("stop", "stop holds special tokens, which count as stop_token_ids; together they may be "
                                     "at most " + std::to_string(step::kStopTokensMax));
  return std::nullopt;
}

std::optional<ApiError> RequestReader::set_lengths(GenerationRequest& request, std::uint32_t default_tokens) const {
  request.tokens_asked = request.fields.max_tokens.value_or(default_tokens);
  for (GenerationRequest::Prompt& prompt : request.prompts)
    if (auto error = set_length(prompt, request)) return error;
  return std::nullopt;
}

std::optional<ApiError> RequestReader::set_length(GenerationRequest::Prompt& prompt, const GenerationRequest& request) const {
  const openai::GenerationFields& fields = request.fields;
  const auto prompt_tokens = static_cast<std::int64_t>(prompt.ids.size());
  const std::int64_t room = model_.max_model_len - prompt_tokens;
  const std::string context = "This model's maximum context length is " + std::to_string(model_.max_model_len) + " tokens";
  if (room < (fields.max_tokens == 0U ? 0 : 1))
    return openai::context_length_exceeded(context + ", the prompt has " + std::to_string(prompt_tokens) +
                                           "; shorten the prompt.");
  if (fields.max_tokens && *fields.max_tokens > room)
    return openai::context_length_exceeded(
        context + ". However, you requested " + std::to_string(prompt_tokens + *fields.max_tokens) + " tokens (" +
        std::to_string(prompt_tokens) + " in the prompt, " + std::to_string(*fields.max_tokens) +
        " for the completion). Please reduce the length of the prompt or max_tokens.");
  const bool all_that_is_left = !fields.max_tokens && request.tokens_asked == 0;
  prompt.max_tokens = static_cast<std::uint32_t>(all_that_is_left ? room : std::min<std::int64_t>(request.tokens_asked, room));
  if (fields.min_tokens > prompt.max_tokens)
    return openai::bad_field("min_tokens", "min_tokens must be at most max_tokens, " +
                                               std::to_string(prompt.max_tokens) + ", not " +
                                               std::to_string(fields.min_tokens));
  return std::nullopt;
}

ApiExpected<GenerationRequest> RequestReader::completion(std::string_view body) const {
  auto parsed = openai::parse_completion(body, limits_);
  if (!parsed) return refuse(parsed.error());
  auto request = begin(parsed->fields, openai::Endpoint::kCompletion);
  if (!request) return request;
  request->echo = parsed->echo;
  request->ignored_fields = std::move(parsed->ignored_fields);
  if (auto* texts = std::get_if<std::vector<std::string>>(&parsed->prompts)) {
    if (!model_.tokenizer) return refuse(no_tokenizer("prompt"));
    for (std::string& text : *texts) {
      auto ids = model_.tokenizer->encode(text, {.add_bos = parsed->add_special_tokens,
                                                 .parse_special = parsed->parse_special});
      if (ids.empty()) return refuse(openai::bad_field("prompt", "the prompt has no tokens"));
      if (auto error = check_rows(ids, "prompt")) return refuse(std::move(*error));
      request->begins_twice = request->begins_twice || model_.tokenizer->begins_twice(ids);
      request->prompts.push_back({std::move(ids), std::move(text), true, 0});
    }
  } else {
    for (auto& ids : std::get<std::vector<std::vector<TokenId>>>(parsed->prompts)) {
      std::string text =
          parsed->echo && model_.tokenizer ? model_.tokenizer->decode(ids, parsed->fields.skip_special_tokens) : "";
      request->prompts.push_back({std::move(ids), std::move(text), false, 0});
    }
  }
  if (auto error = set_lengths(*request, kCompletionTokensDefault)) return refuse(std::move(*error));
  return request;
}

ApiExpected<std::vector<TokenId>> RequestReader::render(const chat::Conversation& conversation, std::int64_t accepted) const {
  if (!model_.tokenizer) return refuse(no_tokenizer("messages"));
  if (!model_.chat_renderer)
    return refuse(openai::bad_field("messages", model_.no_chat_reason + "; /v1/completions takes prompts as they are"));
  auto ids = model_.chat_renderer->render(conversation, accepted);
  if (!ids) return refuse(openai::bad_field("messages", ids.error().message()));
  return std::move(*ids);
}

ApiExpected<GenerationRequest> RequestReader::chat(std::string_view body, std::int64_t accepted) const {
  auto parsed = openai::parse_chat(body, limits_);
  if (!parsed) return refuse(parsed.error());
  auto request = begin(parsed->fields, openai::Endpoint::kChat);
  if (!request) return request;
  auto ids = render(parsed->conversation, accepted);
  if (!ids) return refuse(ids.error());
  if (auto error = check_rows(*ids, "messages")) return refuse(std::move(*error));
  request->ignored_fields = std::move(parsed->ignored_fields);
  request->prompts.push_back({std::move(*ids), {}, false, 0});
  const auto default_tokens = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(model_.generation.max_new_tokens.value_or(0), 0, std::numeric_limits<std::uint32_t>::max()));
  if (auto error = set_lengths(*request, default_tokens)) return refuse(std::move(*error));
  return request;
}

ApiExpected<TextAnswer> RequestReader::tokenize(std::string_view body, std::int64_t accepted) const {
  auto parsed = openai::parse_tokenize(body, limits_);
  if (!parsed) return refuse(parsed.error());
  if (auto name = name_of(parsed->model); !name) return refuse(name.error());
  if (!model_.tokenizer) return refuse(no_tokenizer("prompt"));
  std::vector<TokenId> ids;
  if (parsed->conversation) {
    auto rendered = render(*parsed->conversation, accepted);
    if (!rendered) return refuse(rendered.error());
    ids = std::move(*rendered);
  } else {
    ids = model_.tokenizer->encode(parsed->prompt, {.add_bos = parsed->add_special_tokens,
                                                    .parse_special = parsed->parse_special});
  }
  const openai::TokenBytes bytes = [this](TokenId id) { return model_.tokenizer->token_bytes(id); };
  return TextAnswer{openai::tokenize_body(ids, model_.max_model_len, parsed->return_token_strs ? &bytes : nullptr),
                    std::move(parsed->ignored_fields)};
}

ApiExpected<TextAnswer> RequestReader::detokenize(std::string_view body) const {
  auto parsed = openai::parse_detokenize(body, limits_);
  if (!parsed) return refuse(parsed.error());
  if (auto name = name_of(parsed->model); !name) return refuse(name.error());
  if (!model_.tokenizer) return refuse(no_tokenizer("tokens"));
  return TextAnswer{openai::detokenize_body(model_.tokenizer->decode(parsed->tokens, false)),
                    std::move(parsed->ignored_fields)};
}

}  // namespace herd::api
