#pragma once
// JSON bodies of the OpenAI API -> values, every field checked for type and range; null counts as absent. Pure. Known
// fields that herd does not support pass when neutral (neutral_fields.h), else 400. Unknown ones pass, as in vLLM, and
// are named in `ignored_fields`. Field names and semantics: OpenAI's API reference; the extra ones are vLLM's.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "endpoint/openai/api_error.h"
#include "runtime/ids.h"
#include "runtime/step/sampling_params.h"
#include "endpoint/chat/conversation.h"

namespace herd::openai {

// What a request may hold at most. Longer prompts are a context_length_exceeded, the rest is named with its limit.
struct RequestLimits {
  std::int32_t vocab_size = 0;           // token ids are [0, vocab_size)
  std::size_t prompt_bytes_max = 0;      // text of one prompt or of all messages, before tokenizing
  std::size_t prompt_tokens_max = 0;     // ids of one prompt given as ids
  std::size_t prompts_max = 256;         // of one completion request
  std::size_t messages_max = 2048;
  std::size_t content_parts_max = 64;
  std::size_t tool_calls_max = 128;      // of one message
  std::uint32_t n_max = 8;
  std::size_t stop_max = 16;
  std::size_t stop_bytes_max = 256;      // of one stop string
  bool priorities = false;               // --scheduling-policy priority; else `priority` must be 0
  bool strict_fields = false;            // --strict-fields: unknown fields are refused by name
};

// What completions and chat share. Unset: the server's default, see sampling_of().
struct GenerationFields {
  std::string model;                     // empty: the served one
  std::optional<std::uint32_t> max_tokens;  // max_tokens, max_completion_tokens
  std::uint32_t n = 1;
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int32_t> top_k;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::optional<std::uint64_t> seed;     // any int64 of the request, as its two's complement bits
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  bool ignore_eos = false;
  std::uint32_t min_tokens = 0;
  std::int32_t priority = 0;
  bool stream = false;
  bool include_usage = false;            // stream_options.include_usage
  bool continuous_usage = false;         // stream_options.continuous_usage_stats (vLLM): usage so far in every chunk
  bool return_token_ids = false;
  std::int32_t logprobs = -1;            // -1: none; 0: the chosen token's; n: also the n most likely
  bool operator==(const GenerationFields&) const = default;
};

struct CompletionRequest {
  GenerationFields fields;
  std::variant<std::vector<std::string>, std::vector<std::vector<TokenId>>> prompts;  // at least one, none empty
  bool echo = false;                     // max_tokens 0 is allowed with echo only
  bool add_special_tokens = true;        // what the tokenizer puts around a text (BOS)
  bool parse_special = true;             // control tokens spelled out in a text are these tokens (llama.cpp's field)
  std::vector<std::string> ignored_fields;            // JsonPath::field() of what nobody knows; so in all of these
  bool operator==(const CompletionRequest&) const = default;
};

struct ChatRequest {
  GenerationFields fields;
  chat::Conversation conversation;       // without tools
  std::vector<std::string> ignored_fields;
};

struct TokenizeRequest {
  std::string model;
  std::string prompt;                              // when there is no conversation
  std::optional<chat::Conversation> conversation;
  bool add_special_tokens = true;                  // false with messages: the chat template writes the special tokens
  bool parse_special = true;
  bool return_token_strs = false;
  std::vector<std::string> ignored_fields;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
  std::vector<std::string> ignored_fields;
  bool operator==(const DetokenizeRequest&) const = default;
};

[[nodiscard]] ApiExpected<CompletionRequest> parse_completion(std::string_view body, const RequestLimits& limits);
[[nodiscard]] ApiExpected<ChatRequest> parse_chat(std::string_view body, const RequestLimits& limits);
[[nodiscard]] ApiExpected<TokenizeRequest> parse_tokenize(std::string_view body, const RequestLimits& limits);
[[nodiscard]] ApiExpected<DetokenizeRequest> parse_detokenize(std::string_view body, const RequestLimits& limits);

}  // namespace herd::openai
