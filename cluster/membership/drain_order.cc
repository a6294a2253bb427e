#include "cluster/membership/drain_order.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "cluster/report/drain_progress.h"
#include "cluster/report/process_report.h"

namespace herd::membership {
namespace {

constexpr std::string_view kReplicaPrefix = "replica-";

std::string called(ReplicaId replica) { return report::replica_name(replica); }

std::optional<ReplicaId> replica_called(std::string_view name) {
  if (!name.starts_with(kReplicaPrefix)) return std::nullopt;
  name.remove_prefix(kReplicaPrefix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc{} && end == name.data() + name.size() ? std::optional(ReplicaId(number)) : std::nullopt;
}

}  // namespace

DrainOrder::DrainOrder(ReplicaPlaces& places, const report::DrainAsk& ask) : places_(places), ask_(ask) {
  if (!places.is_node(ask.target)) replica_ = replica_called(ask.target);
  affected_ = replica_ ? std::vector{*replica_} : places.of(ask.target);
}

Status DrainOrder::check() const {
  if (replica_ ? places_.is_known(*replica_) : places_.is_node(ask_.target)) return {};
  std::string nodes;
  for (const std::string& node : places_.nodes()) {
    nodes += (nodes.empty() ? "" : ", ") + node;
    if (nodes.size() > report::kReportTextBytesMax) {
      nodes += ", and more";
      break;
    }
  }
  const std::string last = called(ReplicaId(places_.replicas() - 1));
  return bad_input("no node or replica \"" + ask_.target + "\": the cluster has node" + (nodes.find(',') == nodes.npos ? " " : "s ") +
                   (nodes.empty() ? "(none yet)" : nodes) + " and " + (places_.replicas() == 1 ? last : "replica-0 to " + last) +
                   "; gateways and coordinators drain when they are told to end (SIGTERM)");
}

bool DrainOrder::carry_out() {
  DrainBoard& drains = places_.drains();
  if (ask_.undo) return replica_ ? drains.undo(*replica_) : drains.undo(ask_.target);
  const bool was = replica_ ? drains.is_drained(*replica_) : drains.is_drained(ask_.target);
  if (replica_) drains.drain(*replica_, ask_.drain_s);
  else drains.drain(ask_.target, ask_.drain_s);
  return !was;
}

std::vector<std::string> DrainOrder::lines(bool changed) const {
  if (ask_.undo) {
    if (!changed) return {ask_.target + " was not drained"};
    return {ask_.target + " takes work again"};
  }
  std::vector<std::string> lines{ask_.target + (changed ? " takes nothing new from here on" : " was drained already")};
  for (const ReplicaId replica : affected_)
    if (lines.size() < report::kAnswerLinesMax) lines.push_back(line_of(replica));
  for (std::string& line : lines) line.resize(std::min(line.size(), report::kReportTextBytesMax));
  return lines;
}

std::string DrainOrder::line_of(ReplicaId replica) const {
  const std::string& node = places_.node_of(replica);
  if (node.empty()) return called(replica) + " is on no node";
  if (!places_.is_draining(replica)) return called(replica) + " is on node " + node;
  const std::string& heir = places_.heir_of(replica);
  const std::string next = heir.empty() ? "" : " until node " + heir + " has it ready";
  return called(replica) + " on node " + node + ": its streams move to other replicas, or finish there" + next;
}

}  // namespace herd::membership
