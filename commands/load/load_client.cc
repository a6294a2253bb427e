#include "commands/load/load_client.h"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_set>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include "commands/load/stream_recorder.h"
#include "runtime/text/address_text.h"

namespace herd::load {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using tcp = asio::ip::tcp;
using Request = http::request<http::string_body>;
using Parser = http::response_parser<http::string_body>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kHeaderBytesMax = 64 * 1024;
constexpr std::uint64_t kAnswerBytesMax = std::uint64_t{16} << 20;  // of an answer that is no stream
constexpr std::uint64_t kStreamBytesMax = std::uint64_t{4} << 30;
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::chrono::milliseconds kTick{50};

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

// One TCP connection, in TLS or not. Resource.
struct Connection {
  Connection(asio::io_context& io, asio::ssl::context& tls_context, bool tls) {
    if (tls) {
      secure.emplace(io, tls_context);
    } else {
      plain.emplace(io);
    }
  }
  beast::tcp_stream& tcp_layer() { return secure ? beast::get_lowest_layer(*secure) : *plain; }

  std::optional<beast::tcp_stream> plain;
  std::optional<beast::ssl_stream<beast::tcp_stream>> secure;
  beast::flat_buffer buffer;
  bool used = false;  // an answer came on it: the server may have closed it since
};

struct Sent {
  beast::error_code error;
  bool answered = false;  // the head of an answer is there
  bool reusable = false;
};

// Who takes what comes back. on_head: status and head; on_bytes: a piece of the body, false: enough.
struct Sink {
  std::function<void(const http::response_header<>&)> on_head;
  std::function<bool(std::string_view)> on_bytes;
};

Status broken_connection(const ClientOptions& options, const beast::error_code& error) {
  std::string what = error == beast::error::timeout ? "no answer in time" : error.message();
  if (error == asio::error::connection_refused) what += "; is the server running?";
  if (error.category() == asio::error::get_ssl_category()) what += "; --insecure accepts any certificate";
  return missing("cannot reach " + options.target.url() + ": " + what);
}

// Shared by all requests of a run: where to, how to verify, how to connect and to exchange.
class Wire {
 public:
  explicit Wire(const ClientOptions& options) : options_(options), tls_(asio::ssl::context::tls_client) {}

  // Resolves the name once. kMissing.
  Status prepare(asio::io_context& io) {
    beast::error_code error;
    tcp::resolver resolver(io);
    addresses_ = resolver.resolve(options_.target.host, options_.target.port, error);
    if (error) return missing("cannot resolve " + options_.target.host + ": " + error.message());
    if (!options_.target.tls) return {};
    tls_.set_verify_mode(options_.insecure ? asio::ssl::verify_none : asio::ssl::verify_peer, error);
    if (!error && !options_.insecure) tls_.set_default_verify_paths(error);
    return error ? missing("TLS cannot be set up: " + error.message()) : Status{};
  }

  std::unique_ptr<Connection> make(asio::io_context& io) {
    return std::make_unique<Connection>(io, tls_, options_.target.tls);
  }

  Request request(const std::string& path, std::string body) const {
    Request request(body.empty() ? http::verb::get : http::verb::post, options_.target.base_path + path, 11);
    request.set(http::field::host, text::address_text(options_.target.host, options_.target.port));
    request.set(http::field::user_agent, "herd-bench");
    request.set(http::field::accept, body.empty() ? "application/json" : "text/event-stream, application/json");
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    for (const auto& [name, value] : options_.headers) request.set(name, value);
    request.body() = std::move(body);
    request.prepare_payload();
    return request;
  }

