#include "actors/processes/operator_client.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "actors/link/link_host.h"
#include "actors/processes/cluster_tls.h"
#include "cluster/wire/report_codec.h"

namespace herd::processes {
namespace {

using handshake::Role;

constexpr const char* kName = "operator";

using Answer = std::variant<report::ClusterStatusReport, report::OrderAnswer>;

template <class Value>
Expected<Answer> as_answer(Expected<Value> value) {
  if (!value) return fail(value.error());
  return Answer(std::move(*value));
}

Expected<Answer> decode(const wire::Frame& frame) {
  return frame.kind == wire::FrameKind::kOrderAnswer ? as_answer(wire::decode_order_answer(frame.words))
                                                     : as_answer(wire::decode_cluster_status(frame.words));
}

// What the host's thread tells and the asking thread waits for.
class Answers {
 public:
  void on_open(std::shared_ptr<link::Link> link) {
    const std::scoped_lock lock(mutex_);
    link_ = std::move(link);
    changed_.notify_all();
  }
  void on_closed(const Status& why) {
    const std::scoped_lock lock(mutex_);
    link_.reset();
    trouble_ = why.message();
    changed_.notify_all();
  }
  void on_answer(Expected<Answer> answer) {
    const std::scoped_lock lock(mutex_);
    if (answer) answer_ = std::move(*answer);
    else trouble_ = answer.error().message();
    changed_.notify_all();
  }
  void on_trouble(const Status& status) {
    const std::scoped_lock lock(mutex_);
    trouble_ = status.message();
  }

  // Asks on every connection that opens meanwhile. An answer of another kind is one to an earlier question.
  template <class Value>
  std::optional<Value> ask(const wire::Frame& question, std::chrono::milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    std::shared_ptr<link::Link> asked;
    std::unique_lock lock(mutex_);
    answer_.reset();
    while (!answer_ || !std::holds_alternative<Value>(*answer_)) {
      if (link_ && link_ != asked) {
        asked = link_;
        lock.unlock();
        (void)asked->send(question, {}, {});
        lock.lock();
        continue;
      }
      if (changed_.wait_until(lock, until) == std::cv_status::timeout && !(answer_ && std::holds_alternative<Value>(*answer_)))
        return std::nullopt;
    }
    return std::get<Value>(*std::exchange(answer_, std::nullopt));
  }
  [[nodiscard]] std::string trouble() {
    const std::scoped_lock lock(mutex_);
    return trouble_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<link::Link> link_;  // open
  std::optional<Answer> answer_;
  std::string trouble_ = "it takes no connection";
};

class AnswerOwner final : public link::LinkOwner {
 public:
  AnswerOwner(std::shared_ptr<Answers> answers, std::shared_ptr<link::Link> link)
      : answers_(std::move(answers)), link_(std::move(link)) {}
  void on_frame(wire::OpenedFrame opened) override {
    link_->consumed(opened.frame.words.size() * sizeof(std::uint64_t));
    answers_->on_answer(decode(opened.frame));
  }
  void on_closed(const Status& why) override {
    answers_->on_closed(why);
    link_.reset();
  }

 private:
  const std::shared_ptr<Answers> answers_;
  std::shared_ptr<link::Link> link_;
};

class Client final : public OperatorClient {
 public:
  Client(const config::CoordinatorSpec& coordinator, std::shared_ptr<Answers> answers, std::unique_ptr<link::LinkHost> host)
      : coordinator_(coordinator), answers_(std::move(answers)), host_(std::move(host)) {
    const std::string& address = coordinator_.address;
    dial_ = host_->dial(config::host_of(address), config::port_of(address), {{Role::kCoordinator, coordinator_.name}},
                        [answers = answers_](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
                          answers->on_open(link);
                          return std::make_shared<AnswerOwner>(answers, std::move(link));
                        });
  }

  Expected<report::ClusterStatusReport> ask(std::chrono::milliseconds patience) override {
    return answer_to<report::ClusterStatusReport>(wire::encode(report::StatusAsk{}), patience);
  }
  Expected<report::OrderAnswer> order(const report::ReloadAsk& ask, std::chrono::milliseconds patience) override {
    return answer_to<report::OrderAnswer>(wire::encode(ask), patience);
  }
  Expected<report::OrderAnswer> order(const report::DrainAsk& ask, std::chrono::milliseconds patience) override {
    return answer_to<report::OrderAnswer>(wire::encode(ask), patience);
  }

 private:
  template <class Value>
  Expected<Value> answer_to(const wire::Frame& question, std::chrono::milliseconds patience) {
    if (auto answer = answers_->ask<Value>(question, patience)) return std::move(*answer);
    return fail(missing("coordinator \"" + coordinator_.name + "\" at " + coordinator_.address + " does not answer: " +
                        answers_->trouble()));
  }

  const config::CoordinatorSpec coordinator_;
  const std::shared_ptr<Answers> answers_;
  const std::unique_ptr<link::LinkHost> host_;
  std::unique_ptr<link::Dial> dial_;  // before its host
};

}  // namespace

Expected<std::unique_ptr<OperatorClient>> OperatorClient::start(const config::ClusterSpec& spec, std::uint64_t incarnation) {
  if (spec.coordinators.empty()) return fail(usage_error("the cluster file names no coordinator"));
  auto answers = std::make_shared<Answers>();
  link::LinkHostConfig config;
  config.mine.cluster = spec.name;
  config.mine.role = Role::kOperator;
  config.mine.node = kName;
  config.mine.incarnation = incarnation;
  config.tls = tls_files_of(spec.tls, kName);
  config.seed = incarnation;
  config.on_trouble = [answers](const Status& status) { answers->on_trouble(status); };
  auto host = link::LinkHost::start(std::move(config));
  if (!host) return fail(host.error());
  return std::make_unique<Client>(spec.coordinators.front(), std::move(answers), std::move(*host));
}

}  // namespace herd::processes
