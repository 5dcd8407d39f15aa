//! What a trait with `#[interface]` says, read and checked. Emits nothing.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, Generics, Ident, ItemTrait, Lit, LitStr, Meta, Pat,
    Path, RangeLimits, ReturnType, Signature, Token, TraitItem, TraitItemFn, Type, Visibility,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

/// What stands in the brackets of the attribute.
pub(crate) struct Options {
    /// The path of `tress_rpc`.
    pub(crate) root: Path,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            let root = syn::parse_quote!(::tress::rpc);
            return Ok(Self { root });
        }
        let expected = "expected nothing, or `crate = \"path\"`";
        input
            .parse::<Token![crate]>()
            .map_err(|error| Error::new(error.span(), expected))?;
        input.parse::<Token![=]>()?;
        let path = input.parse::<LitStr>()?;
        if !input.is_empty() {
            return Err(input.error(expected));
        }
        Ok(Self {
            root: path.parse()?,
        })
    }
}

/// A trait that can be called by name.
pub(crate) struct Interface {
    pub(crate) root: Path,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    /// As they were written, the docs among them.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) doc: String,
    pub(crate) methods: Vec<Method>,
}

/// One call.
pub(crate) struct Method {
    pub(crate) name: Ident,
    /// What it is called by name.
    pub(crate) wire: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) doc: String,
    pub(crate) parameters: Vec<Parameter>,
    /// The `T` of `Result<T>`.
    pub(crate) result: Type,
    /// All of it.
    pub(crate) output: Type,
}

pub(crate) enum Parameter {
    /// The context of the call.
    Context {
        name: Ident,
        ty: Box<Type>,
    },
    Argument(Box<Argument>),
}

pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) limit: Option<Limit>,
}

/// Inclusive on both ends.
pub(crate) struct Limit {
    pub(crate) least: Option<TokenStream>,
    pub(crate) most: Option<TokenStream>,
}

impl Interface {
    pub(crate) fn read(written: ItemTrait, options: Options) -> syn::Result<Self> {
        let ItemTrait {
            attrs: attributes,
            vis: visibility,
            ident: name,
            generics,
            supertraits,
            items,
            ..
        } = written;
        no_generics(&generics, "an interface")?;
        if let Some(first) = supertraits.first() {
            let message = "an interface stands for itself: no traits above it";
            return Err(Error::new(first.span(), message));
        }
        let mut methods: Vec<Method> = Vec::new();
        for item in items {
            let TraitItem::Fn(item) = item else {
                let message =
                    "an interface has only methods: a type or a constant cannot be called";
                return Err(Error::new(item.span(), message));
            };
            let span = item.sig.ident.span();
            let method = Method::read(item)?;
            if methods.iter().any(|other| other.wire == method.wire) {
                let message = format!("two methods are called `{}`", method.wire);
                return Err(Error::new(span, message));
            }
            methods.push(method);
        }
        let doc = first_paragraph(&attributes);
        Ok(Self {
            root: options.root,
            visibility,
            name,
            attributes,
            doc,
            methods,
        })
    }
}

impl Method {
    fn read(written: TraitItemFn) -> syn::Result<Self> {
        let TraitItemFn {
            mut attrs,
            sig: signature,
            default,
            ..
        } = written;
        if let Some(body) = default {
            let message =
                "an interface only says what can be called: the body belongs to who implements it";
            return Err(Error::new(body.span(), message));
        }
        shape(&signature)?;
        let wire = match take(&mut attrs, "name") {
            None => signature.ident.to_string().trim_start_matches("r#").into(),
            Some(attribute) => wire_name(&attribute)?,
        };
        let mut inputs = signature.inputs.into_iter();
        receiver(inputs.next(), &signature.ident)?;
        let parameters = inputs.map(Parameter::read).collect::<syn::Result<_>>()?;
        let (result, output) = result(&signature.output, &signature.ident)?;
        let doc = first_paragraph(&attrs);
        Ok(Self {
            name: signature.ident,
            wire,
            attributes: attrs,
            doc,
            parameters,
            result,
            output,
        })
    }

