// HttpSession without sockets: time is a number, bytes are strings.
#include "endpoint/http/http_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bad_requests.h"
#include "scripted_handler.h"

namespace herd::http {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

class NoWaker final : public OutboxWaker {
 public:
  void wake(std::shared_ptr<ResponseOutbox>) override { ++wakes; }
  int wakes = 0;
};

// A client whose socket takes everything at once, or nothing, or a byte.
class SessionBench : public OutboxOwner {
 public:
  explicit SessionBench(HttpLimits limits = {}) {
    shared.handler = &handler;
    shared.limits = limits;
    session.emplace(shared, waker, *this, "1.2.3.4:5", now);
    session->on_open(now);
  }
  void on_outbox_ready() override {}

  void receive(std::string_view bytes) { session->on_bytes(bytes, now); }
  // What leaves when the socket takes all of it.
  std::string write() {
    std::string written;
    session->on_outbox(now);
    while (session->has_output()) {
      const auto output = session->output();
      const std::string bytes = std::string(output[0]) + std::string(output[1]);
      written += bytes;
      session->on_written(bytes.size(), now);
    }
    return written;
  }
  // One byte leaves, then the socket is full.
  void fill() {
    session->on_outbox(now);
    ASSERT_TRUE(session->has_output());
    session->on_written(1, now);
    session->on_full();
  }
  void pass(std::int64_t ns) {
    now.ns += ns;
    if (now >= session->deadline()) session->on_time(now);
  }
  // Waits for the deadline alone.
  void pass_deadline() {
    ASSERT_NE(session->deadline(), kNever);
    pass(session->deadline().ns - now.ns);
  }
  HttpSession::Fate fate() const { return session->fate(); }

  ScriptedHandler handler;
  SessionShared shared;
  std::shared_ptr<NoWaker> waker = std::make_shared<NoWaker>();
  Instant now{1};
  std::optional<HttpSession> session;
};

int status_of(const std::string& answer) { return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3)); }

TEST(HttpSession, RefusesEveryBadRequestWholeOrByteByByte) {
  ASSERT_GE(bad_requests().size(), 60U);
  for (const BadRequest& bad : bad_requests()) {
    for (const std::size_t piece : {bad.bytes.size(), std::size_t{1}, std::size_t{7}}) {
      SessionBench bench(bad_request_limits());
      std::string written;
      for (std::size_t at = 0; at < bad.bytes.size(); at += piece) {
        bench.receive(std::string_view(bad.bytes).substr(at, piece));
        written += bench.write();
      }
      EXPECT_EQ(status_of(written), bad.status) << bad.name;
      EXPECT_NE(written.find("\r\nConnection: close\r\n"), std::string::npos) << bad.name;
      EXPECT_EQ(bench.fate(), HttpSession::Fate::kLinger) << bad.name;
      EXPECT_EQ(bench.handler.requests, 0) << bad.name;
      EXPECT_EQ(bench.shared.counters.refused, 1U) << bad.name;
    }
  }
}

TEST(HttpSession, LingersForAWhileThenCloses) {
  SessionBench bench;
  bench.receive("x\r\n");
  bench.write();
  ASSERT_EQ(bench.fate(), HttpSession::Fate::kLinger);
  bench.receive(kGet);
  EXPECT_EQ(bench.handler.requests, 0);
  EXPECT_EQ(bench.write(), "");
  bench.pass_deadline();
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kClose);
}

TEST(HttpSession, AHeadMayTakeItsTimeAndNoLonger) {
  SessionBench bench;
  bench.pass(50 * kSecond);  // idle: no head has begun
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kOpen);
  for (int i = 0; i < 10; ++i) {
    bench.receive(kGet.substr(i, 1));
    EXPECT_EQ(bench.write(), "");
    bench.pass(kSecond - (i == 9 ? 1 : 0));
  }
  EXPECT_EQ(bench.write(), "");
  bench.pass(1);
  EXPECT_EQ(status_of(bench.write()), 408);
}

TEST(HttpSession, AnIdleConnectionClosesWithoutAWord) {
  SessionBench bench;
  bench.receive(kGet);
  EXPECT_EQ(status_of(bench.write()), 200);
  bench.pass(60 * kSecond - 1);
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kOpen);
  bench.pass(1);
  EXPECT_EQ(bench.write(), "");
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kClose);
}

