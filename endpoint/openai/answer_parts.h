#pragma once
// Members that whole answers and chunks write alike.

#include <span>
#include <string>

#include "endpoint/openai/json_text.h"
#include "endpoint/openai/openai_response.h"

namespace herd::openai {

// {"id":…,"object":"…","created":…,"model":…
[[nodiscard]] std::string answer_start(const AnswerHead& head, std::string_view object);

// "logprobs":… of a choice: {tokens, token_logprobs, top_logprobs, text_offset} or {content: […], refusal: null}; null
// when not asked.
void append_logprobs(const AnswerHead& head, std::span<const TokenReport> tokens, const TokenBytes& token_bytes,
                     std::string& out);

// "stop_reason":…
void append_stop_reason(const std::optional<std::string_view>& stop_string, const std::optional<TokenId>& stop_token,
                        std::string& out);

// {"prompt_tokens":…}
void append_usage(const Usage& usage, std::string& out);

}  // namespace herd::openai
