#include "endpoint/otlp/otlp_settings.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>

#include "endpoint/http/http_head.h"
#include "runtime/text/hex.h"

namespace herd::otlp {
namespace {

constexpr const char* kTracesPath = "/v1/traces";
constexpr std::uint32_t kTimeoutMsMax = 600'000;

struct Pair {
  std::string name;
  std::string value;
};

// "a=1,b=2", blanks around, values percent-encoded (W3C Baggage, as OpenTelemetry has it). nullopt: it is no such list.
std::optional<std::vector<Pair>> read_pairs(std::string_view text) {
  std::vector<Pair> pairs;
  for (const std::string_view element : http::list_elements(text)) {
    const std::size_t equals = element.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    Pair& pair = pairs.emplace_back();
    pair.name = http::trim(element.substr(0, equals));
    if (pair.name.empty()) return std::nullopt;
    const std::string_view coded = http::trim(element.substr(equals + 1));
    for (std::size_t i = 0; i < coded.size(); ++i) {
      if (coded[i] != '%') {
        pair.value += coded[i];
        continue;
      }
      const int high = i + 2 < coded.size() ? text::hex_value(coded[i + 1]) : -1;
      const int low = i + 2 < coded.size() ? text::hex_value(coded[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      pair.value += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return pairs;
}

void set_attribute(trace::Attributes& attributes, const std::string& name, const std::string& value) {
  const auto found = std::ranges::find(attributes, name, &trace::Attribute::name);
  if (found != attributes.end()) {
    found->value = value;
  } else {
    attributes.push_back({name, value});
  }
}

// Reads the variables one after the other; an empty one counts as absent.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  [[nodiscard]] std::string value(const char* name) const { return environment_(name).value_or(""); }
  // The first of the two that is set, and its name: traces' own before that of all signals.
  [[nodiscard]] Pair either(const char* of_traces, const char* of_all) const {
    std::string own = value(of_traces);
    return own.empty() ? Pair{of_all, value(of_all)} : Pair{of_traces, std::move(own)};
  }
  [[nodiscard]] bool disabled() const { return http::same_name(value("OTEL_SDK_DISABLED"), "true"); }

  // nullopt: nobody says where to.
  [[nodiscard]] Expected<std::optional<http::HttpTarget>> target() const {
    const auto [name, url] = either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
    if (url.empty()) return std::nullopt;
    auto target = http::parse_http_url(url);
    if (!target) return fail(usage_error(name + " " + target.error().message()));
    if (name == "OTEL_EXPORTER_OTLP_ENDPOINT") {
      while (target->path.ends_with('/')) target->path.pop_back();
      target->path += kTracesPath;
    }
    return *target;
  }
  [[nodiscard]] Status check_protocol() const {
    const auto [name, protocol] = either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
    if (protocol.empty() || protocol == "http/json") return {};
    return usage_error(name + " is " + protocol + ", and traces are sent as http/json only: set it so, or not at all, and name a port "
                       "of the collector that takes HTTP (4318, not 4317)");
  }
  [[nodiscard]] Status read_headers(std::vector<http::HttpHeader>& headers) const {
    const auto [name, text] = either("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
    const auto pairs = read_pairs(text);
    // Not shown: keys stand there.
    if (!pairs) return usage_error(name + " must be such as name=value,name=value");
    for (const Pair& pair : *pairs) {
      if (!http::is_token(pair.name) || !http::is_header_value(pair.value)) return usage_error(name + " holds what is no header");
      headers.push_back({pair.name, pair.value});
    }
    return {};
  }
  [[nodiscard]] Status read_timeout(double& seconds) const {
    const auto [name, text] = either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
    if (text.empty()) return {};
    std::uint32_t ms = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
    if (error != std::errc{} || end != text.data() + text.size() || ms == 0 || ms > kTimeoutMsMax)
      return usage_error(name + " must be milliseconds in [1, " + std::to_string(kTimeoutMsMax) + "], not \"" + text + "\"");
    seconds = ms * 1e-3;
    return {};
  }
  [[nodiscard]] Status read_resource(trace::Attributes& resource) const {
    const auto pairs = read_pairs(value("OTEL_RESOURCE_ATTRIBUTES"));
    if (!pairs) return usage_error("OTEL_RESOURCE_ATTRIBUTES must be such as name=value,name=value");
    for (const Pair& pair : *pairs) set_attribute(resource, pair.name, pair.value);
    if (const std::string service = value("OTEL_SERVICE_NAME"); !service.empty()) set_attribute(resource, "service.name", service);
    return {};
  }
  [[nodiscard]] Status read_sampler(trace::TraceSampler& sampler) const {
    const std::string name = value("OTEL_TRACES_SAMPLER");
    if (name.empty()) return {};
    auto named = trace::TraceSampler::named(name, value("OTEL_TRACES_SAMPLER_ARG"));
    if (!named) return named.error();
    sampler = *named;
    return {};
  }

 private:
  const Environment& environment_;
};

}  // namespace

Expected<http::HttpTarget> otlp_endpoint(const std::string& url) {
  auto target = http::parse_http_url(url);
  if (!target) return fail(usage_error("--otlp-traces-endpoint " + target.error().message()));
  if (target->path.empty() || target->path == "/") target->path = kTracesPath;
  return target;
}

Expected<std::optional<OtlpSettings>> otlp_settings(const std::string& endpoint, trace::Attributes resource,
                                                    const Environment& environment) {
  const Reader reader(environment);
  if (reader.disabled()) return std::nullopt;
  OtlpSettings settings;
  if (!endpoint.empty()) {
    auto target = otlp_endpoint(endpoint);
    if (!target) return fail(target.error());
    settings.target = std::move(*target);
  } else {
    auto target = reader.target();
    if (!target) return fail(target.error());
    if (!*target) return std::nullopt;
    settings.target = std::move(**target);
  }
  settings.resource = std::move(resource);
  for (Status status : {reader.check_protocol(), reader.read_headers(settings.headers), reader.read_timeout(settings.timeout_s),
                        reader.read_resource(settings.resource), reader.read_sampler(settings.sampler)})
    if (!status.ok()) return fail(std::move(status));
  return settings;
}

}  // namespace herd::otlp