  asio::awaitable<beast::error_code> connect(Connection& connection) {
    beast::tcp_stream& stream = connection.tcp_layer();
    stream.expires_after(seconds(options_.connect_timeout_s));
    auto [error, endpoint] = co_await stream.async_connect(addresses_, kTuple);
    if (error) co_return error;
    beast::error_code ignored;
    stream.socket().set_option(tcp::no_delay(true), ignored);
    if (!connection.secure) co_return error;
    if (!options_.insecure)
      connection.secure->set_verify_callback(asio::ssl::host_name_verification(options_.target.host), ignored);
    asio::ip::make_address(options_.target.host, ignored);
    if (ignored)  // a name, not an address: RFC 6066 wants it said
      SSL_set_tlsext_host_name(connection.secure->native_handle(), options_.target.host.c_str());
    auto [handshake] = co_await connection.secure->async_handshake(asio::ssl::stream_base::client, kTuple);
    co_return handshake;
  }

  asio::awaitable<Sent> exchange(Connection& connection, Request& request, const Sink& sink,
                                 Clock::time_point deadline) {
    connection.tcp_layer().expires_at(deadline);
    if (connection.secure) co_return co_await exchange_on(*connection.secure, connection, request, sink);
    co_return co_await exchange_on(*connection.plain, connection, request, sink);
  }

 private:
  template <class Stream>
  asio::awaitable<Sent> exchange_on(Stream& stream, Connection& connection, Request& request, const Sink& sink) {
    Sent sent;
    auto [write_error, written] = co_await http::async_write(stream, request, kTuple);
    if (write_error) {
      sent.error = write_error;
      co_return sent;
    }
    Parser parser;
    parser.header_limit(kHeaderBytesMax);
    parser.body_limit(kStreamBytesMax);
    auto [head_error, head_bytes] = co_await http::async_read_header(stream, connection.buffer, parser, kTuple);
    if (head_error) {
      sent.error = head_error;
      co_return sent;
    }
    sent.answered = true;
    sink.on_head(parser.get().base());
    sent.error = co_await read_body(stream, connection.buffer, parser, sink);
    if (sent.error) co_return sent;
    sent.reusable = parser.is_done() && parser.keep_alive();
    co_return sent;
  }

  // Every read goes to the sink at once: http::async_read_some would wait for the end of the body, or wake up for each
  // part of each chunk.
  template <class Stream>
  asio::awaitable<beast::error_code> read_body(Stream& stream, beast::flat_buffer& buffer, Parser& parser,
                                               const Sink& sink) {
    parser.eager(true);
    for (;;) {
      beast::error_code error;
      buffer.consume(parser.is_done() ? 0 : parser.put(buffer.data(), error));
      std::string& body = parser.get().body();
      const bool wanted = body.empty() || sink.on_bytes(body);
      body.clear();
      if (parser.is_done() || !wanted) co_return beast::error_code{};
      if (error && error != http::error::need_more) co_return error;
      if (buffer.size() > kHeaderBytesMax) co_return beast::error_code(http::error::header_limit);  // of a chunk
      auto [read_error, bytes] = co_await stream.async_read_some(buffer.prepare(kReadBytes), kTuple);
      buffer.commit(bytes);
      if (read_error == asio::error::eof) {
        parser.put_eof(error);  // the end of a body without a length, or a broken one
        co_return error;
      }
      if (read_error) co_return read_error;
    }
  }

  const ClientOptions& options_;
  asio::ssl::context tls_;
  tcp::resolver::results_type addresses_;
};

// One run. Resource; everything happens on the thread in go().
class Runner {
 public:
  Runner(const ClientOptions& options, const std::vector<PlannedRequest>& plan, const BodyWriter& bodies,
         const LoadHooks& hooks)
      : options_(options),
        plan_(plan),
        bodies_(bodies),
        hooks_(hooks),
        io_(1),
        wire_(options),
        arrivals_(io_),
        ticks_(io_) {
    run_.records.resize(plan.size());
  }

  Expected<LoadRun> go();

 private:
  [[nodiscard]] double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  asio::awaitable<void> arrive();
  asio::awaitable<void> tick();
  asio::awaitable<void> perform(std::size_t index);
  asio::awaitable<void> attempt(std::size_t index, StreamRecorder& recorder);
  void start_more();
  void finish(std::size_t index);
  void stop();

