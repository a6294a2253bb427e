// Every field that completions and chat share: right values, null, wrong types, outside the range, on its border.
#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "endpoint/openai/neutral_fields.h"
#include "tests/endpoint/openai/openai_fixture.h"

namespace herd::openai {
namespace {

struct Row {
  const char* field;
  std::vector<const char*> right;  // JSON values that pass; null is tried for every field
  std::vector<const char*> wrong;  // … and that are a 400 naming the field
};

// Numbers as every numeric field must refuse them.
#define NO_NUMBER "\"1\"", "true", "false", "[]", "[1]", "{}", "1e400", "-1e400"
#define NO_INTEGER NO_NUMBER, "1.5", "1e20", "-1e20", "18446744073709551616", "99999999999999999999999999"
#define NO_BOOLEAN "0", "1", "\"true\"", "\"\"", "[]", "{}"
#define NO_STRING "1", "true", "[]", "{}", "[\"a\"]"

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {"model", {R"("demo")", R"("")", R"("org/näme")"}, {NO_STRING, R"("a\u0000b")"}},
      {"max_tokens", {"1", "5.0", "2147483647"}, {NO_INTEGER, "0", "-1", "2147483648"}},
      {"max_completion_tokens", {"1", "1e3", "2147483647"}, {NO_INTEGER, "0", "-1", "2147483648"}},
      {"min_tokens", {"0", "7", "-0", "-0.0"}, {NO_INTEGER, "-1", "2147483648"}},
      {"n", {"1", "8", "2.0"}, {NO_INTEGER, "0", "-1", "9"}},
      {"best_of", {"1", "1.0"}, {NO_INTEGER, "0", "2", "-1"}},
      {"temperature", {"0", "1", "0.7", "100", "-0.0", "1e-50"}, {NO_NUMBER, "-0.1", "-1e-9", "100.001", "1e9"}},
      {"top_p", {"1", "0.001", "1.0", "0", "-0.0", "1e-31", "5e-324", "1e-400"}, {NO_NUMBER, "-0.5", "1.0001", "-1e-9"}},
      {"min_p", {"0", "1", "0.5"}, {NO_NUMBER, "-0.1", "1.01"}},
      {"top_k", {"-1", "0", "1", "40.0", "2147483647"}, {NO_INTEGER, "-2", "2147483648"}},
      {"repetition_penalty", {"1", "100", "1e-31", "5e-324"}, {NO_NUMBER, "0", "-1", "1e-400", "100.5"}},
      {"presence_penalty", {"-2", "2", "0"}, {NO_NUMBER, "-2.01", "2.01"}},
      {"frequency_penalty", {"-2", "2", "0"}, {NO_NUMBER, "-2.01", "2.01"}},
      {"seed", {"0", "-1", "9223372036854775807", "-9223372036854775808", "3.0"},
       {NO_INTEGER, "9223372036854775808", "-9223372036854775809"}},
      {"logit_bias", {"{}", R"({"0":1,"999":-100})", R"({"5":100.0})"},
       {"1", "true", "[]", R"("5")", R"({"1000":1})", R"({"-1":1})", R"({"-0":1})", R"({"05":1})", R"({"+5":1})",
        R"({"5 ":1})", R"({"":1})", R"({"a":1})", R"({"5.0":1})", R"({"99999999999":1})"}},
      {"stop", {R"("x")", R"(["x","y"])", "[]", R"("\n")", R"("\u0000")"},
       {"1", "true", "{}", R"("")", R"(["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"])"}},
      {"stop_token_ids", {"[]", "[0,999]", "[5.0]"}, {"5", "\"5\"", "true", "{}"}},
      {"include_stop_str_in_output", {"true", "false"}, {NO_BOOLEAN}},
      {"skip_special_tokens", {"true", "false"}, {NO_BOOLEAN}},
      {"ignore_eos", {"true", "false"}, {NO_BOOLEAN}},
      {"return_token_ids", {"true", "false"}, {NO_BOOLEAN}},
      {"stream", {"true", "false"}, {NO_BOOLEAN}},
      {"stream_options", {}, {"1", "true", "[]", R"("")", "{}", R"({"include_usage":true})"}},
      {"priority", {"0", "0.0"}, {NO_INTEGER, "1", "-1", "2147483648"}},
      {"user", {R"("")", R"("me")"}, {NO_STRING}},
      {"metadata", {"{}", R"({"a":"b"})"}, {"1", "true", "[]", R"("a")", R"({"a":1})"}},
      {"response_format", {R"({"type":"text"})"},
       {"1", R"("text")", "{}", R"({"type":"json_object"})", R"({"type":1})"}},
      {"service_tier", {R"("auto")", R"("default")"}, {R"("flex")", R"("")", "1", "true"}},
      {"store", {"false"}, {"true", "0", R"("")"}},
      {"length_penalty", {"1", "1.0"}, {"0.9", "2", "true", R"("1")"}},
      {"use_beam_search", {"false"}, {"true", "1"}},
      {"spaces_between_special_tokens", {"true"}, {"false", "1"}},
      {"truncate_prompt_tokens", {}, {"5", "-1", "false", "[]"}},
      {"prompt_logprobs", {}, {"0", "1", "false"}},
      {"allowed_token_ids", {}, {"[]", "[1]", "1"}},
      {"bad_words", {"[]"}, {R"(["a"])", "{}", R"("")"}},
      {"structured_outputs", {}, {"{}", R"({"json":{}})"}},
      {"guided_json", {}, {"{}", R"("{}")"}},
      {"guided_regex", {}, {R"("a*")", R"("")"}},
      {"guided_choice", {}, {"[]", R"(["a"])"}},
      {"guided_grammar", {}, {R"("")"}},
      {"guided_decoding_backend", {}, {R"("x")"}},
      {"guided_whitespace_pattern", {}, {R"("x")"}},
      {"guided_json_object", {}, {"true", "false"}},
      {"cache_salt", {}, {R"("a")", R"("")"}},
      {"cache_prompt", {"true", "false"}, {NO_BOOLEAN}},
      {"request_id", {R"("abc")", R"("")"}, {NO_STRING}},
      {"kv_transfer_params", {"{}"}, {R"({"a":1})", "1"}},
      {"ec_transfer_params", {"{}"}, {R"({"a":1})", "1"}},
      {"logprob_token_ids", {"[]"}, {"[1]", "{}"}},
      {"prompt_logprob_token_ids", {"[]"}, {"[1]", "{}"}},
      {"mm_payload", {R"("tensors")", R"("none")"}, {R"("x")", "1"}},
      {"prompt_cache_key", {R"("a")", "1"}, {}},
      {"prompt_cache_options", {R"({"mode":"explicit","ttl":"30m"})"}, {}},
      {"prompt_cache_retention", {R"("24h")"}, {}},
      {"session_id", {R"("a")"}, {}},
      {"safety_identifier", {R"("a")"}, {NO_STRING}},
      {"repetition_detection", {}, {"{}"}},
      {"return_mm_kwargs", {"true", "false"}, {NO_BOOLEAN}},
      {"return_token_offsets", {"false"}, {"true"}},
      {"return_weight_versions", {"false"}, {"true"}},
      {"routed_experts_prompt_start", {"0"}, {"1", "false"}},
      {"stream_interval", {"1", "1.0"}, {"2", "0", "true"}},
      {"thinking_token_budget", {}, {"0", "5"}},
      {"truncation_side", {R"("left")", R"("right")"}, {R"("middle")", "1"}},
      {"watermarking", {"false"}, {"true"}},
      {"vllm_xargs", {"{}"}, {R"({"a":1})", "[]"}},
      {"logits_processors", {"[]"}, {R"(["a"])", "{}"}},
      {"return_tokens_as_token_ids", {"false"}, {"true", "0"}},
  };
  return kRows;
}

