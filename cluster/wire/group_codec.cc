#include "cluster/wire/group_codec.h"

#include <string>

#include "cluster/schema/group.capnp.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/control_values.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/group_values.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using replica::FormReplica;
using replica::GenerationEnded;
using replica::JoinGroupOrder;
using replica::LeaveGroupOrder;
using replica::RankEnded;
using replica::RankFailedNote;
using replica::RankJoinedNote;
using replica::RankLeftNote;
using replica::RankLoading;
using replica::RankReadyNote;
using replica::ReplicaReport;
using replica::StopReplicaOrder;

void check_reason(const Status& why) {
  require(!why.ok(), "without a reason");
  check_clean(why, "reason");
}

void check_rendezvous(const std::string& name) {
  require(!name.empty(), "rendezvous: no name");
  check_text(name, kRendezvousBytesMax, "rendezvous");
}

void check_epoch(Epoch epoch) { require(epoch != Epoch(), "an epoch that nobody hands out"); }

void check(const RankLoading& loading) { require(loading.done_bytes <= loading.all_bytes, "more is loaded than there is"); }

void check(const RankReadyNote& ready) {
  check_clean(ready.status, "status");
  wire::check(ready.rates);
  check_text(ready.numerics_class, kRankTextBytesMax, "numerics class");
  check_text(ready.address, kRankTextBytesMax, "address");
  check_text(ready.metrics_address, kRankTextBytesMax, "address of the metrics");
  check_text(ready.device, kRankTextBytesMax, "device");
  require(!ready.status.ok() || !ready.numerics_class.empty(), "no numerics class");
}

void check(const FormReplica& order) {
  check_generation(order.view);
  require(order.ranks == 1 || order.ranks == 2 || order.ranks == 4 || order.ranks == 8, "ranks: not 1, 2, 4 or 8");
  check_rendezvous(order.rendezvous);
  wire::check(order.scheduler);
  wire::check(order.rates);
  require(order.step_seconds_max > 0 && order.step_seconds_max <= kGroupSecondsMax, "longest step: outside (0, 10^7] seconds");
  wire::check(order.watch);
}

void check(const RankEnded& ended) {
  require(ended.rank < kBlamedRanksMax, "rank: not below 1024");
  check_reason(ended.loss.why);
}

void check(const GenerationEnded& ended) {
  wire::check(ended.loss);
  check_seconds(ended.last.operation_s, "operation: seconds that are not finite, or negative");
  check_seconds(ended.last.steps_s, "steps: seconds that are not finite, or negative");
}

void check(const ReplicaReport& report) {
  check_seconds(report.stats.decode_step_s, "step: seconds that are not finite, or negative");
  check_seconds(report.stats.prompt_token_s, "token of a prompt: seconds that are not finite, or negative");
  check_seconds(report.stats.saved_s, "saved: seconds that are not finite, or negative");
  wire::check(report.stats.scheduler);
  check_seconds(report.stats.moves.token_s, "a token that moves: seconds that are not finite, or negative");
  if (report.news) wire::check(*report.news);
}

FormReplica read(schema::FormReplica::Reader from) {
  return {.view = read_replica(from.getView()),
          .ranks = from.getRanks(),
          .rendezvous = read_text(from.getRendezvous(), kRendezvousBytesMax, "rendezvous"),
          .scheduler = read_scheduler(from.getScheduler()),
          .rates = read_rates(from.getRates()),
          .step_seconds_max = from.getStepSecondsMax(),
          .watch = read_watch(from.getWatch())};
}

RankReadyNote read(schema::RankReady::Reader from) {
  return {.status = read_status(from.getStatus()),
          .rates = read_rates(from.getRates()),
          .numerics_class = read_text(from.getNumericsClass(), kRankTextBytesMax, "numerics class"),
          .weights = {read_digest(from.getWeightsShared()), read_digest(from.getWeightsWhole())},
          .address = read_text(from.getAddress(), kRankTextBytesMax, "address"),
          .metrics_address = read_text(from.getMetricsAddress(), kRankTextBytesMax, "address of the metrics"),
          .device = read_text(from.getDevice(), kRankTextBytesMax, "device")};
}

ReplicaReport read(schema::ReplicaReport::Reader from) {
  std::optional<kv::BlockNews> news;
  if (from.hasNews()) news = read_news(from.getNews());
  return {{.serving = from.getServing(),
           .steps = from.getSteps(),
           .stale_results = from.getStaleResults(),
           .stale_submissions = from.getStaleSubmissions(),
           .decode_step_s = from.getDecodeStepSeconds(),
           .prompt_token_s = from.getPromptTokenSeconds(),
           .saved_s = from.getSavedSeconds(),
           .scheduler = read_stats(from.getScheduler()),
           .moves = read_moves(from.getMoves())},
          from.getDraining(),
          std::move(news)};
}

}  // namespace

