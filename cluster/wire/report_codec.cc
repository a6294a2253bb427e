#include "cluster/wire/report_codec.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/schema/report.capnp.h"
#include "cluster/wire/control_values.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using report::CacheReport;
using report::ClusterStatusReport;
using report::kAnswerLinesMax;
using report::kProcessesMax;
using report::kReportNameBytesMax;
using report::kReportTextBytesMax;
using report::ProcessReport;
using report::ProcessReports;
using report::ProcessState;
using report::ReplicaCondition;
using report::ReplicaReportLine;
using report::StatusAsk;

constexpr const char* kTooManyProcesses = "more than 4096 processes";
constexpr const char* kTooManyReplicas = "more than 1024 replicas";
constexpr const char* kNotices = "notices";

schema::ProcessState to_schema(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting:
      return schema::ProcessState::STARTING;
    case ProcessState::kServing:
      return schema::ProcessState::SERVING;
    case ProcessState::kDraining:
      return schema::ProcessState::DRAINING;
    case ProcessState::kStopped:
      return schema::ProcessState::STOPPED;
    case ProcessState::kFailed:
      return schema::ProcessState::FAILED;
  }
  return schema::ProcessState::UNKNOWN;
}

ProcessState read_state(schema::ProcessState state) {
  switch (state) {
    case schema::ProcessState::UNKNOWN:
      break;
    case schema::ProcessState::STARTING:
      return ProcessState::kStarting;
    case schema::ProcessState::SERVING:
      return ProcessState::kServing;
    case schema::ProcessState::DRAINING:
      return ProcessState::kDraining;
    case schema::ProcessState::STOPPED:
      return ProcessState::kStopped;
    case schema::ProcessState::FAILED:
      return ProcessState::kFailed;
  }
  throw Refusal{bad_input("process state: unknown")};
}

schema::ReplicaCondition to_schema(ReplicaCondition condition) {
  switch (condition) {
    case ReplicaCondition::kServing:
      return schema::ReplicaCondition::SERVING;
    case ReplicaCondition::kReforming:
      return schema::ReplicaCondition::REFORMING;
    case ReplicaCondition::kDraining:
      return schema::ReplicaCondition::DRAINING;
    case ReplicaCondition::kLost:
      return schema::ReplicaCondition::LOST;
  }
  return schema::ReplicaCondition::UNKNOWN;
}

ReplicaCondition read_condition(schema::ReplicaCondition condition) {
  switch (condition) {
    case schema::ReplicaCondition::UNKNOWN:
      break;
    case schema::ReplicaCondition::SERVING:
      return ReplicaCondition::kServing;
    case schema::ReplicaCondition::REFORMING:
      return ReplicaCondition::kReforming;
    case schema::ReplicaCondition::DRAINING:
      return ReplicaCondition::kDraining;
    case schema::ReplicaCondition::LOST:
      return ReplicaCondition::kLost;
  }
  throw Refusal{bad_input("replica condition: unknown")};
}

void check(const ProcessReport& process) {
  require(process.role != handshake::Role::kOperator, "role: an operator is no process of a cluster");
  require(!process.name.empty(), "name: none");
  check_text(process.name, kReportNameBytesMax, "name");
  check_text(process.node, kReportNameBytesMax, "node");
  require(process.pid >= 0, "pid: negative");
  require(!process.leader || process.role == handshake::Role::kRank, "leader: not a rank");
  check_text(process.last_death, kReportTextBytesMax, "last death");
  check_text(process.endpoint_url, kReportNameBytesMax, "URL of the endpoint");
  check_text(process.metrics_url, kReportNameBytesMax, "URL of the metrics");
  require(process.loaded_percent >= -1 && process.loaded_percent <= 100, "loaded: outside [0, 100] %");
  check_text(process.access_digest, kAccessDigestBytesMax, "digest of the keys");
  require(process.access_digest.empty() || process.role == handshake::Role::kGateway, "digest of the keys: not a gateway");
  check_text(process.weights_digest, kModelDigestBytesMax, "digest of the weights");
  check_text(process.tokenizer_digest, kModelDigestBytesMax, "digest of the tokenizer");
  const bool has_model = !process.weights_digest.empty() || !process.tokenizer_digest.empty();
  require(!has_model || process.role == handshake::Role::kNode, "digest of the model: not a node");
}

void check(const std::vector<ProcessReport>& processes) {
  require(processes.size() <= kProcessesMax, kTooManyProcesses);
  std::vector<std::pair<handshake::Role, std::string_view>> names;
  for (const ProcessReport& process : processes) {
    check(process);
    names.emplace_back(process.role, process.name);
  }
  std::ranges::sort(names);
  require(std::ranges::adjacent_find(names) == names.end(), "a process twice");
}