std::string member(const std::string& field, const std::string& value) { return in_quotes(field) + ":" + value; }

void expect_everywhere(const std::string& field, const std::string& value, bool right) {
  const std::string chat = chat_body(member(field, value));
  const std::string completion = completion_body(member(field, value));
  const auto chat_result = parse_chat(chat, small_limits());
  const auto completion_result = parse_completion(completion, small_limits());
  if (right) {
    accepted(chat_result, chat);
    accepted(completion_result, completion);
  } else {
    expect_refused(chat_result, field, chat);
    expect_refused(completion_result, field, completion);
  }
}

TEST(GenerationFields, RightValuesPass) {
  for (const Row& row : rows())
    for (const char* value : row.right) expect_everywhere(row.field, value, true);
}

TEST(GenerationFields, NullIsAbsent) {
  for (const Row& row : rows()) {
    const std::string body = chat_body(member(row.field, "null"));
    EXPECT_EQ(accepted(parse_chat(body, small_limits()), body).fields, parse_chat(chat_body(), small_limits())->fields) << row.field;
    const std::string other = completion_body(member(row.field, "null"));
    EXPECT_EQ(accepted(parse_completion(other, small_limits()), other),
              *parse_completion(completion_body(), small_limits())) << row.field;
  }
}

TEST(GenerationFields, WrongValuesAreRefusedByName) {
  for (const Row& row : rows())
    for (const char* value : row.wrong) expect_everywhere(row.field, value, false);
}

TEST(GenerationFields, TextThatIsNoJsonNumberNamesTheFieldAsWell) {
  for (const char* value : {"NaN", "Infinity", "-Infinity", "+1", ".5", "01", "0x10", "1_000", "1e", "nan"})
    expect_everywhere("temperature", value, false);
}