TEST(HttpSession, ABodyMustComeFastEnough) {
  SessionBench slow;
  slow.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  slow.pass(5 * kSecond - 1);
  EXPECT_EQ(slow.write(), "");
  slow.pass(1);
  EXPECT_EQ(status_of(slow.write()), 408);

  SessionBench steady;  // just the rate: until the whole body's time is over
  steady.receive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (int second = 0; second < 29; ++second) {
    steady.receive(std::string(1024, 'x'));
    steady.pass(kSecond);
    EXPECT_EQ(steady.write(), "") << second;
  }
  steady.pass(kSecond);
  EXPECT_EQ(status_of(steady.write()), 408);

  SessionBench done;
  done.receive("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
  done.pass(4 * kSecond);
  done.receive("0\r\n\r\n");
  EXPECT_EQ(status_of(done.write()), 200);
}

TEST(HttpSession, AnAnswerMayTakeForEver) {
  SessionBench bench;
  std::shared_ptr<HttpResponder> kept;
  bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    kept = std::move(responder);
  };
  bench.receive(kGet);
  bench.pass(3600 * kSecond);
  kept->respond({});
  EXPECT_EQ(status_of(bench.write()), 200);
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kOpen);
}

// The client reads nothing: has_output() stays.
TEST(HttpSession, AStalledWriteCutsTheStream) {
  SessionBench bench;
  std::shared_ptr<HttpResponder> kept;
  int gone = 0;
  bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    kept = std::move(responder);
    on_gone = [&] { ++gone; };
  };
  bench.receive(kGet);
  kept->open_stream({});
  EXPECT_TRUE(kept->send("frame"));
  bench.session->on_outbox(bench.now);
  bench.pass(29 * kSecond);
  bench.session->on_written(1, bench.now);  // progress, however small
  bench.pass(29 * kSecond);
  EXPECT_EQ(gone, 0);
  bench.pass(kSecond);
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kReset);
  EXPECT_EQ(gone, 1);
  EXPECT_FALSE(kept->send("frame"));
  EXPECT_EQ(bench.shared.counters.streams_cut, 1U);
}

