#pragma once
// Which replicas of a cluster may go on with a stream: those of the numerics that its event id names. Pure.

#include "cluster/routing/cluster_view.h"
#include "endpoint/access/event_id.h"
#include "endpoint/openai/api_error.h"

namespace herd::api {

// The numerics id in `view` that ends with the digits of the stream. 400: no replica of the cluster has them, with both in the text;
// 503: it is not known yet, as a replica that is being made may have them.
[[nodiscard]] openai::ApiExpected<routing::NumericsId> resumed_numerics(const routing::ClusterView& view,
                                                                        const access::NumericsDigits& stream);

}  // namespace herd::api
