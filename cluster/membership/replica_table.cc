#include "cluster/membership/replica_table.h"

#include <algorithm>
#include <utility>

namespace herd::membership {
namespace {

using routing::ReplicaState;

std::string name_of(ReplicaId replica) { return "replica " + std::to_string(replica.value); }

std::string class_of(const routing::NumericsId& numerics) { return numerics.substr(0, numerics.find('/')); }

}  // namespace

const routing::ReplicaView* serving_in(const NodeJoin& join, ReplicaId replica) {
  const auto found = std::ranges::find(join.serving, replica, [](const auto& view) { return view.route.generation.replica; });
  return found == join.serving.end() ? nullptr : &*found;
}

void ReplicaTable::hear_of(Epoch cluster_epoch) {
  CoordinatorEffects said;
  core_.hear_of(cluster_epoch, said);
  take(std::move(said));
}

bool ReplicaTable::place(const std::string& node, const PlaceAsk& ask) {
  if (!fits(node, ask.replica, ask.numerics)) return false;
  if (places_.is_heir(ask.replica, node)) leave(ask.replica);
  CoordinatorEffects said;
  (void)core_.place(ask, true, said);
  take(std::move(said));
  why_[ask.replica.value] = "its ranks form a group";
  reforms_[ask.replica.value] = true;
  return true;
}

bool ReplicaTable::serve(const std::string& node, const routing::ReplicaView& view) {
  if (!fits(node, view.route.generation.replica, view.route.numerics)) return true;
  reforms_[view.route.generation.replica.value] = true;
  CoordinatorEffects said;
  core_.on_serving(view, said);
  if (view.state == ReplicaState::kDraining) core_.on_draining(view.route.generation, said);
  const bool changed = !said.empty();
  take(std::move(said));
  const char* event = view.state == ReplicaState::kDraining ? "replica drains" : "replica serves";
  if (changed) note(event, node, name_of(view.route.generation.replica) + " at " + view.route.address);
  return changed;
}

void ReplicaTable::on_lost(const routing::ReplicaLoss& loss) {
  CoordinatorEffects said;
  core_.on_lost(loss, said);
  if (!said.empty()) {
    const ReplicaId replica = loss.replica.replica;
    why_[replica.value] = loss.why.message();
    note("replica lost", places_.node_of(replica), loss.why.message(), true);
  }
  take(std::move(said));
}

void ReplicaTable::lose(ReplicaId replica, const std::string& why, routing::LossCause cause) {
  if (!is_live(replica)) return;
  routing::ReplicaLoss loss;
  loss.replica = find(replica)->route.generation;
  loss.cause = cause;
  loss.why = {StatusCode::kAborted, name_of(replica) + ": " + why};
  on_lost(loss);
}

void ReplicaTable::give_up(ReplicaId replica, const std::string& node, const std::string& why, const std::string& numerics_class) {
  if (places_.is_at(replica, node)) {
    lose(replica, "node " + node + " gave it up: " + why);
    reforms_[replica.value] = false;
  }
  places_.refuse(replica, node, {why, numerics_class});
  note("replica given up", node, name_of(replica) + ": " + why, true);
}

void ReplicaTable::adopt(const std::string& node, const std::vector<ReplicaId>& held) {
  for (const ReplicaId replica : held)
    if (places_.is_known(replica) && places_.node_of(replica).empty() && !places_.is_refused(replica, node))
      places_.adopt(replica, node);
}

std::vector<ReplicaId> ReplicaTable::compare(const std::string& node, const NodeJoin& join, bool fresh) {
  std::vector<ReplicaId> buried;
  for (const ReplicaId replica : places_.of(node)) {
    if (fresh) reforms_[replica.value] = false;
    const routing::ReplicaView* known = find(replica);
    const routing::ReplicaView* serving = serving_in(join, replica);
    if (serving != nullptr && known != nullptr && !is_live(replica) && serving->route.generation <= known->route.generation) {
      buried.push_back(replica);
      continue;
    }
    // It was to drain, but never heard so, and that was taken back: gateways leave that generation alone for good.
    const bool was_to_drain = serving != nullptr && known != nullptr && known->state == ReplicaState::kDraining &&
                              serving->state == ReplicaState::kServing && serving->route.generation == known->route.generation;
    if (was_to_drain && !places_.is_draining(replica)) {
      lose(replica, "it was to drain, and is to serve again", routing::LossCause::kStopped);
      buried.push_back(replica);
      continue;
    }
    // What it had been told to make before its connection was cut may still come to serve.
    const bool may_come = !fresh && known != nullptr && known->state == ReplicaState::kMaking &&
                          std::ranges::find(join.held, replica) != join.held.end();
    if (serving != nullptr) (void)serve(node, *serving);
    else if (!may_come) lose(replica, "node " + node + " joined again without it");
  }
  return buried;
}

std::uint32_t ReplicaTable::fill() {
  for (std::uint32_t i = 0; i < places_.replicas(); ++i)
    if (places_.is_draining(ReplicaId(i))) drain(ReplicaId(i));
  const auto moves = places_.fill();
  for (const auto& [replica, from, to, as_heir] : moves) {
    if (!as_heir) reforms_[replica.value] = false;
    if (!as_heir && !from.empty()) lose(replica, "node " + from + " stayed away; node " + to + " makes it");
    const std::string before = as_heir ? ", which leaves node " + from : ", which was on node " + from;
    note("replica assigned", to, name_of(replica) + (from.empty() ? "" : before));
  }
  CoordinatorEffects said;
  for (std::uint32_t i = 0; i < places_.replicas(); ++i) core_.set_returns(ReplicaId(i), places_.may_return(ReplicaId(i)), said);
  take(std::move(said));
  return static_cast<std::uint32_t>(moves.size());
}

void ReplicaTable::drain(ReplicaId replica) {
  const routing::ReplicaView* known = find(replica);
  const bool serves = known != nullptr && (known->state == ReplicaState::kServing || known->state == ReplicaState::kDraining);
  if (!serves || places_.is_given_up(places_.node_of(replica))) return leave(replica);
  CoordinatorEffects said;
  core_.on_draining(known->route.generation, said);
  if (!said.empty()) note("replica drains", places_.node_of(replica), name_of(replica));
  take(std::move(said));
}

void ReplicaTable::leave(ReplicaId replica) {
  const std::string node = places_.node_of(replica), heir = places_.heir_of(replica);
  lose(replica, places_.why_it_leaves(replica) + (heir.empty() ? "" : "; node " + heir + " takes it over"), routing::LossCause::kStopped);
  places_.release(replica);
  reforms_[replica.value] = false;
  note("replica left", node, name_of(replica) + (heir.empty() ? "" : ", which is on node " + heir + " now"));
}

bool ReplicaTable::forget_unused_numerics() {
  std::erase_if(numerics_, [this](const auto& known) { return !is_used(known.second); });
  return places_.forget_refusals([this](const std::string& numerics_class) { return !numerics_.contains(numerics_class); });
}

bool ReplicaTable::fits(const std::string& node, ReplicaId replica, const routing::NumericsId& numerics) {
  const std::string numerics_class = class_of(numerics);
  const routing::NumericsId& others = numerics_.try_emplace(numerics_class, numerics).first->second;
  if (others == numerics) return true;
  give_up(replica, node,
          "it would compute " + numerics + " there, the cluster computes " + others +
              ": give the node the same model files and the same encoding",
          numerics_class);
  return false;
}

bool ReplicaTable::is_used(const routing::NumericsId& numerics) const {
  return std::ranges::any_of(view().replicas, [&](const routing::ReplicaView& replica) {
    const ReplicaId id = replica.route.generation.replica;
    const bool is_made = replica.state != ReplicaState::kLost || (places_.is_known(id) && reforms_[id.value]);
    return is_made && replica.route.numerics == numerics;
  });
}

bool ReplicaTable::is_live(ReplicaId replica) const {
  const routing::ReplicaView* known = find(replica);
  return known != nullptr && known->state != ReplicaState::kLost;
}

void ReplicaTable::take(CoordinatorEffects said) {
  for (CoordinatorEffect& effect : said) {
    if (auto* push = std::get_if<PushLoss>(&effect)) changes_.losses.push_back(std::move(push->loss));
    else changes_.view = true;
  }
}

void ReplicaTable::note(const char* event, const std::string& node, const std::string& what, bool is_warning) {
  changes_.notes.push_back({is_warning, event, node, what});
}

std::string ReplicaTable::why_it_drains(ReplicaId replica) const {
  const std::string& heir = places_.heir_of(replica);
  const std::string next = heir.empty() ? "" : "; node " + heir + " makes it ready";
  return places_.why_it_leaves(replica) + ": its streams move to other replicas, or finish here where none has room" + next;
}

report::ReplicaReportLine ReplicaTable::line(ReplicaId replica) const {
  using report::ReplicaCondition;
  const routing::ReplicaView& view = *find(replica);
  report::ReplicaReportLine line{.replica = replica,
                                 .condition = ReplicaCondition::kReforming,
                                 .node = places_.node_of(replica),
                                 .epoch = view.route.generation.epoch.value,
                                 .why = why_[replica.value]};
  if (line.node.empty()) {
    line.condition = places_.drains().is_drained(replica) ? ReplicaCondition::kDraining : ReplicaCondition::kLost;
    line.why = places_.why_no_place(replica);
  } else if (!places_.is_here(line.node)) {
    // Most likely it has ended. If not, its leaders need it for nothing.
    line.why = "node " + line.node + " is out of reach" + (is_live(replica) ? "; streams go on where gateways reach its leader" : "");
  } else if (view.state == ReplicaState::kServing || view.state == ReplicaState::kDraining) {
    line.condition = view.state == ReplicaState::kServing ? ReplicaCondition::kServing : ReplicaCondition::kDraining;
    line.why = view.state == ReplicaState::kServing ? "" : why_it_drains(replica);
  } else if (line.why.empty()) {
    line.why = "its ranks start";
  }
  if (line.why.size() > report::kReportTextBytesMax) line.why.resize(report::kReportTextBytesMax);
  return line;
}

}  // namespace herd::membership
