#pragma once
// What the front door, the gateway and the jobs answer alike: errors with the headers that clients act on, the headers
// that every answer carries, and the words of the health routes.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/http/http_message.h"
#include "endpoint/openai/api_error.h"

namespace herd::api {

// Status, body, Retry-After, WWW-Authenticate, and x-should-retry: false where clients would repeat a request by
// themselves that ends the same way again.
[[nodiscard]] http::HttpResponse error_answer(const openai::ApiError& error, std::vector<http::HttpHeader> headers);

// How the health routes judge the server.
struct Health {
  int status = 200;
  std::string_view word = "ok";
  std::string reason;  // why it is another word, for a person; empty: nothing to say
};
// {"status":"ok"}, {"status":"unavailable","reason":"…"} and the like; a 503 says when to ask again.
[[nodiscard]] http::HttpResponse health_answer(const Health& health, std::vector<http::HttpHeader> headers);

// x-request-id, and CORS for the origins that are let in.
class AnswerHeaders {
 public:
  // `allowed_origins`: "*" is any; empty: no CORS headers. `random_bytes`: unpredictable; any thread.
  AnswerHeaders(std::vector<std::string> allowed_origins, std::function<void(std::span<std::uint8_t>)> random_bytes)
      : allowed_origins_(std::move(allowed_origins)), random_bytes_(std::move(random_bytes)) {}

  // The client's own when it is printable and short, else a drawn one.
  [[nodiscard]] std::string request_id(const http::HttpRequestHead& head) const;
  [[nodiscard]] std::vector<http::HttpHeader> of(const http::HttpRequestHead& head, const std::string& request_id) const;
  [[nodiscard]] std::vector<http::HttpHeader> of(const http::HttpRequestHead& head) const {
    return of(head, request_id(head));
  }
  // What a browser asks before the request itself: 204.
  [[nodiscard]] http::HttpResponse preflight(const http::HttpRequestHead& head) const;

 private:
  std::vector<std::string> allowed_origins_;
  std::function<void(std::span<std::uint8_t>)> random_bytes_;
};

}  // namespace herd::api
