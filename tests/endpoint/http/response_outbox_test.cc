// ResponseOutbox: what counts as a reader's lateness, and that it stays bounded.
#include "endpoint/http/response_outbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace herd::http {
namespace {

constexpr std::size_t kFramesMax = 8;
constexpr std::size_t kBytesMax = 100;

class Nobody final : public OutboxWaker {
 public:
  void wake(std::shared_ptr<ResponseOutbox>) override {}
};

// The outbox of an open stream, raw frames: a frame's bytes are what waits.
std::shared_ptr<ResponseOutbox> open_outbox(std::size_t voices = 1) {
  auto outbox = std::make_shared<ResponseOutbox>(FrameStyle::kRaw, kFramesMax, kBytesMax, std::make_shared<Nobody>());
  outbox->open_stream({}, voices);
  return outbox;
}

// Takes what waits; its size.
std::size_t take(ResponseOutbox& outbox) {
  ResponseOutbox::Batch batch;
  outbox.take(batch, false);
  return batch.bytes.size();
}

bool send(ResponseOutbox& outbox, std::size_t bytes) { return outbox.send(std::string(bytes, 'x'), false); }
bool send_asked(ResponseOutbox& outbox, std::size_t bytes) { return outbox.send(std::string(bytes, 'x'), true); }

TEST(ResponseOutbox, WhatNoSocketHasRefusedIsNotLate) {
  const auto outbox = open_outbox();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(send(*outbox, 50)) << i;
  EXPECT_EQ(take(*outbox), 50'000U);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(send(*outbox, 50)) << i;  // being written, and not refused
}

TEST(ResponseOutbox, OnlyWhatComesBehindTheRefusalCounts) {
  const auto outbox = open_outbox();
  EXPECT_TRUE(send(*outbox, 10));
  take(*outbox);
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(send(*outbox, 50));
  outbox->on_full();
  EXPECT_TRUE(send(*outbox, 50));
  EXPECT_TRUE(send(*outbox, 50));
  EXPECT_FALSE(send(*outbox, 50));
  EXPECT_FALSE(send(*outbox, 1));
  EXPECT_FALSE(send_asked(*outbox, 1)) << "the stream is over";
}

TEST(ResponseOutbox, AFrameThatWasAskedForNeverCounts) {
  const auto outbox = open_outbox();
  EXPECT_TRUE(send(*outbox, 10));
  take(*outbox);
  outbox->on_full();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(send_asked(*outbox, 1000));
  EXPECT_TRUE(send(*outbox, 50));
  EXPECT_TRUE(send(*outbox, 50));
  EXPECT_FALSE(send(*outbox, 50));
}

TEST(ResponseOutbox, ASingleFrameMayBeLongerThanTheBound) {
  const auto outbox = open_outbox();
  EXPECT_TRUE(send(*outbox, 10));
  take(*outbox);
  outbox->on_full();
  EXPECT_TRUE(send(*outbox, 5000));
  EXPECT_FALSE(send(*outbox, 1));
}

TEST(ResponseOutbox, BehindALongBatchAsMuchMayWait) {
  const auto outbox = open_outbox();
  EXPECT_TRUE(send_asked(*outbox, 1000));
  take(*outbox);
  outbox->on_full();
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(send(*outbox, 140)) << i;
  EXPECT_FALSE(send(*outbox, 140));

  const auto frames = open_outbox();  // the same for their number
  for (int i = 0; i < 48; ++i) EXPECT_TRUE(send(*frames, 1));
  take(*frames);
  frames->on_full();
  for (int i = 0; i < 48; ++i) EXPECT_TRUE(send(*frames, 1)) << i;
  EXPECT_FALSE(send(*frames, 1));

  const auto many = open_outbox();  // small frames behind a long one
  EXPECT_TRUE(send_asked(*many, 1000));
  take(*many);
  many->on_full();
  for (int i = 0; i < 80; ++i) EXPECT_TRUE(send(*many, 1)) << i;
  EXPECT_FALSE(send(*many, 1));
}

// One step makes a frame for each of a stream's choices: that is not the reader's doing.
TEST(ResponseOutbox, AStreamOfManyChoicesHasMoreCredit) {
  for (const auto& [voices, frames] : {std::pair{1, 8}, std::pair{32, 8}, std::pair{33, 16}, std::pair{320, 80}}) {
    const auto outbox = open_outbox(static_cast<std::size_t>(voices));
    EXPECT_TRUE(send(*outbox, 1));
    take(*outbox);
    outbox->on_full();
    for (int i = 0; i < frames; ++i) EXPECT_TRUE(send(*outbox, 1)) << voices << " " << i;
    EXPECT_FALSE(send(*outbox, 1)) << voices;
  }
}

// A reader that takes three frames while one is made gets all of them, whatever lies in front of it at first; one that
// takes one while three are made is cut, and never more waits than twice the bound and what was asked for.
TEST(ResponseOutbox, AReaderIsCutForItsPaceNotForItsLoad) {
  for (const bool slow : {false, true}) {
    const auto outbox = open_outbox();
    EXPECT_TRUE(send_asked(*outbox, 3000));
    std::size_t hand = take(*outbox), waiting = 0, most = hand;
    bool cut = false;
    for (int step = 0; step < 10'000 && !cut; ++step) {
      outbox->on_full();
      for (int i = 0; i < (slow ? 3 : 1) && !cut; ++i) {
        cut = !send(*outbox, 10);
        if (!cut) waiting += 10;
      }
      hand -= std::min<std::size_t>(hand, slow ? 10 : 30);
      if (hand == 0) {
        hand = take(*outbox);
        EXPECT_EQ(hand, waiting);
        waiting = 0;
      }
      most = std::max(most, hand + waiting);
    }
    EXPECT_EQ(cut, slow);
    EXPECT_LE(most, 2 * (kBytesMax + 3000));
  }
}

// What comes before the socket refuses makes a batch longer than the bound; that is no reason for more to wait.
TEST(ResponseOutbox, BatchesOfASlowReaderDoNotGrow) {
  const auto outbox = open_outbox();
  EXPECT_TRUE(send(*outbox, 20));
  for (int round = 0; round < 3; ++round) {
    take(*outbox);
    EXPECT_TRUE(send(*outbox, 20));
    outbox->on_full();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(send(*outbox, 20)) << round << " " << i;
  }
  EXPECT_FALSE(send(*outbox, 20));
}

}  // namespace
}  // namespace herd::http
