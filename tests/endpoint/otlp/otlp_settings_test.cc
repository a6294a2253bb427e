#include "endpoint/otlp/otlp_settings.h"

#include <gtest/gtest.h>

#include <map>

namespace herd::otlp {
namespace {

using Variables = std::map<std::string, std::string>;

Expected<std::optional<OtlpSettings>> read(const std::string& flag, Variables variables) {
  return otlp_settings(flag, {{"service.name", "herd"}, {"service.version", "1"}},
                       [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
                         const auto found = variables.find(name);
                         return found == variables.end() ? std::nullopt : std::optional(found->second);
                       });
}
// The URL that spans go to; "": nothing is traced; else the refusal.
std::string target(const std::string& flag, Variables variables) {
  const auto settings = read(flag, std::move(variables));
  if (!settings) return settings.error().message();
  return *settings ? (*settings)->target.url() : "";
}

constexpr const char* kTraces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
constexpr const char* kAll = "OTEL_EXPORTER_OTLP_ENDPOINT";
constexpr const char* kFlag = "http://collector:4318/v1/traces";

TEST(OtlpSettings, NothingIsTracedUnlessSomebodySaysWhereTo) {
  EXPECT_EQ(target("", {}), "");
  EXPECT_EQ(target("", {{kAll, ""}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_SERVICE_NAME", "x"}}), "");
}

TEST(OtlpSettings, TheFlagComesBeforeTheEnvironmentAndTracesBeforeAll) {
  EXPECT_EQ(target(kFlag, {{kTraces, "http://b:1/b"}, {kAll, "http://c:1"}}), kFlag);
  EXPECT_EQ(target("", {{kTraces, "http://b:1/b"}, {kAll, "http://c:1"}}), "http://b:1/b");
  EXPECT_EQ(target("", {{kTraces, ""}, {kAll, "http://c:1"}}), "http://c:1/v1/traces");
}

TEST(OtlpSettings, PathsAreAsEachOfThemHasThem) {
  EXPECT_EQ(target("http://a:4318", {}), "http://a:4318/v1/traces");
  EXPECT_EQ(target("http://a:4318/", {}), "http://a:4318/v1/traces");
  EXPECT_EQ(target("http://a/other?x=1", {}), "http://a:80/other?x=1");
  EXPECT_EQ(target("", {{kTraces, "http://a:4318"}}), "http://a:4318");  // as is
  EXPECT_EQ(target("", {{kAll, "http://a:4318/prefix/"}}), "http://a:4318/prefix/v1/traces");
  EXPECT_EQ(target("http://[::1]:4318", {}), "http://[::1]:4318/v1/traces");
}

TEST(OtlpSettings, UrlsThatAreNoneAreRefusedByName) {
  for (const char* url : {"https://a/v1/traces", "grpc://a:4317", "a:4318", "http://", "http://a:0", "http://a:65536", "http://a:",
                          "http://user@a", "http://a b", "http://[::1", "http://a:x", "http://:4318"}) {
    EXPECT_TRUE(target(url, {}).starts_with("--otlp-traces-endpoint must be such as")) << target(url, {});
    EXPECT_TRUE(target("", {{kTraces, url}}).starts_with(kTraces)) << target("", {{kTraces, url}});
    EXPECT_TRUE(target("", {{kAll, url}}).starts_with(kAll));
  }
  EXPECT_NE(target("https://a", {}).find("https is not spoken here"), std::string::npos);
}

TEST(OtlpSettings, OtherProtocolsAreRefusedByName) {
  EXPECT_EQ(target(kFlag, {{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"}}), kFlag);
  EXPECT_TRUE(target(kFlag, {{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}).starts_with("OTEL_EXPORTER_OTLP_PROTOCOL is grpc"));
  EXPECT_EQ(target(kFlag, {{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"}}), kFlag);
  EXPECT_TRUE(target(kFlag, {{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"}}).starts_with("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"));
}

TEST(OtlpSettings, TheSwitchTurnsAllOfItOff) {
  EXPECT_EQ(target(kFlag, {{"OTEL_SDK_DISABLED", "True"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}), "");
  EXPECT_EQ(target(kFlag, {{"OTEL_SDK_DISABLED", "false"}}), kFlag);
}

TEST(OtlpSettings, HeadersAndTimeout) {
  const auto settings = read(kFlag, {{"OTEL_EXPORTER_OTLP_HEADERS", "api-key = a%20b%3D, x-other=1"}, {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"}});
  ASSERT_TRUE(settings);
  EXPECT_EQ((*settings)->headers, (std::vector<http::HttpHeader>{{"api-key", "a b="}, {"x-other", "1"}}));
  EXPECT_EQ((*settings)->timeout_s, 2.5);
  EXPECT_EQ((*read(kFlag, {}))->timeout_s, 10);
  for (const char* bad : {"secret", "a b=secret", "=secret", "a=secret%2", "a=secret%zz", "a=secret%0d%0ax"}) {
    const std::string said = target(kFlag, {{"OTEL_EXPORTER_OTLP_HEADERS", bad}});
    EXPECT_TRUE(said.starts_with("OTEL_EXPORTER_OTLP_HEADERS ")) << said;
    EXPECT_EQ(said.find("secret"), std::string::npos) << "keys are not shown";
  }
  for (const char* bad : {"0", "-1", "1.5", "10s", "600001"})
    EXPECT_TRUE(target(kFlag, {{"OTEL_EXPORTER_OTLP_TIMEOUT", bad}}).starts_with("OTEL_EXPORTER_OTLP_TIMEOUT must be")) << bad;
}

TEST(OtlpSettings, WhoTheProcessIs) {
  const auto settings = read(kFlag, {{"OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.version=2,deployment.environment=test%20bed"},
                                     {"OTEL_SERVICE_NAME", "b"}});
  ASSERT_TRUE(settings);
  EXPECT_EQ((*settings)->resource,
            (trace::Attributes{{"service.name", "b"}, {"service.version", "2"}, {"deployment.environment", "test bed"}}));
  EXPECT_TRUE(target(kFlag, {{"OTEL_RESOURCE_ATTRIBUTES", "nothing"}}).starts_with("OTEL_RESOURCE_ATTRIBUTES must be"));
}

TEST(OtlpSettings, TheSampler) {
  const auto none = read(kFlag, {{"OTEL_TRACES_SAMPLER", "parentbased_traceidratio"}, {"OTEL_TRACES_SAMPLER_ARG", "0"}});
  ASSERT_TRUE(none);
  EXPECT_FALSE((*none)->sampler.samples({}, std::nullopt));
  EXPECT_TRUE((*none)->sampler.samples({}, true));
  EXPECT_TRUE((*read(kFlag, {}))->sampler.samples({}, std::nullopt));
  EXPECT_TRUE(target(kFlag, {{"OTEL_TRACES_SAMPLER", "xray"}}).starts_with("OTEL_TRACES_SAMPLER must be"));
}

}  // namespace
}  // namespace herd::otlp
