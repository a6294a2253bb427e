#include "runtime/regex/program.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace herd::regex {
namespace {

using Kind = Node::Kind;
using Op = Instruction::Op;

constexpr std::size_t kEmittedMax = 8 * kInstructionsMax;  // nodes that need no instruction must not repeat for ever

// How many code points every match of the node has; nothing when they differ.
std::optional<std::uint32_t> fixed_length(const Node& node) {
  switch (node.kind) {
    case Kind::kSet:
      return 1;
    case Kind::kSequence: {
      std::uint32_t sum = 0;
      for (const Node& child : node.children) {
        const auto length = fixed_length(child);
        if (!length) return std::nullopt;
        sum += *length;
      }
      return sum;
    }
    case Kind::kAlternatives: {
      const auto length = fixed_length(node.children.front());
      for (const Node& child : node.children) {
        if (!length || fixed_length(child) != length) return std::nullopt;
      }
      return length;
    }
    case Kind::kRepeat: {
      const auto length = fixed_length(node.children.front());
      if (!length || (*length != 0 && node.minimum != node.maximum)) return std::nullopt;
      return *length * node.minimum;
    }
    case Kind::kAtomic:
      return fixed_length(node.children.front());
    default:
      return 0;
  }
}

// What a match of a node can begin with.
struct First {
  ClassSet set;
  bool may_be_empty = true;
};

class Compiler {
 public:
  Expected<Program> compile(const Node& pattern) {
    collect_sets(pattern);
    if (Status status = classify(); !status.ok()) return fail(std::move(status));
    if (Status status = emit(pattern); !status.ok()) return fail(std::move(status));
    (void)add({.op = Op::kDone});
    const First first = first_of(pattern);
    program_.first = first.set;
    program_.matches_nothing = first.may_be_empty;
    return std::move(program_);
  }

 private:
  void collect_sets(const Node& node);
  Status classify();
  [[nodiscard]] std::uint16_t set_index(const Node& node) const;
  [[nodiscard]] First first_of(const Node& node) const;

  std::uint32_t add(Instruction instruction) {
    program_.instructions.push_back(instruction);
    return here() - 1;
  }
  [[nodiscard]] std::uint32_t here() const { return static_cast<std::uint32_t>(program_.instructions.size()); }
  void aim(std::uint32_t instruction) { program_.instructions[instruction].target = here(); }
  std::uint16_t add_set(const ClassSet& set);

  Status emit(const Node& node);
  Status emit_alternatives(const Node& node);
  Status emit_repeat(const Node& node);
  Status emit_turns(const Node& node);  // of a repeat, greedy unless it is lazy
  Status emit_loop(const Node& node);
  Status emit_look(const Node& node);
  Status emit_part(const Node& node, Instruction before);  // with kDone behind it

