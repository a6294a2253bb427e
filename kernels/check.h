#pragma once
// HERD_CHECK: an invariant of our own code. On in every build; prints the condition, the two operands of the comparison
// that failed and a message, then ends the process. Never used for anything a user, file or peer can cause.
//
// The operands are taken apart by an operator, as Catch2 and doctest do: `Decomposer << a < b` groups as
// `(Decomposer << a) < b`. A condition is evaluated once, && and || keep their short circuit, and values are looked at
// after the comparison has failed. In a chain of && or || only the first comparison can be seen.

#include <cstdint>
#include <type_traits>

namespace herd {

// One operand as a message shows it. Anything but numbers, enumerators, pointers and ids prints as "?".
struct CheckOperand {
  enum class Kind : std::uint8_t { kUnknown, kBool, kSigned, kUnsigned, kFloat, kPointer };
  Kind kind;
  union {
    std::int64_t integer;  // kSigned
    std::uint64_t number;  // kBool, kUnsigned
    double real;           // kFloat
    const void* pointer;   // kPointer
  };
};

// What a failed comparison compared. `comparison` is null until then; the rest is not written before either.
struct CheckOperands {
  const char* comparison = nullptr;  // "<", "==", …
  CheckOperand left;
  CheckOperand right;
};

// Print to stderr and abort: "herd: broken invariant at FILE:LINE: CONDITION (LEFT < RIGHT): MESSAGE".
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const CheckOperands& operands,
                               const char* message);

namespace checks {

template <typename T>
[[gnu::always_inline]] constexpr CheckOperand shown(const T& value) {
  CheckOperand out{};
  if constexpr (std::is_same_v<T, bool>) {
    out.kind = CheckOperand::Kind::kBool;
    out.number = value ? 1 : 0;
  } else if constexpr (std::is_enum_v<T>) {
    return shown(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    out.kind = CheckOperand::Kind::kSigned;
    out.integer = value;
  } else if constexpr (std::is_integral_v<T>) {
    out.kind = CheckOperand::Kind::kUnsigned;
    out.number = value;
  } else if constexpr (std::is_floating_point_v<T>) {
    out.kind = CheckOperand::Kind::kFloat;
    out.real = static_cast<double>(value);
  } else if constexpr (std::is_null_pointer_v<T>) {
    out.kind = CheckOperand::Kind::kPointer;
  } else if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) {
    out.kind = CheckOperand::Kind::kPointer;
    out.pointer = const_cast<const void*>(static_cast<const volatile void*>(value));
  } else if constexpr (requires { requires std::is_arithmetic_v<std::remove_cvref_t<decltype(value.value)>>; }) {
    return shown(value.value);  // a strong id (runtime/ids.h)
  }
  return out;
}

template <typename L, typename R>
struct Comparison {
  const L& left;
  const R& right;
  const char* name;
  bool holds;
  CheckOperands& operands;

  [[gnu::always_inline]] constexpr explicit operator bool() const {
    if (!holds) [[unlikely]]
      operands = {name, shown(left), shown(right)};
    return holds;
  }
};

// A condition's leftmost operand: the whole condition where no comparison follows.
template <typename L>
struct LeftOperand {
  const L& left;
  CheckOperands& operands;

  [[gnu::always_inline]] constexpr explicit operator bool() const { return static_cast<bool>(left); }

// Literals are ints: `size > 0` is no comparison of signs when it stands at the call, but would be one in here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#define HERD_CHECK_COMPARISON(op)                                                       \
  template <typename R>                                                                 \
  [[gnu::always_inline]] constexpr Comparison<L, R> operator op(const R& right) const { \
    return {left, right, #op, static_cast<bool>(left op right), operands};              \
  }
  HERD_CHECK_COMPARISON(==)
  HERD_CHECK_COMPARISON(!=)
  HERD_CHECK_COMPARISON(<)
  HERD_CHECK_COMPARISON(<=)
  HERD_CHECK_COMPARISON(>)
  HERD_CHECK_COMPARISON(>=)
#undef HERD_CHECK_COMPARISON
#pragma GCC diagnostic pop
};

struct Decomposer {
  CheckOperands& operands;

  template <typename L>
  [[gnu::always_inline]] constexpr LeftOperand<L> operator<<(const L& left) const {
    return {left, operands};
  }
};

}  // namespace checks
}  // namespace herd

#ifdef __clang__  // it takes `a << b < c` for a slip
#define HERD_CHECK_QUIET \
  _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Woverloaded-shift-op-parentheses\"")
#define HERD_CHECK_LOUD _Pragma("clang diagnostic pop")
#else
#define HERD_CHECK_QUIET
#define HERD_CHECK_LOUD
#endif

#define HERD_CHECK(condition, message)                                                    \
  do {                                                                                    \
    ::herd::CheckOperands herd_check_operands;                                            \
    HERD_CHECK_QUIET                                                                      \
    if (!(::herd::checks::Decomposer{herd_check_operands} << condition)) [[unlikely]]     \
      ::herd::check_failed(__FILE__, __LINE__, #condition, herd_check_operands, message); \
    HERD_CHECK_LOUD                                                                       \
  } while (false)

// For a place that no path reaches, such as behind a switch over every enumerator.
#define HERD_UNREACHABLE(message) ::herd::check_failed(__FILE__, __LINE__, "a place that is not reached", message)
