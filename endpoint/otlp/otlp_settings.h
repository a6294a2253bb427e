#pragma once
// OtlpSettings: where traces go and which requests are traced, as the flag --otlp-traces-endpoint and the environment variables of
// OpenTelemetry say it. Pure.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "endpoint/http/http_client.h"
#include "endpoint/http/http_message.h"
#include "kernels/status.h"
#include "observability/trace/span.h"
#include "observability/trace/trace_sampler.h"

namespace herd::otlp {

struct OtlpSettings {
  http::HttpTarget target;
  std::vector<http::HttpHeader> headers;
  double timeout_s = 10;       // of one POST
  trace::Attributes resource;  // what this process is
  trace::TraceSampler sampler;
};

// The value of an environment variable; nullopt: it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

// nullopt: nothing is traced. `endpoint`: of the flag, before the environment's; empty: it was not given. `resource`: what the process says
// of itself; the environment may say otherwise. kUsage names the flag or variable that is wrong.
[[nodiscard]] Expected<std::optional<OtlpSettings>> otlp_settings(const std::string& endpoint, trace::Attributes resource,
                                                                  const Environment& environment);

// The URL of --otlp-traces-endpoint; without a path: that of OpenTelemetry's collector. kUsage names the flag.
[[nodiscard]] Expected<http::HttpTarget> otlp_endpoint(const std::string& url);

}  // namespace herd::otlp
