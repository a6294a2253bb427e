#pragma once
// An endpoint for tests of the load client: a thread a connection, answers made of raw bytes by the test.

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace herd::load {

// One request and the way to answer it. Valid during the handler's call.
struct FakeExchange {
  std::string line;  // "POST /v1/completions HTTP/1.1"
  std::string head;  // header lines
  std::string body;
  int connection = 0;  // counted from 0
  int nth = 0;         // of the connection, from 0
  int socket = -1;

  void send(std::string_view bytes) const;
  // One chunk of a chunked answer. stream_head() begins, stream_end() ends it.
  void chunk(std::string_view bytes) const;
  void stream_head() const;
  void stream_end() const { send("0\r\n\r\n"); }
  void answer(int status, const std::string& extra_head, const std::string& body) const;
};

class FakeEndpoint {
 public:
  // The handler returns false to have the connection closed at once.
  using Handler = std::function<bool(const FakeExchange&)>;
  explicit FakeEndpoint(Handler handler);
  ~FakeEndpoint();  // closes everything and joins

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] int connections() const { return connections_.load(); }
  [[nodiscard]] std::vector<std::string> bodies();  // of all requests so far

 private:
  void accept_all();
  void serve(int socket, int connection);

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::vector<std::string> bodies_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// "data: {...}\n\n" events of /v1/completions and of chat.
[[nodiscard]] std::string token_event(const std::string& text);
[[nodiscard]] std::string chat_event(const std::string& delta);
[[nodiscard]] std::string usage_event(int prompt_tokens, int completion_tokens);
inline const std::string kDone = "data: [DONE]\n\n";

}  // namespace herd::load
