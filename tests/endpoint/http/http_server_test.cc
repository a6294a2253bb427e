// HttpServer over real sockets: refusals, keep-alive, limits, life and death. Streams: http_streams_test.cc.
#include "endpoint/http/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "bad_requests.h"
#include "raw_client.h"
#include "scripted_handler.h"

namespace herd::http {
namespace {

HttpServerConfig with(const HttpLimits& limits) {
  HttpServerConfig config;
  config.limits = limits;
  return config;
}

// Waits for what another thread does, 30 s at most.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

std::set<int> open_descriptors() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    if (fcntl(fd, F_GETFD) >= 0) found.insert(fd);  // not the listing's own
  }
  return found;
}

// Else it would keep the port and every client's connection open when this process has ended.
TEST(HttpServer, NothingThatItOpensOutlivesItInAChild) {
  const std::set<int> before = open_descriptors();
  ScriptedHandler handler;
  const auto server = start(handler);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(server->port());
    clients.back().send(kGet);
    ASSERT_TRUE(clients.back().read_answer());
  }
  std::set<int> ours;
  for (const RawClient& client : clients) ours.insert(client.descriptor());
  int opened = 0;
  for (const int fd : open_descriptors()) {
    if (before.contains(fd) || ours.contains(fd)) continue;
    ++opened;
    EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC) << std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
  }
  EXPECT_GE(opened, 4) << "the port and three connections at least";
}

TEST(HttpServer, AnswersBadRequestsWithTheirStatusAndCloses) {
  ScriptedHandler handler;
  const auto server = start(handler, with(bad_request_limits()));
  for (const BadRequest& bad : bad_requests()) {
    RawClient client(server->port());
    client.send(bad.bytes);
    const auto answer = client.read_answer();
    ASSERT_TRUE(answer) << bad.name;
    EXPECT_EQ(answer->status, bad.status) << bad.name;
    EXPECT_TRUE(answer->has("\nconnection: close\n")) << bad.name;
    EXPECT_TRUE(answer->body.starts_with("refused: ")) << bad.name;
    EXPECT_EQ(client.read_to_end(), "") << bad.name;
  }
  EXPECT_EQ(handler.requests, 0);
  EXPECT_EQ(server->stats().refused, bad_requests().size());
}

