#pragma once
// Candidates of a row: the winner of several slices, the likeliest of all, and the draw among those that a request's
// filters keep. Pure.

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/ops.h"
#include "runtime/step/sampling_params.h"

namespace herd::sampling {

// Higher score, then lower id; anybody over nobody.
[[nodiscard]] bool better(const Candidate& a, const Candidate& b);

// Appends one slice's candidates, best first by (logit desc, id asc), to those of the slices before; nobody is left out.
void merge_candidates(std::vector<Candidate>& all, const Candidate* slice, std::size_t count);

// Whether top-k or top-p leave out some of `vocab_size` tokens.
[[nodiscard]] bool has_filters(const step::SamplingParams& params, std::int32_t vocab_size);
// As many of the likeliest as the filters can keep; at least 1.
[[nodiscard]] std::int32_t candidates_max(const step::SamplingParams& params, std::int32_t vocab_size);
// How many of them to look at before the whole row is; 0: none.
[[nodiscard]] std::int32_t candidates_first(const step::SamplingParams& params, std::int32_t vocab_size);

// min-p → top-k → top-p over the likeliest tokens `top`, best first, at most candidates_max of them, then the Gumbel draw
// among those kept (kernels/nucleus.h). `complete`: there are no more. None: the filters cannot tell without more of them. "Nobody"
// when none takes part.
[[nodiscard]] std::optional<Candidate> draw_filtered(const std::vector<Candidate>& top, bool complete,
                                                     const step::SamplingParams& params, const DrawKey& key);

}  // namespace herd::sampling