TEST(GenerationFields, EveryNeutralFieldIsInTheTable) {
  for (const NeutralField& field : generation_neutral_fields()) {
    const bool listed = std::ranges::any_of(rows(), [&](const Row& row) { return row.field == field.name; });
    EXPECT_TRUE(listed) << field.name;
  }
}

TEST(GenerationFields, EveryValueArrives) {
  const std::string body = chat_body(
      R"("model":"m","max_tokens":9,"n":3,"temperature":0.5,"top_p":0.25,"min_p":0.125,"top_k":40,)"
      R"("repetition_penalty":1.5,"presence_penalty":-1,"frequency_penalty":2,"seed":-1,)"
      R"("logit_bias":{"7":-100,"8":1.5},)"
      R"("stop":["a","b"],"stop_token_ids":[5,6],"include_stop_str_in_output":true,"skip_special_tokens":false,)"
      R"("ignore_eos":true,"min_tokens":4,"stream":true,"return_token_ids":true,)"
      R"("stream_options":{"include_usage":true,"include_obfuscation":false,"continuous_usage_stats":true})");
  GenerationFields expected;
  expected.model = "m";
  expected.max_tokens = 9;
  expected.n = 3;
  expected.temperature = 0.5F;
  expected.top_p = 0.25F;
  expected.min_p = 0.125F;
  expected.top_k = 40;
  expected.repetition_penalty = 1.5F;
  expected.presence_penalty = -1.0F;
  expected.frequency_penalty = 2.0F;
  expected.seed = std::numeric_limits<std::uint64_t>::max();
  expected.logit_bias = {{7, -100.0F}, {8, 1.5F}};
  expected.stop = {"a", "b"};
  expected.stop_token_ids = {5, 6};
  expected.include_stop_str_in_output = true;
  expected.skip_special_tokens = false;
  expected.ignore_eos = true;
  expected.min_tokens = 4;
  expected.stream = true;
  expected.include_usage = true;
  expected.continuous_usage = true;
  expected.return_token_ids = true;
  EXPECT_EQ(accepted(parse_chat(body, small_limits()), body).fields, expected);
}

TEST(GenerationFields, NumbersAreRoundedOnce) {
  const auto top_p = [](const std::string& number) {
    return *accepted(parse_chat(chat_body("\"top_p\":" + number), small_limits()), number).fields.top_p;
  };
  EXPECT_EQ(top_p("0.1"), 0.1F);
  EXPECT_EQ(top_p("0.30000000000000004"), 0.3F);
  EXPECT_EQ(top_p("1e-3"), 0.001F);
  EXPECT_EQ(top_p("0.0010000000474974513053894042968750000000000000000000000000"), 0.001F);
}

TEST(GenerationFields, AbsentOnesKeepTheServersDefaultOpen) {
  const GenerationFields fields = accepted(parse_chat(chat_body(), small_limits()), "").fields;
  EXPECT_EQ(fields, GenerationFields());
  EXPECT_FALSE(fields.temperature || fields.top_p || fields.min_p || fields.top_k || fields.repetition_penalty);
  EXPECT_FALSE(fields.max_tokens || fields.seed);
}

TEST(GenerationFields, TheTwoNamesOfTheLengthMayNotDiffer) {
  const auto most = [](const char* more) { return parse_chat(chat_body(more), small_limits())->fields.max_tokens; };
  EXPECT_EQ(most(R"("max_tokens":5,"max_completion_tokens":5)"), 5U);
  EXPECT_EQ(most(R"("max_completion_tokens":6)"), 6U);
  EXPECT_EQ(most(R"("max_tokens":5,"max_completion_tokens":null)"), 5U);
  const std::string body = chat_body(R"("max_tokens":5,"max_completion_tokens":6)");
  expect_refused(parse_chat(body, small_limits()), "max_completion_tokens", body);
}

TEST(GenerationFields, MinTokensStaysBelowMaxTokens) {
  EXPECT_TRUE(parse_chat(chat_body(R"("max_tokens":5,"min_tokens":5)"), small_limits()));
  const std::string body = chat_body(R"("max_tokens":5,"min_tokens":6)");
  expect_refused(parse_chat(body, small_limits()), "min_tokens", body);
}

TEST(GenerationFields, BestOfEqualToNPasses) {
  EXPECT_TRUE(parse_completion(completion_body(R"("n":3,"best_of":3)"), small_limits()));
  const std::string body = completion_body(R"("n":3,"best_of":4)");
  expect_refused(parse_completion(body, small_limits()), "best_of", body);
}

