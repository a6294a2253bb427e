// The description against the parsers: each knows the fields that the other knows.
#include "endpoint/openai/openapi.h"

#include <algorithm>

#include <boost/json.hpp>

#include "endpoint/openai/neutral_fields.h"
#include "tests/endpoint/openai/openai_fixture.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

const json::object& schema(const char* name) {
  static const json::value kDocument = json::parse({openapi_json().data(), openapi_json().size()});
  return kDocument.at("components").at("schemas").at(name).as_object();
}

// No field that the description names is one that the parser ignores, whatever it makes of the value; every optional
// one may be null. `parse` gets the member "FIELD":"?" or "FIELD":null.
template <class Parse>
void expect_known(const char* name, Parse parse) {
  const json::array& required = schema(name).at("required").as_array();
  for (const auto& [field, property] : schema(name).at("properties").as_object()) {
    if (std::ranges::find(required, json::value(field)) != required.end()) continue;
    const auto odd = parse(in_quotes({field.data(), field.size()}) + ":\"?\"");
    EXPECT_TRUE(!odd || odd->ignored_fields.empty()) << name << "." << field;
    const auto result = parse(in_quotes({field.data(), field.size()}) + ":null");
    EXPECT_TRUE(result) << name << "." << field << ": " << (result ? "" : result.error().message);
  }
}

void expect_described(const char* name, std::span<const NeutralField> fields) {
  for (const NeutralField& field : fields)
    EXPECT_TRUE(schema(name).at("properties").as_object().contains({field.name.data(), field.name.size()}))
        << name << "." << field.name;
}

const RequestLimits kLimits = small_limits();

TEST(OpenApi, NamesNoFieldThatAParserRefuses) {
  expect_known("ChatCompletionRequest", [](const std::string& more) { return parse_chat(chat_body(more), kLimits); });
  expect_known("CompletionRequest",
               [](const std::string& more) { return parse_completion(completion_body(more), kLimits); });
  expect_known("DetokenizeRequest",
               [](const std::string& more) { return parse_detokenize(R"({"tokens":[1],)" + more + "}", kLimits); });
  for (const char* name : {"Message", "AssistantMessage", "FunctionMessage"}) {
    expect_known(name, [](const std::string& more) {
      const bool has_content = more.starts_with(R"("content")");
      return parse_chat(R"({"messages":[{"role":"function",)" + std::string(has_content ? "" : R"("content":"a",)") +
                            more + "}]}", kLimits);
    });
  }
  expect_known("StreamOptions", [](const std::string& more) {
    return parse_chat(chat_body(R"("stream":true,"stream_options":{)" + more + "}"), kLimits);
  });
  expect_known("TokenizePromptRequest",
               [](const std::string& more) { return parse_tokenize(R"({"prompt":"a",)" + more + "}", kLimits); });
  expect_known("TokenizeMessagesRequest",
               [](const std::string& more) { return parse_tokenize(chat_body(more), kLimits); });
}

TEST(OpenApi, NamesEveryNeutralField) {
  expect_described("ChatCompletionRequest", generation_neutral_fields());
  expect_described("ChatCompletionRequest", chat_neutral_fields());
  expect_described("CompletionRequest", generation_neutral_fields());
  expect_described("CompletionRequest", completion_neutral_fields());
  expect_described("TokenizePromptRequest", tokenize_neutral_fields());
  expect_described("TokenizePromptRequest", tokenize_prompt_neutral_fields());
  expect_described("TokenizeMessagesRequest", tokenize_neutral_fields());
  for (const char* name : {"Message", "AssistantMessage", "FunctionMessage"})
    expect_described(name, message_neutral_fields());
  expect_described("TextPart", part_neutral_fields());
}

TEST(OpenApi, RequestsAreOpenAndAnswersAreClosed) {
  for (const char* name : {"ChatCompletionRequest", "CompletionRequest", "TokenizePromptRequest",
                           "TokenizeMessagesRequest", "DetokenizeRequest", "Message", "AssistantMessage",
                           "FunctionMessage", "TextPart", "RefusalPart", "StreamOptions"})
    EXPECT_EQ(schema(name).at("additionalProperties"), json::value(true)) << name;
  for (const char* name : {"ChatCompletion", "ChatCompletionChunk", "Completion", "CompletionChunk", "Error"})
    EXPECT_EQ(schema(name).at("additionalProperties"), json::value(false)) << name;
}

}  // namespace
}  // namespace herd::openai
