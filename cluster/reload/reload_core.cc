#include "cluster/reload/reload_core.h"

#include <algorithm>
#include <utility>

namespace herd::reload {
namespace {

constexpr std::size_t kLineBytesMax = 512;
constexpr std::size_t kNamedMax = 4;
constexpr const char* kCoordinator = "coordinator";

std::vector<PeerId> listed(const std::set<PeerId>& peers) { return {peers.begin(), peers.end()}; }

// The lines of a text, each with whom it is about.
void add_lines(const std::string& text, const std::string& called, std::map<std::string, std::vector<std::string>>& said) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    said[text.substr(at, end - at)].push_back(called);
    at = end + 1;
  }
}

std::string names_text(std::vector<std::string> names) {
  std::ranges::sort(names);
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamedMax); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kNamedMax ? text + " and " + std::to_string(names.size() - kNamedMax) + " more" : text;
}

void add(std::string line, std::vector<std::string>& lines) {
  line.resize(std::min(line.size(), kLineBytesMax));
  if (lines.size() < report::kAnswerLinesMax) lines.push_back(std::move(line));
}

}  // namespace

void ReloadCore::on_opened(PeerId peer, const std::string& called, const std::string& digest, Instant now, ReloadEffects& effects) {
  members_[peer] = {called};
  if (round_ && !round_->taking) {
    ask(peer, round_->number, round_->digest, effects);
    round_->open.insert(peer);
    round_->asked.insert(peer);
    return go_on(now, effects);
  }
  if (std::ranges::find(left_behind_, digest) != left_behind_.end()) ask(peer, ++last_number_, digest_, effects);
}

void ReloadCore::on_closed(PeerId peer, Instant now, ReloadEffects& effects) {
  const auto gone = members_.find(peer);
  if (gone == members_.end()) return;
  const std::string called = gone->second.called;
  members_.erase(gone);
  if (!round_ || round_->asked.erase(peer) == 0) return;
  const bool was_open = round_->open.erase(peer) > 0;
  if (!round_->taking)
    refuse(called, {StatusCode::kMissing, "its connection ended while it was asked"});
  else if (was_open)
    round_->late["its connection ended before it said that it took it; it is told again when it is back"].push_back(called);
  go_on(now, effects);
}

void ReloadCore::on_asked(std::optional<PeerId> asker, const Reading& own, Instant now, ReloadEffects& effects) {
  if (round_) {
    effects.emplace_back(EndReload{asker, {{StatusCode::kOverloaded, "another reload is under way; try again in a moment"}, {}}});
    return;
  }
  round_.emplace();
  round_->number = ++last_number_;
  round_->asker = asker;
  round_->digest = own.digest;
  if (!own.status.ok()) {
    refuse(kCoordinator, own.status);
    return go_on(now, effects);
  }
  for (const std::string& key : own.changed) round_->changed[key].push_back(kCoordinator);
  round_->until = seconds_after(now, kAsking_s);
  for (const auto& [peer, member] : members_) round_->open.insert(peer);
  round_->asked = round_->open;
  for (const PeerId peer : round_->open) members_[peer].asked = round_->number;
  if (!round_->open.empty()) effects.emplace_back(SayPrepare{listed(round_->open), {round_->number, round_->digest}});
  go_on(now, effects);
}

void ReloadCore::on_prepared(PeerId peer, const report::ReloadPrepared& prepared, Instant now, ReloadEffects& effects) {
  const auto member = members_.find(peer);
  if (member == members_.end() || member->second.asked != prepared.number || prepared.number == 0) return;
  if (!round_ || prepared.number != round_->number) return on_caught_up(peer, prepared, effects);
  if (round_->open.erase(peer) == 0) return;
  if (round_->taking) return go_on(now, effects);
  if (!prepared.status.ok()) refuse(member->second.called, prepared.status);
  for (const std::string& key : prepared.changed) round_->changed[key].push_back(member->second.called);
  go_on(now, effects);
}

void ReloadCore::on_timer(Instant now, ReloadEffects& effects) {
  if (!round_ || now < round_->until) return;
  for (const PeerId peer : std::exchange(round_->open, {})) {
    const std::string& called = members_.at(peer).called;
    if (round_->taking) round_->late["it has not said yet that it took it"].push_back(called);
    else refuse(called, {StatusCode::kMissing, "it did not answer within 5 s"});
  }
  go_on(now, effects);
}

std::optional<Instant> ReloadCore::deadline() const { return round_ ? std::optional(round_->until) : std::nullopt; }

void ReloadCore::ask(PeerId peer, std::uint64_t number, const std::string& digest, ReloadEffects& effects) {
  members_[peer].asked = number;
  effects.emplace_back(SayPrepare{{peer}, {number, digest}});
}

void ReloadCore::refuse(const std::string& called, const Status& why) {
  if (round_->refusal.ok()) round_->refusal = why;
  add_lines(why.message(), called, round_->refused);
}

// Once everybody has answered.
void ReloadCore::go_on(Instant now, ReloadEffects& effects) {
  if (!round_->open.empty()) return;
  if (round_->taking) return end({}, effects);
  if (round_->refusal.ok()) return take(now, effects);
  if (!round_->asked.empty()) effects.emplace_back(SayDecision{listed(round_->asked), {round_->number, false}});
  round_->changed.clear();
  end({round_->refusal.code(), "nothing was changed: not every process of the cluster can take what the file says now"}, effects);
}

void ReloadCore::take(Instant now, ReloadEffects& effects) {
  round_->taking = true;
  round_->until = seconds_after(now, kTaking_s);
  round_->open = round_->asked;
  if (round_->digest != digest_) {
    left_behind_.push_back(std::exchange(digest_, round_->digest));
    std::erase(left_behind_, digest_);  // back to what it ran before
    if (left_behind_.size() > kLeftBehindMax) left_behind_.pop_front();
  }
  for (const PeerId peer : round_->asked) members_.at(peer).asked = round_->number;
  if (!round_->asked.empty()) effects.emplace_back(SayDecision{listed(round_->asked), {round_->number, true}});
  effects.emplace_back(TakeOwn{});
  go_on(now, effects);
}

void ReloadCore::end(Status status, ReloadEffects& effects) {
  std::vector<std::string> lines;
  for (const auto& [key, names] : round_->changed) add(key + " (" + names_text(names) + ")", lines);
  for (const Said& said : {round_->refused, round_->late})
    for (const auto& [why, names] : said) add(names_text(names) + ": " + why, lines);
  effects.emplace_back(EndReload{round_->asker, {std::move(status), std::move(lines)}});
  for (auto& [peer, member] : members_)
    if (member.asked == round_->number) member.asked = 0;
  round_.reset();
}

// One that was away while it was decided.
void ReloadCore::on_caught_up(PeerId peer, const report::ReloadPrepared& prepared, ReloadEffects& effects) {
  Member& member = members_.at(peer);
  member.asked = 0;
  effects.emplace_back(SayDecision{{peer}, {prepared.number, prepared.status.ok()}});
  effects.emplace_back(ReloadNote{member.called, prepared.status});
}

}  // namespace herd::reload
