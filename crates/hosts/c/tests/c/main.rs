//! The C interface: the calls one by one, from a C program, and under a GUI.

mod calls;
mod server;
mod window;
