#include "endpoint/api/answers.h"

#include <algorithm>
#include <utility>

#include "endpoint/openai/json_text.h"
#include "runtime/text/hex.h"

namespace herd::api {

using http::HttpHeader;
using http::HttpRequestHead;
using http::HttpResponse;

HttpResponse error_answer(const openai::ApiError& error, std::vector<HttpHeader> headers) {
  if (error.retry_after_s > 0) headers.push_back({"Retry-After", std::to_string(error.retry_after_s)});
  if (error.status == 401) headers.push_back({"WWW-Authenticate", "Bearer"});
  if (openai::repeated_in_vain(error)) headers.push_back({"x-should-retry", "false"});
  return {error.status, "application/json", std::move(headers), openai::to_json(error)};
}

HttpResponse health_answer(const Health& health, std::vector<HttpHeader> headers) {
  if (health.status == 503) headers.push_back({"Retry-After", "1"});
  std::string body = "{\"status\":\"" + std::string(health.word) + "\"";
  if (!health.reason.empty()) {
    body += ",\"reason\":";
    openai::append_quoted(health.reason, body);
  }
  return {health.status, "application/json", std::move(headers), body + "}"};
}

std::string AnswerHeaders::request_id(const HttpRequestHead& head) const {
  if (const std::string* given = head.header("x-request-id")) {
    const bool printable = std::ranges::all_of(*given, [](char c) { return c > ' ' && c < 0x7f; });
    if (printable && !given->empty() && given->size() <= 128) return *given;
  }
  std::uint8_t bytes[16];
  random_bytes_(bytes);
  return text::hex(bytes);
}

std::vector<HttpHeader> AnswerHeaders::of(const HttpRequestHead& head, const std::string& request_id) const {
  std::vector<HttpHeader> headers{{"x-request-id", request_id}};
  const std::string* origin = head.header("origin");
  if (origin == nullptr || allowed_origins_.empty()) return headers;
  const bool any = std::ranges::count(allowed_origins_, "*") > 0;
  if (!any && std::ranges::count(allowed_origins_, *origin) == 0) return headers;
  headers.push_back({"Access-Control-Allow-Origin", any ? "*" : *origin});
  headers.push_back(
      {"Access-Control-Expose-Headers", "x-request-id, retry-after, x-should-retry, x-herd-ignored-fields, traceparent"});
  if (!any) headers.push_back({"Vary", "Origin"});
  return headers;
}

HttpResponse AnswerHeaders::preflight(const HttpRequestHead& head) const {
  HttpResponse response{204, "", of(head), {}};
  if (response.headers.size() > 1) {
    response.headers.push_back({"Access-Control-Allow-Methods", "GET, POST, OPTIONS"});
    const std::string* wanted = head.header("access-control-request-headers");
    response.headers.push_back({"Access-Control-Allow-Headers",
                                wanted != nullptr ? *wanted : "authorization, content-type, last-event-id"});
    response.headers.push_back({"Access-Control-Max-Age", "600"});
  }
  return response;
}

}  // namespace herd::api
