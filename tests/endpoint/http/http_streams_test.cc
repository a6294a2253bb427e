// Streams over real sockets: each frame a chunk of its own, all of them and in order; credit; clients that leave.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "endpoint/http/http_server.h"
#include "raw_client.h"
#include "scripted_handler.h"

namespace herd::http {
namespace {

std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"; }
std::string frame(int stream, int index) {
  return "data: " + std::to_string(stream) + "." + std::to_string(index) + "\n\n";
}

// Threads that are joined before what they use goes.
struct Threads {
  ~Threads() {
    for (std::thread& thread : all) thread.join();
  }
  std::mutex mutex;
  std::vector<std::thread> all;
  void run(std::function<void()> work) {
    const std::lock_guard lock(mutex);
    all.emplace_back(std::move(work));
  }
};

TEST(HttpStreams, EachFrameIsAChunk) {
  ScriptedHandler handler;
  Threads threads;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    threads.run([responder] {
      responder->open_stream({200, "text/event-stream", {{"x-request-id", "7"}}, "not used"});
      for (int i = 0; i < 100; ++i) EXPECT_TRUE(responder->send(frame(0, i)));
      EXPECT_TRUE(responder->send(std::string(300'000, 'x')));  // a frame may be larger than the credit
      responder->finish_stream();
      EXPECT_FALSE(responder->send("late"));
    });
  };
  HttpServerConfig config;
  config.limits.stream_bytes_max = 1'000'000;
  const auto server = start(handler, config);
  RawClient client(server->port());
  for (int round = 0; round < 2; ++round) {  // the connection is kept
    client.send(get("/"));
    const auto answer = client.read_answer();
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->has("\ncontent-type: text/event-stream\n"));
    EXPECT_TRUE(answer->has("\nx-request-id: 7\n"));
    ASSERT_EQ(answer->chunks.size(), 101U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(answer->chunks[i], frame(0, i));
    EXPECT_EQ(answer->chunks[100].size(), 300'000U);
  }
  server->stop();
  EXPECT_EQ(server->stats().frames_sent, 202U);
}

TEST(HttpStreams, AFrameLeavesAtOnce) {
  ScriptedHandler handler;
  Event came;
  std::shared_ptr<HttpResponder> kept;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    kept = std::move(responder);
    came.set();
  };
  const auto server = start(handler);
  RawClient client(server->port());
  client.send(get("/"));
  ASSERT_TRUE(came.wait());
  kept->open_stream({});
  EXPECT_EQ(client.read_head()->status, 200);  // before the first frame
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(kept->send(frame(0, i)));
    EXPECT_EQ(client.read_chunk(), frame(0, i));  // before the next one exists
  }
  kept->finish_stream();
  EXPECT_EQ(client.read_chunk(), "");
}

TEST(HttpStreams, ThreeHundredAtOnceAreWholeAndInOrder) {
  constexpr int kStreams = 300;
  constexpr int kFrames = 200;
  ScriptedHandler handler;
  std::mutex mutex;
  std::vector<std::pair<int, std::shared_ptr<HttpResponder>>> open;
  Event came;
  handler.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->open_stream({200, "text/event-stream", {}, ""});
    const std::lock_guard lock(mutex);
    open.emplace_back(std::stoi(request.head.path.substr(1)), std::move(responder));
    came.set();
  };
  HttpServerConfig config;
  config.threads = 2;
  const auto server = start(handler, config);
  std::vector<RawClient> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.emplace_back(server->port());
    clients.back().send(get(std::string("/").append(std::to_string(i))));
  }
  ASSERT_TRUE(came.wait(kStreams));
  std::vector<std::thread> producers;
  for (int part = 0; part < 3; ++part) {
    producers.emplace_back([&, part] {
      for (int index = 0; index < kFrames; ++index) {
        for (std::size_t i = part; i < open.size(); i += 3) {
          EXPECT_TRUE(open[i].second->send(frame(open[i].first, index)));
        }
      }
      for (std::size_t i = part; i < open.size(); i += 3) open[i].second->finish_stream();
    });
  }
  for (int stream = 0; stream < kStreams; ++stream) {
    const auto answer = clients[stream].read_answer();
    ASSERT_TRUE(answer) << stream;
    ASSERT_EQ(answer->chunks.size(), static_cast<std::size_t>(kFrames)) << stream;
    for (int index = 0; index < kFrames; ++index) ASSERT_EQ(answer->chunks[index], frame(stream, index));
  }
  for (std::thread& producer : producers) producer.join();
  server->stop();
  EXPECT_EQ(server->stats().frames_sent, static_cast<std::uint64_t>(kStreams) * kFrames);
  EXPECT_EQ(server->stats().streams_cut, 0U);
}

TEST(HttpStreams, ASlowReaderIsCutWhileAnotherFinishes) {
  ScriptedHandler handler;
  Event came, gone;
  std::mutex mutex;
  std::shared_ptr<HttpResponder> slow, other;
  handler.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    responder->open_stream({});
    const std::lock_guard lock(mutex);
    const bool is_slow = request.head.path == "/slow";
    (is_slow ? slow : other) = std::move(responder);
    if (is_slow) on_gone = [&] { gone.set(); };
    came.set();
  };
  const auto server = start(handler);
  RawClient slow_client(server->port(), 4096);
  slow_client.send(get("/slow"));
  RawClient client(server->port());
  client.send(get("/other"));
  ASSERT_TRUE(came.wait(2));
  bool cut = false;
  int sent = 0;
  for (; sent < 1'000'000 && !cut; ++sent) cut = !slow->send(std::string(1000, 'x'));
  EXPECT_TRUE(cut);
  EXPECT_FALSE(slow->send("more"));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(other->send(frame(1, i)));
  other->finish_stream();
  EXPECT_EQ(client.read_answer()->chunks.size(), 100U);
  ASSERT_TRUE(gone.wait());
  EXPECT_FALSE(slow_client.read_to_end().ends_with("\r\n0\r\n\r\n"));
  EXPECT_EQ(gone.count(), 1);
  EXPECT_EQ(server->stats().streams_cut, 1U);
  EXPECT_EQ(server->stats().clients_gone, 1U);
}