  const ClientOptions& options_;
  const std::vector<PlannedRequest>& plan_;
  const BodyWriter& bodies_;
  const LoadHooks& hooks_;
  asio::io_context io_;
  Wire wire_;
  asio::steady_timer arrivals_;
  asio::steady_timer ticks_;
  Clock::time_point begin_;
  LoadRun run_;
  Progress progress_;
  std::deque<std::size_t> waiting_;  // arrived, held back by max_concurrency
  std::vector<std::unique_ptr<Connection>> idle_;
  std::unordered_set<Connection*> active_;
  bool stopped_ = false;
  double last_end_s_ = 0.0;
};

Expected<LoadRun> Runner::go() {
  if (Status status = wire_.prepare(io_); !status.ok()) return fail(status);
  progress_.requests = plan_.size();
  begin_ = Clock::now();
  asio::co_spawn(io_, arrive(), asio::detached);
  asio::co_spawn(io_, tick(), asio::detached);
  try {
    io_.run();
  } catch (const std::exception& error) {  // out of memory; nothing else throws past the coroutines
    return fail(Status(StatusCode::kInternal, std::string("the load client: ") + error.what()));
  }
  run_.duration_s = last_end_s_;
  run_.interrupted = stopped_;
  return std::move(run_);
}

asio::awaitable<void> Runner::arrive() {
  for (std::size_t i = 0; i < plan_.size() && !stopped_; ++i) {
    run_.records[i].arrival_s = plan_[i].arrival_s;
    run_.records[i].prompt_tokens = plan_[i].prompt_tokens;
    if (plan_[i].arrival_s > now()) {
      arrivals_.expires_at(begin_ + seconds(plan_[i].arrival_s));
      co_await arrivals_.async_wait(kTuple);  // cancelled by stop()
      if (stopped_) break;
    }
    waiting_.push_back(i);
    start_more();
  }
}

void Runner::start_more() {
  while (!stopped_ && !waiting_.empty() &&
         (options_.max_concurrency == 0 || progress_.running < options_.max_concurrency)) {
    const std::size_t index = waiting_.front();
    waiting_.pop_front();
    ++progress_.running;
    asio::co_spawn(io_, perform(index), asio::detached);
  }
}

asio::awaitable<void> Runner::perform(std::size_t index) {
  RequestRecord& record = run_.records[index];
  StreamRecorder recorder(record, options_.chat, options_.keep_text);
  co_await attempt(index, recorder);
  if (stopped_ && record.outcome != Outcome::kCompleted && record.outcome != Outcome::kRefused) {
    record.outcome = Outcome::kUnfinished;
    record.error = "the run was ended first";
  }
  finish(index);
}

asio::awaitable<void> Runner::attempt(std::size_t index, StreamRecorder& recorder) {
  RequestRecord& record = run_.records[index];
  Request request = wire_.request(options_.endpoint, bodies_.body(plan_[index]));
  record.start_s = now();
  const Clock::time_point deadline = begin_ + seconds(record.start_s + options_.request_timeout_s);
  std::string refusal;
  Sink sink;
  sink.on_head = [&](const http::response_header<>& head) {
    record.status = static_cast<int>(head.result_int());
    record.retry_after_s = parse_retry_after(head[http::field::retry_after]);
  };
  sink.on_bytes = [&](std::string_view bytes) {
    if (record.status == 200) return recorder.on_bytes(bytes, now());
    refusal.append(bytes.substr(0, kHeaderBytesMax - std::min<std::size_t>(refusal.size(), kHeaderBytesMax)));
    return true;
  };
  for (;;) {
    std::unique_ptr<Connection> connection;
    if (idle_.empty()) {
      connection = wire_.make(io_);
    } else {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
    active_.insert(connection.get());
    Sent sent;
    if (!connection->used) sent.error = co_await wire_.connect(*connection);
    const bool connected = !sent.error;
    if (connected) sent = co_await wire_.exchange(*connection, request, sink, deadline);
    active_.erase(connection.get());
    const bool stale = connection->used && sent.error && !sent.answered && sent.error != beast::error::timeout;
    if (stale && !stopped_) continue;  // ends: every pass takes a kept connection away, a fresh one is not stale
    const std::string why = sent.error ? sent.error == beast::error::timeout ? "timed out" : sent.error.message() : "";
    if (!sent.answered) {
      recorder.on_failure((connected ? "no answer: " : "cannot connect: ") + why, now());
    } else if (record.status == 200) {
      recorder.on_end(now(), why);
    } else {
      recorder.on_refusal(record.status, record.retry_after_s, refusal, now());
    }
    if (sent.reusable && !stopped_) {
      connection->used = true;
      connection->tcp_layer().expires_never();
      idle_.push_back(std::move(connection));
    }
    co_return;
  }
}

void Runner::finish(std::size_t index) {
  const RequestRecord& record = run_.records[index];
  last_end_s_ = now();
  --progress_.running;
  if (record.outcome == Outcome::kCompleted) {
    ++progress_.completed;
    progress_.chunks += record.chunks;
  } else if (record.outcome == Outcome::kRefused) {
    ++progress_.refused;
  } else if (record.outcome == Outcome::kFailed) {
    ++progress_.failed;
  }
  start_more();
  const std::size_t over = progress_.completed + progress_.refused + progress_.failed;
  if (over == plan_.size() || (stopped_ && progress_.running == 0)) {
    idle_.clear();
    ticks_.cancel();
  }
}

asio::awaitable<void> Runner::tick() {
  for (;;) {
    progress_.elapsed_s = now();
    if (hooks_.progress) hooks_.progress(progress_);
    if (!stopped_ && hooks_.stop && hooks_.stop()) stop();
    const std::size_t over = progress_.completed + progress_.refused + progress_.failed;
    if (over == plan_.size() || (stopped_ && progress_.running == 0)) co_return;
    ticks_.expires_after(kTick);
    co_await ticks_.async_wait(kTuple);  // cancelled by the last finish()
  }
}

void Runner::stop() {
  stopped_ = true;
  last_end_s_ = now();
  waiting_.clear();
  arrivals_.cancel();
  for (Connection* connection : active_) connection->tcp_layer().close();
}

}  // namespace

Expected<LoadRun> run_load(const ClientOptions& options, const std::vector<PlannedRequest>& plan,
                           const BodyWriter& bodies, const LoadHooks& hooks) {
  return Runner(options, plan, bodies, hooks).go();
}

Expected<Answer> fetch(const ClientOptions& options, const std::string& path, const std::string& body) {
  asio::io_context io(1);
  Wire wire(options);
  if (Status status = wire.prepare(io); !status.ok()) return fail(status);
  std::unique_ptr<Connection> connection = wire.make(io);
  Request request = wire.request(path, body);
  Answer answer;
  beast::error_code error;
  Sink sink;
  sink.on_head = [&](const http::response_header<>& head) { answer.status = static_cast<int>(head.result_int()); };
  sink.on_bytes = [&](std::string_view bytes) {
    answer.body.append(bytes);
    return answer.body.size() <= kAnswerBytesMax;
  };
  auto all = [&]() -> asio::awaitable<void> {
    error = co_await wire.connect(*connection);
    if (error) co_return;
    const Clock::time_point deadline = Clock::now() + seconds(options.request_timeout_s);
    const Sent sent = co_await wire.exchange(*connection, request, sink, deadline);
    error = sent.error;
  };
  asio::co_spawn(io, all(), asio::detached);
  io.run();
  if (error) return fail(broken_connection(options, error));
  if (answer.body.size() > kAnswerBytesMax)
    return fail(bad_input(options.target.url() + path + ": the answer is too long"));
  return answer;
}

}  // namespace herd::load
