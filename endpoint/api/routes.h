#pragma once
// The endpoint's routes: path and method -> what is asked. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace herd::api {

enum class Route : std::uint8_t {
  kHealth,
  kLive,
  kReady,
  kPing,
  kLoad,
  kVersion,
  kMetrics,
  kOpenApi,
  kModels,
  kModel,
  kCompletions,
  kChatCompletions,
  kTokenize,
  kDetokenize,
  kPageStatus,
  kPage,
};

// The pattern, for metrics and logs.
[[nodiscard]] const char* route_path(Route route);
// Answered without a key even when keys are set: what supervisors, balancers and start scripts ask, and pages, which hold nothing
// but themselves.
[[nodiscard]] bool is_public(Route route);
// What probes ask to know whether the process lives and is ready; cheap.
[[nodiscard]] bool is_probe(Route route);
// Takes a JSON body.
[[nodiscard]] bool takes_json(Route route);
// Runs the model: admission applies.
[[nodiscard]] bool generates(Route route);

struct NoSuchRoute {};
struct WrongMethod {
  std::string allowed;  // "GET, HEAD"
};
// The name behind /v1/models/, percent-decoded (names may hold slashes). `path` is one of Route::kModel.
[[nodiscard]] std::string model_of_path(std::string_view path);

// HEAD counts as GET.
[[nodiscard]] std::variant<Route, NoSuchRoute, WrongMethod> find_route(std::string_view method, std::string_view path);

}  // namespace herd::api
