//! placeholder
use crate::cli::DemoArgs;
/// x
pub fn demo(_: &DemoArgs) -> anyhow::Result<i32> {
    Ok(0)
}