TEST(HttpSession, AnAnswerMustBeReadFastEnough) {
  for (const std::size_t rate : {16384, 0}) {
    HttpLimits limits;
    limits.answer_bytes_per_s_min = rate;
    SessionBench slow(limits);
    int gone = 0;
    slow.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
      on_gone = [&] { ++gone; };
      responder->respond({200, "", {}, std::string(163'840, 'x')});  // ten seconds at that rate
    };
    slow.receive(kGet);
    for (int i = 0; i < 7; ++i) {  // a byte in ten seconds: never stalled
      EXPECT_EQ(slow.fate(), HttpSession::Fate::kOpen) << i;
      slow.session->on_written(1, slow.now);
      slow.pass(10 * kSecond);
    }
    EXPECT_EQ(gone, 0);
    slow.session->on_written(1, slow.now);
    slow.pass(kSecond);
    EXPECT_EQ(slow.fate(), rate > 0 ? HttpSession::Fate::kReset : HttpSession::Fate::kOpen);
    EXPECT_EQ(slow.shared.counters.streams_cut, rate > 0 ? 1U : 0U);
    EXPECT_EQ(gone, rate > 0 ? 1 : 0);
  }
}

TEST(HttpSession, AnAnswerThatIsReadAtTheLowestRateIsWhole) {
  SessionBench steady;
  const std::string body(2'000'000, 'x');
  steady.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->respond({200, "", {}, body});
  };
  steady.receive(kGet);
  std::size_t read = 0;
  while (steady.session->has_output() && steady.fate() == HttpSession::Fate::kOpen) {
    const auto output = steady.session->output();
    const std::size_t bytes = std::min<std::size_t>(16'384, output[0].size() + output[1].size());
    read += bytes;
    steady.session->on_written(bytes, steady.now);
    steady.pass(kSecond);
  }
  EXPECT_EQ(steady.fate(), HttpSession::Fate::kOpen);
  EXPECT_GT(read, body.size());
}

TEST(HttpSession, CreditIsWhatQueuesUpBehindAFullSocket) {
  HttpLimits limits;
  limits.stream_frames_max = 4;
  limits.stream_bytes_max = 100;
  for (const bool by_bytes : {false, true}) {
    SessionBench bench(limits);
    std::shared_ptr<HttpResponder> kept;
    bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
      kept = std::move(responder);
      kept->open_stream({});
    };
    bench.receive(kGet);
    const std::string frame(by_bytes ? 40 : 1, 'x');
    const int fit = by_bytes ? 2 : 4;
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(kept->send(frame));  // made at one time: nobody's lateness
    bench.write();
    for (int round = 0; round < 3; ++round) {  // what was written is credit again
      EXPECT_TRUE(kept->send(frame));
      bench.fill();
      for (int i = 0; i < fit; ++i) EXPECT_TRUE(kept->send(frame));
      bench.write();
    }
    EXPECT_TRUE(kept->send(frame));
    bench.fill();
    for (int i = 0; i < fit; ++i) EXPECT_TRUE(kept->send(frame));
    const int before = bench.waker->wakes;
    EXPECT_FALSE(kept->send(frame));
    EXPECT_EQ(bench.waker->wakes, before + 1);  // the cut does not wait for the write that is under way
    EXPECT_FALSE(kept->send(""));
    bench.session->on_outbox(bench.now);
    EXPECT_EQ(bench.fate(), HttpSession::Fate::kReset);
    EXPECT_EQ(bench.shared.counters.frames_sent, 20U + 3U * (fit + 1));
  }
}

TEST(HttpSession, ARefusalBehindAHeadKnowsIt) {
  const std::string post = "POST /a HTTP/1.1\r\nHost: b:1\r\n";
  SessionBench long_body(bad_request_limits());
  long_body.shared.listener = "127.0.0.1:8000";
  long_body.handler.head = [](const HttpRequestHead& head) -> std::optional<HttpResponse> {
    EXPECT_EQ(head.listener, "127.0.0.1:8000");
    EXPECT_EQ(head.host, "b:1");
    return {};
  };
  long_body.receive(post + "Content-Length: 2000\r\n\r\n");
  EXPECT_TRUE(long_body.write().ends_with("refused: the body is too long POST /a"));

  SessionBench slow;
  slow.receive(post + "Content-Length: 2\r\n\r\n");
  slow.pass_deadline();
  EXPECT_TRUE(slow.write().ends_with("refused: the body took too long POST /a"));

  SessionBench broken;
  broken.receive(post + "Transfer-Encoding: chunked\r\n\r\nx");
  EXPECT_TRUE(broken.write().ends_with("refused: a chunk's size is not hexadecimal POST /a"));

  SessionBench dropped;
  dropped.handler.answer = [](HttpRequest request, std::shared_ptr<HttpResponder>, std::function<void()>&) {
    const HttpRequest gone = std::move(request);
  };
  dropped.receive(post + "\r\n");
  EXPECT_TRUE(dropped.write().ends_with("refused: internal error POST /a"));

  SessionBench next;  // the head before it is another request's
  next.receive(kGet + "x\r\n");
  EXPECT_TRUE(next.write().ends_with("refused: the request line is not METHOD TARGET VERSION"));
}

TEST(HttpSession, ABurstWakesOnce) {
  SessionBench bench;
  std::shared_ptr<HttpResponder> kept;
  bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    kept = std::move(responder);
    kept->open_stream({});
  };
  bench.receive(kGet);
  bench.write();
  const int before = bench.waker->wakes;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(kept->send("x"));
  kept->finish_stream();
  EXPECT_EQ(bench.waker->wakes, before + 1);
  EXPECT_TRUE(bench.write().ends_with("1\r\nx\r\n0\r\n\r\n"));
}

TEST(HttpSession, PipelinedBytesWaitInABoundedBuffer) {
  HttpLimits limits;
  limits.pipelined_bytes_max = 100;
  SessionBench bench(limits);
  std::vector<std::shared_ptr<HttpResponder>> kept;
  bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    kept.push_back(std::move(responder));
  };
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(bench.session->wants_bytes()) << i;
    bench.receive(kGet);
  }
  bench.receive(kGet);
  EXPECT_FALSE(bench.session->wants_bytes());
  for (std::size_t i = 0; i < 5; ++i) {
    ASSERT_EQ(kept.size(), i + 1);
    kept[i]->respond({200, "", {}, std::to_string(i)});
    EXPECT_TRUE(bench.write().ends_with("\r\n\r\n" + std::to_string(i)));
    EXPECT_TRUE(bench.session->wants_bytes());
  }
}

TEST(HttpSession, ARequestMaySpanPiecesBehindAnother) {
  const std::string posts =
      "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
      "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
      "HEAD /c HTTP/1.1\r\nHost: a\r\n\r\n" +
      kGet;
  std::string whole;
  for (std::size_t piece = posts.size(); piece > 0; --piece) {
    SessionBench bench;
    std::string written;
    for (std::size_t at = 0; at < posts.size(); at += piece) {
      bench.receive(std::string_view(posts).substr(at, piece));
      written += bench.write();
    }
    if (whole.empty()) {
      whole = written;
      EXPECT_NE(whole.find("POST /a abc"), std::string::npos);
      EXPECT_NE(whole.find("POST /b def"), std::string::npos);
      EXPECT_NE(whole.find("Content-Length: 8\r\n\r\nHTTP/1.1"), std::string::npos);  // HEAD: the length, no body
      EXPECT_TRUE(whole.ends_with("GET /a "));
    }
    EXPECT_EQ(written, whole) << piece;
    EXPECT_EQ(bench.handler.requests, 4);
  }
}

