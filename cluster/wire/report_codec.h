#pragma once
// Reports of processes and of the cluster (cluster/report/process_report.h) <-> the messages of schema/report.capnp. Decoding is
// validation: what comes out of decode passes validate, what goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/report/operator_orders.h"
#include "cluster/report/process_report.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::size_t kAccessDigestBytesMax = 33;  // two of 16 digits, and a slash
inline constexpr std::size_t kModelDigestBytesMax = 16;   // digits

[[nodiscard]] Status validate(const report::ProcessReports& reports);
[[nodiscard]] Status validate(const report::StatusAsk& ask);
[[nodiscard]] Status validate(const report::ClusterStatusReport& report);

[[nodiscard]] Frame encode(const report::ProcessReports& reports);
[[nodiscard]] Frame encode(const report::StatusAsk& ask);
[[nodiscard]] Frame encode(const report::ClusterStatusReport& report);

[[nodiscard]] Expected<report::ProcessReports> decode_process_reports(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::StatusAsk> decode_status_ask(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::ClusterStatusReport> decode_cluster_status(std::span<const std::uint64_t> words);

// Orders of an operator, and what comes of them (cluster/report/operator_orders.h). Every ReloadAsk is valid.
[[nodiscard]] Status validate(const report::DrainAsk& ask);
[[nodiscard]] Status validate(const report::ReloadAsk& ask);
[[nodiscard]] Status validate(const report::OrderAnswer& answer);
[[nodiscard]] Status validate(const report::ReloadPrepare& prepare);
[[nodiscard]] Status validate(const report::ReloadPrepared& prepared);
[[nodiscard]] Status validate(const report::ReloadDecision& decision);

[[nodiscard]] Frame encode(const report::DrainAsk& ask);
[[nodiscard]] Frame encode(const report::ReloadAsk& ask);
[[nodiscard]] Frame encode(const report::OrderAnswer& answer);
[[nodiscard]] Frame encode(const report::ReloadPrepare& prepare);
[[nodiscard]] Frame encode(const report::ReloadPrepared& prepared);
[[nodiscard]] Frame encode(const report::ReloadDecision& decision);

[[nodiscard]] Expected<report::DrainAsk> decode_drain_ask(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::ReloadAsk> decode_reload_ask(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::OrderAnswer> decode_order_answer(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::ReloadPrepare> decode_reload_prepare(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::ReloadPrepared> decode_reload_prepared(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<report::ReloadDecision> decode_reload_decision(std::span<const std::uint64_t> words);

}  // namespace herd::wire
