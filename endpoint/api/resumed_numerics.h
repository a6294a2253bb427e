#pragma once
// Which replicas of a cluster may go on with a stream: those of the numerics that its event id names. Pure.

#include "cluster/routing/cluster_view.h"
#include "endpoint/access/event_id.h"
#include "endpoint/openai/api_error.h"

namespace herd::api {

// The numerics id in `view` that ends with the digits of the stream, of a replica that serves, or will where none of other numerics
// serves meanwhile. 503: those that have them do not serve now and others do, or it is not known yet whether a replica that will serve
// has them. 400: no replica that serves or will has them; both are in the text.
[[nodiscard]] openai::ApiExpected<routing::NumericsId> resumed_numerics(const routing::ClusterView& view,
                                                                        const access::NumericsDigits& stream);

}  // namespace herd::api
