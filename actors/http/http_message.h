#pragma once
// HttpRequest, HttpResponse: HTTP/1.1 messages as values, without a socket or a library.

#include <string>
#include <string_view>
#include <vector>

namespace herd::http {

// Equal but for the case of ASCII letters: header names, and the tokens of some values.
bool same_name(std::string_view a, std::string_view b);

struct HttpHeader {
  std::string name;
  std::string value;
  bool operator==(const HttpHeader&) const = default;
};

struct HttpRequestHead {
  std::string method;               // "GET"
  std::string path;                 // of the target, before '?', as sent (not decoded)
  std::string query;                // behind '?', as sent
  std::vector<HttpHeader> headers;  // in order
  std::string peer;                 // "127.0.0.1:51234"

  // The first header of that name (any case); null when there is none.
  [[nodiscard]] const std::string* header(std::string_view name) const;
};

struct HttpRequest {
  HttpRequestHead head;
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type;         // empty: no such header
  std::vector<HttpHeader> headers;  // Content-Length, Connection, Date are the server's
  std::string body;
};

}  // namespace herd::http
