// http_bench: what the HTTP server costs beside a bare Boost.Beast server in the same process, driven by the same
// client.
//   streams    N server-sent-event streams; a step gives each one frame of 250 bytes, and the next step comes when all
//              are written: no two frames of a stream ever share a write
//   requests   POSTs of a tiny JSON body over kept connections, one at a time each, answered with the same body
// Rates are per second of the server thread's CPU time, so that the client beside it does not count.
//   http_bench [STREAMS] [STEPS] [REQUESTS]

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "endpoint/http/http_server.h"

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using namespace herd::http;

constexpr int kFrameBytes = 250;
constexpr int kConnections = 64;
const std::string kFrame = "data: " + std::string(kFrameBytes - 8, 'x') + "\n\n";
const std::string kGet = "GET /stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
const std::string kJson = R"({"model":"m","prompt":"Hello","max_tokens":1})";
const std::string kPost =
    "POST /v1/completions HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: bench\r\n"
    "Content-Type: application/json\r\nAccept: */*\r\nContent-Length: " +
    std::to_string(kJson.size()) + "\r\n\r\n" + kJson;

double seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// A server under test: one thread, whose CPU clock it tells.
class Subject {
 public:
  virtual ~Subject() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual int streams() const = 0;            // open
  virtual void step() = 0;                                  // one frame to each
  [[nodiscard]] virtual std::uint64_t written() const = 0;  // frames
  virtual void finish() = 0;
  [[nodiscard]] double cpu_seconds() const { return seconds(clock); }
  clockid_t clock{};
};

class HerdSubject final : public Subject, public HttpHandler {
 public:
  HerdSubject() {
    HttpServerConfig config;
    config.port = 0;
    config.unix_seconds = [] { return static_cast<std::int64_t>(time(nullptr)); };
    auto server = HttpServer::start(config, *this);
    if (!server) std::abort();
    server_ = std::move(*server);
  }
  ~HerdSubject() override { server_->stop(); }

  std::optional<HttpResponse> on_head(const HttpRequestHead&) override { return {}; }
  void on_request(HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) override {
    pthread_getcpuclockid(pthread_self(), &clock);
    if (request.head.path == "/stream") {
      responder->open_stream({200, "text/event-stream", {}, ""});
      const std::lock_guard lock(mutex_);
      open_.push_back(std::move(responder));
    } else {
      responder->respond({200, "application/json", {}, std::move(request.body)});
    }
  }
  HttpResponse on_refused(int status, const std::string&, const HttpRequestHead*) override { return {status, "", {}, ""}; }

  std::uint16_t port() const override { return server_->port(); }
  int streams() const override {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(open_.size());
  }
  void step() override {
    for (const auto& responder : open_) {
      if (!responder->send(kFrame)) std::abort();
    }
  }
  std::uint64_t written() const override { return server_->stats().frames_sent; }
  void finish() override {
    for (const auto& responder : open_) responder->finish_stream();
    open_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<HttpResponder>> open_;
  std::unique_ptr<HttpServer> server_;
};

// As short as a Beast server of coroutines gets: no limits, no timers, no answer from elsewhere.
class BeastSubject final : public Subject {
 public:
  BeastSubject() : acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(context_, accept(), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
    pthread_getcpuclockid(thread_.native_handle(), &clock);
  }
  ~BeastSubject() override {
    context_.stop();
    thread_.join();
  }
  std::uint16_t port() const override { return acceptor_.local_endpoint().port(); }
  int streams() const override { return open_count_; }
  void step() override {
    asio::post(context_, [this] {
      for (Stream* stream : open_) {
        stream->frames.push_back(kFrame);
        stream->signal.cancel_one();
      }
    });
  }
  std::uint64_t written() const override { return written_; }
  void finish() override {
    asio::post(context_, [this] {
      for (Stream* stream : open_) {
        stream->ended = true;
        stream->signal.cancel_one();
      }
    });
  }

 private:
  struct Stream {
    explicit Stream(asio::io_context& context) : signal(context) {}
    std::deque<std::string> frames;
    asio::steady_timer signal;
    bool ended = false;
  };

