#include "cluster/wire/moves_codec.h"

#include <utility>

#include "cluster/handshake/hello.h"
#include "cluster/schema/moves.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {

using replica::MoveAsk;
using replica::MoveFound;
using replica::MoveGrant;
using replica::MoveOver;
using replica::MoveStop;

namespace {

void check_move(TransferId move) { require(move != TransferId(), "the move has no number"); }

void check(const MoveAsk& ask) {
  check_move(ask.move);
  require(!ask.kind.numerics.empty() && !ask.kind.layout.empty(), "of no numerics or layout");
  check_text(ask.kind.numerics, handshake::kHelloTextBytesMax, "numerics id");
  check_text(ask.kind.layout, handshake::kHelloTextBytesMax, "layout id");
  const std::uint32_t ranks = ask.kind.ranks;
  require(ranks == 1 || ranks == 2 || ranks == 4 || ranks == 8, "ranks are 1, 2, 4 or 8");
  require(ask.hashes.size() <= kMoveBlocksMax, "more than 65536 blocks");
  require(ask.first < ask.hashes.size(), "its first block is behind its chain");
}

void check(const MoveGrant& grant) {
  check_move(grant.move);
  require(grant.blocks >= 1 && grant.blocks <= kMoveBlocksMax, "blocks are 1 to 65536");
}

void check(const MoveStop& stop) { check_move(stop.move); }

void check(const MoveFound& found) {
  check_move(found.move);
  check_clean(found.status, "status");
  require(found.tokens.size() <= kSequenceTokensMax, "more than 2^20 tokens");
  check_token_ids(found.tokens, "tokens");
  require(found.status.ok() || found.tokens.empty(), "tokens of a refusal");
}

void check(const MoveOver& over) {
  check_move(over.move);
  require(!over.why.ok(), "without a reason");
  check_clean(over.why, "why");
}

}  // namespace

Status validate(const MoveAsk& ask) {
  return status_of([&] { check(ask); });
}
Status validate(const MoveGrant& grant) {
  return status_of([&] { check(grant); });
}
Status validate(const MoveStop& stop) {
  return status_of([&] { check(stop); });
}
Status validate(const MoveFound& found) {
  return status_of([&] { check(found); });
}
Status validate(const MoveOver& over) {
  return status_of([&] { check(over); });
}

Frame encode(const MoveAsk& ask) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::MoveAsk>();
  to.setMove(ask.move.value);
  to.setNumericsId(text(ask.kind.numerics));
  to.setKvLayoutId(text(ask.kind.layout));
  to.setRanks(ask.kind.ranks);
  to.setSalt(ask.salt);
  to.setFirst(ask.first);
  auto high = to.initHashesHigh(static_cast<unsigned>(ask.hashes.size()));
  auto low = to.initHashesLow(static_cast<unsigned>(ask.hashes.size()));
  for (unsigned i = 0; i < ask.hashes.size(); ++i) {
    high.set(i, ask.hashes[i].high);
    low.set(i, ask.hashes[i].low);
  }
  return {FrameKind::kMoveAsk, to_words(message)};
}

Frame encode(const MoveGrant& grant) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::MoveGrant>();
  to.setMove(grant.move.value);
  to.setBlocks(grant.blocks);
  return {FrameKind::kMoveGrant, to_words(message)};
}

Frame encode(const MoveStop& stop) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::MoveStop>().setMove(stop.move.value);
  return {FrameKind::kMoveStop, to_words(message)};
}

Frame encode(const MoveFound& found) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::MoveFound>();
  to.setMove(found.move.value);
  write_clean(to.initStatus(), found.status);
  auto tokens = to.initTokens(static_cast<unsigned>(found.tokens.size()));
  for (unsigned i = 0; i < found.tokens.size(); ++i) tokens.set(i, found.tokens[i]);
  return {FrameKind::kMoveFound, to_words(message)};
}

Frame encode(const MoveOver& over) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::MoveOver>();
  to.setMove(over.move.value);
  write_clean(to.initWhy(), over.why);
  return {FrameKind::kMoveOver, to_words(message)};
}

Expected<MoveAsk> decode_move_ask(std::span<const std::uint64_t> words) {
  return read_message<schema::MoveAsk, MoveAsk>(FrameKind::kMoveAsk, "ask for blocks", words, [](schema::MoveAsk::Reader from) {
    MoveAsk ask;
    ask.move = TransferId(from.getMove());
    ask.kind.numerics = read_text(from.getNumericsId(), handshake::kHelloTextBytesMax, "numerics id");
    ask.kind.layout = read_text(from.getKvLayoutId(), handshake::kHelloTextBytesMax, "layout id");
    ask.kind.ranks = from.getRanks();
    ask.salt = from.getSalt();
    ask.first = from.getFirst();
    const auto high = read_numbers<std::uint64_t>(from.getHashesHigh(), kMoveBlocksMax, "more than 65536 blocks");
    const auto low = read_numbers<std::uint64_t>(from.getHashesLow(), kMoveBlocksMax, "more than 65536 blocks");
    require(high.size() == low.size(), "hashes have two halves");
    for (std::size_t i = 0; i < high.size(); ++i) ask.hashes.push_back({high[i], low[i]});
    check(ask);
    return ask;
  });
}

Expected<MoveGrant> decode_move_grant(std::span<const std::uint64_t> words) {
  return read_message<schema::MoveGrant, MoveGrant>(FrameKind::kMoveGrant, "grant", words, [](schema::MoveGrant::Reader from) {
    MoveGrant grant{TransferId(from.getMove()), from.getBlocks()};
    check(grant);
    return grant;
  });
}

Expected<MoveStop> decode_move_stop(std::span<const std::uint64_t> words) {
  return read_message<schema::MoveStop, MoveStop>(FrameKind::kMoveStop, "stop of a move", words, [](schema::MoveStop::Reader from) {
    MoveStop stop{TransferId(from.getMove())};
    check(stop);
    return stop;
  });
}

Expected<MoveFound> decode_move_found(std::span<const std::uint64_t> words) {
  return read_message<schema::MoveFound, MoveFound>(
      FrameKind::kMoveFound, "blocks found", words, [](schema::MoveFound::Reader from) {
        MoveFound found{TransferId(from.getMove()), read_status(from.getStatus()),
                        read_numbers<TokenId>(from.getTokens(), kSequenceTokensMax, "more than 2^20 tokens")};
        check(found);
        return found;
      });
}

Expected<MoveOver> decode_move_over(std::span<const std::uint64_t> words) {
  return read_message<schema::MoveOver, MoveOver>(FrameKind::kMoveOver, "end of a move", words, [](schema::MoveOver::Reader from) {
    MoveOver over{TransferId(from.getMove()), read_status(from.getWhy())};
    check(over);
    return over;
  });
}

}  // namespace herd::wire
