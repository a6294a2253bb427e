#pragma once
// Calls an HttpHandler as the server does: the head first, then the request.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/endpoint/api/api_fixture.h"

namespace herd::api {

inline http::HttpRequestHead head_of(std::string method, std::string path, std::vector<http::HttpHeader> headers = {}) {
  http::HttpRequestHead head;
  head.method = std::move(method);
  head.path = std::move(path);
  head.host = "localhost:8000";
  head.headers = std::move(headers);
  head.listener = "127.0.0.1:8000";
  return head;
}

// The whole answer; a stream is none.
inline http::HttpResponse call(http::HttpHandler& handler, const http::HttpRequestHead& head, std::string body = {}) {
  if (auto refused = handler.on_head(head)) return std::move(*refused);
  const auto responder = std::make_shared<FakeResponder>();
  std::function<void()> on_gone;
  handler.on_request({head, std::move(body)}, responder, on_gone);
  EXPECT_TRUE(responder->await_end()) << head.path;
  EXPECT_EQ(responder->violation(), "");
  return responder->answer().value_or(http::HttpResponse{});
}

inline std::string value_of(const http::HttpResponse& response, std::string_view name) {
  const std::string* value = header_of(response, name);
  return value != nullptr ? *value : "";
}

}  // namespace herd::api
