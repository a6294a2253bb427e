#include "actors/api/routes.h"

namespace herd::api {
namespace {

struct Row {
  Route route;
  const char* path;
  bool get, post;
};

constexpr Row kRoutes[] = {
    {Route::kHealth, "/health", true, false},
    {Route::kReady, "/ready", true, false},
    {Route::kPing, "/ping", true, true},
    {Route::kLoad, "/load", true, false},
    {Route::kVersion, "/version", true, false},
    {Route::kMetrics, "/metrics", true, false},
    {Route::kOpenApi, "/openapi.json", true, false},
    {Route::kModels, "/v1/models", true, false},
    {Route::kCompletions, "/v1/completions", false, true},
    {Route::kChatCompletions, "/v1/chat/completions", false, true},
    {Route::kTokenize, "/tokenize", false, true},
    {Route::kDetokenize, "/detokenize", false, true},
};

}  // namespace

const char* route_path(Route route) { return kRoutes[static_cast<std::size_t>(route)].path; }

bool is_public(Route route) { return route == Route::kHealth || route == Route::kReady; }

bool takes_json(Route route) {
  return generates(route) || route == Route::kTokenize || route == Route::kDetokenize;
}

bool generates(Route route) { return route == Route::kCompletions || route == Route::kChatCompletions; }

std::variant<Route, NoSuchRoute, WrongMethod> find_route(std::string_view method, std::string_view path) {
  for (const Row& row : kRoutes) {
    if (path != row.path) continue;
    if (row.get && (method == "GET" || method == "HEAD")) return row.route;
    if (row.post && method == "POST") return row.route;
    return WrongMethod{row.get && row.post ? "GET, HEAD, POST" : row.get ? "GET, HEAD" : "POST"};
  }
  return NoSuchRoute{};
}

}  // namespace herd::api
