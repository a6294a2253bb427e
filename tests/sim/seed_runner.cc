#include "tests/sim/seed_runner.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <memory>
#include <sstream>
#include <utility>

#include "kernels/check.h"
#include "tests/sim/shrink.h"
#include "tests/sim/sim_cluster.h"

namespace herd::sim {
namespace {

constexpr std::uint64_t kSaltsMax = 64;
constexpr std::uint64_t kStepsMax = 1'000'000;  // of a run that may have no end
const SimCluster* running = nullptr;  // in the process that runs it

// One line each: what was broken and when; then every event.
std::string to_lines(const std::string& violation, Instant ended, const std::vector<Script::Event>& events) {
  std::ostringstream lines;
  lines << "ended\t" << ended.ns << '\t' << violation << '\n';
  for (const Script::Event& event : events) lines << "event\t" << event.at.ns << '\t' << event.kept << '\t' << event.what << '\n';
  return lines.str();
}

void write_all(int to, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(to, text.data() + at, text.size() - at);
    if (written <= 0) ::_exit(3);
    at += static_cast<std::size_t>(written);
  }
}

// What the core said of its invariant stands before it.
void say_where_it_ended(int) {
  write_all(STDERR_FILENO, to_lines("", running->world().now(), running->world().script.events()));
  ::_exit(1);
}

[[noreturn]] void run_here(const SimOptions& options, int to) {
  ::dup2(to, STDERR_FILENO);
  std::signal(SIGABRT, say_where_it_ended);
  SimCluster cluster(options);
  running = &cluster;
  const SimReport report = cluster.run();
  write_all(STDERR_FILENO, to_lines(report.violation.value_or(""), report.ended, report.events));
  ::_exit(report.violation ? 1 : 0);
}

RunOutcome read_outcome(const std::string& lines) {
  RunOutcome outcome;
  std::istringstream all(lines);
  std::string line;
  while (std::getline(all, line)) {
    std::istringstream one(line);
    std::string what, ns, kept, text;
    std::getline(one, what, '\t');
    std::getline(one, ns, '\t');
    if (what == "ended") {
      std::getline(one, text);
      outcome.ended = {std::stoll(ns)};
      if (!text.empty()) outcome.violation = text;
    } else if (what == "event") {
      std::getline(one, kept, '\t');
      std::getline(one, text);
      outcome.events.push_back({{std::stoll(ns)}, text, kept == "1"});
    } else if (line.find("broken invariant") != std::string::npos) {
      outcome.violation = line;
    }
  }
  return outcome;
}

// Looks for a run that breaks the same promise.
class Search {
 public:
  explicit Search(const SimOptions& options) : options_(options) {}

  RunOutcome run(const EventNumbers& events, std::uint64_t salt) {
    ++runs_;
    SimOptions options = options_;
    options.only = std::make_shared<const EventNumbers>(events);
    options.salt = salt;
    return run_apart(options);
  }

  // With the delays that failed last, or with others.
  bool fails(const EventNumbers& events, std::uint64_t salts) {
    for (std::uint64_t i = 0; i < salts; ++i) {
      const std::uint64_t salt = (salt_ + i) % kSaltsMax;
      if (kind_of(run(events, salt).violation) != kind_) continue;
      salt_ = salt;
      return true;
    }
    return false;
  }

  std::optional<ShrunkSeed> shrink_all() {
    const RunOutcome whole = run_apart(options_);
    if (whole.violation.empty()) return std::nullopt;
    kind_ = kind_of(whole.violation);
    options_.steps_max = std::min(options_.steps_max, kStepsMax);
    salt_ = options_.salt;
    EventNumbers events, later;
    for (std::uint32_t number = 0; number < whole.events.size(); ++number) {
      if (!whole.events[number].kept) continue;
      events.insert(number);
      if (whole.events[number].at <= whole.ended) later.insert(number);
    }
    const std::size_t of = events.size();
    if (fails(later, 1)) events = later;  // what would have come afterwards
    for (std::uint64_t salts = 1; salts <= kSaltsMax; salts *= 8) {
      events = shrink(events, [&](const EventNumbers& some) { return fails(some, salts); });
      if (events.size() <= kReadableEvents) break;
    }
    return ShrunkSeed{salt_, events, run(events, salt_), of, runs_};
  }

 private:
  SimOptions options_;
  std::string kind_;
  std::uint64_t salt_ = 0;
  std::size_t runs_ = 0;
};

}  // namespace

RunOutcome run_apart(const SimOptions& options) {
  int ends[2];
  HERD_CHECK(::pipe(ends) == 0, "a pipe to the process that runs the seed");
  const pid_t child = ::fork();
  HERD_CHECK(child >= 0, "a process that runs the seed");
  if (child == 0) run_here(options, ends[1]);
  ::close(ends[1]);
  std::string said;
  char piece[4096];
  for (ssize_t length = 0; (length = ::read(ends[0], piece, sizeof piece)) > 0;) said.append(piece, static_cast<std::size_t>(length));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  RunOutcome outcome = read_outcome(said);
  if (status != 0 && outcome.violation.empty()) outcome.violation = "the simulator itself ended: " + said.substr(0, 200);
  return outcome;
}

std::string kind_of(const std::string& violation) {
  std::string kind;
  for (const char c : violation) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (!digit) kind.push_back(c);
    if (digit && !kind.ends_with('#')) kind.push_back('#');
  }
  return kind;
}

std::optional<ShrunkSeed> shrink_seed(const SimOptions& options) { return Search(options).shrink_all(); }

}  // namespace herd::sim
