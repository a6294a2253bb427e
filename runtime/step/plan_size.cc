#include "runtime/step/plan_size.h"

namespace herd::step {
namespace {

// The fixed fields of each struct, its list pointers, and the far pointers of lists that begin another segment.
constexpr std::uint64_t kPlanFields = 64;
constexpr std::uint64_t kSliceWords = 8;
constexpr std::uint64_t kReleasedWords = 1;
constexpr std::uint64_t kCopyWords = 2;
constexpr std::uint64_t kCopyLists = 6;
constexpr std::uint64_t kStartFields = 40;

// Lists of 4-byte numbers begin at a whole word.
constexpr std::uint64_t list_words(std::size_t numbers) { return (std::uint64_t{numbers} + 1) / 2; }

}  // namespace

std::uint64_t plan_words(std::size_t sequences) { return kPlanFields + sequences * (kSliceWords + kReleasedWords); }

std::uint64_t copies_words(std::size_t copies) { return kCopyLists + copies * kCopyWords; }

std::uint64_t start_words(std::size_t tokens, std::size_t blocks, const SamplingParams& sampling, std::size_t stop_ids) {
  return kStartFields + list_words(tokens) + list_words(blocks) + 1 + sampling.logit_bias.size() +
         list_words(sampling.stop_token_ids.size()) + list_words(stop_ids);
}

}  // namespace herd::step
