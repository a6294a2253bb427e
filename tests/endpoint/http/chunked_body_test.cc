#include "endpoint/http/chunked_body.h"

#include <gtest/gtest.h>

#include <string>

namespace herd::http {
namespace {

struct Decoded {
  ReadStep step = ReadStep::kMore;
  std::string body;
  std::size_t used = 0;
  Refusal refusal;
};

Decoded decode(const std::string& bytes, std::size_t piece) {
  ChunkedBody chunked(64);
  Decoded decoded;
  while (decoded.used < bytes.size() && chunked.step() == ReadStep::kMore) {
    decoded.used += chunked.feed(std::string_view(bytes).substr(decoded.used, piece), decoded.body);
  }
  decoded.step = chunked.step();
  decoded.refusal = chunked.refusal();
  return decoded;
}

Decoded decode(const std::string& bytes) {
  Decoded whole = decode(bytes, bytes.size());
  for (std::size_t piece = 1; piece < bytes.size(); ++piece) {
    const Decoded split = decode(bytes, piece);
    EXPECT_EQ(split.step, whole.step) << bytes;
    EXPECT_EQ(split.body, whole.body) << bytes;
    EXPECT_EQ(split.used, whole.used) << bytes;
    EXPECT_EQ(split.refusal, whole.refusal) << bytes;
  }
  return whole;
}

TEST(ChunkedBody, JoinsChunksAndStopsAtTheEnd) {
  const Decoded decoded = decode("5\r\nhello\r\n00000006\r\n world\r\n0\r\n\r\nGET / HTTP/1.1\r\n");
  EXPECT_EQ(decoded.step, ReadStep::kDone);
  EXPECT_EQ(decoded.body, "hello world");
  EXPECT_EQ(decoded.used, 33U);
}

TEST(ChunkedBody, KeepsWhateverThePayloadIs) {
  const std::string payload("\r\n0\r\n\r\n\0\xff", 9);
  EXPECT_EQ(decode("9\r\n" + payload + "\r\n0\r\n\r\n").body, payload);
}

TEST(ChunkedBody, SkipsExtensionsAndTrailers) {
  const Decoded decoded = decode("A;name=\"v\"\r\n0123456789\r\n0;last\r\nx-sum: 1\r\nContent-Length: 7\r\n\r\n");
  EXPECT_EQ(decoded.step, ReadStep::kDone);
  EXPECT_EQ(decoded.body, "0123456789");
}

TEST(ChunkedBody, SkipsBlanksInFrontOfAnExtension) {
  EXPECT_EQ(decode("5 ;a=b\r\nhello\r\n0\t ; c\r\n\r\n").body, "hello");
  EXPECT_EQ(decode("5 ;a=b\r\nhello\r\n0\t ; c\r\n\r\n").step, ReadStep::kDone);
}

TEST(ChunkedBody, TakesAnEmptyBodyAndOneOfExactlyTheLimit) {
  EXPECT_EQ(decode("0\r\n\r\n").step, ReadStep::kDone);
  EXPECT_EQ(decode("40\r\n" + std::string(64, 'x') + "\r\n0\r\n\r\n").step, ReadStep::kDone);
  EXPECT_EQ(decode("20\r\n" + std::string(32, 'x') + "\r\n21\r\n").refusal.status, 413);
}

TEST(ChunkedBody, BoundsWhatIsNotPayload) {
  std::string bytes;
  for (int i = 0; i < 40; ++i) bytes += "1;" + std::string(300, 'e') + "\r\nx\r\n";
  EXPECT_EQ(decode(bytes, 1000).refusal.status, 400);
}

}  // namespace
}  // namespace herd::http
