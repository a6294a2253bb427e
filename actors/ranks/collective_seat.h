#pragma once
// CollectiveSeat: the Collective that a rank's model and sampler hold for as long as the rank lives. Behind it sits the rank's
// member of the group it is in, another one in each generation. It says kCollective in the rank's
// progress word, and kHost when the member is through.

#include <memory>
#include <utility>

#include "kernels/collective.h"
#include "kernels/progress.h"

namespace herd::actors {

// Used by the rank's thread alone: whoever else gives a group up does it through its RankGroup.
class CollectiveSeat final : public Collective {
 public:
  CollectiveSeat(int rank, int size, std::shared_ptr<ProgressWord> progress)
      : rank_(rank), size_(size), progress_(std::move(progress)) {}

  void enter(std::shared_ptr<Collective> member) { member_ = std::move(member); }
  // From here on operations do nothing and status() is not ok.
  void leave() { member_.reset(); }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) override;
  void exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) override;
  void send(CollectiveName name, int to, const void* data, std::size_t bytes) override;
  void receive(CollectiveName name, int from, void* data, std::size_t bytes) override;
  void abort(const char* reason) override;
  [[nodiscard]] Status status() const override;

 private:
  template <class Work>
  void collective(Work work);

  const int rank_;
  const int size_;
  const std::shared_ptr<ProgressWord> progress_;
  std::shared_ptr<Collective> member_;
};

}  // namespace herd::actors
