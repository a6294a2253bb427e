// One POST over real sockets, to our own server and to peers that do not behave.
#include "endpoint/http/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "scripted_handler.h"

namespace herd::http {
namespace {

HttpTarget at_port(std::uint16_t port, std::string path = "/v1/traces") { return {"127.0.0.1", std::to_string(port), std::move(path)}; }

// Listens, and takes nothing.
class SilentPort {
 public:
  SilentPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentPort() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
};

TEST(HttpClient, PostsABodyWithHeadersAndReadsTheAnswer) {
  ScriptedHandler handler;
  std::atomic<int> wrong{0};
  handler.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    const auto is = [&](const char* name, const std::string& value) {
      const std::string* header = request.head.header(name);
      return header != nullptr && *header == value;
    };
    wrong += request.head.method != "POST" || request.head.path != "/v1/traces" || request.head.query != "x=y" ||
             request.body != std::string(100'000, 'b') || !is("content-type", "application/json") || !is("api-key", "k");
    responder->respond({202, "text/plain", {{"Retry-After", "7"}}, "well"});
  };
  const auto server = start(handler);
  const auto answer = post(at_port(server->port(), "/v1/traces?x=y"),
                           {.headers = {{"Content-Type", "application/json"}, {"api-key", "k"}}, .body = std::string(100'000, 'b'), .give_up = {}});
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 202);
  EXPECT_EQ(answer->retry_after_s, 7.0);
  EXPECT_EQ(answer->body, "well");
  EXPECT_EQ(wrong, 0);
}

TEST(HttpClient, AnAnswerThatIsTooLongCountsByItsStatus) {
  ScriptedHandler handler;
  handler.answer = [](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->respond({503, "text/plain", {{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"}}, std::string(1 << 20, 'x')});
  };
  const auto server = start(handler);
  const auto answer = post(at_port(server->port()), {.headers = {}, .body = "b", .give_up = {}});
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 503);
  EXPECT_FALSE(answer->retry_after_s) << "only seconds are read";
  EXPECT_EQ(answer->body, "");
}

TEST(HttpClient, NobodyThereAndNoNameAreSaid) {
  SilentPort gone;
  gone.close();
  const auto refused = post(at_port(gone.port()), {.headers = {}, .body = "b", .give_up = {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kMissing);
  EXPECT_NE(refused.error().message().find("127.0.0.1:" + std::to_string(gone.port())), std::string::npos);
  EXPECT_FALSE(post({"no-such-host.invalid", "80", "/"}, {.headers = {}, .body = "b", .give_up = {}}));
}

TEST(HttpClient, WhoNeverAnswersIsGivenUpInTimeAndEarlierWhenAsked) {
  SilentPort silent;
  const auto late = post(at_port(silent.port()), {.headers = {}, .body = "b", .timeout_s = 0.1, .give_up = {}});
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message().find("did not answer in time"), std::string::npos);
  int asked = 0;
  const auto given_up = post(at_port(silent.port()), {.headers = {}, .body = "b", .timeout_s = 3600, .give_up = [&] { return ++asked == 3; }});
  ASSERT_FALSE(given_up);
  EXPECT_EQ(asked, 3);
}

TEST(HttpClient, UrlsAreTakenApart) {
  EXPECT_EQ(*parse_http_url("http://host"), (HttpTarget{"host", "80", ""}));
  EXPECT_EQ(*parse_http_url("http://host:4318/v1/traces"), (HttpTarget{"host", "4318", "/v1/traces"}));
  EXPECT_EQ(*parse_http_url("http://[::1]:4318/a?b"), (HttpTarget{"::1", "4318", "/a?b"}));
  EXPECT_EQ(*parse_http_url("http://host?b=/c"), (HttpTarget{"host", "80", "/?b=/c"}));
  EXPECT_EQ(parse_http_url("http://[::1]:4318/a")->url(), "http://[::1]:4318/a");
}

}  // namespace
}  // namespace herd::http
