// HeadReader: what is taken, and that the verdict does not depend on the pieces. What is refused: bad_requests.cc.
#include "endpoint/http/http_head.h"

#include <gtest/gtest.h>

#include <string>

namespace herd::http {
namespace {

struct Verdict {
  ReadStep step = ReadStep::kMore;
  std::size_t size = 0;
  Refusal refusal;
  ParsedHead parsed;
};

Verdict read(const std::string& bytes, std::size_t piece, const HttpLimits& limits = {}) {
  HeadReader reader(limits);
  Verdict verdict;
  for (std::size_t end = std::min(piece, bytes.size());; end = std::min(end + piece, bytes.size())) {
    verdict.step = reader.read(std::string_view(bytes).substr(0, end));
    if (verdict.step != ReadStep::kMore || end == bytes.size()) break;
  }
  verdict.size = reader.size();
  verdict.refusal = reader.refusal();
  verdict.parsed = reader.take();
  return verdict;
}

Verdict read(const std::string& bytes, const HttpLimits& limits = {}) {
  Verdict whole = read(bytes, bytes.size(), limits);
  for (std::size_t piece = 1; piece < bytes.size() && piece < 9; ++piece) {
    const Verdict split = read(bytes, piece, limits);
    EXPECT_EQ(split.step, whole.step) << bytes;
    EXPECT_EQ(split.size, whole.size) << bytes;
    EXPECT_EQ(split.refusal, whole.refusal) << bytes;
    EXPECT_EQ(split.parsed.head.headers, whole.parsed.head.headers) << bytes;
  }
  return whole;
}

ParsedHead accepted(const std::string& bytes, const HttpLimits& limits = {}) {
  Verdict verdict = read(bytes, limits);
  EXPECT_EQ(verdict.step, ReadStep::kDone) << bytes << verdict.refusal.why;
  EXPECT_EQ(verdict.size, bytes.size());
  return std::move(verdict.parsed);
}

int refused(const std::string& bytes, const HttpLimits& limits = {}) {
  const Verdict verdict = read(bytes, limits);
  EXPECT_EQ(verdict.step, ReadStep::kRefused) << bytes;
  return verdict.refusal.status;
}

TEST(HttpHead, TakesMethodPathQueryAndHeadersAsTheyCame) {
  const ParsedHead parsed = accepted(
      "POST /v1/chat%20x?a=b?c HTTP/1.1\r\nHost: localhost:8000\r\nX-Empty:\r\nAuthorization: \t Bearer  k \t\r\n"
      "content-type: text/\xc3\xa9\r\n\r\n");
  EXPECT_EQ(parsed.head.method, "POST");
  EXPECT_EQ(parsed.head.path, "/v1/chat%20x");
  EXPECT_EQ(parsed.head.query, "a=b?c");
  ASSERT_EQ(parsed.head.headers.size(), 4U);
  EXPECT_EQ(*parsed.head.header("HOST"), "localhost:8000");
  EXPECT_EQ(*parsed.head.header("x-empty"), "");
  EXPECT_EQ(*parsed.head.header("authorization"), "Bearer  k");
  EXPECT_EQ(*parsed.head.header("Content-Type"), "text/\xc3\xa9");
  EXPECT_EQ(parsed.head.header("content-typ"), nullptr);
  EXPECT_TRUE(parsed.keep_alive);
  EXPECT_FALSE(parsed.has_body());
}

TEST(HttpHead, EndsExactlyAtTheEmptyLine) {
  const Verdict verdict = read("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n");
  EXPECT_EQ(verdict.step, ReadStep::kDone);
  EXPECT_EQ(verdict.size, 27U);
}

TEST(HttpHead, WaitsForMoreUntilThen) {
  const std::string whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(read(whole.substr(0, size)).step, ReadStep::kMore) << size;
  }
}

TEST(HttpHead, SkipsOneEmptyLineInFront) {
  EXPECT_EQ(accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").head.path, "/");
}

TEST(HttpHead, FramesTheBodyInOneOfThreeWays) {
  EXPECT_EQ(accepted("POST / HTTP/1.1\r\nHost: a\r\n\r\n").framing, BodyFraming::kNone);
  const ParsedHead length = accepted("POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 0012\r\n\r\n");
  EXPECT_EQ(length.framing, BodyFraming::kLength);
  EXPECT_EQ(length.content_length, 12U);
  EXPECT_EQ(accepted("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\n").framing, BodyFraming::kChunked);
  EXPECT_EQ(accepted("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n").content_length,
            9'999'999'999'999'999'999U);
}

// Names of codings in any case (RFC 9112, 7), empty elements of a list for nothing (RFC 9110, 5.6.1).
TEST(HttpHead, TakesEverySpellingOfChunked) {
  for (const char* spelling : {"chunked", "Chunked", "CHUNKED", "chunked,", ",chunked", " , chunked\t, "}) {
    const ParsedHead parsed =
        accepted("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + std::string(spelling) + "\r\n\r\n");
    EXPECT_EQ(parsed.framing, BodyFraming::kChunked) << spelling;
  }
}

struct Target {
  const char* target;
  const char* path;
  const char* query;
  const char* host;  // with "Host: own:1"
};

// RFC 9112, 3.2.2: the host of the target counts, not the header.
TEST(HttpHead, TakesATargetWithItsHost) {
  for (const Target& row : {Target{"http://a", "/", "", "a"}, Target{"http://a/", "/", "", "a"},
                            Target{"http://127.0.0.1:8000/v1/models?x=y?z", "/v1/models", "x=y?z", "127.0.0.1:8000"},
                            Target{"HTTPS://[::1]:443/a//b", "/a//b", "", "[::1]:443"},
                            Target{"Http://a.b.?x", "/", "x", "a.b."}, Target{"http://a:/x", "/x", "", "a:"},
                            Target{"http://a/http://b/", "/http://b/", "", "a"}, Target{"http://a/*", "/*", "", "a"}}) {
    for (const char* header : {"own:1", ""}) {
      const ParsedHead parsed =
          accepted("GET " + std::string(row.target) + " HTTP/1.1\r\nHost: " + header + "\r\n\r\n");
      EXPECT_TRUE(parsed.head.absolute) << row.target;
      EXPECT_EQ(parsed.head.path, row.path) << row.target;
      EXPECT_EQ(parsed.head.query, row.query) << row.target;
      EXPECT_EQ(parsed.head.host, row.host) << row.target;
    }
  }
  const ParsedHead plain = accepted("GET /a://b HTTP/1.1\r\nHost: own:1\r\n\r\n");
  EXPECT_FALSE(plain.head.absolute);
  EXPECT_EQ(plain.head.path, "/a://b");
  EXPECT_EQ(plain.head.host, "own:1");
  EXPECT_EQ(accepted("GET / HTTP/1.0\r\n\r\n").head.host, std::nullopt);
  EXPECT_EQ(accepted("GET http://a/ HTTP/1.0\r\n\r\n").head.host, "a");
}

TEST(HttpHead, TakesOptionsOfTheServerItself) {
  EXPECT_EQ(accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").head.path, "*");
  EXPECT_EQ(accepted("OPTIONS http://b:1 HTTP/1.1\r\nHost: a\r\n\r\n").head.path, "*");
  EXPECT_EQ(accepted("OPTIONS http://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n").head.path, "/");
}

TEST(HttpHead, KeepsTheConnectionAsTheVersionAndTheClientSay) {
  const auto keeps = [](const std::string& rest) { return accepted("GET / HTTP/1." + rest + "\r\n\r\n").keep_alive; };
  EXPECT_TRUE(keeps("1\r\nHost: a"));
  EXPECT_TRUE(keeps("1\r\nHost: a\r\nConnection: upgrade, x\r\nUpgrade: h2c"));
  EXPECT_FALSE(keeps("1\r\nHost: a\r\nConnection: CLOSE"));
  EXPECT_FALSE(keeps("1\r\nHost: a\r\nConnection: x ,\tclose"));
  EXPECT_FALSE(keeps("1\r\nHost: a\r\nConnection: , ,close,"));
  EXPECT_FALSE(keeps("1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close"));
  EXPECT_FALSE(keeps("0"));
  EXPECT_TRUE(keeps("0\r\nConnection: Keep-Alive"));
  EXPECT_FALSE(keeps("0\r\nConnection: keep-alive, close"));
}

TEST(HttpHead, HonoursContinueButNotInHttp10) {
  EXPECT_TRUE(accepted("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").expect_continue);
  EXPECT_TRUE(accepted("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue,\r\n\r\n").expect_continue);
  EXPECT_FALSE(accepted("POST / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n").expect_continue);
  EXPECT_FALSE(accepted("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
}

TEST(HttpHead, TakesHostsThatAreOnlyHosts) {
  for (const char* host : {"", "a", "a.b:80", "a:", "127.0.0.1:8000", "[::1]:8000", "[::1]", "a_b-c.example"}) {
    EXPECT_EQ(*accepted("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n").head.header("host"), host);
  }
}

TEST(HttpHead, LimitsAreExact) {
  HttpLimits limits;
  limits.request_line_bytes = 20;
  limits.header_bytes = 12;
  limits.headers = 2;
  limits.head_bytes = 64;
  const auto target = [](int size) { return "GET /" + std::string(size, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  accepted(target(6), limits);
  EXPECT_EQ(refused(target(7), limits), 414);
  const auto header = [](int size) { return "GET / HTTP/1.1\r\nHost: " + std::string(size, 'a') + "\r\n\r\n"; };
  accepted(header(6), limits);
  EXPECT_EQ(refused(header(7), limits), 431);
  accepted("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\n\r\n", limits);
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\nd: e\r\n\r\n", limits), 431);
  limits.headers = 100;
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nb: c\r\n\r\n";
  limits.head_bytes = head.size();
  accepted(head, limits);
  limits.head_bytes = head.size() - 1;
  EXPECT_EQ(refused(head, limits), 431);
}

}  // namespace
}  // namespace herd::http
