#include "runtime/regex/pattern.h"

#include <algorithm>
#include <utility>

#include "runtime/regex/parser.h"
#include "runtime/regex/program.h"
#include "runtime/text/utf8.h"

namespace herd::regex {
namespace {

using Op = Instruction::Op;

constexpr std::size_t kStackMax = 1U << 22;  // frames, 24 bytes each

// Of the character that begins with this byte of valid UTF-8.
std::size_t size_of_character(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

Expected<Pattern> Pattern::compile(std::string_view source) {
  auto tree = parse(source);
  if (!tree) return fail(tree.error());
  auto program = regex::compile(*tree);
  if (!program) return fail(program.error());
  return Pattern(std::make_shared<const Program>(std::move(*program)));
}

// Patterns of the Llama family take about ten steps a byte; a long list of alternatives takes two each.
std::uint64_t Pattern::steps_for(std::size_t bytes) const {
  const std::uint64_t each = std::min<std::uint64_t>(256 + 2 * program_->instructions.size(), 4096);
  return each * (bytes + 16);
}

bool Pattern::matches_nothing() const { return program_->matches_nothing; }

void Search::begin(const Pattern& pattern, std::string_view text) {
  program_ = &pattern.program();
  text_ = text;
  out_of_steps_ = false;
  from_ = 0;
  last_end_.reset();
  known_character_ = 0;
  known_byte_ = 0;
  registers_.assign(program_->registers, 0);
  stack_.clear();
  classes_.clear();
  classes_.reserve(text.size());
  const std::uint8_t* class_of = program_->class_of.data();
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      classes_.push_back(class_of[byte]);
      ++i;
      continue;
    }
    const text::CodePoint next = text::first_code_point(text.substr(i));
    classes_.push_back(class_of[next.value]);
    i += next.size;
  }
}

std::optional<Match> Search::next(std::uint64_t& steps) {
  steps_ = steps;
  const auto found = find();
  steps = steps_;
  return found;
}

std::optional<Match> Search::find() {
  while (from_ <= classes_.size() && !out_of_steps_) {
    std::size_t start = from_;
    if (!program_->matches_nothing) {
      while (start < classes_.size() && !program_->first.has(classes_[start])) ++start;
      if (start == classes_.size()) break;
    }
    const auto end = run(0, start);
    if (!end) {
      from_ = after_failure(start);
      continue;
    }
    if (*end == start && last_end_ == start) {
      from_ = start + 1;
      continue;
    }
    from_ = *end;
    last_end_ = *end;
    const std::size_t begin_byte = byte_of(start);
    return Match{begin_byte, byte_of(*end)};
  }
  from_ = classes_.size() + 1;
  return std::nullopt;
}

// Where the search goes on that found nothing at `start`. A pattern that begins with an endless repeat of a set has tried
// its rest at every place of the run, and from a later place in the run it would try some of these places again.
std::size_t Search::after_failure(std::size_t start) const {
  const Instruction& first = program_->instructions.front();
  if (first.op != Op::kRepeatSet || first.maximum != kNoMaximum) return start + 1;
  std::size_t end = start;
  while (end < classes_.size() && program_->sets[first.set].has(classes_[end])) ++end;
  return std::max(end, start + 1);
}

// Only forwards: matches come in ascending order.
std::size_t Search::byte_of(std::size_t character) {
  if (classes_.size() == text_.size()) return character;  // all of it ASCII
  for (; known_character_ < character; ++known_character_) known_byte_ += size_of_character(text_[known_byte_]);
  return known_byte_;
}

// The end of the first match of the part that begins with `instruction`.
std::optional<std::size_t> Search::run(std::uint32_t instruction, std::size_t position) {
  const std::size_t base = stack_.size();
  const Instruction* code = program_->instructions.data();
  const ClassSet* sets = program_->sets.data();
  while (true) {
    if (steps_ == 0 || stack_.size() > kStackMax) {
      out_of_steps_ = true;
      return std::nullopt;
    }
    --steps_;
    const Instruction& now = code[instruction];
    const auto comes = [&] { return position < classes_.size() && sets[now.set].has(classes_[position]); };
    bool goes_on = true;
    switch (now.op) {
      case Op::kSet:
        goes_on = comes();
        ++position;
        ++instruction;
        break;
      case Op::kRepeatSet:
        goes_on = repeat_set(instruction, position);
        ++instruction;
        break;
      case Op::kJump:
        instruction = now.target;
        break;
      case Op::kFork:
        stack_.push_back({Frame::Kind::kResume, now.target, position, 0});
        ++instruction;
        break;
      case Op::kForkLater:
        stack_.push_back({Frame::Kind::kResume, instruction + 1, position, 0});
        instruction = now.target;
        break;
      case Op::kSkipUnless:
        instruction = comes() ? instruction + 1 : now.target;
        break;
      case Op::kAheadSet:
        goes_on = comes() != now.negative;
        ++instruction;
        break;
      case Op::kBehindSet:
        goes_on = (position > 0 && sets[now.set].has(classes_[position - 1])) != now.negative;
        ++instruction;
        break;
      case Op::kLook:
        goes_on = look(instruction, position);
        instruction = now.target;
        break;
      case Op::kAtomic: {
        const auto end = run(instruction + 1, position);
        goes_on = end.has_value();
        position = end.value_or(position);
        instruction = now.target;
        break;
      }
      case Op::kRemember:
        stack_.push_back({Frame::Kind::kRestore, now.target, registers_[now.target], 0});
        registers_[now.target] = position;
        ++instruction;
        break;
      case Op::kLeaveIfStill:
        instruction = registers_[now.minimum] == position ? now.target : instruction + 1;
        break;
      case Op::kTextBegin:
        goes_on = position == 0;
        ++instruction;
        break;
      case Op::kTextEnd:
        goes_on = position == classes_.size();
        ++instruction;
        break;
      case Op::kDone:
        stack_.resize(base);
        return position;
    }
    if (out_of_steps_) return std::nullopt;
    if (!goes_on && !backtrack(base, instruction, position)) return std::nullopt;
  }
}

// To the choice made last that is still open; false: none is.
bool Search::backtrack(std::size_t base, std::uint32_t& instruction, std::size_t& position) {
  while (stack_.size() > base) {
    Frame& frame = stack_.back();
    switch (frame.kind) {
      case Frame::Kind::kResume:
        instruction = frame.instruction;
        position = frame.position;
        stack_.pop_back();
        return true;
      case Frame::Kind::kShorter:
        instruction = frame.instruction;
        position = --frame.position;
        if (position == frame.bound) stack_.pop_back();
        return true;
      case Frame::Kind::kLonger: {
        const Instruction& repeat = program_->instructions[frame.instruction - 1];
        if (frame.position >= frame.bound || !program_->sets[repeat.set].has(classes_[frame.position])) {
          stack_.pop_back();
          break;
        }
        instruction = frame.instruction;
        position = ++frame.position;
        return true;
      }
      case Frame::Kind::kRestore:
        registers_[frame.instruction] = frame.position;
        stack_.pop_back();
        break;
    }
  }
  return false;
}

bool Search::repeat_set(std::uint32_t instruction, std::size_t& position) {
  const Instruction& repeat = program_->instructions[instruction];
  const ClassSet set = program_->sets[repeat.set];
  const std::size_t left = classes_.size() - position;
  if (left < repeat.minimum) return false;
  const std::size_t most = std::min<std::size_t>(left, repeat.maximum);
  const bool lazy = repeat.greed == Node::Greed::kLazy;
  const std::size_t wanted = lazy ? repeat.minimum : most;
  const std::size_t begin = position;
  while (position < begin + wanted && set.has(classes_[position])) ++position;
  const std::size_t taken = position - begin;
  steps_ -= std::min<std::uint64_t>(steps_, taken / 8);  // far cheaper each than an instruction
  if (taken < repeat.minimum) return false;
  if (lazy && most > taken) {
    stack_.push_back({Frame::Kind::kLonger, instruction + 1, position, begin + most});
  } else if (repeat.greed == Node::Greed::kGreedy && taken > repeat.minimum) {
    stack_.push_back({Frame::Kind::kShorter, instruction + 1, position, begin + repeat.minimum});
  }
  return true;
}

bool Search::look(std::uint32_t instruction, std::size_t position) {
  const Instruction& look = program_->instructions[instruction];
  if (position < look.minimum) return look.negative;
  return run(instruction + 1, position - look.minimum).has_value() != look.negative;
}

}  // namespace herd::regex
