#pragma once
// BorderSearch: where the head of a row ends that top-k and top-p keep (kernels/nucleus.h), found by sums over bins of the whole
// row and then from the few logits in the bins where the border can lie. Nothing is sorted but a handful. What it
// is given is the same on all ranks, so all find the same.

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/nucleus.h"
#include "kernels/ops.h"
#include "runtime/step/sampling_params.h"

namespace herd::sampling {

// Kept: logits above `logit`, and of those equal to it the first `equals` by id.
struct Border {
  float logit = -std::numeric_limits<float>::infinity();
  std::uint64_t equals = 0;
};

class BorderSearch {
 public:
  // params: a temperature above 0. range: of the whole row after the edits.
  BorderSearch(const step::SamplingParams& params, const LogitRange& range);

  // Whether some column takes part. Only then may the rest be asked.
  [[nodiscard]] bool anybody() const { return anybody_; }
  // How to weigh() and select(): its floor is min-p's, or higher where nobody below could win.
  [[nodiscard]] const NucleusScale& scale() const { return scale_; }

  // bins [kNucleusBins]: of the whole row. Whether a border must be looked for, in bins [first(), last()].
  bool weigh(const NucleusBin* bins);
  [[nodiscard]] std::int32_t first() const { return first_; }
  [[nodiscard]] std::int32_t last() const { return last_; }

  // logits: those of the whole row in these bins, in any order.
  [[nodiscard]] Border find(Ops& ops, std::vector<float> logits) const;

 private:
  enum class Measure { kColumns, kWeight };
  struct Head {
    Border border;
    std::uint64_t weight = 0;
  };
  [[nodiscard]] Head shortest(Ops& ops, std::vector<float> logits, Measure measure, std::uint64_t goal) const;
  void take(float logit, std::uint64_t columns, Measure measure, std::uint64_t& goal, Head& head) const;
  [[nodiscard]] bool narrow(Ops& ops, std::vector<float>& logits, Measure measure, std::uint64_t& goal, Head& head) const;
  void sum_before_first(const NucleusBin* bins);

  const float top_p_;
  const std::int32_t top_k_;
  bool anybody_ = false;
  NucleusScale scale_{};
  std::uint64_t k_ = 0;        // 0: top-k leaves out nobody
  std::uint64_t total_ = 0;    // weight of what is left without top-k
  std::int32_t first_ = 0, last_ = 0;
  NucleusBin before_{};        // sums of the bins before first_
};

}  // namespace herd::sampling
