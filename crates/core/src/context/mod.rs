//! Task-local values: what is in force where a callback, a timer, a call to another thread or a task was asked for is
//! in force when it runs. Knows none of those; they take [`Context::current`] along and run in it.
//!
//! ```
//! use tress_core::context::ContextVar;
//! static REQUEST: ContextVar<u64> = ContextVar::new("request");
//!
//! let (resolver, deferred) = tress_core::Deferred::<()>::pair();
//! let deferred = REQUEST.with(7, || deferred.map(|()| REQUEST.get()));
//! resolver.resolve(());
//! assert_eq!(deferred.try_result().unwrap().unwrap(), Some(7));
//! assert_eq!(REQUEST.get(), None);
//! ```
//! A value holds for a scope, never beyond it, so nothing leaks from one connection into another. Source: Twisted's
//! `python/context.py`, and `contextvars` in its `inlineCallbacks`.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task,
};

/// A name for a value of type `T` that goes with what is asked for while it is in force. Always a `static`.
pub struct ContextVar<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

/// All values in force at one place. Cheap to clone, and can go to another thread.
#[derive(Clone, Default)]
pub struct Context(Option<Arc<Vec<Binding>>>);

#[derive(Clone)]
struct Binding {
    /// The address of its [`ContextVar`], which is never one of another: they are statics with a size.
    variable: usize,
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

thread_local! {
    /// Whether any value is in force: what the usual callback looks at.
    static ANY: Cell<bool> = const { Cell::new(false) };
    static CURRENT: RefCell<Context> = const { RefCell::new(Context(None)) };
}

impl<T: Clone + Send + Sync + 'static> ContextVar<T> {
    /// A variable that has no value; `name` is for people.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            value: PhantomData,
        }
    }

    /// The value in force here.
    #[must_use]
    pub fn get(&'static self) -> Option<T> {
        let context = Context::current();
        let binding = context.bindings().iter();
        binding
            .filter(|binding| binding.variable == self.address())
            .find_map(|binding| binding.value.downcast_ref().cloned())
    }

    /// Calls `function` with `value` in force: for it, and for all it asks for.
    pub fn with<R>(&'static self, value: T, function: impl FnOnce() -> R) -> R {
        self.bound(value).run(function)
    }

    /// The same for a future: each time it is polled.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> InContext<F> {
        self.bound(value).scope(future)
    }

    fn address(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn bound(&'static self, value: T) -> Context {
        let context = Context::current();
        let others = context.bindings().iter();
        let others = others.filter(|binding| binding.variable != self.address());
        let own = Binding {
            variable: self.address(),
            name: self.name,
            value: Arc::new(value),
        };
        Context(Some(Arc::new(others.cloned().chain([own]).collect())))
    }
}

impl Context {
    /// What is in force here.
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        if ANY.get() { in_force() } else { Self(None) }
    }

    /// Calls `function` with exactly these values in force.
    pub fn run<R>(&self, function: impl FnOnce() -> R) -> R {
        run_in(self, function)
    }

    /// The same for a future: each time it is polled.
    pub fn scope<F: Future>(self, future: F) -> InContext<F> {
        InContext {
            context: self,
            future: Box::pin(future),
        }
    }

    fn bindings(&self) -> &[Binding] {
        self.0.as_ref().map_or(&[], |bindings| bindings)
    }
}

/// Whether any value is in force here.
#[inline]
pub(crate) fn is_any() -> bool {
    ANY.get()
}

#[cold]
#[inline(never)]
fn in_force() -> Context {
    CURRENT.with_borrow(Context::clone)
}

/// Calls `function` in this context; costs one look when there is none, before and now.
#[inline]
pub(crate) fn run_in<R>(context: &Context, function: impl FnOnce() -> R) -> R {
    if context.0.is_none() && !ANY.get() {
        return function();
    }
    exchanged(context, function)
}

#[cold]
#[inline(never)]
fn exchanged<R>(context: &Context, function: impl FnOnce() -> R) -> R {
    let _before = Before(set(context.clone()));
    function()
}

fn set(context: Context) -> Context {
    ANY.set(context.0.is_some());
    CURRENT.replace(context)
}

/// Puts back what was in force before, however the function ends.
struct Before(Context);

impl Drop for Before {
    fn drop(&mut self) {
        set(std::mem::take(&mut self.0));
    }
}

/// A future that is polled in a context.
pub struct InContext<F> {
    context: Context,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let Self { context, future } = &mut *self;
        context.run(|| future.as_mut().poll(cx))
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextVar({})", self.name)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.bindings().iter().map(|binding| binding.name);
        f.debug_set().entries(names).finish()
    }
}

impl<F> fmt::Debug for InContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InContext({:?})", self.context)
    }
}

#[cfg(test)]
mod tests;
