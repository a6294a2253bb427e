// SseParser against the examples of the standard and of our own, whole and cut at every byte.

#include "commands/load/sse_parser.h"

#include <gtest/gtest.h>

namespace herd::load {
namespace {

struct Case {
  const char* name;
  std::string stream;
  std::vector<SseEvent> events;
  bool inside_event = false;  // at the end
  std::size_t comments = 0;
};

std::vector<Case> cases() {
  return {
      {"one event", "data: {\"a\":1}\n\n", {{"", "{\"a\":1}", ""}}},
      {"done", "data: [DONE]\n\n", {{"", "[DONE]", ""}}},
      {"two events", "data: a\n\ndata: b\n\n", {{"", "a", ""}, {"", "b", ""}}},
      {"no space behind the colon", "data:a\n\n", {{"", "a", ""}}},
      {"only one space is taken", "data:  a \n\n", {{"", " a ", ""}}},
      {"several data lines", "data: a\ndata: b\ndata\n\n", {{"", "a\nb\n", ""}}},
      {"empty data", "data\n\ndata:\n\n", {{"", "", ""}, {"", "", ""}}},
      {"crlf", "data: a\r\n\r\ndata: b\r\n\r\n", {{"", "a", ""}, {"", "b", ""}}},
      {"cr alone", "data: a\r\rdata: b\r\r", {{"", "a", ""}, {"", "b", ""}}},
      {"mixed line ends", "data: a\ndata: b\r\n\rdata: c\r\n\n", {{"", "a\nb", ""}, {"", "c", ""}}},
      {"a comment in front of an event", ": ping\nid: 7\ndata: a\n\n: ping\n", {{"", "a", "7"}}, false, 2},
      {"comments", ": ping\n\n:\ndata: a\n: in between\n\n", {{"", "a", ""}}, false, 3},
      {"type", "event: error\ndata: a\n\ndata: b\n\n", {{"error", "a", ""}, {"", "b", ""}}},
      {"a type without data is no event", "event: error\n\ndata: b\n\n", {{"", "b", ""}}},
      {"the id stays until another comes",
       "id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
       {{"", "a", "7"}, {"", "b", "7"}, {"", "c", ""}}},
      {"an id with NUL is ignored", std::string("id: 7\0\ndata: a\n\n", 16), {{"", "a", ""}}},
      {"unknown fields", "retry: 10\nfoo: bar\nDATA: x\ndata : y\ndata: a\n\n", {{"", "a", ""}}},
      {"a value with colons", "data: a:b: c\n\n", {{"", "a:b: c", ""}}},
      {"byte order mark",
       "\xEF\xBB\xBF"
       "data: a\n\n",
       {{"", "a", ""}}},
      {"a byte order mark later is text",
       "data: a\n\n\xEF\xBB\xBF"
       "data: b\n\n",
       {{"", "a", ""}}},
      {"blank lines alone", "\n\r\n\r\n\n", {}},
      {"nothing", "", {}},
      {"cut inside a line", "data: a\n\ndata: b", {{"", "a", ""}}, true},
      {"cut before the blank line", "data: a\n", {}, true},
  };
}

TEST(SseParser, ReadsWhatTheStandardSays) {
  for (const Case& c : cases()) {
    SseParser parser;
    std::vector<SseEvent> events;
    ASSERT_TRUE(parser.feed(c.stream, events).ok()) << c.name;
    EXPECT_EQ(events, c.events) << c.name;
    EXPECT_EQ(parser.inside_event(), c.inside_event) << c.name;
    EXPECT_EQ(parser.comments(), c.comments) << c.name;
  }
}

TEST(SseParser, PiecesOfAnySizeMakeNoDifference) {
  for (const Case& c : cases()) {
    for (std::size_t first = 0; first <= c.stream.size(); ++first) {
      for (std::size_t second = first; second <= c.stream.size(); ++second) {
        SseParser parser;
        std::vector<SseEvent> events;
        const std::string_view all = c.stream;
        ASSERT_TRUE(parser.feed(all.substr(0, first), events).ok());
        ASSERT_TRUE(parser.feed(all.substr(first, second - first), events).ok());
        ASSERT_TRUE(parser.feed(all.substr(second), events).ok());
        ASSERT_EQ(events, c.events) << c.name << ", cut at " << first << " and " << second;
        ASSERT_EQ(parser.inside_event(), c.inside_event) << c.name << ", cut at " << first << " and " << second;
      }
    }
  }
}

TEST(SseParser, ALineWithoutEndIsRefusedAtTheBound) {
  SseParser parser(100);
  std::vector<SseEvent> events;
  EXPECT_TRUE(parser.feed("data: " + std::string(94, 'x'), events).ok());
  EXPECT_EQ(parser.feed("x", events).code(), StatusCode::kBadInput);
  EXPECT_EQ(parser.feed("\n\n", events).code(), StatusCode::kBadInput) << "it takes nothing afterwards";
  EXPECT_TRUE(events.empty());
}

TEST(SseParser, ManyDataLinesOfOneEventAreRefusedAtTheBound) {
  SseParser parser(100);
  std::vector<SseEvent> events;
  Status status;
  int lines = 0;
  for (; status.ok() && lines < 1000; ++lines) status = parser.feed("data: 0123456789\n", events);
  EXPECT_EQ(status.code(), StatusCode::kBadInput);
  EXPECT_LT(lines, 12);
  EXPECT_TRUE(events.empty());
}

TEST(SseParser, AnyNumberOfSmallEventsPassesASmallBound) {
  SseParser parser(20);
  std::vector<SseEvent> events;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(parser.feed("data: 0123456789\n\n", events).ok());
  EXPECT_EQ(events.size(), 1000U);
}

}  // namespace
}  // namespace herd::load