TEST(GenerationFields, ElementsAreNamedWithTheirPlace) {
  const std::vector<std::pair<const char*, const char*>> kRows = {
      {R"("stop":["a",""])", "stop[1]"},
      {R"("stop":["a",5])", "stop[1]"},
      {R"("stop":[null])", "stop[0]"},
      {R"("stop_token_ids":[1,1000])", "stop_token_ids[1]"},
      {R"("stop_token_ids":[-1])", "stop_token_ids[0]"},
      {R"("stop_token_ids":[1.5])", "stop_token_ids[0]"},
      {R"("stop_token_ids":["1"])", "stop_token_ids[0]"},
      {R"("stop_token_ids":[true])", "stop_token_ids[0]"},
      {R"("stop_token_ids":[null])", "stop_token_ids[0]"},
      {R"("logit_bias":{"5":100.5})", "logit_bias.5"},
      {R"("logit_bias":{"5":"1"})", "logit_bias.5"},
      {R"("logit_bias":{"5":null})", "logit_bias.5"},
      {R"("logit_bias":{"5":1e999})", "logit_bias.5"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("stream":true,"stream_options":{"continuous_usage_stats":"x"})", "stream_options.continuous_usage_stats"},
  };
  for (const auto& [more, param] : kRows) {
    const std::string body = chat_body(more);
    expect_refused(parse_chat(body, small_limits()), param, body);
  }
}

TEST(GenerationFields, ListsHoldAsManyAsTheLimitsSay) {
  const auto list = [](std::size_t count, const std::function<std::string(std::size_t)>& element) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text.append(i == 0 ? "" : ",").append(element(i));
    return text;
  };
  RequestLimits limits = small_limits();
  limits.vocab_size = 5000;
  const auto check = [&](const char* field, std::size_t most, const std::function<std::string(std::size_t)>& body) {
    EXPECT_TRUE(parse_chat(chat_body(body(most)), limits)) << field;
    expect_refused(parse_chat(chat_body(body(most + 1)), limits), field, field);
  };
  check("stop", 16, [&](std::size_t count) {
    return R"("stop":[)" + list(count, [](std::size_t i) { return in_quotes("s" + std::to_string(i)); }) + "]";
  });
  check("stop_token_ids", 128, [&](std::size_t count) {
    return R"("stop_token_ids":[)" + list(count, [](std::size_t i) { return std::to_string(i); }) + "]";
  });
  check("logit_bias", 1024, [&](std::size_t count) {
    return R"("logit_bias":{)" + list(count, [](std::size_t i) { return in_quotes(std::to_string(i)) + ":1"; }) + "}";
  });
  check("stop", 256, [](std::size_t bytes) { return R"("stop":")" + std::string(bytes, 'x') + "\""; });
  check("model", 1024, [](std::size_t bytes) { return R"("model":")" + std::string(bytes, 'x') + "\""; });
}

TEST(GenerationFields, PrioritiesNeedAServerThatSchedulesByThem) {
  RequestLimits limits = small_limits();
  limits.priorities = true;
  EXPECT_EQ(parse_chat(chat_body(R"("priority":-7)"), limits)->fields.priority, -7);
  EXPECT_EQ(parse_chat(chat_body(R"("priority":2147483647)"), limits)->fields.priority, 2147483647);
}

TEST(GenerationFields, StreamOptionsNeedAStream) {
  EXPECT_TRUE(parse_chat(chat_body(R"("stream":true,"stream_options":{})"), small_limits()));
  EXPECT_TRUE(parse_chat(chat_body(R"("stream":false,"stream_options":null)"), small_limits()));
  const std::string body = chat_body(R"("stream":false,"stream_options":{})");
  expect_refused(parse_chat(body, small_limits()), "stream_options", body);
}

TEST(GenerationFields, TheFirstWrongFieldIsTheOneReported) {
  const std::string body = chat_body(R"("unknown":1,"top_p":7,"temperature":-1)");
  expect_refused(parse_chat(body, small_limits()), "temperature", body);
}

TEST(GenerationFields, AMessageSaysWhatIsAllowedAndWhatCame) {
  EXPECT_EQ(parse_chat(chat_body(R"("temperature":-1)"), small_limits()).error().message,
            "temperature must be a number in [0, 100], not -1");
  EXPECT_EQ(parse_chat(chat_body(R"("top_p":"x")"), small_limits()).error().message,
            "top_p must be a number in [0, 1], not a string");
  EXPECT_EQ(parse_chat(chat_body(R"("n":9)"), small_limits()).error().message, "n must be an integer in [1, 8], not 9");
  EXPECT_EQ(parse_chat(chat_body(R"("stream":null,"ignore_eos":1)"), small_limits()).error().message,
            "ignore_eos must be true or false, not 1");
}

}  // namespace
}  // namespace herd::openai
