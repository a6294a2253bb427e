#include "commands/supervision.h"

#include <string>
#include <string_view>

namespace herd::commands {
namespace {

using membership::NoteKind;
using observability::LogLevel;

struct Said {
  LogLevel level;
  std::string_view event;
};

Said said_of(NoteKind kind) {
  switch (kind) {
    case NoteKind::kRankLost: return {LogLevel::kError, "a rank is lost"};
    case NoteKind::kRankLeaves: return {LogLevel::kInfo, "a rank was told to end"};
    case NoteKind::kRankSuspected: return {LogLevel::kError, "a rank makes no progress"};
    case NoteKind::kRankHangs: return {LogLevel::kError, "a rank hangs"};
    case NoteKind::kTokensDiffer: return {LogLevel::kError, "a rank sampled other tokens"};
    case NoteKind::kGenerationLost: return {LogLevel::kWarning, "a replica stops serving"};
    case NoteKind::kForming: return {LogLevel::kInfo, "a replica's ranks form a group"};
    case NoteKind::kServing: return {LogLevel::kInfo, "a replica serves again"};
    case NoteKind::kRestartSpent: return {LogLevel::kInfo, "a restart counts"};
    case NoteKind::kGivenUp: return {LogLevel::kError, "a replica is given up"};
    case NoteKind::kTaken: return {LogLevel::kInfo, "a replica is taken"};
  }
  return {LogLevel::kWarning, "a replica"};
}

}  // namespace

void Supervision::on_note(ReplicaId replica, const membership::Note& note) {
  const Said said = said_of(note.kind);
  const std::int64_t number{replica.value}, epoch = static_cast<std::int64_t>(note.epoch.value);
  if (note.kind == NoteKind::kServing) {
    log_.write(said.level, said.event, {{"replica", number}, {"epoch", epoch}, {"pause_s", note.pause_s}, {"what", note.text}});
  } else if (note.rank) {
    log_.write(said.level, said.event, {{"replica", number}, {"rank", std::int64_t{*note.rank}}, {"epoch", epoch}, {"what", note.text}});
  } else {
    log_.write(said.level, said.event, {{"replica", number}, {"epoch", epoch}, {"what", note.text}});
  }
  // What becomes of the replica itself the cluster's status tells.
  const bool shown = note.rank || note.kind == NoteKind::kRankSuspected || note.kind == NoteKind::kGivenUp;
  if (events_ != nullptr && shown)
    events_->add(said.level, std::string(said.event) + ": " + note.text);
  if (note.kind != NoteKind::kGivenUp) return;
  {
    const std::scoped_lock lock(mutex_);
    if (!given_up_.insert(replica).second) return;
    why_ = note.text;
    if (given_up_.size() != replicas_) return;
  }
  on_none_left_();
}

std::optional<std::string> Supervision::none_left() const {
  const std::scoped_lock lock(mutex_);
  return given_up_.size() == replicas_ ? std::optional(why_) : std::nullopt;
}

}  // namespace herd::commands
