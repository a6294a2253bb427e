#pragma once
// RequestReader: bodies of the API -> what the model shall do: fields parsed, defaults filled in (the request's value, then
// generation_config.json, then OpenAI's), prompts tokenized, lengths checked. Immutable; any thread (TextPool). No clock and
// no random numbers: seed, ids and times are the gateway's. `accepted`: Unix seconds, which a chat template may ask for.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/api/generation_request.h"
#include "endpoint/openai/openai_request.h"
#include "endpoint/served/served_model.h"
#include "endpoint/chat/chat_renderer.h"

namespace herd::api {

// The body of an answer that needs no model.
struct TextAnswer {
  std::string body;
  std::vector<std::string> ignored_fields;
};

class RequestReader {
 public:
  RequestReader(served::ServedModel model, openai::RequestLimits limits);

  [[nodiscard]] const served::ServedModel& model() const { return model_; }

  // answer.endpoint, .model, .logprobs, fields, sampling, prompts, echo, ignored_fields are filled in.
  [[nodiscard]] openai::ApiExpected<GenerationRequest> completion(std::string_view body) const;
  [[nodiscard]] openai::ApiExpected<GenerationRequest> chat(std::string_view body, std::int64_t accepted) const;
  [[nodiscard]] openai::ApiExpected<TextAnswer> tokenize(std::string_view body, std::int64_t accepted) const;
  [[nodiscard]] openai::ApiExpected<TextAnswer> detokenize(std::string_view body) const;

 private:
  [[nodiscard]] openai::ApiError no_tokenizer(const char* field) const;
  // Refuses ids of a text that the model has no row for.
  [[nodiscard]] std::optional<openai::ApiError> check_rows(const std::vector<TokenId>& ids, const char* field) const;
  [[nodiscard]] openai::ApiExpected<std::string> name_of(const std::string& asked) const;
  [[nodiscard]] openai::ApiExpected<GenerationRequest> begin(const openai::GenerationFields& fields,
                                                             openai::Endpoint endpoint) const;
  // Adds the special tokens among the stop strings to the ids that end a sequence.
  [[nodiscard]] std::optional<openai::ApiError> set_stops(GenerationRequest& request) const;
  // Sets max_tokens of each prompt from what was asked for and what is left of the context. `default_tokens` 0: all that is left.
  [[nodiscard]] std::optional<openai::ApiError> set_lengths(GenerationRequest& request, std::uint32_t default_tokens) const;
  [[nodiscard]] std::optional<openai::ApiError> set_length(GenerationRequest::Prompt& prompt, const GenerationRequest& request) const;
  [[nodiscard]] openai::ApiExpected<std::vector<TokenId>> render(const chat::Conversation& conversation,
                                                                 std::int64_t accepted) const;

  const served::ServedModel model_;
  const openai::RequestLimits limits_;
};

}  // namespace herd::api
