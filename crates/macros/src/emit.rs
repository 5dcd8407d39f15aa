//! What a trait with `#[interface]` becomes. Reads no source: everything it needs is in the model.

use crate::model::{Argument, Interface, Method, Parameter};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::Ident;

/// The trait, its twin, its client and its descriptor.
pub(crate) fn everything(interface: &Interface) -> TokenStream {
    let names = Names::of(interface);
    let parts = [
        plain_trait(interface),
        twin(interface, &names),
        client(interface, &names),
        carried(interface, &names),
        object(interface, &names),
        dispatch(interface, &names),
    ];
    quote!(#(#parts)*)
}

struct Names {
    twin: Ident,
    client: Ident,
    /// The private twin whose calls a `Client` carries.
    carried: Ident,
}

impl Names {
    fn of(interface: &Interface) -> Self {
        let name = &interface.name;
        Self {
            twin: format_ident!("Dyn{name}"),
            client: format_ident!("{name}Client"),
            carried: format_ident!("{name}Carried"),
        }
    }
}

/// The trait as business code implements it.
fn plain_trait(interface: &Interface) -> TokenStream {
    let Interface {
        visibility,
        name,
        attributes,
        methods,
        ..
    } = interface;
    let methods = methods.iter().map(|method| {
        let Method {
            name,
            attributes,
            output,
            ..
        } = method;
        let parameters = parameters(method);
        quote! {
            #(#attributes)*
            fn #name(&self, #parameters) -> impl ::core::future::Future<Output = #output>;
        }
    });
    quote! {
        #(#attributes)*
        #visibility trait #name {
            #(#methods)*
        }
    }
}

/// `name: T, …`, the context among them.
fn parameters(method: &Method) -> TokenStream {
    let each = method.parameters.iter().map(|parameter| match parameter {
        Parameter::Context { name, ty } => quote!(#name: #ty),
        Parameter::Argument(argument) => {
            let Argument { name, ty, .. } = &**argument;
            quote!(#name: #ty)
        }
    });
    quote!(#(#each),*)
}

/// `name: T, …` of the call alone.
fn arguments(method: &Method) -> TokenStream {
    let each = method
        .arguments()
        .map(|Argument { name, ty, .. }| quote!(#name: #ty));
    quote!(#(#each),*)
}

/// `name, …` of the call alone.
fn passed(method: &Method) -> TokenStream {
    let each = method.arguments().map(|Argument { name, .. }| name);
    quote!(#(#each),*)
}

/// What the plain trait is given, where `context` is a `&CallContext` that lives long enough.
fn given(method: &Method) -> TokenStream {
    let each = method.parameters.iter().map(|parameter| match parameter {
        Parameter::Context { ty, .. } if matches!(**ty, syn::Type::Reference(_)) => {
            quote!(&__context)
        }
        Parameter::Context { .. } => quote!(__context.clone()),
        Parameter::Argument(argument) => argument.name.to_token_stream(),
    });
    quote!(#(#each),*)
}

/// The object-safe twin, and that everything is one.
fn twin(interface: &Interface, names: &Names) -> TokenStream {
    let Interface {
        visibility,
        name,
        methods,
        ..
    } = interface;
    let twin = &names.twin;
    let doc =
        format!("The object-safe twin of [`{name}`], implemented for everything that is one.");
    let declared = methods.iter().map(|method| {
        let doc = format!("As [`{name}::{}`].", method.name);
        let signature = twin_signature(interface, method);
        quote!(#[doc = #doc] #signature;)
    });
    let implemented = methods.iter().map(|method| {
        let signature = twin_signature(interface, method);
        let (call, given, context) = (&method.name, given(method), context());
        quote! {
            #signature {
                let __context = #context.clone();
                #context.reactor.spawn(async move { <Self as #name>::#call(&*self, #given).await })
            }
        }
    });
    quote! {
        #[doc = #doc]
        #visibility trait #twin {
            #(#declared)*
        }

        impl<__T: #name + 'static> #twin for __T {
            #(#implemented)*
        }
    }
}

/// The twin's parameter, which no argument of that name meets.
fn context() -> Ident {
    Ident::new("context", Span::mixed_site())
}

fn twin_signature(interface: &Interface, method: &Method) -> TokenStream {
    let (root, context) = (&interface.root, context());
    let (name, arguments, result) = (&method.name, arguments(method), &method.result);
    quote! {
        fn #name(
            self: ::std::rc::Rc<Self>,
            #context: &#root::CallContext,
            #arguments
        ) -> #root::emitted::Deferred<#result>
    }
}

/// What calls any twin for one caller.
fn client(interface: &Interface, names: &Names) -> TokenStream {
    let Interface {
        root,
        visibility,
        name,
        methods,
        ..
    } = interface;
    let Names { twin, client, .. } = names;
    let doc = format!("A [`{name}`] wherever it is; its calls are those of one caller.");
    let written = client.to_string();
    let methods = methods.iter().map(|method| {
        let (call, passed) = (&method.name, passed(method));
        let (parameters, result) = (parameters(method), &method.result);
        let context = method
            .parameters
            .iter()
            .find_map(|parameter| match parameter {
                Parameter::Context { name, .. } => Some(quote!(&#name)),
                Parameter::Argument(_) => None,
            });
        let context = context.unwrap_or_else(|| quote!(&self.context));
        quote! {
            fn #call(&self, #parameters) -> #root::emitted::Deferred<#result> {
                #twin::#call(::std::rc::Rc::clone(&self.object), #context, #passed)
            }
        }
    });
    let refining = (interface.methods.is_empty())
        .then(TokenStream::new)
        .unwrap_or_else(
            || quote!(#[expect(refining_impl_trait, reason = "callers may use the Deferred")]),
        );
    quote! {
        #[doc = #doc]
        #[derive(Clone)]
        #visibility struct #client {
            object: ::std::rc::Rc<dyn #twin>,
            context: #root::CallContext,
        }

        impl #client {
            /// This object, called by that caller.
            #[must_use]
            #visibility fn new(
                object: ::std::rc::Rc<dyn #twin>,
                context: #root::CallContext,
            ) -> Self {
                Self { object, context }
            }
        }

        #refining
        impl #name for #client {
            #(#methods)*
        }

        impl ::std::fmt::Debug for #client {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::write!(f, "{}(for {})", #written, self.context.peer)
            }
        }
    }
}

/// The twin whose calls a `Client` carries.
fn carried(interface: &Interface, names: &Names) -> TokenStream {
    let Interface { root, methods, .. } = interface;
    let Names { twin, carried, .. } = names;
    let methods = methods.iter().map(|method| {
        let signature = twin_signature(interface, method);
        let (wire, context) = (&method.wire, context());
        let values = method
            .arguments()
            .map(|Argument { name, .. }| quote!(#root::to_value(&#name)));
        quote! {
            #signature {
                self.0.call_with(#context, #wire, [#(#values),*])
            }
        }
    });
    quote! {
        struct #carried(#root::Client);

        impl #twin for #carried {
            #(#methods)*
        }
    }
}

/// The ways from an implementor to an object, and from a client to a twin.
fn object(interface: &Interface, names: &Names) -> TokenStream {
    let Interface {
        root,
        visibility,
        name,
        ..
    } = interface;
    let Names { twin, carried, .. } = names;
    let descriptor = descriptor(interface);
    let doc = format!("What [`{name}`] offers.");
    let object = name.to_string().to_lowercase();
    let object = format_ident!("r#{object}");
    quote! {
        impl dyn #twin {
            #[doc = #doc]
            #visibility const DESCRIPTOR: &'static #root::Descriptor = &#descriptor;

            /// An object whose calls a client carries, which may be on another thread.
            #visibility const TWIN: #root::MakeTwin =
                |client| #root::Object::new::<Self>(::std::rc::Rc::new(#carried(client)));

            /// This object behind its interface.
            #[must_use]
            #visibility fn object(#object: ::std::rc::Rc<impl #name + 'static>) -> #root::Object {
                #root::Object::new::<Self>(#object)
            }
        }
    }
}