  Program program_;
  std::vector<unicode::CodePointSet> sets_;  // program_.sets has the same order, then those of kSkipUnless
  std::size_t emitted_ = 0;                  // nodes, each as often as it repeats
};

void Compiler::collect_sets(const Node& node) {
  if (node.kind == Kind::kSet && std::find(sets_.begin(), sets_.end(), node.set) == sets_.end()) sets_.push_back(node.set);
  for (const Node& child : node.children) collect_sets(child);
}

std::uint16_t Compiler::set_index(const Node& node) const {
  return static_cast<std::uint16_t>(std::find(sets_.begin(), sets_.end(), node.set) - sets_.begin());
}

// Sweeps over all borders of all sets; the sets that hold a stretch between two borders are its class.
Status Compiler::classify() {
  constexpr std::size_t kSetsMax = 4096;
  if (sets_.size() > kSetsMax) return bad_input("regular expression: too many different sets");
  std::vector<std::pair<char32_t, std::size_t>> borders;  // where set number … begins or ends
  for (std::size_t i = 0; i < sets_.size(); ++i) {
    for (const unicode::CodePointRange& range : sets_[i].ranges()) {
      borders.emplace_back(range.first, i);
      borders.emplace_back(range.last + 1, i);
    }
  }
  std::sort(borders.begin(), borders.end());
  program_.class_of.assign(unicode::kCodePointMax + 1, 0);
  program_.sets.assign(sets_.size(), {});
  std::vector<bool> inside(sets_.size(), false);
  std::map<std::vector<bool>, std::uint8_t> classes = {{inside, 0}};
  for (auto border = borders.begin(); border != borders.end();) {
    const char32_t begin = border->first;
    for (; border != borders.end() && border->first == begin; ++border) inside[border->second] = !inside[border->second];
    const char32_t end = border == borders.end() ? unicode::kCodePointMax + 1 : border->first;
    if (begin >= end) continue;
    if (classes.size() == 256 && !classes.contains(inside)) {
      return bad_input("regular expression: tells more than 256 kinds of characters apart");
    }
    const std::uint8_t own = classes.emplace(inside, static_cast<std::uint8_t>(classes.size())).first->second;
    std::fill(program_.class_of.begin() + begin, program_.class_of.begin() + end, own);
  }
  for (const auto& [sets, own] : classes) {
    for (std::size_t i = 0; i < sets.size(); ++i) {
      if (sets[i]) program_.sets[i].add(own);
    }
  }
  return {};
}

std::uint16_t Compiler::add_set(const ClassSet& set) {
  const auto found = std::find(program_.sets.begin(), program_.sets.end(), set);
  if (found != program_.sets.end()) return static_cast<std::uint16_t>(found - program_.sets.begin());
  program_.sets.push_back(set);
  return static_cast<std::uint16_t>(program_.sets.size() - 1);
}

First Compiler::first_of(const Node& node) const {
  First first;
  switch (node.kind) {
    case Kind::kSet:
      return {program_.sets[set_index(node)], false};
    case Kind::kSequence:
      for (const Node& child : node.children) {
        const First next = first_of(child);
        first.set.unite(next.set);
        if (!next.may_be_empty) return {first.set, false};
      }
      return first;
    case Kind::kAlternatives:
      first.may_be_empty = false;
      for (const Node& child : node.children) {
        const First next = first_of(child);
        first.set.unite(next.set);
        first.may_be_empty = first.may_be_empty || next.may_be_empty;
      }
      return first;
    case Kind::kRepeat:
      first = first_of(node.children.front());
      first.may_be_empty = first.may_be_empty || node.minimum == 0;
      return first;
    case Kind::kAtomic:
      return first_of(node.children.front());
    default:
      return first;
  }
}

Status Compiler::emit(const Node& node) {
  if (here() > kInstructionsMax || ++emitted_ > kEmittedMax) return bad_input("regular expression: too large");
  switch (node.kind) {
    case Kind::kEmpty:
      return {};
    case Kind::kSet:
      (void)add({.op = Op::kSet, .set = set_index(node)});
      return {};
    case Kind::kSequence:
      for (const Node& child : node.children) {
        if (Status status = emit(child); !status.ok()) return status;
      }
      return {};
    case Kind::kAlternatives:
      return emit_alternatives(node);
    case Kind::kRepeat:
      return emit_repeat(node);
    case Kind::kLookAhead:
    case Kind::kLookBehind:
      return emit_look(node);
    case Kind::kAtomic:
      return emit_part(node.children.front(), {.op = Op::kAtomic});
    case Kind::kTextBegin:
      (void)add({.op = Op::kTextBegin});
      return {};
    case Kind::kTextEnd:
      (void)add({.op = Op::kTextEnd});
      return {};
  }
  return {};
}

// Every alternative but the last is tried only where the next class can begin it.
Status Compiler::emit_alternatives(const Node& node) {
  std::vector<std::uint32_t> jumps;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const Node& child = node.children[i];
    const bool last = i + 1 == node.children.size();
    std::optional<std::uint32_t> skip;
    std::uint32_t fork = 0;
    if (!last) {
      const First first = first_of(child);
      if (!first.may_be_empty) skip = add({.op = Op::kSkipUnless, .set = add_set(first.set)});
      fork = add({.op = Op::kFork});
    }
    if (Status status = emit(child); !status.ok()) return status;
    if (last) break;
    jumps.push_back(add({.op = Op::kJump}));
    aim(fork);
    if (skip) aim(*skip);
  }
  for (const std::uint32_t jump : jumps) aim(jump);
  return {};
}

