// link_bench: what a connection between two processes costs, both ends in this process, over loopback with mutual TLS 1.3, beside
// bare Boost.Asio TLS streams on the same machine.
//   round trip   a small frame there, a small frame back: at once again, and every 10 ms, when all threads sleep in between
//   tokens       a step every 10 ms; its tokens for N streams are one frame: encoded, sent, received, decoded. Time from before
//                encode to after decode; CPU of the whole process per token, and what an idle process takes is left out
//   prompts      the same while a thread of the other side sends a prompt of 4 MB every 100 ms; intervals between steps as they arrive
//   link_bench [STEPS] [ROUND_TRIPS]

#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <thread>
#include <vector>

#include "cluster/wire/generate_codec.h"
#include "runtime/steady_clock.h"
#include "tests/actors/link/link_ground.h"

namespace {

namespace asio = boost::asio;
using namespace herd;
using asio::ip::tcp;
using link::Link;
using TlsStream = asio::ssl::stream<tcp::socket>;

constexpr std::size_t kBareBytes = 200;
constexpr std::size_t kPromptTokens = 1'000'000;  // 4 MB
constexpr std::chrono::milliseconds kStep{10};
constexpr std::chrono::milliseconds kPromptEvery{100};

double process_cpu() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double micros(Instant from, Instant to) { return static_cast<double>(to.ns - from.ns) * 1e-3; }

// p50 and p99 as text, and p99.
double print_times(const char* what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const double p99 = times[times.size() * 99 / 100];
  std::printf("%-44s p50 %8.1f us  p99 %8.1f us  max %8.1f us", what, times[times.size() / 2], p99, times.back());
  return p99;
}

std::vector<step::TokenDelta> deltas_of(int streams, int index) {
  std::vector<step::TokenDelta> deltas(static_cast<std::size_t>(streams));
  for (int i = 0; i < streams; ++i) {
    auto& delta = deltas[static_cast<std::size_t>(i)];
    delta.gateway = GatewayId(7);
    delta.sequence = SequenceId(static_cast<std::uint64_t>(i + 1));
    delta.has_token = true;
    delta.token.sequence = delta.sequence;
    delta.token.output_index = static_cast<std::uint32_t>(index);
    delta.token.token = 17;
    delta.token.logprob = -1.0F;
  }
  return deltas;
}

// An owner that calls a function with each frame.
class Caller final : public link::LinkOwner {
 public:
  using OnFrame = std::function<void(Link&, wire::OpenedFrame)>;
  Caller(std::shared_ptr<Link> link, OnFrame on_frame) : link_(std::move(link)), on_frame_(std::move(on_frame)) {}
  void on_frame(wire::OpenedFrame frame) override {
    link_->consumed(frame.frame.words.size() * 8);
    on_frame_(*link_, std::move(frame));
  }
  void on_closed(const Status&) override { link_.reset(); }

 private:
  std::shared_ptr<Link> link_;
  const OnFrame on_frame_;
};

// A leader and a gateway, connected.
class Ends {
 public:
  Ends(const link::CertificateFolder& folder, Caller::OnFrame at_leader, Caller::OnFrame at_gateway) {
    leader_host_ = link::LinkHost::start(link::host_config(handshake::Role::kRank, "a",
                                                           folder.make("a", {handshake::Role::kNode, "a"}), record_)).value();
    gateway_host_ = link::LinkHost::start(link::host_config(handshake::Role::kGateway, "g",
                                                            folder.make("g", {handshake::Role::kGateway, "g"}), record_)).value();
    const auto port = leader_host_->listen("127.0.0.1", 0, link::kGateways, opener(leader_, std::move(at_leader))).value();
    dial_ = gateway_host_->dial("127.0.0.1", port, link::kRanks, opener(gateway_, std::move(at_gateway)));
    ready_.acquire();
    ready_.acquire();
  }
  Link& leader() { return *leader_; }
  Link& gateway() { return *gateway_; }

 private:
  link::OpenLink opener(std::shared_ptr<Link>& into, Caller::OnFrame on_frame) {
    return [this, &into, on_frame](std::shared_ptr<Link> opened, const link::PeerOpened&) {
      into = opened;
      ready_.release();
      return std::make_shared<Caller>(std::move(opened), on_frame);
    };
  }
  link::Record record_;
  std::counting_semaphore<> ready_{0};
  std::shared_ptr<Link> leader_, gateway_;
  std::unique_ptr<link::LinkHost> leader_host_, gateway_host_;
  std::unique_ptr<link::Dial> dial_;
};

constexpr routing::ReplicaGeneration kReplica{ReplicaId(1), Epoch(1)};
void must(const Status& status) { HERD_CHECK(status.ok(), status.message().c_str()); }

void bench_round_trips(const link::CertificateFolder& folder, int count, std::chrono::milliseconds pause) {
  std::binary_semaphore back(0);
  const wire::Frame ask = wire::encode(step::AttemptKey{GatewayId(7), SequenceId(1), 0});
  const wire::Frame answer = wire::encode(deltas_of(1, 0));
  Ends ends(folder, [&](Link& link, wire::OpenedFrame) { must(link.send(answer, Epoch(1), kReplica)); },
            [&](Link&, wire::OpenedFrame) { back.release(); });
  std::vector<double> times;
  const double cpu = process_cpu();
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_for(pause);
    const Instant begin = steady_now();
    must(ends.gateway().send(ask, Epoch(1), kReplica));
    back.acquire();
    times.push_back(micros(begin, steady_now()));
  }
  print_times(pause.count() > 0 ? "round trip every 10 ms, link" : "round trip, link", std::move(times));
  std::printf("  CPU %.1f us\n", (process_cpu() - cpu) / count * 1e6);
}

