//! `#[interface]` on a trait: what makes its objects callable by name. Knows no protocol; what it emits stands on
//! `tress-rpc` and names nothing else.

#![forbid(unsafe_code)]

mod emit;
mod model;

use proc_macro::TokenStream;
use syn::{ItemTrait, parse_macro_input};

/// Makes an interface of a trait: a set of calls that any protocol can carry.
///
/// ```ignore
/// /// Says something worth remembering.
/// #[tress::interface]
/// pub trait Quoter {
///     /// One quote.
///     async fn quote(&self) -> Result<String>;
///     /// That many quotes.
///     async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
/// }
/// ```
///
/// The trait stays, with methods that return futures: it is implemented with plain `async fn`s, or with functions that
/// return a `Deferred`. Beside `Quoter` come
///
/// * `DynQuoter`, its object-safe twin: each method takes a `CallContext` and returns a `Deferred`. Everything that
///   implements `Quoter` implements it, and `<dyn DynQuoter>::object(…)` makes an `Object` that is called by name;
/// * `QuoterClient`, a `Quoter` whose calls go to any `DynQuoter`, or through a `Client` to wherever the object is;
/// * `<dyn DynQuoter>::DESCRIPTOR`: names, docs, schemas and limits, as data.
///
/// Arguments and results are owned types of serde with a JSON Schema. A parameter of the type `CallContext` is not one of the
/// call's: the method is given who calls. What a method may say of itself:
///
/// * `#[name = "getUser"]` on a method: what it is called on the wire;
/// * `#[limit(1..=1000)]` on an argument: what a number may be, how many characters a text may have, or how many items a list.
///   A call beyond is refused before the object is reached.
///
/// `#[interface(crate = "path")]` says where `tress_rpc` is found; `::tress::rpc` without it.
#[proc_macro_attribute]
pub fn interface(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attribute as model::Options);
    let written = parse_macro_input!(item as ItemTrait);
    match model::Interface::read(written, options) {
        Ok(interface) => emit::everything(&interface).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