TEST(HttpServer, AClientThatStillSendsItsBodySeesTheRefusal) {
  ScriptedHandler handler;
  handler.head = [](const HttpRequestHead& head) -> std::optional<HttpResponse> {
    if (head.path == "/no") return HttpResponse{401, "text/plain", {}, "no key"};
    return {};
  };
  const auto server = start(handler);
  for (const char* path : {"/no", "/too_long"}) {
    RawClient client(server->port());
    client.send("POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
    for (int i = 0; i < 80; ++i) client.send(std::string(100'000, 'x'));
    const auto answer = client.read_answer();
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(answer->status, std::string(path) == "/no" ? 401 : 413);
    EXPECT_TRUE(answer->has("\nconnection: close\n"));
  }
  EXPECT_EQ(handler.requests, 0);
}

TEST(HttpServer, ARefusalWithoutABodyKeepsTheConnection) {
  ScriptedHandler handler;
  handler.head = [](const HttpRequestHead&) { return HttpResponse{404, "text/plain", {}, "no"}; };
  const auto server = start(handler);
  RawClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    client.send(kGet);
    EXPECT_EQ(client.read_answer()->status, 404);
  }
  EXPECT_EQ(server->stats().connections_accepted, 1U);
  EXPECT_EQ(server->stats().requests, 3U);
}

TEST(HttpServer, KeepsTheConnectionOfEveryBodyKind) {
  ScriptedHandler handler;
  const auto server = start(handler);
  RawClient client(server->port());
  client.send(kGet);
  EXPECT_EQ(client.read_answer()->body, "GET /a ");
  client.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(client.read_answer()->body, "POST /b hello");
  client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_answer()->body, "POST /c hello");
  client.send("HEAD /d HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(client.read_answer(true)->has("\ncontent-length: 8\n"));
  client.send("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_answer()->status, 100);
  client.send("hi");
  EXPECT_EQ(client.read_answer()->body, "POST /e hi");
  client.send("GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.read_answer()->has("\nconnection: close\n"));
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_EQ(server->stats().connections_accepted, 1U);
}

TEST(HttpServer, Http10ClosesUnlessAskedNotTo) {
  ScriptedHandler handler;
  const auto server = start(handler);
  RawClient stays(server->port());
  for (int i = 0; i < 2; ++i) {
    stays.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(stays.read_answer()->has("\nconnection: keep-alive\n"));
  }
  RawClient goes(server->port());
  goes.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(goes.read_answer()->body, "GET /a ");
  EXPECT_EQ(goes.read_to_end(), "");
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  ScriptedHandler handler;
  handler.answer = [](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    std::thread([path = request.head.path, responder] { responder->respond({200, "", {}, path}); }).join();
  };
  const auto server = start(handler);
  RawClient client(server->port());
  client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy" +
              std::string("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"));
  for (const char* path : {"/1", "/2", "/3"}) EXPECT_EQ(client.read_answer()->body, path);
}

TEST(HttpServer, PipelinedRequestsDoNotKeepOtherConnectionsWaiting) {
  constexpr int kPipelined = 1000;
  ScriptedHandler handler;
  Event reached, go;
  std::atomic<int> before_other{0};
  std::atomic<bool> other_came{false};
  handler.head = [&](const HttpRequestHead& head) {
    if (head.path == "/other") other_came = true;
    if (!other_came && before_other++ == 0) {
      reached.set();
      go.wait();
    }
    return std::optional<HttpResponse>();
  };
  const auto server = start(handler);
  RawClient other(server->port());
  RawClient many(server->port());
  std::string requests;
  for (int i = 0; i < kPipelined; ++i) requests += kGet;
  many.send(requests);
  ASSERT_TRUE(reached.wait());  // the only thread is in the first of them
  other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
  go.set();
  ASSERT_TRUE(other.read_answer());
  EXPECT_LT(before_other, kPipelined / 2);
  for (int i = 0; i < kPipelined; ++i) ASSERT_TRUE(many.read_answer()) << i;
}

TEST(HttpServer, MoreThanIsBufferedMayBePipelined) {
  ScriptedHandler handler;
  HttpLimits limits;
  limits.pipelined_bytes_max = 1000;
  const auto server = start(handler, with(limits));
  RawClient client(server->port());
  constexpr int kRequests = 20'000;
  std::thread sender([&] {
    std::string requests;
    for (int i = 0; i < kRequests; ++i) requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    EXPECT_TRUE(client.send(requests));
  });
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(client.read_answer()->body, "GET /" + std::to_string(i) + " ");
  sender.join();
}

TEST(HttpServer, LargeBodiesGoThroughWhole) {
  ScriptedHandler handler;
  const auto server = start(handler);
  const std::string body(2 * 1024 * 1024, 'b');
  RawClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    client.send(body);
    EXPECT_TRUE(client.read_answer()->body == "POST /x " + body);
  }
}

TEST(HttpServer, SlowHeadsAndBodiesAreA408) {
  ScriptedHandler handler;
  HttpLimits limits;
  limits.head_time = limits.body_time = std::chrono::milliseconds(50);
  const auto server = start(handler, with(limits));
  for (const char* begun :
       {"G", "GET / HTTP/1.1\r\nHost: a\r\nX-", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"}) {
    RawClient client(server->port());
    client.send(begun);
    EXPECT_EQ(client.read_answer()->status, 408) << begun;
    EXPECT_EQ(client.read_to_end(), "");
  }
  EXPECT_EQ(handler.requests, 0);
}

TEST(HttpServer, ABodyBelowTheRateIsA408) {
  ScriptedHandler handler;
  HttpLimits limits;
  limits.body_grace = std::chrono::milliseconds(20);
  const auto server = start(handler, with(limits));
  RawClient client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n123456789");
  EXPECT_EQ(client.read_answer()->status, 408);
}

TEST(HttpServer, IdleConnectionsAreClosed) {
  ScriptedHandler handler;
  HttpLimits limits;
  limits.idle_time = std::chrono::milliseconds(30);
  const auto server = start(handler, with(limits));
  RawClient silent(server->port());
  EXPECT_EQ(silent.read_to_end(), "");
  RawClient used(server->port());
  used.send(kGet);
  EXPECT_EQ(used.read_answer()->status, 200);
  EXPECT_EQ(used.read_to_end(), "");
}

TEST(HttpServer, ADroppedResponderIsA500) {
  ScriptedHandler handler;
  handler.answer = [](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    std::thread([responder = std::move(responder)] {}).detach();
  };
  const auto server = start(handler);
  RawClient client(server->port());
  for (int i = 0; i < 2; ++i) {
    client.send(kGet);
    const auto answer = client.read_answer();
    EXPECT_EQ(answer->status, 500);
    EXPECT_EQ(answer->body, "refused: internal error GET /a");
  }
}

TEST(HttpServer, ExceptionsOfTheHandlerAreA500) {
  ScriptedHandler handler;
  handler.answer = [](HttpRequest, std::shared_ptr<HttpResponder>, std::function<void()>&) {
    throw std::runtime_error("boom");
  };
  const auto server = start(handler);
  RawClient client(server->port());
  client.send(kGet);
  EXPECT_EQ(client.read_answer()->status, 500);
}

TEST(HttpServer, NoticesAClientThatLeavesWhileItsAnswerIsPending) {
  ScriptedHandler handler;
  Event came, gone;
  std::shared_ptr<HttpResponder> kept;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    kept = std::move(responder);
    on_gone = [&] { gone.set(); };
    came.set();
  };
  const auto server = start(handler);
  for (int how = 0; how < 3; ++how) {  // closed, reset, half closed
    RawClient client(server->port());
    client.send(how == 1 ? kGet + kGet : kGet);  // something pipelined does not hide it
    ASSERT_TRUE(came.wait(how + 1));
    if (how == 0) client.close();
    if (how == 1) client.reset();
    if (how == 2) client.shut_down();
    ASSERT_TRUE(gone.wait(how + 1)) << how;
    EXPECT_FALSE(kept->send("late"));
    kept->respond({});
  }
  EXPECT_EQ(server->stats().clients_gone, 3U);
  EXPECT_TRUE(eventually([&] { return server->stats().connections_open == 0; }));
  EXPECT_EQ(gone.count(), 3);
}

TEST(HttpServer, NoticesAClientThatLeavesBehindMoreThanIsBuffered) {
  ScriptedHandler handler;
  Event came, gone;
  std::shared_ptr<HttpResponder> kept;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    kept = std::move(responder);
    on_gone = [&] { gone.set(); };
    came.set();
  };
  HttpLimits limits;
  limits.pipelined_bytes_max = 1000;
  const auto server = start(handler, with(limits));
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += kGet;
  for (int how = 0; how < 3; ++how) {  // closed, reset, half closed
    RawClient client(server->port());
    client.send(requests);
    ASSERT_TRUE(came.wait(how + 1));
    if (how == 0) client.close();
    if (how == 1) client.reset();
    if (how == 2) client.shut_down();
    ASSERT_TRUE(gone.wait(how + 1)) << how;
    kept->respond({});
  }
  EXPECT_TRUE(eventually([&] { return server->stats().connections_open == 0; }));
  EXPECT_EQ(came.count(), 3);
}

TEST(HttpServer, ConnectionsOverTheLimitAreToldSo) {
  ScriptedHandler handler;
  HttpLimits limits;
  limits.connections = 3;
  const auto server = start(handler, with(limits));
  {
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back(server->port());
      clients.back().send(kGet);
      EXPECT_EQ(clients.back().read_answer()->status, 200);
    }
    RawClient fourth(server->port());
    fourth.send(kGet);
    EXPECT_EQ(fourth.read_answer()->status, 503);
    EXPECT_EQ(fourth.read_to_end(), "");
    EXPECT_EQ(server->stats().connections_refused, 1U);
  }
  EXPECT_TRUE(eventually([&] { return server->stats().connections_open == 0; }));
  RawClient later(server->port());
  later.send(kGet);
  EXPECT_EQ(later.read_answer()->status, 200);
}

