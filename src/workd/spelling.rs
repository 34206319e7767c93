//! Makes a `PWD` hold in the overlay view that reaches the working directory through symlinks
//! outside the roots, as a home that is a link does: compilers write `PWD` into what they make, but
//! only if it leads where they are.

use super::view::View;
use crate::paths::Bytes;

/// Gives the view these symlinks of the hub, paths and targets, unless it has them.
///
/// # Errors
/// The view cannot have one: why.
pub(crate) async fn make_known(view: &View, links: &[(Bytes, Bytes)]) -> Result<(), String> {
    let mut new = links.to_vec();
    new.retain(|link| !view.links.borrow().contains(link));
    if new.is_empty() {
        return Ok(());
    }
    let linked = view.warden.link(new.clone()).await;
    linked.map_err(|why| format!("the way of PWD cannot be had in a view: {why}"))?;
    view.links.borrow_mut().extend(new);
    Ok(())
}
