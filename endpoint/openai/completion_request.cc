// POST /v1/completions: body -> CompletionRequest.
#include <boost/json/value.hpp>

#include "endpoint/openai/generation_fields.h"
#include "endpoint/openai/neutral_fields.h"
#include "endpoint/openai/openai_request.h"
#include "endpoint/openai/parse_body.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

constexpr const char* kPromptForms = "a string, an array of strings, an array of token ids or an array of those";

// Reads `prompt` in its four forms. What the first element is decides for all.
class PromptReader {
 public:
  PromptReader(JsonFields& fields, const RequestLimits& limits) : fields_(fields), limits_(limits) {}

  void read(CompletionRequest& request) {
    const json::value* prompt = fields_.find("prompt");
    const JsonPath path = fields_.path_of("prompt");
    if (prompt == nullptr) return fields_.refuse("prompt", "is missing");
    if (prompt->is_string()) {
      request.prompts = std::vector<std::string>{text(*prompt, path)};
      return;
    }
    const json::array* list = prompt->if_array();
    if (list == nullptr || list->empty()) return refuse_value(*prompt, path, kPromptForms, refusal());
    if (list->front().is_number()) {
      request.prompts = std::vector<std::vector<TokenId>>{ids(*list, path)};
    } else if (list->size() > limits_.prompts_max) {
      fields_.refuse("prompt", "must hold at most " + std::to_string(limits_.prompts_max) + " prompts, not " +
                                   std::to_string(list->size()));
    } else if (list->front().is_string()) {
      request.prompts = texts(*list, path);
    } else {
      request.prompts = id_lists(*list, path);
    }
  }

 private:
  Refusal& refusal() { return fields_.refusal(); }

  std::string text(const json::value& value, const JsonPath& path) {
    const std::string_view text = read_string(value, path, refusal()).value_or("");
    if (text.empty() && !refusal().any()) refusal().add(path, "must not be empty");
    if (text.size() > limits_.prompt_bytes_max)
      refuse_length(path, text.size(), limits_.prompt_bytes_max, "bytes of text", refusal());
    return refusal().any() ? std::string() : std::string(text);
  }

  std::vector<TokenId> ids(const json::array& list, const JsonPath& path) {
    if (list.empty()) refusal().add(path, "must not be empty");
    if (list.size() > limits_.prompt_tokens_max)
      refuse_length(path, list.size(), limits_.prompt_tokens_max, "token ids", refusal());
    return refusal().any() ? std::vector<TokenId>() : read_token_ids(list, path, limits_.vocab_size, refusal());
  }

  std::vector<std::string> texts(const json::array& list, const JsonPath& path) {
    std::vector<std::string> prompts;
    for (std::size_t i = 0; i < list.size() && !refusal().any(); ++i) prompts.push_back(text(list[i], {&path, {}, i}));
    return prompts;
  }

  std::vector<std::vector<TokenId>> id_lists(const json::array& list, const JsonPath& path) {
    std::vector<std::vector<TokenId>> prompts;
    for (std::size_t i = 0; i < list.size() && !refusal().any(); ++i) {
      const JsonPath element{&path, {}, i};
      const char* expected = i == 0 ? "a string, a token id or an array of token ids" : "an array of token ids";
      if (const json::array* inner = list[i].if_array()) prompts.push_back(ids(*inner, element));
      else refuse_value(list[i], element, expected, refusal());
    }
    return prompts;
  }

  JsonFields& fields_;
  const RequestLimits& limits_;
};

}  // namespace

ApiExpected<CompletionRequest> parse_completion(std::string_view body, const RequestLimits& limits) {
  return parse_body<CompletionRequest>(body, limits, [&limits](JsonFields& fields, CompletionRequest& request) {
    PromptReader(fields, limits).read(request);
    request.echo = fields.boolean("echo").value_or(false);
    read_generation(fields, limits, request.echo ? 0 : 1, request.fields);
    const auto logprobs = fields.integer("logprobs", 0, step::kLogprobsMax);
    request.fields.logprobs = static_cast<std::int32_t>(logprobs.value_or(-1));
    request.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
    request.parse_special = fields.boolean("parse_special").value_or(true);
    read_neutral(fields, completion_neutral_fields());
  });
}

}  // namespace herd::openai