const std::string kProbe = "GET /probe HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(HttpServer, AProbeIsAnsweredBeyondTheLimitOnce) {
  ScriptedHandler handler;
  HttpLimits limits;
  limits.connections = 1;
  const auto server = start(handler, with(limits));
  const RawClient holds_the_place(server->port());
  ASSERT_TRUE(eventually([&] { return server->stats().connections_open == 1; }));
  for (int i = 0; i < 3; ++i) {
    RawClient probe(server->port());
    probe.send(kProbe + kProbe);
    const auto answer = probe.read_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_TRUE(answer->has("\nconnection: close\n"));
    EXPECT_EQ(probe.read_to_end(), "") << "one request, whatever follows it";
  }
  RawClient with_body(server->port());
  with_body.send("POST /probe HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(with_body.read_answer()->status, 503);
  RawClient no_probe(server->port());
  no_probe.send(kGet);
  EXPECT_EQ(no_probe.read_answer()->status, 503);
  EXPECT_EQ(server->stats().connections_refused, 5U);
  EXPECT_EQ(handler.requests, 3);
}

// They hold every place there is, and those beyond the limit too.
TEST(HttpServer, AProbeGetsThroughACrowdOfIdleConnections) {
  for (const int threads : {1, 2}) {
    ScriptedHandler handler;
    HttpLimits limits;
    limits.connections = 2;
    HttpServerConfig config = with(limits);
    config.threads = threads;
    const auto server = start(handler, config);
    std::vector<RawClient> crowd;
    for (int i = 0; i < 200; ++i) crowd.emplace_back(server->port());
    ASSERT_TRUE(eventually([&] { return server->stats().connections_accepted == 200; }));
    RawClient probe(server->port());
    probe.send(kProbe);
    const auto answer = probe.read_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_TRUE(eventually([&] { return server->stats().connections_open <= 2 + 8; })) << "the first of the crowd made room";
    crowd.front().send(kGet);
    EXPECT_EQ(crowd.front().read_answer()->status, 200) << "what was let in stays";
  }
}

