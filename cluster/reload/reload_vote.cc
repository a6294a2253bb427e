#include "cluster/reload/reload_vote.h"

#include <algorithm>
#include <utility>

namespace herd::reload {

report::ReloadPrepared ReloadVote::on_prepare(const report::ReloadPrepare& prepare, const Reading& reading, Instant now) {
  prepared_ = 0;
  report::ReloadPrepared answer{prepare.number, reading.status, {}};
  if (!reading.status.ok()) return answer;
  if (reading.digest != prepare.config_digest) {
    answer.status = bad_input("its copy of the file has other settings than the coordinator's; copy the file to every machine first");
    return answer;
  }
  answer.changed.assign(reading.changed.begin(),
                        reading.changed.begin() + static_cast<std::ptrdiff_t>(std::min(reading.changed.size(), report::kAnswerLinesMax)));
  prepared_ = prepare.number;
  until_ = seconds_after(now, kKept_s);
  return answer;
}

bool ReloadVote::on_decision(const report::ReloadDecision& decision, Instant now) {
  if (decision.number != prepared_ || prepared_ == 0) return false;
  prepared_ = 0;
  return decision.take && now < until_;
}

report::ReloadPrepared ReloadVote::taken(std::uint64_t number) { return {number, {}, {}}; }

}  // namespace herd::reload
