// What an operator orders, and what comes of it; the rest of report_codec.h is in report_codec.cc.

#include "cluster/report/operator_orders.h"
#include "cluster/schema/report.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/report_codec.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using report::DrainAsk;
using report::kAnswerLinesMax;
using report::kReportNameBytesMax;
using report::kReportTextBytesMax;
using report::OrderAnswer;
using report::ReloadAsk;
using report::ReloadDecision;
using report::ReloadPrepare;
using report::ReloadPrepared;

constexpr const char* kLines = "lines";
constexpr const char* kKeys = "changed keys";

void check_number(std::uint64_t number) { require(number != 0, "a reload without a number"); }

void check(const DrainAsk& ask) {
  require(!ask.target.empty(), "target: no name");
  check_text(ask.target, kReportNameBytesMax, "target");
  check_drain_seconds(ask.drain_s);
}

void check(const OrderAnswer& answer) {
  check_clean(answer.status, "status");
  check_texts(answer.lines, kAnswerLinesMax, kReportTextBytesMax, kLines);
}

void check(const ReloadPrepare& prepare) {
  check_number(prepare.number);
  check_text(prepare.config_digest, kReportNameBytesMax, "config digest");
}

void check(const ReloadPrepared& prepared) {
  check_number(prepared.number);
  check_clean(prepared.status, "status");
  check_texts(prepared.changed, kAnswerLinesMax, kReportTextBytesMax, kKeys);
}

}  // namespace

Status validate(const DrainAsk& ask) {
  return status_of([&] { check(ask); });
}

Status validate(const ReloadAsk&) { return {}; }

Status validate(const OrderAnswer& answer) {
  return status_of([&] { check(answer); });
}

Status validate(const ReloadPrepare& prepare) {
  return status_of([&] { check(prepare); });
}

Status validate(const ReloadPrepared& prepared) {
  return status_of([&] { check(prepared); });
}

Status validate(const ReloadDecision& decision) {
  return status_of([&] { check_number(decision.number); });
}

Frame encode(const DrainAsk& ask) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::DrainAsk>();
  to.setTarget(text(ask.target));
  to.setUndo(ask.undo);
  to.setDrainSeconds(ask.drain_s);
  return {FrameKind::kDrainAsk, to_words(message)};
}

Frame encode(const ReloadAsk&) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ReloadAsk>();
  return {FrameKind::kReloadAsk, to_words(message)};
}

Frame encode(const OrderAnswer& answer) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::OrderAnswer>();
  write_clean(to.initStatus(), answer.status);
  write_texts(to.initLines(static_cast<unsigned>(answer.lines.size())), answer.lines, kReportTextBytesMax);
  return {FrameKind::kOrderAnswer, to_words(message)};
}

Frame encode(const ReloadPrepare& prepare) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ReloadPrepare>();
  to.setNumber(prepare.number);
  to.setConfigDigest(text(prepare.config_digest));
  return {FrameKind::kReloadPrepare, to_words(message)};
}

Frame encode(const ReloadPrepared& prepared) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ReloadPrepared>();
  to.setNumber(prepared.number);
  write_clean(to.initStatus(), prepared.status);
  write_texts(to.initChanged(static_cast<unsigned>(prepared.changed.size())), prepared.changed, kReportTextBytesMax);
  return {FrameKind::kReloadPrepared, to_words(message)};
}

Frame encode(const ReloadDecision& decision) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ReloadDecision>();
  to.setNumber(decision.number);
  to.setTake(decision.take);
  return {FrameKind::kReloadDecision, to_words(message)};
}

Expected<DrainAsk> decode_drain_ask(std::span<const std::uint64_t> words) {
  return read_message<schema::DrainAsk, DrainAsk>(FrameKind::kDrainAsk, "order to drain", words, [](schema::DrainAsk::Reader from) {
    DrainAsk ask{read_text(from.getTarget(), kReportNameBytesMax, "target"), from.getUndo(), from.getDrainSeconds()};
    check(ask);
    return ask;
  });
}

Expected<ReloadAsk> decode_reload_ask(std::span<const std::uint64_t> words) {
  return read_message<schema::ReloadAsk, ReloadAsk>(
      FrameKind::kReloadAsk, "order to reload", words, [](schema::ReloadAsk::Reader) { return ReloadAsk(); });
}

Expected<OrderAnswer> decode_order_answer(std::span<const std::uint64_t> words) {
  return read_message<schema::OrderAnswer, OrderAnswer>(
      FrameKind::kOrderAnswer, "answer", words, [](schema::OrderAnswer::Reader from) {
        OrderAnswer answer{read_status(from.getStatus()), read_texts(from.getLines(), kAnswerLinesMax, kReportTextBytesMax, kLines)};
        check(answer);
        return answer;
      });
}

Expected<ReloadPrepare> decode_reload_prepare(std::span<const std::uint64_t> words) {
  return read_message<schema::ReloadPrepare, ReloadPrepare>(
      FrameKind::kReloadPrepare, "reload", words, [](schema::ReloadPrepare::Reader from) {
        ReloadPrepare prepare{from.getNumber(), read_text(from.getConfigDigest(), kReportNameBytesMax, "config digest")};
        check(prepare);
        return prepare;
      });
}

Expected<ReloadPrepared> decode_reload_prepared(std::span<const std::uint64_t> words) {
  return read_message<schema::ReloadPrepared, ReloadPrepared>(
      FrameKind::kReloadPrepared, "reload's answer", words, [](schema::ReloadPrepared::Reader from) {
        ReloadPrepared prepared{from.getNumber(), read_status(from.getStatus()),
                                read_texts(from.getChanged(), kAnswerLinesMax, kReportTextBytesMax, kKeys)};
        check(prepared);
        return prepared;
      });
}

Expected<ReloadDecision> decode_reload_decision(std::span<const std::uint64_t> words) {
  return read_message<schema::ReloadDecision, ReloadDecision>(
      FrameKind::kReloadDecision, "reload's decision", words, [](schema::ReloadDecision::Reader from) {
        check_number(from.getNumber());
        return ReloadDecision{from.getNumber(), from.getTake()};
      });
}

}  // namespace herd::wire