  asio::awaitable<void> accept() {
    for (;;) {
      tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
      socket.set_option(tcp::no_delay(true));
      asio::co_spawn(context_, serve(std::move(socket)), asio::detached);
    }
  }
  asio::awaitable<void> serve(tcp::socket socket) {
    beast::flat_buffer buffer;
    try {
      for (;;) {
        beast::http::request_parser<beast::http::string_body> parser;
        co_await beast::http::async_read(socket, buffer, parser, asio::use_awaitable);
        if (parser.get().target() == "/stream") {
          co_await stream(socket);
          continue;
        }
        beast::http::response<beast::http::string_body> response{beast::http::status::ok, 11};
        response.set(beast::http::field::content_type, "application/json");
        response.body() = std::move(parser.get().body());
        response.prepare_payload();
        co_await beast::http::async_write(socket, response, asio::use_awaitable);
      }
    } catch (const boost::system::system_error&) {  // the client left
    }
  }
  asio::awaitable<void> stream(tcp::socket& socket) {
    beast::http::response<beast::http::empty_body> head{beast::http::status::ok, 11};
    head.set(beast::http::field::content_type, "text/event-stream");
    head.chunked(true);
    beast::http::response_serializer<beast::http::empty_body> serializer{head};
    co_await beast::http::async_write_header(socket, serializer, asio::use_awaitable);
    Stream stream(context_);
    open_.push_back(&stream);
    ++open_count_;
    while (!stream.ended || !stream.frames.empty()) {
      if (stream.frames.empty()) {
        stream.signal.expires_at(asio::steady_timer::time_point::max());
        boost::system::error_code cancelled;
        co_await stream.signal.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        continue;
      }
      co_await asio::async_write(socket, beast::http::make_chunk(asio::buffer(stream.frames.front())),
                                 asio::use_awaitable);
      stream.frames.pop_front();
      ++written_;
    }
    std::erase(open_, &stream);
    co_await asio::async_write(socket, beast::http::make_chunk_last(), asio::use_awaitable);
  }

  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  std::vector<Stream*> open_;
  std::atomic<int> open_count_{0};
  std::atomic<std::uint64_t> written_{0};
  std::thread thread_;
};

// Connections that send a request, count what comes back and perhaps ask again.
class Client {
 public:
  Client(std::uint16_t port, int connections) : epoll_(epoll_create1(0)) {
    for (int i = 0; i < connections; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(port);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
      epoll_event event{EPOLLIN, {.fd = fd}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
      fds_.push_back(fd);
    }
  }
  ~Client() {
    for (const int fd : fds_) close(fd);
    close(epoll_);
  }
  Client(const Client&) = delete;

  void send_all(const std::string& request) {
    for (const int fd : fds_) send_to(fd, request);
  }
  static void send_to(int fd, const std::string& request) {
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) std::abort();
  }
  // Reads what there is, 50 ms at most; `on_bytes(fd, bytes)` for each piece.
  template <class OnBytes>
  void poll(OnBytes on_bytes) {
    epoll_event events[256];
    const int ready = epoll_wait(epoll_, events, 256, 50);
    for (int i = 0; i < ready; ++i) {
      const ssize_t size = recv(events[i].data.fd, buffer_.data(), buffer_.size(), 0);
      if (size <= 0) std::abort();
      on_bytes(events[i].data.fd, std::string_view(buffer_.data(), static_cast<std::size_t>(size)));
    }
  }

 private:
  int epoll_;
  std::vector<int> fds_;
  std::vector<char> buffer_ = std::vector<char>(64 * 1024);
};

// Frames per CPU second.
double measure_streams(Subject& subject, int streams, int steps) {
  std::atomic<bool> stop{false};
  Client client(subject.port(), streams);
  client.send_all(kGet);
  std::thread reader([&] {
    while (!stop) client.poll([](int, std::string_view) {});
  });
  while (subject.streams() < streams) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::uint64_t before = subject.written();
  const double cpu = subject.cpu_seconds();
  for (int step = 1; step <= steps; ++step) {
    subject.step();
    while (subject.written() < before + static_cast<std::uint64_t>(step) * streams) std::this_thread::yield();
  }
  const double used = subject.cpu_seconds() - cpu;
  subject.finish();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  stop = true;
  reader.join();
  return static_cast<double>(streams) * steps / used;
}

struct RequestRates {
  double per_cpu_second = 0;
  double per_second = 0;
};

RequestRates measure_requests(Subject& subject, int requests) {
  Client client(subject.port(), kConnections);
  std::vector<std::string> pending(4096);
  int sent = kConnections, answered = 0;
  double cpu = 0, wall = 0;
  client.send_all(kPost);
  while (answered < requests) {
    client.poll([&](int fd, std::string_view bytes) {
      std::string& text = pending[fd];
      text.append(bytes);
      if (!text.ends_with(kJson)) return;
      text.clear();
      if (++answered == kConnections) {  // warm
        cpu = subject.cpu_seconds();
        wall = seconds(CLOCK_MONOTONIC);
      }
      if (sent++ < requests) Client::send_to(fd, kPost);
    });
  }
  const double done = requests - kConnections;
  return {done / (subject.cpu_seconds() - cpu), done / (seconds(CLOCK_MONOTONIC) - wall)};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void print_row(const char* what, const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::printf("%-42s %10.0f %10.0f %8.2f\n", what, median(ours), median(theirs), median(ours) / median(theirs));
}

}  // namespace

int main(int argc, char** argv) {
  const int streams = argc > 1 ? std::atoi(argv[1]) : 256;
  const int steps = argc > 2 ? std::atoi(argv[2]) : 400;
  const int requests = argc > 3 ? std::atoi(argv[3]) : 60'000;
  std::vector<double> frames[2], cpu[2], wall[2];
  for (int round = 0; round < 5; ++round) {  // interleaved: both see the same machine
    for (int who = 0; who < 2; ++who) {
      std::unique_ptr<Subject> subject;
      if (who == 0) {
        subject = std::make_unique<HerdSubject>();
      } else {
        subject = std::make_unique<BeastSubject>();
      }
      frames[who].push_back(measure_streams(*subject, streams, steps));
      const RequestRates rates = measure_requests(*subject, requests);
      cpu[who].push_back(rates.per_cpu_second);
      wall[who].push_back(rates.per_second);
    }
  }
  std::printf("medians of 5; %d streams, %d steps, frames of %d bytes; %d requests over %d connections\n", streams,
              steps, kFrameBytes, requests, kConnections);
  std::printf("%-42s %10s %10s %8s\n", "", "herd", "bare Beast", "ratio");
  print_row("frames per CPU second of the server thread", frames[0], frames[1]);
  print_row("requests per CPU second of that thread", cpu[0], cpu[1]);
  print_row("requests per second, client beside it", wall[0], wall[1]);
  return 0;
}
