#pragma once
// The depth of an evaluation, counted by the objects on its stack. For the two files of Evaluator only.

#include "endpoint/jinja/evaluator.h"

namespace herd::jinja {

class Evaluator::Depth {
 public:
  explicit Depth(Evaluator& evaluator) : evaluator_(evaluator) {
    if (++evaluator_.depth_ > evaluator_.limits_.depth_max) evaluator_.evaluation_.refuse("the template nests too deeply");
  }
  ~Depth() { --evaluator_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  Evaluator& evaluator_;
};

}  // namespace herd::jinja