TEST(HttpSession, ContinueIsSaidOnceAndOnlyToThoseWhoWait) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
  SessionBench waits;
  waits.receive(head);
  EXPECT_EQ(waits.write(), "HTTP/1.1 100 Continue\r\n\r\n");
  waits.receive("x");
  EXPECT_EQ(status_of(waits.write()), 200);

  SessionBench impatient;
  impatient.receive(head + "x");
  EXPECT_EQ(status_of(impatient.write()), 200);

  SessionBench refused;
  refused.handler.head = [](const HttpRequestHead&) { return HttpResponse{401, "", {}, ""}; };
  refused.receive(head);
  EXPECT_EQ(status_of(refused.write()), 401);
  EXPECT_EQ(refused.fate(), HttpSession::Fate::kLinger);
}

TEST(HttpSession, ExceptionsOfTheHandlerAreA500) {
  const auto boom = [](auto&&...) { throw std::runtime_error("secret"); };
  for (const bool in_head : {false, true}) {
    SessionBench bench;
    if (in_head) {
      bench.handler.head = [&](const HttpRequestHead&) -> std::optional<HttpResponse> {
        boom();
        return {};
      };
    } else {
      bench.handler.answer = boom;
    }
    bench.receive(kGet);
    const std::string answer = bench.write();
    EXPECT_EQ(status_of(answer), 500);
    EXPECT_EQ(answer.find("secret"), std::string::npos);
  }
}

TEST(HttpSession, HeadersThatWouldBreakTheHeadAreLeftOut) {
  SessionBench bench;
  bench.handler.answer = [](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->respond(
        {200, "a\r\nb: c", {{"x", "1\r\ny: 2"}, {"z z", "3"}, {"Content-Length", "9"}, {"ok", "4"}}, ""});
  };
  bench.receive(kGet);
  EXPECT_EQ(bench.write(), "HTTP/1.1 200 OK\r\nok: 4\r\nContent-Length: 0\r\n\r\n");
}

TEST(HttpSession, TheDateIsTheGivenClock) {
  SessionBench bench;
  bench.shared.unix_seconds = [] { return std::int64_t{784111777}; };
  bench.receive(kGet);
  EXPECT_NE(bench.write().find("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), std::string::npos);
}

TEST(HttpSession, WhatTheClientLeavesBehindIsGoneOnce) {
  SessionBench bench;
  std::shared_ptr<HttpResponder> kept;
  int gone = 0;
  bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    kept = std::move(responder);
    on_gone = [&] { ++gone; };
  };
  bench.receive(kGet);
  bench.session->on_end();
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kClose);
  kept->respond({});
  EXPECT_EQ(bench.write(), "");
  bench.session->on_closed();
  bench.session.reset();
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(bench.shared.counters.clients_gone, 1U);
}

TEST(HttpSession, NobodyIsGoneFromAnAnswerThatWasWhole) {
  SessionBench bench;
  int gone = 0;
  bench.handler.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    on_gone = [&] { ++gone; };
    responder->respond({});
  };
  bench.receive(kGet);
  EXPECT_EQ(status_of(bench.write()), 200);
  bench.session->on_end();
  EXPECT_EQ(gone, 0);
}

TEST(HttpSession, Http10GetsNoChunks) {
  SessionBench bench;
  bench.handler.answer = [](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    responder->open_stream({});
    responder->send("a");
    responder->send("b");
    responder->finish_stream();
  };
  bench.receive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(bench.write(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab");
  EXPECT_EQ(bench.fate(), HttpSession::Fate::kLinger);
}

TEST(HttpSession, DrainingClosesIdleConnectionsAndEndsOthersWithTheirAnswer) {
  SessionBench idle;
  idle.shared.draining = true;
  idle.session->on_drain();
  EXPECT_EQ(idle.fate(), HttpSession::Fate::kClose);

  SessionBench begun;
  begun.receive(kGet.substr(0, 5));
  begun.shared.draining = true;
  begun.session->on_drain();
  EXPECT_EQ(begun.fate(), HttpSession::Fate::kOpen);
  begun.receive(kGet.substr(5));
  EXPECT_NE(begun.write().find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_EQ(begun.fate(), HttpSession::Fate::kLinger);
}

}  // namespace
}  // namespace herd::http
