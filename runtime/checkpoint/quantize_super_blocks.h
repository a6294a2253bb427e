#pragma once
// Super-blocks of q4_k, q5_k and q6_k from floats. The scales of a group are searched for as ggml's reference quantisers do: the one with
// the least (weighted) square error among some near the obvious one. Sums are float64, one rounding an operation, in the order of
// the elements, so that every machine and float mode makes the same bytes.

#include <cstddef>

namespace herd::model {

// 256 finite floats to 144, 176 and 210 bytes. A block whose magnitudes stay below 2^-50 stands for zeros.
void quantize_block_q4_k(const float* x, std::byte* out);
void quantize_block_q5_k(const float* x, std::byte* out);
void quantize_block_q6_k(const float* x, std::byte* out);

}  // namespace herd::model
