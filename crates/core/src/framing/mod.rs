//! Framings: wrapper types that cut bytes into lines and strings. Each knows its bytes and nothing else.
