// AdminServer over real sockets.
#include "endpoint/admin/admin_server.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/endpoint/http/raw_client.h"

namespace herd::admin {
namespace {

std::unique_ptr<AdminServer> started() {
  auto server = AdminServer::start({});
  EXPECT_TRUE(server) << (server ? "" : server.error().message());
  return server ? std::move(*server) : nullptr;
}

std::uint16_t port_of(const AdminServer& server) {
  return static_cast<std::uint16_t>(std::stoi(server.address().substr(server.address().rfind(':') + 1)));
}

http::WireAnswer asked(const AdminServer& server, const std::string& line, const std::string& host = "127.0.0.1") {
  http::RawClient client(port_of(server));
  client.send(line + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  auto answer = client.read_answer(line.starts_with("HEAD"));
  EXPECT_TRUE(answer) << line;
  return answer.value_or(http::WireAnswer{});
}

TEST(AdminServer, LivesBeforeItIsReady) {
  const auto server = started();
  EXPECT_EQ(asked(*server, "GET /live").status, 200);
  const http::WireAnswer ready = asked(*server, "GET /ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, "it starts\n");
  EXPECT_TRUE(ready.has("retry-after: 1"));
  const http::WireAnswer metrics = asked(*server, "GET /metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.body, "");
}

TEST(AdminServer, SaysWhatItsPagesSay) {
  std::optional<std::string> why = "no coordinator";
  const auto server = started();
  server->open({[&why] { return why; }, [] { return std::string("herd_up 1\n"); }});
  EXPECT_EQ(asked(*server, "GET /ready").body, "no coordinator\n");
  why.reset();
  EXPECT_EQ(asked(*server, "GET /ready").status, 200);
  const http::WireAnswer metrics = asked(*server, "GET /metrics");
  EXPECT_EQ(metrics.body, "herd_up 1\n");
  EXPECT_TRUE(metrics.has("content-type: text/plain; version=0.0.4"));
  EXPECT_EQ(server->metrics_url(), "http://" + server->address() + "/metrics");
}

TEST(AdminServer, TargetsAreThoseOfWhoKnowsThem) {
  const auto server = started();
  EXPECT_EQ(asked(*server, "GET /targets").status, 404);
  server->open({.not_ready = {}, .metrics = {}, .targets = [] { return std::string("[]\n"); }});
  const http::WireAnswer targets = asked(*server, "GET /targets");
  EXPECT_EQ(targets.status, 200);
  EXPECT_EQ(targets.body, "[]\n");
  EXPECT_TRUE(targets.has("content-type: application/json"));
}

// Whoever reaches the port could make the process look dead otherwise.
TEST(AdminServer, IdleConnectionsDoNotKeepProbesOut) {
  const auto server = started();
  server->open({[] { return std::optional<std::string>(); }, [] { return std::string("herd_up 1\n"); }});
  std::vector<http::RawClient> idle;
  for (int i = 0; i < 100; ++i) idle.emplace_back(port_of(*server));
  for (const char* page : {"GET /live", "GET /ready", "GET /metrics"}) EXPECT_EQ(asked(*server, page).status, 200) << page;
  EXPECT_EQ(asked(*server, "GET /v1/models").status, 503) << "what is not here need not be told to a crowd";
}

TEST(AdminServer, AnswersNothingElse) {
  const auto server = started();
  EXPECT_EQ(asked(*server, "GET /v1/models").status, 404);
  const http::WireAnswer post = asked(*server, "POST /metrics");
  EXPECT_EQ(post.status, 405);
  EXPECT_TRUE(post.has("allow: get, head"));
  EXPECT_EQ(asked(*server, "HEAD /metrics").status, 200);
}

// DNS rebinding: a page under a name that its owner has pointed to 127.0.0.1.
TEST(AdminServer, IsNoOriginOfAWebPage) {
  const auto server = started();
  EXPECT_EQ(asked(*server, "GET /metrics", "page.example").status, 421);
  EXPECT_EQ(asked(*server, "GET /metrics", "localhost").status, 200);
}

TEST(AdminServer, APortInUseIsRefusedByName) {
  const auto first = started();
  const auto second = AdminServer::start({"127.0.0.1", port_of(*first), {}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::kMissing);
  EXPECT_NE(second.error().message().find(std::to_string(port_of(*first))), std::string::npos) << second.error().message();
}

TEST(AdminServer, CallsNoPageAfterItIsClosed) {
  const auto server = started();
  auto pages = std::make_unique<std::string>("herd_up 1\n");
  server->open({[] { return std::optional<std::string>(); }, [&pages] { return *pages; }});
  http::RawClient client(port_of(*server));
  client.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_EQ(client.read_answer().value_or(http::WireAnswer{}).body, "herd_up 1\n");
  server->close();
  pages.reset();
  client.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_FALSE(client.read_answer());
}

}  // namespace
}  // namespace herd::admin
