#pragma once
// What happens to a text before it is cut into pieces: the steps of a definition, one after the other. Every byte of the
// result remembers whether any byte it was made from is foreign.

#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/regex/pattern.h"
#include "runtime/text/marked_text.h"
#include "runtime/tokenizer/charsmap.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

// Immutable; apply() may run on any number of threads.
class Normalizer {
 public:
  Normalizer() = default;  // changes nothing
  // kBadInput: a pattern that does not compile, a map of characters that is none, steps that together may make a text more
  // than kGrowthMax times as long.
  [[nodiscard]] static Expected<Normalizer> build(const std::vector<NormalizerStep>& steps);

  [[nodiscard]] bool empty() const { return steps_.empty(); }
  // `text` is valid UTF-8; so is the result.
  [[nodiscard]] text::MarkedText apply(text::MarkedText text) const;

  static constexpr double kGrowthMax = 4096.0;  // of a definition that is used: 100

 private:
  struct Step {
    NormalizerStep rule;
    std::vector<regex::Pattern> pattern;  // one of kReplace with a regular expression
    Charsmap charsmap;                    // of kPrecompiled
  };

  static text::MarkedText apply(const Step& step, text::MarkedText text);
  [[nodiscard]] static double growth_of(const Step& step);

  std::vector<Step> steps_;
};

}  // namespace herd::tokenizer
