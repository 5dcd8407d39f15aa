//! The behaviour suite: what every driver must do, written once. `check_driver!` mounts it.
