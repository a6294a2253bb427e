#pragma once
// A source whose reading ends when nobody wants the weights any more.

#include <memory>
#include <stop_token>
#include <utility>

#include "runtime/model/weight_source.h"

namespace herd::model {

// Every read after a stop was requested is kAborted.
class StoppableSource final : public WeightSource {
 public:
  StoppableSource(std::shared_ptr<const WeightSource> source, std::stop_token stop)
      : source_(std::move(source)), stop_(std::move(stop)) {}

  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    return stop_.stop_requested() ? stopped() : source_->read_rows(name, row_begin, row_end, col_begin, col_end, out);
  }
  std::optional<WeightFormat> stored_format(std::string_view name) const override { return source_->stored_format(name); }
  Status read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                          std::int64_t col_end, void* out) const override {
    return stop_.stop_requested() ? stopped() : source_->read_stored_rows(name, row_begin, row_end, col_begin, col_end, out);
  }

 private:
  static Status stopped() { return {StatusCode::kAborted, "the weights were not needed any more"}; }

  const std::shared_ptr<const WeightSource> source_;
  const std::stop_token stop_;
};

}  // namespace herd::model
