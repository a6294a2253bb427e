#pragma once
// Python's two ways to put values into a text: "%s" % value and "{}".format(value). What a conversion makes of a text
// has that text's marks, the rest of the format its own; digits and padding are the template's.

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

// `values`: a tuple (one a conversion), a dict (for %(name)s), or one value. Conversions s, r, d, i, u, x, X, o, e, E, f,
// F, g, G and %.
[[nodiscard]] Value format_percent(Evaluation& evaluation, const TextPart& format, const Value& values);
// Fields {}, {0}, {name}, with .attribute and [item], !s and !r, and a format specification without fields in it.
[[nodiscard]] Value format_fields(Evaluation& evaluation, const TextPart& format, const Arguments& arguments);

// Where the odd one of the characters around a centered text goes: str.center() puts it on the left when the width is
// odd, a format always on the right.
enum class Align : std::uint8_t { kLeft, kRight, kCenter, kCenterOfFormat };
// `text` with characters `fill` around it until it has `width` characters.
void append_padded(Evaluation& evaluation, const TextPart& text, const TextPart& fill, Align align, std::int64_t width,
                   text::MarkedText& out);

}  // namespace herd::jinja