TEST(HttpServer, APortInUseSaysSo) {
  ScriptedHandler handler;
  const auto server = start(handler);
  HttpServerConfig config;
  config.port = server->port();
  const auto second = HttpServer::start(config, handler);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), missing("address 127.0.0.1:" + std::to_string(config.port) + " is already in use"));
}

TEST(HttpServer, ListensOnNamesAndIpv6) {
  ScriptedHandler handler;
  HttpServerConfig config;
  config.host = "localhost";
  const auto server = start(handler, config);
  RawClient client(server->port());
  client.send(kGet);
  EXPECT_EQ(client.read_answer()->status, 200);
  const int probe = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool has_ipv6 = probe >= 0 && bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  if (!has_ipv6) GTEST_SKIP() << "no IPv6 here";
  for (const char* host : {"::1", "[::1]", "::"}) {
    config.host = host;
    EXPECT_NE(start(handler, config)->port(), 0) << host;
  }
}

TEST(HttpServer, RefusesConfigurationsThatCannotWork) {
  ScriptedHandler handler;
  const auto code = [&](auto change) {
    HttpServerConfig config;
    config.port = 0;
    change(config);
    const auto server = HttpServer::start(config, handler);
    return server ? StatusCode::kOk : server.error().code();
  };
  EXPECT_EQ(code([](HttpServerConfig& c) { c.host = ""; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.host = "no such host"; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.host = "192.0.2.1"; }), StatusCode::kMissing);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.threads = 0; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.limits.body_bytes = 33 << 20; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.limits.head_time = {}; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.limits.connections = 0; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.tls_key = "x"; }), StatusCode::kUsage);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.tls_key = c.tls_certificate = "/nowhere"; }), StatusCode::kMissing);
  EXPECT_EQ(code([](HttpServerConfig& c) { c.listen_fd = 0; }), StatusCode::kUsage);
}

