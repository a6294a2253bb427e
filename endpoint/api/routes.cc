#include "endpoint/api/routes.h"

#include <cstddef>

#include "endpoint/pages/page_files.h"
#include "runtime/text/hex.h"

namespace herd::api {
namespace {

struct Row {
  Route route;
  const char* path;
  bool get, post;
};

constexpr Row kRoutes[] = {
    {Route::kHealth, "/health", true, false},
    {Route::kLive, "/live", true, false},
    {Route::kReady, "/ready", true, false},
    {Route::kPing, "/ping", true, true},
    {Route::kLoad, "/load", true, false},
    {Route::kVersion, "/version", true, false},
    {Route::kMetrics, "/metrics", true, false},
    {Route::kOpenApi, "/openapi.json", true, false},
    {Route::kModels, "/v1/models", true, false},
    {Route::kModel, "/v1/models/{model}", true, false},
    {Route::kCompletions, "/v1/completions", false, true},
    {Route::kChatCompletions, "/v1/chat/completions", false, true},
    {Route::kTokenize, "/tokenize", false, true},
    {Route::kDetokenize, "/detokenize", false, true},
    {Route::kPageStatus, "/ui/status.json", true, false},
    {Route::kPage, "/ui", true, false},
};

constexpr std::string_view kModelPrefix = "/v1/models/";

}  // namespace

std::string model_of_path(std::string_view path) {
  path.remove_prefix(kModelPrefix.size());
  std::string name;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const bool room = path[i] == '%' && i + 2 < path.size();
    const int high = room ? text::hex_value(path[i + 1]) : -1;
    const int low = room ? text::hex_value(path[i + 2]) : -1;
    const bool escape = high >= 0 && low >= 0;
    name.push_back(escape ? static_cast<char>(high * 16 + low) : path[i]);
    if (escape) i += 2;
  }
  return name;
}

const char* route_path(Route route) { return kRoutes[static_cast<std::size_t>(route)].path; }

bool is_probe(Route route) {
  return route == Route::kHealth || route == Route::kLive || route == Route::kReady || route == Route::kPing;
}

bool is_public(Route route) { return is_probe(route) || route == Route::kPage; }

bool takes_json(Route route) {
  return generates(route) || route == Route::kTokenize || route == Route::kDetokenize;
}

bool generates(Route route) { return route == Route::kCompletions || route == Route::kChatCompletions; }

std::variant<Route, NoSuchRoute, WrongMethod> find_route(std::string_view method, std::string_view path) {
  for (const Row& row : kRoutes) {
    const bool one_model = row.route == Route::kModel && path.starts_with(kModelPrefix) && path != kModelPrefix;
    const bool page = row.route == Route::kPage && pages::find_page(path) != nullptr;
    if (path != row.path && !one_model && !page) continue;
    if (row.get && (method == "GET" || method == "HEAD")) return row.route;
    if (row.post && method == "POST") return row.route;
    return WrongMethod{row.get && row.post ? "GET, HEAD, POST" : row.get ? "GET, HEAD" : "POST"};
  }
  return NoSuchRoute{};
}

}  // namespace herd::api
