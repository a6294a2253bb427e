#include "endpoint/http/http_client.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "endpoint/http/host_port.h"
#include "runtime/steady_clock.h"

namespace herd::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using tcp = asio::ip::tcp;

constexpr std::string_view kScheme = "http://";
constexpr std::chrono::milliseconds kLook{20};
constexpr std::uint32_t kHeadBytesMax = 16 * 1024;
constexpr std::uint64_t kBodyBytesMax = 64 * 1024;

bool is_port(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number >= 1 && number <= 65535;
}

std::optional<double> seconds_of(std::string_view text) {
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return seconds;
}

// Resolves, connects, writes, reads: each starts the next.
class Exchange {
 public:
  Exchange(const HttpTarget& target, Post post) : target_(target), give_up_(std::move(post.give_up)), resolver_(io_), stream_(io_) {
    const bool bracket = target.host.find(':') != std::string::npos;
    request_.method(beast::http::verb::post);
    request_.target(target.path.empty() ? "/" : target.path);
    request_.version(11);
    for (const HttpHeader& header : post.headers) request_.set(header.name, header.value);
    request_.set(beast::http::field::host, (bracket ? "[" + target.host + "]" : target.host) + ":" + target.port);
    request_.set(beast::http::field::connection, "close");
    request_.body() = std::move(post.body);
    request_.prepare_payload();
    parser_.header_limit(kHeadBytesMax);
    parser_.body_limit(kBodyBytesMax);
  }

  Expected<PostedAnswer> run(double timeout_s) {
    const Instant end = seconds_after(steady_now(), timeout_s);
    resolve();
    while (!done_) {
      io_.run_for(kLook);
      if (done_) break;
      if (give_up_ && give_up_()) return cut("the wait for it was given up");
      if (steady_now() >= end) return cut("it did not answer in time");
      if (io_.stopped()) io_.restart();
    }
    const bool too_long = error_ == beast::http::error::body_limit && parser_.is_header_done();
    if (error_ && !too_long) return unreachable(error_.message());
    auto& answer = parser_.get();
    PostedAnswer posted{.status = static_cast<int>(answer.result_int()), .retry_after_s = {}, .body = {}};
    const auto retry = answer.find(beast::http::field::retry_after);
    if (retry != answer.end()) posted.retry_after_s = seconds_of({retry->value().data(), retry->value().size()});
    if (!too_long) posted.body = std::move(answer.body());
    return posted;
  }

 private:
  void resolve() {
    using Found = tcp::resolver::results_type;
    resolver_.async_resolve(target_.host, target_.port, [this](const beast::error_code& error, const Found& found) {
      error ? end(error) : connect(found);
    });
  }
  void connect(const tcp::resolver::results_type& found) {
    stream_.async_connect(found, [this](const beast::error_code& error, const tcp::endpoint&) { error ? end(error) : write(); });
  }
  void write() {
    beast::http::async_write(stream_, request_, [this](const beast::error_code& error, std::size_t) {
      // A server may answer before it has read everything, and close: what it says counts.
      if (error && error != asio::error::broken_pipe && error != asio::error::connection_reset) return end(error);
      beast::http::async_read(stream_, buffer_, parser_, [this](const beast::error_code& failed, std::size_t) { end(failed); });
    });
  }
  void end(const beast::error_code& error) {
    error_ = error;
    done_ = true;
  }

  [[nodiscard]] tl::unexpected<Status> unreachable(const std::string& why) const {
    return fail(missing("cannot reach " + target_.url() + ": " + why));
  }
  tl::unexpected<Status> cut(const std::string& why) {
    beast::error_code ignored;
    resolver_.cancel();
    stream_.socket().close(ignored);
    for (int i = 0; i < 3 && !done_; ++i) {
      if (io_.stopped()) io_.restart();
      io_.run_for(kLook);
    }
    return unreachable(why);
  }

  const HttpTarget& target_;
  const std::function<bool()> give_up_;
  asio::io_context io_;
  tcp::resolver resolver_;
  beast::tcp_stream stream_;
  beast::http::request<beast::http::string_body> request_;
  beast::flat_buffer buffer_;
  beast::http::response_parser<beast::http::string_body> parser_;
  beast::error_code error_;
  bool done_ = false;
};

}  // namespace

std::string HttpTarget::url() const {
  const bool bracket = host.find(':') != std::string::npos;
  return std::string(kScheme) + (bracket ? "[" + host + "]" : host) + ":" + port + path;
}

Expected<HttpTarget> parse_http_url(const std::string& url) {
  const auto refuse = [&](const std::string& why) {
    return fail(usage_error("must be such as http://127.0.0.1:4318/v1/traces, not \"" + url.substr(0, 200) + "\": " + why));
  };
  if (url.starts_with("https://"))
    return refuse("https is not spoken here; send to a collector near by over http, which sends on over TLS");
  if (!url.starts_with(kScheme)) return refuse("it does not begin with http://");
  std::string_view rest = std::string_view(url).substr(kScheme.size());
  for (const char c : rest)
    if (c <= ' ' || c >= 0x7f || c == '@' || c == '#') return refuse("white space, a control character, '@' or '#' is in it");
  HttpTarget target;
  const std::size_t slash = std::min(rest.find('/'), rest.find('?'));
  if (slash != std::string_view::npos) {
    target.path = rest.substr(slash);
    if (target.path.front() == '?') target.path.insert(0, "/");
    rest = rest.substr(0, slash);
  }
  const auto place = split_host_port(rest);
  if (!place) return refuse("HOST or HOST:PORT is malformed");
  if (place->host.empty()) return refuse("it names no host");
  target.host = place->host;
  if (rest.ends_with(':') || (!place->port.empty() && !is_port(place->port))) return refuse("the port is no number from 1 to 65535");
  if (!place->port.empty()) target.port = place->port;
  return target;
}

Expected<PostedAnswer> post(const HttpTarget& target, Post post) {
  const double timeout_s = post.timeout_s;
  return Exchange(target, std::move(post)).run(timeout_s);
}

}  // namespace herd::http