fn descriptor(interface: &Interface) -> TokenStream {
    let Interface {
        root,
        name,
        doc,
        methods,
        ..
    } = interface;
    let name = name.to_string();
    let methods = methods.iter().map(|method| {
        let Method {
            wire, doc, result, ..
        } = method;
        let arguments = method.arguments().map(|argument| {
            let Argument { name, ty, limit } = argument;
            let name = name.to_string();
            let name = name.trim_start_matches("r#");
            let limit = match limit {
                None => quote!(::core::option::Option::None),
                Some(limit) => {
                    let end = |end: &Option<TokenStream>| match end {
                        None => quote!(::core::option::Option::None),
                        Some(end) => quote!(::core::option::Option::Some(#end)),
                    };
                    let (least, most) = (end(&limit.least), end(&limit.most));
                    quote!(::core::option::Option::Some(#root::Limit { least: #least, most: #most }))
                }
            };
            quote! {
                #root::Argument { name: #name, ty: #root::Type::of::<#ty>(), limit: #limit }
            }
        });
        quote! {
            #root::Method {
                name: #wire,
                doc: #doc,
                arguments: &[#(#arguments),*],
                result: #root::Type::of::<#result>(),
            }
        }
    });
    quote! {
        #root::Descriptor { name: #name, doc: #doc, methods: &[#(#methods),*] }
    }
}

/// From a number and values to a call.
fn dispatch(interface: &Interface, names: &Names) -> TokenStream {
    let Interface { root, methods, .. } = interface;
    let (twin, context) = (&names.twin, context());
    let taken = Ident::new("arguments", Span::mixed_site());
    let arms = methods.iter().enumerate().map(|(index, method)| {
        let (call, passed) = (&method.name, passed(method));
        let read = method.arguments().map(|Argument { name, .. }| {
            let written = name.to_string();
            let written = written.trim_start_matches("r#");
            quote! {
                let #name = match #taken.next(#written) {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(bad) => {
                        return #root::emitted::Deferred::fail(bad);
                    }
                };
            }
        });
        quote! {
            #index => {
                #(#read)*
                #root::emitted::to_deferred(#twin::#call(self, #context, #passed))
            }
        }
    });
    quote! {
        impl #root::Interface for dyn #twin {
            fn descriptor() -> &'static #root::Descriptor {
                Self::DESCRIPTOR
            }

            fn dispatch(
                self: ::std::rc::Rc<Self>,
                #context: &#root::CallContext,
                method: usize,
                mut #taken: #root::Taken,
            ) -> #root::emitted::Deferred<#root::Value> {
                match method {
                    #(#arms)*
                    _ => #root::emitted::Deferred::fail(#taken.unknown()),
                }
            }
        }
    }
}
