//! The interfaces `Finger` and `FingerSetter`. Knows no protocol. On the wire they bear the names that peers of Twisted's
//! finger service call (`docs/core/howto/tutorial/listings/finger/finger22.py`).

use tress_core::Result;
use tress_rpc::interface;

/// Who is here, and how they are.
#[interface(crate = "tress_rpc")]
pub trait Finger {
    /// One user's status, or nothing when there is no such user.
    #[name = "getUser"]
    async fn user(&self, name: String) -> Result<Option<String>>;

    /// Everybody who has a status.
    #[name = "getUsers"]
    async fn users(&self) -> Result<Vec<String>>;
}

/// Changes how somebody is.
#[interface(crate = "tress_rpc")]
pub trait FingerSetter {
    /// Gives a user a status; the user need not have had one.
    #[name = "setUser"]
    async fn set_user(&self, name: String, status: String) -> Result<()>;
}
