#pragma once
// ApiError: a refusal in OpenAI's shape: {"error": {"message", "type", "param", "code"}}. What the client sees comes
// from here, never from an exception or a path of ours.

#include <string>

#include <tl/expected.hpp>

#include "kernels/status.h"

namespace herd::openai {

struct ApiError {
  int status = 400;                          // HTTP
  std::string type = "BadRequestError";      // vLLM's names: BadRequestError, NotFoundError, …
  std::string message;
  std::string param;                         // the field, such as "messages[2].content"; empty: null
  std::string code;                          // OpenAI's, such as "context_length_exceeded"; empty: the status number
  int retry_after_s = 0;                     // > 0: Retry-After
  bool repeat_helps = false;                 // the same request may succeed later
  bool operator==(const ApiError&) const = default;
};

template <class T>
using ApiExpected = tl::expected<T, ApiError>;

inline tl::unexpected<ApiError> refuse(ApiError error) { return tl::unexpected<ApiError>(std::move(error)); }

[[nodiscard]] ApiError bad_field(std::string param, std::string message);            // 400
[[nodiscard]] ApiError context_length_exceeded(std::string message);                 // 400, OpenAI's code
[[nodiscard]] ApiError unauthorized();                                               // 401, code invalid_api_key
[[nodiscard]] ApiError not_found(std::string message, std::string code = "");        // 404
[[nodiscard]] ApiError method_not_allowed(const std::string& allowed);               // 405
// 504: the server's own time is over. Not 408, which says that the request did not arrive in time (RFC 9110, 15.5.9).
[[nodiscard]] ApiError timed_out(std::string message);
[[nodiscard]] ApiError quota(std::string message, int retry_after_s);                // 429, code rate_limit_exceeded
[[nodiscard]] ApiError overloaded(std::string message, int retry_after_s);           // 503
// Ranks died of the request (500), or of one with its prompt (422); code poison_request.
[[nodiscard]] ApiError poison_request(int status, std::string message);
[[nodiscard]] ApiError internal_error();                                             // 500, fixed text
// Bytes that are no acceptable request: of that status, with the type of its kind.
[[nodiscard]] ApiError refused(int status, std::string why);
// What a Status of the engine means to a client.
[[nodiscard]] ApiError error_of(const Status& status);

// Clients of OpenAI repeat these statuses by themselves (408, 409, 429, all from 500 on); here it would be in vain.
[[nodiscard]] bool repeated_in_vain(const ApiError& error);

[[nodiscard]] std::string to_json(const ApiError& error);  // the body, UTF-8

}  // namespace herd::openai
