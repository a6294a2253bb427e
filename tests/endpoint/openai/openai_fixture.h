#pragma once
// Bodies and limits that the tests of actors/openai share.

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "endpoint/openai/openai_request.h"

namespace herd::openai {

inline RequestLimits small_limits() {
  RequestLimits limits;
  limits.vocab_size = 1000;
  limits.prompt_bytes_max = 4096;
  limits.prompt_tokens_max = 512;
  return limits;
}

// A chat or completion body that is right, with `more` members ("\"n\":2,\"seed\":1") added.
inline std::string chat_body(const std::string& more = "") {
  return R"({"messages":[{"role":"user","content":"Hi"}])" + (more.empty() ? "" : "," + more) + "}";
}
inline std::string completion_body(const std::string& more = "") {
  return R"({"prompt":"Hi")" + (more.empty() ? "" : "," + more) + "}";
}

// A JSON string; `inside` is already escaped.
inline std::string in_quotes(std::string_view inside) { return std::string("\"").append(inside).append("\""); }

template <class Request>
void expect_refused(const ApiExpected<Request>& result, std::string_view param, std::string_view body) {
  ASSERT_FALSE(result) << body << " was accepted";
  EXPECT_EQ(result.error().status, 400) << body;
  EXPECT_EQ(result.error().type, "BadRequestError") << body;
  EXPECT_EQ(result.error().param, param) << body << "\n" << result.error().message;
  EXPECT_NE(result.error().message.find(param), std::string::npos) << result.error().message;
}

template <class Request>
Request accepted(const ApiExpected<Request>& result, std::string_view body) {
  EXPECT_TRUE(result) << body << "\n" << (result ? "" : result.error().message);
  return result ? *result : Request();
}

}  // namespace herd::openai
