#pragma once
// UpCore: when `herd up` starts which of its processes, starts it again, and has it end. Pure; events in, effects out.
//
//   running  --on_stop, or a process that cannot be started--> gateways end --> nodes end --> coordinators end --> over
//   a process that ends while running is started again: at once when it had lived for a while, else after a rest that doubles; when
//   its restarts are used up it stays away. One that ends by itself with a refusal before the cluster was ready (a port in use, a
//   bad file) ends all: no repetition helps there.
//   a second on_stop ends all at once, a third kills; where it ends without having been asked to, the first one is the second.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/handshake/hello.h"
#include "cluster/membership/restart_budget.h"
#include "commands/up/host_plan.h"
#include "runtime/clock.h"

namespace herd::up {

struct UpConfig {
  membership::RestartBudget budget{};  // of each process
  double gateway_drain_s = 30;       // what streams get; the others have nobody to wait for
};

// How a process ended.
struct ProcessEnd {
  std::string text;              // "killed by signal 9 (SIGKILL)"
  std::optional<int> exit_code;  // none: a signal
};

// Effects, to be carried out in order.
struct StartProcess {
  std::size_t process = 0;
  std::uint32_t restarts = 0;  // so far
  std::string last_death;      // empty: it is the first start
};
enum class Order : std::uint8_t { kEnd, kKill };  // SIGTERM, SIGKILL
struct EndProcess {
  std::size_t process = 0;
  Order order = Order::kEnd;
};
struct Say { std::string text; };  // for people
struct Over { int exit_code = 0; };  // nothing runs any more: the last effect
using UpEffect = std::variant<StartProcess, EndProcess, Say, Over>;
using UpEffects = std::vector<UpEffect>;

class UpCore {
 public:
  static constexpr double kLivedEnough_s = 1.0;    // who lived for so long is started again at once
  static constexpr double kGatewayGrace_s = 5.0;   // beyond the drain
  static constexpr double kNodeGrace_s = 25.0;     // ranks finish a step and end; a node ends itself after 21 s
  static constexpr double kCoordinatorGrace_s = 5.0;
  static constexpr double kHurry_s = 2.0;          // after the second on_stop

  UpCore(const std::vector<HostProcess>& processes, const UpConfig& config);

  void on_begin(UpEffects& effects);
  void on_started(std::size_t process, Instant now);
  // It ended; or it could not even be started: then its end says why, without a code.
  void on_ended(std::size_t process, const ProcessEnd& end, Instant now, UpEffects& effects);
  void on_ready() { ready_ = true; }
  void on_stop(Instant now, UpEffects& effects);
  void on_timer(Instant now, UpEffects& effects);
  // When on_timer is due.
  [[nodiscard]] std::optional<Instant> due() const;

 private:
  struct Process {
    HostProcess what;
    membership::RestartLog log;
    bool running = false;
    Instant since{};                 // running since
    std::optional<Instant> again_at{};  // it will be started then
    std::uint32_t restarts = 0;
    std::string last_death{};
  };

  void start(std::size_t process, UpEffects& effects);
  void plan_restart(std::size_t process, const ProcessEnd& end, Instant now, UpEffects& effects);
  void stop_all(int exit_code, Instant now, UpEffects& effects);
  void go_on_stopping(Instant now, UpEffects& effects);
  void order_all(Order order, UpEffects& effects);
  [[nodiscard]] bool any_running(std::optional<handshake::Role> role = std::nullopt) const;
  [[nodiscard]] bool any_left() const;
  [[nodiscard]] double grace_s() const;  // of the stage

  const UpConfig config_;
  std::vector<Process> processes_;
  bool ready_ = false;
  bool over_ = false;
  int stops_ = 0;                     // that were asked for; one that nobody asked for counts as the first
  std::optional<std::size_t> stage_;  // of the end: an index of kStages
  std::optional<Instant> kill_at_;    // what runs of the stage (hurried: at all) is killed then
  int exit_code_ = 0;
};

}  // namespace herd::up
