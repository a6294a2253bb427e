#include "commands/demo_cluster.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "commands/certificate_folder.h"
#include "commands/command_line.h"
#include "commands/up/demo_file.h"
#include "commands/up/held_port.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

namespace fs = std::filesystem;

constexpr int kProcessesMax = 16;  // of a role
constexpr int kFoldersMax = 16;    // demo clusters of one user at a time
constexpr std::uint16_t kUsualPort = 8000;
constexpr int kCertificateDays = 30;
constexpr std::int64_t kDemoModelMib = 64;  // far more than the demo model fills
// Of a model whose size is not known here, each replica takes this share of the node's share of the memory that is free.
constexpr std::uint64_t kShareOfMemory = 4;

// "/tmp/herd-demo-1000", "/tmp/herd-demo-1000-2".
std::string folder_path(int index) {
  const char* temporary = std::getenv("TMPDIR");
  std::string path = temporary != nullptr && *temporary == '/' ? temporary : "/tmp";
  path.append("/herd-demo-").append(std::to_string(::getuid()));
  if (index > 0) path.append("-").append(std::to_string(index + 1));
  return path;
}

// Made when it is missing. Another user could have made it before us.
Status make_private(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return missing(folder + ": cannot be made: " + system_error_text(errno));
  struct stat about {};
  if (::lstat(folder.c_str(), &about) != 0) return missing(folder + ": " + system_error_text(errno));
  if (!S_ISDIR(about.st_mode) || about.st_uid != ::getuid() || (about.st_mode & 077) != 0)
    return missing(folder + " is not a folder that only this user may enter; remove it, or set TMPDIR");
  return {};
}

std::vector<int> own_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

Status check(const DemoOrder& order) {
  if (order.gateways < 1 || order.gateways > kProcessesMax) return usage_error("--gateways must be 1 to 16");
  if (order.nodes < 1 || order.nodes > kProcessesMax) return usage_error("--nodes must be 1 to 16");
  for (const int ranks : {1, 2, 4, 8})
    if (order.tensor_parallel == ranks) return {};
  return usage_error("--tensor-parallel-size must be 1, 2, 4 or 8");
}

class MadeCluster final : public DemoCluster {
 public:
  ~MadeCluster() override {
    if (lock_ < 0) return;
    remove_files();
    ::close(lock_);
  }

  Status make(const DemoOrder& order) {
    if (Status status = choose_model(order); !status.ok()) return status;
    if (Status status = take_folder(); !status.ok()) return status;
    if (Status status = take_ports(order); !status.ok()) return status;
    if (Status status = make_certificates(order); !status.ok()) return status;
    demo_.tensor_parallel = order.tensor_parallel;
    demo_.ui = order.ui;
    demo_.cpus = own_cpus();
    return write_file();
  }

  [[nodiscard]] const std::string& config() const override { return config_; }

 private:
  Status choose_model(const DemoOrder& order) {
    if (order.model.empty()) {
      auto demo = demo_model_path();
      if (!demo) return demo.error();
      demo_.model_path = std::move(*demo);
      demo_.kv_cache_mib = kDemoModelMib;
      return {};
    }
    std::error_code error;
    demo_.model_path = fs::absolute(order.model, error).string();
    if (error || !fs::exists(demo_.model_path, error)) return missing(order.model + ": there is no such model");
    const std::uint64_t share = available_memory_bytes() / (kShareOfMemory * static_cast<std::uint64_t>(order.nodes));
    demo_.kv_cache_mib = std::max<std::int64_t>(kDemoModelMib, static_cast<std::int64_t>(share >> 20));
    return {};
  }

  // The first that no other `herd up` has.
  Status take_folder() {
    for (int i = 0; i < kFoldersMax; ++i) {
      demo_.folder = folder_path(i);
      if (Status status = make_private(demo_.folder); !status.ok()) return status;
      const std::string path = demo_.folder + "/lock";
      const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
      if (lock < 0) return missing(path + ": " + system_error_text(errno));
      if (::flock(lock, LOCK_EX | LOCK_NB) == 0) {
        lock_ = lock;
        config_ = demo_.folder + "/cluster.yaml";
        remove_files();  // of one that was killed
        return {};
      }
      ::close(lock);
    }
    return missing(folder_path(0) + " and the folders beside it are in use by other demo clusters; end one of them");
  }

  Status take_port(std::uint16_t wish, std::uint16_t& port) {
    auto held = up::HeldPort::take(wish);
    if (!held && wish != 0) return take_port(0, port);
    if (!held) return held.error();
    port = held->port();
    ports_.push_back(std::move(*held));
    return {};
  }

  Status take_ports(const DemoOrder& order) {
    if (Status status = take_port(0, demo_.coordinator_port); !status.ok()) return status;
    demo_.gateway_ports.resize(static_cast<std::size_t>(order.gateways));
    demo_.node_ports.resize(static_cast<std::size_t>(order.nodes));
    for (std::size_t i = 0; i < demo_.gateway_ports.size(); ++i)
      if (Status status = take_port(i == 0 ? kUsualPort : 0, demo_.gateway_ports[i]); !status.ok()) return status;
    for (std::uint16_t& port : demo_.node_ports)
      if (Status status = take_port(0, port); !status.ok()) return status;
    return {};
  }

  Status make_certificates(const DemoOrder& order) {
    CertificateOrder certificates;
    certificates.folder = demo_.folder + "/tls";
    certificates.cluster = up::kDemoName;
    for (int i = 0; i < order.nodes; ++i) certificates.nodes.push_back(up::demo_node(static_cast<std::size_t>(i)));
    certificates.gateways = std::to_string(order.gateways);
    certificates.days = kCertificateDays;
    const auto made = make_certificate_folder(certificates);
    return made ? Status{} : made.error();
  }

  // Whole, or not there.
  Status write_file() {
    const std::string unfinished = config_ + ".new";
    std::ofstream file(unfinished);
    file << up::demo_file_text(demo_);
    file.close();
    if (!file || std::rename(unfinished.c_str(), config_.c_str()) != 0)
      return missing(config_ + ": cannot be written: " + system_error_text(errno));
    return {};
  }

  void remove_files() {
    std::error_code ignored;
    fs::remove_all(demo_.folder + "/tls", ignored);
    for (const char* name : {"/cluster.yaml", "/cluster.yaml.new", "/resume.key"}) fs::remove(demo_.folder + name, ignored);
  }

  up::DemoCluster demo_;
  std::string config_;
  int lock_ = -1;
  std::vector<up::HeldPort> ports_;
};

}  // namespace

Expected<std::unique_ptr<DemoCluster>> DemoCluster::make(const DemoOrder& order) {
  if (Status status = check(order); !status.ok()) return fail(std::move(status));
  auto cluster = std::make_unique<MadeCluster>();
  if (Status status = cluster->make(order); !status.ok()) return fail(std::move(status));
  return cluster;
}

std::string demo_config_path() { return folder_path(0) + "/cluster.yaml"; }

}  // namespace herd::commands