Status validate(const RankLoading& loading) {
  return status_of([&] { check(loading); });
}

Status validate(const RankReadyNote& ready) {
  return status_of([&] { check(ready); });
}

Status validate(const FormReplica& order) {
  return status_of([&] { check(order); });
}

Status validate(const JoinGroupOrder& order) {
  return status_of([&] { check_rendezvous(order.rendezvous); });
}

Status validate(const RankJoinedNote& joined) {
  return status_of([&] { check_clean(joined.status, "status"); });
}

Status validate(const LeaveGroupOrder& order) {
  return status_of([&] { check_epoch(order.epoch); });
}

Status validate(const RankLeftNote& left) {
  return status_of([&] { check_epoch(left.epoch); });
}

Status validate(const RankFailedNote& failed) {
  return status_of([&] { check_reason(failed.why); });
}

Status validate(const StopReplicaOrder& order) {
  return status_of([&] { check_drain_seconds(order.drain_s); });
}

Status validate(const RankEnded& ended) {
  return status_of([&] { check(ended); });
}

Status validate(const GenerationEnded& ended) {
  return status_of([&] { check(ended); });
}

Status validate(const ReplicaReport& report) {
  return status_of([&] { check(report); });
}

Frame encode(const RankLoading& loading) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::RankLoading>();
  to.setDoneBytes(loading.done_bytes);
  to.setAllBytes(loading.all_bytes);
  return {FrameKind::kRankLoading, to_words(message)};
}

Frame encode(const RankReadyNote& ready) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::RankReady>();
  write_clean(to.initStatus(), ready.status);
  write(to.initRates(), ready.rates);
  to.setNumericsClass(text(ready.numerics_class));
  write(to.initWeightsShared(), ready.weights.shared_out);
  write(to.initWeightsWhole(), ready.weights.whole);
  to.setAddress(text(ready.address));
  to.setMetricsAddress(text(ready.metrics_address));
  to.setDevice(text(ready.device));
  return {FrameKind::kRankReady, to_words(message)};
}

Frame encode(const FormReplica& order) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::FormReplica>();
  write(to.initView(), order.view);
  to.setRanks(order.ranks);
  to.setRendezvous(text(order.rendezvous));
  write(to.initScheduler(), order.scheduler);
  write(to.initRates(), order.rates);
  to.setStepSecondsMax(order.step_seconds_max);
  write(to.initWatch(), order.watch);
  return {FrameKind::kFormReplica, to_words(message)};
}

Frame encode(const JoinGroupOrder& order) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::JoinGroup>().setRendezvous(text(order.rendezvous));
  return {FrameKind::kJoinGroup, to_words(message)};
}

Frame encode(const RankJoinedNote& joined) {
  capnp::MallocMessageBuilder message;
  write_clean(message.initRoot<schema::RankJoined>().initStatus(), joined.status);
  return {FrameKind::kRankJoined, to_words(message)};
}

Frame encode(const LeaveGroupOrder& order) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::LeaveGroup>().setEpoch(order.epoch.value);
  return {FrameKind::kLeaveGroup, to_words(message)};
}

Frame encode(const RankLeftNote& left) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::RankLeft>().setEpoch(left.epoch.value);
  return {FrameKind::kRankLeft, to_words(message)};
}

Frame encode(const RankFailedNote& failed) {
  capnp::MallocMessageBuilder message;
  write_clean(message.initRoot<schema::RankFailed>().initWhy(), failed.why);
  return {FrameKind::kRankFailed, to_words(message)};
}

Frame encode(const StopReplicaOrder& order) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::StopReplica>().setDrainSeconds(order.drain_s);
  return {FrameKind::kStopReplica, to_words(message)};
}

Frame encode(const RankEnded& ended) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::RankEnded>();
  to.setRank(ended.rank);
  to.setCause(to_schema(ended.loss.cause));
  write_clean(to.initWhy(), ended.loss.why);
  return {FrameKind::kRankEnded, to_words(message)};
}

Frame encode(const GenerationEnded& ended) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::GenerationEnded>();
  write(to.initLoss(), ended.loss);
  to.setOperationSeconds(ended.last.operation_s);
  to.setStepsSeconds(ended.last.steps_s);
  to.setNoProgress(ended.last.no_progress);
  return {FrameKind::kGenerationEnded, to_words(message)};
}

Frame encode(const ReplicaReport& report) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ReplicaReport>();
  to.setServing(report.stats.serving);
  to.setSteps(report.stats.steps);
  to.setStaleResults(report.stats.stale_results);
  to.setStaleSubmissions(report.stats.stale_submissions);
  to.setDecodeStepSeconds(report.stats.decode_step_s);
  to.setPromptTokenSeconds(report.stats.prompt_token_s);
  write(to.initScheduler(), report.stats.scheduler);
  to.setDraining(report.draining);
  to.setSavedSeconds(report.stats.saved_s);
  if (report.stats.moves != replica::MoveStats()) write(to.initMoves(), report.stats.moves);
  if (report.news) write(to.initNews(), *report.news);
  return {FrameKind::kReplicaReport, to_words(message)};
}