// A thread that sends back what it reads, and one that waits for it.
void bench_bare_round_trips(const link::CertificateFolder& folder, int count, std::chrono::milliseconds pause) {
  asio::io_context accepting, asking;
  const auto context_of = [&](const link::TlsFiles& files) {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tlsv13);
    context->use_certificate_chain_file(files.certificate);
    context->use_private_key_file(files.key, asio::ssl::context::pem);
    context->load_verify_file(files.authority);
    context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    return context;
  };
  const auto server = context_of(folder.make("a", {handshake::Role::kNode, "a"}));
  const auto client = context_of(folder.make("g", {handshake::Role::kGateway, "g"}));
  tcp::acceptor acceptor(accepting, {asio::ip::make_address("127.0.0.1"), 0});
  std::thread echo([&] {
    TlsStream stream(acceptor.accept(), *server);
    stream.next_layer().set_option(tcp::no_delay(true));
    stream.handshake(asio::ssl::stream_base::server);
    std::array<char, kBareBytes> bytes{};
    std::function<void()> next = [&] {
      asio::async_read(stream, asio::buffer(bytes), [&](auto error, std::size_t) {
        if (error) return;
        asio::async_write(stream, asio::buffer(bytes), [&](auto failed, std::size_t) {
          if (!failed) next();
        });
      });
    };
    next();
    accepting.run();
  });
  TlsStream stream(asking, *client);
  stream.next_layer().connect(acceptor.local_endpoint());
  stream.next_layer().set_option(tcp::no_delay(true));
  stream.handshake(asio::ssl::stream_base::client);
  std::array<char, kBareBytes> bytes{};
  std::vector<double> times;
  const double cpu = process_cpu();
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_for(pause);
    const Instant begin = steady_now();
    asio::write(stream, asio::buffer(bytes));
    asio::read(stream, asio::buffer(bytes));
    times.push_back(micros(begin, steady_now()));
  }
  print_times(pause.count() > 0 ? "round trip every 10 ms, bare Asio TLS" : "round trip, bare Asio TLS", std::move(times));
  std::printf("  CPU %.1f us\n", (process_cpu() - cpu) / count * 1e6);
  stream.next_layer().close();
  echo.join();
}

double bench_tokens(const link::CertificateFolder& folder, int streams, int steps, bool prompts) {
  std::atomic<std::int64_t> sent{0};
  std::vector<double> times, intervals;
  Instant before{};
  std::binary_semaphore arrived(0);
  Ends ends(folder, [](Link&, wire::OpenedFrame) {}, [&](Link&, wire::OpenedFrame frame) {
    const auto deltas = wire::decode_token_deltas(frame.frame.words);
    HERD_CHECK(deltas.has_value() && deltas->size() == static_cast<std::size_t>(streams), "all tokens of a step");
    const Instant now = steady_now();
    times.push_back(micros({sent}, now));
    if (before.ns != 0) intervals.push_back(micros(before, now));
    before = now;
    arrived.release();
  });
  step::Submission prompt;
  prompt.gateway = GatewayId(7);
  prompt.sequence = SequenceId(1);
  prompt.tokens.assign(kPromptTokens, 5);
  prompt.prompt_tokens = kPromptTokens;
  prompt.max_tokens = 1;
  const wire::Frame prompt_frame = wire::encode(prompt);
  std::jthread prompter;
  if (prompts) {
    prompter = std::jthread([&](const std::stop_token& stop) {
      for (auto due = std::chrono::steady_clock::now(); !stop.stop_requested(); std::this_thread::sleep_until(due += kPromptEvery))
        must(ends.gateway().send(prompt_frame, Epoch(1), kReplica));
    });
  }
  double cpu = 0;
  auto due = std::chrono::steady_clock::now();
  for (int i = 0; i < steps; ++i) {
    std::this_thread::sleep_until(due += kStep);
    const double cpu_before = process_cpu();
    sent = steady_now().ns;
    must(ends.leader().send(wire::encode(deltas_of(streams, i)), Epoch(1), kReplica));
    arrived.acquire();
    cpu += process_cpu() - cpu_before;
  }
  if (prompter.joinable()) {
    prompter.request_stop();
    prompter.join();
  }
  char what[80];
  std::snprintf(what, sizeof what, "%d tokens a step%s", streams, prompts ? ", 4 MB prompts" : "");
  print_times(what, std::move(times));
  std::printf("  CPU %.2f us a token\n", cpu / steps / streams * 1e6);
  const double p99 = print_times("  interval between steps", std::move(intervals));
  std::printf("\n");
  return p99;
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 500;
  const int round_trips = argc > 2 ? std::atoi(argv[2]) : 5000;
  const link::CertificateFolder folder;
  for (const auto pause : {std::chrono::milliseconds(0), kStep}) {
    const int count = pause.count() > 0 ? steps : round_trips;
    bench_bare_round_trips(folder, count, pause);
    bench_round_trips(folder, count, pause);
  }
  for (const int streams : {1, 32, 256}) {
    const double alone = bench_tokens(folder, streams, steps, false);
    const double beside = bench_tokens(folder, streams, steps, true);
    std::printf("%d tokens: p99 of the interval beside 4 MB prompts is %.2f times that without\n", streams, beside / alone);
  }
}
