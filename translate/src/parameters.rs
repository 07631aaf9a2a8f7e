//! References to GatewayParameters, of Gateways and of GatewayClasses.

use crds::GatewayParametersSpec;

use crate::ObjectKey;
use crate::finding::Finding;
use crate::index::Index;

const GROUP: &str = "keyward.dev";
const KIND: &str = "GatewayParameters";
/// Why a Gateway or GatewayClass is not accepted (`GatewayReasonInvalidParameters`).
pub(crate) const INVALID_PARAMETERS: &str = "InvalidParameters";

/// The parameters that a reference means. "If the referent cannot be found, refers to an unsupported kind, or when the data within that
/// resource is malformed, the Gateway SHOULD be rejected with the "Accepted" status condition set to "False" and an "InvalidParameters"
/// reason" (GatewayInfrastructure.parametersRef).
pub(crate) fn resolve<'s>(
    index: &Index<'s>,
    field: &str,
    group: &str,
    kind: &str,
    key: ObjectKey,
) -> Result<&'s GatewayParametersSpec, Finding> {
    let invalid = |message| Finding::accepted(field, INVALID_PARAMETERS, message);
    if group != GROUP || kind != KIND {
        return Err(invalid(format!("parametersRef to {kind} {} is not understood: refer to a {GROUP} {KIND}, or remove it", key.name)));
    }
    let found = index.parameters(&key).map(|parameters| &parameters.spec);
    found.ok_or_else(|| invalid(format!("{KIND} {key} does not exist: create it, or correct parametersRef")))
}