Expected<RankLoading> decode_rank_loading(std::span<const std::uint64_t> words) {
  return read_message<schema::RankLoading, RankLoading>(
      FrameKind::kRankLoading, "loading", words, [](schema::RankLoading::Reader from) {
        RankLoading loading{from.getDoneBytes(), from.getAllBytes()};
        check(loading);
        return loading;
      });
}

Expected<RankReadyNote> decode_rank_ready(std::span<const std::uint64_t> words) {
  return read_message<schema::RankReady, RankReadyNote>(FrameKind::kRankReady, "ready", words, [](schema::RankReady::Reader from) {
    RankReadyNote ready = read(from);
    check(ready);
    return ready;
  });
}

Expected<FormReplica> decode_form_replica(std::span<const std::uint64_t> words) {
  return read_message<schema::FormReplica, FormReplica>(
      FrameKind::kFormReplica, "generation", words, [](schema::FormReplica::Reader from) {
        FormReplica order = read(from);
        check(order);
        return order;
      });
}

Expected<JoinGroupOrder> decode_join_group(std::span<const std::uint64_t> words) {
  return read_message<schema::JoinGroup, JoinGroupOrder>(
      FrameKind::kJoinGroup, "join", words, [](schema::JoinGroup::Reader from) {
        JoinGroupOrder order{read_text(from.getRendezvous(), kRendezvousBytesMax, "rendezvous")};
        check_rendezvous(order.rendezvous);
        return order;
      });
}

Expected<RankJoinedNote> decode_rank_joined(std::span<const std::uint64_t> words) {
  return read_message<schema::RankJoined, RankJoinedNote>(
      FrameKind::kRankJoined, "joined", words, [](schema::RankJoined::Reader from) {
        RankJoinedNote joined{read_status(from.getStatus())};
        check_clean(joined.status, "status");
        return joined;
      });
}

Expected<LeaveGroupOrder> decode_leave_group(std::span<const std::uint64_t> words) {
  return read_message<schema::LeaveGroup, LeaveGroupOrder>(
      FrameKind::kLeaveGroup, "leave", words, [](schema::LeaveGroup::Reader from) {
        LeaveGroupOrder order{Epoch(from.getEpoch())};
        check_epoch(order.epoch);
        return order;
      });
}

Expected<RankLeftNote> decode_rank_left(std::span<const std::uint64_t> words) {
  return read_message<schema::RankLeft, RankLeftNote>(FrameKind::kRankLeft, "left", words, [](schema::RankLeft::Reader from) {
    RankLeftNote left{Epoch(from.getEpoch())};
    check_epoch(left.epoch);
    return left;
  });
}

Expected<RankFailedNote> decode_rank_failed(std::span<const std::uint64_t> words) {
  return read_message<schema::RankFailed, RankFailedNote>(
      FrameKind::kRankFailed, "failed", words, [](schema::RankFailed::Reader from) {
        RankFailedNote failed{read_status(from.getWhy())};
        check_reason(failed.why);
        return failed;
      });
}

Expected<StopReplicaOrder> decode_stop_replica(std::span<const std::uint64_t> words) {
  return read_message<schema::StopReplica, StopReplicaOrder>(
      FrameKind::kStopReplica, "stop", words, [](schema::StopReplica::Reader from) {
        check_drain_seconds(from.getDrainSeconds());
        return StopReplicaOrder{from.getDrainSeconds()};
      });
}

Expected<RankEnded> decode_rank_ended(std::span<const std::uint64_t> words) {
  return read_message<schema::RankEnded, RankEnded>(FrameKind::kRankEnded, "rank's end", words, [](schema::RankEnded::Reader from) {
    RankEnded ended{from.getRank(), {read_cause(from.getCause()), read_status(from.getWhy())}};
    check(ended);
    return ended;
  });
}

Expected<GenerationEnded> decode_generation_ended(std::span<const std::uint64_t> words) {
  return read_message<schema::GenerationEnded, GenerationEnded>(
      FrameKind::kGenerationEnded, "generation's end", words, [](schema::GenerationEnded::Reader from) {
        GenerationEnded ended{read_loss(from.getLoss()), {from.getOperationSeconds(), from.getStepsSeconds(), from.getNoProgress()}};
        check(ended);
        return ended;
      });
}

Expected<ReplicaReport> decode_replica_report(std::span<const std::uint64_t> words) {
  return read_message<schema::ReplicaReport, ReplicaReport>(
      FrameKind::kReplicaReport, "report", words, [](schema::ReplicaReport::Reader from) {
        ReplicaReport report = read(from);
        check(report);
        return report;
      });
}

}  // namespace herd::wire