TEST(HttpServer, TakesAnInheritedSocket) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd, 16), 0);
  ScriptedHandler handler;
  HttpServerConfig config;
  config.listen_fd = fd;
  const auto server = start(handler, config);
  ASSERT_NE(server->port(), 0);
  RawClient client(server->port());
  client.send(kGet);
  EXPECT_EQ(client.read_answer()->status, 200);
}

TEST(HttpServer, OutOfDescriptorsItWaitsAndGoesOn) {
  ScriptedHandler handler;
  const auto server = start(handler);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  RawClient client(server->port());
  client.send(kGet);
  EXPECT_EQ(client.read_answer()->status, 200);
  // The next client's own socket takes the last descriptor.
  const int next = dup(0);
  ::close(next);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  RawClient starved(server->port());
  starved.send(kGet);
  ASSERT_EQ(dup(0), -1);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // for the accept to fail; it would succeed later anyway
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(starved.read_answer()->status, 200);
}

TEST(HttpServer, DrainClosesIdleConnectionsAndLetsOthersFinish) {
  ScriptedHandler handler;
  Event came;
  std::shared_ptr<HttpResponder> pending, streaming;
  handler.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    if (request.head.path == "/idle") return responder->respond({});
    if (request.head.path == "/stream") {
      responder->open_stream({});
      streaming = std::move(responder);
    } else {
      pending = std::move(responder);
    }
    came.set();
  };
  HttpServerConfig config;
  config.threads = 2;
  const auto server = start(handler, config);
  RawClient idle(server->port());
  idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(idle.read_answer()->status, 200);
  RawClient waits(server->port());
  waits.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(came.wait());
  RawClient streams(server->port());
  streams.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(came.wait(2));
  EXPECT_EQ(streams.read_head()->status, 200);

  server->drain();
  server->drain();
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_TRUE(streaming->send("still here"));
  EXPECT_EQ(streams.read_chunk(), "still here");
  streaming->finish_stream();
  EXPECT_EQ(streams.read_chunk(), "");
  EXPECT_EQ(streams.read_to_end(), "");
  pending->respond({200, "", {}, "done"});
  const auto answer = waits.read_answer();
  EXPECT_EQ(answer->body, "done");
  EXPECT_TRUE(answer->has("\nconnection: close\n"));
  EXPECT_EQ(waits.read_to_end(), "");
  waits.close();
  streams.close();
  idle.close();
  EXPECT_TRUE(eventually([&] { return server->stats().connections_open == 0; }));
}

TEST(HttpServer, AfterStopRespondersAreHarmless) {
  ScriptedHandler handler;
  Event came, gone;
  std::shared_ptr<HttpResponder> kept;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    responder->open_stream({});
    kept = std::move(responder);
    on_gone = [&] { gone.set(); };
    came.set();
  };
  auto server = start(handler);
  RawClient client(server->port());
  client.send(kGet);
  ASSERT_TRUE(came.wait());
  server->stop();
  server->stop();
  server->drain();
  EXPECT_EQ(gone.count(), 1);
  EXPECT_FALSE(kept->send("late"));
  EXPECT_EQ(server->stats().connections_open, 0U);
  server.reset();
  EXPECT_FALSE(kept->send("later"));
  kept->finish_stream();
}

}  // namespace
}  // namespace herd::http
