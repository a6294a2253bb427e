#pragma once
// The tree of a template. Plain structs, built once by the parser, read by every rendering.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "endpoint/jinja/value.h"

namespace herd::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

enum class Operator : std::uint8_t {
  kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower,
  kEqual, kUnequal, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn
};

struct Expression {
  enum class Kind : std::uint8_t {
    kConstant,     // constant
    kName,         // name
    kList,         // operands
    kTuple,        // operands
    kDict,         // operands: key, value, key, value, …
    kAttribute,    // operands[0] . name
    kItem,         // operands[0] [ operands[1] ]
    kSlice,        // operands[0] [ operands[1] : operands[2] : operands[3] ], each but the first may be null
    kCall,         // operands[0] ( operands[1…], named )
    kFilter,       // operands[0] | name ( operands[1…], named )
    kTest,         // operands[0] is name ( operands[1…], named )
    kNegate,       // - operands[0]
    kPlus,         // + operands[0]
    kNot,          // not operands[0]
    kAnd,          // operands[0] and operands[1]
    kOr,           // operands[0] or operands[1]
    kArithmetic,   // operands[0] operators[0] operands[1]
    kCompare,      // operands[0] operators[0] operands[1] operators[1] operands[2] …
    kConcatenate,  // operands, ~ between them
    kConditional,  // operands[0] if operands[1] else operands[2], which may be null
  };
  Kind kind = Kind::kConstant;
  int line = 1;
  int depth = 1;
  Value constant;
  std::string name;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<Operator> operators;
  ExpressionPtr starred;         // of kCall, kFilter, kTest: *list, or null
  ExpressionPtr double_starred;  // **dict, or null
};

// Where a value goes: one name, several (the value is unpacked), or name.attribute of a namespace.
struct Target {
  std::vector<std::string> names;
  bool unpacks = false;
  std::string attribute;
};

struct Statement;
using Body = std::vector<std::unique_ptr<const Statement>>;

struct Statement {
  enum class Kind : std::uint8_t {
    kText,         // text
    kOutput,       // expressions, one behind the other
    kIf,           // branches
    kFor,          // target, expressions[0]: what is walked, expressions[1]: the filter or null, body, otherwise
    kSet,          // target, expressions[0]
    kSetBlock,     // target, body, and a filter: expressions[0] with the placeholder "" as its innermost operand
    kMacro,        // text: its name; target.names: parameters; expressions: defaults of the last of them; body; uses_…
    kCall,         // expressions[0]: a kCall; body[0]: the kMacro that it is given as `caller`
    kWith,         // with_names, expressions, body
    kFilterBlock,  // expressions[0] as in kSetBlock, body
    kGeneration,   // body
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  int line = 1;
  std::string text;
  Target target;
  std::vector<ExpressionPtr> expressions;
  std::vector<std::pair<ExpressionPtr, Body>> branches;  // condition (null: else) and what it guards
  std::vector<std::string> with_names;
  Body body;
  Body otherwise;
  bool recursive = false;  // of kFor: its `loop` may be called
  // Of kMacro: what its body reads beside its parameters, and so may be given.
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

}  // namespace herd::jinja
