//! Clients that outlive one connection: `ClientFactory`, `Connector`, `ClientCreator`, `Reconnecting`.
