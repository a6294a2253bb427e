// Outputs longer than a frame: they travel in deltas that fit, and what arrives is what was computed.

#include "runtime/step/cut_deltas.h"

#include <gtest/gtest.h>

#include <numeric>

#include "cluster/wire/generate_codec.h"
#include "runtime/step/output_rows.h"

namespace herd::step {
namespace {

OutputRows numbered(std::uint32_t position, std::uint32_t rows, std::uint32_t layers, std::uint32_t width) {
  OutputRows out{SequenceId(1), position, rows, layers, width, {}};
  out.values.resize(std::size_t{rows} * layers * width);
  std::iota(out.values.begin(), out.values.end(), 0.0F);
  return out;
}

// Row r of layer l, wherever the piece begins.
std::vector<float> row_of(const OutputRows& rows, std::size_t layer, std::size_t row) {
  const auto first = rows.values.begin() + static_cast<std::ptrdiff_t>((layer * rows.rows + row) * rows.width);
  return {first, first + rows.width};
}

TEST(CutRows, KeepsEveryRowOfEveryLayerInOrder) {
  const OutputRows whole = numbered(5, 10, 3, 4);
  for (std::size_t values_max : {1U, 12U, 13U, 24U, 50U, 119U, 120U, 1000U}) {
    std::uint32_t next = whole.position;
    for (const OutputRows& piece : cut_rows(whole, values_max)) {
      EXPECT_EQ(piece.position, next);
      EXPECT_TRUE(piece.values.size() <= values_max || piece.rows == 1) << values_max;
      ASSERT_EQ(piece.values.size(), std::size_t{piece.rows} * piece.layers * piece.width);
      for (std::uint32_t row = 0; row < piece.rows; ++row)
        for (std::size_t layer = 0; layer < whole.layers; ++layer)
          EXPECT_EQ(row_of(piece, layer, row), row_of(whole, layer, next - whole.position + row));
      next += piece.rows;
    }
    EXPECT_EQ(next, whole.position + whole.rows) << values_max;
  }
  EXPECT_EQ(cut_rows(whole, 120).size(), 1U);
  EXPECT_EQ(cut_rows(numbered(0, 0, 1, 4), 2).size(), 1U) << "nothing to cut";
}

// Pieces in which some rows were sent before, by another attempt: each row goes out once.
TEST(CutRows, LeavesKeepUnsentItsWork) {
  std::vector<OutputRows> pieces = cut_rows(numbered(0, 10, 2, 4), 24);
  std::uint32_t sent_end = 4;
  keep_unsent(pieces, sent_end);
  EXPECT_EQ(sent_end, 10U);
  std::uint32_t next = 4;
  for (const OutputRows& piece : pieces) {
    EXPECT_EQ(piece.position, next);
    next += piece.rows;
  }
  EXPECT_EQ(next, 10U);
}

TEST(CutDeltas, FitTheirFramesAndSayTheTokenAndTheEndLast) {
  TokenDelta delta;
  delta.gateway = GatewayId(6);
  delta.sequence = SequenceId(1);
  delta.attempt = 2;
  delta.has_token = true;
  delta.token = {.sequence = SequenceId(1), .token = 4, .top = {}};
  delta.outputs = {numbered(0, 70, 1, 128'256), numbered(100, 5, 2, 16)};  // 36 MB
  for (std::uint32_t i = 0; i < 12; ++i) delta.outputs.push_back(numbered(200 + i, 1, 1, 1));
  delta.cached_tokens = 32;
  delta.queued_s = 0.5F;
  delta.finish = FinishReason::kLength;
  TokenDelta small;
  small.gateway = GatewayId(6);
  small.sequence = SequenceId(5);
  std::vector<TokenDelta> arrived;
  for (const auto& message : cut_deltas({small, delta, small})) {
    const wire::Frame frame = wire::encode(message);
    EXPECT_TRUE(wire::seal(frame, Epoch(1)).has_value()) << frame.words.size();
    const auto decoded = wire::decode_token_deltas(frame.words);
    ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
    arrived.insert(arrived.end(), decoded->begin(), decoded->end());
  }
  ASSERT_GT(arrived.size(), 14U);
  EXPECT_EQ(arrived.front(), small);
  EXPECT_EQ(arrived.back(), small);
  TokenDelta last = delta;
  last.outputs.clear();
  EXPECT_EQ(arrived[arrived.size() - 2], last);
  std::size_t values = 0;
  for (const TokenDelta& piece : std::span(arrived).subspan(1, arrived.size() - 3)) {
    EXPECT_EQ(piece.key(), delta.key());
    EXPECT_FALSE(piece.has_token);
    EXPECT_EQ(piece.finish, FinishReason::kNone);
    EXPECT_EQ(piece.cached_tokens, delta.cached_tokens);
    for (const OutputRows& rows : piece.outputs) values += rows.values.size();
  }
  std::size_t whole = 0;
  for (const OutputRows& rows : delta.outputs) whole += rows.values.size();
  EXPECT_EQ(values, whole);
}

TEST(CutDeltas, OfManySequencesFillSeveralMessages) {
  TokenDelta delta;
  delta.finish = FinishReason::kFailed;
  delta.error = {StatusCode::kInternal, std::string(4096, 'e')};
  const auto messages = cut_deltas(std::vector<TokenDelta>(6000, delta));
  EXPECT_GT(messages.size(), 1U);
  std::size_t count = 0;
  for (const auto& message : messages) {
    EXPECT_TRUE(wire::seal(wire::encode(message), Epoch(1)).has_value());
    count += message.size();
  }
  EXPECT_EQ(count, 6000U);
  EXPECT_TRUE(cut_deltas({}).empty());
}

}  // namespace
}  // namespace herd::step
