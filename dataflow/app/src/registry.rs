//! Every part of the product, one line per room. A new part is a line in its crate's list; a new crate is a line here.
use model::Part;

/// All parts, in the order in which the reference and the schema list them.
pub fn parts() -> Vec<&'static dyn Part> {
    [
        local::parts(),
        parse::parts(),
        transform::parts(),
        enrich::parts(),
        detect::parts(),
        correlate::parts(),
        alert::parts(),
        lake::parts(),
        destinations::parts(),
        kafka::parts(),
        aws::parts(),
    ]
    .concat()
}