void check(const CacheReport& cache) {
  require(std::isfinite(cache.saved_s) && cache.saved_s >= 0, "cache: saved seconds that are not finite, or negative");
}

void check(const std::vector<CacheReport>& caches) {
  require(caches.size() <= routing::kReplicasMax, kTooManyReplicas);
  for (const CacheReport& cache : caches) check(cache);
  require(std::ranges::is_sorted(caches, std::ranges::less_equal(), &CacheReport::replica), "caches: not in rising order, each once");
}

void check(const ClusterStatusReport& report) {
  require(!report.cluster.empty(), "cluster: no name");
  check_text(report.cluster, kReportNameBytesMax, "cluster");
  check(report.processes);
  require(report.replicas.size() <= routing::kReplicasMax, kTooManyReplicas);
  for (const ReplicaReportLine& line : report.replicas) {
    check_text(line.node, kReportNameBytesMax, "node");
    check_text(line.why, kReportTextBytesMax, "why");
    if (line.cache) check(*line.cache);
    require(!line.cache || (line.cache->replica == line.replica && line.cache->epoch == line.epoch), "cache: another replica's");
  }
  require(std::ranges::is_sorted(report.replicas, std::ranges::less_equal(), &ReplicaReportLine::replica),
          "replicas: not in rising order, each once");
  check_texts(report.notices, kAnswerLinesMax, kReportTextBytesMax, kNotices);
}

void write(schema::ProcessReport::Builder to, const ProcessReport& process) {
  to.setRole(wire::to_schema(process.role));
  to.setName(text(process.name));
  to.setNode(text(process.node));
  to.setPid(process.pid);
  to.setLeader(process.leader);
  to.setState(to_schema(process.state));
  to.setEpoch(process.epoch);
  to.setRestarts(process.restarts);
  to.setLastDeath(text(clean_text(process.last_death, kReportTextBytesMax)));
  to.setEndpointUrl(text(process.endpoint_url));
  to.setMetricsUrl(text(process.metrics_url));
  to.setLoadedPercent(process.loaded_percent);
  to.setAccessDigest(text(process.access_digest));
  to.setWeightsDigest(text(process.weights_digest));
  to.setTokenizerDigest(text(process.tokenizer_digest));
}

ProcessReport read(schema::ProcessReport::Reader from) {
  ProcessReport process;
  process.role = read_role(from.getRole());
  process.name = read_text(from.getName(), kReportNameBytesMax, "name");
  process.node = read_text(from.getNode(), kReportNameBytesMax, "node");
  process.pid = from.getPid();
  process.leader = from.getLeader();
  process.state = read_state(from.getState());
  process.epoch = from.getEpoch();
  process.restarts = from.getRestarts();
  process.last_death = read_text(from.getLastDeath(), kReportTextBytesMax, "last death");
  process.endpoint_url = read_text(from.getEndpointUrl(), kReportNameBytesMax, "URL of the endpoint");
  process.metrics_url = read_text(from.getMetricsUrl(), kReportNameBytesMax, "URL of the metrics");
  process.loaded_percent = from.getLoadedPercent();
  process.access_digest = read_text(from.getAccessDigest(), kAccessDigestBytesMax, "digest of the keys");
  process.weights_digest = read_text(from.getWeightsDigest(), kModelDigestBytesMax, "digest of the weights");
  process.tokenizer_digest = read_text(from.getTokenizerDigest(), kModelDigestBytesMax, "digest of the tokenizer");
  return process;
}

void write(capnp::List<schema::ProcessReport>::Builder to, const std::vector<ProcessReport>& processes) {
  for (unsigned i = 0; i < to.size(); ++i) write(to[i], processes[i]);
}

std::vector<ProcessReport> read(capnp::List<schema::ProcessReport>::Reader from) {
  require(from.size() <= kProcessesMax, kTooManyProcesses);
  std::vector<ProcessReport> processes;
  for (const auto process : from) processes.push_back(read(process));
  return processes;
}

void write(schema::CacheReport::Builder to, const CacheReport& cache) {
  to.setReplica(cache.replica.value);
  to.setEpoch(cache.epoch);
  to.setQueryTokens(cache.query_tokens);
  to.setHitTokens(cache.hit_tokens);
  to.setEvictedBlocks(cache.evicted_blocks);
  to.setSavedSeconds(cache.saved_s);
  to.setBytesIn(cache.bytes_in);
  to.setBytesOut(cache.bytes_out);
  to.setBlocksRecomputed(cache.blocks_recomputed);
}

