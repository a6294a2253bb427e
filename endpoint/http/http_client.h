#pragma once
// One POST to an HTTP server, for what this process tells others: on a thread that has time to wait, on a connection of its own. No TLS.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "endpoint/http/http_message.h"
#include "kernels/status.h"

namespace herd::http {

struct HttpTarget {
  std::string host;  // name or address; an IPv6 address without its brackets
  std::string port = "80";
  std::string path;  // as sent: "/v1/traces?x=y"; empty: the URL had none
  [[nodiscard]] std::string url() const;
  bool operator==(const HttpTarget&) const = default;
};

// "http://127.0.0.1:4318/v1/traces", "http://[::1]:4318". kUsage: what is wrong with it, to be read behind the name of what it was.
[[nodiscard]] Expected<HttpTarget> parse_http_url(const std::string& url);

struct PostedAnswer {
  int status = 0;
  std::optional<double> retry_after_s;  // where the answer says so in seconds
  std::string body;                     // empty where it is longer than 64 KiB
};

struct Post {
  std::vector<HttpHeader> headers;  // beside Host, Content-Length and Connection
  std::string body;
  double timeout_s = 10;          // of all of it
  std::function<bool()> give_up;  // asked 50 times a second
};

// kMissing: it could not be reached, or did not answer in time. Looking up a name may take longer than the time: the system's resolver
// cannot be interrupted.
[[nodiscard]] Expected<PostedAnswer> post(const HttpTarget& target, Post post);

}  // namespace herd::http