    /// Those of the call, without its context.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters
            .iter()
            .filter_map(|parameter| match parameter {
                Parameter::Argument(argument) => Some(&**argument),
                Parameter::Context { .. } => None,
            })
    }
}

impl Parameter {
    fn read(written: FnArg) -> syn::Result<Self> {
        let FnArg::Typed(written) = written else {
            let message = "`self` comes first";
            return Err(Error::new(written.span(), message));
        };
        let Pat::Ident(pattern) = *written.pat else {
            let message = "an argument needs a name: callers pass it by that";
            return Err(Error::new(written.pat.span(), message));
        };
        let name = pattern.ident;
        let mut attributes = written.attrs;
        let limit = take(&mut attributes, "limit")
            .map(|attribute| Limit::read(&attribute))
            .transpose()?;
        if let Some(other) = attributes.first() {
            let message = "expected `#[limit(1..=1000)]`: an argument says nothing else of itself";
            return Err(Error::new(other.span(), message));
        }
        if is_context(&written.ty) {
            if limit.is_some() {
                let message = "the context of a call has no limit";
                return Err(Error::new(name.span(), message));
            }
            return Ok(Self::Context {
                name,
                ty: written.ty,
            });
        }
        if let Some(borrowed) = borrowed(&written.ty) {
            let message = "an argument crosses wires and threads: pass an owned type, such as `String` for `&str`";
            return Err(Error::new(borrowed, message));
        }
        Ok(Self::Argument(Box::new(Argument {
            name,
            ty: *written.ty,
            limit,
        })))
    }
}

