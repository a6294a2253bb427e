#include "endpoint/openai/answer_parts.h"

#include <algorithm>
#include <vector>

#include "runtime/text/utf8.h"

namespace herd::openai {
namespace {

constexpr float kNoLogprob = -9999.0F;

// A token's bytes as text; "\ufffd" for every part that is not UTF-8.
void append_token_text(std::string_view bytes, std::string& out) {
  if (text::is_valid_utf8(bytes)) append_quoted(bytes, out);
  else append_quoted(text::replace_invalid_utf8(bytes), out);
}

// {"text": logprob, …}: the most likely tokens and the chosen one. Different tokens can have the same text; the
// likelier one keeps it, because a JSON object has each key once.
void append_top_object(const TokenReport& report, const TokenBytes& token_bytes, std::string& out) {
  std::vector<std::string> written;
  out += '{';
  const auto add = [&](TokenId token, float logprob) {
    std::string text = text::replace_invalid_utf8(token_bytes(token));
    if (std::ranges::find(written, text) != written.end()) return;
    if (!written.empty()) out += ',';
    append_quoted(text, out);
    out += ':';
    append_float(logprob, out);
    written.push_back(std::move(text));
  };
  for (const step::TokenLogprob& top : report.top) add(top.token, top.logprob);
  if (report.logprob) add(report.token, *report.logprob);
  out += '}';
}

void append_completion_logprobs(std::span<const TokenReport> tokens, const TokenBytes& token_bytes, std::string& out) {
  const auto list = [&](std::string_view name, auto append_element) {
    out += name;
    const char* comma = "";
    for (const TokenReport& report : tokens) {
      out += comma;
      append_element(report);
      comma = ",";
    }
    out += ']';
  };
  list(R"({"tokens":[)", [&](const TokenReport& report) { append_token_text(token_bytes(report.token), out); });
  list(R"(,"token_logprobs":[)", [&](const TokenReport& report) {
    if (report.logprob) append_float(*report.logprob, out);
    else out += "null";
  });
  list(R"(,"top_logprobs":[)", [&](const TokenReport& report) {
    if (report.logprob) append_top_object(report, token_bytes, out);
    else out += "null";
  });
  list(R"(,"text_offset":[)", [&](const TokenReport& report) { append_number(report.text_offset, out); });
  out += '}';
}

// "token":…,"logprob":…,"bytes":[…]
void append_chat_token(TokenId token, float logprob, const TokenBytes& token_bytes, std::string& out) {
  const std::string_view bytes = token_bytes(token);
  out += R"({"token":)";
  append_token_text(bytes, out);
  out += R"(,"logprob":)";
  append_float(logprob, out);
  out += R"(,"bytes":[)";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    append_number(static_cast<unsigned>(static_cast<unsigned char>(bytes[i])), out);
  }
  out += ']';
}

void append_chat_logprobs(std::span<const TokenReport> tokens, const TokenBytes& token_bytes, std::string& out) {
  out += R"({"content":[)";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_chat_token(tokens[i].token, tokens[i].logprob.value_or(kNoLogprob), token_bytes, out);
    out += R"(,"top_logprobs":[)";
    for (std::size_t j = 0; j < tokens[i].top.size(); ++j) {
      if (j > 0) out += ',';
      append_chat_token(tokens[i].top[j].token, tokens[i].top[j].logprob, token_bytes, out);
      out += '}';
    }
    out += "]}";
  }
  out += R"(],"refusal":null})";
}

}  // namespace

std::string answer_start(const AnswerHead& head, std::string_view object) {
  std::string out = R"({"id":)";
  append_quoted(head.id, out);
  out += R"(,"object":")";
  out += object;
  out += R"(","created":)";
  append_number(head.created, out);
  out += R"(,"model":)";
  append_quoted(head.model, out);
  return out;
}

void append_logprobs(const AnswerHead& head, std::span<const TokenReport> tokens, const TokenBytes& token_bytes,
                     std::string& out) {
  out += R"("logprobs":)";
  if (head.logprobs < 0) out += "null";
  else if (head.endpoint == Endpoint::kChat) append_chat_logprobs(tokens, token_bytes, out);
  else append_completion_logprobs(tokens, token_bytes, out);
}

void append_stop_reason(const std::optional<std::string_view>& stop_string, const std::optional<TokenId>& stop_token,
                        std::string& out) {
  out += R"("stop_reason":)";
  if (stop_string) append_quoted(*stop_string, out);
  else if (stop_token) append_number(*stop_token, out);
  else out += "null";
}

void append_usage(const Usage& usage, std::string& out) {
  out += R"({"prompt_tokens":)";
  append_number(usage.prompt_tokens, out);
  out += R"(,"total_tokens":)";
  append_number(static_cast<std::uint64_t>(usage.prompt_tokens) + usage.completion_tokens, out);
  out += R"(,"completion_tokens":)";
  append_number(usage.completion_tokens, out);
  out += R"(,"prompt_tokens_details":{"cached_tokens":)";
  append_number(usage.cached_tokens, out);
  out += "}}";
}

}  // namespace herd::openai
