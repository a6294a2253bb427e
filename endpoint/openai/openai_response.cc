#include "endpoint/openai/openai_response.h"

#include "endpoint/openai/answer_parts.h"
#include "endpoint/openai/json_text.h"
#include "runtime/text/utf8.h"

namespace herd::openai {
namespace {

void append_choice(const AnswerHead& head, const ChoiceReport& choice, const TokenBytes& token_bytes,
                   std::string& out) {
  const bool chat = head.endpoint == Endpoint::kChat;
  out += R"({"index":)";
  append_number(choice.index, out);
  out += chat ? R"(,"message":{"role":"assistant","content":")" : R"(,"text":")";
  append_escaped(choice.text, out);
  out += chat ? R"(","refusal":null},)" : R"(",)";
  append_logprobs(head, choice.tokens, token_bytes, out);
  out += R"(,"finish_reason":)";
  append_quoted(choice.finish_reason, out);
  out += ',';
  append_stop_reason(choice.stop_string, choice.stop_token, out);
  if (head.return_token_ids) {
    out += R"(,"token_ids":)";
    append_ids(choice.token_ids, out);
    if (!chat) {
      out += R"(,"prompt_token_ids":)";
      append_ids(choice.prompt_token_ids, out);
    }
  }
  out += '}';
}

}  // namespace

std::string whole_answer(const AnswerHead& head, const std::vector<ChoiceReport>& choices, const Usage& usage,
                         const TokenBytes& token_bytes) {
  const bool chat = head.endpoint == Endpoint::kChat;
  std::string out = answer_start(head, chat ? "chat.completion" : "text_completion");
  out += R"(,"choices":[)";
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    append_choice(head, choices[i], token_bytes, out);
  }
  out += R"(],"usage":)";
  append_usage(usage, out);
  if (chat && head.return_token_ids && !choices.empty()) {  // one prompt, whatever n is
    out += R"(,"prompt_token_ids":)";
    append_ids(choices.front().prompt_token_ids, out);
  }
  out += '}';
  return out;
}

std::string model_body(const std::string& name, const std::string& root, std::int64_t created,
                       std::int64_t max_model_len) {
  std::string out = R"({"id":)";
  append_quoted(name, out);
  out += R"(,"object":"model","created":)";
  append_number(created, out);
  out += R"(,"owned_by":"herd","root":)";
  append_quoted(root, out);
  out += R"(,"parent":null,"max_model_len":)";
  append_number(max_model_len, out);
  out += R"(,"permission":[]})";
  return out;
}

std::string models_body(const std::vector<std::string>& names, const std::string& root, std::int64_t created,
                        std::int64_t max_model_len) {
  std::string out = R"({"object":"list","data":[)";
  const char* comma = "";
  for (const std::string& name : names) {
    out += comma;
    out += model_body(name, root, created, max_model_len);
    comma = ",";
  }
  out += "]}";
  return out;
}

std::string tokenize_body(const std::vector<TokenId>& tokens, std::int64_t max_model_len,
                          const TokenBytes* token_strs) {
  std::string out = R"({"count":)";
  append_number(tokens.size(), out);
  out += R"(,"max_model_len":)";
  append_number(max_model_len, out);
  out += R"(,"tokens":)";
  append_ids(tokens, out);
  out += R"(,"token_strs":)";
  if (token_strs == nullptr) {
    out += "null}";
    return out;
  }
  const char* comma = "";
  out += '[';
  for (const TokenId token : tokens) {
    out += comma;
    append_quoted(text::replace_invalid_utf8((*token_strs)(token)), out);
    comma = ",";
  }
  out += "]}";
  return out;
}

std::string detokenize_body(std::string_view text) {
  std::string out = R"({"prompt":)";
  append_quoted(text, out);
  out += '}';
  return out;
}

std::string version_body(std::string_view version) {
  std::string out = R"({"version":)";
  append_quoted(version, out);
  out += '}';
  return out;
}

// server_load is vLLM's; the rest says what it is made of.
std::string load_body(std::uint64_t running, std::uint64_t waiting, double kv_usage) {
  std::string out = R"({"server_load":)";
  append_number(running + waiting, out);
  out += R"(,"running":)";
  append_number(running, out);
  out += R"(,"waiting":)";
  append_number(waiting, out);
  out += R"(,"kv_cache_usage":)";
  append_double(kv_usage, out);
  out += '}';
  return out;
}

}  // namespace herd::openai
