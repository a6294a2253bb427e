#include "kernels/check.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace herd {
namespace {

struct OperandText {
  char text[40];
};

OperandText text_of(const CheckOperand& operand) {
  OperandText out{"?"};
  switch (operand.kind) {
    case CheckOperand::Kind::kUnknown:
      break;
    case CheckOperand::Kind::kBool:
      std::snprintf(out.text, sizeof out.text, "%s", operand.number != 0 ? "true" : "false");
      break;
    case CheckOperand::Kind::kSigned:
      std::snprintf(out.text, sizeof out.text, "%" PRId64, operand.integer);
      break;
    case CheckOperand::Kind::kUnsigned:
      std::snprintf(out.text, sizeof out.text, "%" PRIu64, operand.number);
      break;
    case CheckOperand::Kind::kFloat:
      std::snprintf(out.text, sizeof out.text, "%.9g", operand.real);
      break;
    case CheckOperand::Kind::kPointer:
      if (operand.pointer == nullptr) return {"nullptr"};
      std::snprintf(out.text, sizeof out.text, "%p", operand.pointer);
      break;
  }
  return out;
}

}  // namespace

void check_failed(const char* file, int line, const char* condition, const char* message) {
  std::fprintf(stderr, "herd: broken invariant at %s:%d: %s: %s\n", file, line, condition, message);
  std::abort();
}

void check_failed(const char* file, int line, const char* condition, const CheckOperands& operands,
                  const char* message) {
  if (operands.comparison == nullptr) check_failed(file, line, condition, message);
  std::fprintf(stderr, "herd: broken invariant at %s:%d: %s (%s %s %s): %s\n", file, line, condition,
               text_of(operands.left).text, operands.comparison, text_of(operands.right).text, message);
  std::abort();
}

}  // namespace herd
