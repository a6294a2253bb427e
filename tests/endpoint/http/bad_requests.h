#pragma once
// Requests that a server at a public edge must not take, with the status it must answer before it closes.

#include <string>
#include <vector>

#include "endpoint/http/http_limits.h"

namespace herd::http {

struct BadRequest {
  std::string name;
  std::string bytes;
  int status;
};

const std::vector<BadRequest>& bad_requests();

// What the table expects: the defaults, but small bodies.
HttpLimits bad_request_limits();

}  // namespace herd::http