// Eight openings of 2 MB and what the steps behind them make, all before a slow network has taken the first.
TEST(HttpStreams, LongFramesThatWereAskedForGoOutWhole) {
  ScriptedHandler handler;
  Threads threads;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    threads.run([responder] {
      responder->open_stream({});
      for (int i = 0; i < 8; ++i) EXPECT_TRUE(responder->send_asked(std::string(2'000'000, 'x')));
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(responder->send(std::string(1000, 'y')));
      responder->finish_stream();
    });
  };
  const auto server = start(handler);
  RawClient client(server->port(), 4096);
  client.send(get("/"));
  EXPECT_EQ(client.read_head()->status, 200);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(client.read_chunk()->size(), 2'000'000U);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(client.read_chunk()->size(), 1000U);
  EXPECT_EQ(client.read_chunk(), "");
  EXPECT_EQ(server->stats().streams_cut, 0U);
}

TEST(HttpStreams, AWriteThatStallsCutsTheStream) {
  ScriptedHandler handler;
  Event gone;
  Threads threads;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    on_gone = [&] { gone.set(); };
    responder->respond({200, "", {}, std::string(30'000'000, 'x')});
  };
  HttpServerConfig config;
  config.limits.write_stall = std::chrono::milliseconds(50);
  const auto server = start(handler, config);
  RawClient client(server->port(), 4096);
  client.send(get("/"));
  ASSERT_TRUE(gone.wait());
  EXPECT_LT(client.read_to_end().size(), 30'000'000U);
  EXPECT_EQ(server->stats().streams_cut, 1U);
}

TEST(HttpStreams, AClientThatLeavesIsGoneOnce) {
  ScriptedHandler handler;
  Event came, gone;
  std::shared_ptr<HttpResponder> kept;
  handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    responder->open_stream({});
    EXPECT_TRUE(responder->send("first"));
    kept = std::move(responder);
    on_gone = [&] { gone.set(); };
    came.set();
  };
  const auto server = start(handler);
  RawClient client(server->port());
  client.send(get("/"));
  ASSERT_TRUE(came.wait());
  EXPECT_EQ(client.read_head()->status, 200);
  EXPECT_EQ(client.read_chunk(), "first");
  client.close();
  ASSERT_TRUE(gone.wait());  // without a single further frame
  EXPECT_FALSE(kept->send("late"));
  kept->finish_stream();
  kept.reset();
  server->stop();
  EXPECT_EQ(gone.count(), 1);
  EXPECT_EQ(server->stats().clients_gone, 1U);
}

TEST(HttpStreams, ACutStreamEndsWithoutItsEnd) {
  ScriptedHandler handler;
  Event gone;
  handler.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    on_gone = [&] { gone.set(); };
    responder->open_stream({});
    responder->send("first");
    responder->send("second");
    if (request.head.path == "/cut") responder->cut_stream();  // else dropped: the same
  };
  const auto server = start(handler);
  for (const char* path : {"/cut", "/dropped"}) {
    RawClient client(server->port());
    client.send(get(path));
    EXPECT_EQ(client.read_head()->status, 200);
    EXPECT_EQ(client.read_chunk(), "first");
    EXPECT_EQ(client.read_chunk(), "second");
    EXPECT_EQ(client.read_to_end(), "");
  }
  server->stop();
  EXPECT_EQ(gone.count(), 0);
}

TEST(HttpStreams, ToHttp10TheFramesAreTheBody) {
  ScriptedHandler handler;
  handler.answer = [](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->open_stream({});
    responder->send("one ");
    responder->send("two");
    responder->finish_stream();
  };
  const auto server = start(handler);
  RawClient client(server->port());
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto answer = client.read_answer();
  EXPECT_TRUE(answer->has("\nconnection: close\n"));
  EXPECT_EQ(answer->body, "one two");
}

TEST(HttpStreams, ToHeadAStreamIsItsHead) {
  ScriptedHandler handler;
  handler.answer = [](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    EXPECT_EQ(request.head.method, "HEAD");
    responder->open_stream({});
    for (int i = 0; i < 5000; ++i) EXPECT_TRUE(responder->send("never sent"));
    responder->finish_stream();
  };
  const auto server = start(handler);
  RawClient client(server->port());
  for (int i = 0; i < 2; ++i) {
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(client.read_answer(true)->chunked);
  }
}

TEST(HttpStreams, RequestsBehindAStreamAreAnsweredAfterIt) {
  ScriptedHandler handler;
  Threads threads;
  handler.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    if (request.head.path != "/stream") return responder->respond({200, "", {}, request.head.path});
    threads.run([responder] {
      responder->open_stream({});
      for (int i = 0; i < 50; ++i) responder->send(frame(0, i));
      responder->finish_stream();
    });
  };
  const auto server = start(handler);
  RawClient client(server->port());
  client.send(get("/stream") + get("/next") + get("/stream"));
  EXPECT_EQ(client.read_answer()->chunks.size(), 50U);
  EXPECT_EQ(client.read_answer()->body, "/next");
  EXPECT_EQ(client.read_answer()->chunks.size(), 50U);
}

}  // namespace
}  // namespace herd::http
