#pragma once
// The bytes in front of a response's body. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "endpoint/http/http_message.h"

namespace herd::http {

struct ResponseFraming {
  bool http_1_0 = false;  // of the request
  bool keep_alive = true;
  bool stream = false;                       // chunked (HTTP/1.0: until the connection closes); else body.size() bytes
  std::optional<std::int64_t> unix_seconds;  // for Date
};

// Appends status line, headers and the empty line. Headers that are the server's (Content-Length, Transfer-Encoding,
// Connection, Date) or that would break the head (control characters) are left out.
void append_response_head(std::string& out, const HttpResponse& response, const ResponseFraming& framing);

// Whether an answer of that status has a body at all (RFC 9110: not 204, not 304).
constexpr bool has_body(int status) { return status != 204 && status != 304; }

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string http_date(std::int64_t unix_seconds);

}  // namespace herd::http
