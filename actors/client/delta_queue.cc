#include "actors/client/delta_queue.h"

#include <limits>
#include <utility>

#include "kernels/check.h"

namespace herd::actors {

struct DeltaQueue::Waiting {
  struct Entry {
    Heard heard;
    std::shared_ptr<Stream> stream;
  };
  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<Entry> entries;
};

class DeltaQueue::Stream final : public RequestStream, public std::enable_shared_from_this<Stream> {
 public:
  Stream(RequestId id, step::Submission submission, std::shared_ptr<Waiting> waiting)
      : id_(id), submission_(std::move(submission)), waiting_(std::move(waiting)) {}

  std::vector<step::Submission> start(Instant) override {
    std::vector<step::Submission> choices;
    choices.push_back(std::move(submission_));
    return choices;
  }
  Taken deliver(std::uint32_t, const step::TokenDelta& delta, Instant) override { return {.consumed = push(delta)}; }
  bool tick(Instant) override { return true; }
  void end(const gateway::RequestEnd& end, Instant) override { (void)push(end); }

  // Under the queue's lock: how many were read and not yet reported.
  std::size_t read = 0;

 private:
  std::size_t push(std::variant<step::TokenDelta, gateway::RequestEnd> what) {
    std::size_t reported = 0;
    {
      const std::scoped_lock lock(waiting_->mutex);
      waiting_->entries.push_back({{id_, std::move(what)}, shared_from_this()});
      reported = std::exchange(read, 0);
    }
    waiting_->arrived.notify_one();
    return reported;
  }

  const RequestId id_;
  step::Submission submission_;
  const std::shared_ptr<Waiting> waiting_;
};

DeltaQueue::DeltaQueue(ClusterClient& client, std::size_t credit)
    : client_(client), credit_(credit), waiting_(std::make_shared<Waiting>()) {
  HERD_CHECK(credit > 0, "a reader without credit hears nothing");
}

void DeltaQueue::submit(RequestId id, step::Submission submission) {
  gateway::GatewayRequest request;
  request.id = id;
  request.prompt_tokens = submission.prompt_tokens;
  request.output_tokens_max = submission.max_tokens;
  request.priority = submission.priority;
  request.deadline = Instant{std::numeric_limits<std::int64_t>::max()};
  request.credit = credit_;
  client_.submit(request, std::make_shared<Stream>(id, std::move(submission), waiting_));
}

std::optional<DeltaQueue::Heard> DeltaQueue::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(waiting_->mutex);
  if (!waiting_->arrived.wait_for(lock, timeout, [this] { return !waiting_->entries.empty(); })) return std::nullopt;
  Waiting::Entry entry = std::move(waiting_->entries.front());
  waiting_->entries.pop_front();
  // Most reports go with the next delta; a message of its own is sent before the credit could run out.
  std::size_t reported = 0;
  if (entry.heard.delta() != nullptr && ++entry.stream->read * 2 >= credit_) reported = std::exchange(entry.stream->read, 0);
  lock.unlock();
  if (reported > 0) client_.consumed(entry.heard.request, reported);
  return std::move(entry.heard);
}

}  // namespace herd::actors
