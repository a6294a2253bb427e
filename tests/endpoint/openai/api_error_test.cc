#include "endpoint/openai/api_error.h"

#include <vector>

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace herd::openai {
namespace {

namespace json = boost::json;

TEST(ApiError, HasOpenAisShape) {
  EXPECT_EQ(to_json(bad_field("stop[0]", "stop[0] must not be empty")),
            R"({"error":{"message":"stop[0] must not be empty","type":"BadRequestError","param":"stop[0]",)"
            R"("code":400}})");
  EXPECT_EQ(to_json(context_length_exceeded("too long")),
            R"({"error":{"message":"too long","type":"BadRequestError","param":null,)"
            R"("code":"context_length_exceeded"}})");
}

TEST(ApiError, EveryKindHasItsStatusTypeAndCode) {
  struct Row {
    ApiError error;
    int status;
    const char* type;
    json::value code;
    int retry_after_s;
  };
  const std::vector<Row> kRows = {
      {bad_field("n", "m"), 400, "BadRequestError", 400, 0},
      {context_length_exceeded("m"), 400, "BadRequestError", "context_length_exceeded", 0},
      {unauthorized(), 401, "AuthenticationError", "invalid_api_key", 0},
      {not_found("m"), 404, "NotFoundError", 404, 0},
      {not_found("m", "model_not_found"), 404, "NotFoundError", "model_not_found", 0},
      {method_not_allowed("GET, HEAD"), 405, "MethodNotAllowedError", 405, 0},
      {timed_out("m"), 504, "TimeoutError", 504, 0},
      {refused(408, "m"), 408, "TimeoutError", 408, 0},
      {refused(413, "m"), 413, "BadRequestError", 413, 0},
      {refused(500, "m"), 500, "InternalServerError", 500, 0},
      {refused(501, "m"), 501, "NotImplementedError", 501, 0},
      {refused(503, "m"), 503, "ServiceUnavailableError", 503, 1},
      {quota("m", 7), 429, "RateLimitError", "rate_limit_exceeded", 7},
      {overloaded("m", 3), 503, "ServiceUnavailableError", 503, 3},
      {internal_error(), 500, "InternalServerError", 500, 0},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(row.error.status, row.status) << row.type;
    EXPECT_EQ(row.error.retry_after_s, row.retry_after_s) << row.type;
    const json::value body = json::parse(to_json(row.error)).at("error");
    EXPECT_EQ(body.at("type"), row.type);
    EXPECT_EQ(body.at("code"), row.code) << row.type;
    EXPECT_FALSE(body.at("message").as_string().empty());
  }
}

// OpenAI's clients send a request again by themselves after 408, 409, 429 and everything from 500 on.
TEST(ApiError, SaysWhatIsRepeatedInVain) {
  for (const ApiError& error : {timed_out("m"), internal_error(), refused(500, "m"), refused(501, "m"), refused(505, "m"),
                                error_of({StatusCode::kInternal, "m"})})
    EXPECT_TRUE(repeated_in_vain(error)) << error.status;
  for (const ApiError& error : {quota("m", 7), overloaded("m", 3), refused(408, "m"), refused(503, "m"),
                                error_of({StatusCode::kAborted, "m"}), error_of({StatusCode::kOverloaded, "m"})})
    EXPECT_FALSE(repeated_in_vain(error)) << error.status << ": the same request may succeed later";
  for (const ApiError& error : {bad_field("n", "m"), unauthorized(), not_found("m"), refused(413, "m"), refused(421, "m")})
    EXPECT_FALSE(repeated_in_vain(error)) << error.status << ": nobody repeats it";
}

TEST(ApiError, AStatusOfTheEngineBecomesWhatTheClientCanDo) {
  EXPECT_EQ(error_of(bad_input("messages: empty")), bad_field("", "messages: empty"));
  EXPECT_EQ(error_of(usage_error("top_k must be -1")).status, 400);
  EXPECT_EQ(error_of({StatusCode::kOverloaded, "the queue is full"}), overloaded("the queue is full", 1));
  EXPECT_EQ(error_of({StatusCode::kAborted, "rank 1 died"}).status, 503);
  EXPECT_EQ(error_of({StatusCode::kAborted, "rank 1 died"}).retry_after_s, 1);
  EXPECT_EQ(error_of(missing("/secret/path")), internal_error());
  EXPECT_EQ(error_of({StatusCode::kInternal, "assert"}), internal_error());
}

TEST(ApiError, InternalsAreNotTold) {
  for (const StatusCode code : {StatusCode::kAborted, StatusCode::kMissing, StatusCode::kInternal})
    EXPECT_EQ(to_json(error_of({code, "/secret/path"})).find("secret"), std::string::npos);
}

TEST(ApiError, AnyTextMakesValidJson) {
  const ApiError error = bad_field("a\xFF\"", std::string("q\"\\\n\x01\x7f\0é\xC3", 10));
  const json::value body = json::parse(to_json(error)).at("error");
  EXPECT_EQ(body.at("param"), "a\xEF\xBF\xBD\"");
  EXPECT_EQ(std::string(body.at("message").as_string()), std::string("q\"\\\n\x01\x7f\0é\xEF\xBF\xBD", 12));
}

}  // namespace
}  // namespace herd::openai