impl Limit {
    fn read(attribute: &Attribute) -> syn::Result<Self> {
        let expected = "expected a range, such as `#[limit(1..=1000)]`";
        let wrong = || Error::new(attribute.span(), expected);
        let Meta::List(list) = &attribute.meta else {
            return Err(wrong());
        };
        let Ok(Expr::Range(range)) = syn::parse2::<Expr>(list.tokens.clone()) else {
            return Err(wrong());
        };
        let least = range.start.map(|start| quote!((#start) as i128));
        let most = range.end.map(|end| match range.limits {
            RangeLimits::Closed(_) => quote!((#end) as i128),
            RangeLimits::HalfOpen(_) => quote!((#end) as i128 - 1),
        });
        if least.is_none() && most.is_none() {
            return Err(wrong());
        }
        Ok(Self { least, most })
    }
}

/// `async`, and nothing else before `fn`.
fn shape(signature: &Signature) -> syn::Result<()> {
    no_generics(&signature.generics, "a method of an interface")?;
    if signature.asyncness.is_none() {
        let message = format!("a call takes time: write `async fn {}`", signature.ident);
        return Err(Error::new(signature.fn_token.span(), message));
    }
    let odd = [
        signature.constness.as_ref().map(Spanned::span),
        signature.abi.as_ref().map(Spanned::span),
        signature.variadic.as_ref().map(Spanned::span),
    ];
    match odd.into_iter().flatten().next() {
        None => Ok(()),
        Some(span) => Err(Error::new(span, "expected `async fn`")),
    }
}

fn receiver(first: Option<FnArg>, method: &Ident) -> syn::Result<()> {
    let message = "a call is made on a shared object: the first parameter is `&self`";
    match first {
        Some(FnArg::Receiver(receiver)) => {
            let written = receiver.to_token_stream().to_string().replace(' ', "");
            if written == "&self" {
                Ok(())
            } else {
                Err(Error::new(receiver.span(), message))
            }
        }
        Some(other) => Err(Error::new(other.span(), message)),
        None => Err(Error::new(method.span(), message)),
    }
}

/// The `T` of `Result<T>` or `Result<T, Failure>`, and the whole.
fn result(output: &ReturnType, method: &Ident) -> syn::Result<(Type, Type)> {
    let message = "a call can fail on its way: return `Result<T>` or `Result<T, Failure>`";
    let ReturnType::Type(_, output) = output else {
        return Err(Error::new(method.span(), message));
    };
    let wrong = || Error::new(output.span(), message);
    let Type::Path(path) = &**output else {
        return Err(wrong());
    };
    let last = path.path.segments.last().ok_or_else(wrong)?;
    if last.ident != "Result" {
        return Err(wrong());
    }
    let types = match &last.arguments {
        syn::PathArguments::None => return Ok((syn::parse_quote!(()), (**output).clone())),
        syn::PathArguments::AngleBracketed(inner) => &inner.args,
        syn::PathArguments::Parenthesized(_) => return Err(wrong()),
    };
    let mut types = types.iter();
    let (Some(syn::GenericArgument::Type(value)), error) = (types.next(), types.next()) else {
        return Err(wrong());
    };
    if let Some(error) = error {
        let named = matches!(error, syn::GenericArgument::Type(Type::Path(path))
            if path.path.segments.last().is_some_and(|last| last.ident == "Failure"));
        if !named {
            let message = "a call fails with a `Failure`; put your error into it, or a `Fault` whose code callers are told";
            return Err(Error::new(error.span(), message));
        }
    }
    if let Some(borrowed) = borrowed(value) {
        let message = "a result crosses wires and threads: return an owned type";
        return Err(Error::new(borrowed, message));
    }
    Ok((value.clone(), (**output).clone()))
}

fn no_generics(generics: &Generics, what: &str) -> syn::Result<()> {
    let first = generics.params.first().map(Spanned::span);
    let first = first.or_else(|| generics.where_clause.as_ref().map(Spanned::span));
    match first {
        None => Ok(()),
        Some(span) => {
            let message = format!("{what} has no generics: a caller by name could not choose them");
            Err(Error::new(span, message))
        }
    }
}

fn wire_name(attribute: &Attribute) -> syn::Result<String> {
    let expected = "expected a name, such as `#[name = \"getUser\"]`";
    let wrong = || Error::new(attribute.span(), expected);
    let Meta::NameValue(pair) = &attribute.meta else {
        return Err(wrong());
    };
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = &pair.value
    else {
        return Err(wrong());
    };
    let name = text.value();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        let message =
            "expected a name of letters, digits and `_`: every protocol must be able to say it";
        return Err(Error::new(text.span(), message));
    }
    Ok(name)
}

/// Takes the attribute of that name out.
fn take(attributes: &mut Vec<Attribute>, name: &str) -> Option<Attribute> {
    let at = attributes.iter().position(|a| a.path().is_ident(name))?;
    Some(attributes.remove(at))
}

fn is_context(ty: &Type) -> bool {
    let ty = match ty {
        Type::Reference(reference) => &*reference.elem,
        other => other,
    };
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "CallContext"))
}

/// Where a type borrows.
fn borrowed(ty: &Type) -> Option<proc_macro2::Span> {
    match ty {
        Type::Reference(reference) => Some(reference.span()),
        Type::ImplTrait(generic) => Some(generic.span()),
        Type::Path(path) => path.path.segments.iter().find_map(|segment| {
            let syn::PathArguments::AngleBracketed(inner) = &segment.arguments else {
                return None;
            };
            inner.args.iter().find_map(|argument| match argument {
                syn::GenericArgument::Lifetime(lifetime) => Some(lifetime.span()),
                syn::GenericArgument::Type(ty) => borrowed(ty),
                _ => None,
            })
        }),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(borrowed),
        Type::Array(array) => borrowed(&array.elem),
        _ => None,
    }
}

/// The first paragraph of the docs, in one line.
fn first_paragraph(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) = &pair.value
        else {
            return None;
        };
        pair.path.is_ident("doc").then(|| text.value())
    });
    let lines: Vec<String> = lines.collect();
    let text = lines.join("\n");
    let words = text.trim().lines().map(str::trim);
    let words: Vec<&str> = words.take_while(|line| !line.is_empty()).collect();
    words.join(" ")
}
