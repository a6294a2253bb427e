#pragma once
// Upper and title case of single code points, which may be several (Unicode's full mappings without a language: ß is SS in
// upper and Ss in title case), and the two properties that tell which sigma ends a word.

#include <string>

namespace herd::unicode {

// Append the case of `point`: at most three code points.
void append_upper_case(char32_t point, std::u32string& out);
void append_title_case(char32_t point, std::u32string& out);

[[nodiscard]] bool is_cased(char32_t point);           // Cased: a letter with case
[[nodiscard]] bool is_case_ignorable(char32_t point);  // Case_Ignorable: it may stand inside a word

}  // namespace herd::unicode