CacheReport read(schema::CacheReport::Reader from) {
  return {.replica = ReplicaId(from.getReplica()),
          .epoch = from.getEpoch(),
          .query_tokens = from.getQueryTokens(),
          .hit_tokens = from.getHitTokens(),
          .evicted_blocks = from.getEvictedBlocks(),
          .saved_s = from.getSavedSeconds(),
          .bytes_in = from.getBytesIn(),
          .bytes_out = from.getBytesOut(),
          .blocks_recomputed = from.getBlocksRecomputed()};
}

std::vector<CacheReport> read(capnp::List<schema::CacheReport>::Reader from) {
  require(from.size() <= routing::kReplicasMax, kTooManyReplicas);
  std::vector<CacheReport> caches;
  for (const auto cache : from) caches.push_back(read(cache));
  return caches;
}

void write(schema::ReplicaLine::Builder to, const ReplicaReportLine& line) {
  to.setReplica(line.replica.value);
  to.setCondition(to_schema(line.condition));
  to.setNode(text(line.node));
  to.setEpoch(line.epoch);
  to.setWhy(text(clean_text(line.why, kReportTextBytesMax)));
  if (line.cache) write(to.initCache(), *line.cache);
}

ReplicaReportLine read(schema::ReplicaLine::Reader from) {
  ReplicaReportLine line;
  line.replica = ReplicaId(from.getReplica());
  line.condition = read_condition(from.getCondition());
  line.node = read_text(from.getNode(), kReportNameBytesMax, "node");
  line.epoch = from.getEpoch();
  line.why = read_text(from.getWhy(), kReportTextBytesMax, "why");
  if (from.hasCache()) line.cache = read(from.getCache());
  return line;
}

}  // namespace

Status validate(const ProcessReports& reports) {
  return status_of([&] {
    check(reports.processes);
    check(reports.caches);
  });
}

Status validate(const StatusAsk&) { return {}; }

Status validate(const ClusterStatusReport& report) {
  return status_of([&] { check(report); });
}

Frame encode(const ProcessReports& reports) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ProcessReports>();
  write(to.initProcesses(static_cast<unsigned>(reports.processes.size())), reports.processes);
  auto caches = to.initCaches(static_cast<unsigned>(reports.caches.size()));
  for (unsigned i = 0; i < caches.size(); ++i) write(caches[i], reports.caches[i]);
  return {FrameKind::kProcessReports, to_words(message)};
}

Frame encode(const StatusAsk&) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::StatusAsk>();
  return {FrameKind::kStatusAsk, to_words(message)};
}

Frame encode(const ClusterStatusReport& report) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ClusterStatus>();
  to.setCluster(text(report.cluster));
  write(to.initProcesses(static_cast<unsigned>(report.processes.size())), report.processes);
  auto replicas = to.initReplicas(static_cast<unsigned>(report.replicas.size()));
  for (unsigned i = 0; i < replicas.size(); ++i) write(replicas[i], report.replicas[i]);
  write_texts(to.initNotices(static_cast<unsigned>(report.notices.size())), report.notices, kReportTextBytesMax);
  return {FrameKind::kClusterStatus, to_words(message)};
}

Expected<ProcessReports> decode_process_reports(std::span<const std::uint64_t> words) {
  return read_message<schema::ProcessReports, ProcessReports>(
      FrameKind::kProcessReports, "reports", words, [](schema::ProcessReports::Reader from) {
        ProcessReports reports{read(from.getProcesses()), read(from.getCaches())};
        check(reports.processes);
        check(reports.caches);
        return reports;
      });
}

Expected<StatusAsk> decode_status_ask(std::span<const std::uint64_t> words) {
  return read_message<schema::StatusAsk, StatusAsk>(
      FrameKind::kStatusAsk, "question", words, [](schema::StatusAsk::Reader) { return StatusAsk(); });
}

Expected<ClusterStatusReport> decode_cluster_status(std::span<const std::uint64_t> words) {
  return read_message<schema::ClusterStatus, ClusterStatusReport>(
      FrameKind::kClusterStatus, "status", words, [](schema::ClusterStatus::Reader from) {
        ClusterStatusReport report{read_text(from.getCluster(), kReportNameBytesMax, "cluster"),
                                   read(from.getProcesses()),
                                   {},
                                   read_texts(from.getNotices(), kAnswerLinesMax, kReportTextBytesMax, kNotices)};
        const auto replicas = from.getReplicas();
        require(replicas.size() <= routing::kReplicasMax, kTooManyReplicas);
        for (const auto line : replicas) report.replicas.push_back(read(line));
        check(report);
        return report;
      });
}

}  // namespace herd::wire