Status Compiler::emit_repeat(const Node& node) {
  const Node& body = node.children.front();
  if (body.kind == Kind::kSet) {
    (void)add({.op = Op::kRepeatSet, .greed = node.greed, .minimum = node.minimum, .maximum = node.maximum, .set = set_index(body)});
    return {};
  }
  if (node.greed != Node::Greed::kPossessive) return emit_turns(node);
  const std::uint32_t begin = add({.op = Op::kAtomic});
  if (Status status = emit_turns(node); !status.ok()) return status;
  (void)add({.op = Op::kDone});
  aim(begin);
  return {};
}

Status Compiler::emit_turns(const Node& node) {
  const Node& body = node.children.front();
  for (std::uint32_t i = 0; i < node.minimum; ++i) {
    if (Status status = emit(body); !status.ok()) return status;
  }
  if (node.maximum == kNoMaximum) return emit_loop(node);
  const Op fork = node.greed == Node::Greed::kLazy ? Op::kForkLater : Op::kFork;
  std::vector<std::uint32_t> forks;
  for (std::uint32_t i = node.minimum; i < node.maximum; ++i) {
    forks.push_back(add({.op = fork}));
    if (Status status = emit(body); !status.ok()) return status;
  }
  for (const std::uint32_t each : forks) aim(each);
  return {};
}

Status Compiler::emit_loop(const Node& node) {
  const Node& body = node.children.front();
  const First first = first_of(body);
  const std::uint32_t begin = here();
  std::optional<std::uint32_t> skip;
  if (!first.may_be_empty) skip = add({.op = Op::kSkipUnless, .set = add_set(first.set)});
  const std::uint32_t fork = add({.op = node.greed == Node::Greed::kLazy ? Op::kForkLater : Op::kFork});
  const std::uint32_t position = program_.registers;
  if (first.may_be_empty) {
    ++program_.registers;
    (void)add({.op = Op::kRemember, .target = position});
  }
  if (Status status = emit(body); !status.ok()) return status;
  std::optional<std::uint32_t> leave;
  if (first.may_be_empty) leave = add({.op = Op::kLeaveIfStill, .minimum = position});
  (void)add({.op = Op::kJump, .target = begin});
  aim(fork);
  if (skip) aim(*skip);
  if (leave) aim(*leave);
  return {};
}

Status Compiler::emit_look(const Node& node) {
  const Node& inside = node.children.front();
  const bool behind = node.kind == Kind::kLookBehind;
  if (inside.kind == Kind::kSet) {
    (void)add({.op = behind ? Op::kBehindSet : Op::kAheadSet, .negative = node.negative, .set = set_index(inside)});
    return {};
  }
  if (!behind) return emit_part(inside, {.op = Op::kLook, .negative = node.negative});
  if (const auto length = fixed_length(inside)) {
    return emit_part(inside, {.op = Op::kLook, .negative = node.negative, .minimum = *length});
  }
  if (inside.kind != Kind::kAlternatives) return bad_input("regular expression: a look-behind has no fixed length");
  // Alternatives of different lengths: one look each, all of which must fail when the look is negative.
  Node each;
  each.kind = node.negative ? Kind::kSequence : Kind::kAlternatives;
  for (const Node& alternative : inside.children) {
    Node look;
    look.kind = Kind::kLookBehind;
    look.negative = node.negative;
    look.children.push_back(alternative);
    if (!fixed_length(alternative)) return bad_input("regular expression: a look-behind has no fixed length");
    each.children.push_back(std::move(look));
  }
  return emit(each);
}

Status Compiler::emit_part(const Node& node, Instruction before) {
  const std::uint32_t begin = add(before);
  if (Status status = emit(node); !status.ok()) return status;
  (void)add({.op = Op::kDone});
  aim(begin);
  return {};
}

}  // namespace

Expected<Program> compile(const Node& pattern) { return Compiler().compile(pattern); }

}  // namespace herd::regex
