#include "cluster/report/notices.h"

#include "cluster/report/drain_progress.h"

namespace herd::report {
namespace {

using handshake::Role;

constexpr const char* kNone = "-";

// A digest of a gateway's access (ProcessReport::access_digest).
struct Access {
  std::string resume;
  std::string keys;
};
Access access_of(const ProcessReport& gateway) {
  const auto slash = gateway.access_digest.find('/');
  return {gateway.access_digest.substr(0, slash), slash == std::string::npos ? "" : gateway.access_digest.substr(slash + 1)};
}

// "gateway-2 has no resume key, gateway-1 does"
std::string differing(const std::string& one, const std::string& value, const std::string& first, const std::string& first_value,
                      const std::string& what) {
  if (value == kNone) return one + " has no " + what + ", " + first + " does";
  if (first_value == kNone) return first + " has no " + what + ", " + one + " does";
  return what + " of " + one + " and of " + first + " differ";
}

void add_access(const ClusterStatusReport& report, std::vector<std::string>& notices) {
  const ProcessReport* first = nullptr;
  for (const ProcessReport& gateway : report.processes) {
    if (gateway.role != Role::kGateway || gateway.pid == 0 || gateway.access_digest.empty()) continue;
    if (first == nullptr) {
      first = &gateway;
      continue;
    }
    const Access known = access_of(*first), its = access_of(gateway);
    if (its.resume != known.resume)
      notices.push_back(differing(gateway.name, its.resume, first->name, known.resume, "resume key") +
                        ": streams of the one cannot be resumed at the other");
    if (its.keys != known.keys)
      notices.push_back(differing(gateway.name, its.keys, first->name, known.keys, "API keys") +
                        ": what the one lets in the other may refuse");
  }
}

}  // namespace

std::vector<std::string> notices_of(const ClusterStatusReport& report, const std::string& digest, const std::vector<FileCopy>& copies,
                                    const std::vector<std::string>& drained) {
  std::vector<std::string> notices;
  for (const std::string& target : drained) {
    const std::string state = may_be_stopped(report, target) ? " is drained and may be stopped" : " drains";
    notices.push_back(target + state + "; herd drain " + target + " --undo lets it take work again");
  }
  for (const FileCopy& copy : copies)
    if (!copy.digest.empty() && copy.digest != digest)
      notices.push_back(copy.called + " runs with another cluster file than the coordinator");
  add_access(report, notices);
  if (notices.size() > kNoticesMax) notices.resize(kNoticesMax);
  for (std::string& notice : notices)
    if (notice.size() > kReportTextBytesMax) notice.resize(kReportTextBytesMax);
  return notices;
}

}  // namespace herd::report
