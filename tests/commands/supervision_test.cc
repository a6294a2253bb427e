#include "commands/supervision.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace herd::commands {
namespace {

using membership::Note;
using membership::NoteKind;

class SupervisionTest : public testing::Test {
 protected:
  SupervisionTest() : file_(std::tmpfile()) {}
  ~SupervisionTest() override { std::fclose(file_); }

  std::string logged() {
    EXPECT_TRUE(log_.flush(std::chrono::minutes(1)));
    std::rewind(file_);
    std::string text(1 << 16, 0);
    text.resize(std::fread(text.data(), 1, text.size(), file_));
    return text;
  }

  std::FILE* file_;
  observability::EventLog log_{observability::LogFormat::kText, observability::LogLevel::kDebug, {.fd = fileno(file_)}};
  int none_left_ = 0;
  observability::RecentEvents events_{[] { return std::int64_t{0}; }};
  Supervision supervision_{log_, &events_, 2, [this] { ++none_left_; }};
};

TEST_F(SupervisionTest, EveryNoteIsALineThatSaysWhoAndWhy) {
  supervision_.on_note(ReplicaId(1), {.kind = NoteKind::kRankHangs, .rank = 3, .text = "rank 3 hangs in matmul for 1.6 s", .epoch = Epoch(7)});
  supervision_.on_note(ReplicaId(1), {.kind = NoteKind::kServing, .rank = std::nullopt, .text = "again", .pause_s = 0.25, .epoch = Epoch(8)});
  const std::string text = logged();
  EXPECT_NE(text.find("ERROR a rank hangs replica=1 rank=3 epoch=7 what=\"rank 3 hangs in matmul for 1.6 s\"\n"), std::string::npos) << text;
  EXPECT_NE(text.find("INFO  a replica serves again replica=1 epoch=8 pause_s=0.25 what=again\n"), std::string::npos) << text;
  const auto events = events_.newest_first();
  ASSERT_EQ(events.size(), 1U) << "what becomes of a replica its status tells";
  EXPECT_EQ(events[0].what, "a rank hangs: rank 3 hangs in matmul for 1.6 s");
}

TEST_F(SupervisionTest, NoneIsLeftWhenEachWasGivenUp) {
  const Note lost{.kind = NoteKind::kGivenUp, .rank = std::nullopt, .text = "four losses within a minute"};
  const Note hung{.kind = NoteKind::kGivenUp, .rank = std::nullopt, .text = "rank 0 hangs and its thread cannot be ended"};
  supervision_.on_note(ReplicaId(0), lost);
  supervision_.on_note(ReplicaId(0), lost);
  EXPECT_EQ(none_left_, 0) << "the same one twice";
  EXPECT_EQ(supervision_.none_left(), std::nullopt);
  supervision_.on_note(ReplicaId(1), hung);
  EXPECT_EQ(none_left_, 1);
  EXPECT_EQ(supervision_.none_left(), hung.text) << "why the last one is gone";
}

}  // namespace
}  // namespace herd::commands
