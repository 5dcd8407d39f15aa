//! What is in force where.
