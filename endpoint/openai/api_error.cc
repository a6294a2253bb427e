#include "endpoint/openai/api_error.h"

#include <utility>

#include "endpoint/openai/json_text.h"
#include "runtime/text/utf8.h"

namespace herd::openai {

ApiError bad_field(std::string param, std::string message) {
  ApiError error;
  error.message = std::move(message);
  error.param = std::move(param);
  return error;
}

ApiError context_length_exceeded(std::string message) {
  ApiError error;
  error.message = std::move(message);
  error.code = "context_length_exceeded";
  return error;
}

ApiError unauthorized() {
  return {.status = 401,
          .type = "AuthenticationError",
          .message = "a valid API key is needed: Authorization: Bearer KEY",
          .param = {},
          .code = "invalid_api_key"};
}

ApiError not_found(std::string message, std::string code) {
  return {.status = 404, .type = "NotFoundError", .message = std::move(message), .param = {}, .code = std::move(code)};
}

ApiError method_not_allowed(const std::string& allowed) {
  return {.status = 405,
          .type = "MethodNotAllowedError",
          .message = "this method is not allowed here; allowed: " + allowed,
          .param = {},
          .code = {}};
}

ApiError timed_out(std::string message) {
  return {.status = 504, .type = "TimeoutError", .message = std::move(message), .param = {}, .code = {}};
}

ApiError quota(std::string message, int retry_after_s) {
  return {.status = 429,
          .type = "RateLimitError",
          .message = std::move(message),
          .param = {},
          .code = "rate_limit_exceeded",
          .retry_after_s = retry_after_s,
          .repeat_helps = true};
}

ApiError overloaded(std::string message, int retry_after_s) {
  return {.status = 503,
          .type = "ServiceUnavailableError",
          .message = std::move(message),
          .param = {},
          .code = {},
          .retry_after_s = retry_after_s,
          .repeat_helps = true};
}

ApiError poison_request(int status, std::string message) {
  return {.status = status,
          .type = status == 500 ? "InternalServerError" : "UnprocessableEntityError",
          .message = std::move(message),
          .param = {},
          .code = "poison_request"};
}

ApiError internal_error() {
  return {.status = 500,
          .type = "InternalServerError",
          .message = "the server failed on this request; its log says more",
          .param = {},
          .code = {}};
}

ApiError refused(int status, std::string why) {
  ApiError error = bad_field("", std::move(why));
  error.status = status;
  switch (status) {
    case 408:
      error.type = "TimeoutError";
      error.repeat_helps = true;
      break;
    case 500:
      return internal_error();
    case 501:
      error.type = "NotImplementedError";
      break;
    case 503:
      return overloaded(std::move(error.message), 1);
    default:
      break;
  }
  return error;
}

bool repeated_in_vain(const ApiError& error) {
  const bool repeated = error.status == 408 || error.status == 409 || error.status == 429 || error.status >= 500;
  return repeated && !error.repeat_helps;
}

ApiError error_of(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUsage:
    case StatusCode::kBadInput: return bad_field("", status.message());
    case StatusCode::kOverloaded: return overloaded(status.message(), 1);
    case StatusCode::kAborted: return overloaded("the request was given up; send it again", 1);
    case StatusCode::kOk:
    case StatusCode::kMissing:
    case StatusCode::kInternal: break;
  }
  return internal_error();
}

std::string to_json(const ApiError& error) {
  std::string body = R"({"error":{"message":)";
  append_quoted(text::replace_invalid_utf8(error.message), body);
  body += R"(,"type":)";
  append_quoted(error.type, body);
  body += R"(,"param":)";
  if (error.param.empty()) body += "null";
  else append_quoted(text::replace_invalid_utf8(error.param), body);
  body += R"(,"code":)";
  if (error.code.empty()) append_number(error.status, body);
  else append_quoted(error.code, body);
  body += "}}";
  return body;
}

}  // namespace herd::openai
