#pragma once
// Which code points have a property, by the tables of Unicode 16.0.0 (tools/unicode_tables.py) that are part of the program: no library of
// the system decides what a letter is.

#include <optional>
#include <string_view>

#include "runtime/unicode/code_point_set.h"

namespace herd::unicode {

// By name, as \p{…} and [:…:] spell it; case, spaces, '_' and '-' do not matter: general categories (L, Lu, Letter,
// Uppercase_Letter, LC), scripts (Han, Hani), POSIX brackets (Alpha, Alnum, Blank, Cntrl, Digit, Graph, Print, Punct, Space,
// XDigit, Word, ASCII), Alphabetic, White_Space, Any, Assigned. Nothing for a name that is none of these.
[[nodiscard]] std::optional<CodePointSet> property(std::string_view name);

[[nodiscard]] const CodePointSet& letters();       // \p{L}
[[nodiscard]] const CodePointSet& numbers();       // \p{N}
[[nodiscard]] const CodePointSet& words();         // \w: Alphabetic, marks, decimal digits, connectors
[[nodiscard]] const CodePointSet& white_space();   // \s
[[nodiscard]] const CodePointSet& decimal_digits();  // \d
[[nodiscard]] const CodePointSet& punctuation();   // \p{P}

}  // namespace herd::unicode
