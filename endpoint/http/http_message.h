#pragma once
// HttpRequest, HttpResponse: HTTP/1.1 messages as values, without a socket or a library.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::http {

// Equal but for the case of ASCII letters: header names, and the tokens of some values.
bool same_name(std::string_view a, std::string_view b);

// Without the blanks and tabs around it.
std::string_view trim(std::string_view text);

// The elements of a comma-separated list, trimmed; empty ones are left out (RFC 9110, 5.6.1).
std::vector<std::string_view> list_elements(std::string_view list);

struct HttpHeader {
  std::string name;
  std::string value;
  bool operator==(const HttpHeader&) const = default;
};

struct HttpRequestHead {
  std::string method;               // "GET"
  std::string path;                 // of the target, before '?', as sent (not decoded); "*" of OPTIONS *
  std::string query;                // behind '?', as sent
  std::optional<std::string> host;  // whom it was sent to, "localhost:8000": an absolute target's, else Host; HTTP/1.0 may lack it
  bool absolute = false;            // the target named the host: the client takes this server for its proxy
  std::vector<HttpHeader> headers;  // in order
  std::string peer;                 // "127.0.0.1:51234"
  std::string listener;             // the address that is listened on, "127.0.0.1:8000"

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
