#include "runtime/step/cut_deltas.h"

#include <algorithm>
#include <utility>

namespace herd::step {
namespace {

// At least what each takes in a message.
constexpr std::size_t kChunkBytes = 64;
constexpr std::size_t kDeltaBytes = 512;  // its token and one more word of everything included
constexpr std::size_t kErrorBytes = 4096;

std::size_t bytes_of(const OutputRows& rows) { return kChunkBytes + rows.values.size() * sizeof(float); }
std::size_t bytes_of(const PromptLogprob& entry) { return 32 + entry.top.size() * sizeof(TokenLogprob); }
std::size_t bytes_of(const PromptLogprobs& run) {
  std::size_t bytes = kChunkBytes;
  for (const PromptLogprob& entry : run.tokens) bytes += bytes_of(entry);
  return bytes;
}
template <class Chunk>
std::size_t bytes_of(const std::vector<Chunk>& chunks) {
  std::size_t bytes = 0;
  for (const Chunk& chunk : chunks) bytes += bytes_of(chunk);
  return bytes;
}

std::vector<OutputRows> cut(OutputRows rows) {
  return cut_rows(std::move(rows), (kMessageOutputBytes - kChunkBytes) / sizeof(float));
}

std::vector<PromptLogprobs> cut(PromptLogprobs run) {
  std::vector<PromptLogprobs> pieces;
  std::size_t room = 0;
  for (PromptLogprob& entry : run.tokens) {
    const std::size_t bytes = bytes_of(entry);
    if (bytes > room) {
      const std::uint32_t position =
          pieces.empty() ? run.position : pieces.back().position + static_cast<std::uint32_t>(pieces.back().tokens.size());
      pieces.push_back({run.sequence, position, {}});
      room = kMessageOutputBytes - kChunkBytes;
    }
    pieces.back().tokens.push_back(std::move(entry));
    room -= bytes;
  }
  return pieces;
}

// The times of a delta go on each of its pieces: whoever sees the first piece first takes them from there.
TokenDelta piece_of(const TokenDelta& delta) {
  TokenDelta piece;
  piece.gateway = delta.gateway;
  piece.sequence = delta.sequence;
  piece.attempt = delta.attempt;
  piece.cached_tokens = delta.cached_tokens;
  piece.queued_s = delta.queued_s;
  piece.prefill_s = delta.prefill_s;
  piece.replica = delta.replica;
  return piece;
}

bool fits(const TokenDelta& delta) {
  return bytes_of(delta.outputs) + bytes_of(delta.prompt_logprobs) <= kMessageOutputBytes &&
         delta.outputs.size() <= kDeltaOutputsMax && delta.prompt_logprobs.size() <= kDeltaOutputsMax;
}

// One chunk a piece, then the delta without any.
std::vector<TokenDelta> cut(TokenDelta delta) {
  std::vector<TokenDelta> pieces;
  if (!fits(delta)) {
    for (OutputRows& rows : std::exchange(delta.outputs, {}))
      for (OutputRows& piece : cut(std::move(rows))) pieces.emplace_back(piece_of(delta)).outputs.push_back(std::move(piece));
    for (PromptLogprobs& run : std::exchange(delta.prompt_logprobs, {}))
      for (PromptLogprobs& piece : cut(std::move(run)))
        pieces.emplace_back(piece_of(delta)).prompt_logprobs.push_back(std::move(piece));
  }
  pieces.push_back(std::move(delta));
  return pieces;
}

}  // namespace

std::vector<OutputRows> cut_rows(OutputRows rows, std::size_t values_max) {
  const std::size_t row_values = std::size_t{rows.layers} * rows.width;
  const std::size_t rows_max = std::max<std::size_t>(1, row_values == 0 ? rows.rows : values_max / row_values);
  if (rows.rows <= rows_max) return {std::move(rows)};
  std::vector<OutputRows> pieces;
  for (std::size_t done = 0; done < rows.rows; done += rows_max) {
    const std::size_t count = std::min<std::size_t>(rows_max, rows.rows - done);
    OutputRows& piece = pieces.emplace_back();
    piece.sequence = rows.sequence;
    piece.position = rows.position + static_cast<std::uint32_t>(done);
    piece.rows = static_cast<std::uint32_t>(count);
    piece.layers = rows.layers;
    piece.width = rows.width;
    piece.values.reserve(count * row_values);
    for (std::size_t layer = 0; layer < rows.layers; ++layer) {
      const auto first = rows.values.begin() + static_cast<std::ptrdiff_t>((layer * rows.rows + done) * rows.width);
      piece.values.insert(piece.values.end(), first, first + static_cast<std::ptrdiff_t>(count * rows.width));
    }
  }
  return pieces;
}

std::vector<std::vector<TokenDelta>> cut_deltas(std::vector<TokenDelta> deltas) {
  std::vector<std::vector<TokenDelta>> messages;
  std::size_t bytes = 0;
  for (TokenDelta& delta : deltas) {
    for (TokenDelta& piece : cut(std::move(delta))) {
      const std::size_t more = kDeltaBytes + std::min(piece.error.message().size(), kErrorBytes) + bytes_of(piece.outputs) +
                               bytes_of(piece.prompt_logprobs);
      if (messages.empty() || bytes + more > kDeltasMessageBytes) {
        messages.emplace_back();
        bytes = 0;
      }
      bytes += more;
      messages.back().push_back(std::move(piece));
    }
  }
  return messages;
}

}  // namespace herd::step
